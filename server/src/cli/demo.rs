//! `plimsoll demo`: the server with live metrics of this machine, a first table of them, and how to look further.

use std::io::{self, IsTerminal, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use plimsoll_engine::Engine;
use plimsoll_engine::env::{Clock, SystemClock};
use plimsoll_query::{Outcome, Session};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::signals::Signals;
use super::sql::{Format, Values, print_statement};
use super::{DemoArgs, block_on, load, say, serve, shop};
use crate::agent::{Agent, AgentConfig};
use crate::pgwire::Zone;
use crate::storage::psql_line;
use crate::{Config, Error, Result, Server, telemetry};

/// Size of the agent's buffer: the server is in the same process, so it is never away for long.
const BUFFER_BYTES: u64 = 16 << 20;

/// Time between two lines of the live summary.
const SUMMARY_EVERY: Duration = Duration::from_secs(10);

/// The first table: the newest samples of the processor.
#[cfg(target_os = "linux")]
const FIRST_TABLE: &str = "\
SELECT time, hostname, cpu, usage_user, usage_system, usage_idle
FROM cpu
WHERE time > now() - interval '1 minute'
ORDER BY time DESC, cpu
LIMIT 6";

/// The first table, where the operating system does not say what the time went into.
#[cfg(not(target_os = "linux"))]
const FIRST_TABLE: &str = "\
SELECT time, hostname, cpu, usage_active, usage_idle
FROM cpu
WHERE time > now() - interval '1 minute'
ORDER BY time DESC, cpu
LIMIT 6";

/// What the demo promises of this machine, so that there is something to look at.
const PROMISES: &str = "\
CREATE SERVICE IF NOT EXISTS this_machine TIER 2;

CREATE KPI IF NOT EXISTS cpu_busy ON SERVICE this_machine AS
  SELECT time_bucket('10 seconds', time) AS time, hostname, avg(usage_active) AS value
  FROM cpu WHERE cpu = 'cpu-total' GROUP BY 1, 2
  WITH (unit = 'percent', better = 'low', steward = 'you');

CREATE BASELINE IF NOT EXISTS cpu_busy_b ON KPI cpu_busy SEASON (hour_of_day);

CREATE SLO IF NOT EXISTS cpu_free ON SERVICE this_machine OBJECTIVE 99% OVER ROLLING '1 day' AS
  SELECT time, CASE WHEN value < 90 THEN 1 ELSE 0 END AS good, 1 AS total FROM kpi.cpu_busy;

SELECT time, sli, objective, budget_remaining, status FROM slo.cpu_free ORDER BY time DESC LIMIT 1";

/// Name, statement and unit of the numbers in the live summary.
const SUMMARY: [(&str, &str, &str); 4] = [
    ("cpu", "SELECT usage_active FROM cpu WHERE cpu = 'cpu-total' ORDER BY time DESC LIMIT 1", " %"),
    ("memory", "SELECT used_percent FROM mem ORDER BY time DESC LIMIT 1", " %"),
    ("load", "SELECT load1 FROM system ORDER BY time DESC LIMIT 1", ""),
    ("samples of cpu stored", "SELECT count(*) FROM cpu", ""),
];

pub(super) fn run(args: DemoArgs, environment: Vec<(String, String)>) -> Result<()> {
    let base = Config { data: PathBuf::from("./plimsoll-demo"), log_level: "warn".to_owned(), ..Config::default() };
    let (config, _unknown) = load(base.clone(), args.config, Some(args.listen), environment)?;
    telemetry::start_logging(config.log, &config.log_level);
    if args.story {
        let keeps = config.data != base.data;
        return block_on(super::story::tell(config, keeps));
    }
    let again = config.data.is_dir();
    let config = Config { pg: free(config.pg, base.pg)?, http: free(config.http, base.http)?, ..config };
    block_on(demo(config, args.interval, again))
}

/// The address, or a free port when it is the default one and taken. An address that somebody chose stays as it is.
fn free(addr: SocketAddr, default: SocketAddr) -> Result<SocketAddr> {
    match TcpListener::bind(addr) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && addr == default => {
            say(&format!("Port {} is in use: taking a free one.", addr.port()))?;
            Ok(SocketAddr::new(addr.ip(), 0))
        }
        _ => Ok(addr),
    }
}

async fn demo(config: Config, every: Duration, again: bool) -> Result<()> {
    let mut signals = Signals::new()?;
    let mut server = Server::start(&config, Arc::new(SystemClock)).await?;
    let stop_agent = CancellationToken::new();
    let agent = Agent::new(&AgentConfig {
        to: format!("http://{}", server.http_addr),
        bucket: "plimsoll".to_owned(),
        interval: every,
        buffer: config.data.join("tmp").join("agent"),
        buffer_limit_bytes: BUFFER_BYTES,
        hostname: None,
    })?;
    let demo = Demo {
        session: server.database().session(),
        engine: Arc::clone(server.database().engine()),
        pg: server.pg_addr,
        http: server.http_addr,
        data: config.data.clone(),
        delivered: agent.delivered(),
    };
    let agent = tokio::spawn(agent.run(Arc::new(SystemClock), stop_agent.clone()));
    let outcome = tokio::select! {
        shown = demo.show(again) => shown,
        _ = signals.next() => Ok(()),
        error = server.failed() => Err(error),
    };
    stop_agent.cancel();
    let _ended = agent.await;
    let stopped = serve::stop(server, &mut signals).await;
    outcome.and(stopped)?;
    say(&format!("\nStopped. The data stays in {}: the next demo goes on from here.", config.data.display()))
}

