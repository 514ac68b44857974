//! Who comes in and what he may do, asked by real clients of a whole server: TLS, passwords, roles, grants.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use plimsoll::config::TlsMode;
use plimsoll::{Config, Server};
use plimsoll_engine::env::Clock;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// A clock that the test sets.
#[derive(Debug)]
struct HandClock(AtomicI64);

impl Clock for HandClock {
    fn now_ns(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// 2024-01-01 00:00:00 UTC.
const NEW_YEAR_NS: i64 = 1_704_067_200_000_000_000;

struct Running {
    server: Server,
    clock: Arc<HandClock>,
    dir: tempfile::TempDir,
}

fn config(data: &Path) -> Config {
    let any_port = "127.0.0.1:0".parse().expect("an address");
    Config { data: data.to_owned(), pg: any_port, http: any_port, ..Config::default() }
}

async fn start(change: impl FnOnce(&mut Config)) -> Running {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = config(dir.path());
    change(&mut config);
    let clock = Arc::new(HandClock(AtomicI64::new(NEW_YEAR_NS)));
    let server = Server::start(&config, clock.clone()).await.expect("the server starts");
    Running { server, clock, dir }
}

impl Running {
    async fn try_connect(&self, words: &str) -> Result<Client, tokio_postgres::Error> {
        let text = format!("host=127.0.0.1 port={} dbname=postgres {words}", self.server.pg_addr.port());
        let (client, connection) = tokio_postgres::connect(&text, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn connect(&self, words: &str) -> Client {
        self.try_connect(words).await.unwrap_or_else(|error| panic!("{words}: {error:?}"))
    }

    /// The SQLSTATE and message that a log-in ends with.
    async fn refused(&self, words: &str) -> (String, String) {
        match self.try_connect(words).await {
            Ok(_) => panic!("{words}: let in"),
            Err(error) => said(&error),
        }
    }

    /// What psql printed, errors included; `None` where there is no psql.
    async fn psql(&self, words: &str, arguments: &[&str]) -> Option<String> {
        let conninfo = format!("port={} dbname=postgres {words}", self.server.pg_addr.port());
        let mut command = Command::new("psql");
        command.args(["-X", "-w", "-At", &conninfo]).args(arguments).stdin(Stdio::null());
        command.env_remove("PGOPTIONS").env("PGCONNECT_TIMEOUT", "60").env("PSQL_PAGER", "");
        match tokio::task::spawn_blocking(move || command.output()).await.expect("no panic") {
            Ok(output) => Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()),
            Err(error) => {
                let required = std::env::var("PLIMSOLL_REQUIRE_CLIENTS").is_ok_and(|value| value == "1");
                assert!(!required, "psql is required and cannot be run: {error}");
                None
            }
        }
    }
}

fn said(error: &tokio_postgres::Error) -> (String, String) {
    let error = error.as_db_error().unwrap_or_else(|| panic!("not from the server: {error:?}"));
    (error.code().code().to_owned(), error.message().to_owned())
}

async fn code(client: &Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Ok(_) => "ok".to_owned(),
        Err(error) => said(&error).0,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_password_everybody_here_comes_in_and_with_one_nobody_without() {
    let running = start(|_| {}).await;
    let anybody = running.connect("user=anybody").await;
    assert_eq!(code(&anybody, "CREATE USER bob PASSWORD 'b'").await, "22023");
    anybody.batch_execute("CREATE USER root SUPERUSER PASSWORD 'hunter2'").await.expect("created");
    anybody.batch_execute("CREATE USER bob PASSWORD 'b'").await.expect_err("it has become nobody");
    let root = running.connect("user=root password=hunter2").await;
    root.batch_execute("CREATE USER bob PASSWORD 'b'; CREATE ROLE team PASSWORD 't'").await.expect("created");
    running.connect("user=bob password=b").await;
    for (words, user) in
        [("user=root password=wrong", "root"), ("user=team password=t", "team"), ("user=nobody password=b", "nobody")]
    {
        let wanted = ("28P01".to_owned(), format!("password authentication failed for user \"{user}\""));
        assert_eq!(running.refused(words).await, wanted);
    }
    root.batch_execute("ALTER USER bob PASSWORD 'c'").await.expect("changed");
    running.connect("user=bob password=c").await;
    root.batch_execute("DROP USER bob").await.expect("dropped");
    assert_eq!(running.refused("user=bob password=c").await.0, "28P01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_outlive_a_restart_and_open_the_network() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(HandClock(AtomicI64::new(NEW_YEAR_NS)));
    let mut wide = config(dir.path());
    wide.pg = "0.0.0.0:0".parse().expect("an address");
    let refused = Server::start(&wide, clock.clone()).await.expect_err("nobody has a password").to_string();
    assert!(refused.contains("no user has a password"), "{refused}");
    let server = Server::start(&config(dir.path()), clock.clone()).await.expect("the server starts");
    let session = server.database().session();
    let made = tokio::task::spawn_blocking(move || session.execute("CREATE USER root SUPERUSER PASSWORD 'x'", 0));
    made.await.expect("no panic").expect("created");
    server.stop().await.expect("stopped");
    let server = Server::start(&wide, clock.clone()).await.expect("somebody has a password");
    let running = Running { server, clock, dir };
    running.connect("user=root password=x").await;
    assert_eq!(running.refused("user=root password=y").await.0, "28P01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_log_ins_have_to_wait_longer_each_time() {
    let running = start(|_| {}).await;
    let root = running.connect("user=root").await;
    root.batch_execute("CREATE USER root SUPERUSER PASSWORD 'x'").await.expect("created");
    for _ in 0..4 {
        assert_eq!(running.refused("user=root password=wrong").await.0, "28P01");
    }
    let (state, message) = running.refused("user=root password=x").await;
    assert_eq!(state, "28000");
    assert!(message.contains("try again in 1 s"), "{message}");
    running.clock.0.fetch_add(1_000_000_000, Ordering::Relaxed);
    running.connect("user=root password=x").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn psql_encrypts_logs_in_and_changes_its_password() {
    let running = start(|_| {}).await;
    let root = running.connect("user=root").await;
    root.batch_execute("CREATE USER root SUPERUSER PASSWORD 'x'").await.expect("created");
    let cert = running.dir.path().join("tls.crt");
    let verified = format!("host=localhost user=root password=x sslmode=verify-full sslrootcert={}", cert.display());
    for words in ["host=127.0.0.1 user=root password=x sslmode=require", verified.as_str()] {
        let Some(printed) = running.psql(words, &["-c", "\\conninfo", "-c", "SELECT 1"]).await else { return };
        assert!(printed.contains("SSL connection") && printed.ends_with('1'), "{printed}");
    }
    let wrong = running.psql("host=127.0.0.1 user=root password=y sslmode=require", &["-c", "SELECT 1"]).await;
    let wrong = wrong.expect("psql is there");
    assert!(wrong.contains("password authentication failed for user \"root\""), "{wrong}");
    // What psql's \password sends: SCRAM-SHA-256 of "pencil".
    let verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
                    WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    root.batch_execute(&format!("ALTER USER \"root\" PASSWORD '{verifier}'")).await.expect("changed");
    running.connect("user=root password=pencil").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_encrypt_when_they_have_to_and_from_the_first_byte_if_they_like() {
    let running = start(|config| config.tls = TlsMode::Require).await;
    let (state, message) = running.refused("user=root sslmode=disable").await;
    assert_eq!(state, "28000");
    assert!(message.contains("encrypted connections only"), "{message}");
    if let Some(printed) = running.psql("host=127.0.0.1 user=root sslmode=require", &["-c", "SELECT 1"]).await {
        assert_eq!(printed, "1");
    }
    assert_eq!(direct(&running, &[b"postgresql"]).await.first(), Some(&b'R'));
    assert_eq!(direct(&running, &[]).await, b"");
    let off = start(|config| config.tls = TlsMode::Off).await;
    if let Some(printed) = off.psql("host=127.0.0.1 user=root sslmode=require", &["-c", "SELECT 1"]).await {
        assert!(printed.contains("does not support SSL"), "{printed}");
    }
    assert!(!off.dir.path().join("tls.key").exists());
}

/// What a server says to a client that begins with TLS, for some protocols, and then logs in.
async fn direct(running: &Running, protocols: &[&[u8]]) -> Vec<u8> {
    let cert = CertificateDer::from_pem_file(running.dir.path().join("tls.crt")).expect("a certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(running.server.pg_addr).await.expect("a connection");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = "localhost".try_into().expect("a name");
    let mut stream = connector.connect(name, stream).await.expect("a handshake");
    let body = b"\0\x03\0\0user\0root\0\0";
    let length = (body.len() as u32 + 4).to_be_bytes();
    let _closed_already = stream.write_all(&[&length[..], body].concat()).await;
    let _terminate = stream.write_all(b"X\0\0\0\x04").await;
    let mut answer = Vec::new();
    // A server that hangs up does not say goodbye.
    let _cut_off = stream.read_to_end(&mut answer).await;
    answer
}

/// What some statements end with for a user, `ok` or the SQLSTATE, one a line.
async fn tried(client: &Client, statements: &[&str]) -> String {
    let mut lines = String::new();
    for statement in statements {
        lines += &format!("{}: {statement}\n", code(client, statement).await);
    }
    lines
}

const DATA: &str = "CREATE TABLE cpu (time timestamptz, host text, usage double precision);
    CREATE TABLE secret (time timestamptz, v double precision);
    INSERT INTO cpu VALUES ('2024-01-01T00:00:00Z', 'a', 0.5);
    INSERT INTO secret VALUES ('2024-01-01T00:00:00Z', 42);
    CREATE VIEW shown AS SELECT time, v FROM secret;
    CREATE KPI load AS SELECT time_bucket('1 minute', time) AS time, avg(usage) AS value FROM cpu GROUP BY 1;
    CREATE USER root SUPERUSER";

const USERS: &str = "CREATE USER reader;
    GRANT SELECT ON TABLE cpu, shown TO reader;
    GRANT SELECT ON KPI load TO reader;
    CREATE USER writer;
    GRANT INSERT ON cpu TO writer;
    CREATE USER lookout;
    GRANT viewer TO lookout;
    CREATE USER keeper;
    GRANT steward TO keeper";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_may_do_what_is_granted_and_no_more() {
    let running = start(|_| {}).await;
    running.connect("user=postgres").await.batch_execute(DATA).await.expect("made");
    running.connect("user=root").await.batch_execute(USERS).await.expect("made");
    let reader = running.connect("user=reader").await;
    let wanted = "\
ok: SELECT * FROM cpu
ok: SELECT host, max(usage) FROM cpu GROUP BY host
ok: SELECT c.host FROM cpu c JOIN shown s ON s.time = c.time
ok: SELECT v FROM shown
ok: SELECT value FROM kpi.load
ok: SELECT 1
42501: SELECT * FROM secret
42501: SELECT max(v) FROM secret
42501: EXPLAIN SELECT * FROM secret
42501: SELECT (SELECT max(v) FROM secret)
42501: WITH s AS (SELECT v FROM secret) SELECT * FROM cpu, s
42501: SELECT * FROM cpu WHERE EXISTS (SELECT 1 FROM secret)
42501: SELECT usage FROM cpu UNION ALL SELECT v FROM secret
42501: SELECT * FROM ops.incident
42501: SELECT * FROM sys.queries
42501: INSERT INTO cpu VALUES ('2024-01-01T00:01:00Z', 'a', 1)
42501: INSERT INTO secret SELECT time, usage FROM cpu
42501: COPY cpu FROM STDIN
42501: DELETE FROM cpu WHERE host = 'a'
42501: CREATE TABLE t (time timestamptz, v double precision)
42501: DROP TABLE cpu
42501: ALTER TABLE cpu ADD COLUMN x double precision
42501: CREATE VIEW w AS SELECT * FROM cpu
42501: DROP VIEW shown
42501: VACUUM
42501: CREATE KPI k AS SELECT time, v AS value FROM secret
42501: DROP KPI load
42501: CREATE ROLE r
42501: GRANT admin TO reader
42501: CALL acknowledge(1)
42501: SUBSCRIBE TO (SELECT * FROM cpu)
42501: LISTEN alert
42501: SHOW CREATE TABLE secret
";
    let statements: Vec<&str> = wanted.lines().map(|line| line.split_once(": ").expect("a line").1).collect();
    assert_eq!(tried(&reader, &statements).await, wanted);
    let writer = running.connect("user=writer").await;
    let wanted = "\
ok: INSERT INTO cpu VALUES ('2024-01-01T00:02:00Z', 'b', 1)
42501: INSERT INTO cpu SELECT time, 'x', v FROM secret
42501: SELECT * FROM cpu
42501: DELETE FROM cpu WHERE host = 'b'
";
    let statements: Vec<&str> = wanted.lines().map(|line| line.split_once(": ").expect("a line").1).collect();
    assert_eq!(tried(&writer, &statements).await, wanted);
    let lookout = running.connect("user=lookout").await;
    let wanted = "\
ok: SELECT * FROM secret
ok: SELECT * FROM ops.incident
ok: LISTEN alert
42501: SELECT * FROM sys.queries
42501: UPDATE ops.incident SET title = 'x' WHERE id = 1
42501: DELETE FROM secret WHERE v = 42
";
    let statements: Vec<&str> = wanted.lines().map(|line| line.split_once(": ").expect("a line").1).collect();
    assert_eq!(tried(&lookout, &statements).await, wanted);
    let keeper = running.connect("user=keeper").await;
    let wanted = "\
ok: CREATE KPI busy AS SELECT time_bucket('1 minute', time) AS time, max(usage) AS value FROM cpu GROUP BY 1
ok: SELECT value FROM kpi.busy
ok: DROP KPI busy
42501: DROP SERVICE checkout
42501: DROP KPI load CASCADE
";
    let statements: Vec<&str> = wanted.lines().map(|line| line.split_once(": ").expect("a line").1).collect();
    assert_eq!(tried(&keeper, &statements).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kpi_is_changed_by_its_steward() {
    let running = start(|_| {}).await;
    running.connect("user=postgres").await.batch_execute(DATA).await.expect("made");
    let users = "CREATE ROLE desk; CREATE USER ann; CREATE USER ben; CREATE USER kim; GRANT desk TO ann;
        GRANT CREATE ON SCHEMA kpi TO ann, ben; GRANT SELECT ON TABLE cpu TO ann, ben; GRANT steward TO kim;
        ALTER KPI load SET (steward = 'desk')";
    running.connect("user=root").await.batch_execute(users).await.expect("made");
    let replaced = "CREATE OR REPLACE KPI load AS SELECT time_bucket('1 minute', time) AS time, max(usage) AS value FROM cpu \
                    GROUP BY 1 WITH (steward = 'desk')";
    let (ann, ben, kim) =
        (running.connect("user=ann").await, running.connect("user=ben").await, running.connect("user=kim").await);
    for statement in [replaced, "ALTER KPI load SET (unit = 'share')", "DROP KPI load"] {
        let refused = ben.batch_execute(statement).await.expect_err("he is no steward of it");
        let why = "permission denied: KPI load is changed by its steward desk, or with the right APPROVE";
        assert_eq!(said(&refused), ("42501".to_owned(), why.to_owned()), "{statement}");
    }
    assert_eq!(code(&ann, replaced).await, "ok");
    assert_eq!(code(&kim, "ALTER KPI load SET (unit = 'share')").await, "ok");
    assert_eq!(code(&ben, "CREATE KPI other AS SELECT time, usage AS value FROM cpu").await, "ok");
    assert_eq!(code(&ann, "DROP KPI load").await, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_come_and_go_in_open_sessions_and_with_prepared_statements() {
    let running = start(|_| {}).await;
    running.connect("user=postgres").await.batch_execute(DATA).await.expect("made");
    running.connect("user=root").await.batch_execute(USERS).await.expect("made");
    let root = running.connect("user=root").await;
    let reader = running.connect("user=reader").await;
    let prepared = reader.prepare("SELECT usage FROM cpu").await.expect("allowed");
    assert_eq!(reader.query(&prepared, &[]).await.expect("allowed").len(), 1);
    root.batch_execute("REVOKE SELECT ON cpu FROM reader").await.expect("revoked");
    let denied = reader.query(&prepared, &[]).await.expect_err("revoked");
    assert_eq!(said(&denied), ("42501".to_owned(), "permission denied for table cpu".to_owned()));
    root.batch_execute("GRANT viewer TO reader").await.expect("granted");
    assert_eq!(reader.query(&prepared, &[]).await.expect("granted").len(), 1);
    root.batch_execute("DROP USER reader").await.expect("dropped");
    assert_eq!(code(&reader, "SELECT usage FROM cpu").await, "42501");
    assert_eq!(code(&root, "GRANT SELECT ON nothing TO writer").await, "42P01");
    assert_eq!(code(&root, "GRANT SELECT ON KPI nothing TO writer").await, "42704");
    assert_eq!(code(&root, "GRANT ack ON cpu TO writer").await, "42601");
    assert_eq!(running.refused("user=stranger").await.0, "28000");
}

/// What a query gives a user, cells by `|`, rows by `;`, or the SQLSTATE.
async fn seen(client: &Client, sql: &str) -> String {
    let rows = match client.simple_query(sql).await {
        Ok(rows) => rows,
        Err(error) => return said(&error).0,
    };
    let cells = |row: &tokio_postgres::SimpleQueryRow| {
        (0..row.len()).map(|at| row.get(at).unwrap_or("-").to_owned()).collect::<Vec<_>>().join("|")
    };
    let rows = rows.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(cells(row)),
        _ => None,
    });
    rows.collect::<Vec<_>>().join(";")
}

const POLICIES: &str = "CREATE ROLE team_a;
    CREATE ROLE team_b;
    CREATE BASELINE b ON KPI load SEASON (hour_of_day);
    CREATE USER ann;
    GRANT CREATE ON SCHEMA public TO ann;
    GRANT viewer, responder, team_a TO ann;
    GRANT SELECT ON SCHEMA sys TO ann;
    CREATE USER ben;
    GRANT viewer, team_b TO ben;
    CREATE USER eve;
    GRANT viewer TO eve;
    INSERT INTO cpu VALUES ('2024-01-01T00:00:00Z', 'b', 0.75), ('2024-01-01T00:01:00Z', 'b', 1);
    CREATE KPI by_host AS SELECT time_bucket('1 minute', time) AS time, host, avg(usage) AS value FROM cpu GROUP BY 1, 2;
    INSERT INTO ops.incident (service, key, title) VALUES ('a', 'a', 'of a'), ('b', 'b', 'of b');
    GRANT DELETE ON cpu TO ann;
    GRANT OVERRIDE ON BASELINE b TO sre_lead;
    CREATE POLICY rows_of_a ON cpu TO team_a USING (host = 'a');
    CREATE POLICY rows_of_b ON cpu TO team_b USING (host = 'b');
    CREATE POLICY kpi_of_a ON kpi.by_host FOR SELECT TO team_a USING (host IN (SELECT 'a'));
    CREATE POLICY tickets_of_a ON ops.incident TO team_a USING (service = 'a')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_leave_rows_to_those_they_are_for() {
    let running = start(|_| {}).await;
    running.connect("user=postgres").await.batch_execute(DATA).await.expect("made");
    let root = running.connect("user=root").await;
    root.batch_execute(POLICIES).await.expect("made");
    let (ann, ben, eve) =
        (running.connect("user=ann").await, running.connect("user=ben").await, running.connect("user=eve").await);
    let hosts = "SELECT DISTINCT host FROM cpu ORDER BY 1";
    for (client, wanted) in [(&root, "a;b"), (&ann, "a"), (&ben, "b"), (&eve, "")] {
        assert_eq!(seen(client, hosts).await, wanted);
    }
    for (sql, wanted) in [
        ("SELECT count(*), max(usage) FROM cpu", "2|1"),
        ("SELECT host, last(usage, time) FROM cpu GROUP BY host", "b|1"),
        ("SELECT c.host FROM cpu AS c WHERE c.host = 'a'", ""),
        ("SELECT DISTINCT ON (host) host, usage FROM cpu ORDER BY host, time DESC", "b|1"),
        ("WITH x AS (SELECT * FROM public.cpu) SELECT count(*) FROM x WHERE usage > 0.8", "1"),
        // What a definition reads it reads whole, unless there is a policy on itself.
        ("SELECT value FROM kpi.load ORDER BY time", "0.625;1"),
        ("SELECT count(*) FROM kpi.by_host", "0"),
        ("SELECT count(*) FROM ops.incident", "0"),
    ] {
        assert_eq!(seen(&ben, sql).await, wanted, "{sql}");
    }
    for (sql, wanted) in [
        ("SELECT host, value FROM kpi.by_host", "a|0.5"),
        ("SELECT service, title FROM ops.incident", "a|of a"),
        // A view of ours shows what its reader may see.
        ("SELECT service FROM ops.v_frontline", "a"),
        // What tells of incidents tells her of those that she sees.
        ("SELECT DISTINCT incident_id FROM ops.incident_event", "1"),
        ("SELECT DISTINCT incident_id FROM sys.delivery", ""),
        ("SELECT count(*) FROM sys.audit WHERE object LIKE 'ops.incident%'", "0"),
        ("SELECT count(*) > 0 FROM sys.audit", "t"),
        ("SELECT * FROM audit_verify()", "42501"),
        ("INSERT INTO ops.review (incident_id, summary) VALUES (1, 'a disk was full')", ""),
        // What tells of all rows at once does not tell somebody of some.
        ("SELECT * FROM match_known_errors(1)", "42501"),
        ("SELECT * FROM coverage('by_host', '2024-01-01', '2024-01-02')", "42501"),
        ("LISTEN incident", "42501"),
        ("NOTIFY incident, 'forged'", "42501"),
        ("SELECT pg_notify('alert', 'forged')", "42501"),
        ("SELECT * FROM incident_report(1)", "42501"),
        ("INSERT INTO ops.incident (service, title) VALUES ('b', 'not hers')", "42501"),
        ("CREATE VIEW leak AS SELECT * FROM kpi.by_host", "42501"),
        ("CREATE VIEW leak AS WITH x AS (SELECT * FROM public.cpu) SELECT * FROM x", "42501"),
    ] {
        assert_eq!(seen(&ann, sql).await, wanted, "{sql}");
    }
    // Rows that are not seen are not changed either.
    assert_eq!(code(&ann, "CALL acknowledge(2)").await, "22023");
    assert_eq!(code(&ann, "CALL acknowledge(1)").await, "ok");
    ann.batch_execute("UPDATE ops.incident SET title = 'mine'").await.expect("allowed");
    assert_eq!(seen(&root, "SELECT title FROM ops.incident ORDER BY id").await, "mine;of b");
    ann.batch_execute("DELETE FROM cpu").await.expect("allowed");
    assert_eq!(seen(&root, "SELECT DISTINCT host FROM cpu").await, "b");
    // A prepared statement follows.
    let prepared = ben.prepare("SELECT host FROM cpu").await.expect("allowed");
    assert_eq!(ben.query(&prepared, &[]).await.expect("allowed").len(), 2);
    root.batch_execute("DROP POLICY rows_of_b ON cpu").await.expect("dropped");
    assert_eq!(ben.query(&prepared, &[]).await.expect("allowed").len(), 0);
    for (sql, wanted) in [
        ("DROP ROLE team_a", "22023"),
        ("CREATE POLICY rows_of_a ON cpu TO team_b USING (host = 'a')", "42710"),
        ("CREATE POLICY p ON cpu TO team_b USING (nothing = 'a')", "22023"),
        ("CREATE POLICY p ON nothing TO team_b USING (true)", "42P01"),
        ("CREATE POLICY p ON cpu TO nobody USING (true)", "42704"),
        ("CREATE POLICY p ON cpu TO team_b USING host", "42601"),
        ("DROP POLICY rows_of_b ON cpu", "42704"),
        ("DROP POLICY IF EXISTS rows_of_b ON cpu", "ok"),
    ] {
        assert_eq!(code(&root, sql).await, wanted, "{sql}");
    }
    assert_eq!(code(&ann, "CREATE POLICY p ON cpu TO team_b USING (true)").await, "42501");
    assert_eq!(
        seen(&root, "SELECT policy, relation, role, condition FROM sys.row_policy WHERE policy = 'rows_of_a'").await,
        "rows_of_a|cpu|team_a|host = 'a'"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_asks_for_the_same_users() {
    let running = start(|_| {}).await;
    let base = format!("http://{}", running.server.http_addr);
    let _already_chosen = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let write = |path: &str| client.post(format!("{base}{path}")).body("cpu,host=a usage=1 1704067200000000000\n");
    let status =
        |request: reqwest::RequestBuilder| async move { request.send().await.expect("an answer").status().as_u16() };
    assert_eq!(status(write("/write?db=d")).await, 204);
    let root = running.connect("user=root").await;
    root.batch_execute("CREATE USER root SUPERUSER PASSWORD 'x'; ").await.expect("created");
    root.batch_execute(
        "CREATE USER agent PASSWORD 'a b'; GRANT INSERT ON ALL TABLES IN SCHEMA public TO agent;
         CREATE USER reader PASSWORD 'r'; GRANT viewer TO reader;
         CREATE TABLE mem (time timestamptz, used double precision);
         CREATE USER of_mem PASSWORD 'm'; GRANT INSERT ON mem TO of_mem",
    )
    .await
    .expect("created");
    let answer = write("/write?db=d").send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 401);
    assert!(answer.headers().contains_key("www-authenticate"));
    assert_eq!(status(write("/api/v2/write?bucket=b")).await, 401);
    assert_eq!(status(write("/write?db=d").basic_auth("agent", Some("a b"))).await, 204);
    assert_eq!(status(write("/write?db=d&u=agent&p=a+b")).await, 204);
    assert_eq!(status(write("/api/v2/write?bucket=b").header("Authorization", "Token agent:a b")).await, 204);
    assert_eq!(status(write("/write?db=d").basic_auth("reader", Some("r"))).await, 403);
    assert_eq!(status(write("/write?db=d").basic_auth("agent", Some("wrong"))).await, 401);
    // Of a body whoever has a right to one table writes the lines of that one.
    let both = |path: &str| {
        let body = "cpu,host=a usage=2 1704067201000000000\nmem used=1 1704067201000000000\n";
        client.post(format!("{base}{path}")).body(body).basic_auth("of_mem", Some("m"))
    };
    let answer = both("/write?db=d").send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 400);
    let told = answer.text().await.expect("a body");
    assert!(told.contains("permission denied for table cpu (line 1)") && !told.contains("line 2"), "{told}");
    assert_eq!(rows(&root, "SELECT (SELECT count(*) FROM cpu), (SELECT count(*) FROM mem)").await, "1|1");
    let one = |line: &'static str| client.post(format!("{base}/api/v3/write_lp?db=d")).body(line);
    assert_eq!(status(one("mem used=2 1704067202").basic_auth("of_mem", Some("m"))).await, 204);
    assert_eq!(status(one("cpu usage=2 1704067202").basic_auth("of_mem", Some("m"))).await, 403);
    assert_eq!(status(one("new usage=2 1704067202").basic_auth("of_mem", Some("m"))).await, 403);
    assert_eq!(status(one("mem used=2 1704067202")).await, 401);
    let get = |path: &str| client.get(format!("{base}{path}"));
    assert_eq!(status(get("/ping")).await, 204);
    assert_eq!(status(get("/metrics")).await, 200);
    let subscription = "/api/v1/subscribe?query=SELECT+usage+FROM+cpu";
    assert_eq!(status(get(subscription)).await, 401);
    assert_eq!(status(get(subscription).basic_auth("agent", Some("a b"))).await, 403);
    assert_eq!(status(get(subscription).basic_auth("reader", Some("r"))).await, 200);
    assert_eq!(status(get("/api/v1/events").basic_auth("agent", Some("a b"))).await, 403);
    let ticket = || client.post(format!("{base}/api/v1/incidents")).body("{}");
    assert_eq!(status(ticket()).await, 401);
    assert_eq!(status(ticket().basic_auth("reader", Some("r"))).await, 403);
    for _ in 0..4 {
        assert_eq!(status(get("/query?q=x&u=root&p=y")).await, 401);
    }
    assert_eq!(status(get("/query?q=x&u=root&p=x")).await, 429);
}

/// The rows of a query, columns split by bars.
async fn rows(client: &Client, query: &str) -> String {
    let messages = client.simple_query(query).await.expect("rows");
    let texts = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let values: Vec<&str> = (0..row.len()).map(|at| row.get(at).unwrap_or("null")).collect();
            Some(values.join("|"))
        }
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// Lines of line protocol over one connection; returns when the server has closed it in turn, and all are stored.
async fn send_lines(running: &Running, lines: &str) {
    let addr = running.server.line_tcp_addr.expect("lines are taken over TCP");
    let mut stream = TcpStream::connect(addr).await.expect("connected");
    stream.write_all(lines.as_bytes()).await.expect("sent");
    stream.shutdown().await.expect("shut down");
    assert_eq!(stream.read(&mut [0; 8]).await.expect("the server closes"), 0);
}

#[tokio::test]
async fn lines_over_sockets_have_the_rights_of_a_user() {
    let any_port = "127.0.0.1:0".parse().expect("an address");
    let running = start(|config| {
        config.ingest.line_tcp = Some(any_port);
        config.ingest.line_udp = Some(any_port);
        config.ingest.line_user = "sender".to_owned();
    })
    .await;
    // A line without its newline may be half of one.
    send_lines(&running, "cpu,host=a usage=1,note=\"two\nlines\" 1\nbad\ncpu,host=a usage=2 2\ncpu,host=a usage=3 3")
        .await;
    let root = running.connect("user=root").await;
    assert_eq!(rows(&root, "SELECT usage, note FROM cpu ORDER BY time").await, "1|two\nlines\n2|null");
    root.batch_execute(
        "CREATE USER root SUPERUSER PASSWORD 'x'; CREATE TABLE mem (time timestamptz, used double precision);
         CREATE USER sender; GRANT INSERT ON mem TO sender",
    )
    .await
    .expect("created");
    send_lines(&running, "mem used=1 1\ncpu,host=a usage=4 4\nmem used=2 2\n").await;
    assert_eq!(rows(&root, "SELECT (SELECT count(*) FROM cpu), (SELECT count(*) FROM mem)").await, "2|2");
    let socket = tokio::net::UdpSocket::bind(any_port).await.expect("bound");
    let to = running.server.line_udp_addr.expect("lines are taken over UDP");
    for datagram in ["mem used=\"open\n", "cpu,host=a usage=5 5", "mem used=3 3\nmem used=4 4", "mem used=5 5\n"] {
        socket.send_to(datagram.as_bytes(), to).await.expect("sent");
    }
    while rows(&root, "SELECT count(*) FROM mem").await != "5" {
        tokio::task::yield_now().await;
    }
    assert_eq!(rows(&root, "SELECT count(*) FROM cpu").await, "2");
    running.server.stop().await.expect("stopped");
}
