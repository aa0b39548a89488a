//! Ways in which a secret could leave, and that none does.
//!
//! Every case of [`CASES`] is an attack: a redirect, an address, a `.lfsconfig`, an answer. Each is tried on whoever holds a
//! secret in each place: the environment, a netrc file, the remote's address, a credential helper, a header of the
//! configuration, and all at once. Everything a client of ours can do is done, then everything that any server saw and
//! everything that a person could see is searched for the secrets.

use std::fs;
use std::path::PathBuf;

use git_st_convert::remote::{Error, Object, Ranged, Secret, Settings};

use super::{ID, TOKEN, World, everything, stream};
use crate::hub::{Access, Fault, Place, Right, Seen, Signing, To};

const NETRC: &str = "pw-in-the-netrc-file";
const ADDRESS: &str = "pw-in-the-address";
const HELPER: &str = "pw-of-the-helper";
const HEADER: &str = "pw-in-a-header";
/// The helper's for every other host.
const ELSEWHERE: &str = "pw-of-another-host";
/// What a server gives us for the storage.
const ACTION: &str = "pw-of-the-action";

/// Where a secret is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Token,
    Netrc,
    Address,
    Helper,
    Header,
    All,
}

const HOLDERS: [Holder; 6] =
    [Holder::Token, Holder::Netrc, Holder::Address, Holder::Helper, Holder::Header, Holder::All];

/// The hub, and others that answer as it does.
struct Names {
    hub: String,
    /// The same host at another port.
    port: String,
    /// Another host, where this machine has one.
    host: String,
}

type Pairs = Vec<(String, String)>;

/// What has to be seen of an attack, or it proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Another server than the hub was asked.
    Reached,
    /// It was refused before that.
    Refused,
    /// It had no effect: the object came from the hub.
    Ignored,
}

use Proof::{Ignored, Reached, Refused};

struct Case {
    name: &'static str,
    proof: Proof,
    config: fn(&Names) -> Pairs,
    lfsconfig: fn(&Names) -> Pairs,
    prepare: fn(&World, &Names),
    /// The person's own remote: what is for it may go there, though it is not the hub.
    home: fn(&Names) -> &str,
}

fn hub(names: &Names) -> &str {
    &names.hub
}

fn none(_: &Names) -> Pairs {
    Vec::new()
}

fn nothing(_: &World, _: &Names) {}

/// An attack by the hub's answers.
const fn answer(name: &'static str, proof: Proof, prepare: fn(&World, &Names)) -> Case {
    Case { name, proof, config: none, lfsconfig: none, prepare, home: hub }
}

/// An attack by the repository's `.lfsconfig`.
const fn theirs(name: &'static str, proof: Proof, lfsconfig: fn(&Names) -> Pairs) -> Case {
    Case { name, proof, config: none, lfsconfig, prepare: nothing, home: hub }
}

fn one(key: &str, value: impl Into<String>) -> Pairs {
    vec![(key.to_owned(), value.into())]
}

fn lfs(origin: &str) -> Pairs {
    one("lfs.url", format!("{origin}/{ID}.git/info/lfs"))
}

fn redirect(world: &World, place: Place, status: u16, to: To) {
    world.hub.inject(Fault::Redirect(status, to).at(place).times(1));
}

fn batch_to(world: &World, status: u16, to: &str) {
    redirect(world, Place::batch(ID), status, To::Origin(to.to_owned()));
}

fn url_to(world: &World, place: Place, url: String) {
    redirect(world, place, 302, To::Url(url));
}

fn content(world: &World) -> Place {
    Place::content(&world.oid())
}

/// Changes the action of the object in a batch.
fn action(world: &World, change: fn(&mut serde_json::Value)) {
    world.hub.inject(Fault::Json(change).at(Place::batch(ID)));
}

