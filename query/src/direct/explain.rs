//! What a direct plan asks the engine for, as EXPLAIN shows it.

use std::fmt::Write as _;
use std::time::Instant;

use datafusion::common::ScalarValue;
use futures::TryStreamExt;
use plimsoll_engine::{Aggregate, AggregateRequest, Bucket, LastRequest, ScanOrder, ScanRequest};

use super::Direct;
use super::output::{Key, Output};
use super::run::{Means, Request, shortfall};
use crate::source::{ShownFilter, sentence};
use crate::{Error, Result};

impl Direct {
    /// A line for each step; with `analyze` the statement is run as well. `None` when this run has to go the long way.
    ///
    /// # Errors
    /// Those of a run.
    pub(crate) async fn explain(
        &self,
        analyze: bool,
        values: &[ScalarValue],
        means: &Means<'_>,
    ) -> Result<Option<String>> {
        let Some((request, limit)) = self.request(values, means)? else { return Ok(None) };
        let mut text = shown(&request);
        let notice = match &request {
            Request::Aggregate(request) => put_tiers(&mut text, request, means)?,
            Request::Scan(request) => shortfall(request, means),
            _ => None,
        };
        put_output(&mut text, self.output(), limit);
        if let Some(notice) = notice {
            let _ = write!(text, "\nNotice: {notice}");
        }
        if analyze {
            let started = Instant::now();
            let Some((mut rows, _)) = self.run(values, means).await? else { return Ok(None) };
            let mut count = 0;
            while let Some(batch) = rows.try_next().await.map_err(Error::from)? {
                count += batch.num_rows();
            }
            let elapsed = started.elapsed();
            let _ = write!(text, "\nrows={count}, elapsed={elapsed:?}\n{}", means.snapshot.effort());
        }
        Ok(Some(text))
    }
}

fn shown(request: &Request) -> String {
    match request {
        Request::Aggregate(request) => format!("DirectAggregate: {}", shown_request(request)),
        Request::Scan(request) => shown_scan(request),
        Request::Latest(LastRequest { table, columns, tags, by, time }) => {
            let (by, columns) = (by.join(", "), columns.join(", "));
            let filter = ShownFilter { time, tags, predicates: &[] };
            format!("LastPoints: table={table}, by=[{by}], columns=[{columns}]{filter}")
        }
        Request::Tags { table, tags, matchers, time } => {
            let filter = ShownFilter { time, tags: matchers, predicates: &[] };
            format!("TagValues: table={table}, tags=[{}]{filter}", tags.join(", "))
        }
    }
}

/// An aggregation, after the name of whoever runs it.
pub(crate) fn shown_request(request: &AggregateRequest) -> String {
    let AggregateRequest { table, time, tags, predicates, group_tags, bucket, limit, aggregates, .. } = request;
    let mut text = format!("table={table}");
    if let Some(bucket) = bucket {
        let _ = write!(text, ", bucket={}", shown_bucket(bucket));
    }
    if !group_tags.is_empty() {
        let _ = write!(text, ", group=[{}]", group_tags.join(", "));
    }
    let _ = write!(text, ", aggregates=[{}]", aggregates.iter().map(shown_call).collect::<Vec<_>>().join(", "));
    let _ = write!(text, "{}", ShownFilter { time, tags, predicates });
    if let Some(limit) = limit {
        let end = if limit.descending { "latest" } else { "earliest" };
        let _ = write!(text, ", buckets={} {end}", limit.buckets);
    }
    text
}

/// Which rollups answer. Gives what is asked for and no longer kept.
fn put_tiers(text: &mut String, request: &AggregateRequest, means: &Means<'_>) -> Result<Option<String>> {
    // Planned beside the run, whose effort is counted by itself.
    let beside = means.snapshot.with_shortcuts(means.snapshot.shortcuts());
    let aggregation = match beside.aggregate(request) {
        Err(plimsoll_engine::Error::Limit { .. }) => return Ok(None),
        aggregation => aggregation?,
    };
    let tiers: Vec<String> = aggregation.tiers_used().iter().map(ToString::to_string).collect();
    if !tiers.is_empty() {
        let _ = write!(text, ", rollups=[{}]", tiers.join(", "));
    }
    Ok(aggregation.shortfall().map(sentence))
}

/// A call of an aggregate, as SQL writes it.
pub(super) fn shown_call(aggregate: &Aggregate) -> String {
    format!("{}({})", aggregate.function.name(), aggregate.field.as_deref().unwrap_or("*"))
}

fn shown_bucket(bucket: &Bucket) -> String {
    let width = std::time::Duration::from_nanos(bucket.width_ns.unsigned_abs());
    let origin = chrono::DateTime::from_timestamp_nanos(bucket.origin_ns);
    format!("{width:?} from {}", origin.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

fn shown_scan(request: &ScanRequest) -> String {
    let ScanRequest { table, columns, time, tags, predicates, limit, order, .. } = request;
    let order = match order {
        ScanOrder::Unordered => "",
        ScanOrder::SeriesTime => ", order=[series, time]",
        ScanOrder::Time => ", order=[time]",
        ScanOrder::TimeDescending => ", order=[time DESC]",
    };
    let filter = ShownFilter { time, tags, predicates };
    let limit = limit.map(|limit| format!(", limit={limit}")).unwrap_or_default();
    format!("DirectScan: table={table}, columns=[{}]{filter}{order}{limit}", columns.join(", "))
}

/// What is left to do with the engine's answer, above it.
fn put_output(text: &mut String, output: &Output, limit: Option<usize>) {
    let key = |key: &Key| format!("{}{}", key.name, if key.options.descending { " DESC" } else { "" });
    if output.keys.is_empty() {
        return;
    }
    let keys: Vec<_> = output.keys.iter().map(key).collect();
    let fetch = limit.map(|limit| format!(", fetch={limit}")).unwrap_or_default();
    *text = format!("Sort: [{}]{fetch}\n  {text}", keys.join(", "));
}
