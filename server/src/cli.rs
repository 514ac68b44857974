//! The command line: what can be asked of the binary, and who answers.

mod agent;
mod backup;
mod demo;
mod openslo;
mod restore;
mod serve;
mod shop;
mod signals;
mod sql;
mod story;
mod verify;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Size, Sources, parse_duration, parse_size};
use crate::{Error, Result};

/// A time-series database: metrics in by line protocol, SQL out over PostgreSQL's protocol.
#[derive(Debug, Parser)]
#[command(
    name = "plimsoll",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  plimsoll demo                                     look at this machine's own metrics, live
  plimsoll serve --data ./data                      run the server
  plimsoll agent --to http://127.0.0.1:8086         send this host's metrics to a server
  plimsoll sql --data ./data -c 'SELECT 1'          ask a data directory without a server
  plimsoll verify ./data                            check every byte of a data directory, or of a backup
  plimsoll backup --to /backup/monday               copy everything, of a running server
  plimsoll restore --from /backup/monday --to ./new make a data directory of a backup
  plimsoll openslo import slo.yaml                  take service level objectives from OpenSLO's YAML

`plimsoll COMMAND --help` says more about each."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server with live metrics of this machine, and say how to look at them.
    Demo(DemoArgs),
    /// Run the server until SIGINT or SIGTERM.
    Serve(ServeArgs),
    /// Ask a data directory in SQL, without a server: statements, a file, or a shell.
    Sql(SqlArgs),
    /// Send this host's metrics as line protocol, with a buffer on disk while the server is away.
    Agent(AgentArgs),
    /// Read and check every byte of a data directory, a backup or an archive, and name what is damaged.
    Verify(VerifyArgs),
    /// Copy everything into a directory of its own: of a running server, or of a data directory at rest.
    Backup(BackupArgs),
    /// Make a data directory of a backup, as it was then or as it was at a later instant.
    Restore(RestoreArgs),
    /// Take service level objectives from OpenSLO's YAML, or give them as such.
    Openslo(OpensloArgs),
}

/// Where the configuration comes from, for every command that opens a data directory.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// Configuration file (TOML); `plimsoll serve --print-config` prints one with comments
    #[arg(long, value_name = "FILE", env = "PLIMSOLL_CONFIG")]
    config: Option<PathBuf>,
    /// Data directory [default: ./data, for demo ./plimsoll-demo]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Any key of the configuration file, such as query.memory_limit=2GiB; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Where a server listens and how it logs.
#[derive(Debug, Args)]
struct ListenArgs {
    /// Address for SQL clients [default: 127.0.0.1:5433]
    #[arg(long, value_name = "ADDR")]
    pg: Option<String>,
    /// Address for line protocol and /metrics [default: 127.0.0.1:8086]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// How log lines look: text or json [default: text]
    #[arg(long, value_name = "FORM")]
    log: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Settings come from the file, then from the environment (PLIMSOLL_HTTP, PLIMSOLL_QUERY_MEMORY_LIMIT
and so on), then from the flags; the later one wins. A wrong key or value is an error that names it.

Examples:
  plimsoll serve
  plimsoll serve --data /var/lib/plimsoll --log json
  plimsoll serve --config plimsoll.toml --set query.memory_limit=2GiB
  plimsoll serve --print-config > plimsoll.toml

Exit code: 0 after a graceful stop (SIGINT, SIGTERM), 1 when something failed, 2 when the
configuration is wrong.")]
struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    listen: ListenArgs,
    /// Keep the log there after it is done with, to restore a backup to a later instant
    #[arg(long, value_name = "DIR")]
    archive: Option<String>,
    /// Take line protocol over TCP there
    #[arg(long, value_name = "ADDR")]
    line_tcp: Option<String>,
    /// Take line protocol over UDP there
    #[arg(long, value_name = "ADDR")]
    line_udp: Option<String>,
    /// The user whose rights lines over TCP and UDP have, once users have passwords
    #[arg(long, value_name = "USER")]
    line_user: Option<String>,
    /// Print the configuration in effect as TOML with comments, and end
    #[arg(long)]
    print_config: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The data directory is kept: the next demo goes on where this one stopped. When a default port is
taken, a free one is used and shown. Ctrl-C stops.")]
struct DemoArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    listen: ListenArgs,
    /// Time between two samples of this machine
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    interval: Duration,
    /// Tell two months of a shop in some seconds instead: a baseline, a promise, a backtest, incidents, whoever has to act
    #[arg(long)]
    story: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Without -c and -f, statements are read from standard input; on a terminal that is a shell.
One process at a time can open a data directory: while a server runs, use psql.

Examples:
  plimsoll sql -c 'SELECT count(*) FROM cpu'
  plimsoll sql --data ./data -c \"SELECT hostname, avg(usage_user) FROM cpu GROUP BY 1\"
  plimsoll sql --format csv -f report.sql > report.csv

Exit code: 0 when every statement succeeded, 1 when one failed (the rest is not run), 2 for wrong
usage.")]
struct SqlArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Statements to run; may be repeated
    #[arg(short, long, value_name = "SQL")]
    command: Vec<String>,
    /// File of statements to run, after those of -c; - is standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How rows are printed: table, csv or json
    #[arg(long, value_name = "FORM", default_value = "table", hide_possible_values = true)]
    format: sql::Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Tables: cpu, mem, swap, disk, net, system, processes, with Telegraf's names and the tag hostname.
Batches wait in the buffer until the server has taken them, over restarts of either side.

Examples:
  plimsoll agent
  plimsoll agent --to http://db.example:8086 --interval 30s --buffer /var/lib/plimsoll-agent")]
struct AgentArgs {
    /// The server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8086", env = "PLIMSOLL_AGENT_TO")]
    to: String,
    /// Bucket named in the requests
    #[arg(long, value_name = "NAME", default_value = "plimsoll", env = "PLIMSOLL_AGENT_BUCKET")]
    bucket: String,
    /// Time between two samples
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration, env = "PLIMSOLL_AGENT_INTERVAL")]
    interval: Duration,
    /// Directory for batches that are not delivered yet
    #[arg(long, value_name = "DIR", default_value = "./plimsoll-agent", env = "PLIMSOLL_AGENT_BUFFER")]
    buffer: PathBuf,
    /// Size of the buffer; beyond it the oldest batches are dropped
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = bytes, env = "PLIMSOLL_AGENT_BUFFER_LIMIT")]
    buffer_limit: u64,
    /// Value of the tag hostname [default: the host's name]
    #[arg(long, value_name = "NAME", env = "PLIMSOLL_AGENT_HOSTNAME")]
    hostname: Option<String>,
    /// How log lines look: text or json
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = ["text", "json"], hide_possible_values = true)]
    log: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What the directory is, it shows by itself. Of a backup, all that it is based on are checked too; of an