/// Sets a part of the object's entry, where the answer has one and is no refusal.
fn set(answer: &mut serde_json::Value, pointer: &str, value: serde_json::Value) {
    if let Some(entry) = answer.pointer_mut("/objects/0") {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        entry.pointer_mut(parent).unwrap()[name] = value;
    }
}

fn lines(answer: &mut serde_json::Value, lines: serde_json::Value) {
    set(answer, "/actions/download/header", lines);
}

fn signed_action(answer: &mut serde_json::Value) {
    lines(answer, serde_json::json!({"X-Action": ACTION, "Authorization": format!("RemoteAuth {ACTION}")}));
}

fn href(answer: &mut serde_json::Value, href: &str) {
    set(answer, "/actions/download/href", href.into());
}

const API: &str = "/api/models/acme/bert";
const RESOLVE: &str = "/acme/bert/resolve";
const BATCH: &str = "acme/bert.git/info/lfs/objects/batch";

const CASES: &[Case] = &[
    // Redirects of the batch, which carries the login.
    answer("batch 301 to another port", Reached, |w, n| batch_to(w, 301, &n.port)),
    answer("batch 302 to another port", Reached, |w, n| batch_to(w, 302, &n.port)),
    answer("batch 303 to another port", Reached, |w, n| batch_to(w, 303, &n.port)),
    answer("batch 307 to another port", Reached, |w, n| batch_to(w, 307, &n.port)),
    answer("batch 308 to another host", Reached, |w, n| batch_to(w, 308, &n.host)),
    answer("batch away and back", Reached, |w, n| {
        batch_to(w, 307, &n.port);
        batch_to(w, 307, &n.hub);
    }),
    answer("batch away twice", Reached, |w, n| {
        batch_to(w, 307, &n.port);
        batch_to(w, 307, &n.host);
    }),
    answer("batch to another name of the host", Ignored, |w, n| {
        url_to(w, Place::batch(ID), format!("{}/{BATCH}", n.hub.replace("127.0.0.1", "localhost")));
    }),
    answer("batch to an address without a scheme", Reached, |w, n| {
        url_to(w, Place::batch(ID), format!("{}/{BATCH}", n.port.trim_start_matches("http:")));
    }),
    answer("batch to backslashes", Reached, |w, n| {
        url_to(w, Place::batch(ID), format!("{}/{BATCH}", n.port.replace("http://", "\\\\")));
    }),
    answer("batch to the hub as a user name", Refused, |w, n| {
        let hub = n.hub.trim_start_matches("http://");
        url_to(w, Place::batch(ID), n.port.replace("http://", &format!("http://{hub}@")));
    }),
    answer("batch to the hub before a backslash and an at", Refused, |w, n| {
        let other = n.port.trim_start_matches("http://");
        url_to(w, Place::batch(ID), format!("{}\\@{other}/", n.hub.replace("http://", "ftp://")));
    }),
    answer("batch to a file", Refused, |w, _| url_to(w, Place::batch(ID), "file:///etc/passwd".to_owned())),
    // Redirects of the content, which carries an action's lines.
    answer("content 302 to another port", Reached, |w, n| {
        redirect(w, content(w), 302, To::Origin(n.port.clone()));
        redirect(w, content(w), 302, To::Origin(n.port.clone()));
    }),
    answer("content 307 to another host with an action's lines", Reached, |w, n| {
        w.hub.sign(Signing::Header);
        action(w, signed_action);
        redirect(w, content(w), 307, To::Origin(n.host.clone()));
    }),
    answer("content away and back", Reached, |w, n| {
        action(w, signed_action);
        redirect(w, content(w), 307, To::Origin(n.port.clone()));
        redirect(w, content(w), 307, To::Origin(n.hub.clone()));
    }),
    // Redirects of the Hub's own interface.
    answer("api 302 to another port", Reached, |w, n| {
        redirect(w, Place::path(API), 302, To::Origin(n.port.clone()));
        redirect(w, Place::path(API), 302, To::Origin(n.port.clone()));
    }),
    answer("api 307 to another host", Reached, |w, n| {
        w.hub.inject(Fault::Redirect(307, To::Origin(n.host.clone())).at(Place::path(API)).times(1));
    }),
    answer("resolve 302 to another port", Reached, |w, n| {
        redirect(w, Place::path(RESOLVE), 302, To::Origin(n.port.clone()));
    }),
    answer("resolve 307 to another host", Reached, |w, n| {
        redirect(w, Place::path(RESOLVE), 307, To::Origin(n.host.clone()));
    }),
    answer("resolve to a storage elsewhere", Reached, |w, n| w.hub.serve_content_from(&n.host)),
    // Where an answer says that the object is.
    answer("action at another port", Reached, |w, n| w.hub.serve_content_from(&n.port)),
    answer("action at another host", Reached, |w, n| w.hub.serve_content_from(&n.host)),
    answer("action at another port that wants a login", Reached, |w, n| {
        w.hub.serve_content_from(&n.port);
        action(w, |v| set(v, "/authenticated", false.into()));
        w.hub.inject(Fault::Status(401).at(content(w)));
    }),
    answer("action at another host that wants a login", Reached, |w, n| {
        w.hub.serve_content_from(&n.host);
        action(w, |v| set(v, "/authenticated", serde_json::Value::Null));
        w.hub.inject(Fault::Status(401).at(content(w)));
    }),
    answer("action at another port with lines of its own", Reached, |w, n| {
        w.hub.serve_content_from(&n.port);
        action(w, signed_action);
    }),
    answer("action at another port that redirects to a third", Reached, |w, n| {
        w.hub.serve_content_from(&n.port);
        action(w, signed_action);
        redirect(w, content(w), 307, To::Origin(n.host.clone()));
    }),
    answer("action at another port that redirects to the hub", Reached, |w, n| {
        w.hub.serve_content_from(&n.port);
        action(w, signed_action);
        redirect(w, content(w), 307, To::Origin(n.hub.clone()));
    }),
    answer("action that wants our lines for the connection", Ignored, |w, _| {
        action(w, |v| {
            lines(
                v,
                serde_json::json!({"Host": "evil.example", "Proxy-Authorization": "Basic x", "Range": "bytes=0-1"}),
            );
        });
    }),
    answer("action that adds a line", Refused, |w, _| {
        action(w, |v| {
            lines(v, serde_json::json!({"X-A": "a\r\nHost: evil.example"}));
        });
    }),
    answer("action with a login", Refused, |w, _| action(w, |v| href(v, "http://owner:x@127.0.0.1:1/"))),
    answer("action that is a file", Refused, |w, _| action(w, |v| href(v, "file:///etc/passwd"))),
    answer("action with a line end", Refused, |w, _| action(w, |v| href(v, "http://127.0.0.1/\r\nX: y"))),
    answer("expired action elsewhere", Reached, |w, n| {
        w.hub.serve_content_from(&n.port);
        w.hub.inject(Fault::Expired.at(Place::object(&w.oid())).times(1));
    }),
    // What a server repeats of what it was sent.
    answer("batch refused with words", Ignored, |w, _| {
        w.hub.inject(Fault::Status(403).at(Place::batch(ID)).times(1))
    }),
    answer("object refused with words", Ignored, |w, _| {
        w.hub.inject(Fault::ObjectError(422).at(Place::object(&w.oid())).times(1));
    }),
    // What a repository says of itself.
    theirs("lfs.url at another port", Reached, |n| lfs(&n.port)),
    theirs("lfs.url at another host", Reached, |n| lfs(&n.host)),
    theirs("lfs.url at another name of the host", Ignored, |n| lfs(&n.hub.replace("127.0.0.1", "localhost"))),
    theirs("lfs.url with the hub as a user name", Reached, |n| {
        let hub = n.hub.trim_start_matches("http://").replace(':', "%3A");
        lfs(&n.port.replace("http://", &format!("http://{hub}@")))
    }),
    theirs("lfs.url with the hub before an at", Reached, |n| {
        lfs(&n.port.replace("http://", &format!("{}@", n.hub)))
    }),
    theirs("lfs.url with the hub before a backslash", Reached, |n| {
        one("lfs.url", format!("{}%5c@{}/x", n.hub, n.port.trim_start_matches("http://")))
    }),
    theirs("lfs.url with a login of its own", Reached, |n| {
        lfs(&n.port.replace("http://", "http://owner:theirs@"))
    }),
    theirs("lfs.url with a line end in the user name", Refused, |n| {
        let hub = n.hub.trim_start_matches("http://");
        lfs(&n.port.replace("http://", &format!("http://o%0Ahost={hub}@")))
    }),
    theirs("lfs.url with a line end in the path", Reached, |n| {
        one("lfs.url", format!("{}/{ID}%0Ahost={}", n.port, n.hub.trim_start_matches("http://")))
    }),
    theirs("the remote's lfsurl at another port", Reached, |n| {
        one("remote.origin.lfsurl", format!("{}/{ID}.git/info/lfs", n.port))
    }),
    theirs("access basic elsewhere", Reached, |n| {
        let mut pairs = lfs(&n.port);
        pairs.extend(one(&format!("lfs.{}.access", n.port), "basic"));
        pairs
    }),
    theirs("a helper, a header and a proxy", Ignored, |n| {
        let mut pairs = one("credential.helper", "!echo password=x >&2; touch helper-ran; false");
        pairs.extend(one("http.extraHeader", "X-Theirs: 1"));
        pairs.extend(one("http.proxy", n.port.clone()));
        pairs
    }),
    theirs("an alias", Ignored, |n| one(&format!("url.{}/.insteadOf", n.port), n.hub.clone() + "/")),
    theirs("ssh with an option", Refused, |_| one("lfs.url", "ssh://-oProxyCommand=touch%20pwned/x")),
    theirs("ssh with a shell", Refused, |_| one("lfs.url", "ssh://git@127.0.0.1/x;touch pwned")),
    theirs("scp with an option", Refused, |_| one("lfs.url", "-oProxyCommand=touch:x")),
    // What a person configures for one server and not for others.
    Case {
        name: "the hub is another one than the remote",
        proof: Reached,
        config: |n| one("remote.origin.url", format!("{}/{ID}", n.port)),
        lfsconfig: none,
        prepare: nothing,
        home: |n| &n.port,
    },
    Case {
        name: "the person's own lfs.url at another host",
        proof: Reached,
        config: |n| lfs(&n.host),
        lfsconfig: none,
        prepare: nothing,
        home: |n| &n.host,
    },
    Case {
        name: "a header for the hub alone",
        proof: Reached,
        config: |n| one(&format!("http.{}.extraHeader", n.hub), format!("X-Own: {HEADER}")),
        lfsconfig: |n| lfs(&n.port),
        prepare: nothing,
        home: hub,
    },
    Case {
        name: "a header for the hub alone, and a redirect",
        proof: Reached,
        config: |n| one(&format!("http.{}.extraHeader", n.hub), format!("X-Own: {HEADER}")),
        lfsconfig: none,
        prepare: |w, n| batch_to(w, 307, &n.port),
        home: hub,
    },
];

