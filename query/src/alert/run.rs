//! One look at everything that is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::evaluate::{self, Happened};
use super::incident::{self as tickets, Opened};
use super::internal::{self, Ailing};
use super::machine::{Instance, Phase};
use super::schedule::{self, Turn};
use super::story::{self, Gathered};
use super::suppress::{self, Cause};
use super::watermark::Watermarks;
use super::{ACTOR, Instances, Labels, Ticket, Tracked, Watch, escalation, session};
use crate::catalog::Definitions;
use crate::dialect::Kind;
use crate::ops::{Named, Rows, Table, Transaction, Value, incident};
use crate::session::Session;
use crate::{Database, Error, Result};

/// How often it is written down how far an alert is when nothing has happened, in nanoseconds.
const PROGRESS_NS: i64 = super::MINUTE_NS;

/// How long settled deliveries are kept, in nanoseconds.
const KEEP_NS: i64 = 30 * 24 * 60 * super::MINUTE_NS;

/// Changes of the states of alerts that are kept.
const EVENTS_MAX: usize = 500_000;

/// What one look did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tick {
    /// Alerts that were evaluated.
    pub evaluated: usize,
    /// Alerts that were due and left for the next look, because there was not time for all.
    pub shed: usize,
    /// Changes of the state of instances.
    pub steps: usize,
    /// Steps of escalation policies that were taken.
    pub escalated: usize,
    /// When the next step of a policy is due, in nanoseconds since the Unix epoch.
    pub next_ns: Option<i64>,
}

/// What is known of alerts between looks.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    live: tokio::sync::Mutex<BTreeMap<String, Live>>,
}

/// An alert between looks.
#[derive(Debug)]
struct Live {
    watch: Watch,
    instances: Instances,
    /// The tables of time series that it reads.
    tables: Vec<String>,
    /// The end of the last bucket that was looked at.
    until_ns: i64,
    /// When it was last evaluated.
    evaluated_ns: i64,
    /// When it was last written down how far it is, and how far that was.
    written: Option<(i64, i64)>,
    error: Option<String>,
    failed_since_ns: Option<i64>,
}

/// What is about to be done for an instance that is open and belongs nowhere yet.
struct Pending {
    labels: Labels,
    /// Why nobody is told, or the story for whoever is.
    cause: Result<Cause, Box<Gathered>>,
}

impl Database {
    /// Evaluates what is due and does what follows: states, incidents, escalation. What is to be sent is then in the outbox. One
    /// look runs at a time; it may wait for the disk.
    ///
    /// # Errors
    /// [`Error::Catalog`]. An alert that fails is noted in `sys.alert_run`, and the others go on.
    pub async fn tick(&self, now_ns: i64) -> Result<Tick> {
        // Alerts are looked at also where KPIs cannot be brought up to date: their queries answer then.
        let refreshed = crate::maintained::refresh(self, now_ns).await;
        let session = session(self);
        let looked = crate::quality::look(&session, now_ns).await;
        let mut live = self.alerts().live.lock().await;
        let definitions = self.catalog().definitions();
        follow_definitions(&mut live, &definitions, &session, now_ns)?;
        let mut tick = Tick::default();
        let started = Instant::now();
        let turns = live.iter().map(|(name, one)| Turn {
            name: name.clone(),
            tier: one.watch.tier,
            is_enabled: one.watch.is_enabled(),
            every_ns: one.watch.every_ns,
            evaluated_ns: one.evaluated_ns,
        });
        let due = schedule::due(turns, now_ns);
        let mut watermarks = Watermarks::new(&session, now_ns);
        let mut shed = Vec::new();
        for Turn { name, tier, .. } in due {
            let Some(one) = live.get_mut(&name) else { continue };
            if schedule::is_shed(tier, started.elapsed()) {
                shed.push(name);
                continue;
            }
            let began = Instant::now();
            let done = look(one, &mut watermarks, &session, &definitions, now_ns).await;
            note(one, &done, began.elapsed(), now_ns, &definitions, self)?;
            if let Ok(Some(steps)) = done {
                tick.evaluated += 1;
                tick.steps += steps;
            }
        }
        tick.shed = shed.len();
        escalation::go_on(self, now_ns)?;
        (tick.escalated, tick.next_ns) = escalation::take(&session, now_ns).await?;
        crate::report::seal(&session, now_ns).await?;
        crate::report::keep(&session, now_ns).await?;
        self.ops().transaction(&ACTOR.into(), now_ns, |transaction| {
            tickets::remind(transaction, &|name| live.get(name).map(|one| &one.watch))?;
            live.values_mut().try_for_each(|one| write_progress(transaction, one))?;
            shed.iter().try_for_each(|name| write_shed(transaction, name))?;
            transaction.keep_newest(incident::built_in("alert_event")?, EVENTS_MAX);
            forget_settled(transaction)
        })?;
        refreshed.and(looked)?;
        Ok(tick)
    }