/// What the demo talks about.
struct Demo {
    session: Session,
    engine: Arc<Engine>,
    pg: SocketAddr,
    http: SocketAddr,
    data: PathBuf,
    delivered: watch::Receiver<u64>,
}

impl Demo {
    /// Says everything there is to say, and on a terminal a line now and then, for ever.
    async fn show(mut self, again: bool) -> Result<()> {
        let data = self.data.display();
        let from = if again { ", going on with the data of earlier runs" } else { "" };
        say(&format!("Plimsoll {}: metrics of this machine into {data}{from} ...\n", env!("CARGO_PKG_VERSION")))?;
        self.first_points().await?;
        self.show_statements(FIRST_TABLE).await?;
        self.show_statements(PROMISES).await?;
        self.show_shop().await?;
        say(&self.how_to_connect())?;
        if !again {
            say("\nMeanwhile, what becomes of an incident: two months of a shop, told in some seconds.")?;
            super::story::tell(Config::default(), false).await?;
            say(&format!("\nThe metrics of this machine go on: {}", psql_line(self.pg)))?;
        }
        if !io::stdout().is_terminal() {
            return std::future::pending().await;
        }
        let mut ticks = interval(SUMMARY_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            say(&self.summary().await)?;
        }
    }

    /// Waits until a new sample is stored, and one of the processor: the very first reading of a host has none.
    async fn first_points(&mut self) -> Result<()> {
        loop {
            self.delivered.changed().await.map_err(|_| Error::Internal("the agent has ended".to_owned()))?;
            if self.engine.table("cpu").is_some() {
                return Ok(());
            }
        }
    }

    /// A shop with eight weeks behind it: what was unusual, what is left of the budget, whether the promise was kept.
    async fn show_shop(&self) -> Result<()> {
        if self.engine.table(shop::TABLE).is_none() {
            say("\nEight weeks of a shop that is made up: days and weeks, a slow release, planned work, an outage.\n")?;
            self.show_statements(shop::MADE).await?;
            self.show_statements(shop::PROMISES).await?;
        }
        self.show_statements(shop::SHOWN).await
    }

    /// Statements, and what they answer.
    async fn show_statements(&self, text: &str) -> Result<()> {
        say(&format!("{text};\n"))?;
        let mut out = Vec::new();
        for statement in &plimsoll_query::parse(text)? {
            print_statement(&self.session, statement, Format::Table, SystemClock.now_ns(), &mut out).await?;
        }
        io::stdout().lock().write_all(&out).map_err(Error::Output)
    }

    fn how_to_connect(&self) -> String {
        let (pg, http, psql, data) = (self.pg, self.http, psql_line(self.pg), self.data.display());
        format!(
            "\
Ask more:     {psql}
              \\d lists the tables, \\d cpu the columns of one; kpi.cpu_busy has the band around what is normal
Grafana:      data source PostgreSQL: host {pg}, database postgres, user postgres, no password,
              TLS/SSL mode disable, TimescaleDB on (panels then use time_bucket)
Write:        POST http://{http}/api/v2/write?bucket=plimsoll, line protocol, for example
              curl -i 'http://{http}/api/v2/write?bucket=plimsoll' --data-binary 'room,name=kitchen celsius=21.5'
The story:    plimsoll demo --story, from a slow shop to whoever has to act, in virtual time
Other agents: plimsoll agent --to http://{http}
About it:     curl http://{http}/metrics
Data:         {data}, kept; when the demo is over: plimsoll sql --data {data}

No user has a password: only programs on this machine can connect. Ctrl-C stops."
        )
    }

    /// One line; a number that cannot be had is left out.
    async fn summary(&self) -> String {
        let mut parts = Vec::new();
        for (name, statement, unit) in SUMMARY {
            if let Some(value) = self.single(statement).await {
                parts.push(format!("{name} {value}{unit}"));
            }
        }
        parts.join(" · ")
    }

    /// The one value that a statement gives.
    async fn single(&self, text: &str) -> Option<String> {
        let statement = plimsoll_query::parse(text).ok()?.pop()?;
        let (session, now_ns, zone) = (&self.session, SystemClock.now_ns(), Zone::default());
        let prepared = session.prepare(&statement, &[], now_ns).ok()?;
        let Outcome::Rows { mut stream, .. } = session.run(&prepared, &[], now_ns).await.ok()? else { return None };
        while let Some(batch) = stream.next().await {
            let row = Values::new(&batch.ok()?, &zone).ok()?.rows().next();
            if let Some(mut row) = row {
                return row.pop()?;
            }
        }
        None
    }
}
