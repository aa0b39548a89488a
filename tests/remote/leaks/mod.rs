//! Tests that no secret leaks.
//!
//! Every case of `attacks` is a possible way: a redirect, a URL, a `.lfsconfig`, a response. Each is tried with a
//! secret in each place: the environment, a netrc file, the remote's URL, a credential helper, a header of the
//! configuration, and all at once. The test runs everything that a client can do, and then searches everything that any
//! server or user could see for the secrets.

mod attacks;

use std::fs;
use std::path::PathBuf;

use git_st_convert::hash::Oid;
use git_st_convert::lfs::Pointer;
use git_st_convert::remote::{Error, Object, Ranged, Secret, Settings};

use super::{ID, TOKEN, World, everything, model_id, stream};
use crate::hub::{Access, Right, Seen, Signing};

const NETRC: &str = "pw-in-the-netrc-file";
const ADDRESS: &str = "pw-in-the-address";
const HELPER: &str = "pw-of-the-helper";
const HEADER: &str = "pw-in-a-header";
/// The header that names no server: only the user's own remote may get it.
const UNSCOPED: &str = "pw-in-an-unscoped-header";
/// The password of the helper for every other host.
const ELSEWHERE: &str = "pw-of-another-host";
/// The secret that a server gives for the object storage.
const ACTION: &str = "pw-of-the-action";

/// The place of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Token,
    Netrc,
    Address,
    Helper,
    Header,
    Unscoped,
    All,
}

const HOLDERS: [Holder; 7] = [
    Holder::Token,
    Holder::Netrc,
    Holder::Address,
    Holder::Helper,
    Holder::Header,
    Holder::Unscoped,
    Holder::All,
];

/// The hub, and other origins with the same responses.
struct Names {
    hub: String,
    /// The same host at another port.
    port: String,
    /// Another host, if this machine has one.
    host: String,
}

type Pairs = Vec<(String, String)>;

/// The effect that an attack must have, so that the test is meaningful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// A server other than the hub got a request.
    Reached,
    /// The same, if the hub permits an upload.
    ReachedBySending,
    /// The program refused it before that.
    Refused,
    /// The attack had no effect: the object came from the hub.
    Ignored,
}

use Proof::{Ignored, Reached, ReachedBySending, Refused};

use attacks::{CASES, one};

struct Case {
    name: &'static str,
    proof: Proof,
    config: fn(&Names) -> Pairs,
    lfsconfig: fn(&Names) -> Pairs,
    prepare: fn(&World, &Names),
    /// The origin of the user's own remote, which may get its secrets although it is not the hub.
    home: fn(&Names) -> &str,
}

fn hub(names: &Names) -> &str {
    &names.hub
}

fn has(holder: Holder, one: Holder) -> bool {
    holder == one || holder == Holder::All
}