    /// As [`Database::tick`], for programs without an asynchronous runtime. Must not be called from async code.
    ///
    /// # Errors
    /// As [`Database::tick`].
    pub fn tick_blocking(&self, now_ns: i64) -> Result<Tick> {
        crate::session::runtime(self.threads())?.block_on(self.tick(now_ns))
    }
}

/// Takes alerts in that are new or changed, and leaves those that are gone.
fn follow_definitions(
    live: &mut BTreeMap<String, Live>,
    definitions: &Arc<Definitions>,
    session: &Session,
    now_ns: i64,
) -> Result<()> {
    let database = session.database();
    live.retain(|name, _| definitions.find(Kind::Alert, name).is_some());
    for object in definitions.of_kind(Kind::Alert) {
        let is_known = live.get(&object.name).is_some_and(|one| Arc::ptr_eq(&one.watch.object, object));
        if is_known {
            continue;
        }
        let watch = Watch::new(object, definitions)?;
        let runs = run_table()?;
        let run = database.ops().held(runs);
        let run = run.find(&["alert"], &[Value::Text(object.name.clone())]);
        let run = run.map(|(_, row)| Named::new(runs, row));
        let told = run.as_ref().and_then(|run| run.time_ns("evaluated_until"));
        // What failed before a restart fails until it is seen to work.
        let error = run.as_ref().and_then(|run| run.text("error")).map(str::to_owned);
        // A new alert sees as much of the past as it takes to fire at once.
        let since_ns = object.defined_ns.saturating_sub(watch.rule.hold_ns).saturating_sub(2 * watch.rule.step_ns);
        let until_ns = match live.get(&object.name) {
            // One that was off looks ahead when it is switched on, not back.
            Some(before) if !before.watch.is_enabled() => since_ns,
            Some(before) => before.until_ns,
            None => told.unwrap_or(since_ns),
        };
        let instances = stored(&object.name, &database.ops().rows(incident::built_in("alert")?))?;
        let one = Live {
            tables: evaluate::tables(&watch, session, now_ns).unwrap_or_default(),
            watch,
            instances,
            until_ns,
            evaluated_ns: i64::MIN,
            written: None,
            failed_since_ns: error.as_ref().and(run.as_ref()).and_then(|run| run.time_ns("failed_since")),
            error,
        };
        live.insert(object.name.clone(), one);
    }
    let gone: Vec<u64> = {
        let table = incident::built_in("alert")?;
        let rows = database.ops().rows(table);
        let is_gone = |row: &Named<'_>| row.text("alert").is_some_and(|name| !live.contains_key(name));
        rows.iter().filter(|(_, row)| is_gone(&Named::new(table, row))).map(|(number, _)| *number).collect()
    };
    if gone.is_empty() {
        return Ok(());
    }
    let table = incident::built_in("alert")?;
    database.ops().transaction(&ACTOR.into(), now_ns, |transaction| {
        for number in &gone {
            transaction.remove(table, *number);
        }
        Ok(())
    })
}

fn run_table() -> Result<&'static Table> {
    incident::of_system("alert_run")
}

