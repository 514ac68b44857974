//! What a driver sees: tokio-postgres, with binary parameters and results.

use std::time::{Duration, SystemTime};

use super::server::{NEW_YEAR_NS, PgServer, said, text_rows};
use futures::TryStreamExt as _;
use tokio_postgres::types::Type;

fn new_year() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(NEW_YEAR_NS as u64)
}

#[tokio::test]
async fn rows_come_back_with_types() {
    let server = PgServer::with_cpu().await;
    let client = server.connect().await;
    let rows = client.query("SELECT time, host, usage, cores FROM cpu ORDER BY host, time", &[]).await.unwrap();
    assert_eq!(rows.len(), 6);
    let types: Vec<&Type> = rows[0].columns().iter().map(tokio_postgres::Column::type_).collect();
    assert_eq!(types, [&Type::TIMESTAMPTZ, &Type::TEXT, &Type::FLOAT8, &Type::INT8]);
    let (time, host, usage, cores): (SystemTime, &str, f64, i64) =
        (rows[1].get(0), rows[1].get(1), rows[1].get(2), rows[1].get(3));
    assert_eq!((time, host, usage, cores), (new_year() + Duration::from_secs(60), "a", 1.5, 8));
}

#[tokio::test]
async fn parameters_are_inferred_from_where_they_stand() {
    let server = PgServer::with_cpu().await;
    let client = server.connect().await;
    let statement = client
        .prepare("SELECT usage FROM cpu WHERE host = $1 AND time >= $2 AND usage < $3 ORDER BY time LIMIT $4")
        .await
        .unwrap();
    assert_eq!(statement.params(), [Type::TEXT, Type::TIMESTAMPTZ, Type::FLOAT8, Type::INT8]);
    let later = new_year() + Duration::from_secs(60);
    let rows = client.query(&statement, &[&"b", &later, &100.0, &1i64]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<f64>>(), [11.0]);
    let none = client.query(&statement, &[&None::<&str>, &later, &100.0, &1i64]).await.unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
async fn lists_are_parameters() {
    let server = PgServer::with_cpu().await;
    let client = server.connect().await;
    let statement = client
        .prepare("SELECT count(*) FROM cpu WHERE host = ANY($1) AND cores <> ALL($2) AND usage > ANY($3) AND time <= ANY($4::timestamptz[])")
        .await
        .unwrap();
    let lists = [Type::TEXT_ARRAY, Type::INT8_ARRAY, Type::FLOAT8_ARRAY, Type::TIMESTAMPTZ_ARRAY];
    assert_eq!(statement.params(), lists);
    let later = vec![new_year() + Duration::from_secs(3600)];
    for (hosts, cores, wanted) in [
        (vec![Some("a"), None], vec![7i64], "SELECT count(*) FROM cpu WHERE host = 'a' AND usage > 1"),
        (vec![Some("a"), Some("b")], vec![], "SELECT count(*) FROM cpu WHERE host IN ('a', 'b') AND usage > 1"),
        (vec![], vec![], "SELECT 0"),
        (vec![Some("a")], vec![8], "SELECT 0"),
    ] {
        let found = client.query_one(&statement, &[&hosts, &cores, &vec![1.0f64, 99.0], &later]).await.unwrap();
        let wanted = client.query_one(wanted, &[]).await.unwrap();
        assert_eq!(found.get::<_, i64>(0), wanted.get::<_, i64>(0), "{hosts:?} {cores:?}");
    }
    for (query, wanted) in [
        ("SELECT count(*) FROM cpu WHERE host = ANY('{a,\"b\"}')", "6"),
        ("SELECT count(*) FROM cpu WHERE host = ANY('{a,b}'::text[]) AND cores = ANY('{8}'::bigint[])", "6"),
        ("SELECT count(*) FROM cpu WHERE host <> ALL('{}')", "6"),
        ("SELECT mod(7, 4)", "3"),
    ] {
        assert_eq!(text_rows(&client, query).await, [wanted], "{query}");
    }
    let error = client.simple_query("SELECT 1 FROM cpu WHERE host = ANY('{a')").await.unwrap_err();
    assert_eq!(said(&error).0, "22P02");
}

#[tokio::test]
async fn tables_are_made_filled_and_dropped() {
    let server = PgServer::start().await;
    let client = server.connect().await;
    let create = "CREATE TABLE disk (time timestamptz, host text, free double precision, inodes bigint, full_ boolean)";
    client.batch_execute(create).await.unwrap();
    let insert = "INSERT INTO disk (time, host, free, inodes, full_) VALUES ($1, $2, $3, $4, $5)";
    let rows = client.execute(insert, &[&new_year(), &"a", &0.5, &7i64, &true]).await.unwrap();
    assert_eq!(rows, 1);
    let row = client.query_one("SELECT time, host, free, inodes, full_ FROM disk", &[]).await.unwrap();
    assert_eq!(row.get::<_, SystemTime>(0), new_year());
    assert_eq!((row.get::<_, &str>(1), row.get::<_, f64>(2), row.get::<_, i64>(3)), ("a", 0.5, 7));
    assert!(row.get::<_, bool>(4));
    let error = client.batch_execute(create).await.unwrap_err();
    assert_eq!(said(&error).0, "42P07");
    client.batch_execute("DROP TABLE disk").await.unwrap();
    let error = client.query("SELECT * FROM disk", &[]).await.unwrap_err();
    assert_eq!(said(&error), ("42P01".to_owned(), "relation \"disk\" does not exist".to_owned(), Some(15)));
}

#[tokio::test]
async fn errors_have_code_text_and_position() {
    let server = PgServer::with_cpu().await;
    let client = server.connect().await;
    for (query, code, message, position) in [
        ("SELEC 1", "42601", "syntax error at or near \"SELEC\"", Some(1)),
        ("SELECT * FROM cpuu", "42P01", "relation \"cpuu\" does not exist", Some(15)),
        ("SELECT usge FROM cpu", "42703", "column \"usge\" does not exist", Some(8)),
        ("SELECT nope(usage) FROM cpu", "42883", "function nope(double precision) does not exist", Some(8)),
        ("SELECT 1/0", "22012", "division by zero", None),
        ("SET nope = 1", "42704", "unrecognized configuration parameter \"nope\"", None),
        ("SHOW nope", "42704", "unrecognized configuration parameter \"nope\"", None),
    ] {
        let error = client.simple_query(query).await.unwrap_err();
        assert_eq!(said(&error), (code.to_owned(), message.to_owned(), position), "{query}");
    }
}

#[tokio::test]
async fn a_writing_transaction_is_refused_clearly() {
    let server = PgServer::with_cpu().await;
    let client = server.connect().await;
    let insert = "INSERT INTO cpu (time, host, usage) VALUES ('2024-01-02Z', 'c', 1)";
    let error = client.batch_execute(&format!("BEGIN; {insert}")).await.unwrap_err();
    assert_eq!(said(&error).0, "0A000");
    client.batch_execute("ROLLBACK; SET default_transaction_read_only = on").await.unwrap();
    let error = client.batch_execute(insert).await.unwrap_err();
    let message = "cannot execute INSERT in a read-only transaction".to_owned();
    assert_eq!(said(&error), ("25006".to_owned(), message, None));
    assert_eq!(text_rows(&client, "SELECT count(*) FROM cpu").await, ["6"]);
}

#[tokio::test]
async fn values_are_shown_as_postgresql_shows_them() {
    let server = PgServer::start().await;
    let client = server.connect().await;
    for (query, shown) in [
        (
            "SELECT 1.5::float8, 'NaN'::float8, '-Infinity'::float8, 1e15::float8, 0.00001::float8",
            "1.5|NaN|-Infinity|1e+15|1e-05",
        ),
        ("SELECT true, false, NULL, 'x', 42, 1::bigint", "t|f|NULL|x|42|1"),
        (
            "SELECT '2024-01-01 00:00:00.120Z'::timestamptz, '2024-01-01 00:00:00'::timestamp",
            "2024-01-01 00:00:00.12+00|2024-01-01 00:00:00",
        ),
        ("SELECT date '2024-02-29', interval '1 day 02:03:04.5'", "2024-02-29|1 day 02:03:04.5"),
    ] {
        assert_eq!(text_rows(&client, query).await, [shown], "{query}");
    }
}

#[tokio::test]
async fn the_time_zone_of_the_session_shows() {
    let server = PgServer::with_cpu().await;
    let client = server.connect_with("options='-c TimeZone=Asia/Kolkata'").await;
    let query = "SELECT time FROM cpu WHERE host = 'a' ORDER BY time LIMIT 1";
    assert_eq!(text_rows(&client, query).await, ["2024-01-01 05:30:00+05:30"]);
    assert_eq!(text_rows(&client, &format!("SET TIME ZONE 'UTC'; {query}")).await, ["2024-01-01 00:00:00+00"]);
    assert_eq!(
        text_rows(&client, &format!("BEGIN; SET LOCAL timezone = 'Europe/Berlin'; {query}")).await,
        ["2024-01-01 01:00:00+01"]
    );
    assert_eq!(text_rows(&client, &format!("ROLLBACK; {query}")).await, ["2024-01-01 00:00:00+00"]);
    assert_eq!(text_rows(&client, "SHOW timezone").await, ["UTC"]);
    let other = server.connect().await;
    assert_eq!(text_rows(&other, "SHOW TIME ZONE").await, ["UTC"], "settings are the connection's own");
}

#[tokio::test]
async fn a_driver_reads_a_portal_in_parts() {
    let server = PgServer::start().await;
    server.write_numbers(10);
    let mut client = server.connect().await;
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("SELECT n FROM numbers ORDER BY n", &[]).await.unwrap();
    let mut read = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 4).await.unwrap();
        if rows.is_empty() {
            break;
        }
        read.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
    }
    assert_eq!(read, (0..10).collect::<Vec<_>>());
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn many_connections_work_side_by_side() {
    let server = PgServer::with_cpu().await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(server.connect().await);
    }
    let counts = clients.iter().map(|client| client.query_one("SELECT count(*) FROM cpu", &[]));
    for row in futures::future::try_join_all(counts).await.unwrap() {
        assert_eq!(row.get::<_, i64>(0), 6);
    }
}

#[tokio::test]
async fn rows_are_streamed() {
    let server = PgServer::start().await;
    server.write_numbers(300);
    let client = server.connect().await;
    let query = "SELECT a.n FROM numbers a, numbers b";
    let rows = client.query_raw(query, std::iter::empty::<i64>()).await.unwrap();
    let sum = rows.try_fold(0, |sum, row| async move { Ok(sum + row.get::<_, i64>(0)) }).await.unwrap();
    assert_eq!(sum, 300 * (0..300).sum::<i64>());
}