archive of the log, also that no file is missing. A data directory must not be in use by a server.
Nothing is changed.

Exit code: 0 when every byte is as it was written, 1 when something is damaged or cannot be read.")]
struct VerifyArgs {
    /// Data directory, backup, or archive of the log
    #[arg(value_name = "DIR", default_value = "./data")]
    data: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A running server makes the backup itself, on its own machine, while it goes on; once users have
passwords, a superuser has to ask for it. With --base, only what that backup has not is copied, and
both are needed to restore. A directory is a backup when it has a file BACKUP, which is written last.

Examples:
  plimsoll backup --to /backup/monday
  plimsoll backup --to /backup/tuesday --base /backup/monday
  PLIMSOLL_BACKUP_PASSWORD=... plimsoll backup --to /backup/monday --user root
  plimsoll backup --to /backup/monday --data ./data      no server runs on ./data

Exit code: 0 when the backup is whole, 1 when there is none, or a segment was damaged already, 2 for
wrong usage.")]
struct BackupArgs {
    /// Directory to write: new, or empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// An earlier backup; what it has is not copied again
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// A data directory that no server runs on
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "user"])]
    data: Option<PathBuf>,
    /// The running server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8086", env = "PLIMSOLL_BACKUP_SERVER")]
    server: String,
    /// Who asks; the password is taken from PLIMSOLL_BACKUP_PASSWORD
    #[arg(long, value_name = "NAME", env = "PLIMSOLL_BACKUP_USER")]
    user: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
All that is needed is read and checked before anything is written; the data directory appears when it
is whole. With an archive, the log goes on from the backup, to its end or to the instant of --at, by
the time of the server that wrote it, to a hundredth of a second.

Examples:
  plimsoll restore --from /backup/tuesday --to ./data
  plimsoll restore --from /backup/tuesday --to ./data --archive /archive
  plimsoll restore --from /backup/tuesday --to ./data --archive /archive --at '2026-01-01 00:00:00Z'

Exit code: 0 when the data directory is there, 1 when it is not, 2 for wrong usage.")]
struct RestoreArgs {
    /// The backup
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Data directory to make: new, or empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The archive of the log, to go on from the backup
    #[arg(long, value_name = "DIR")]
    archive: Option<PathBuf>,
    /// The instant to go on to, such as '2026-01-01 00:00:00Z'
    #[arg(long, value_name = "TIME", requires = "archive", value_parser = instant)]
    at: Option<i64>,
}

