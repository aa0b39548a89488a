//! Handles the sockets: a listener per origin, a thread per connection, and the steps of one request.
//!
//! Invariant: nothing runs any more when the hub is gone: closing shuts down every connection and waits for its thread.

use std::io::{self, BufReader, Read as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::State;
use super::access::refusal;
use super::fault::{Fault, To};
use super::http::{Answer, Body, Head};
use super::log::Record;
use super::routes;
use super::send::{Sent, Way, change};

/// A request that is being routed.
pub(super) struct Request<'a> {
    pub(super) state: &'a State,
    /// The origin of its arrival.
    pub(super) origin: &'a str,
    pub(super) head: Head,
    pub(super) body: Body<'a>,
    pub(super) faults: &'a [Fault],
    pub(super) record: &'a Record<'a>,
}

/// A connection, with the parts that are needed to close it.
struct Open {
    stream: TcpStream,
    thread: JoinHandle<()>,
}

/// All listeners and connections.
#[derive(Default)]
pub(super) struct Server {
    closing: AtomicBool,
    listeners: Mutex<Vec<(SocketAddr, JoinHandle<()>)>>,
    open: Mutex<Vec<Open>>,
    /// `true` if a thread panicked.
    failed: AtomicBool,
}

impl Server {
    /// Opens a port at an address. Returns its origin.
    pub(super) fn listen(state: &Arc<State>, host: &str) -> io::Result<String> {
        let listener = TcpListener::bind((host, 0))?;
        let address = listener.local_addr()?;
        let origin = format!("http://{address}");
        let (shared, name) = (Arc::clone(state), origin.clone());
        let thread = thread::spawn(move || accept(&shared, &listener, &name));
        state.server.listeners.lock().unwrap().push((address, thread));
        Ok(origin)
    }

    /// Closes everything. Returns `false` if a thread panicked.
    pub(super) fn close(&self) -> bool {
        self.closing.store(true, Ordering::SeqCst);
        for (address, thread) in self.listeners.lock().unwrap().drain(..) {
            // A connection wakes the listener.
            drop(TcpStream::connect(address));
            self.join(thread);
        }
        let open: Vec<_> = self.open.lock().unwrap().drain(..).collect();
        for connection in &open {
            drop(connection.stream.shutdown(Shutdown::Both));
        }
        for connection in open {
            self.join(connection.thread);
        }
        !self.failed.load(Ordering::SeqCst)
    }

    fn join(&self, thread: JoinHandle<()>) {
        if thread.join().is_err() {
            self.failed.store(true, Ordering::SeqCst);
        }
    }

    fn keep(&self, connection: Open) {
        let mut open = self.open.lock().unwrap();
        let (ended, rest): (Vec<_>, Vec<_>) = open.drain(..).partition(|open| open.thread.is_finished());
        *open = rest;
        open.push(connection);
        drop(open);
        for connection in ended {
            self.join(connection.thread);
        }
    }
}

fn accept(state: &Arc<State>, listener: &TcpListener, origin: &str) {
    for stream in listener.incoming() {
        if state.server.closing.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Ok(own) = stream.try_clone() else { continue };
        let (shared, name) = (Arc::clone(state), origin.to_owned());
        let thread = thread::spawn(move || {
            // A client that disconnects is not a fault of the hub.
            drop(serve(&shared, &own, &name));
            drop(own.shutdown(Shutdown::Both));
        });
        state.server.keep(Open { stream, thread });
    }
}

fn serve(state: &State, stream: &TcpStream, origin: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream.try_clone()?;
    while let Some(head) = Head::read(&mut reader)? {
        match exchange(state, origin, head, &mut reader, &mut out)? {
            Sent::Whole => {}
            Sent::Broken => return Ok(()),
            Sent::Stalled => {
                // The thread waits until one side closes the connection.
                io::copy(&mut reader.by_ref(), &mut io::sink())?;
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Handles one request.
fn exchange(
    state: &State,
    origin: &str,
    mut head: Head,
    reader: &mut BufReader<TcpStream>,
    out: &mut TcpStream,
) -> io::Result<Sent> {
    let record = state.log.open(origin, &head);
    // A request to a proxy names the host, which has no effect here. The log has the complete target.
    if let Some(rest) = head.target.strip_prefix("http://") {
        let target = rest.find('/').map_or("/", |at| &rest[at..]).to_owned();
        head.target = target;
    }
    let faults = state.faults.take(&head.method, head.path());
    record.note(|seen| seen.faults = faults.iter().map(|fault| format!("{fault:?}")).collect());
    if faults.iter().any(|fault| matches!(fault, Fault::Drop)) {
        return Ok(Sent::Broken);
    }
    if faults.iter().any(|fault| matches!(fault, Fault::NoRanges)) {
        head.headers.remove("Range");
    }
    let headless = head.method == "HEAD";
    let closes = head.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let body = Body::of(&head, reader);
    let mut request = Request { state, origin, head, body, faults: &faults, record: &record };
    let limit = state.closed_for().map(|(left, says_when)| {
        request.record.note(|seen| seen.faults.push("Closed".to_owned()));
        // A partial second counts as a whole one.
        if says_when { limited(left.as_secs() + 1) } else { refusal(503, None, "Service Unavailable") }
    });
    let answer = match limit.or_else(|| replaced(&request)) {
        Some(answer) => answer,
        None => routes::answer(&mut request)?,
    };
    let drained = request.body.drain()?;
    let mut way = Way { out, record: &record, faults: &faults, throttle: &state.throttle, headless };
    let sent = way.send(change(answer, &faults))?;
    Ok(if sent == Sent::Whole && (closes || !drained) { Sent::Broken } else { sent })
}

/// Returns the Hub's response to a client over the limit.
fn limited(seconds: u64) -> Answer {
    refusal(429, None, "Too Many Requests").header("RateLimit", format!("\"api\";r=0;t={seconds}"))
}

/// Returns the response of a fault that replaces the real one.
fn replaced(request: &Request<'_>) -> Option<Answer> {
    let head = &request.head;
    request.faults.iter().find_map(|fault| match fault {
        Fault::Status(401) => {
            Some(super::access::unauthorized(super::access::Asks::Password, "Unauthorized"))
        }
        Fault::Status(status) => Some(refusal(*status, None, "The hub was told to say so")),
        Fault::Refuse(status, code) => Some(refusal(*status, Some(code), "The hub was told to say so")),
        Fault::RetryAfter(status, seconds) => {
            let answer = refusal(*status, None, "The hub was told to say so");
            Some(answer.header("Retry-After", seconds.to_string()))
        }
        Fault::RateLimit(seconds) => Some(limited(*seconds)),
        Fault::Redirect(status, to) => {
            let location = match to {
                To::Origin(origin) => format!("{origin}{}", head.target),
                To::Itself => format!("{}{}", request.origin, head.target),
                To::Url(url) => url.clone(),
            };
            Some(Answer::text(*status, "").header("Location", location))
        }
        Fault::RefuseRanges(status) if head.header("Range").is_some() => {
            let said = "<Error><Code>NoRange</Code><Message>ranges are not served here</Message></Error>";
            Some(Answer::new(*status, "application/xml", said))
        }
        Fault::Html => {
            let page = "<!doctype html>\n<html><body><h1>We'll be back soon</h1></body></html>\n";
            Some(Answer::new(200, "text/html; charset=utf-8", page))
        }
        _ => None,
    })
}
