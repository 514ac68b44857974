//! `plimsoll serve`: the server until a signal.

use std::sync::Arc;

use plimsoll_engine::env::SystemClock;

use super::signals::Signals;
use super::{ServeArgs, block_on, load, say};
use crate::storage::psql_line;
use crate::{Config, Error, Result, Server, telemetry};

pub(super) fn run(mut args: ServeArgs, environment: Vec<(String, String)>) -> Result<()> {
    let flags = [
        ("storage.archive", args.archive),
        ("ingest.line_tcp", args.line_tcp),
        ("ingest.line_udp", args.line_udp),
        ("ingest.line_user", args.line_user),
    ];
    let given = flags.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
    args.config.set.extend(given);
    let (config, unknown) = load(Config::default(), args.config, Some(args.listen), environment)?;
    if args.print_config {
        return say(config.to_toml().trim_end());
    }
    telemetry::start_logging(config.log, &config.log_level);
    for variable in unknown {
        tracing::warn!(
            variable,
            "no key of the configuration is called so; `plimsoll serve --print-config` lists them"
        );
    }
    block_on(serve(config))
}

async fn serve(config: Config) -> Result<()> {
    let mut signals = Signals::new()?;
    let start = Server::start(&config, Arc::new(SystemClock));
    let mut server = tokio::select! {
        server = start => server?,
        _ = signals.next() => return Ok(()),
    };
    announce(&server);
    let outcome = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "stopping; a second signal stops at once");
            Ok(())
        }
        error = server.failed() => Err(error),
    };
    stop(server, &mut signals).await.and(outcome)
}

/// Stops gracefully, or at once at the next signal.
pub(super) async fn stop(server: Server, signals: &mut Signals) -> Result<()> {
    tokio::select! {
        stopped = server.stop() => {
            stopped?;
            tracing::info!("stopped");
            Ok(())
        }
        _ = signals.next() => Err(Error::Interrupted),
    }
}

fn announce(server: &Server) {
    if !server.database().has_passwords() {
        tracing::warn!(
            "no user has a password: every program on this machine can read and write, and no other machine can connect"
        );
    }
    tracing::info!(pg = %server.pg_addr, http = %server.http_addr, version = env!("CARGO_PKG_VERSION"), "ready");
    if let Some(addr) = server.line_tcp_addr {
        tracing::info!(line_tcp = %addr, "line protocol over TCP");
    }
    if let Some(addr) = server.line_udp_addr {
        tracing::info!(line_udp = %addr, "line protocol over UDP");
    }
    tracing::info!("connect with {}", psql_line(server.pg_addr));
}
