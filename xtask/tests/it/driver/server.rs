//! A small hostile HTTP/1.1 server on loopback: it serves a folder, and does wrong where it is told to.
//!
//! ```ignore
//! let server = Server::of(folder);                       // until it is dropped; `server.url()` is its address
//! server.wrong("x.tar.xz", Wrong::Cut(1000), 2);         // the first two answers for paths that end so
//! server.wrong("SHA256SUMS", Wrong::Status(503, None), ALWAYS);
//! ...
//! assert_eq!(server.asked("x.tar.xz")[1].range.as_deref(), Some("bytes=1000-"));
//! assert_eq!(server.got(), ["/1-1/SHA256SUMS", ...]);    // the paths of all GETs, in order
//! ```
//!
//! GET and HEAD, `Range: bytes=N-` and `bytes=N-M` (206, or 416 beyond the end). A connection carries one
//! request. It takes absolute addresses as well (`GET http://host/path`), so it can be somebody's proxy:
//! [`Asked::proxied`] has the host. CONNECT is noted and answered with 502.
//! Faults of one path stand in a queue; when all are used up, it is served as it should be.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// For faults that never end.
pub const ALWAYS: usize = usize::MAX;

/// How long a stalled or dribbling answer is kept up.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What can be wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// The connection is closed before anything is said.
    Silence,
    /// This status without a body; with `Retry-After: SECONDS`, if there are any.
    Status(u16, Option<u64>),
    /// The right number of other bytes.
    Bytes,
    /// `Content-Length` says this; the body is sent as it is.
    Length(u64),
    /// No `Content-Length`; after the body come zeros, until the client has gone.
    Endless,
    /// So many bytes, a pause, and so on.
    Dribble(usize, Duration),
    /// So many bytes, and then nothing, with the connection open.
    Stall(usize),
    /// The body as a chunk, without `Content-Length`; the connection is closed after so many bytes of that.
    CutChunk(usize),
    /// The same, and the connection stays open.
    StallChunk(usize),
    /// 200 and the whole file, whatever range is asked for.
    NoRanges,
    /// Both: always from the first byte on, and closed after so many.
    CutWhole(usize),
    /// 206 and a `Content-Range` that begins so many bytes later, with the bytes from there.
    OtherRange(u64),
    /// 302 to this address.
    Redirect(String),
}

/// A request, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The header `Range`.
    pub range: Option<String>,
    /// The host of an absolute address: somebody takes this server for their proxy.
    pub proxied: Option<String>,
}

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    port: u16,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    faults: Mutex<Vec<(String, Wrong, usize)>>,
    asked: Mutex<Vec<Asked>>,
    ended: AtomicBool,
}

