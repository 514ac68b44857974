//! Backups from the command line, of a server that goes on: rows, KPIs, incidents and users come back, to any instant, and a
//! damaged chain is refused before anything is written.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::harness::{Running, http, plimsoll, said};

const PASSWORD: &str = "a long secret";

/// A running server, and how to ask it.
struct Server {
    process: Running,
    pg: SocketAddr,
    http: SocketAddr,
}

fn serve(data: &Path, archive: Option<&Path>) -> Server {
    let mut arguments = vec!["serve", "--pg", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", text(data)];
    arguments.extend(archive.iter().flat_map(|archive| ["--archive", text(archive)]));
    let mut process = Running::start(&arguments);
    let (pg, http) = process.addresses();
    Server { process, pg, http }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary directory has a plain name")
}

impl Server {
    async fn connect(&self, user: &str, password: &str) -> Client {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.pg.port()).user(user).password(password).dbname("postgres");
        let (client, connection) = config.connect(NoTls).await.unwrap_or_else(|error| panic!("{user}: {error:?}"));
        tokio::spawn(connection);
        client
    }

    async fn write(&self, lines: &'static str) {
        let (http_addr, user) = (self.http, "root");
        let path = format!("/write?db=d&precision=ns&u={user}&p={}", PASSWORD.replace(' ', "+"));
        let posted = tokio::task::spawn_blocking(move || http(http_addr, "POST", &path, lines)).await;
        let (status, body) = posted.expect("no panic").expect("an answer");
        assert_eq!(status, 204, "{body}");
    }

    async fn back_up(&self, arguments: &[&str], password: &'static str) -> Output {
        let server = format!("http://{}", self.http);
        let mut arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        arguments.extend(["--server".to_owned(), server]);
        let run = move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let mut command = plimsoll(&[&["backup"], arguments.as_slice()].concat());
            command.env("PLIMSOLL_BACKUP_PASSWORD", password).output().expect("the binary can be run")
        };
        tokio::task::spawn_blocking(run).await.expect("no panic")
    }

    async fn stop(self) {
        self.process.signal("TERM");
        let (status, lines) = tokio::task::spawn_blocking(move || self.process.end()).await.expect("no panic");
        assert!(status.success(), "{}", lines.join("\n"));
    }
}

async fn run(arguments: &[&str]) -> Output {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let run = move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        plimsoll(&arguments).output().expect("the binary can be run")
    };
    tokio::task::spawn_blocking(run).await.expect("no panic")
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    said(output)
}

fn failed(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    said(output)
}

async fn execute(client: &Client, sql: &str) {
    client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// The first column of all rows.
async fn column(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let first = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
        _ => None,
    };
    messages.into_iter().filter_map(first).collect()
}

