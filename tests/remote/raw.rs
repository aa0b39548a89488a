//! [`Raw`] is a minimal server for responses that no real server sends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use git_st_convert::remote::{Config, Secret, Settings};

use super::TOKEN;

/// A minimal server: `answer` returns the bytes for the head of a request, which is logged.
pub(super) struct Raw {
    pub(super) origin: String,
    pub(super) heads: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    pub(super) fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        serve(move |head| answer(head).into_bytes())
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Does the same for a response that is not text.
pub(super) fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Raw {
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
            let _client_left = stream.write_all(&answer(&head));
        }
    });
    Raw { origin, heads }
}

pub(super) fn head(reader: &mut BufReader<TcpStream>) -> String {
    head_and_body(reader).0
}

pub(super) fn head_and_body(reader: &mut BufReader<TcpStream>) -> (String, Vec<u8>) {
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
    (head, body)
}

pub(super) fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}", body.len())
}

/// Returns the value of a header in a head.
pub(super) fn value<'h>(head: &'h str, name: &str) -> &'h str {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&name.to_ascii_lowercase()));
    line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
}

/// Returns a client's settings for a server that is the hub.
pub(super) fn at(origin: &str) -> Settings {
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
