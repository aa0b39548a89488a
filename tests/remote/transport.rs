//! Tests the transport: proxies, the headers of a client, and servers that respond badly or repeat the request.

use std::io::{BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use git_st_convert::remote::{BadAnswer, Error, Proxies, ProxyFault, Ranged, Secret, Url};

use super::raw::{Raw, at, head_and_body, http, value};
use super::{TOKEN, World, everything, hub_of, model_id};

/// Returns `true` for the expected error.
type Is = fn(&Error) -> bool;

#[test]
fn a_secret_that_a_server_repeats_is_not_shown() {
    for status in ["400 Bad", "401 No", "403 No", "404 No", "422 No", "500 Oh", "200 Fine"] {
        for kind in ["application/json", "text/plain", "text/html", ""] {
            let server = Raw::start(move |head| {
                let sent = value(head, "authorization");
                let body = if kind == "application/json" {
                    format!("{{\"error\": \"you sent {sent}\", \"message\": \"you sent {sent}\"}}")
                } else {
                    format!("you sent {sent}")
                };
                let headers = format!(
                    "X-Error-Message: you sent {sent}\r\nContent-Type: {kind}\r\nSet-Cookie: a={sent}\r\n"
                );
                http(status, if kind.is_empty() { "" } else { &headers }, &body)
            });
            let hub = hub_of(at(&server.origin));
            let err = hub.model(&model_id(), None).unwrap_err();
            assert!(!everything(&err).contains("hf_"), "{status} {kind}: {}", everything(&err));
            hub.model(&model_id(), None).unwrap_err();
            let heads = server.heads();
            assert!(
                heads
                    .iter()
                    .all(|head| head.contains(TOKEN) && !head.to_ascii_lowercase().contains("cookie"))
            );
        }
    }
}

#[test]
fn what_a_server_says_is_cut_and_a_page_is_not_shown() {
    let long = "very long ".repeat(1000);
    let server = Raw::start(move |_| http("403 No", &format!("X-Error-Message: {long}\r\n"), ""));
    let hub = hub_of(at(&server.origin));
    let err = hub.model(&model_id(), None).unwrap_err();
    assert!(everything(&err).len() < 3000 && everything(&err).contains("very long"));
    let server = Raw::start(|_| http("403 No", "Content-Type: text/html\r\n", "<html>sign in</html>"));
    let hub = hub_of(at(&server.origin));
    assert!(matches!(hub.model(&model_id(), None), Err(Error::Forbidden { said: None, .. })));
}

#[test]
fn an_answer_that_is_none_or_too_long_is_an_error() {
    let cases: [(&str, Is); 7] = [
        ("SSH-2.0-OpenSSH\r\n", |e| matches!(e, Error::BadHttp { .. } | Error::Cut { .. })),
        ("", |e| matches!(e, Error::Cut { .. })),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", |e| matches!(e, Error::Cut { .. })),
        ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", |e| matches!(e, Error::BadAnswer { .. })),
        ("HTTP/1.1 302 Found\r\nLocation: \x01\r\nContent-Length: 0\r\n\r\n", |_| true),
        ("HTTP/1.1 204 No Content\r\n\r\n", |e| matches!(e, Error::Status { status: 204, .. })),
        ("HTTP/1.1 101 Switching\r\n\r\n", |_| true),
    ];
    for (answer, is) in cases {
        let server = Raw::start(|_| answer.to_owned());
        let hub = hub_of(at(&server.origin));
        let err = hub.model(&model_id(), None).unwrap_err();
        assert!(is(&err), "{answer:?}: {}", everything(&err));
    }
    let endless = Raw::start(|_| format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)));
    let hub = hub_of(at(&endless.origin));
    assert!(matches!(hub.model(&model_id(), None), Err(Error::BadHttp { .. } | Error::Cut { .. })));
    let long = Raw::start(|_| http("200 OK", "", &"x".repeat(17 << 20)));
    let hub = hub_of(at(&long.origin));
    assert!(matches!(hub.model(&model_id(), None), Err(Error::BadAnswer { .. })));
}

#[test]
fn a_client_says_what_it_is_and_asks_for_plain_bytes() {
    let server = Raw::start(|_| http("200 OK", "", r#"{"id":"acme/bert"}"#));
    let hub = hub_of(at(&server.origin));
    hub.model(&model_id(), Some("refs/pr/1")).unwrap();
    let heads = server.heads();
    assert!(
        heads[0].starts_with("GET /api/models/acme/bert/revision/refs%2Fpr%2F1 HTTP/1.1\r\n"),
        "{}",
        heads[0]
    );
    assert!(value(&heads[0], "user-agent").starts_with("git-st-convert/"));
    assert_eq!(value(&heads[0], "accept-encoding"), "identity");
}

#[test]
fn a_file_that_comes_compressed_is_not_taken_for_plain() {
    let server =
        Raw::start(|_| http("206 Partial", "Content-Range: bytes 0-0/1\r\nContent-Encoding: gzip\r\n", "x"));
    let hub = hub_of(at(&server.origin));
    let url = Url::parse(&server.origin).unwrap();
    let err = Ranged::open(hub.auth(), &url).err().unwrap();
    assert!(matches!(err, Error::BadAnswer { source: BadAnswer::Encoded, .. }), "{err}");
}

/// Starts a proxy that forwards plain http, supports `CONNECT`, and logs each head.
fn proxy(login: Option<&'static str>) -> Raw {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            thread::spawn(move || tunnel(stream, login, &kept));
        }
    });
    Raw { origin, heads }
}

