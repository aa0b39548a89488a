//! Tests certificates: which servers of openssl and nginx are trusted, and which servers see the user's certificate.
#![expect(clippy::disallowed_methods, reason = "tests run the reference programs")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use git_st_convert::remote::{Config, Error, Object, Settings};

use super::raw::at;
use super::{ID, World, everything, hub_of, model_id, stream};

/// A program that listens.
struct Listening {
    process: Child,
    port: u16,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

impl Listening {
    fn origin(&self, host: &str) -> String {
        format!("https://{host}:{}", self.port)
    }

    fn start(dir: &Path, program: &str, args: impl FnOnce(u16) -> Vec<String>) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command.args(args(port)).current_dir(dir).stdin(Stdio::null());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let listening = Self { process, port };
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(listening);
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{program} does not listen");
    }

    /// Starts openssl's server with a certificate and its key; it serves files.
    fn openssl(dir: &Path, name: &str) -> Option<Self> {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        let model = dir.join("api/models/acme");
        fs::create_dir_all(&model).unwrap();
        fs::write(model.join("bert"), format!("HTTP/1.0 200 OK\r\n\r\n{{\"id\":\"{ID}\"}}")).unwrap();
        Self::start(dir, "openssl", |port| {
            let args =
                ["s_server", "-quiet", "-accept", &port.to_string(), "-key", &key, "-cert", &certificate];
            args.iter().chain(&["-HTTP"]).map(|arg| (*arg).to_owned()).collect()
        })
    }
}

