//! `COPY ... FROM STDIN`: text, csv and binary, from tokio-postgres and psql.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::SinkExt as _;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use super::server::{NEW_YEAR_NS, PgServer, said, text_rows};

const DISK: &str = "CREATE TABLE disk (time timestamptz, host text, free float8, inodes bigint, full_ boolean, note text, \
    PRIMARY KEY (time, host))";

/// Copies a text that is sent in pieces of a size.
async fn copy(client: &Client, statement: &str, text: &str, piece: usize) -> Result<u64, Error> {
    let sink = client.copy_in::<_, Bytes>(statement).await?;
    let mut sink = pin!(sink);
    for piece in text.as_bytes().chunks(piece) {
        sink.send(Bytes::copy_from_slice(piece)).await?;
    }
    sink.finish().await
}

const ALL: &str = "SELECT * FROM disk ORDER BY time, host";

#[tokio::test]
async fn text_and_csv_give_the_same_rows() {
    let server = PgServer::start().await;
    let client = server.connect().await;
    client.batch_execute(DISK).await.unwrap();
    let text =
        "2024-01-01 00:00:00+00\ta\t1.5\t7\tt\t\\N\n2024-01-01 01:00:00+01\tb\\tc\t-2e3\t\\N\tf\tsaid \\\\ \"yes\"\n";
    assert_eq!(copy(&client, "COPY disk FROM STDIN", text, 5).await.unwrap(), 2);
    let expected =
        ["2024-01-01 00:00:00+00|a|1.5|7|t|NULL", "2024-01-01 00:00:00+00|b\tc|-2000|NULL|f|said \\ \"yes\""];
    assert_eq!(text_rows(&client, ALL).await, expected);
    client.batch_execute(&format!("DROP TABLE disk; {DISK}")).await.unwrap();
    let csv = "host;time;free;inodes;full_;note\r\na;2024-01-01;1.5;7;1;\r\n\"b\tc\";2024-01-01;-2000;;no;\"said \\ \"\"yes\"\"\"\r\n";
    let statement =
        "COPY public.disk (host, time, free, inodes, full_, note) FROM STDIN WITH (FORMAT csv, HEADER, DELIMITER ';')";
    assert_eq!(copy(&client, statement, csv, 7).await.unwrap(), 2);
    assert_eq!(text_rows(&client, ALL).await, expected);
}

#[tokio::test]
async fn tickets_are_loaded_from_a_file() {
    let server = PgServer::start().await;
    let client = server.connect().await;
    let csv = "external_id,title,priority,opened_at,resolved_at,made_sla\nINC1,\"slow, and slower\",1,2026-03-01 10:00:00+00,2026-03-01 12:00:00+00,t\nINC2,down,2,2026-03-02 10:00:00+00,,\n";
    let statement = "COPY ops.incident (external_id, title, priority, opened_at, resolved_at, made_sla) FROM STDIN WITH (FORMAT csv, HEADER)";
    assert_eq!(copy(&client, statement, csv, 11).await.unwrap(), 2);
    let all = "SELECT id, external_id, title, priority, resolved_at, made_sla, state FROM ops.incident ORDER BY id";
    let expected = ["1|INC1|slow, and slower|1|2026-03-01 12:00:00+00|t|new", "2|INC2|down|2|NULL|NULL|new"];
    assert_eq!(text_rows(&client, all).await, expected);
    // A key that is there refuses the whole batch.
    let again = copy(&client, statement, &csv.replace("INC1", "INC3"), 100).await.unwrap_err();
    assert!(said(&again).1.contains("duplicate key"), "{:?}", said(&again));
    assert_eq!(text_rows(&client, all).await, expected);
    let wrong = copy(&client, "COPY ops.incident (titel) FROM STDIN", "", 1).await.unwrap_err();
    assert!(said(&wrong).1.contains("titel"), "{:?}", said(&wrong));
    let kept = copy(&client, "COPY ops.alert FROM STDIN", "", 1).await.unwrap_err();
    assert!(said(&kept).1.contains("kept by the database"), "{:?}", said(&kept));
}

#[tokio::test]
async fn a_materialized_view_is_listed_as_one() {
    let server = PgServer::start().await;
    let client = server.connect().await;
    client.batch_execute(DISK).await.unwrap();
    let view = "CREATE MATERIALIZED VIEW hourly WITH (continuous) AS SELECT time_bucket('1 hour', time) AS time, host, \
                max(free) AS free FROM disk GROUP BY 1, 2";
    client.batch_execute(view).await.unwrap();
    let kinds = "SELECT relname, relkind::text FROM pg_class WHERE relname IN ('disk', 'hourly') ORDER BY 1";
    assert_eq!(text_rows(&client, kinds).await, ["disk|r", "hourly|m"]);
    assert_eq!(text_rows(&client, "SELECT matviewname, ispopulated::text FROM pg_matviews").await, ["hourly|true"]);
    let columns = "SELECT attname::text FROM pg_attribute WHERE attrelid = 'hourly'::regclass ORDER BY attnum";
    assert_eq!(text_rows(&client, columns).await, ["time", "host", "free"]);
    client.batch_execute("REFRESH MATERIALIZED VIEW hourly; DROP MATERIALIZED VIEW hourly").await.unwrap();
    assert_eq!(text_rows(&client, "SELECT relname FROM pg_class WHERE relname = 'hourly'").await, [] as [&str; 0]);
}

