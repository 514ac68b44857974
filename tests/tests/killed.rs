//! The server is killed again and again while alerts fire and a receiver is not always there: no incident is lost or opened twice,
//! and each event arrives at least once, in order, and exactly once by its id.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng};
use tokio_postgres::{Client, NoTls};

use crate::harness::Running;

/// Longest wait for something that has to come.
const PATIENCE: Duration = Duration::from_secs(150);

/// How often the receiver hangs up on whoever calls.
const HANG_UPS_MAX: usize = 4;

/// How often the server is killed when `PLIMSOLL_KILLS` does not say.
const KILLS: u64 = 8;

/// An event as it came in.
#[derive(Debug)]
struct Came {
    id: String,
    key: String,
    incident: i64,
    sequence: i64,
    event: String,
    /// It was answered with 204.
    is_taken: bool,
}

/// A receiver that by seed takes what comes the first time, refuses it for now, or hangs up before or after it has read it; what
/// comes again it takes, so that nothing waits for long.
fn receiver(seed: u64) -> (u16, Receiver<Came>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, came) = channel();
    std::thread::spawn(move || {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut hung_up, mut seen) = (0, BTreeSet::new());
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            // Not even read; a few times only.
            if hung_up < HANG_UPS_MAX && random.random_range(0..8) == 0 {
                hung_up += 1;
                continue;
            }
            let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
            let (mut head, mut line) = (String::new(), String::new());
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                head += &line.to_lowercase();
                line.clear();
            }
            let header = |name: &str| {
                let lines = head.lines().filter_map(|line| line.split_once(": "));
                lines.clone().find(|(known, _)| *known == name).map(|(_, value)| value.trim().to_owned())
            };
            let length = header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            let mut body = vec![0; length];
            // The server may be killed half way.
            if reader.read_exact(&mut body).is_err() {
                continue;
            }
            let Ok(body) = serde_json::from_slice::<serde_json::Value>(&body) else { continue };
            let text =
                |pointer: &str| body.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
            let number = |pointer: &str| body.pointer(pointer).and_then(serde_json::Value::as_i64).unwrap_or_default();
            let id = header("webhook-id").unwrap_or_default();
            let answer = match random.random_range(0..8) {
                _ if !seen.insert(id.clone()) => "204 No Content",
                0 => "503 Service Unavailable",
                1 => "429 Too Many Requests",
                2 => "500 Internal Server Error",
                // Read, and not answered.
                3 => "",
                _ => "204 No Content",
            };
            let came = Came {
                id,
                key: text("/incident/key"),
                incident: number("/incident/id"),
                sequence: number("/sequence"),
                event: text("/event"),
                is_taken: answer.starts_with("204"),
            };
            if !answer.is_empty() {
                let retry = if came.is_taken { "" } else { "retry-after: 0\r\n" };
                let answer = format!("HTTP/1.1 {answer}\r\n{retry}content-length: 0\r\nconnection: close\r\n\r\n");
                // Whoever asked may be gone.
                let _ = stream.write_all(answer.as_bytes());
            }
            if sender.send(came).is_err() {
                return;
            }
        }
    });
    (port, came)
}