/// The instances of an alert as they were written down.
fn stored(alert: &str, rows: &Rows) -> Result<Instances> {
    let table = incident::built_in("alert")?;
    let mut instances = Instances::new();
    for (number, row) in rows {
        let row = Named::new(table, row);
        if row.text("alert") != Some(alert) {
            continue;
        }
        let damaged = |e: serde_json::Error| Error::Internal(format!("state of alert {alert}: {e}"));
        let labels: Labels = serde_json::from_str(row.text("labels").unwrap_or("{}")).map_err(damaged)?;
        let instance: Instance = serde_json::from_str(row.text("machine").unwrap_or("")).map_err(damaged)?;
        let values = row.text("signal").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let tracked = Tracked {
            instance,
            values,
            severity: row.text("severity").map(str::to_owned),
            incident_id: None,
            suppressed_by: row.text("suppressed_by").map(str::to_owned),
            number: Some(*number),
        };
        // The row of one that is over still says where it belonged.
        let incident_id = row.integer("incident_id").filter(|_| tracked.instance.phase.is_open());
        let tracked = Tracked { incident_id, ..tracked };
        instances.insert(labels, tracked);
    }
    Ok(instances)
}

/// Evaluates an alert as far as its data is complete. Gives how many steps that made; `None` when there was nothing to look at.
async fn look(
    one: &mut Live,
    watermarks: &mut Watermarks<'_>,
    session: &Session,
    definitions: &Definitions,
    now_ns: i64,
) -> Result<Option<usize>> {
    let database = session.database();
    let watch = &one.watch;
    let snapshot = database.engine().snapshot();
    let lateness_ns = watch.lateness_ns.max(crate::quality::lateness_ns(&one.tables, &definitions.rules));
    let complete_ns = watermarks.of(&one.tables, &snapshot, lateness_ns, watch.idle_ns).await?;
    let step_ns = watch.rule.step_ns.max(1);
    let until_ns = complete_ns.saturating_sub(complete_ns.rem_euclid(step_ns));
    let mut instances = one.instances.clone();
    let mut happened = Vec::new();
    let is_new = until_ns > one.until_ns;
    if is_new {
        let rows = evaluate::rows(watch, one.until_ns, until_ns, session, now_ns).await?;
        happened = evaluate::fold(&mut instances, &watch.rule, one.until_ns, until_ns, &rows);
    }
    let mut pending = Vec::new();
    for (labels, tracked) in &instances {
        let belongs = tracked.incident_id.is_some() && tracked.suppressed_by.is_none();
        // What was kept quiet and is about to be over opens nothing any more.
        let is_ending = tracked.instance.phase == Phase::Clearing && tracked.suppressed_by.is_some();
        if !tracked.instance.phase.is_open() || belongs || is_ending || watch.ticket == Ticket::None {
            continue;
        }
        let is_old = now_ns.saturating_sub(tracked.instance.true_until_ns) > watch.age_max_ns;
        let cause = match is_old {
            // A plan and a problem are about what has been: no work that is planned today takes them away.
            _ if watch.ticket != Ticket::Incident => None,
            true => Some(Cause { text: "its data came too late".to_owned(), parent: None }),
            false => suppress::cause(watch, labels, tracked.instance.began_ns, now_ns, definitions, database)?,
        };
        let cause = match cause {
            Some(cause) if tracked.suppressed_by.as_deref() == Some(cause.text.as_str()) => continue,
            Some(cause) => Ok(cause),
            None if tracked.suppressed_by.as_deref() == Some(OPENED) => continue,
            None => {
                let at_ns = tracked.instance.since_ns;
                Err(Box::new(story::gather(watch, labels, at_ns, session, definitions, now_ns).await))
            }
        };
        pending.push(Pending { labels: labels.clone(), cause });
    }
    if !happened.is_empty() || !pending.is_empty() {
        let reach = Reached { until_ns: until_ns.max(one.until_ns), complete_ns };
        database.ops().transaction(&ACTOR.into(), now_ns, |transaction| {
            follow(transaction, watch, &mut instances, &happened, &pending, reach, definitions, database)
        })?;
        one.written = Some((now_ns, until_ns));
    }
    one.instances = instances;
    if is_new {
        one.until_ns = until_ns;
        one.evaluated_ns = now_ns;
    }
    Ok(is_new.then_some(happened.len()))
}