/// Returns the settings of a user with a secret in this place.
fn settings(world: &World, names: &Names, holder: Holder, config: &Pairs) -> Settings {
    let has = |one: Holder| has(holder, one);
    let mut pairs = Pairs::new();
    if has(Holder::Address) {
        pairs.extend(one(
            "remote.origin.url",
            world.hub.url(ID).replace("http://", &format!("http://o:{ADDRESS}@")),
        ));
    }
    if has(Holder::Unscoped) {
        pairs.extend(one("http.extraHeader", format!("X-Secret: {UNSCOPED}")));
    }
    // With a header for the hub, the general one is not sent to it, so a test of both would be weaker.
    if holder == Holder::Header {
        let key = format!("http.{}.extraHeader", names.hub);
        pairs.extend(one(&key, format!("Authorization: Bearer {HEADER}")));
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
    settings
}

/// Returns a helper that knows the password of the hub, in a file, and another one for every other host.
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

/// Returns an object that the hub does not have, with its path.
fn sent(world: &World) -> (PathBuf, Pointer) {
    let content = super::bytes(201);
    let file = world.sandbox.path("sent");
    fs::write(&file, &content).unwrap();
    (file, Pointer { oid: Oid::of(&content), size: 201 })
}

/// Does everything that a client can do. Returns the errors.
fn do_everything(world: &World, settings: Settings, lfsconfig: &Pairs) -> (bool, Vec<Error>, String) {
    let mut errors = Vec::new();
    let mut got = false;
    let lfsconfig: Vec<_> = lfsconfig.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut shown = format!("{settings:?}");
    let result = world.ask(settings, &lfsconfig, |server, hub| {
        let endpoint = server.endpoint();
        shown = format!("{shown} {endpoint:?} {endpoint} {:?} {:?}", endpoint.moved(), hub.url());
        let object = Object::new(server, world.pointer);
        match stream(&object) {
            Ok(bytes) => got = bytes == world.content,
            Err(err) => errors.push(err),
        }
        errors.extend(object.ranged().err());
        errors.extend(hub.model(&model_id(), None).err());
        errors.extend(hub.pull_requests(&model_id()).err());
        let (file, pointer) = sent(world);
        match server.plan_upload(&[pointer]).map(|mut plans| plans.pop().unwrap()) {
            Ok(Ok(plan)) => {
                errors.extend(server.upload(pointer, plan, &file, &|_| {}).err());
            }
            Ok(Err(err)) | Err(err) => errors.push(err),
        }
        errors.extend(hub.account().err());
        errors.extend(hub.check_access(&model_id()).err());
        errors.extend(hub.discussion(&model_id(), 1).err());
        // The title is too short, so that no pull request is opened.
        errors.extend(hub.create_pull_request(&model_id(), "x", "").err());
        errors.extend(hub.open_pull_request(&model_id(), 1).err());
        let url = hub.resolve_url(&model_id(), "main", "pytorch_model.bin");
        errors.extend(Ranged::open(hub.auth(), &url).err());
    });
    errors.extend(result.err());
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
    for secret in [NETRC, ADDRESS, HELPER, HEADER, UNSCOPED] {
        world.hub.add_token(secret, "owner", Right::Write);
    }
    let host = names.hub.trim_start_matches("http://").split(':').next().unwrap();
    fs::write(
        world.sandbox.path("netrc"),
        format!("machine {host} login o password {NETRC}\ndefault login o password {NETRC}\n"),
    )
    .unwrap();
    let before = snapshot(&world);
    for holder in HOLDERS {
        let helper = if has(holder, Holder::Helper) { helper(&world, &names) } else { String::new() };
        world.sandbox.git(&world.repo, &["config", "--replace-all", "credential.helper", ""]);
        world.sandbox.git(&world.repo, &["config", "--add", "credential.helper", &helper]);
        for case in CASES {
            world.reset();
            // That header is not a login, so the model must be public.
            let is_public = holder == Holder::Unscoped;
            world.hub.set_access(ID, if is_public { Access::Public } else { Access::Private });
            world.hub.serve_content_from(&names.hub);
            world.hub.sign(Signing::Query);
            world.hub.take_parts(None);
            // An earlier case may have uploaded it.
            let _was_not_sent = fs::remove_file(world.hub.object(ID, &sent(&world).1.oid.to_string()));
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
            // Without a login, an upload is not permitted.
            if case.proof != ReachedBySending || holder != Holder::Unscoped {
                prove(&world, &names, &what, case.proof, got, &errors);
            }
        }
    }
    assert_eq!(snapshot(&world), before, "nothing is written into the repository");
}

/// Checks that no secret reached another origin or the user's terminal.
fn check(world: &World, names: &Names, home: &str, what: &str, errors: &[Error], shown: &str) {
    let secrets = [TOKEN, NETRC, ADDRESS, HELPER, HEADER, UNSCOPED];
    let seen = world.hub.requests();
    let is_hub = |seen: &&Seen| {
        seen.origin == names.hub
            && seen.header("Host").is_some_and(|host| names.hub.ends_with(&format!("/{host}")))
    };
    for seen in seen.iter().filter(|seen| !is_hub(seen)) {
        for secret in
            secrets.into_iter().filter(|secret| seen.origin != home || ![NETRC, UNSCOPED].contains(secret))
        {
            assert!(!seen.carries(secret), "{what}: {secret} at {}: {seen:?}", seen.origin);
        }
    }
    for seen in seen.iter().filter(|seen| seen.origin != home) {
        assert!(!seen.carries(UNSCOPED), "{what}: {UNSCOPED} at {}: {seen:?}", seen.origin);
    }
    // The secret of an action goes only to the origin of its URL, and not further.
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

/// Checks that the attack had its effect.
fn prove(world: &World, names: &Names, what: &str, proof: Proof, got: bool, errors: &[Error]) {
    let reached = world.hub.requests().iter().any(|seen| seen.origin != names.hub);
    match proof {
        Reached | ReachedBySending => assert!(reached, "{what}: {errors:#?}"),
        Refused => {
            let refused = |err: &Error| {
                matches!(
                    err,
                    Error::NotAllowed { .. }
                        | Error::Ssh { .. }
                        | Error::BadAnswer { .. }
                        | Error::Git(git_st_convert::git::Error::UnsafeCredential { .. })
                )
            };
            let is_refused = errors.iter().any(refused) || !got && !reached;
            assert!(is_refused, "{what}: {errors:#?}");
        }
        Ignored => assert!(!reached, "{what}: {errors:#?}"),
    }
}

/// Returns every file of the repository's and the user's configuration that git writes.
fn snapshot(world: &World) -> Vec<(PathBuf, String)> {
    let config = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        // The test itself changes these lines.
        let lines: Vec<_> = text.lines().filter(|line| !line.contains("helper =")).collect();
        (path, lines.join("\n"))
    };
    vec![config(world.repo.join(".git/config")), config(world.sandbox.path("gitconfig"))]
}