/// An instant after everything so far and before everything later, by the server's clock and to more than the log tells it.
async fn instant(client: &Client) -> String {
    let now = || async { column(client, "SELECT now()").await.remove(0) };
    let at = now().await;
    let later = format!("SELECT now() > timestamptz '{at}' + interval '30 milliseconds'");
    while column(client, &later).await != ["t"] {}
    let instant = format!("SELECT timestamptz '{at}' + interval '15 milliseconds'");
    column(client, &instant).await.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_running_server_holds_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let (full, next, archive) = (at("full"), at("next"), at("archive"));
    let server = serve(&at("data"), Some(&archive));
    let client = server.connect("postgres", "").await;
    execute(&client, "CREATE TABLE requests (time timestamptz, app text, duration_ms double precision)").await;
    execute(&client, "CREATE SERVICE shop TIER 1 OWNER team").await;
    let kpi = "CREATE KPI shop_avg ON SERVICE shop AS SELECT time_bucket('1 min', time) AS time, avg(duration_ms) AS value \
               FROM requests GROUP BY 1 WITH (unit = 'ms', better = 'low', steward = 'alice')";
    execute(&client, kpi).await;
    execute(&client, "INSERT INTO ops.incident (service, title) VALUES ('shop', 'it is slow')").await;
    execute(&client, &format!("CREATE USER root SUPERUSER PASSWORD '{PASSWORD}'")).await;
    let client = server.connect("root", PASSWORD).await;
    execute(&client, "CREATE USER eve PASSWORD 'eve'").await;
    server.write("requests,app=a duration_ms=1 1767225600000000000\n").await;

    // Who may ask.
    let nobody = server.back_up(&["--to", text(&full)], "").await;
    assert!(failed(&nobody, 1).contains("PLIMSOLL_BACKUP_PASSWORD"), "{}", said(&nobody));
    let eve = server.back_up(&["--to", text(&full), "--user", "eve"], "eve").await;
    assert!(failed(&eve, 1).contains("only superusers make backups"), "{}", said(&eve));
    assert!(!full.exists(), "nothing was written for them");

    succeeded(&server.back_up(&["--to", text(&full), "--user", "root"], PASSWORD).await);
    execute(&client, "VACUUM").await;
    server.write("requests,app=a duration_ms=3 1767225601000000000\n").await;
    execute(&client, "INSERT INTO ops.incident (service, title) VALUES ('shop', 'it is down')").await;
    let taken = server.back_up(&["--to", text(&next), "--base", text(&full), "--user", "root"], PASSWORD).await;
    assert!(succeeded(&taken).contains("the rest in the base") || said(&taken).contains("files"), "{}", said(&taken));
    let again = server.back_up(&["--to", text(&next), "--user", "root"], PASSWORD).await;
    assert!(failed(&again, 1).contains("is not empty"), "{}", said(&again));
    server.write("requests,app=b duration_ms=5 1767225602000000000\n").await;
    let instant = instant(&client).await;
    server.write("requests,app=c duration_ms=7 1767225603000000000\n").await;
    drop(client);
    server.stop().await;

    for dir in [&full, &next, &archive, &at("data")] {
        assert!(succeeded(&run(&["verify", text(dir)]).await).contains("everything is as it was written"));
    }

    // Each of them restored, and asked by a server.
    let apps = |data: &'static str, arguments: Vec<String>| {
        let data = at(data);
        async move {
            let mut all = vec!["restore".to_owned(), "--to".to_owned(), text(&data).to_owned()];
            all.extend(arguments);
            succeeded(&run(&all.iter().map(String::as_str).collect::<Vec<_>>()).await);
            let server = serve(&data, None);
            let client = server.connect("root", PASSWORD).await;
            let apps = column(&client, "SELECT duration_ms FROM requests ORDER BY time").await;
            let value = column(&client, "SELECT value FROM kpi.shop_avg").await;
            let incidents = column(&client, "SELECT title FROM ops.incident ORDER BY id").await;
            // The other user with his password, too.
            drop(server.connect("eve", "eve").await);
            drop(client);
            server.stop().await;
            (apps, value, incidents)
        }
    };
    let from = |backup: &Path| vec!["--from".to_owned(), text(backup).to_owned()];
    let on = |backup: &Path, more: &[&str]| {
        let mut arguments = from(backup);
        arguments.extend(["--archive".to_owned(), text(&archive).to_owned()]);
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        arguments
    };
    let rows = |expected: &[&str]| expected.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let (slow, both) = (rows(&["it is slow"]), rows(&["it is slow", "it is down"]));
    assert_eq!(apps("r1", from(&full)).await, (rows(&["1"]), rows(&["1"]), slow.clone()));
    assert_eq!(apps("r2", from(&next)).await, (rows(&["1", "3"]), rows(&["2"]), both.clone()));
    // Rows come back to the instant, definitions and incidents as of the backup.
    assert_eq!(apps("r3", on(&full, &["--at", &instant])).await, (rows(&["1", "3", "5"]), rows(&["3"]), slow));
    assert_eq!(apps("r4", on(&next, &["--at", &instant])).await, (rows(&["1", "3", "5"]), rows(&["3"]), both.clone()));
    assert_eq!(apps("r5", on(&next, &[])).await, (rows(&["1", "3", "5", "7"]), rows(&["4"]), both));
    let unmade = at("r6");
    let early = [
        "restore",
        "--to",
        text(&unmade),
        "--from",
        text(&next),
        "--archive",
        text(&archive),
        "--at",
        "2020-01-01 00:00:00Z",
    ];
    assert!(failed(&run(&early).await, 2).contains("an earlier backup is needed"));

    // A chain of which one file is damaged.
    let store = full.join("catalog.redb");
    let mut bytes = std::fs::read(&store).expect("definitions are in the backup");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&store, bytes).expect("the file can be changed");
    for backup in [&full, &next] {
        assert!(
            failed(&run(&["verify", text(backup)]).await, 1).contains("full/catalog.redb: the bytes are not those")
        );
    }
    let refused = run(&["restore", "--from", text(&full), "--to", text(&at("r7"))]).await;
    assert!(failed(&refused, 1).contains("full/catalog.redb: the bytes are not those"), "{}", said(&refused));
    assert!(!at("r7").exists(), "nothing was written");
    // Of a directory at rest.
    succeeded(&run(&["backup", "--data", text(&at("r5")), "--to", text(&at("rest"))]).await);
    succeeded(&run(&["verify", text(&at("rest"))]).await);
    let served = run(&["serve", "--pg", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", text(&at("rest"))]).await;
    assert!(failed(&served, 1).contains("is a backup; restore it"), "{}", said(&served));
}
