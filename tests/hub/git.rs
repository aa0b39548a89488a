//! Serves the git repository of a model: `git http-backend` as a CGI program, in an environment of its own.
//!
//! Invariant: git's response is passed on unchanged, unless a fault replaces it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use flate2::read::GzDecoder;

use super::State;
use super::access::{Asks, Right, refusal};
use super::fault::Fault;
use super::http::{Answer, Headers, Payload};
use super::server::Request;

/// Returns the path of a program on `PATH`: with it, the standard library starts a program without a copy of this
/// process, whose memory is large (`posix_spawn`, and not `fork`, although `PATH` is set).
pub(crate) fn on_path(program: &OsStr) -> PathBuf {
    let dirs = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&dirs).map(|dir| dir.join(program)).find(|path| path.is_file());
    found.filter(|path| path.is_absolute()).unwrap_or_else(|| program.into())
}

/// Returns git in the hub's environment.
pub(super) fn git(home: &Path) -> Command {
    let mut git = Command::new(on_path("git".as_ref()));
    git.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    git.env("HOME", home).env("LC_ALL", "C").env("TZ", "UTC").env("GIT_CONFIG_NOSYSTEM", "1");
    git.env("GIT_CONFIG_GLOBAL", home.join("gitconfig")).current_dir(home);
    git
}

/// Responds to `info/refs`, `git-upload-pack` and `git-receive-pack`.
pub(super) fn answer(request: &mut Request<'_>, id: &str, service: &str) -> io::Result<Answer> {
    let state = request.state;
    let pushes =
        service == "git-receive-pack" || request.head.query("service").as_deref() == Some("git-receive-pack");
    let need = if pushes { Right::Contribute } else { Right::Public };
    let (model, token) = match state.tokens.check(&request.head, Asks::Password, state.model(id), id, need) {
        Ok(checked) => checked,
        Err(refused) => return Ok(refused),
    };
    let mut start = Vec::new();
    if service == "git-upload-pack" {
        start = request.body.all()?;
        request.record.body(&start);
        if refuses(request, id, &start)? {
            return Ok(result("git-upload-pack", b"0000".to_vec()));
        }
    } else if service == "git-receive-pack" {
        let right = token.as_ref().map_or(Right::Public, |token| token.right);
        start = commands(&mut request.body)?;
        let all_pull_requests = refs_of(&start).iter().all(|name| name.starts_with("refs/pr/"));
        if right < Right::Write && !all_pull_requests {
            return Ok(refusal(403, None, "You don't have the required permissions to perform this action."));
        }
    }
    let mut backend = backend(request, id, service);
    backend.env("HUB_OBJECTS", &model.objects);
    if let Some(token) = token {
        backend.env("REMOTE_USER", token.user);
    }
    let mut child = backend.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut stdin = child.stdin.take().unwrap();
    let fed = stdin.write_all(&start).and_then(|()| io::copy(&mut request.body, &mut stdin));
    // A program that reads no further explains that in its response.
    fed.map(drop).or_else(|err| if err.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(err) })?;
    drop(stdin);
    cgi_answer(child)
}

/// Returns the result of a git service.
fn result(service: &str, bytes: Vec<u8>) -> Answer {
    Answer::new(200, &format!("application/x-{service}-result"), bytes).header("Cache-Control", "no-cache")
}

/// Returns `git http-backend`, ready to run.
fn backend(request: &Request<'_>, id: &str, service: &str) -> Command {
    let head = &request.head;
    let mut command = git(request.state.home());
    command.arg("http-backend");
    command.env("GIT_PROJECT_ROOT", request.state.repositories()).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("PATH_INFO", format!("/{id}.git/{service}")).env("QUERY_STRING", head.raw_query());
    command.env("REQUEST_METHOD", &head.method).env("REMOTE_ADDR", "127.0.0.1");
    let headers = [
        ("Content-Type", "CONTENT_TYPE"),
        ("Content-Length", "CONTENT_LENGTH"),
        ("Content-Encoding", "HTTP_CONTENT_ENCODING"),
        ("Git-Protocol", "GIT_PROTOCOL"),
    ];
    for (name, variable) in headers {
        if let Some(value) = head.header(name) {
            command.env(variable, value);
        }
    }
    if request.faults.iter().any(|fault| matches!(fault, Fault::NoFilter)) {
        command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "uploadpack.allowFilter");
        command.env("GIT_CONFIG_VALUE_0", "false");
    }
    command
}

