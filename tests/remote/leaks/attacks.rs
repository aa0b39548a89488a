//! Lists the attacks: by the responses of a server, and by the files of a repository.

use super::Proof::{Ignored, Reached, ReachedBySending, Refused};
use super::{ACTION, Case, HEADER, Names, Pairs, Proof, hub};
use crate::hub::{Fault, Place, Signing, To};
use crate::remote::{ID, World};

fn none(_: &Names) -> Pairs {
    Vec::new()
}

fn nothing(_: &World, _: &Names) {}

/// An attack by the hub's responses.
const fn answer(name: &'static str, proof: Proof, prepare: fn(&World, &Names)) -> Case {
    Case { name, proof, config: none, lfsconfig: none, prepare, home: hub }
}

/// An attack by the repository's `.lfsconfig`.
const fn theirs(name: &'static str, proof: Proof, lfsconfig: fn(&Names) -> Pairs) -> Case {
    Case { name, proof, config: none, lfsconfig, prepare: nothing, home: hub }
}

pub(super) fn one(key: &str, value: impl Into<String>) -> Pairs {
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

fn upload(world: &World) -> Place {
    Place::Upload(super::sent(world).1.oid.to_string())
}

/// Changes the action of the object in a batch.
fn action(world: &World, change: fn(&mut serde_json::Value)) {
    world.hub.inject(Fault::Json(change).at(Place::batch(ID)));
}

/// Sets a part of the object's entry, for uploads as for downloads, if the response contains it and is not a refusal.
fn set(answer: &mut serde_json::Value, pointer: &str, value: impl Into<serde_json::Value>) {
    let value = value.into();
    let Some(entry) = answer.pointer_mut("/objects/0") else { return };
    for deed in ["download", "upload"] {
        let pointer = pointer.replace("download", deed);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        if let Some(parent) = entry.pointer_mut(parent).filter(|parent| parent.is_object()) {
            parent[name] = value.clone();
        }
    }
}

fn lines(answer: &mut serde_json::Value, lines: serde_json::Value) {
    set(answer, "/actions/download/header", lines);
}

fn signed_action(answer: &mut serde_json::Value) {
    lines(answer, serde_json::json!({"X-Action": ACTION, "Authorization": format!("RemoteAuth {ACTION}")}));
}

fn href(answer: &mut serde_json::Value, href: &str) {
    set(answer, "/actions/download/href", href);
}

const API: &str = "/api/models/acme/bert";
const RESOLVE: &str = "/acme/bert/resolve";
const BATCH: &str = "acme/bert.git/info/lfs/objects/batch";

pub(super) const CASES: &[Case] = &[
    // Redirects of the batch, which contains the login.
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
    // Redirects of the content, which contains the headers of an action.
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
    // Redirects of the Hub's own API.
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
    // URLs of actions for downloads.
    answer("action at another port", Reached, |w, n| w.hub.serve_content_from(&n.port)),
    answer("action at another host", Reached, |w, n| w.hub.serve_content_from(&n.host)),
    answer("action at another port that wants a login", Reached, |w, n| {
        w.hub.serve_content_from(&n.port);
        action(w, |v| set(v, "/authenticated", false));
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
    // Uploads, and the URLs of actions for them.
    answer("upload 307 to another port with an action's lines", ReachedBySending, |w, n| {
        w.hub.sign(Signing::Header);
        action(w, signed_action);
        redirect(w, upload(w), 307, To::Origin(n.port.clone()));
    }),
    answer("upload 302 to another host that wants a login", ReachedBySending, |w, n| {
        action(w, |v| set(v, "/authenticated", false));
        redirect(w, upload(w), 302, To::Origin(n.host.clone()));
        w.hub.inject(Fault::Status(401).at(upload(w)));
    }),
    answer("upload away and back", ReachedBySending, |w, n| {
        action(w, signed_action);
        redirect(w, upload(w), 307, To::Origin(n.port.clone()));
        redirect(w, upload(w), 307, To::Origin(n.hub.clone()));
    }),
    answer("upload in parts elsewhere", ReachedBySending, |w, n| {
        w.hub.take_parts(Some(64));
        w.hub.serve_content_from(&n.host);
    }),
    answer("a part with a login", Refused, |w, _| {
        w.hub.take_parts(Some(64));
        action(w, |v| {
            let part = "/objects/0/actions/upload/header/00002";
            if let Some(part) = v.pointer_mut(part) {
                *part = "http://owner:x@127.0.0.1:1/".into();
            }
        });
        w.hub.inject(Fault::Status(404).at(content(w)));
    }),
    answer("verify 307 to another port", ReachedBySending, |w, n| {
        redirect(w, Place::path("/verify"), 307, To::Origin(n.port.clone()));
        w.hub.serve_content_from(&n.port);
    }),
    answer("all parts 308 to another host", ReachedBySending, |w, n| {
        w.hub.take_parts(Some(64));
        redirect(w, Place::path("/complete"), 308, To::Origin(n.host.clone()));
        w.hub.serve_content_from(&n.host);
    }),
    // A pull request, whose requests contain the token and a body.
    answer("whoami 302 to another port", Reached, |w, n| {
        redirect(w, Place::path("/api/whoami-v2"), 302, To::Origin(n.port.clone()));
    }),
    answer("a new pull request 307 to another host", Reached, |w, n| {
        redirect(w, Place::post(&format!("{API}/discussions")), 307, To::Origin(n.host.clone()));
    }),
    answer("a status 308 to another port", Reached, |w, n| {
        redirect(w, Place::post(&format!("{API}/discussions/1/status")), 308, To::Origin(n.port.clone()));
    }),
    // A server that repeats the request in its response.
    answer("batch refused with words", Ignored, |w, _| {
        w.hub.inject(Fault::Status(403).at(Place::batch(ID)).times(1));
    }),
    answer("object refused with words", Ignored, |w, _| {
        w.hub.inject(Fault::ObjectError(422).at(Place::object(&w.oid())).times(1));
    }),
    // The files of a repository.
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
    // Settings that a user makes for one server and not for others.
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