/// The settings of a person who holds a secret in this place, and what only they may see it at.
fn settings(world: &World, names: &Names, holder: Holder, config: &Pairs) -> Settings {
    let has = |one: Holder| holder == one || holder == Holder::All;
    let mut pairs = Pairs::new();
    if has(Holder::Address) {
        pairs.extend(one(
            "remote.origin.url",
            world.hub.url(ID).replace("http://", &format!("http://o:{ADDRESS}@")),
        ));
    }
    if has(Holder::Header) {
        pairs.extend(one("http.extraHeader", format!("X-Secret: {HEADER}")));
        pairs.extend(one(
            &format!("http.{}.extraHeader", names.hub),
            format!("Authorization: Bearer {HEADER}"),
        ));
    }
    pairs.extend(config.clone());
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut settings = world.settings(&pairs);
    if has(Holder::Token) {
        settings.tokens.hf_token = Some(Secret::new(TOKEN));
    }
    if has(Holder::Netrc) {
        settings.netrc = Some(world.sandbox.path("netrc"));
    }
    let helper = if has(Holder::Helper) { helper(world, names) } else { String::new() };
    world.sandbox.git(&world.repo, &["config", "--replace-all", "credential.helper", ""]);
    world.sandbox.git(&world.repo, &["config", "--add", "credential.helper", &helper]);
    settings
}

