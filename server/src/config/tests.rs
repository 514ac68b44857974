//! The configuration as an operator meets it: order of precedence, refusals, and what `--print-config` prints.

use std::fs;

use super::*;

fn load(file: Option<&str>, environment: &[(&str, &str)], flags: &[(&str, &str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("plimsoll.toml");
    let file = file.map(|text| {
        fs::write(&path, text).expect("a file");
        path.clone()
    });
    let environment = environment.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    let flags = flags.iter().map(|(f, k, v)| (f.to_string(), k.to_string(), v.to_string())).collect();
    let loaded = Config::load(Config::default(), &Sources { file, environment, flags });
    let shown = |e: ConfigError| e.to_string().replace(&format!("{}/", dir.path().display()), "");
    loaded.map(|(config, _)| config).map_err(shown)
}

fn refusal(file: &str) -> String {
    load(Some(file), &[], &[]).expect_err("refused")
}

#[test]
fn later_sources_win() {
    let file = Some("data = \"file\"\nlog = \"json\"\nquery.threads = 3\n");
    let environment = [("PLIMSOLL_DATA", "environment"), ("PLIMSOLL_QUERY_THREADS", "4")];
    let config = load(file, &environment, &[("--data", "data", "flag")]).expect("fine");
    assert_eq!(config.data, PathBuf::from("flag"));
    assert_eq!(config.query.threads, 4);
    assert_eq!(config.log, LogFormat::Json);
    assert_eq!(config.http, Config::default().http);
}

#[test]
fn refusals_say_where_what_and_what_is_allowed() {
    expect_test::expect![[r#"plimsoll.toml:1: unknown key htpp; did you mean http?"#]].assert_eq(&refusal("htpp = 1"));
    expect_test::expect![[r#"plimsoll.toml:2: unknown key query.memlimit; did you mean query.memory_limit?"#]]
        .assert_eq(&refusal("[query]\nmemlimit = \"1GiB\""));
    expect_test::expect![[r#"plimsoll.toml:1: unknown key colour; `plimsoll serve --print-config` lists all keys"#]]
        .assert_eq(&refusal("colour = 1"));
    expect_test::expect![[r#"plimsoll.toml:3: query.memory_limit cannot be "lots"; it has to be a size such as 512MiB or 2GiB, or a share of the memory such as 50%"#]]
        .assert_eq(&refusal("\n[query]\nmemory_limit = \"lots\""));
    expect_test::expect![[r#"plimsoll.toml:1: log_level cannot be "verbose"; it has to be error, warn, info, debug or trace, or a list such as info,plimsoll::ingest=debug"#]]
        .assert_eq(&refusal("log_level = \"verbose\""));
    let flag = load(None, &[], &[("--pg", "pg", "nowhere")]).expect_err("refused");
    expect_test::expect![[r#"--pg: pg cannot be "nowhere"; it has to be an address of this machine with a port, such as 127.0.0.1:5433 or localhost:5433"#]]
        .assert_eq(&flag);
    let environment = load(None, &[("PLIMSOLL_STORAGE_DURABILITY", "never")], &[]).expect_err("refused");
    expect_test::expect![[r#"environment variable PLIMSOLL_STORAGE_DURABILITY: storage.durability cannot be "never"; it has to be synced or interval"#]]
        .assert_eq(&environment);
}

#[test]
fn only_loopback_while_nobody_has_a_password() {
    for open in ["0.0.0.0:8086", "192.168.1.7:8086", "[::]:8086"] {
        let config = load(Some(&format!("http = \"{open}\"")), &[], &[]).expect("fine by itself");
        let error = config.check_reach(false).expect_err("refused").to_string();
        assert!(error.contains("no user has a password"), "{error}");
        assert_eq!(config.check_reach(true), Ok(()));
    }
    let loopback = load(Some("http = \"[::1]:8086\"\npg = \"localhost:0\""), &[], &[]).expect("fine");
    assert_eq!(loopback.check_reach(false), Ok(()));
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    assert!(refusal("pg = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:1\"").contains("cannot both listen"));
    assert!(refusal("tls_cert = \"a.pem\"").contains("belong together"));
    assert!(refusal("storage.memtable_flush = \"1GiB\"").contains("is larger than storage.memtable_limit"));
}

#[test]
fn what_is_printed_reads_back() {
    let mut config = Config::default();
    assert_eq!(load(Some(&config.to_toml()), &[], &[]), Ok(config.clone()));
    config.data = PathBuf::from("a \"b\"\\c");
    config.log = LogFormat::Json;
    config.tls = TlsMode::Require;
    (config.tls_cert, config.tls_key) = (Some("c.pem".into()), Some("k.pem".into()));
    config.query.memory_limit = Size::Bytes(123_456_789);
    config.storage.durability = Durability::Interval;
    config.stop_timeout = Duration::from_millis(1500);
    assert_eq!(load(Some(&config.to_toml()), &[], &[]), Ok(config));
}

#[test]
fn sockets_need_a_user_once_there_are_passwords() {
    let mut config = Config::default();
    config.ingest.line_tcp = Some(loopback(8094));
    assert_eq!(config.check_reach(false), Ok(()));
    let error = config.check_reach(true).expect_err("refused").to_string();
    assert!(error.starts_with("ingest.line_tcp needs ingest.line_user: "), "{error}");
    config.ingest.line_user = "sender".to_owned();
    assert_eq!(config.check_reach(true), Ok(()));
    config.ingest.line_udp = Some("0.0.0.0:8094".parse().expect("an address"));
    let error = config.check_reach(false).expect_err("refused").to_string();
    assert!(error.starts_with("ingest.line_udp cannot listen on 0.0.0.0:8094"), "{error}");
}
