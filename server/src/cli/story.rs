//! `plimsoll demo --story`: two months of a shop in some seconds, from the first row to whoever has to act.
//!
//! Time is virtual; all else is as it is in service: the same engine, the same alerts, webhooks over HTTP to a receiver that checks
//! their signatures and prints what has come.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use plimsoll_engine::Engine;
use plimsoll_engine::env::{Clock, SystemClock};
use plimsoll_query::{Database, Session};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::say;
use super::sql::{Format, print_statement};
use crate::alerting::Desk;
use crate::notify::is_signed;
use crate::storage;
use crate::{Config, Error, Result};

/// 2026-03-02 00:00 UTC, a Monday, in seconds since the Unix epoch.
const BEGIN_S: i64 = 1_772_409_600;

/// How much there is of the past when the story begins: eight weeks, in steps.
const PAST_STEPS: i64 = 8 * 7 * 144;

/// Seconds between two rows of a series, and the width of a bucket.
const STEP_S: i64 = 600;

/// The secret that receiver and sink share.
const SECRET: &str = "whsec_cGxpbXNvbGwtbGluZQ==";

/// A part of the story.
enum Part {
    /// What is about to happen.
    Chapter(&'static str),
    /// Statements, shown with their answers; `{port}` is the receiver's.
    Sql(&'static str),
    /// This many steps go by, in which requests of an application take so many times as long as they do.
    Pass { steps: i64, app: &'static str, times: i64 },
    /// Time goes by quickly: rows are written for all of these steps, and alerts look once, at the end.
    Leap { steps: i64 },
}

use Part::{Chapter, Leap, Pass, Sql};

const STORY: &[Part] = &[
    Chapter("1. A shop, what is measured, and what is normal"),
    Sql("CREATE TABLE http_requests (time timestamptz NOT NULL, app text, region text, duration_ms double precision,
  CONSTRAINT sane EXPECT (duration_ms BETWEEN 0 AND 600000) ON VIOLATION QUARANTINE);
CREATE SINK pager WITH (url = 'http://127.0.0.1:{port}/pager', secret = 'whsec_cGxpbXNvbGwtbGluZQ==', allow_private = true);
CREATE SINK manager WITH (url = 'http://127.0.0.1:{port}/manager', secret = 'whsec_cGxpbXNvbGwtbGluZQ==', allow_private = true);
CREATE ESCALATION POLICY oncall (
  AFTER '0 min' NOTIFY pager,
  AFTER '20 min' NOTIFY pager, manager WHEN NOT acknowledged);
CREATE SERVICE payments TIER 0 OWNER payments_team;
CREATE SERVICE checkout TIER 1 OWNER shop_team DEPENDS ON (payments HARD)
  WITH (cost_per_minute = 1200, currency = 'EUR', escalation = 'oncall');
CREATE KPI checkout_p95 ON SERVICE checkout AS
  SELECT time_bucket('10 min', time) AS time, region, approx_percentile(0.95, duration_ms) AS value
  FROM http_requests WHERE app = 'checkout' GROUP BY 1, 2 WITH (unit = 'ms', better = 'low', steward = 'alice');
CREATE KPI payments_p95 ON SERVICE payments AS
  SELECT time_bucket('10 min', time) AS time, region, approx_percentile(0.95, duration_ms) AS value
  FROM http_requests WHERE app = 'payments' GROUP BY 1, 2 WITH (unit = 'ms', better = 'low');
CREATE KPI checkout_requests ON SERVICE checkout AS
  SELECT time_bucket('10 min', time) AS time, count(*) FILTER (WHERE duration_ms < 1000) AS good, count(*) AS total
  FROM http_requests WHERE app = 'checkout' GROUP BY 1 WITH (unit = 'requests', better = 'high', period = '1 week');
CREATE BASELINE checkout_p95_b ON KPI checkout_p95 SEASON (hour_of_day) WITH (history = '4 weeks')"),
    Chapter("Eight weeks of requests have come in; twice the shop was slow, and there are tickets of that."),
    Sql("SELECT count(*) AS rows, min(time), max(time) FROM http_requests;
SELECT time, region, value, expected, upper, score, band FROM kpi.checkout_p95 WHERE score > 4 ORDER BY time LIMIT 5"),
    Chapter("A clock was wrong on one host: what it sent is kept apart"),
    Sql("INSERT INTO http_requests VALUES ('2026-04-26 23:59:30+00', 'checkout', 'eu', -17);
SELECT rule, duration_ms FROM quarantine.http_requests"),
    Chapter("2. What could be kept, what is promised, and what burns it"),
    Sql("SELECT target, met, periods, recommended FROM suggest_target('checkout_requests');
CREATE SLO checkout_avail ON SERVICE checkout OBJECTIVE 99.5% OVER ROLLING '28 days' AS
  SELECT time, good, total FROM kpi.checkout_requests;
CREATE SLA acme_gold FOR CUSTOMER 'acme' PERIOD '1 week' (checkout_avail >= 99.5%) WITH (seal_after = '2 hours');
SELECT sli, objective, budget_remaining, status FROM ops.v_slo"),
    Chapter("3. An alert that is not armed yet, beside what had happened"),
    Sql("CREATE ALERT checkout_slow ON SERVICE checkout AS
  SELECT time, region, value, score, expected, upper FROM kpi.checkout_p95
  WHEN score >= tier_threshold('checkout') AND value > upper FOR '20 min'
  CLEAR WHEN value < upper FOR '20 min'
  SEVERITY CASE WHEN value > 3 * upper THEN 'critical' ELSE 'major' END
  ESCALATE TO oncall WITH (dedup_key = '{service}', inhibit = 'upstream', dry_run = '28 days');
SELECT score_threshold, for_duration, incidents, caught, alarms, precision, recall, median_delay, recommended
  FROM backtest_alert('checkout_slow', '2026-03-16', '2026-04-27',
    'SELECT opened_at, resolved_at FROM ops.incident WHERE service = ''checkout'' AND priority <= 2',
    'score_threshold IN (2, 2.5, 4), for_duration IN (''10 min'', ''20 min'')')"),
    Chapter("4. Armed, with one for what it stands on, and one for what comes again"),
    Sql("ALTER ALERT checkout_slow RESET (dry_run);
CREATE ALERT payments_slow ON SERVICE payments AS SELECT time, region, value FROM kpi.payments_p95
  WHEN value > 600 SEVERITY 'critical' ESCALATE TO oncall WITH (dedup_key = '{service}');
CREATE ALERT checkout_comes_again ON SERVICE checkout AS
  SELECT time, service, key, recurrences FROM chronic('checkout_slow', '7 days', 2)
  WHEN recurrences >= 2 WITH (ticket = 'problem', dedup_key = '{service}/{key}');
CREATE ALERT checkout_action_plan ON SERVICE checkout
  AS SELECT period_end AS time, kpi, consecutive FROM kpi_breaches('checkout_requests')
  WHEN consecutive >= 3
  WITH (ticket = 'action_plan', assignee = 'owner', due = '10 days', dedup_key = '{service}/{kpi}/{time}');
INSERT INTO ops.change (id, service, kind, risk, description) VALUES ('CHG-88', 'checkout', 'deployment', 'low', 'new cart')"),
    Chapter("5. It is slow: the pager is told, and nobody takes it up"),
    Pass { steps: 5, app: "checkout", times: 8 },
    Sql("SELECT id, priority, title, state, age, next_notify FROM ops.v_frontline;
EXPLAIN ALERT checkout_slow AT '2026-04-27 00:30'"),
    Chapter("6. Somebody does; then it is well again"),
    Sql("CALL acknowledge(3, note => 'rolling CHG-88 back')"),
    Pass { steps: 4, app: "checkout", times: 1 },
    Sql("SELECT id, state, opened_at, acknowledged_at, resolved_at FROM ops.incident WHERE alert = 'checkout_slow';
INSERT INTO ops.known_error (title, signature, workaround) VALUES ('cart cache runs cold', '{\"alert\": \"checkout_*\", \"direction\": \"above\"}', 'warm the cache')"),
    Chapter("7. It comes again: the known error is named, and a problem is opened"),
    Pass { steps: 6, app: "checkout", times: 1 },
    Pass { steps: 4, app: "checkout", times: 8 },
    Pass { steps: 6, app: "checkout", times: 1 },
    Sql("SELECT id, title, service, alert FROM ops.problem;
SELECT item, value FROM cab_packet(1)"),
    Chapter("8. Payments break, and checkout with them: one incident, not two"),
    Pass { steps: 4, app: "", times: 8 },
    Pass { steps: 6, app: "", times: 1 },
    Sql("SELECT alert, labels, event, cause FROM ops.alert_event WHERE event = 'suppressed' ORDER BY id"),
    Chapter("9. The week ends: the third bad one in a row asks its owner for a plan"),
    Leap { steps: 7 * 144 },
    Sql("SELECT period_end, target, attained, status, consecutive FROM kpi_breaches('checkout_requests') ORDER BY period_end DESC LIMIT 4;
SELECT service, kpi, owner, due_at, state FROM ops.action_plan"),
    Chapter("10. The week is sealed: a row that comes late restates the measure, and not what was kept of the promise"),
    Sql("SELECT period_start, target, attained, status, sealed_at FROM sla.acme_gold ORDER BY period_start DESC LIMIT 2;
INSERT INTO http_requests VALUES ('2026-04-30 12:00:05+00', 'checkout', 'eu', 4000)"),
    Pass { steps: 1, app: "", times: 1 },
    Sql("SELECT object, bucket, old, new FROM sys.restatement WHERE object = 'checkout_requests';
SELECT period_start, attained, status, sealed_at FROM sla.acme_gold WHERE sealed_at IS NOT NULL"),
    Chapter("11. What the change did; after another one there is another normal"),
    Sql("SELECT * FROM change_impact('CHG-88');
INSERT INTO ops.change (id, service, kind, risk, description) VALUES ('CHG-92', 'checkout', 'deployment', 'low', 'larger pictures');
CALL rebaseline('checkout_p95_b', mode => 'shift', change => 'CHG-92', reason => 'larger pictures are here to stay');
SELECT baseline, mode, at, reason FROM ops.rebaseline"),
    Chapter("12. What is asked afterwards"),
    Sql("SELECT section, at, item, value FROM incident_report(3);
SELECT service, slos, slos_met, least_budget, incidents_30d, mtta_30d, mttr_30d, open_plans FROM ops.v_manager;
SELECT service, minutes_down, cost, currency, trend, sla_breaches FROM ops.v_exec;
SHOW LINEAGE FOR ALERT checkout_slow;
SELECT action, object, reason FROM sys.audit WHERE reason IS NOT NULL ORDER BY seq DESC LIMIT 3;
SELECT * FROM audit_verify()"),
];

/// A clock that goes on when it is told to.
#[derive(Debug)]
struct StoryClock(AtomicI64);

impl Clock for StoryClock {
    fn now_ns(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The story on its way.
struct Story {
    database: Database,
    session: Session,
    clock: Arc<StoryClock>,
    desk: Desk,
    received: UnboundedReceiver<String>,
    port: u16,
    /// Steps that have gone by since [`BEGIN_S`].
    step: i64,
}

/// Tells the story, and keeps its data if a directory is named for it.
pub(super) async fn tell(mut config: Config, keeps: bool) -> Result<()> {
    if !keeps {
        config.data = std::env::temp_dir().join(format!("plimsoll-story-{}", std::process::id()));
    }
    let data = config.data.clone();
    let _scratch = (!keeps).then(|| Scratch(data.clone()));
    tell_into(config).await?;
    if keeps {
        say(&format!("\nThe data is in {0}: plimsoll sql --data {0}", data.display()))?;
    }
    Ok(())
}

/// A directory that goes when the story is over, or broken off.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, dir = %self.0.display(), "the story's data could not be removed");
        }
    }
}

async fn tell_into(config: Config) -> Result<()> {
    let opened = tokio::task::spawn_blocking(move || -> Result<(Arc<Engine>, Database)> {
        let engine = storage::open_engine(&config, &(Arc::new(SystemClock) as Arc<dyn Clock>))?;
        let database = storage::open_database(&config, &engine)?;
        Ok((engine, database))
    });
    let (_engine, database) = opened.await.map_err(|error| Error::Internal(error.to_string()))??;
    let (port, received) = receiver().await?;
    let mut session = database.session();
    session.set_user("alice");
    let clock = Arc::new(StoryClock(AtomicI64::new(0)));
    let desk = Desk::new(database.clone(), Arc::clone(&clock) as Arc<dyn Clock>)
        .map_err(|error| Error::Internal(error.to_string()))?;
    let mut story = Story { database, session, clock, desk, received, port, step: 0 };
    story.go_to(PAST_STEPS);
    for (at, part) in STORY.iter().enumerate() {
        match part {
            Chapter(text) => say(&format!("\n== {text}\n"))?,
            Sql(text) => story.show(text).await?,
            Pass { steps, app, times } => story.pass(*steps, app, *times).await?,
            Leap { steps } => {
                let until = story.step + steps;
                story.write(story.step, until, "", 1, "").await?;
                story.go_to(until);
                story.look().await?;
            }
        }
        // The past comes in once there is a table for it.
        if at == 1 {
            story.write_past().await?;
        }
    }
    Ok(())
}

impl Story {
    fn go_to(&mut self, step: i64) {
        self.step = step;
        self.clock.0.store((BEGIN_S + step * STEP_S) * 1_000_000_000, Ordering::SeqCst);
    }

    /// Statements and their answers.
    async fn show(&self, text: &str) -> Result<()> {
        let text = text.replace("{port}", &self.port.to_string());
        for statement in &plimsoll_query::parse(&text)? {
            say(&format!("{};", statement.text().trim()))?;
            let mut out = Vec::new();
            print_statement(&self.session, statement, Format::Table, self.clock.now_ns(), &mut out).await?;
            io::stdout().lock().write_all(&out).map_err(Error::Output)?;
        }
        Ok(())
    }

    async fn run(&self, text: &str) -> Result<()> {
        let now_ns = self.clock.now_ns();
        for statement in &plimsoll_query::parse(text)? {
            let prepared = self.session.prepare(statement, &[], now_ns)?;
            self.session.run(&prepared, &[], now_ns).await?;
        }
        Ok(())
    }

    /// The rows of steps: 20 requests of each application and region, slower by day, one application `times` as slow. `more` is
    /// added to the duration, in SQL over the step `n` and the request `r`.
    async fn write(&self, from: i64, until: i64, app: &str, times: i64, more: &str) -> Result<()> {
        let last = until - 1;
        for (name, base, regions) in [("checkout", 200, &["eu", "us"][..]), ("payments", 120, &["eu"][..])] {
            let slow = if times != 1 && (app.is_empty() || app == name) { times } else { 1 };
            let more = if name == "checkout" { more } else { "" };
            for region in regions {
                self.run(&format!(
                    "INSERT INTO http_requests SELECT to_timestamp({BEGIN_S} + n * {STEP_S} + r * 29), '{name}', '{region}', \
                     ({base} + 4 * abs(n / 6 % 24 - 12) + (n * 7919 + r * 104729) % 31) * {slow} {more} \
                     FROM generate_series({from}, {last}) AS t(n) CROSS JOIN generate_series(0, 19) AS u(r)"
                ))
                .await?;
            }
        }
        Ok(())
    }

    /// Eight weeks, with two outages and the tickets of them; in the last two weeks some requests were too slow.
    async fn write_past(&self) -> Result<()> {
        let more = "+ CASE WHEN n BETWEEN 3000 AND 3005 OR n BETWEEN 5500 AND 5508 THEN 1500 \
                    WHEN n > 6048 AND n % 5 = 0 AND r = 0 THEN 1200 ELSE 0 END";
        self.write(0, PAST_STEPS, "", 1, more).await?;
        let at = |step: i64| format!("to_timestamp({})", BEGIN_S + step * STEP_S);
        self.run(&format!(
            "INSERT INTO ops.incident (external_id, title, service, priority, state, opened_at, resolved_at) VALUES \
             ('DESK-17', 'checkout is slow', 'checkout', 2, 'resolved', {}, {}), \
             ('DESK-31', 'checkout is slow', 'checkout', 1, 'resolved', {}, {})",
            at(3001),
            at(3007),
            at(5502),
            at(5510)
        ))
        .await
    }

    /// Steps go by: rows come in, alerts look, and what is to be told is told.
    async fn pass(&mut self, steps: i64, app: &str, times: i64) -> Result<()> {
        for _ in 0..steps {
            self.write(self.step, self.step + 1, app, times, "").await?;
            self.go_to(self.step + 1);
            self.look().await?;
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<()> {
        self.database.tick(self.clock.now_ns()).await?;
        let at = chrono::DateTime::from_timestamp_nanos(self.clock.now_ns());
        while self.desk.round().await > 0 {}
        while let Ok(told) = self.received.try_recv() {
            say(&format!("{}  {told}", at.format("%a %H:%M")))?;
        }
        Ok(())
    }
}

/// What receives webhooks and tells what has come.
async fn receiver() -> Result<(u16, UnboundedReceiver<String>)> {
    let (sender, received) = unbounded_channel();
    let router = Router::new().route("/{who}", post(take)).with_state(sender);
    let internal = |error: io::Error| Error::Internal(format!("the receiver cannot listen: {error}"));
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(internal)?;
    let port = listener.local_addr().map_err(internal)?.port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((port, received))
}

async fn take(
    State(sender): State<UnboundedSender<String>>,
    Path(who): Path<String>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, sent_at, signature) = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    if !is_signed(SECRET, id, sent_at, &body, signature) {
        return StatusCode::UNAUTHORIZED;
    }
    let Ok(event) = serde_json::from_str::<serde_json::Value>(&body) else { return StatusCode::BAD_REQUEST };
    let text = |pointer: &str| match event.pointer(pointer) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    let mut told = format!(
        "{who} <- {} of incident {} ({}), priority {}, event {}",
        text("/event"),
        text("/incident/id"),
        text("/incident/key"),
        text("/incident/priority"),
        text("/sequence"),
    );
    if text("/event") == "incident.opened" {
        told += &format!(
            "\n             {} {} ms, expected {} ({}), upper {}, score {}; mostly {}; budget left {}; changes {}; known errors {}",
            text("/signal/kpi"),
            text("/signal/value"),
            text("/signal/expected"),
            text("/signal/baseline/slot"),
            text("/signal/upper"),
            text("/signal/score"),
            text("/signal/top_dimensions/0/label"),
            text("/slo/budget_remaining"),
            text("/context/recent_changes"),
            text("/context/known_errors"),
        );
    }
    // Whoever told the story may be gone.
    let _ = sender.send(told);
    StatusCode::NO_CONTENT
}
