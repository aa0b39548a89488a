//! Tests TLS: trusted and untrusted certificates, and redirects between http and https.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use git_st_convert::remote::{Config, Error, NotAllowed};

use super::raw::{Raw, at, http};
use super::{ID, everything, hub_of, model_id};

/// A TLS server with its own certificate: openssl's, if it is installed.
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
    // The certificate is signed by an authority of the test.
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
        skipped();
        return;
    };
    // `-HTTP` serves files.
    let model = dir.path().join("api/models/acme");
    fs::create_dir_all(&model).unwrap();
    fs::write(model.join("bert"), "HTTP/1.0 200 OK\r\n\r\n{\"id\":\"acme/bert\"}").unwrap();
    let ask = |config: &[(&str, &str)]| {
        let config: Vec<_> = config.iter().copied().chain([("lfs.transfer.maxretries", "0")]).collect();
        let settings = at(&tls.origin).with_config(Config::new(config));
        hub_of(settings).model(&model_id(), None)
    };
    let err = ask(&[]).unwrap_err();
    // The hint about the certificate's authority depends on this word.
    assert!(
        matches!(&err, Error::Tls { source, .. } if source.0.contains("UnknownIssuer")),
        "{}",
        everything(&err)
    );
    let bundle = tls.authority.to_str().unwrap();
    assert_eq!(ask(&[("http.sslCAInfo", bundle)]).unwrap().id, ID);
    assert_eq!(ask(&[("http.sslVerify", "false")]).unwrap().id, ID);
    let scoped = format!("http.{}.sslVerify", tls.origin);
    assert_eq!(ask(&[(&scoped, "no")]).unwrap().id, ID);
    assert!(matches!(ask(&[("http.https://other.example.sslVerify", "no")]), Err(Error::Tls { .. })));
    assert!(matches!(ask(&[("http.sslCAInfo", "/nonexistent")]), Err(Error::CaInfo { .. })));
    let key = dir.path().join("key.pem");
    assert!(matches!(ask(&[("http.sslCAInfo", key.to_str().unwrap())]), Err(Error::CaInfo { .. })));
    // Clear text goes to a TLS server, and TLS to a clear-text server.
    let clear = at(&tls.origin.replace("https:", "http:"));
    hub_of(clear).model(&model_id(), None).unwrap_err();
    let server = Raw::start(|_| http("200 OK", "", "{}"));
    let err = hub_of(at(&server.origin.replace("http:", "https:"))).model(&model_id(), None).unwrap_err();
    assert!(matches!(err, Error::Tls { .. } | Error::Cut { .. }), "{}", everything(&err));
    assert!(server.heads().iter().all(|head| !head.contains("hf_")));
}

#[test]
fn who_is_sent_from_http_to_https_is_followed_without_a_login() {
    let dir = tempfile::tempdir().unwrap();
    let Some(tls) = openssl(dir.path()) else {
        skipped();
        return;
    };
    fs::write(dir.path().join("model"), "HTTP/1.0 200 OK\r\n\r\n{\"id\":\"acme/bert\"}").unwrap();
    let location = format!("Location: {}/model\r\n", tls.origin);
    let clear = Raw::start(move |_| http("301 Moved", &location, ""));
    let bundle = tls.authority.to_str().unwrap();
    let settings = at(&clear.origin).with_config(Config::new([("http.sslCAInfo", bundle)]));
    assert_eq!(hub_of(settings).model(&model_id(), None).unwrap().id, ID);
}

#[test]
fn nobody_is_followed_from_https_to_http() {
    let dir = tempfile::tempdir().unwrap();
    let Some(tls) = openssl(dir.path()) else {
        skipped();
        return;
    };
    let clear = Raw::start(|_| http("200 OK", "", "{\"id\":\"acme/bert\"}"));
    let model = dir.path().join("api/models/acme");
    fs::create_dir_all(&model).unwrap();
    let location = format!("HTTP/1.0 302 Found\r\nLocation: {}/x\r\n\r\n", clear.origin);
    fs::write(model.join("bert"), location).unwrap();
    let bundle = tls.authority.to_str().unwrap();
    let settings = at(&tls.origin).with_config(Config::new([("http.sslCAInfo", bundle)]));
    let err = hub_of(settings).model(&model_id(), None).unwrap_err();
    let Error::NotAllowed { source: NotAllowed::Downgrade, .. } = err else { panic!("{err}") };
    assert!(clear.heads().is_empty());
}

fn skipped() {
    use std::io::Write as _;
    let _nobody_reads = std::io::stderr().write_all(b"skipped: openssl is not here: TLS was not tried\n");
}
