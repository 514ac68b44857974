//! The queries that real clients send, to a real PostgreSQL and to ours: both must give the same.
//!
//! The file of queries holds other projects' texts, so it is read where `PLIMSOLL_CLIENT_QUERIES` says it lies, and the test says
//! that it is skipped where that is not set. With `PLIMSOLL_CLIENT_REPORT=FILE` the counts of each client and whatever differs are
//! written there; the tables of `docs/compatibility.md` are made of them.

mod ask;
mod fixture;
mod normal;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::postgres::Postgres;
use super::server::PgServer;
use ask::{Said, Side};
use fixture::{Query, queries};
use normal::{Sample, rows};

/// The sample as both can hold it: the time column has our name for it, and there are no indexes and functions. What a column
/// is here is its comment; there are no comments on types and databases, and there is no procedural language.
const THEIR_TABLES: &str = "
    CREATE TABLE metrics (time timestamptz NOT NULL, host text, region text, cpu double precision, mem bigint, ok boolean, note text);
    CREATE TABLE e (time timestamptz NOT NULL, t bigint, v double precision);
    CREATE FUNCTION pg_catalog.time_bucket(interval, timestamptz) RETURNS timestamptz
        AS 'SELECT date_bin($1, $2, timestamptz ''2000-01-03 00:00Z'')' LANGUAGE sql;
    COMMENT ON COLUMN metrics.time IS 'timestamp';
    COMMENT ON COLUMN metrics.host IS 'tag';
    COMMENT ON COLUMN metrics.region IS 'tag';
    COMMENT ON COLUMN metrics.cpu IS 'field';
    COMMENT ON COLUMN metrics.mem IS 'field';
    COMMENT ON COLUMN metrics.ok IS 'field';
    COMMENT ON COLUMN metrics.note IS 'field';
    COMMENT ON COLUMN e.time IS 'timestamp';
    COMMENT ON COLUMN e.t IS 'field';
    COMMENT ON COLUMN e.v IS 'field';
    COMMENT ON DATABASE postgres IS NULL;
    DELETE FROM pg_description WHERE classoid = 'pg_type'::regclass;
    DROP EXTENSION plpgsql";
const OUR_TABLES: &str = "
    CREATE TABLE metrics (time timestamptz NOT NULL, host text, region text, cpu double precision, mem bigint, ok boolean, note text,
        PRIMARY KEY (time, host, region));
    CREATE TABLE e (time timestamptz NOT NULL, t bigint, v double precision)";
const SAMPLE: &str = "
    INSERT INTO metrics VALUES
        ('2024-01-01 00:00:00.5Z', 'h1', 'eu', 0.5, 100, true, 'first'), ('2024-01-01 00:01:00Z', 'h1', 'eu', 1.5, 200, false, NULL),
        ('2024-01-01 00:01:30Z', 'h2', 'us', 2.5, 300, NULL, 'it''s'), ('2024-01-01 01:00:00Z', 'h2', 'us', NULL, 400, true, NULL);
    INSERT INTO e VALUES ('2024-01-01 00:00:00Z', 1704067200, 1.5), ('2024-01-01 00:10:00Z', 1704067800, 2.5);
    CREATE VIEW v_cpu AS SELECT time, host, cpu FROM metrics";

const CLEAN_UP: &str = "
    DELETE FROM metrics WHERE time < '2024-01-01 00:00Z' OR time > '2024-01-02 00:00Z';
    DROP TABLE IF EXISTS pdt";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The share of the queries that are not a must which has to agree, in percent.
const AGREE_PERCENT_MIN: usize = 95;

/// Musts that may differ: client, what the query is for, why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// What comparing one query comes to.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    Agrees,
    /// PostgreSQL 15 refuses it: what newer servers have.
    RefusedByBoth,
    OnlyOurs,
    Error(String),
    Columns(String),
    Rows(String),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_find_what_they_find_in_postgres() {
    let Some(text) = std::env::var_os("PLIMSOLL_CLIENT_QUERIES").and_then(|path| std::fs::read_to_string(path).ok())
    else {
        #[expect(clippy::print_stdout, reason = "says why nothing was tested")]
        {
            println!("skipped: PLIMSOLL_CLIENT_QUERIES does not name a file");
        }
        return;
    };
    let Some(postgres) = Postgres::start_or_skip().await else { return };
    let server = PgServer::start().await;
    postgres.connect().await.batch_execute(&format!("{THEIR_TABLES};{SAMPLE}")).await.unwrap();
    server.connect().await.batch_execute(&format!("{OUR_TABLES};{SAMPLE}")).await.unwrap();
    let queries = queries(&text);
    let mut sides = BTreeMap::new();
    // All connect before the first query: one of them is about passwords.
    for query in &queries {
        if !sides.contains_key(&query.client) {
            let theirs = Side::open(UnixStream::connect(postgres.socket()).await.unwrap()).await;
            let ours = Side::open(TcpStream::connect(server.addr).await.unwrap()).await;
            sides.insert(query.client.clone(), (theirs, ours));
        }
    }
    let (their_keeper, our_keeper) = (postgres.connect().await, server.connect().await);
    let mut verdicts = Vec::new();
    for (nth, query) in queries.iter().enumerate() {
        let (theirs, ours) = sides.get_mut(&query.client).unwrap();
        verdicts.push(compare(query, theirs, ours).await);
        // What a client wrote is gone before the next one comes.
        if queries.get(nth + 1).is_none_or(|next| next.client != query.client) {
            theirs.leave_transaction().await;
            ours.leave_transaction().await;
            their_keeper.batch_execute(CLEAN_UP).await.unwrap();
            our_keeper.batch_execute(CLEAN_UP).await.unwrap();
        }
    }
    let judged: Vec<(&Query, &Verdict)> = queries.iter().zip(&verdicts).collect();
    if let Some(path) = std::env::var_os("PLIMSOLL_CLIENT_REPORT") {
        std::fs::write(path, report(&judged)).unwrap();
    }
    check(&judged);
}

