//! `plimsoll agent`: this host's metrics to a server, until a signal.

use std::sync::Arc;

use plimsoll_engine::env::SystemClock;
use tokio_util::sync::CancellationToken;

use super::signals::Signals;
use super::{AgentArgs, block_on};
use crate::agent::{Agent, AgentConfig};
use crate::config::LogFormat;
use crate::{Result, telemetry};

pub(super) fn run(args: AgentArgs) -> Result<()> {
    let format = if args.log == "json" { LogFormat::Json } else { LogFormat::Text };
    telemetry::start_logging(format, "info");
    block_on(send(AgentConfig {
        to: args.to,
        bucket: args.bucket,
        interval: args.interval,
        buffer: args.buffer,
        buffer_limit_bytes: args.buffer_limit,
        hostname: args.hostname,
    }))
}

async fn send(config: AgentConfig) -> Result<()> {
    let mut signals = Signals::new()?;
    let agent = Agent::new(&config)?;
    tracing::info!(to = config.to, interval = ?config.interval, buffer = %config.buffer.display(), "collecting");
    let stop = CancellationToken::new();
    tokio::select! {
        () = agent.run(Arc::new(SystemClock), stop) => {}
        signal = signals.next() => tracing::info!(signal, "stopped; what is not delivered waits in the buffer"),
    }
    Ok(())
}