/// Knows the password of the hub, in a file, and for everybody else another one.
fn helper(world: &World, names: &Names) -> String {
    let file = world.sandbox.path("helper-password");
    fs::write(&file, HELPER).unwrap();
    let host = names.hub.trim_start_matches("http://");
    format!(
        "!f() {{ input=$(cat); [ \"$1\" = get ] || exit 0; echo username=o; case \"$input\" in \
         *host={host}*) echo password=$(cat '{}');; *) echo password={ELSEWHERE};; esac; }}; f",
        file.display()
    )
}

/// Does everything that a client of ours does; says what went wrong.
fn do_everything(world: &World, settings: Settings, lfsconfig: &Pairs) -> (bool, Vec<Error>, String) {
    let mut errors = Vec::new();
    let mut got = false;
    let lfsconfig: Vec<_> = lfsconfig.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut shown = format!("{settings:?}");
    let store = world.store();
    let result = world.ask(settings, &lfsconfig, |client, endpoint| {
        shown.push_str(&format!("{endpoint:?} {endpoint} {:?} {:?}", endpoint.moved(), client.hub()));
        let object = Object::new(client, endpoint, world.pointer, Some("refs/heads/main"));
        match stream(&object) {
            Ok(bytes) => got = bytes == world.content,
            Err(err) => errors.push(err),
        }
        errors.extend(object.ranged().err());
        errors.extend(object.to_store(&store, &|_| {}).err());
        errors.extend(client.model(ID, None).err());
        errors.extend(client.pull_requests(ID).err());
        let url = client.resolve_url(ID, "main", "pytorch_model.bin").unwrap();
        errors.extend(Ranged::open(client, &url).err());
    });
    errors.extend(result.err());
    let _absent = fs::remove_dir_all(world.sandbox.path("lfs"));
    (got, errors, shown)
}