async fn compare<A, B>(query: &Query, theirs: &mut Side<A>, ours: &mut Side<B>) -> Verdict
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let what = format!("{}: {}", query.client, query.about);
    let expected = tokio::time::timeout(PATIENCE, theirs.ask(query)).await;
    let expected = expected.unwrap_or_else(|_| panic!("no answer from PostgreSQL: {what}"));
    let found = tokio::time::timeout(PATIENCE, ours.ask(query)).await;
    let found = found.unwrap_or_else(|_| panic!("no answer from us: {what}"));
    if let Some(verdict) = compare_errors(&expected, &found) {
        return verdict;
    }
    let (wanted, got) = (shape(&expected), shape(&found));
    if wanted != got {
        return Verdict::Columns(format!("expected {wanted:?}, found {got:?}"));
    }
    let ordered = query.text.to_lowercase().contains("order by");
    let (theirs, ours) = (Sample { objects: &theirs.objects, ordered }, Sample { objects: &ours.objects, ordered });
    for (expected, found) in expected.results.iter().zip(&found.results) {
        let (wanted, got) = (rows(expected, &theirs), rows(found, &ours));
        if wanted != got {
            return Verdict::Rows(normal::difference(&wanted, &got));
        }
    }
    Verdict::Agrees
}

fn compare_errors(expected: &Said, found: &Said) -> Option<Verdict> {
    match (&expected.error, &found.error) {
        (None, None) => None,
        (None, Some((code, message))) => Some(Verdict::Error(format!("{code} {message}"))),
        (Some(_), None) => Some(Verdict::OnlyOurs),
        (Some((wanted, _)), Some((code, _))) if wanted == code => Some(Verdict::RefusedByBoth),
        (Some((wanted, _)), Some((code, message))) => {
            Some(Verdict::Error(format!("{code} {message}, where PostgreSQL says {wanted}")))
        }
    }
}

/// Names of the columns of each statement, or the form of its COPY, or the word of its tag.
fn shape(said: &Said) -> Vec<String> {
    let one = |answer: &ask::Answer| match (&answer.columns, answer.copy) {
        (Some(columns), _) => columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(","),
        (None, Some(copy)) => format!("copy {copy:?}"),
        (None, None) => answer.tag.clone(),
    };
    said.results.iter().map(one).collect()
}

/// Every must agrees but for the exceptions, and nearly all others do.
fn check(judged: &[(&Query, &Verdict)]) {
    let is_exception = |query: &Query| {
        EXCEPTIONS.iter().any(|(client, about, _)| query.client == *client && query.about.starts_with(about))
    };
    let failed: Vec<String> = judged
        .iter()
        .filter(|(query, verdict)| query.must && !is_fine(verdict, true) && !is_exception(query))
        .map(|(query, verdict)| format!("{}: {}: {verdict:?}", query.client, query.about))
        .collect();
    assert!(failed.is_empty(), "{} musts differ:\n{}", failed.len(), failed.join("\n"));
    let others: Vec<_> = judged.iter().filter(|(query, _)| !query.must).collect();
    let agree = others.iter().filter(|(_, verdict)| is_fine(verdict, false)).count();
    assert!(agree * 100 >= others.len() * AGREE_PERCENT_MIN, "{agree} of {} others agree", others.len());
}

/// Rows count where they must be the same.
fn is_fine(verdict: &Verdict, must: bool) -> bool {
    match verdict {
        Verdict::Agrees | Verdict::RefusedByBoth | Verdict::OnlyOurs => true,
        Verdict::Rows(_) => !must,
        Verdict::Error(_) | Verdict::Columns(_) => false,
    }
}

/// Counts per client, then each difference on a line.
fn report(judged: &[(&Query, &Verdict)]) -> String {
    let mut out = String::from(
        "| client | queries | musts | musts that agree | others | others that agree | rows that differ |\n|---|---|---|---|---|---|---|\n",
    );
    let mut clients: Vec<&str> = Vec::new();
    for (query, _) in judged {
        if !clients.contains(&query.client.as_str()) {
            clients.push(&query.client);
        }
    }
    let count = |client: Option<&str>, test: &dyn Fn(&Query, &Verdict) -> bool| {
        let of_client = judged.iter().filter(|(query, _)| client.is_none_or(|client| query.client == client));
        of_client.filter(|(query, verdict)| test(query, verdict)).count()
    };
    for client in clients.iter().map(|client| Some(*client)).chain([None]) {
        let counts = [
            count(client, &|_, _| true),
            count(client, &|query, _| query.must),
            count(client, &|query, verdict| query.must && is_fine(verdict, true)),
            count(client, &|query, _| !query.must),
            count(client, &|query, verdict| !query.must && is_fine(verdict, false)),
            count(client, &|_, verdict| matches!(verdict, Verdict::Rows(_))),
        ];
        let counts = counts.map(|count| count.to_string()).join(" | ");
        writeln!(out, "| {} | {counts} |", client.unwrap_or("all")).unwrap();
    }
    out.push('\n');
    for (query, verdict) in judged.iter().filter(|(_, verdict)| !matches!(verdict, Verdict::Agrees)) {
        let must = if query.must { " MUST" } else { "" };
        writeln!(out, "- {}: {}{must}: {verdict:?}", query.client, query.about).unwrap();
    }
    out
}
