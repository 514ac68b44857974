//! Messages on a connection: bytes in to frontend messages, backend messages to bytes out.
//!
//! Invariants
//! - A frame is cut out of the stream and its shape checked before it is decoded, so no length in it can lead outside of it.
//! - Bytes that wait to go out are whole messages; dropping a `flush` half way loses none and repeats none.
//! - While a query runs, at most `READ_AHEAD_BYTES` are read from a client that sends on.

use std::io;

use bytes::{Buf, BytesMut};
use pgwire::messages::{DecodeContext, Message, PgWireFrontendMessage, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::sqlstate::{Severity, SqlError, code};

/// Bytes of rows that are gathered before they are sent.
pub(crate) const SEND_BYTES: usize = 64 << 10;

/// Bytes that are taken from a client while its query runs.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// Longest startup packet, as PostgreSQL has it.
const STARTUP_BYTES_MAX: usize = 10_000;

/// Shortest and longest cancel request: a secret key has 4 to 256 bytes.
const CANCEL_BYTES: std::ops::RangeInclusive<usize> = 16..=268;

/// Longest answer to a question for a password.
const PASSWORD_BYTES_MAX: usize = 8_192;

/// Codes that stand where a startup packet has its version.
const CANCEL_CODE: u32 = 80_877_102;
const SSL_CODE: u32 = 80_877_103;
const GSS_CODE: u32 = 80_877_104;

/// Why a connection ends before the client says goodbye.
#[derive(Debug)]
pub(crate) enum WireError {
    /// The client is gone.
    Gone,
    /// The client does not speak the protocol; it is told so.
    Protocol(SqlError),
    /// A message holds text that is not UTF-8. The message is refused, the connection goes on.
    Text {
        /// The message's type.
        kind: u8,
        error: SqlError,
    },
}

impl From<io::Error> for WireError {
    fn from(_: io::Error) -> WireError {
        WireError::Gone
    }
}

/// What a client opens a connection with.
pub(crate) enum Opening {
    /// May the connection be encrypted?
    Ssl,
    /// May the connection be encrypted with GSSAPI?
    Gss,
    /// A session, with the body after the version: `major`, `minor`, names and values.
    Startup { major: u16, minor: u16, parameters: Vec<(String, String)> },
    /// Stop what another connection does.
    Cancel { pid: i32, secret: Vec<u8> },
}

/// The reading half of a connection.
pub(crate) struct Reader<R> {
    stream: R,
    buffer: BytesMut,
    message_bytes_max: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(stream: R, message_bytes_max: usize) -> Reader<R> {
        Reader { stream, buffer: BytesMut::new(), message_bytes_max }
    }

    /// Reads what a client opens with; `None` when it closes instead.
    pub(crate) async fn opening(&mut self) -> Result<Option<Opening>, WireError> {
        let Some(length) = self.peek_u32(0).await? else { return Ok(None) };
        let length = length as usize;
        if !(8..=STARTUP_BYTES_MAX).contains(&length) {
            return Err(WireError::Protocol(SqlError::protocol("invalid length of startup packet")));
        }
        if !self.fill_to(length).await? {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(length);
        frame.advance(4);
        opening(frame.get_u32(), &frame).map(Some).map_err(WireError::Protocol)
    }

    /// Reads the next message of a session; `None` when the client closes. Can be dropped at any time.
    pub(crate) async fn message(&mut self) -> Result<Option<PgWireFrontendMessage>, WireError> {
        let Some(length) = self.peek_u32(1).await? else { return Ok(None) };
        let length = length as usize;
        if length < 4 {
            return Err(WireError::Protocol(SqlError::protocol("invalid message length")));
        }
        if length > self.message_bytes_max {
            let message =
                format!("message of {length} bytes is longer than the limit of {} bytes", self.message_bytes_max);
            return Err(WireError::Protocol(SqlError::fatal(code::LIMIT_EXCEEDED, message)));
        }
        if !self.fill_to(length + 1).await? {
            return Ok(None);
        }
        let frame = self.buffer.split_to(length + 1);
        let kind = frame[0];
        decode(frame).map(Some).map_err(|error| match error.severity {
            Severity::Fatal => WireError::Protocol(error),
            _ => WireError::Text { kind, error },
        })
    }

    /// Reads ahead while something else is done, and returns when the client is gone. Can be dropped at any time.
    pub(crate) async fn closed(&mut self) {
        while self.buffer.len() < READ_AHEAD_BYTES {
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending::<()>().await;
    }

    /// Reads an answer to a question for a password, and gives its body; `None` when the client closes.
    pub(crate) async fn password(&mut self) -> Result<Option<BytesMut>, WireError> {
        let Some(length) = self.peek_u32(1).await? else { return Ok(None) };
        if self.buffer[0] != b'p' {
            let message = format!("expected password response, got message type {}", self.buffer[0]);
            return Err(WireError::Protocol(SqlError::protocol(message)));
        }
        let length = length as usize;
        if !(4..=PASSWORD_BYTES_MAX).contains(&length) {
            return Err(WireError::Protocol(SqlError::protocol("invalid length of password packet")));
        }
        if !self.fill_to(length + 1).await? {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(length + 1);
        frame.advance(5);
        Ok(Some(frame))
    }

    /// The same over a stream whose kind no longer matters.
    pub(crate) fn boxed(self) -> Reader<super::Input>
    where
        R: Send + 'static,
    {
        let Reader { stream, buffer, message_bytes_max } = self;
        Reader { stream: Box::new(stream), buffer, message_bytes_max }
    }

    /// The stream itself; what was read ahead is gone.
    pub(crate) fn into_stream(self) -> R {
        self.stream
    }

    /// True when a whole or partial message waits.
    pub(crate) fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    async fn peek_u32(&mut self, at: usize) -> Result<Option<u32>, WireError> {
        let there = self.fill_to(at + 4).await?;
        Ok(there.then(|| (&self.buffer[at..]).get_u32()))
    }

    /// Reads until so many bytes are there; false when the client closes before.
    async fn fill_to(&mut self, length: usize) -> Result<bool, WireError> {
        while self.buffer.len() < length {
            // Room for what comes is made as it comes: a length alone must not take memory.
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The writing half of a connection.
pub(crate) struct Writer<W> {
    stream: W,
    /// Whole messages that wait to go out.
    pub(crate) out: BytesMut,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    pub(crate) fn new(stream: W) -> Writer<W> {
        Writer { stream, out: BytesMut::new() }
    }

    /// Queues a message.
    pub(crate) fn put(&mut self, message: &impl Message) {
        let before = self.out.len();
        // The encoder refuses only messages that are longer than a length can say.
        if message.encode(&mut self.out).is_err() {
            self.out.truncate(before);
        }
    }

    /// Queues a byte that is no message, the answer to a request for encryption.
    pub(crate) fn put_byte(&mut self, byte: u8) {
        self.out.extend_from_slice(&[byte]);
    }

    /// Sends what is queued. Can be dropped at any time and called again.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all_buf(&mut self.out).await?;
        self.stream.flush().await
    }

    /// Sends what is queued once it is worth a write.
    pub(crate) async fn flush_if_full(&mut self) -> io::Result<()> {
        if self.out.len() >= SEND_BYTES {
            self.stream.write_all_buf(&mut self.out).await?;
        }
        Ok(())
    }

    /// The same over a stream whose kind no longer matters.
    pub(crate) fn boxed(self) -> Writer<super::Output>
    where
        W: Send + 'static,
    {
        Writer { stream: Box::new(self.stream), out: self.out }
    }

    /// The stream itself; what was queued is gone.
    pub(crate) fn into_stream(self) -> W {
        self.stream
    }

    /// Closes the writing direction.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}

fn opening(version: u32, body: &[u8]) -> Result<Opening, SqlError> {
    match version {
        SSL_CODE => Ok(Opening::Ssl),
        GSS_CODE => Ok(Opening::Gss),
        CANCEL_CODE if CANCEL_BYTES.contains(&(body.len() + 8)) => {
            let mut body = body;
            let pid = body.get_i32();
            Ok(Opening::Cancel { pid, secret: body.to_vec() })
        }
        CANCEL_CODE => Err(SqlError::protocol("invalid length of cancel request packet")),
        version => {
            let parameters = startup_parameters(body)?;
            Ok(Opening::Startup { major: (version >> 16) as u16, minor: version as u16, parameters })
        }
    }
}

/// Names and values, each ended by a zero byte, up to an empty name.
fn startup_parameters(body: &[u8]) -> Result<Vec<(String, String)>, SqlError> {
    let wrong = || SqlError::protocol("invalid startup packet layout: expected terminator as last byte");
    let body = body.strip_suffix(&[0]).ok_or_else(wrong)?;
    let mut texts = body.split(|byte| *byte == 0);
    let mut parameters = Vec::new();
    while let Some(name) = texts.next().filter(|name| !name.is_empty()) {
        let value = texts.next().ok_or_else(wrong)?;
        parameters.push((fatal_utf8(name)?, fatal_utf8(value)?));
    }
    Ok(parameters)
}

fn fatal_utf8(bytes: &[u8]) -> Result<String, SqlError> {
    utf8(bytes).map(str::to_owned).map_err(|error| SqlError { severity: Severity::Fatal, ..error })
}

/// Decodes one whole message, type and length included.
fn decode(mut frame: BytesMut) -> Result<PgWireFrontendMessage, SqlError> {
    let kind = frame[0];
    check_shape(kind, &frame[5..])?;
    let mut context = DecodeContext::new(ProtocolVersion::PROTOCOL3_2);
    context.awaiting_frontend_ssl = false;
    context.awaiting_frontend_startup = false;
    match PgWireFrontendMessage::decode(&mut frame, &context) {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(SqlError::protocol("invalid message format")),
        Err(error) => Err(SqlError::protocol(error.to_string())),
    }
}

/// Checks that the parts of a message fill it exactly and that its texts are UTF-8. The decoder takes that for granted.
fn check_shape(kind: u8, body: &[u8]) -> Result<(), SqlError> {
    let mut rest = Body(body);
    match kind {
        b'Q' => rest.text()?,
        b'P' => {
            rest.text()?;
            rest.text()?;
            let types = rest.u16()?;
            rest.skip(usize::from(types) * 4)?;
        }
        b'B' => {
            rest.text()?;
            rest.text()?;
            let formats = rest.u16()?;
            rest.skip(usize::from(formats) * 2)?;
            for _ in 0..rest.u16()? {
                let length = rest.u32()? as i32;
                rest.skip(usize::try_from(length).unwrap_or(0))?;
            }
            let formats = rest.u16()?;
            rest.skip(usize::from(formats) * 2)?;
        }
        b'D' | b'C' => {
            rest.skip(1)?;
            rest.text()?;
        }
        b'E' => {
            rest.text()?;
            rest.skip(4)?;
        }
        b'H' | b'S' | b'X' | b'c' => {}
        b'f' => rest.text()?,
        b'd' | b'p' => return Ok(()),
        other => {
            return Err(SqlError::protocol(format!("invalid frontend message type {other}")));
        }
    }
    if rest.0.is_empty() { Ok(()) } else { Err(SqlError::protocol("invalid message format")) }
}

/// What is left of a message.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn text(&mut self) -> Result<(), SqlError> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let end = end.ok_or_else(|| SqlError::protocol("invalid string in message"))?;
        utf8(&self.0[..end])?;
        self.skip(end + 1)
    }

    fn u16(&mut self) -> Result<u16, SqlError> {
        let at = self.0;
        self.skip(2)?;
        Ok(u16::from_be_bytes([at[0], at[1]]))
    }

    fn u32(&mut self) -> Result<u32, SqlError> {
        let at = self.0;
        self.skip(4)?;
        Ok(u32::from_be_bytes([at[0], at[1], at[2], at[3]]))
    }

    fn skip(&mut self, bytes: usize) -> Result<(), SqlError> {
        let rest = self.0.get(bytes..);
        self.0 = rest.ok_or_else(|| SqlError::protocol("insufficient data left in message"))?;
        Ok(())
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, SqlError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = &bytes[error.valid_up_to()..];
        let shown: Vec<String> = at.iter().take(4).map(|byte| format!("0x{byte:02x}")).collect();
        let message = format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" "));
        SqlError::new(code::NOT_IN_REPERTOIRE, message)
    })
}

#[cfg(test)]
mod tests {
    use pgwire::messages::extendedquery::{Bind, Parse};
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, body: &[u8]) -> BytesMut {
        let mut frame = BytesMut::from(&[kind][..]);
        frame.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        frame.extend_from_slice(body);
        frame
    }

    #[test]
    fn whole_messages_are_decoded() {
        let mut bytes = BytesMut::new();
        Parse::new(Some("s".to_owned()), "SELECT $1".to_owned(), vec![20]).encode(&mut bytes).unwrap();
        assert!(matches!(decode(bytes), Ok(PgWireFrontendMessage::Parse(parse)) if parse.type_oids == [20]));
        let mut bytes = BytesMut::new();
        let parameters = vec![None, Some(bytes::Bytes::from_static(b"12"))];
        Bind::new(None, None, vec![0, 1], parameters, vec![]).encode(&mut bytes).unwrap();
        assert!(matches!(decode(bytes), Ok(PgWireFrontendMessage::Bind(bind)) if bind.parameters.len() == 2));
    }

    #[test]
    fn lengths_that_lead_outside_are_refused() {
        let bind = [0, 0, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 1, 0, 0];
        for (kind, body) in
            [(b'B', &bind[..]), (b'P', b"a\0b\0\xff\xff"), (b'D', b""), (b'Q', b"no end"), (b'Q', b"a\0b")]
        {
            assert_eq!(decode(frame(kind, body)).unwrap_err().code, "08P01");
        }
        assert_eq!(decode(frame(b'Q', b"\xff\0")).unwrap_err().code, "22021");
        assert_eq!(decode(frame(b'!', b"")).unwrap_err().code, "08P01");
    }

    proptest! {
        #[test]
        fn any_message_is_safe(kind in prop::sample::select(b"QPBDECHSXdcfp!".to_vec()), body in prop::collection::vec(0u8..4, 0..40)) {
            let _ = decode(frame(kind, &body));
        }

        #[test]
        fn any_opening_is_safe(version in prop_oneof![any::<u32>(), Just(CANCEL_CODE), Just(3 << 16)], body in prop::collection::vec(0u8..4, 0..40)) {
            let _ = opening(version, &body);
        }
    }
}
