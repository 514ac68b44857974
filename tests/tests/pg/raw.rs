//! A client that speaks the protocol byte by byte, for what drivers hide: order of messages, tags, malformed input.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A connection without a driver.
pub(crate) struct Raw<S = TcpStream> {
    pub(crate) stream: BufReader<S>,
}

/// One message of the server: its type and body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) kind: char,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The field of an error, `C` for the SQLSTATE.
    pub(crate) fn field(&self, tag: u8) -> Option<String> {
        let mut fields = self.body.split(|byte| *byte == 0);
        let field = fields.find(|field| field.first() == Some(&tag))?;
        Some(String::from_utf8_lossy(&field[1..]).into_owned())
    }

    /// The body as text without its last zero byte.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.body.strip_suffix(&[0]).unwrap_or(&self.body)).into_owned()
    }
}

impl Raw {
    pub(crate) async fn open(addr: SocketAddr) -> Raw {
        Raw { stream: BufReader::with_capacity(1 << 16, TcpStream::connect(addr).await.unwrap()) }
    }

    /// A session that is ready for its first query.
    pub(crate) async fn session(addr: SocketAddr) -> Raw {
        let mut raw = Raw::open(addr).await;
        raw.startup(3 << 16, &[("user", "postgres")]).await;
        let greeting = raw.until_ready().await;
        assert_eq!(greeting[0].kind, 'R', "{greeting:?}");
        raw
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// A session over a stream of any kind.
    pub(crate) async fn session_over(stream: S) -> Raw<S> {
        let mut raw = Raw { stream: BufReader::with_capacity(1 << 16, stream) };
        raw.startup(3 << 16, &[("user", "postgres"), ("database", "postgres")]).await;
        let greeting = raw.until_ready().await;
        assert_eq!(greeting[0].kind, 'R', "{greeting:?}");
        raw
    }

    pub(crate) async fn startup(&mut self, version: u32, parameters: &[(&str, &str)]) {
        let mut body = version.to_be_bytes().to_vec();
        for (name, value) in parameters {
            body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        body.push(0);
        self.send_untyped(&body).await;
    }

    /// A packet that has no type: startup, request for encryption, cancel.
    pub(crate) async fn send_untyped(&mut self, body: &[u8]) {
        let length = (body.len() as u32 + 4).to_be_bytes();
        self.stream.write_all(&[&length, body].concat()).await.unwrap();
    }

    pub(crate) async fn send(&mut self, kind: char, body: &[u8]) {
        let length = (body.len() as u32 + 4).to_be_bytes();
        self.stream.write_all(&[&[kind as u8], &length[..], body].concat()).await.unwrap();
    }

    pub(crate) async fn query(&mut self, text: &str) -> Vec<Message> {
        self.send('Q', &[text.as_bytes(), b"\0"].concat()).await;
        self.until_ready().await
    }

    pub(crate) async fn parse(&mut self, name: &str, text: &str) {
        self.send('P', &[name.as_bytes(), b"\0", text.as_bytes(), b"\0\0\0"].concat()).await;
    }

    /// Binds without parameters, for text results.
    pub(crate) async fn bind(&mut self, portal: &str, statement: &str) {
        self.send('B', &[portal.as_bytes(), b"\0", statement.as_bytes(), b"\0\0\0\0\0\0\0"].concat()).await;
    }

    pub(crate) async fn execute(&mut self, portal: &str, rows_max: u32) {
        self.send('E', &[portal.as_bytes(), b"\0", &rows_max.to_be_bytes()].concat()).await;
    }

    pub(crate) async fn sync(&mut self) -> Vec<Message> {
        self.send('S', b"").await;
        self.until_ready().await
    }

    /// The next message; `None` at the end of the stream.
    pub(crate) async fn message(&mut self) -> Option<Message> {
        let kind = self.stream.read_u8().await.ok()?;
        let length = self.stream.read_u32().await.ok()?;
        let mut body = vec![0; length as usize - 4];
        self.stream.read_exact(&mut body).await.ok()?;
        Some(Message { kind: kind.into(), body })
    }

    /// Messages up to `ReadyForQuery` or the end of the stream.
    pub(crate) async fn until_ready(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await {
            let ready = message.kind == 'Z';
            messages.push(message);
            if ready {
                break;
            }
        }
        messages
    }

    /// Messages up to the end of the stream.
    pub(crate) async fn until_closed(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) = self.message().await {
            messages.push(message);
        }
        messages
    }
}

/// The types of messages, in order: `TDDCZ`.
pub(crate) fn kinds(messages: &[Message]) -> String {
    messages.iter().map(|message| message.kind).collect()
}

/// The SQLSTATEs of the errors among messages.
pub(crate) fn errors(messages: &[Message]) -> Vec<String> {
    messages.iter().filter(|message| message.kind == 'E').filter_map(|message| message.field(b'C')).collect()
}

/// The tags of completed commands among messages.
pub(crate) fn tags(messages: &[Message]) -> Vec<String> {
    messages.iter().filter(|message| message.kind == 'C').map(Message::text).collect()
}