impl Server {
    /// Serves a folder, which may change meanwhile.
    pub fn of(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            faults: Mutex::default(),
            asked: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let all = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming() {
                if all.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&all);
                // A client that goes away in the middle is part of the game.
                thread::spawn(move || connection.and_then(|one| shared.serve(&one)));
            }
        });
        Self { shared, port }
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Does wrong with the next `times` answers for paths that end with `end`.
    pub fn wrong(&self, end: &str, wrong: Wrong, times: usize) -> &Self {
        self.shared.faults.lock().unwrap().push((end.to_owned(), wrong, times));
        self
    }

    /// Forgets all faults and requests.
    pub fn mend(&self) {
        self.shared.faults.lock().unwrap().clear();
        self.shared.asked.lock().unwrap().clear();
    }

    /// Every request, in the order in which they came.
    pub fn requests(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The requests for paths that end with `end`.
    pub fn asked(&self, end: &str) -> Vec<Asked> {
        self.requests().into_iter().filter(|one| one.path.ends_with(end)).collect()
    }

    /// The paths of all GETs, in order.
    pub fn got(&self) -> Vec<String> {
        let all = self.requests().into_iter().filter(|one| one.method == "GET");
        all.map(|one| one.path).collect()
    }

    /// Waits until there were so many requests for paths that end with `end`.
    pub fn wait_for(&self, end: &str, number: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.asked(end).len() < number {
            assert!(Instant::now() < deadline, "{number} requests for {end}: {:?}", self.requests());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // The listener wakes up once more, to see that it is over.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// What of a file is sent, and under which head.
struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
    /// Of the body, unless another one is announced, or none.
    length: Option<u64>,
}

impl Answer {
    fn empty(status: u16) -> Self {
        Self { status, headers: String::new(), body: Vec::new(), length: Some(0) }
    }

    /// Makes the body a chunk, which does not say how much follows it.
    fn chunk(&mut self) {
        self.headers.push_str("Transfer-Encoding: chunked\r\n");
        self.length = None;
        let size = format!("{:x}\r\n", self.body.len());
        self.body.splice(..0, size.into_bytes());
    }

    fn head(&self) -> String {
        let length = self.length.map(|n| format!("Content-Length: {n}\r\n")).unwrap_or_default();
        format!("HTTP/1.1 {} Told\r\nConnection: close\r\n{}{length}\r\n", self.status, self.headers)
    }
}

impl Shared {
    fn serve(&self, connection: &TcpStream) -> std::io::Result<()> {
        let Some(asked) = read(connection)? else { return Ok(()) };
        let wrong = self.next_fault(&asked);
        self.asked.lock().unwrap().push(asked.clone());
        if wrong == Some(Wrong::Silence) || self.ended.load(Ordering::SeqCst) {
            return Ok(());
        }
        let (range, shift) = match &wrong {
            Some(Wrong::NoRanges | Wrong::CutWhole(_)) => (None, 0),
            Some(Wrong::OtherRange(by)) => (asked.range.as_deref(), *by),
            _ => (asked.range.as_deref(), 0),
        };
        let mut answer = match (asked.method.as_str(), &wrong) {
            ("CONNECT", _) => Answer::empty(502),
            (_, Some(Wrong::Status(status, wait))) => Answer {
                headers: wait.map(|s| format!("Retry-After: {s}\r\n")).unwrap_or_default(),
                ..Answer::empty(*status)
            },
            (_, Some(Wrong::Redirect(to))) => {
                Answer { headers: format!("Location: {to}\r\n"), ..Answer::empty(302) }
            }
            _ => self.file(&asked.path, range, shift),
        };
        match &wrong {
            Some(Wrong::Bytes) => answer.body.iter_mut().for_each(|byte| *byte ^= 0x55),
            Some(Wrong::Length(length)) => answer.length = Some(*length),
            Some(Wrong::Endless) => answer.length = None,
            Some(Wrong::CutChunk(_) | Wrong::StallChunk(_)) => answer.chunk(),
            _ => {}
        }
        let mut connection = connection;
        connection.write_all(answer.head().as_bytes())?;
        if asked.method == "GET" {
            self.send(connection, &answer.body, wrong.as_ref())?;
        }
        Ok(())
    }

    fn next_fault(&self, asked: &Asked) -> Option<Wrong> {
        let mut faults = self.faults.lock().unwrap();
        let next = faults.iter_mut().find(|(end, _, left)| *left > 0 && asked.path.ends_with(end.as_str()));
        next.map(|(_, wrong, left)| {
            if *left != ALWAYS {
                *left -= 1;
            }
            wrong.clone()
        })
    }

    fn send(&self, mut to: &TcpStream, body: &[u8], wrong: Option<&Wrong>) -> std::io::Result<()> {
        let until = Instant::now() + TIMEOUT;
        let goes_on = || Instant::now() < until && !self.ended.load(Ordering::SeqCst);
        match wrong {
            Some(Wrong::Cut(bytes) | Wrong::CutWhole(bytes) | Wrong::CutChunk(bytes)) => {
                to.write_all(&body[..body.len().min(*bytes)])
            }
            Some(Wrong::Stall(bytes) | Wrong::StallChunk(bytes)) => {
                to.write_all(&body[..body.len().min(*bytes)])?;
                while goes_on() && !has_gone(to) {
                    thread::sleep(Duration::from_millis(20));
                }
                Ok(())
            }
            Some(Wrong::Dribble(bytes, pause)) => {
                for part in body.chunks(*bytes).take_while(|_| goes_on()) {
                    to.write_all(part)?;
                    thread::sleep(*pause);
                }
                Ok(())
            }
            Some(Wrong::Endless) => {
                to.write_all(body)?;
                while goes_on() {
                    to.write_all(&[0; 1 << 14])?;
                }
                Ok(())
            }
            _ => to.write_all(body),
        }
    }

    /// A file, or the part of it that is asked for, `shift` bytes later.
    fn file(&self, path: &str, range: Option<&str>, shift: u64) -> Answer {
        let name = path.trim_start_matches('/');
        let is_safe = !name.split('/').any(|part| part == "..");
        let Some(whole) = is_safe.then(|| fs::read(self.folder.join(name)).ok()).flatten() else {
            return Answer::empty(404);
        };
        let all = whole.len() as u64;
        let headers = "Accept-Ranges: bytes\r\n".to_owned();
        let Some((first, last)) = range.and_then(|range| bounds(range, all)) else {
            return Answer { status: 200, headers, length: Some(all), body: whole };
        };
        let (first, last) = ((first + shift).min(all), last);
        if first > last || first >= all {
            let headers = format!("Content-Range: bytes */{all}\r\n");
            return Answer { headers, ..Answer::empty(416) };
        }
        let body = whole[usize::try_from(first).unwrap()..=usize::try_from(last).unwrap()].to_vec();
        let headers = format!("{headers}Content-Range: bytes {first}-{last}/{all}\r\n");
        Answer { status: 206, headers, length: Some(body.len() as u64), body }
    }
}

/// `bytes=N-` or `bytes=N-M` as first and last byte.
fn bounds(range: &str, all: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = all.saturating_sub(1);
    let last = if last.is_empty() { end } else { last.parse::<u64>().ok()?.min(end) };
    Some((first.parse().ok()?, last))
}

/// Whether the other side has closed the connection; clients send nothing after their request.
fn has_gone(connection: &TcpStream) -> bool {
    connection.set_nonblocking(true).unwrap();
    let gone = matches!((&mut &*connection).read(&mut [0]), Ok(0));
    connection.set_nonblocking(false).unwrap();
    gone
}

/// A request; nothing if the client said nothing.
fn read(connection: &TcpStream) -> std::io::Result<Option<Asked>> {
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(connection);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let mut range = None;
    loop {
        line.clear();
        if lines.read_line(&mut line)? <= 2 {
            break;
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { continue };
        if name.eq_ignore_ascii_case("range") {
            range = Some(value.to_owned());
        }
    }
    let (proxied, path) = match target.strip_prefix("http://").and_then(|rest| rest.split_once('/')) {
        Some((host, path)) => (Some(host.to_owned()), format!("/{path}")),
        None => (None, target),
    };
    let path = path.split('?').next().unwrap_or_default().to_owned();
    Ok(Some(Asked { method, path, range, proxied }))
}