/// The output of a running program; the program ends with it.
struct Output {
    stdout: BufReader<ChildStdout>,
    child: Child,
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stdout.read(buffer)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // The program has ended, or its output is not needed any more.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads the headers of a CGI program; the body follows them.
fn cgi_answer(mut child: Child) -> io::Result<Answer> {
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut output = Output { stdout, child };
    let mut headers = Headers::default();
    let mut status = 200;
    loop {
        let mut line = String::new();
        if output.stdout.read_line(&mut line)? == 0 {
            return Err(io::Error::other("git http-backend said nothing"));
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Answer { status, headers, payload: Payload::Stream(Box::new(output)) });
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim();
        if name.eq_ignore_ascii_case("Status") {
            status = value.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500);
        } else {
            headers.0.push((name.to_owned(), value.to_owned()));
        }
    }
}

/// Returns `true` if a fault answers this fetch with a flush packet.
fn refuses(request: &Request<'_>, id: &str, body: &[u8]) -> io::Result<bool> {
    let gzipped = request.head.header("Content-Encoding").is_some_and(|value| value.contains("gzip"));
    for fault in request.faults {
        let refused = match fault {
            Fault::RefuseGzip => gzipped,
            Fault::RefuseBlobs if gzipped => {
                let mut plain = Vec::new();
                GzDecoder::new(body).read_to_end(&mut plain)?;
                wants_blob(request.state, id, &plain)?
            }
            Fault::RefuseBlobs => wants_blob(request.state, id, body)?,
            _ => false,
        };
        if refused {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns `true` if a requested object is a blob.
fn wants_blob(state: &State, id: &str, body: &[u8]) -> io::Result<bool> {
    let wants: BTreeSet<_> =
        pkt_lines(body).filter_map(|line| line.strip_prefix(b"want ")?.get(..40)).collect();
    if wants.is_empty() {
        return Ok(false);
    }
    let mut git = git(state.home());
    git.arg("--git-dir").arg(state.git_dir(id)).args(["cat-file", "--batch-check=%(objecttype)"]);
    let mut child = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().unwrap();
    for want in wants {
        stdin.write_all(want)?;
        stdin.write_all(b"\n")?;
    }
    drop(stdin);
    let output = child.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().any(|kind| kind == "blob"))
}

/// Returns the lines of git's protocol, without the flush packets between them.
fn pkt_lines(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let length = std::str::from_utf8(bytes.get(..4)?).ok()?;
            let length = usize::from_str_radix(length, 16).ok()?;
            let line = bytes.get(4..length.max(4))?;
            bytes = &bytes[length.max(4)..];
            if length > 4 {
                return Some(line);
            }
        }
    })
}

/// Returns the commands of a push, as they were sent, with the flush packet after them; the pack follows.
fn commands(body: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let start = bytes.len();
        body.take(4).read_to_end(&mut bytes)?;
        let length =
            std::str::from_utf8(&bytes[start..]).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
        match length {
            Some(length) if length > 4 => body.take(length - 4).read_to_end(&mut bytes)?,
            _ => return Ok(bytes),
        };
    }
}

/// Returns the refs that these commands change.
fn refs_of(commands: &[u8]) -> Vec<String> {
    let lines = pkt_lines(commands).filter(|line| !line.starts_with(b"shallow "));
    let names = lines.filter_map(|line| line.get(82..)?.split(|byte| matches!(byte, 0 | b'\n')).next());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}
