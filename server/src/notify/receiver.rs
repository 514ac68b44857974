//! An HTTP receiver for tests that answers as it is told: also badly, late, or not at all.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Such as `POST /hook HTTP/1.1`.
    pub(super) line: String,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Request {
    /// A header by its name in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What to answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    head: String,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Text(String),
    Endless,
    /// The head comes, the body does not.
    Stalled,
    /// Nothing comes, and the connection stays.
    Silence,
    /// Nothing comes, and the connection ends.
    Drop,
}

impl Reply {
    pub(super) fn status(status: u16) -> Reply {
        Reply { head: format!("HTTP/1.1 {status} X\r\n"), body: Body::Text(String::new()) }
    }

    pub(super) fn stall() -> Reply {
        Reply { head: String::new(), body: Body::Silence }
    }

    pub(super) fn drop() -> Reply {
        Reply { head: String::new(), body: Body::Drop }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Reply {
        write!(self.head, "{name}: {value}\r\n").expect("a string grows");
        self
    }

    pub(super) fn body(self, text: &str) -> Reply {
        Reply { body: Body::Text(text.to_owned()), ..self }
    }

    pub(super) fn endless(self) -> Reply {
        Reply { body: Body::Endless, ..self }
    }

    pub(super) fn stalled_body(self) -> Reply {
        Reply { body: Body::Stalled, ..self }
    }
}

/// Listens on a free port; gives one reply after the other, and drops the connection when none is left.
#[derive(Debug)]
pub(super) struct Receiver {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(super) async fn start(replies: impl IntoIterator<Item = Reply>) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        let seen = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            // Connections that are to stay without an answer.
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let Some(request) = read(&mut stream).await else { continue };
                seen.lock().expect("no panic").push(request);
                let reply = replies.pop_front().unwrap_or_else(Reply::drop);
                if answer(stream.get_mut(), &reply).await {
                    held.push(stream);
                }
            }
        });
        Receiver { address, requests, task }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What came so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }

    /// Closes the port.
    pub(super) async fn stop(self) {
        self.task.abort();
        let _cancelled = self.task.await;
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let pairs = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let headers: Vec<(String, String)> =
        pairs.map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let length = headers.iter().find(|(key, _)| key == "content-length").map_or(Ok(0), |(_, value)| value.parse());
    let mut body = vec![0; length.ok()?];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { line: lines.first()?.clone(), headers, body: String::from_utf8(body).ok()? })
}

/// Answers; says whether the connection is to stay open.
async fn answer(stream: &mut TcpStream, reply: &Reply) -> bool {
    let head = &reply.head;
    let text = match &reply.body {
        Body::Drop => return false,
        Body::Silence => return true,
        Body::Text(text) => format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len()),
        Body::Stalled => format!("{head}Content-Length: 10\r\n\r\n"),
        Body::Endless => format!("{head}\r\n"),
    };
    let mut sent = stream.write_all(text.as_bytes()).await;
    while matches!(reply.body, Body::Endless) && sent.is_ok() {
        sent = stream.write_all(&[b'x'; 4096]).await;
    }
    matches!(reply.body, Body::Stalled)
}