/// Stands in for a cause where an instance has opened something that is no incident.
const OPENED: &str = "opened";

/// How far an alert is.
#[derive(Debug, Clone, Copy)]
struct Reached {
    until_ns: i64,
    complete_ns: i64,
}

/// All that follows from what happened, in one transaction.
#[expect(clippy::too_many_arguments, reason = "all that one look has found")]
fn follow(
    transaction: &mut Transaction<'_>,
    watch: &Watch,
    instances: &mut Instances,
    happened: &[Happened],
    pending: &[Pending],
    reach: Reached,
    definitions: &Definitions,
    database: &Database,
) -> Result<()> {
    for Happened { labels, step, .. } in happened {
        let Some(tracked) = instances.get_mut(labels) else { continue };
        let event = match (step.from == step.to, step.no_data) {
            (true, true) => "no_data",
            (true, false) => "data",
            _ => step.to.word(),
        };
        write_event(transaction, watch, labels, tracked, event, Some(step.from), step.at_ns, None)?;
    }
    for Pending { labels, cause } in pending {
        let Some(tracked) = instances.get_mut(labels) else { continue };
        let at_ns = tracked.instance.since_ns;
        match cause {
            Ok(cause) => {
                tracked.suppressed_by = Some(cause.text.clone());
                tracked.incident_id = cause.parent.or(tracked.incident_id);
                write_event(transaction, watch, labels, tracked, "suppressed", None, at_ns, Some(&cause.text))?;
                if let Some(parent) = cause.parent {
                    let detail = serde_json::json!({ "alert": watch.name(), "labels": labels, "cause": cause.text });
                    incident::record(transaction, &incident::tables()?, parent, "child", &detail)?;
                }
            }
            Err(gathered) => {
                let story = story::tell(watch, labels, tracked, gathered, reach.complete_ns, definitions, database)?;
                let opened = tickets::open(transaction, watch, labels, tracked, &story, gathered, definitions)?;
                tracked.suppressed_by = None;
                let event = match opened {
                    Opened::Incident(id) | Opened::Reopened(id) | Opened::Joined(id) => {
                        tracked.incident_id = Some(id);
                        if matches!(opened, Opened::Joined(_)) { "joined" } else { "opened" }
                    }
                    Opened::Other => {
                        tracked.suppressed_by = Some(OPENED.to_owned());
                        "opened"
                    }
                };
                write_event(transaction, watch, labels, tracked, event, None, at_ns, None)?;
            }
        }
    }
    // What is over belongs nowhere any longer; its row goes on to say where it did.
    let mut over: BTreeMap<i64, i64> = BTreeMap::new();
    for Happened { labels, step, .. } in happened {
        let Some(tracked) = instances.get_mut(labels) else { continue };
        if step.to == Phase::Resolved && step.from != step.to {
            tracked.suppressed_by = None;
            if let Some(id) = tracked.incident_id {
                let at_ns = over.entry(id).or_insert(step.at_ns);
                *at_ns = step.at_ns.max(*at_ns);
            }
        }
    }
    let touched = happened.iter().map(|step| &step.labels).chain(pending.iter().map(|pending| &pending.labels));
    let mut touched: Vec<Labels> = touched.cloned().collect();
    touched.sort();
    touched.dedup();
    for labels in &touched {
        if let Some(tracked) = instances.get_mut(labels) {
            write_instance(transaction, watch, labels, tracked)?;
        }
    }
    instances.retain(|_, tracked| tracked.number.is_some());
    for (id, at_ns) in over {
        tickets::resolve_if_over(transaction, id, at_ns)?;
    }
    for labels in &touched {
        if let Some(tracked) = instances.get_mut(labels)
            && tracked.instance.phase == Phase::Resolved
        {
            tracked.incident_id = None;
        }
    }
    write_run(transaction, watch, &[("evaluated_until", Some(Value::Time(reach.until_ns)))])
}

