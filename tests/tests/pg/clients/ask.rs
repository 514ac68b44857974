//! Asks a server as a client would, and keeps what it says: columns, rows, tags, errors, and the transaction's state.

use tokio::io::{AsyncRead, AsyncWrite};

use super::super::raw::{Message, Raw};
use super::fixture::Query;

/// Everything that came back for one query.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) results: Vec<Answer>,
    /// SQLSTATE and message.
    pub(super) error: Option<(String, String)>,
    pub(super) parameters: Vec<u32>,
}

/// What one statement gave.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) columns: Option<Vec<(String, u32)>>,
    pub(super) rows: Vec<Vec<Option<String>>>,
    /// Format and columns of a COPY.
    pub(super) copy: Option<(u8, u16)>,
    pub(super) tag: String,
}

/// A side of the comparison.
pub(super) struct Side<S> {
    raw: Raw<S>,
    status: u8,
    /// A transaction that no query asked for, for a cursor to live in.
    lent_block: bool,
    /// Names and oids of the sample's relations.
    pub(super) objects: Vec<(String, u32)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Side<S> {
    pub(super) async fn open(stream: S) -> Side<S> {
        let mut side =
            Side { raw: Raw::session_over(stream).await, status: b'I', lent_block: false, objects: Vec::new() };
        let query = "SELECT relname, oid FROM pg_class WHERE relname IN ('metrics', 'v_cpu', 'e')";
        let said = side.simple(query).await;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        side.objects = said.results[0].rows.iter().map(|row| (text(&row[0]), text(&row[1]).parse().unwrap())).collect();
        side
    }

    fn oid_of(&self, name: &str) -> u32 {
        self.objects.iter().find(|(object, _)| object == name).map_or(0, |(_, oid)| *oid)
    }

    /// Asks in the query's protocol. A failed transaction is ended before, a cursor gets one to live in.
    pub(super) async fn ask(&mut self, query: &Query) -> Said {
        let text = query.text.replace("$OID", &self.oid_of(query.object()).to_string());
        if self.status == b'E' {
            self.leave_transaction().await;
        }
        let folded = text.to_lowercase();
        let first = folded.split_whitespace().next().unwrap_or_default();
        if self.lent_block && !matches!(first, "declare" | "fetch" | "close") {
            self.simple("COMMIT").await;
            self.lent_block = false;
        }
        if self.status == b'I' && first == "declare" && !folded.contains("with hold") {
            self.simple("BEGIN").await;
            self.lent_block = true;
        }
        if query.extended { self.extended(&text, query).await } else { self.simple(&text).await }
    }

    /// Ends whatever transaction is open.
    pub(super) async fn leave_transaction(&mut self) {
        if self.status != b'I' {
            self.simple("ROLLBACK").await;
        }
        self.lent_block = false;
    }

    async fn simple(&mut self, text: &str) -> Said {
        self.raw.send('Q', &[text.as_bytes(), b"\0"].concat()).await;
        let mut said = Said::default();
        self.listen(&mut said, false).await;
        said
    }

    async fn extended(&mut self, text: &str, query: &Query) -> Said {
        let mut parse = [b"\0", text.as_bytes(), b"\0"].concat();
        parse.extend((query.declared.len() as u16).to_be_bytes());
        query.declared.iter().for_each(|oid| parse.extend(oid.to_be_bytes()));
        self.raw.send('P', &parse).await;
        self.raw.send('D', b"S\0").await;
        self.raw.send('S', b"").await;
        let mut said = Said::default();
        self.listen(&mut said, true).await;
        if said.error.is_some() {
            return said;
        }
        let parameters = std::mem::take(&mut said.parameters);
        let value = |(nth, type_oid): (usize, &u32)| query.value(nth, *type_oid, &|name| self.oid_of(name));
        let values: Vec<String> = parameters.iter().enumerate().map(value).collect();
        let mut bind = b"\0\0\0\0".to_vec();
        bind.extend((values.len() as u16).to_be_bytes());
        for value in &values {
            bind.extend((value.len() as u32).to_be_bytes());
            bind.extend(value.as_bytes());
        }
        bind.extend([0, 0]);
        self.raw.send('B', &bind).await;
        self.raw.send('D', b"P\0").await;
        self.raw.execute("", 0).await;
        self.raw.send('S', b"").await;
        let mut said = Said { parameters, ..Said::default() };
        self.listen(&mut said, true).await;
        said
    }

    /// Reads up to `ReadyForQuery`; gives a COPY nothing to store.
    async fn listen(&mut self, said: &mut Said, query_is_extended: bool) {
        let mut answer = Answer::default();
        loop {
            let message = self.raw.message().await.unwrap_or_else(|| panic!("the connection is gone after {said:?}"));
            match message.kind {
                'T' => answer.columns = Some(columns(&message.body)),
                'n' => answer.columns = None,
                't' => said.parameters = parameters(&message.body),
                'D' => answer.rows.push(row(&message.body)),
                'd' => answer.rows.push(vec![Some(copied(&message))]),
                'G' => self.end_copy(message.body[0], query_is_extended).await,
                'H' => answer.copy = Some((message.body[0], u16::from_be_bytes([message.body[1], message.body[2]]))),
                'C' | 'I' => {
                    answer.tag = message.text();
                    said.results.push(std::mem::take(&mut answer));
                }
                'E' => {
                    said.error =
                        Some((message.field(b'C').unwrap_or_default(), message.field(b'M').unwrap_or_default()));
                }
                'Z' => {
                    self.status = message.body[0];
                    return;
                }
                _ => {}
            }
        }
    }

    /// A `Sync` that came before the end of the rows counts for nothing.
    async fn end_copy(&mut self, format: u8, extended: bool) {
        if format == 1 {
            self.raw.send('d', b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\xff\xff").await;
        }
        self.raw.send('c', b"").await;
        if extended {
            self.raw.send('S', b"").await;
        }
    }
}

fn copied(message: &Message) -> String {
    message.body.iter().map(|byte| char::from(*byte)).collect()
}

fn columns(body: &[u8]) -> Vec<(String, u32)> {
    let mut rest = &body[2..];
    let mut columns = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        let type_oid = u32::from_be_bytes(rest[end + 7..end + 11].try_into().unwrap());
        columns.push((name, type_oid));
        rest = &rest[end + 19..];
    }
    columns
}

fn parameters(body: &[u8]) -> Vec<u32> {
    body[2..].chunks_exact(4).map(|oid| u32::from_be_bytes(oid.try_into().unwrap())).collect()
}

fn row(body: &[u8]) -> Vec<Option<String>> {
    let mut rest = &body[2..];
    let mut row = Vec::new();
    while rest.len() >= 4 {
        let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[4..];
        let value = usize::try_from(length).ok().map(|length| {
            let (value, after) = rest.split_at(length);
            rest = after;
            String::from_utf8_lossy(value).into_owned()
        });
        row.push(value);
    }
    row
}