#[tokio::test]
async fn binary_takes_values_of_drivers() {
    let server = PgServer::start().await;
    let client = server.connect().await;
    client.batch_execute(DISK).await.unwrap();
    let sink = client.copy_in("COPY disk (time, host, free, inodes, full_) FROM STDIN BINARY").await.unwrap();
    let types = [Type::TIMESTAMPTZ, Type::TEXT, Type::FLOAT8, Type::INT8, Type::BOOL];
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
    let new_year = SystemTime::UNIX_EPOCH + Duration::from_nanos(NEW_YEAR_NS as u64);
    for n in 0..40_000i64 {
        let time = new_year + Duration::from_secs(n as u64);
        let none: Option<bool> = None;
        writer.as_mut().write(&[&time, &"a", &(n as f64 / 2.0), &n, &none]).await.unwrap();
    }
    assert_eq!(writer.finish().await.unwrap(), 40_000);
    let sums = text_rows(&client, "SELECT count(*), sum(free), sum(inodes), count(full_), max(time) FROM disk").await;
    assert_eq!(sums, ["40000|399990000|799980000|0|2024-01-01 11:06:39+00"]);
}

#[tokio::test]
async fn a_bad_row_is_told_by_line_and_column() {
    let server = PgServer::start().await;
    let client = server.connect().await;
    client.batch_execute(DISK).await.unwrap();
    for (statement, text, code, message, context) in [
        (
            "COPY disk (time, free) FROM STDIN",
            "2024-01-01\t1\n2024-01-02\tmuch\n",
            "22P02",
            "invalid input syntax for type double precision: \"much\"",
            Some("COPY disk, line 2, column free: \"much\""),
        ),
        (
            "COPY disk (time, free) FROM STDIN",
            "2024-01-01\n",
            "22P04",
            "missing data for column \"free\"",
            Some("COPY disk, line 1"),
        ),
        (
            "COPY disk (time, free) FROM STDIN CSV",
            "2024-01-01,1,2\n",
            "22P04",
            "extra data after last expected column",
            Some("COPY disk, line 1"),
        ),
        (
            "COPY disk (time, free) FROM STDIN BINARY",
            "2024-01-01",
            "22P04",
            "COPY file signature not recognized",
            Some("COPY disk, line 1"),
        ),
        ("COPY disk (time, free) FROM STDIN (FORMAT xml)", "", "22023", "COPY format \"xml\" not recognized", None),
        ("COPY disk (time, fre) FROM STDIN", "", "42703", "column \"fre\" does not exist", None),
        ("COPY dusk FROM STDIN", "", "42P01", "relation \"dusk\" does not exist", None),
        (
            "COPY disk (free) FROM STDIN",
            "",
            "23502",
            "null value in column \"time\" of relation \"disk\" violates not-null constraint",
            None,
        ),
        ("COPY disk FROM '/etc/passwd'", "", "0A000", "COPY from files or programs is not supported", None),
    ] {
        let error = copy(&client, statement, text, 3).await.unwrap_err();
        let (found_code, found_message, _) = said(&error);
        assert_eq!((found_code.as_str(), found_message.as_str()), (code, message), "{statement}");
        assert_eq!(error.as_db_error().and_then(|error| error.where_()), context, "{statement}");
    }
    // The connection goes on, and nothing of the small copies was stored.
    assert_eq!(text_rows(&client, "SELECT count(*) FROM disk").await, ["0"]);
}

#[tokio::test]
async fn a_copy_that_breaks_off_says_how_far_it_came() {
    let server = PgServer::start().await;
    let client = server.connect().await;
    client.batch_execute(DISK).await.unwrap();
    let rows: String = (0..20_000).map(|n| format!("2024-01-01 00:00:00.{n:06},{}\n", n % 7)).collect();
    let error =
        copy(&client, "COPY disk (time, free) FROM STDIN CSV", &format!("{rows}oops\n"), 8192).await.unwrap_err();
    let hint = error.as_db_error().and_then(|error| error.hint()).unwrap_or_default().to_owned();
    assert!(hint.starts_with("The first 16384 rows are stored."), "{hint}");
    assert_eq!(text_rows(&client, "SELECT count(*) FROM disk").await, ["16384"]);
    assert_eq!(copy(&client, "COPY disk (time, free) FROM STDIN CSV", &rows, 100).await.unwrap(), 20_000);
    assert_eq!(text_rows(&client, "SELECT count(*) FROM disk").await, ["20000"]);
}

#[tokio::test]
async fn a_client_may_think_better_of_it() {
    let server = PgServer::start().await;
    let client = server.connect().await;
    client.batch_execute(DISK).await.unwrap();
    {
        let sink = client.copy_in::<_, Bytes>("COPY disk (time, free) FROM STDIN").await.unwrap();
        let mut sink = pin!(sink);
        sink.send(Bytes::from_static(b"2024-01-01\t1\n")).await.unwrap();
        // Dropping the sink sends CopyFail.
    }
    assert_eq!(text_rows(&client, "SELECT count(*) FROM disk").await, ["0"]);
}
