//! The wire below: TLS, proxies, what a client says of itself, and servers that repeat what they were sent.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use git_st_convert::remote::{
    BadAnswer, Client, Config, Error, NotAllowed, Proxies, Ranged, Secret, Settings, Url,
};

use super::{ID, TOKEN, World, everything};

/// Is it the error that was expected?
type Is = fn(&Error) -> bool;

/// A server of a few lines: `answer` gives the bytes for a request's head, which is kept.
struct Raw {
    origin: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let head = head(&mut reader);
                kept.lock().unwrap().push(head.clone());
                let mut stream = reader.into_inner();
                let _client_left = stream.write_all(answer(&head).as_bytes());
            }
        });
        Self { origin, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn head(reader: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    let _body = reader.read_exact(&mut body);
    head
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}", body.len())
}

/// The value of a header in a head.
fn value<'h>(head: &'h str, name: &str) -> &'h str {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&name.to_ascii_lowercase()));
    line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
}

/// A client's settings for a server that is the hub.
fn at(origin: &str) -> Settings {
    let config = [("lfs.transfer.maxretries", "1"), ("lfs.transfer.maxretrydelay", "0")];
    let mut settings = Settings {
        config: Config::new(config),
        hub: Some(origin.to_owned()),
        timeout: Some(Duration::from_secs(2)),
        ..Settings::default()
    };
    settings.tokens.hf_token = Some(Secret::new(TOKEN));
    settings
}

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
            let client = Client::new(at(&server.origin), None).unwrap();
            let err = client.model(ID, None).unwrap_err();
            assert!(!everything(&err).contains("hf_"), "{status} {kind}: {}", everything(&err));
            client.model(ID, None).unwrap_err();
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
    let client = Client::new(at(&server.origin), None).unwrap();
    let err = client.model(ID, None).unwrap_err();
    assert!(everything(&err).len() < 3000 && everything(&err).contains("very long"));
    let server = Raw::start(|_| http("403 No", "Content-Type: text/html\r\n", "<html>sign in</html>"));
    let client = Client::new(at(&server.origin), None).unwrap();
    assert!(matches!(client.model(ID, None), Err(Error::Forbidden { said: None, .. })));
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
        let client = Client::new(at(&server.origin), None).unwrap();
        let err = client.model(ID, None).unwrap_err();
        assert!(is(&err), "{answer:?}: {}", everything(&err));
    }
    let endless = Raw::start(|_| format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)));
    let client = Client::new(at(&endless.origin), None).unwrap();
    assert!(matches!(client.model(ID, None), Err(Error::BadHttp { .. } | Error::Cut { .. })));
    let long = Raw::start(|_| http("200 OK", "", &"x".repeat(17 << 20)));
    let client = Client::new(at(&long.origin), None).unwrap();
    assert!(matches!(client.model(ID, None), Err(Error::BadAnswer { .. })));
}

