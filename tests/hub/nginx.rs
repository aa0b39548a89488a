//! [`Nginx`] is a real nginx that serves the content of a hub.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// One process on a loopback address, which ends when it is dropped.
pub(crate) struct Nginx {
    process: Child,
    pub(crate) origin: String,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

impl Nginx {
    /// Starts it with its files in `dir`: `http` are directives for all servers, `location` those of its only location.
    /// `None` if it is not installed.
    pub(crate) fn start(dir: &Path, http: &str, location: &str) -> Option<Self> {
        let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
        let program = program.iter().find(|program| Path::new(program).exists())?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir_text = dir.to_str().unwrap();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {dir_text}/{name};\n")).concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {dir_text}/pid;\nerror_log {dir_text}/error;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}{http}\n\
             server {{\nlisten 127.0.0.1:{port};\nlocation / {{\n{location}\n}}\n}}\n}}\n"
        );
        let config = dir.join("nginx.conf");
        fs::write(&config, text).unwrap();
        let process = Command::new(program)
            .args(["-p", dir_text, "-c", config.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let nginx = Self { process, origin: format!("http://127.0.0.1:{port}") };
        for _ in 0..100 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(nginx);
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("nginx does not listen: {:?}", fs::read_to_string(dir.join("error")));
    }

    /// Starts one in front of the content at an origin, which allows this rate of requests.
    pub(crate) fn limiting(dir: &Path, to: &str, rate: &str) -> Option<Self> {
        let zone = format!("limit_req_zone $binary_remote_addr zone=one:1m rate={rate};");
        Self::start(dir, &zone, &format!("limit_req zone=one;\nproxy_buffering off;\nproxy_pass {to};"))
    }
}
