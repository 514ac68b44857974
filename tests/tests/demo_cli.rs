//! The binary as an operator meets it: help, refusals with their exit codes, signals, and a kill in the middle of ingest.

use std::fs;
use std::path::Path;

use crate::harness::{Running, http, run, said};

const ANY_PORTS: [&str; 4] = ["--pg", "127.0.0.1:0", "--http", "127.0.0.1:0"];

fn serve(data: &Path) -> Running {
    let data = data.to_str().expect("the path is text");
    Running::start(&[&["serve", "--data", data][..], &ANY_PORTS].concat())
}

/// Runs a command that has to fail, and gives what it said.
fn refused(arguments: &[&str], code: i32) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    said(&output)
}

fn sql(data: &Path, format: &str, text: &str) -> String {
    let data = data.to_str().expect("the path is text");
    let output = run(&["sql", "--data", data, "--format", format, "-c", text]);
    assert!(output.status.success(), "{text}: {}", said(&output));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn help_names_every_command() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    for word in ["demo", "serve", "sql", "agent", "verify", "Examples:"] {
        assert!(said(&output).contains(word), "no {word} in {}", said(&output));
    }
    assert!(refused(&["serve", "--prot", "1"], 2).contains("unexpected argument"));
    assert!(refused(&["serv"], 2).contains("similar subcommand exists: 'serve'"));
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("plimsoll.toml");
    fs::write(&file, "data = \"d\"\n[query]\nmemory_limt = \"1GiB\"\n").expect("a file");
    let file = file.to_str().expect("the path is text");
    let message = refused(&["serve", "--config", file], 2);
    assert!(
        message.contains("plimsoll.toml:3: unknown key query.memory_limt; did you mean query.memory_limit?"),
        "{message}"
    );
    let data = dir.path().join("data");
    let data = data.to_str().expect("the path is text");
    assert!(refused(&["serve", "--data", data, "--http", "0.0.0.0:8086"], 2).contains("no user has a password"));
    assert!(refused(&["serve", "--set", "log_level"], 2).contains("KEY=VALUE"));
    assert!(refused(&["serve", "--config", "there-is-none.toml"], 2).contains("cannot read config file"));
}

#[test]
fn the_printed_configuration_can_be_used() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("plimsoll.toml");
    let printed = run(&["serve", "--print-config", "--set", "query.threads=3"]);
    fs::write(&file, &printed.stdout).expect("a file");
    let again = run(&["serve", "--print-config", "--config", file.to_str().expect("the path is text")]);
    assert!(said(&printed).contains("threads = 3"));
    assert_eq!(said(&again), said(&printed));
}

#[test]
fn a_taken_port_and_an_unusable_directory_are_one_sentence() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("bound").to_string();
    let data = dir.path().join("data");
    let data = data.to_str().expect("the path is text");
    let message = refused(&["serve", "--data", data, "--pg", "127.0.0.1:0", "--http", &addr], 1);
    assert!(message.contains(&format!("http cannot listen on {addr}: the port is in use")), "{message}");

    let file = dir.path().join("file");
    fs::write(&file, "not a directory").expect("a file");
    let file = file.to_str().expect("the path is text");
    let message = refused(&[&["serve", "--data", file][..], &ANY_PORTS].concat(), 1);
    assert!(message.contains("cannot open data directory"), "{message}");
    assert_eq!(message.lines().filter(|line| line.starts_with("plimsoll: ")).count(), 1, "{message}");
}

#[test]
fn one_process_at_a_time_and_the_other_is_told_whom_to_ask() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = serve(dir.path());
    let (pg, _) = server.addresses();
    let data = dir.path().to_str().expect("the path is text");
    let message = refused(&["sql", "--data", data, "-c", "SELECT 1"], 1);
    assert!(message.contains("is in use by another process (pid "), "{message}");
    assert!(
        message.contains(&format!("psql 'host=127.0.0.1 port={} user=postgres dbname=postgres'", pg.port())),
        "{message}"
    );
    let message = refused(&[&["serve", "--data", data][..], &ANY_PORTS].concat(), 1);
    assert!(message.contains("is in use by another process"), "{message}");
}

#[test]
fn a_signal_stops_gracefully_and_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, round) in [("TERM", 0), ("INT", 1)] {
        let mut server = serve(dir.path());
        let (_, addr) = server.addresses();
        let written = http(addr, "POST", "/write?db=b", &format!("t,h=a v={round}i {round}\n")).expect("an answer");
        assert_eq!(written.0, 204, "{}", written.1);
        server.signal(name);
        let (status, lines) = server.end();
        assert!(status.success(), "{lines:?}");
        assert!(lines.iter().any(|line| line.ends_with(" stopped")), "{lines:?}");
    }
    assert_eq!(sql(dir.path(), "csv", "SELECT v FROM t ORDER BY time"), "v\n0\n1\n");
}