/// Runs openssl. Returns `false` without openssl.
fn openssl(dir: &Path, line: &str) -> bool {
    let mut command = Command::new("openssl");
    command.args(line.split_whitespace()).current_dir(dir).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/// Creates a self-signed certificate, `NAME.pem` with `NAME.key`.
fn own(dir: &Path, name: &str, host: &str) -> bool {
    let subject = format!("-subj /CN={host} -addext subjectAltName=DNS:{host}");
    openssl(dir, &format!("req -x509 {KEY} -keyout {name}.key -out {name}.pem -days 2 {subject}"))
}

/// Creates a certificate that the authority `ca` signed.
fn signed(dir: &Path, name: &str, subject: &str) -> bool {
    fs::write(dir.join("ext"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(dir, &format!("req {KEY} -keyout {name}.key -out {name}.csr -subj /CN={subject}"))
        && openssl(
            dir,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile ext"
            ),
        )
}

fn skipped(what: &str) {
    crate::clone::skipped(&format!("{what} is not here: certificates were not tried with it"));
}

fn ask(origin: &str, settings: Settings, config: &[(&str, &str)]) -> Result<String, Error> {
    let config: Vec<_> = config.iter().copied().chain([("lfs.transfer.maxretries", "0")]).collect();
    let settings = Settings { hub: Some(origin.to_owned()), ..settings.with_config(Config::new(config)) };
    hub_of(settings).model(&model_id(), None).map(|model| model.id)
}

#[track_caller]
fn refused(answer: Result<String, Error>) {
    let err = answer.unwrap_err();
    assert!(matches!(err, Error::Tls { .. }), "{}", everything(&err));
}

#[test]
fn a_certificate_that_is_its_own_authority_is_trusted_by_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    if !own(dir, "own", "localhost") {
        skipped("openssl");
        return;
    }
    // One has the same name, the other another name.
    assert!(own(dir, "like", "localhost") && own(dir, "other", "other.example"));
    // This one is expired.
    fs::write(dir.join("ext"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:TRUE\n").unwrap();
    assert!(openssl(dir, &format!("req {KEY} -keyout old.key -out old.csr -subj /CN=localhost")));
    assert!(openssl(dir, "x509 -req -in old.csr -signkey old.key -days -1 -out old.pem -extfile ext"));
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let bundle = |name: &str| path(&format!("{name}.pem"));
    let server = Listening::openssl(dir, "own").unwrap();
    let (here, numbered) = (server.origin("localhost"), server.origin("127.0.0.1"));
    let with = |origin: &str, name: &str| ask(origin, at(origin), &[("http.sslCAInfo", &bundle(name))]);
    assert_eq!(with(&here, "own").unwrap(), ID);
    refused(with(&here, "like"));
    refused(with(&numbered, "own"));
    let all = [fs::read(bundle("like")).unwrap(), fs::read(bundle("own")).unwrap()].concat();
    fs::write(bundle("all"), all).unwrap();
    assert_eq!(with(&here, "all").unwrap(), ID);
    let by_environment = Settings { ca_info: Some(bundle("own").into()), ..at(&here) };
    assert_eq!(ask(&here, by_environment, &[]).unwrap(), ID);
    drop(server);
    for name in ["old", "other"] {
        let server = Listening::openssl(dir, name).unwrap();
        refused(with(&server.origin("localhost"), name));
    }
}

#[test]
fn a_directory_of_certificates_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    if !own(dir, "ca", "authority") || !signed(dir, "leaf", "localhost") || !own(dir, "own", "localhost") {
        skipped("openssl");
        return;
    }
    for (number, name) in ["leaf", "own"].into_iter().enumerate() {
        let path = dir.join(format!("dir{number}"));
        fs::create_dir(&path).unwrap();
        let authority = if name == "leaf" { "ca.pem" } else { "own.pem" };
        fs::copy(dir.join(authority), path.join("0123abcd.0")).unwrap();
        fs::write(path.join("README"), "no certificate").unwrap();
        fs::create_dir(path.join("more")).unwrap();
        let server = Listening::openssl(dir, name).unwrap();
        let (origin, path) = (server.origin("localhost"), path.to_str().unwrap().to_owned());
        refused(ask(&origin, at(&origin), &[]));
        assert_eq!(ask(&origin, at(&origin), &[("http.sslCAPath", &path)]).unwrap(), ID);
        let settings = Settings { ca_path: Some(path.clone().into()), ..at(&origin) };
        assert_eq!(ask(&origin, settings, &[]).unwrap(), ID);
        // Both a directory and a file are set.
        let bundle = dir.join("own.pem");
        let config = [("http.sslCAInfo", bundle.to_str().unwrap()), ("http.sslCAPath", &path)];
        assert_eq!(ask(&origin, at(&origin), &config).unwrap(), ID);
        let missing =
            ask(&origin, at(&origin), &[("http.sslCAPath", dir.join("none").to_str().unwrap())]).unwrap_err();
        assert!(matches!(missing, Error::CaInfo { .. }), "{}", everything(&missing));
    }
}

/// Starts nginx with the certificate `leaf`. It requires a certificate of `ca`, and reports its subject in its
/// responses and in the file `shown`.
fn nginx(dir: &Path) -> Option<Listening> {
    let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
    let program = program.iter().find(|program| Path::new(program).exists())?;
    let here = dir.to_str().unwrap();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("{name}_temp_path {here}/{name};\n")).concat();
    Listening::start(dir, program, |port| {
        let text = format!(
            "daemon off;\nmaster_process off;\npid {here}/pid;\nerror_log {here}/error;\nevents {{}}\nhttp {{\n{temporary}\
             log_format shown \"shown <$ssl_client_s_dn>\";\naccess_log {here}/shown shown;\nserver {{\n\
             listen 127.0.0.1:{port} ssl;\nssl_certificate {here}/leaf.pem;\nssl_certificate_key {here}/leaf.key;\n\
             ssl_client_certificate {here}/ca.pem;\nssl_verify_client optional;\ndefault_type application/json;\n\
             location / {{ return 200 '{{\"id\":\"$ssl_client_s_dn\",\"objects\":[]}}'; }}\n}}\n}}\n"
        );
        fs::write(dir.join("nginx.conf"), text).unwrap();
        ["-p", here, "-c", &format!("{here}/nginx.conf")].map(str::to_owned).into()
    })
}

/// Creates a directory with an authority, a server and two clients.
fn clients(dir: &Path) -> Option<Listening> {
    let made = own(dir, "ca", "authority")
        && signed(dir, "leaf", "localhost")
        && signed(dir, "alice", "alice")
        && openssl(dir, "pkcs8 -topk8 -in alice.key -out locked.key -passout pass:secret");
    let server = made.then(|| nginx(dir)).flatten();
    if server.is_none() {
        skipped("nginx or openssl");
    }
    server
}

fn path(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}

#[test]
fn a_server_that_asks_for_a_certificate_is_shown_ours() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let Some(server) = clients(dir) else { return };
    let both = [fs::read(dir.join("alice.pem")).unwrap(), fs::read(dir.join("alice.key")).unwrap()].concat();
    fs::write(dir.join("both.pem"), both).unwrap();
    let origin = server.origin("localhost");
    let text = |name: &str| path(dir, name).to_str().unwrap().to_owned();
    let authority = text("ca.pem");
    let settings = || {
        let mut settings = at(&origin);
        settings.tokens.home = Some(dir.to_owned());
        settings
    };
    let with = |settings: Settings, config: &[(&str, &str)]| {
        let config: Vec<_> = config.iter().copied().chain([("http.sslCAInfo", authority.as_str())]).collect();
        ask(&origin, settings, &config)
    };
    let (certificate, key, both) = (text("alice.pem"), text("alice.key"), text("both.pem"));
    assert_eq!(with(settings(), &[]).unwrap(), "");
    for config in [
        &[("http.sslCert", certificate.as_str()), ("http.sslKey", key.as_str())][..],
        &[("http.sslCert", both.as_str())],
        &[("http.sslCert", "~/alice.pem"), ("http.sslKey", "~/alice.key")],
        &[
            (&format!("http.{origin}/.sslCert"), certificate.as_str()),
            (&format!("http.{origin}/.sslKey"), key.as_str()),
        ],
    ] {
        assert_eq!(with(settings(), config).unwrap(), "CN=alice", "{config:?}");
    }
    let by_environment = Settings {
        client_certificate: Some(certificate.clone().into()),
        client_key: Some(key.clone().into()),
        ..settings()
    };
    assert_eq!(with(by_environment, &[]).unwrap(), "CN=alice");
    let locked = text("locked.key");
    for config in [
        [("http.sslCert", certificate.as_str()), ("http.sslKey", locked.as_str())],
        [("http.sslCert", certificate.as_str()), ("http.sslKey", certificate.as_str())],
        [("http.sslCert", certificate.as_str()), ("http.sslKey", "/nonexistent")],
        [("http.sslCert", "/nonexistent"), ("http.sslKey", key.as_str())],
        [("http.sslCert", authority.as_str()), ("http.sslKey", key.as_str())],
    ] {
        let err = with(settings(), &config).unwrap_err();
        assert!(matches!(err, Error::ClientCertificate { .. }), "{config:?}: {}", everything(&err));
        let secret = fs::read_to_string(&key).unwrap();
        let line = secret.lines().nth(1).unwrap();
        assert!(!everything(&err).contains(line));
    }
}