fn names(world: &World) -> Names {
    let port = world.hub.open_origin();
    let host = world.hub.open_origin_at("127.0.0.2").unwrap_or_else(|| world.hub.open_origin());
    Names { hub: world.hub.endpoint(), port, host }
}

#[test]
fn no_secret_leaves_in_any_of_these_ways() {
    assert!(CASES.len() > 40, "{}", CASES.len());
    let world = World::new();
    let names = names(&world);
    for secret in [NETRC, ADDRESS, HELPER, HEADER] {
        world.hub.add_token(secret, "owner", Right::Write);
    }
    let host = names.hub.trim_start_matches("http://").split(':').next().unwrap();
    fs::write(
        world.sandbox.path("netrc"),
        format!("machine {host} login o password {NETRC}\ndefault login o password {NETRC}\n"),
    )
    .unwrap();
    let before = snapshot(&world);
    for case in CASES {
        for holder in HOLDERS {
            world.reset();
            world.hub.set_access(ID, Access::Private);
            world.hub.serve_content_from(&names.hub);
            world.hub.sign(Signing::Query);
            world.events.lock().unwrap().clear();
            world.lines.lock().unwrap().clear();
            (case.prepare)(&world, &names);
            let settings = settings(&world, &names, holder, &(case.config)(&names));
            let (got, errors, shown) = do_everything(&world, settings, &(case.lfsconfig)(&names));
            let what = format!("{} with {holder:?}", case.name);
            check(&world, &names, (case.home)(&names), &what, &errors, &shown);
            let asks_elsewhere = (case.home)(&names) != names.hub || !(case.lfsconfig)(&names).is_empty();
            let sent_elsewhere = world.hub.requests().iter().any(|seen| seen.carries(ELSEWHERE));
            assert!(asks_elsewhere || !sent_elsewhere, "{what}: a server chose whose login is asked for");
            prove(&world, &names, &what, case.proof, got, &errors);
        }
    }
    assert_eq!(snapshot(&world), before, "nothing is written into the repository");
}