/// Points of one series were lost between the acknowledgement and the disk: after a kill every acknowledged point is there,
/// and nothing that was never sent.
#[test]
fn what_was_acknowledged_survives_a_kill() {
    const BEFORE_KILL: usize = 40;
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = serve(dir.path());
    let (_, addr) = server.addresses();
    let (acknowledged, progress) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        let mut sent = 0;
        loop {
            let lines: String = (0..10).map(|n| format!("t,h=a v={n}i {}\n", sent * 10 + n)).collect();
            sent += 1;
            match http(addr, "POST", "/api/v2/write?bucket=b&precision=ns", &lines) {
                Ok((204, _)) => acknowledged.send(sent).expect("the test listens"),
                Ok((status, body)) => panic!("{status} {body}"),
                Err(_) => return sent,
            }
        }
    });
    for _ in 0..BEFORE_KILL {
        progress.recv().expect("writes are acknowledged");
    }
    server.kill();
    let sent = writer.join().expect("the writer ends when the server is gone");
    let acknowledged = progress.try_iter().last().unwrap_or(BEFORE_KILL);
    let counted = sql(dir.path(), "csv", "SELECT count(*), min(time) = to_timestamp(0) FROM t");
    let count: usize = counted.lines().nth(1).and_then(|line| line.split(',').next()?.parse().ok()).expect("a count");
    assert!(
        (acknowledged * 10..=sent * 10).contains(&count),
        "{acknowledged} batches acknowledged, {sent} sent: {counted}"
    );
}

#[test]
fn statements_are_answered_without_a_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = serve(dir.path());
    let (_, addr) = server.addresses();
    http(addr, "POST", "/write?db=b", "t,h=a v=1.5 0\nt,h=b w=\"x,y\" 1\n").expect("an answer");
    server.signal("TERM");
    server.end();
    let wanted = " h |  v  |  w  \n---+-----+-----\n a | 1.5 | \n b |     | x,y\n(2 rows)\n\n";
    assert_eq!(sql(dir.path(), "table", "SELECT h, v, w FROM t ORDER BY time"), wanted);
    let wanted = "[\n  {\"h\": \"a\", \"v\": 1.5, \"w\": null},\n  {\"h\": \"b\", \"v\": null, \"w\": \"x,y\"}\n]\n";
    assert_eq!(sql(dir.path(), "json", "SELECT h, v, w FROM t ORDER BY time"), wanted);
    let data = dir.path().to_str().expect("the path is text");
    let message = refused(&["sql", "--data", data, "-c", "SELECT h,\n  nothing\nFROM t"], 1);
    assert!(message.contains("ERROR:  column \"nothing\" does not exist\nLINE 2:   nothing\n          ^"), "{message}");
    assert!(refused(&["sql", "--data", "there-is-none", "-c", "SELECT 1"], 2).contains("there is no data directory"));
}

#[test]
fn the_demo_shows_this_machine_and_goes_on_where_it_left_off() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("demo");
    let data = data.to_str().expect("the path is text");
    let mut cpu_rows = 0;
    for round in 0..2 {
        let arguments = [&["demo", "--data", data, "--interval", "50ms"][..], &ANY_PORTS].concat();
        let mut demo = Running::start(&arguments);
        assert_eq!(demo.line("metrics of this machine").contains("earlier runs"), round == 1);
        demo.line("hostname");
        demo.line("psql 'host=127.0.0.1 port=");
        demo.line("Ctrl-C stops.");
        demo.signal("INT");
        let (status, lines) = demo.end();
        assert!(status.success(), "{lines:?}");
        let counted = sql(Path::new(data), "csv", "SELECT count(*) FROM mem");
        let rows: u64 = counted.lines().nth(1).and_then(|line| line.parse().ok()).expect("a count");
        assert!(rows > cpu_rows, "{rows} rows after {cpu_rows}");
        cpu_rows = rows;
    }
}

/// A data directory with a flushed point in it.
fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = serve(dir.path());
    let (_, addr) = server.addresses();
    assert_eq!(http(addr, "POST", "/write?db=b", "t,h=a v=1.5 0\n").expect("an answer").0, 204);
    server.signal("TERM");
    server.end();
    dir
}

/// Writes bytes over those of a file from `offset` on.
fn overwrite(file: &Path, offset: usize, bytes: &[u8]) {
    let mut content = fs::read(file).expect("the file is there");
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
    fs::write(file, content).expect("and can be written");
}

#[test]
fn a_sound_directory_is_verified() {
    let dir = filled();
    let output = run(&["verify", dir.path().to_str().expect("the path is text")]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("1 rows of segments checked: everything is as it was written"), "{}", said(&output));
}

#[test]
fn damage_is_named_and_the_rest_is_answered() {
    let dir = filled();
    let data = dir.path().to_str().expect("the path is text");
    let segment = fs::read_dir(dir.path().join("segments")).expect("there are segments").next().expect("one");
    let segment = segment.expect("it can be listed").path();
    let middle = fs::metadata(&segment).expect("it is there").len() / 2;
    overwrite(&segment, usize::try_from(middle).expect("it is small"), b"\xff\x00\xff");
    let message = refused(&["verify", data], 1);
    let named = format!("damaged: {}: ", segment.display());
    assert!(message.lines().any(|line| line.starts_with(&named) && line.contains(" at ")), "{message}");
    assert_eq!(sql(dir.path(), "csv", "SELECT 1 AS one"), "one\n1\n");
    assert!(refused(&["sql", "--data", data, "-c", "SELECT v FROM t"], 1).contains(&segment.display().to_string()));
}

#[test]
fn a_data_directory_of_a_newer_version_is_left_alone() {
    const VERSION_OFFSET: usize = 8;
    let dir = filled();
    let data = dir.path().to_str().expect("the path is text");
    let manifest = dir.path().join("MANIFEST");
    overwrite(&manifest, VERSION_OFFSET, &99_u32.to_le_bytes());
    let before = fs::read(&manifest).expect("it is there");
    let message = refused(&[&["serve", "--data", data][..], &ANY_PORTS].concat(), 1);
    assert!(message.contains("MANIFEST: format version 99 is newer than this program reads"), "{message}");
    assert_eq!(fs::read(&manifest).expect("it is there"), before);
}