#[test]
fn a_client_says_what_it_is_and_asks_for_plain_bytes() {
    let server = Raw::start(|_| http("200 OK", "", r#"{"id":"acme/bert"}"#));
    let client = Client::new(at(&server.origin), None).unwrap();
    client.model(ID, Some("refs/pr/1")).unwrap();
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
    let client = Client::new(at(&server.origin), None).unwrap();
    let url = Url::parse(&server.origin).unwrap();
    let err = Ranged::open(&client, &url).err().unwrap();
    assert!(matches!(err, Error::BadAnswer { source: BadAnswer::Encoded, .. }), "{err}");
}

/// A proxy that knows `CONNECT`, and writes down each line that it is told.
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
    let head = head(&mut reader);
    kept.lock().unwrap().push(head.clone());
    let mut client = reader.into_inner();
    if login.is_some_and(|login| value(&head, "proxy-authorization") != login) {
        client.write_all(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n").unwrap();
        return;
    }
    let to = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let Ok(mut server) = TcpStream::connect(to) else {
        client.write_all(b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n").unwrap();
        return;
    };
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ended = std::io::copy(&mut from, &mut to);
        let _closed = to.shutdown(std::net::Shutdown::Write);
    });
    let _ended = std::io::copy(&mut server, &mut client);
    let _closed = client.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_proxy_leads_to_the_server_and_gets_its_own_login_alone() {
    let world = World::new();
    // base64 of user:pw-of-the-proxy
    let proxy = proxy(Some("Basic dXNlcjpwdy1vZi10aGUtcHJveHk="));
    let with_login = proxy.origin.replace("http://", "http://user:pw-of-the-proxy@");
    let mut settings = world.with_token(&[]);
    settings.proxies = Proxies { http: Some(Secret::new(with_login.as_str())), ..Proxies::default() };
    assert_eq!(world.stream(settings.clone()).unwrap(), world.content);
    let heads = proxy.heads();
    assert!(
        !heads.is_empty() && heads.iter().all(|head| head.starts_with("CONNECT ") && !head.contains("hf_"))
    );
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

/// A server with TLS, and a certificate of its own: openssl's, where it is installed.
struct Tls {
    process: Child,
    origin: String,
    authority: std::path::PathBuf,
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

fn openssl(dir: &Path) -> Option<Tls> {
    #[expect(clippy::disallowed_methods, reason = "tests run the reference programs")]
    let command = |args: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(args).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    };
    // An authority, and a certificate that it signed: one that is both is refused by rustls.
    fs::write(dir.join("leaf.ext"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for step in [
        format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"),
        format!("req {key} -keyout key.pem -out leaf.csr -subj /CN=localhost"),
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days 2 -extfile leaf.ext".to_owned(),
    ] {
        let step: Vec<_> = step.split_whitespace().collect();
        command(&step).status().ok().filter(std::process::ExitStatus::success)?;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = port.to_string();
    let args = ["s_server", "-quiet", "-accept", &port, "-key", "key.pem", "-cert", "cert.pem", "-HTTP"];
    let process = command(&args).spawn().ok()?;
    for _ in 0..100 {
        if TcpStream::connect(format!("127.0.0.1:{port}")).is_ok() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    Some(Tls { process, origin: format!("https://localhost:{port}"), authority: dir.join("ca.pem") })
}

#[test]
fn a_certificate_is_checked_unless_a_person_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let Some(tls) = openssl(dir.path()) else {
        let _nobody_reads = std::io::stderr().write_all(b"skipped: openssl is not here: TLS was not tried\n");
        return;
    };
    // The answers of `-HTTP` are files.
    let model = dir.path().join("api/models/acme");
    fs::create_dir_all(&model).unwrap();
    fs::write(model.join("bert"), "HTTP/1.0 200 OK\r\n\r\n{\"id\":\"acme/bert\"}").unwrap();
    let ask = |config: &[(&str, &str)]| {
        let config: Vec<_> = config.iter().copied().chain([("lfs.transfer.maxretries", "0")]).collect();
        let settings = at(&tls.origin).with_config(Config::new(config));
        Client::new(settings, None).unwrap().model(ID, None)
    };
    let err = ask(&[]).unwrap_err();
    assert!(matches!(err, Error::Tls { .. }), "{}", everything(&err));
    let bundle = tls.authority.to_str().unwrap();
    assert_eq!(ask(&[("http.sslCAInfo", bundle)]).unwrap().id, ID);
    assert_eq!(ask(&[("http.sslVerify", "false")]).unwrap().id, ID);
    let scoped = format!("http.{}.sslVerify", tls.origin);
    assert_eq!(ask(&[(&scoped, "no")]).unwrap().id, ID);
    assert!(matches!(ask(&[("http.https://other.example.sslVerify", "no")]), Err(Error::Tls { .. })));
    assert!(matches!(ask(&[("http.sslCAInfo", "/nonexistent")]), Err(Error::CaInfo { .. })));
    let key = dir.path().join("key.pem");
    assert!(matches!(ask(&[("http.sslCAInfo", key.to_str().unwrap())]), Err(Error::CaInfo { .. })));
    // Clear text where TLS is spoken, and TLS where it is not.
    let clear = at(&tls.origin.replace("https:", "http:"));
    Client::new(clear, None).unwrap().model(ID, None).unwrap_err();
    let server = Raw::start(|_| http("200 OK", "", "{}"));
    let err = Client::new(at(&server.origin.replace("http:", "https:")), None)
        .unwrap()
        .model(ID, None)
        .unwrap_err();
    assert!(matches!(err, Error::Tls { .. } | Error::Cut { .. }), "{}", everything(&err));
    assert!(server.heads().iter().all(|head| !head.contains("hf_")));
}

#[test]
fn who_is_sent_from_http_to_https_is_followed_without_a_login() {
    let dir = tempfile::tempdir().unwrap();
    let Some(tls) = openssl(dir.path()) else {
        let _nobody_reads = std::io::stderr().write_all(b"skipped: openssl is not here: TLS was not tried\n");
        return;
    };
    fs::write(dir.path().join("model"), "HTTP/1.0 200 OK\r\n\r\n{\"id\":\"acme/bert\"}").unwrap();
    let location = format!("Location: {}/model\r\n", tls.origin);
    let clear = Raw::start(move |_| http("301 Moved", &location, ""));
    let bundle = tls.authority.to_str().unwrap();
    let settings = at(&clear.origin).with_config(Config::new([("http.sslCAInfo", bundle)]));
    assert_eq!(Client::new(settings, None).unwrap().model(ID, None).unwrap().id, ID);
}

#[test]
fn nobody_is_followed_from_https_to_http() {
    let dir = tempfile::tempdir().unwrap();
    let Some(tls) = openssl(dir.path()) else {
        let _nobody_reads = std::io::stderr().write_all(b"skipped: openssl is not here: TLS was not tried\n");
        return;
    };
    let clear = Raw::start(|_| http("200 OK", "", "{\"id\":\"acme/bert\"}"));
    let model = dir.path().join("api/models/acme");
    fs::create_dir_all(&model).unwrap();
    let location = format!("HTTP/1.0 302 Found\r\nLocation: {}/x\r\n\r\n", clear.origin);
    fs::write(model.join("bert"), location).unwrap();
    let bundle = tls.authority.to_str().unwrap();
    let settings = at(&tls.origin).with_config(Config::new([("http.sslCAInfo", bundle)]));
    let err = Client::new(settings, None).unwrap().model(ID, None).unwrap_err();
    let Error::NotAllowed { source: NotAllowed::Downgrade, .. } = err else { panic!("{err}") };
    assert!(clear.heads().is_empty());
}

#[test]
fn a_token_that_has_expired_is_called_so() {
    // In the words of the Hub.
    let said = "X-Error-Message: User Access Token \"ci\" is expired\r\n";
    let server = Raw::start(move |_| http("401 Unauthorized", said, ""));
    let client = Client::new(at(&server.origin), None).unwrap();
    let err = client.model(ID, None).unwrap_err();
    assert!(matches!(err, Error::TokenExpired { .. }), "{err}");
    assert_eq!(err.to_string(), "the token from HF_TOKEN has expired");
}