/// Writes an instance down, or takes it away when there is nothing to say of it.
fn write_instance(
    transaction: &mut Transaction<'_>,
    watch: &Watch,
    labels: &Labels,
    tracked: &mut Tracked,
) -> Result<()> {
    let table = incident::built_in("alert")?;
    if tracked.instance.is_blank() {
        if let Some(number) = tracked.number.take() {
            transaction.remove(table, number);
        }
        return Ok(());
    }
    let json = |value: serde_json::Result<String>| value.map_err(|e| Error::Internal(e.to_string()));
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let number = |name: &str| tracked.values.get(name).copied().filter(|number| number.is_finite()).map(Value::Float);
    let finite: BTreeMap<&String, f64> =
        tracked.values.iter().filter(|(_, number)| number.is_finite()).map(|(name, number)| (name, *number)).collect();
    let values = [
        ("alert", text(watch.name())),
        ("labels", text(&json(serde_json::to_string(labels))?)),
        ("key", text(&watch.key(labels))),
        ("service", watch.service().and_then(text)),
        ("state", text(tracked.instance.phase.word())),
        ("since", Some(Value::Time(tracked.instance.since_ns))),
        ("began_at", Some(Value::Time(tracked.instance.began_ns))),
        ("severity", tracked.severity.as_deref().and_then(text)),
        ("value", number("value")),
        ("score", number("score")),
        ("incident_id", tracked.incident_id.map(Value::Integer)),
        ("suppressed_by", tracked.suppressed_by.as_deref().and_then(text)),
        ("no_data", Some(Value::Boolean(tracked.instance.no_data))),
        ("machine", text(&json(serde_json::to_string(&tracked.instance))?)),
        ("signal", text(&json(serde_json::to_string(&finite))?)),
    ];
    match tracked.number {
        Some(number) => transaction.set(table, number, &values),
        None => {
            tracked.number = Some(transaction.insert(table, &values)?);
            Ok(())
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the columns of the table")]
fn write_event(
    transaction: &mut Transaction<'_>,
    watch: &Watch,
    labels: &Labels,
    tracked: &Tracked,
    event: &str,
    from: Option<Phase>,
    at_ns: i64,
    cause: Option<&str>,
) -> Result<()> {
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    let number = |name: &str| tracked.values.get(name).copied().filter(|number| number.is_finite()).map(Value::Float);
    let labels = serde_json::to_string(labels).map_err(|e| Error::Internal(e.to_string()))?;
    let values = [
        ("alert", text(watch.name())),
        ("labels", text(&labels)),
        ("event", text(event)),
        ("from_state", from.and_then(|from| text(from.word()))),
        ("at", Some(Value::Time(at_ns))),
        ("noticed_at", Some(Value::Time(transaction.now_ns()))),
        ("value", number("value")),
        ("score", number("score")),
        ("severity", tracked.severity.as_deref().and_then(text)),
        ("incident_id", tracked.incident_id.map(Value::Integer)),
        ("cause", cause.and_then(text)),
    ];
    transaction.insert(incident::built_in("alert_event")?, &values).map(|_| ())
}

/// Writes down how far an alert is.
fn write_run(transaction: &mut Transaction<'_>, watch: &Watch, more: &[(&str, Option<Value>)]) -> Result<()> {
    let table = run_table()?;
    let name = Value::Text(watch.name().to_owned());
    let version = Some(Value::Integer(i64::try_from(watch.object.version).unwrap_or(i64::MAX)));
    let now = Some(Value::Time(transaction.now_ns()));
    let mut values = vec![("alert", Some(name.clone())), ("version", version), ("evaluated_at", now)];
    values.extend(more.iter().cloned());
    let found = transaction.held(table).find(&["alert"], &[name]).map(|(number, _)| number);
    match found {
        Some(number) => transaction.set(table, number, &values),
        None => transaction.insert(table, &values).map(|_| ()),
    }
}

/// Writes down how far an alert is where that is long ago.
fn write_progress(transaction: &mut Transaction<'_>, one: &mut Live) -> Result<()> {
    let now_ns = transaction.now_ns();
    let is_due = |(written_ns, until_ns): (i64, i64)| {
        until_ns < one.until_ns && now_ns.saturating_sub(written_ns) >= PROGRESS_NS
    };
    // What was never evaluated is nowhere yet.
    if one.evaluated_ns == i64::MIN || !one.written.is_none_or(is_due) {
        return Ok(());
    }
    write_run(transaction, &one.watch, &[("evaluated_until", Some(Value::Time(one.until_ns)))])?;
    one.written = Some((now_ns, one.until_ns));
    Ok(())
}

/// Writes down that an alert was left for later.
fn write_shed(transaction: &mut Transaction<'_>, name: &str) -> Result<()> {
    let table = run_table()?;
    let held = transaction.held(table);
    let Some((number, row)) = held.find(&["alert"], &[Value::Text(name.to_owned())]) else { return Ok(()) };
    let times = Named::new(table, row).integer("shed").unwrap_or(0).saturating_add(1);
    let now = Some(Value::Time(transaction.now_ns()));
    transaction.set(table, number, &[("shed", Some(Value::Integer(times))), ("shed_at", now)])
}

/// Notes that an alert fails, or no longer does.
fn note(
    one: &mut Live,
    done: &Result<Option<usize>>,
    took: Duration,
    now_ns: i64,
    definitions: &Definitions,
    database: &Database,
) -> Result<()> {
    let failed = done.as_ref().err().map(ToString::to_string);
    let error = failed.or_else(|| slowness(&one.watch, took));
    if done.is_err() {
        // Its tables may be other ones now.
        one.evaluated_ns = now_ns;
        one.tables = evaluate::tables(&one.watch, &session(database), now_ns).unwrap_or_default();
    }
    if error == one.error {
        return Ok(());
    }
    one.failed_since_ns = error.as_ref().map(|_| one.failed_since_ns.unwrap_or(now_ns));
    one.error.clone_from(&error);
    let title =
        error.as_ref().map(|error| format!("alert {} is not evaluated as it should be: {error}", one.watch.name()));
    let more = [
        ("error", error.map(Value::Text)),
        ("failed_since", one.failed_since_ns.map(Value::Time)),
        ("seconds", Some(Value::Float(took.as_secs_f64()))),
    ];
    let ailing = Ailing::Alert(one.watch.name());
    let policy = tickets::policy_of(&one.watch, definitions);
    database.ops().transaction(&ACTOR.into(), now_ns, |transaction| {
        match &title {
            Some(title) => internal::raise(transaction, ailing, title, policy.as_deref(), definitions)?,
            None => internal::over(transaction, ailing)?,
        }
        write_run(transaction, &one.watch, &more)
    })
}

/// What is said of an evaluation that takes as long as the time that it is about, or a minute where that is less.
fn slowness(watch: &Watch, took: Duration) -> Option<String> {
    let most_ns = watch.rule.step_ns.max(watch.every_ns).max(super::MINUTE_NS);
    let is_slow = i64::try_from(took.as_nanos()).unwrap_or(i64::MAX) >= most_ns;
    // Without the figure itself, which is another one each time.
    is_slow.then(|| format!("an evaluation takes longer than {} s", most_ns / 1_000_000_000))
}

/// Takes deliveries away that were settled long ago.
fn forget_settled(transaction: &mut Transaction<'_>) -> Result<()> {
    let table = incident::tables()?.delivery;
    let before_ns = transaction.now_ns().saturating_sub(KEEP_NS);
    let is_old = |row: &Named<'_>| row.time_ns("settled_at").is_some_and(|settled_ns| settled_ns < before_ns);
    let held = transaction.held(table);
    let old: Vec<u64> =
        held.rows().iter().filter(|(_, row)| is_old(&Named::new(table, row))).map(|(number, _)| *number).collect();
    for number in old {
        transaction.remove(table, number);
    }
    Ok(())
}