/// An instant with its zone, in ns since the Unix epoch.
fn instant(text: &str) -> Result<i64, String> {
    let text = text.trim().replacen(' ', "T", 1);
    // SQL shows a zone without minutes.
    let parsed = chrono::DateTime::parse_from_rfc3339(&text)
        .or_else(|_| chrono::DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f%#z"))
        .ok();
    let wrong = || "write a time with its zone, such as 2026-01-01 00:00:00Z or 2026-01-01 01:00:00+01:00".to_owned();
    parsed.and_then(|time| time.timestamp_nanos_opt()).ok_or_else(wrong)
}

#[derive(Debug, Args)]
struct OpensloArgs {
    #[command(subcommand)]
    command: OpensloCommand,
}

#[derive(Debug, Subcommand)]
enum OpensloCommand {
    /// Translate files of OpenSLO v1 into statements, and run them on a server.
    Import(OpensloImportArgs),
    /// Print what a server has defined as OpenSLO v1.
    Export(OpensloExportArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
What cannot be translated is told with file, line, document and path, and nothing is changed then
unless --skip is given. A statement that the server refuses ends the import; those before it stay.

Examples:
  plimsoll openslo import slo.yaml services.yaml
  plimsoll openslo import slo.yaml --dry-run
  plimsoll openslo import slo.yaml --to-sql | psql -h 127.0.0.1 -p 5433 -U postgres postgres

Exit code: 0 when everything was imported or --skip was given, 1 otherwise, 2 for wrong usage.")]
struct OpensloImportArgs {
    /// Files of YAML documents; - is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Tell what would be made and replaced, and change nothing
    #[arg(long, conflicts_with = "to_sql")]
    dry_run: bool,
    /// Print the statements; no server is asked
    #[arg(long)]
    to_sql: bool,
    /// Import the rest when something cannot be imported
    #[arg(long)]
    skip: bool,
    /// The server, as a connection string or postgresql:// URL
    #[arg(long, value_name = "SERVER", default_value = SERVER, env = "PLIMSOLL_OPENSLO_SERVER", hide_env_values = true)]
    server: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What OpenSLO has no place for is told on standard error.

Examples:
  plimsoll openslo export > slo.yaml
  plimsoll openslo export --out slo.yaml checkout_avail checkout_requests")]
struct OpensloExportArgs {
    /// Objects to export [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// File to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The server, as a connection string or postgresql:// URL
    #[arg(long, value_name = "SERVER", default_value = SERVER, env = "PLIMSOLL_OPENSLO_SERVER", hide_env_values = true)]
    server: String,
}

/// The server that is asked when none is named.
const SERVER: &str = "postgresql://postgres@127.0.0.1:5433/postgres";

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a duration such as 500ms, 10s or 5m".to_owned())
}

fn bytes(text: &str) -> Result<u64, String> {
    match parse_size(text) {
        Some(Size::Bytes(bytes)) => Ok(bytes),
        _ => Err("write a size such as 64MiB or 1GiB".to_owned()),
    }
}

/// Does what the arguments ask (the first is the program's name); the environment is an argument too.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: Vec<(String, String)>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(help_or_error) => {
            let _nowhere_to_say_it = help_or_error.print();
            return ExitCode::from(u8::try_from(help_or_error.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(cli.command, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(command: Command, environment: Vec<(String, String)>) -> Result<()> {
    match command {
        Command::Demo(args) => demo::run(args, environment),
        Command::Serve(args) => serve::run(args, environment),
        Command::Sql(args) => sql::run(args, environment),
        Command::Agent(args) => agent::run(args),
        Command::Verify(args) => verify::run(&args),
        Command::Backup(args) => backup::run(&args, &environment),
        Command::Restore(args) => restore::run(&args),
        Command::Openslo(args) => openslo::run(args),
    }
}

/// The last words of a command that failed; a reader that went away (`| head`) is told nothing.
fn report(error: &Error) {
    match error {
        Error::Reported => {}
        Error::Output(cause) if cause.kind() == io::ErrorKind::BrokenPipe => {}
        error => {
            let _nowhere_to_say_it = writeln!(io::stderr(), "plimsoll: {error}");
        }
    }
}

/// The configuration in effect and the environment variables that were not understood.
fn load(
    base: Config,
    args: ConfigArgs,
    listen: Option<ListenArgs>,
    environment: Vec<(String, String)>,
) -> Result<(Config, Vec<String>)> {
    let mut flags = Vec::new();
    for pair in args.set {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Error::Usage(format!("--set {pair}: write KEY=VALUE, such as query.memory_limit=2GiB")));
        };
        flags.push(("--set".to_owned(), key.trim().to_owned(), value.trim().to_owned()));
    }
    let mut named = vec![("data", args.data)];
    if let Some(listen) = listen {
        named.extend([("pg", listen.pg), ("http", listen.http), ("log", listen.log)]);
    }
    for (key, value) in named {
        flags.extend(value.map(|value| (format!("--{key}"), key.to_owned(), value)));
    }
    Ok(Config::load(base, &Sources { file: args.config, environment, flags })?)
}

/// Runs a command's future, and leaves behind what still runs when it is done.
fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = runtime()?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    result
}

/// As many threads as there are cores.
fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|e| Error::Internal(format!("cannot start threads: {e}")))
}

/// Writes a command's output.
fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Error::Output)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn an_instant_has_a_zone() {
        assert_eq!(instant("2026-01-01 00:00:00Z"), Ok(1_767_225_600_000_000_000));
        assert_eq!(instant("2026-01-01 02:00:00+02"), Ok(1_767_225_600_000_000_000));
        assert_eq!(instant("2026-01-01T01:00:00.5+01:00"), Ok(1_767_225_600_500_000_000));
        for wrong in ["2026-01-01 00:00:00", "yesterday", "2026-01-01", ""] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