fn serve(data: &Path) -> (Running, SocketAddr) {
    let data = data.to_str().expect("the path is text");
    let mut server = Running::start(&["serve", "--data", data, "--pg", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    let (pg, _http) = server.addresses();
    (server, pg)
}

async fn client(pg: SocketAddr) -> Client {
    let address = format!("host={} port={} user=alice dbname=postgres", pg.ip(), pg.port());
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// What waits, for whoever has to find out why it does.
async fn outbox(client: &Client) -> String {
    let text = "SELECT concat(incident_id, ' ', event, ' ', state, ' ', attempts, ' ', next_at, ' ', answer) FROM sys.delivery";
    let rows = client.query(text, &[]).await.expect("deliveries");
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_done_twice_however_often_the_server_is_killed() {
    let kills = std::env::var("PLIMSOLL_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut random = StdRng::seed_from_u64(11);
    let dir = tempfile::tempdir().expect("a directory");
    let (port, came) = receiver(7);
    let mut all: Vec<Came> = Vec::new();
    let mut slow: BTreeSet<String> = BTreeSet::new();
    for round in 0..kills {
        let (server, pg) = serve(dir.path());
        let client = client(pg).await;
        if round == 0 {
            let definitions = format!(
                "CREATE TABLE requests (time timestamptz, shop text, ms float8);
                 CREATE SINK pager WITH (url = 'http://127.0.0.1:{port}/', secret = 'quiet', allow_private = true);
                 CREATE ESCALATION POLICY oncall (AFTER '0 min' NOTIFY pager, AFTER '1 sec' NOTIFY pager WHEN NOT acknowledged);
                 CREATE ALERT too_slow AS SELECT time_bucket('1 sec', time) AS time, shop, avg(ms) AS value
                   FROM requests GROUP BY 1, 2 WHEN value > 500 ESCALATE TO oncall WITH (dedup_key = '{{shop}}')"
            );
            client.batch_execute(&definitions).await.expect("all of it is defined");
        }
        // Rows of the present: what was written before is complete with them.
        let shop = format!("shop{round}");
        client
            .batch_execute(&format!("INSERT INTO requests VALUES (now(), '{shop}', 900)"))
            .await
            .expect("the row is acknowledged");
        slow.insert(shop);
        // Something comes, or it does not: either way the server is killed then.
        let patience = Duration::from_millis(random.random_range(0..2_500));
        let first = tokio::task::block_in_place(|| came.recv_timeout(patience));
        all.extend(first);
        server.kill();
    }
    let (_server, pg) = serve(dir.path());
    let client = client(pg).await;
    let firing = |wanted: usize| {
        let client = &client;
        async move {
            let count = "SELECT count(*) FROM ops.alert_event WHERE event = 'firing'";
            let row = client.query_one(count, &[]).await.expect("a count");
            usize::try_from(row.get::<_, i64>(0)).expect("a count") >= wanted
        }
    };
    // The last one is complete when a later row has come.
    while !firing(slow.len()).await {
        client.batch_execute("INSERT INTO requests VALUES (now(), 'quiet', 100)").await.expect("a row");
        all.extend(tokio::task::block_in_place(|| came.recv_timeout(Duration::from_millis(200))).ok());
    }
    let told_all = |all: &[Came]| {
        let of = |event: &str| -> BTreeSet<String> {
            all.iter().filter(|came| came.is_taken && came.event == event).map(|came| came.key.clone()).collect()
        };
        of("incident.opened") == slow && of("incident.escalated") == slow
    };
    while !told_all(&all) {
        match tokio::task::block_in_place(|| came.recv_timeout(PATIENCE)) {
            Ok(came) => all.push(came),
            Err(_) => panic!("not all are told: {slow:?}\n{all:#?}\n{}", outbox(&client).await),
        }
    }

    let keys = "SELECT key, count(*) FROM ops.incident WHERE key LIKE 'shop%' GROUP BY key ORDER BY key";
    let incidents: BTreeMap<String, i64> =
        client.query(keys, &[]).await.expect("incidents").iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(incidents, slow.iter().map(|shop| (shop.clone(), 1)).collect(), "one incident for each");
    let twice = "SELECT labels, event, at FROM ops.alert_event GROUP BY 1, 2, 3 HAVING count(*) > 1";
    assert!(client.query(twice, &[]).await.expect("events").is_empty(), "no change of state is there twice");
    let mut ids: BTreeMap<(i64, i64), BTreeSet<&str>> = BTreeMap::new();
    let mut taken: BTreeMap<i64, i64> = BTreeMap::new();
    for came in all.iter().filter(|came| came.key.starts_with("shop")) {
        ids.entry((came.incident, came.sequence)).or_default().insert(&came.id);
        if came.is_taken {
            let last = taken.entry(came.incident).or_insert(0);
            assert!(came.sequence <= *last + 1, "{came:?} came before what was before it");
            *last = came.sequence.max(*last);
        }
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "an event has one id: {ids:?}");
}
