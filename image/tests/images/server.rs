//! A small hostile registry on loopback. It serves images that were made here, wants logins where it is told to, and
//! does wrong where it is told to. A connection carries one request.

use crate::made::Made;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// For faults that never end.
pub const ALWAYS: usize = usize::MAX;

/// What can be wrong with an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Wrong {
    /// This status; with `Retry-After: SECONDS`, if there are any, and this body.
    Status(u16, Option<u64>, &'static str),
    /// The connection is closed before anything is said.
    Silence,
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// So many bytes, and then nothing, with the connection open.
    Stall(usize),
    /// So many bytes, a pause, and so on.
    Dribble(usize, Duration),
    /// The right number of other bytes.
    Bytes,
    /// These bytes instead.
    Other(Vec<u8>),
    /// No length; after the body come zeros, until the client has gone.
    Endless,
    /// 302 to this address.
    Redirect(String),
}

/// What is wanted of those who ask.
#[derive(Clone, Debug, Default)]
pub enum Door {
    #[default]
    Open,
    /// A token, which is given to those who have this `Authorization`, or to everybody. It serves so many times.
    Token { login: Option<String>, serves: usize },
    /// This `Authorization`.
    Basic(String),
    /// This challenge, which nothing satisfies.
    Closed(String),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

pub struct Server {
    shared: Arc<Shared>,
    port: u16,
}

struct Shared {
    blobs: BTreeMap<String, Vec<u8>>,
    tags: BTreeMap<String, String>,
    door: Mutex<Door>,
    given: Mutex<usize>,
    faults: Mutex<Vec<(String, Wrong, usize)>>,
    asked: Mutex<Vec<Asked>>,
    ended: AtomicBool,
    port: u16,
}

impl Server {
    /// Serves these blobs in any repository, with these tags.
    pub fn of(made: &Made, tags: &[(&str, &Value)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let tags =
            tags.iter().map(|(tag, one)| ((*tag).to_owned(), one["digest"].as_str().unwrap().to_owned()));
        let shared = Arc::new(Shared {
            blobs: made.blobs.clone(),
            tags: tags.collect(),
            door: Mutex::default(),
            given: Mutex::default(),
            faults: Mutex::default(),
            asked: Mutex::default(),
            ended: AtomicBool::new(false),
            port,
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

    /// The name of an image in it.
    pub fn name(&self, image: &str) -> String {
        format!("127.0.0.1:{}/{image}", self.port)
    }

    pub fn door(&self, door: Door) {
        *self.shared.door.lock().unwrap() = door;
    }

    /// Does wrong with the next `times` answers for addresses that have `part`.
    pub fn wrong(&self, part: &str, wrong: Wrong, times: usize) {
        self.shared.faults.lock().unwrap().push((part.to_owned(), wrong, times));
    }

    pub fn mend(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// The requests for addresses that have `part`.
    pub fn asked(&self, part: &str) -> Vec<Asked> {
        let all = self.shared.asked.lock().unwrap();
        all.iter().filter(|one| one.target.contains(part)).cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // The listener wakes up once more, to see that it is over.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Shared {
    fn serve(&self, connection: &TcpStream) -> std::io::Result<()> {
        let Some(asked) = read(connection)? else { return Ok(()) };
        let wrong = self.fault(&asked.target);
        self.asked.lock().unwrap().push(asked.clone());
        let mut to = connection;
        let head = |status: u16, more: &str, length: Option<usize>| {
            let length = length.map(|n| format!("Content-Length: {n}\r\n")).unwrap_or_default();
            format!("HTTP/1.1 {status} Told\r\nConnection: close\r\n{more}{length}\r\n")
        };
        match &wrong {
            Some(Wrong::Silence) => return Ok(()),
            Some(Wrong::Status(status, wait, body)) => {
                let wait = wait.map(|s| format!("Retry-After: {s}\r\n")).unwrap_or_default();
                to.write_all(head(*status, &wait, Some(body.len())).as_bytes())?;
                return to.write_all(body.as_bytes());
            }
            Some(Wrong::Redirect(place)) => {
                return to.write_all(head(302, &format!("Location: {place}\r\n"), Some(0)).as_bytes());
            }
            _ => {}
        }
        if asked.target.starts_with("/token") {
            let body = self.token(&asked);
            let status = if body.is_some() { 200 } else { 401 };
            let body = body.unwrap_or_default();
            to.write_all(head(status, "", Some(body.len())).as_bytes())?;
            return to.write_all(body.as_bytes());
        }
        if let Some(challenge) = self.refuses(&asked) {
            let more = format!("WWW-Authenticate: {challenge}\r\n");
            return to.write_all(head(401, &more, Some(0)).as_bytes());
        }
        let last = asked.target.rsplit('/').next().unwrap();
        let digest = self.tags.get(last).map_or(last, String::as_str);
        let Some(whole) = self.blobs.get(digest) else {
            let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
            to.write_all(head(404, "", Some(body.len())).as_bytes())?;
            return to.write_all(body.as_bytes());
        };
        let mut body = whole.clone();
        match &wrong {
            Some(Wrong::Bytes) => body.iter_mut().for_each(|byte| *byte ^= 0x55),
            Some(Wrong::Other(other)) => body.clone_from(other),
            _ => {}
        }
        let first =
            asked.headers.get("range").map(|range| range[6..range.len() - 1].parse::<usize>().unwrap());
        let (all, status) = (body.len(), if first.is_some() { 206 } else { 200 });
        let more = first
            .map(|n| format!("Content-Range: bytes {n}-{}/{all}\r\n", all.max(1) - 1))
            .unwrap_or_default();
        body.drain(..first.unwrap_or(0).min(all));
        let length = (wrong != Some(Wrong::Endless)).then_some(body.len());
        to.write_all(head(status, &more, length).as_bytes())?;
        self.send(to, &body, wrong.as_ref())
    }

    fn send(&self, mut to: &TcpStream, body: &[u8], wrong: Option<&Wrong>) -> std::io::Result<()> {
        let until = Instant::now() + Duration::from_secs(30);
        let goes_on = || Instant::now() < until && !self.ended.load(Ordering::SeqCst);
        match wrong {
            Some(Wrong::Cut(bytes)) => to.write_all(&body[..body.len().min(*bytes)]),
            Some(Wrong::Stall(bytes)) => {
                to.write_all(&body[..body.len().min(*bytes)])?;
                while goes_on() {
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

    fn fault(&self, target: &str) -> Option<Wrong> {
        let mut faults = self.faults.lock().unwrap();
        let next = faults.iter_mut().find(|(part, _, left)| *left > 0 && target.contains(part.as_str()));
        next.map(|(_, wrong, left)| {
            if *left != ALWAYS {
                *left -= 1;
            }
            wrong.clone()
        })
    }

    /// The challenge for those who have not what the door wants.
    fn refuses(&self, asked: &Asked) -> Option<String> {
        let sent = asked.headers.get("authorization");
        match &*self.door.lock().unwrap() {
            Door::Open => None,
            Door::Closed(challenge) => Some(challenge.clone()),
            Door::Basic(wanted) => (sent != Some(wanted)).then(|| "Basic realm=\"x\"".to_owned()),
            Door::Token { .. } => {
                let mut left = self.given.lock().unwrap();
                if sent.is_some_and(|sent| sent == "Bearer the-token") && *left > 0 {
                    *left -= 1;
                    return None;
                }
                let port = self.port;
                Some(format!(
                    "Bearer realm=\"http://127.0.0.1:{port}/token\",service=\"it\",scope=\"repository:x:pull\""
                ))
            }
        }
    }

    fn token(&self, asked: &Asked) -> Option<String> {
        let Door::Token { login, serves } = &*self.door.lock().unwrap() else { return None };
        let identity = asked.method == "POST" && asked.body.contains("refresh_token=identity");
        if login.is_some() && asked.headers.get("authorization") != login.as_ref() && !identity {
            return None;
        }
        *self.given.lock().unwrap() = *serves;
        let key = if identity { "access_token" } else { "token" };
        Some(format!(r#"{{"{key}":"the-token","expires_in":60}}"#))
    }
}

/// A request; nothing if the client said nothing.
fn read(connection: &TcpStream) -> std::io::Result<Option<Asked>> {
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(connection);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        if lines.read_line(&mut line)? <= 2 {
            break;
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { continue };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = String::new();
    lines.take(length).read_to_string(&mut body)?;
    Ok(Some(Asked { method, target, headers, body }))
}
