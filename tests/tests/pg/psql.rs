//! psql 15 as people use it. Without it these tests say so and pass, unless `PLIMSOLL_REQUIRE_CLIENTS=1`.

use std::process::{Command, Stdio};

use super::server::PgServer;

/// What psql printed, errors included; `None` where there is no psql.
async fn psql(server: &PgServer, arguments: &[&str]) -> Option<String> {
    let port = server.addr.port().to_string();
    let mut command = Command::new("psql");
    command.args(["-X", "-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-d", "postgres"]).args(arguments);
    command.env_remove("PGOPTIONS").env("PGCONNECT_TIMEOUT", "60").env("PSQL_PAGER", "").stdin(Stdio::null());
    match tokio::task::spawn_blocking(move || command.output()).await.unwrap() {
        Ok(output) => {
            let printed = [output.stdout, output.stderr].concat();
            Some(String::from_utf8(printed).unwrap())
        }
        Err(error) => {
            let required = std::env::var("PLIMSOLL_REQUIRE_CLIENTS").is_ok_and(|value| value == "1");
            assert!(!required, "psql is required and cannot be run: {error}");
            #[expect(clippy::print_stdout, reason = "says why nothing was tested")]
            {
                println!("skipped: psql not found");
            }
            None
        }
    }
}

async fn check(server: &PgServer, arguments: &[&str], expected: &str) {
    if let Some(printed) = psql(server, arguments).await {
        let lines = |text: &str| text.trim().lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(lines(&printed), lines(expected), "psql {arguments:?} printed:\n{printed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_a_table() {
    let server = PgServer::with_cpu().await;
    let expected = "
          time          | host | usage | cores
------------------------+------+-------+-------
 2024-01-01 00:00:00+00 | a    |   0.5 |     8
 2024-01-01 00:01:00+00 | a    |   1.5 |     8
(2 rows)
";
    let query = "SELECT time, host, usage, cores FROM cpu WHERE host = 'a' ORDER BY time LIMIT 2";
    check(&server, &["-c", query], expected).await;
    let expected = "
          time          | host | avg
------------------------+------+------
 2024-01-01 00:00:00+00 | a    |    1
 2024-01-01 00:00:00+00 | b    | 10.5
(2 rows)
";
    let query = "SELECT time_bucket('2 minutes', time) AS time, host, avg(usage) FROM cpu \
                 WHERE time BETWEEN '2024-01-01T00:00:00Z' AND '2024-01-01T00:01:59.999999999Z' GROUP BY 1, 2 ORDER BY 1, 2";
    check(&server, &["-c", query], expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_points_at_its_place() {
    let server = PgServer::with_cpu().await;
    let expected = "
ERROR:  column \"usge\" does not exist
LINE 1: SELECT usge FROM cpu
               ^
";
    if let Some(printed) = psql(&server, &["-c", "SELECT usge FROM cpu"]).await {
        assert!(printed.starts_with(expected.trim_start()), "{printed}");
    }
    let expected = "
ERROR:  syntax error at or near \"cpu\"
LINE 1: SELECT time FORM cpu
                         ^
";
    check(&server, &["-c", "SELECT time FORM cpu"], expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_statements_in_one_query() {
    let server = PgServer::with_cpu().await;
    check(&server, &["-At", "-c", "-- ping"], "").await;
    check(
        &server,
        &["-At", "-c", "SET TIME ZONE 'Asia/Kolkata'; SELECT 1; SELECT max(time) FROM cpu"],
        "
SET
1
2024-01-01 05:32:00+05:30
",
    )
    .await;
    let script = [
        "-At",
        "-c",
        "CREATE TABLE t (time timestamptz, v bigint)",
        "-c",
        "INSERT INTO t VALUES ('2024-01-01T00:00:00Z', 1), ('2024-01-02 00:00:00+00', 2)",
        "-c",
        "SELECT * FROM t ORDER BY time",
        "-c",
        "DROP TABLE t",
    ];
    check(
        &server,
        &script,
        "
CREATE TABLE
INSERT 0 2
2024-01-01 00:00:00+00|1
2024-01-02 00:00:00+00|2
DROP TABLE
",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn describing_tables() {
    let server = PgServer::with_cpu().await;
    let expected = "
         List of relations
 Schema | Name | Type  |  Owner
--------+------+-------+----------
 public | cpu  | table | postgres
(1 row)
";
    for command in ["\\d", "\\dt"] {
        check(&server, &["-c", command], expected).await;
    }
    let expected = "
                         Table \"public.cpu\"
 Column |           Type           | Collation | Nullable | Default
--------+--------------------------+-----------+----------+---------
 time   | timestamp with time zone |           | not null |
 host   | text                     |           |          |
 usage  | double precision         |           |          |
 cores  | bigint                   |           |          |
";
    check(&server, &["-c", "\\d cpu"], expected).await;
    check(&server, &["-c", "\\d nothing"], "Did not find any relation named \"nothing\".").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn describing_a_query() {
    let server = PgServer::with_cpu().await;
    let expected = "
 Column |           Type
--------+--------------------------
 time   | timestamp with time zone
 avg    | double precision
(2 rows)
";
    check_script(&server, "SELECT time, avg(usage) FROM cpu GROUP BY 1 \\gdesc", expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_result_arrives_whole() {
    let server = PgServer::start().await;
    server.write_numbers(1000);
    let query = "SELECT a.n FROM numbers a, numbers b WHERE b.n < 200";
    if let Some(printed) = psql(&server, &["-At", "-c", query]).await {
        assert_eq!(printed.lines().count(), 200_000);
    }
}

async fn check_script(server: &PgServer, script: &str, expected: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    check(server, &["-f", &file.path().display().to_string()], expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_are_tables() {
    let server = PgServer::with_cpu().await;
    let define = [
        "CREATE SERVICE web TIER 1 OWNER ops DEPENDS ON (db HARD)",
        "CREATE KPI usage ON SERVICE web AS SELECT time_bucket('1 min', time) AS time, host, avg(usage) AS value \
         FROM cpu GROUP BY 1, 2 WITH (unit = 'percent', better = 'low', steward = 'alice')",
        "CREATE BASELINE usage_b ON KPI usage",
        "COMMENT ON KPI usage IS 'how busy a host is'",
    ];
    let arguments: Vec<&str> = define.iter().flat_map(|statement| ["-c", statement]).collect();
    check(&server, &arguments, "CREATE SERVICE\nCREATE KPI\nCREATE BASELINE\nCOMMENT").await;
    let expected = "
                         View \"kpi.usage\"
  Column  |           Type           | Collation | Nullable | Default
----------+--------------------------+-----------+----------+---------
 time     | timestamp with time zone |           |          |
 host     | text                     |           |          |
 value    | double precision         |           |          |
 coverage | double precision         |           |          |
 quality  | text                     |           |          |
 version  | bigint                   |           |          |
 expected | double precision         |           |          |
 lower    | double precision         |           |          |
 upper    | double precision         |           |          |
 score    | double precision         |           |          |
 band     | text                     |           |          |
";
    check(&server, &["-c", "\\d kpi.usage"], expected).await;
    let expected = "
 host | value |   band
------+-------+----------
 a    |   0.5 | learning
(1 row)
";
    check(&server, &["-c", "SELECT host, value, band FROM kpi.usage ORDER BY time, host LIMIT 1"], expected).await;
    let expected = "
ERROR:  unrecognized option \"stewart\"
LINE 1: ALTER KPI usage SET (stewart = 'bob')
                             ^
HINT:  Did you mean \"steward\"?
ERROR:  cannot drop kpi usage because other objects depend on it
DETAIL:  baseline usage_b depends on kpi usage
HINT:  Use DROP ... CASCADE to drop the dependent objects too.
";
    check(&server, &["-c", "ALTER KPI usage SET (stewart = 'bob')", "-c", "DROP KPI usage"], expected).await;
    let expected = "
 service | depends_on | kind | is_defined
---------+------------+------+------------
 web     | db         | hard | f
(1 row)
";
    check(&server, &["-c", "SELECT * FROM ops.service_edge"], expected).await;
    let expected = "INSERT 0 1\nUPDATE 1\nDELETE 1";
    let statements = [
        "INSERT INTO ops.change (id, service) VALUES ('CHG-1', 'web')",
        "UPDATE ops.change SET risk = 'low' WHERE id = 'CHG-1' AND actor = 'postgres'",
        "DELETE FROM ops.change WHERE risk = 'low'",
    ];
    let arguments: Vec<&str> = statements.iter().flat_map(|statement| ["-c", statement]).collect();
    check(&server, &arguments, expected).await;
    let expected = "
                 Table \"ops.priority_matrix\"
  Column  |  Type  | Collation | Nullable | Default
----------+--------+-----------+----------+---------
 impact   | bigint |           |          |
 urgency  | bigint |           |          |
 priority | bigint |           |          |
";
    check(&server, &["-c", "\\d ops.priority_matrix"], expected).await;
}
