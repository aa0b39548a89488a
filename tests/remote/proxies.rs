//! Tests a plain http server behind a real proxy: tinyproxy, which allows `CONNECT` only for port 443.
#![expect(clippy::disallowed_methods, reason = "tests run the reference programs")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use git_st_convert::remote::{Error, Proxies, Secret};

use super::{TOKEN, World, bytes, everything};

struct Tinyproxy {
    process: Child,
    address: String,
    dir: tempfile::TempDir,
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

impl Tinyproxy {
    /// Starts a proxy that requires a login.
    fn start() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = dir.path().join("tinyproxy.conf");
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nConnectPort 443\nLogLevel Connect\nLogFile \"{}\"\n\
             BasicAuth user pw-of-the-proxy\n",
            dir.path().join("log").display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(&config).stdin(Stdio::null());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(process) = process else {
            crate::clone::skipped("tinyproxy is not here: no server was asked through it");
            return None;
        };
        let proxy = Self { process, address: format!("127.0.0.1:{port}"), dir };
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(proxy);
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("tinyproxy does not listen");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

#[test]
fn a_server_of_plain_http_is_asked_by_its_whole_address() {
    let Some(proxy) = Tinyproxy::start() else { return };
    let world = World::with_content(bytes(20 << 20));
    let address = format!("http://user:pw-of-the-proxy@{}", proxy.address);
    let mut settings = world.settings(&[]);
    settings.proxies = Proxies { http: Some(Secret::new(address.as_str())), ..Proxies::default() };
    assert!(world.stream(settings).unwrap() == world.content);
    assert!(!proxy.log().contains("): CONNECT "), "{}", proxy.log());
    assert!(proxy.log().contains("GET http://127.0.0.1:"), "{}", proxy.log());
    // The server gets neither the proxy's login nor the internal header.
    let seen = world.hub.requests();
    let names = || seen.iter().flat_map(|seen| &seen.headers.0).map(|(name, _)| name.to_ascii_lowercase());
    assert!(names().all(|name| !name.starts_with("st-convert") && name != "proxy-authorization"));
    assert!(seen.iter().all(|seen| !seen.carries("pw-of-the-proxy")));
    // The proxy reads everything, so it must not get the token, although the server is on this machine.
    world.hub.forget_requests();
    assert!(world.stream(world.with_token(&[("http.proxy", &address)])).unwrap() == world.content);
    assert!(world.hub.requests().iter().all(|seen| !seen.carries(TOKEN)));
}

#[test]
fn a_proxy_that_wants_to_know_who_asks_is_said() {
    let Some(proxy) = Tinyproxy::start() else { return };
    let world = World::new();
    // The proxy responds to a wrong login by 401, as if it were the server.
    for (login, is_it) in [("", true), ("user:pw-of-others@", false)] {
        let address = format!("http://{login}{}", proxy.address);
        let settings = world.settings(&[("http.proxy", address.as_str()), ("lfs.transfer.maxretries", "0")]);
        let err = world.stream(settings).unwrap_err();
        assert!(matches!(err, Error::Proxy { .. }) || !is_it, "{}", everything(&err));
        assert!(!everything(&err).contains("pw-of"), "{}", everything(&err));
    }
    assert!(world.hub.requests().is_empty());
}