/// No secret at another origin, and none where a person could see it.
fn check(world: &World, names: &Names, home: &str, what: &str, errors: &[Error], shown: &str) {
    let secrets = [TOKEN, NETRC, ADDRESS, HELPER, HEADER];
    let seen = world.hub.requests();
    let is_hub = |seen: &&Seen| {
        seen.origin == names.hub
            && seen.header("Host").is_some_and(|host| names.hub.ends_with(&format!("/{host}")))
    };
    for seen in seen.iter().filter(|seen| !is_hub(seen)) {
        for secret in
            secrets.into_iter().filter(|secret| seen.origin != home || ![NETRC, HEADER].contains(secret))
        {
            assert!(!seen.carries(secret), "{what}: {secret} at {}: {seen:?}", seen.origin);
        }
    }
    // What an action gave goes to where it was given for, and nowhere after that.
    let mut of_action: Vec<_> =
        seen.iter().filter(|seen| seen.carries(ACTION)).map(|seen| &seen.origin).collect();
    of_action.dedup();
    assert!(of_action.len() <= 1, "{what}: {of_action:?}");
    for seen in &seen {
        let names = ["Cookie", "Referer", "Proxy-Authorization"];
        assert!(names.iter().all(|name| seen.header(name).is_none()), "{what}: {seen:?}");
        assert_ne!(seen.header("Host"), Some("evil.example"), "{what}");
        assert!(seen.header("X-Theirs").is_none(), "{what}");
    }
    let said = format!("{:?}{:?}{shown}", world.events.lock().unwrap(), world.lines.lock().unwrap());
    let errors: String = errors.iter().map(everything).collect();
    for secret in secrets.into_iter().chain([ACTION, "Signature="]) {
        assert!(!said.contains(secret), "{what}: {secret} is shown: {said}");
        assert!(!errors.contains(secret), "{what}: {secret} is in an error: {errors}");
    }
    let ran = ["pwned", "helper-ran"].into_iter().any(|name| {
        let places = [world.sandbox.path("."), world.repo.clone(), std::env::current_dir().unwrap()];
        places.iter().any(|dir| dir.join(name).exists())
    });
    assert!(!ran, "{what}");
}

/// The attack was one.
fn prove(world: &World, names: &Names, what: &str, proof: Proof, got: bool, errors: &[Error]) {
    let reached = world.hub.requests().iter().any(|seen| seen.origin != names.hub);
    match proof {
        Reached => assert!(reached, "{what}: {errors:#?}"),
        Refused => {
            let refused = |err: &Error| {
                matches!(
                    err,
                    Error::NotAllowed { .. }
                        | Error::Ssh { .. }
                        | Error::BadAnswer { .. }
                        | Error::CredentialField { .. }
                )
            };
            let is_refused = errors.iter().any(refused) || !got && !reached;
            assert!(is_refused, "{what}: {errors:#?}");
        }
        Ignored => assert!(!reached, "{what}: {errors:#?}"),
    }
}

/// Every file of the repository and of the person's configuration that git writes settings into.
fn snapshot(world: &World) -> Vec<(PathBuf, String)> {
    let config = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        // Changed by the test itself.
        let lines: Vec<_> = text.lines().filter(|line| !line.contains("helper =")).collect();
        (path, lines.join("\n"))
    };
    vec![config(world.repo.join(".git/config")), config(world.sandbox.path("gitconfig"))]
}
