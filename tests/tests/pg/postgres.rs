//! A real PostgreSQL beside ours, for tests that compare the two.

use std::path::{Path, PathBuf};
use std::process::Command;

use tokio_postgres::{Client, NoTls};

/// A PostgreSQL server of the test's own, reached through a socket in its data directory.
pub(super) struct Postgres {
    bin: PathBuf,
    dir: tempfile::TempDir,
}

impl Postgres {
    /// Starts one; `None` where its programs are not installed.
    fn start() -> Option<Postgres> {
        let bin = programs()?;
        let dir = tempfile::tempdir().unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(dir.path()));
        }
        let postgres = Postgres { bin, dir };
        let (data, socket) = (postgres.data(), postgres.dir.path().display().to_string());
        run(postgres.command("initdb").args([
            "-D",
            &data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "-N",
        ]));
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{socket}' -c fsync=off -c allow_system_table_mods=on -c timezone=UTC"
        );
        let log = format!("{socket}/log");
        run(postgres.command("pg_ctl").args(["-D", &data, "-w", "-l", &log, "-o", &options, "start"]));
        Some(postgres)
    }

    /// Starts one, off the threads of the test. Without its programs says so and gives `None`, unless they are required.
    pub(super) async fn start_or_skip() -> Option<Postgres> {
        let started = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
        if started.is_none() {
            let required = std::env::var("PLIMSOLL_REQUIRE_CLIENTS").is_ok_and(|value| value == "1");
            assert!(!required, "PostgreSQL's server programs are required and not there");
            #[expect(clippy::print_stdout, reason = "says why nothing was tested")]
            {
                println!("skipped: no PostgreSQL server programs under /usr/lib/postgresql");
            }
        }
        started
    }

    pub(super) async fn connect(&self) -> Client {
        let text = format!("host={} user=postgres dbname=postgres", self.dir.path().display());
        let (client, connection) = tokio_postgres::connect(&text, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join(".s.PGSQL.5432")
    }

    fn data(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    /// One of its programs. It refuses to run as root.
    fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        if !is_root() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.data();
        let _the_directory_goes_anyway = self.command("pg_ctl").args(["-D", &data, "-m", "immediate", "stop"]).output();
    }
}

fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions.flatten().map(|version| version.path().join("bin")).collect();
    found.retain(|bin| bin.join("initdb").exists() && bin.join("pg_ctl").exists());
    found.sort();
    found.pop()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|of_self| std::os::unix::fs::MetadataExt::uid(&of_self) == 0)
}

fn run(command: &mut Command) {
    // Output would keep a pipe open that the server inherits.
    let status = command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .current_dir(Path::new("/"))
        .status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{command:?}: {status:?}");
}