fn tunnel(stream: TcpStream, login: Option<&str>, kept: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let (head, body) = head_and_body(&mut reader);
    kept.lock().unwrap().push(head.clone());
    let mut client = reader.into_inner();
    if login.is_some_and(|login| value(&head, "proxy-authorization") != login) {
        client.write_all(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        return;
    }
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (to, path) = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash)),
        None => (target.as_str(), ""),
    };
    let Ok(mut server) = TcpStream::connect(to) else {
        client.write_all(b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        return;
    };
    if path.is_empty() {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ended = std::io::copy(&mut from, &mut to);
            let _closed = to.shutdown(std::net::Shutdown::Write);
        });
    } else {
        let lines = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("proxy-"));
        let lines: Vec<_> = lines.collect();
        let text = lines.join("\r\n").replacen(&target, path, 1);
        server.write_all(format!("{text}\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        server.write_all(&body).unwrap();
    }
    let _ended = std::io::copy(&mut server, &mut client);
    let _closed = client.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_proxy_leads_to_the_server_and_gets_its_own_login_alone() {
    let world = World::new();
    // This is base64 of user:pw-of-the-proxy.
    let proxy = proxy(Some("Basic dXNlcjpwdy1vZi10aGUtcHJveHk="));
    let with_login = proxy.origin.replace("http://", "http://user:pw-of-the-proxy@");
    let mut settings = world.with_token(&[]);
    settings.proxies = Proxies { http: Some(Secret::new(with_login.as_str())), ..Proxies::default() };
    assert_eq!(world.stream(settings.clone()).unwrap(), world.content);
    let heads = proxy.heads();
    let is_whole = |head: &String| head.split(' ').nth(1).is_some_and(|target| target.starts_with("http://"));
    assert!(!heads.is_empty() && heads.iter().all(|head| is_whole(head) && !head.contains("hf_")));
    assert!(heads.iter().all(|head| !head.contains("st-convert-target")));
    assert!(world.hub.requests().iter().all(|seen| !seen.carries("pw-of-the-proxy")));
    let connected = heads.len();
    settings.proxies.none = Some("127.0.0.1".to_owned());
    assert_eq!(world.stream(settings).unwrap(), world.content);
    assert_eq!(proxy.heads().len(), connected, "no_proxy");
    let config = [("http.proxy", with_login.as_str())];
    assert_eq!(world.stream(world.settings(&config)).unwrap(), world.content);
    assert!(proxy.heads().len() > connected, "http.proxy");
}

#[test]
fn a_proxy_that_does_not_lead_there_is_said_without_its_login() {
    let world = World::new();
    let refusing = proxy(Some("Basic other"));
    let config = [("http.proxy", refusing.origin.replace("http://", "http://user:pw-of-the-proxy@"))];
    let of = |proxy: &str| world.stream(world.settings(&[("http.proxy", proxy)])).unwrap_err();
    let err = of(&config[0].1);
    assert!(matches!(err, Error::Proxy { .. }), "{}", everything(&err));
    assert!(!everything(&err).contains("pw-of"), "{}", everything(&err));
    assert_eq!(refusing.heads().len(), 1, "it would be refused again");
    // For TLS it is asked by `CONNECT`.
    let mut settings = at("https://127.0.0.1:1");
    settings.proxies = Proxies { https: Some(Secret::new(config[0].1.as_str())), ..Proxies::default() };
    let err = hub_of(settings).model(&model_id(), None).unwrap_err();
    assert!(
        matches!(err, Error::Proxy { source: ProxyFault::Status(407), .. })
            && !everything(&err).contains("pw-of"),
        "{}",
        everything(&err)
    );
    assert_eq!(refusing.heads().len(), 2, "it would be refused again");
    // A proxy that cannot connect now may do so later.
    let open = proxy(None);
    let mut settings = at("https://127.0.0.1:1");
    settings.proxies = Proxies { https: Some(Secret::new(open.origin.as_str())), ..Proxies::default() };
    let err = hub_of(settings).model(&model_id(), None).unwrap_err();
    assert!(matches!(err, Error::Proxy { source: ProxyFault::Status(502), .. }), "{}", everything(&err));
    assert_eq!(open.heads().len(), 2);
    let err = of("http://user:pw-of-the-proxy@127.0.0.1:1");
    assert!(
        matches!(err, Error::Proxy { .. }) && !everything(&err).contains("pw-of"),
        "{}",
        everything(&err)
    );
    let err = of("http://user:pw-of-the-proxy@nobody.invalid:1");
    assert!(
        matches!(err, Error::Proxy { .. }) && !everything(&err).contains("pw-of"),
        "{}",
        everything(&err)
    );
    let err = of("ftp://user:pw-of-the-proxy@h");
    assert!(
        matches!(err, Error::ProxyAddress { .. }) && !everything(&err).contains("pw-of"),
        "{}",
        everything(&err)
    );
}

#[test]
fn a_token_that_has_expired_is_called_so() {
    // This is the Hub's message.
    let said = "X-Error-Message: User Access Token \"ci\" is expired\r\n";
    let server = Raw::start(move |_| http("401 Unauthorized", said, ""));
    let hub = hub_of(at(&server.origin));
    let err = hub.model(&model_id(), None).unwrap_err();
    assert!(matches!(err, Error::TokenExpired { .. }), "{err}");
    assert_eq!(err.to_string(), "the token from HF_TOKEN has expired");
}