#[test]
fn ours_is_not_shown_where_a_repository_leads() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let Some(server) = clients(dir) else { return };
    let (world, origin) = (World::new(), server.origin("localhost"));
    let text = |name: &str| path(dir, name).to_str().unwrap().to_owned();
    let (authority, certificate, key) = (text("ca.pem"), text("alice.pem"), text("alice.key"));
    let ask = |scope: &str, lfsconfig: &[(&str, &str)], own: &[(&str, &str)]| {
        let (cert_name, key_name) = (format!("http.{scope}sslCert"), format!("http.{scope}sslKey"));
        let config = [
            ("http.sslCAInfo", authority.as_str()),
            (&cert_name, certificate.as_str()),
            (&key_name, key.as_str()),
        ];
        let config: Vec<_> = config.iter().chain(own).copied().collect();
        let before = fs::read_to_string(dir.join("shown")).unwrap_or_default().lines().count();
        let object =
            |server: &git_st_convert::remote::LfsServer<'_>| stream(&Object::new(server, world.pointer));
        let asked = world.ask(world.settings(&config), lfsconfig, |server, _| object(server));
        // The server has no objects; it only has to record the certificate, which can take a moment.
        asked.unwrap().unwrap_err();
        let shown = || fs::read_to_string(dir.join("shown")).unwrap_or_default();
        for _ in 0..200 {
            if shown().lines().count() > before {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        shown().lines().nth(before).unwrap_or_default().to_owned()
    };
    let theirs = [("lfs.url", origin.as_str())];
    assert_eq!(ask("", &theirs, &[]), "shown <->");
    // The server is named by the user, or is the user's own remote.
    assert_eq!(ask(&format!("{origin}/."), &theirs, &[]), "shown <CN=alice>");
    assert_eq!(ask("", &[], &theirs), "shown <CN=alice>");
}
