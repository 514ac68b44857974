//! Asks the engine. Small answers are made where they are asked for; large ones on threads that may block, and whoever lets
//! go of the answer stops them at the next part or batch.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::Stream;
use plimsoll_engine::{
    AggregatePart, AggregateRequest, Aggregation, BucketLimit, LastRequest, Partial, ScanPart, ScanRequest, Snapshot,
    TagMatcher, TimeRange,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::filter::Bound;
use super::groups::Groups;
use super::operand::Run;
use super::output::Output;
use super::{Direct, What};
use crate::session::blocking;
use crate::source::sentence;
use crate::{Error, Result};

/// Rows that are read where they are asked for; more are read on other threads.
const ROWS_INLINE: usize = 50_000;

/// Batches that wait for whoever reads them, for each thread that makes them.
const BATCHES_AHEAD: usize = 2;

/// What a run may use.
pub(crate) struct Means<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) now_ns: i64,
    pub(crate) threads: usize,
}

/// What one run asks the engine for.
pub(super) enum Request {
    Aggregate(AggregateRequest),
    Scan(ScanRequest),
    Latest(LastRequest),
    Tags { table: String, tags: Vec<String>, matchers: Vec<TagMatcher>, time: TimeRange },
}

impl Direct {
    /// Runs the statement: its rows, and what whoever asked should know of them. `None` when this run has to go the long way.
    ///
    /// # Errors
    /// The engine's, and values that do not fit the parameters.
    pub(crate) async fn run(
        &self,
        values: &[ScalarValue],
        means: &Means<'_>,
    ) -> Result<Option<(SendableRecordBatchStream, Option<String>)>> {
        let Some((request, limit)) = self.request(values, means)? else { return Ok(None) };
        let output = self.output();
        let (batch, notice) = match request {
            Request::Scan(request) => {
                let notice = shortfall(&request, means);
                return Ok(Some((scan(request, output, limit, means).await?, notice)));
            }
            Request::Aggregate(request) => match aggregate(request, means).await {
                Err(Error::Engine(plimsoll_engine::Error::Limit { .. })) => return Ok(None),
                answer => answer?,
            },
            Request::Latest(request) => {
                (on_a_thread(means, move |snapshot| snapshot.last_points(&request)).await?, None)
            }
            Request::Tags { table, tags, matchers, time } => {
                let ask = move |snapshot: &Snapshot| snapshot.tag_values(&table, &tags, &matchers, Some(time));
                (on_a_thread(means, ask).await?, None)
            }
        };
        let batch = output.finish(&batch, limit)?;
        let batches = futures::stream::iter([Ok(batch)]);
        Ok(Some((Box::pin(RecordBatchStreamAdapter::new(output.schema.clone(), batches)), notice)))
    }

    /// What to ask for, and the most rows of the answer. `None` when a parameter has a value that the engine knows no test for.
    pub(super) fn request(
        &self,
        values: &[ScalarValue],
        means: &Means<'_>,
    ) -> Result<Option<(Request, Option<usize>)>> {
        let values = self.cast(values)?;
        let run = Run { now_ns: means.now_ns, values: &values };
        let limit = self.limit.as_ref().map(|limit| run.count(limit));
        let (Some(filter), None | Some(Some(_))) = (self.filter.bind(&run), limit) else { return Ok(None) };
        let limit = limit.flatten();
        let request = match &self.what {
            What::Groups(groups) => Request::Aggregate(self.aggregate_request(groups, filter, limit, means)),
            What::Latest(columns, by) => {
                let Bound { time, tags, predicates: _ } = filter;
                let (table, columns, by) = (self.table.name.clone(), columns.names.clone(), by.clone());
                Request::Latest(LastRequest { table, columns, tags, by, time })
            }
            What::Tags(columns) => {
                let Bound { time, tags: matchers, predicates: _ } = filter;
                let (table, tags) = (self.table.name.clone(), columns.names.clone());
                Request::Tags { table, tags, matchers, time }
            }
            What::Scan(columns, order) => {
                let parts_max = if limit.is_some() { 1 } else { means.threads };
                let Bound { time, tags, predicates } = filter;
                let all = ScanRequest::new(&*self.table.name, &columns.names);
                Request::Scan(ScanRequest { time, tags, predicates, limit, parts_max, order: *order, ..all })
            }
        };
        Ok(Some((request, limit)))
    }

    fn aggregate_request(
        &self,
        groups: &Groups,
        filter: Bound,
        limit: Option<usize>,
        means: &Means<'_>,
    ) -> AggregateRequest {
        let Bound { time, tags, predicates } = filter;
        // Each bucket that has rows gives a row at least.
        let buckets = groups.by_bucket.zip(limit).filter(|(_, rows)| *rows > 0);
        AggregateRequest {
            time,
            tags,
            predicates,
            group_tags: groups.tags.clone(),
            bucket: groups.bucket,
            limit: buckets.map(|(order, buckets)| BucketLimit { descending: order.descending, buckets }),
            parts_max: means.threads,
            ..AggregateRequest::new(&self.table.name, groups.aggregates.clone())
        }
    }

    /// The values in the types that were planned.
    fn cast(&self, values: &[ScalarValue]) -> Result<Vec<ScalarValue>> {
        if values.len() != self.parameters.len() {
            let message = format!("statement takes {} parameters, {} were given", self.parameters.len(), values.len());
            return Err(Error::InvalidParameter { name: "parameters".to_owned(), message });
        }
        let cast = values.iter().zip(&self.parameters).map(|(value, data_type)| value.cast_to(data_type));
        Ok(cast.collect::<datafusion::common::Result<_>>()?)
    }
}

/// Asks where one may block.
async fn on_a_thread(
    means: &Means<'_>,
    ask: impl FnOnce(&Snapshot) -> plimsoll_engine::Result<RecordBatch> + Send + 'static,
) -> Result<RecordBatch> {
    let snapshot = means.snapshot.clone();
    blocking(move || Ok(ask(&snapshot)?)).await
}

/// The answer, and the engine's notice.
async fn aggregate(request: AggregateRequest, means: &Means<'_>) -> Result<(RecordBatch, Option<String>)> {
    let aggregation = means.snapshot.aggregate(&request)?;
    let notice = aggregation.shortfall().map(sentence);
    Ok((finished(aggregation, means.threads).await?, notice))
}

/// Runs a planned aggregation to its end.
///
/// # Errors
/// The engine's.
pub(crate) async fn finished(mut aggregation: Aggregation, threads: usize) -> Result<RecordBatch> {
    let parts = aggregation.take_parts();
    if parts.iter().map(AggregatePart::rows_about).sum::<usize>() <= ROWS_INLINE {
        let partials = parts.into_iter().filter_map(|part| part.run(&|| true).transpose());
        let partials = partials.collect::<plimsoll_engine::Result<Vec<_>>>()?;
        return Ok(aggregation.finish(partials)?);
    }
    let partials = on_threads(parts, threads).await?;
    blocking(move || Ok(aggregation.finish(partials)?)).await
}

/// Runs the parts on threads that may block. Dropping the future stops them.
async fn on_threads(parts: Vec<AggregatePart>, threads: usize) -> Result<Vec<Partial>> {
    let work = Work(Arc::new(Mutex::new(Some(parts))));
    let mut workers = JoinSet::new();
    for _ in 0..threads.max(1) {
        workers.spawn_blocking(work.worker());
    }
    let mut partials = Vec::new();
    while let Some(found) = workers.join_next().await {
        partials.extend(found.map_err(|error| Error::Internal(format!("an aggregation failed: {error}")))??);
    }
    Ok(partials)
}

/// Parts that wait for a thread; gone when nobody wants the answer any more.
struct Work(Arc<Mutex<Option<Vec<AggregatePart>>>>);

impl Work {
    fn worker(&self) -> impl FnOnce() -> Result<Vec<Partial>> + Send + 'static {
        let parts = self.0.clone();
        move || {
            let lock = || parts.lock().unwrap_or_else(PoisonError::into_inner);
            let next = || lock().as_mut().and_then(Vec::pop);
            let mut partials = Vec::new();
            while let Some(part) = next() {
                partials.extend(part.run(&|| lock().is_some())?);
            }
            Ok(partials)
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What a scan asks for that is no longer kept. One that wants the first rows there are wants no more than those.
pub(super) fn shortfall(request: &ScanRequest, means: &Means<'_>) -> Option<String> {
    let names_a_beginning = request.time.min_ns != i64::MIN;
    let wanted = request.limit.is_none() || names_a_beginning;
    wanted.then(|| means.snapshot.shortfall(request))?.as_ref().map(sentence)
}

async fn scan(
    request: ScanRequest,
    output: &Output,
    limit: Option<usize>,
    means: &Means<'_>,
) -> Result<SendableRecordBatchStream> {
    let parts = means.snapshot.scan(&request)?;
    let rows_about: usize = parts.iter().map(ScanPart::rows_about).sum();
    let batches =
        if rows_about <= ROWS_INLINE { Batches::Here(parts) } else { Batches::Elsewhere(ReadAhead::new(parts)) };
    Ok(Box::pin(Rows { output: output.clone(), batches, rows_left: limit.unwrap_or(usize::MAX) }))
}

/// Batches that other threads read.
struct ReadAhead {
    batches: mpsc::Receiver<plimsoll_engine::Result<RecordBatch>>,
    threads: JoinSet<()>,
}

impl ReadAhead {
    /// Reads each part on a thread of its own, which stops at the first batch that nobody takes.
    fn new(parts: Vec<ScanPart>) -> ReadAhead {
        let (sender, batches) = mpsc::channel(parts.len().max(1) * BATCHES_AHEAD);
        let mut threads = JoinSet::new();
        for mut part in parts {
            let sender = sender.clone();
            threads
                .spawn_blocking(move || while part.next().is_some_and(|batch| sender.blocking_send(batch).is_ok()) {});
        }
        ReadAhead { batches, threads }
    }

    /// The next batch. After the last one, every thread has to have come to its end by itself.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        if let Some(batch) = ready!(self.batches.poll_recv(context)) {
            return Poll::Ready(Some(batch.map_err(Error::Engine)));
        }
        while let Some(ended) = ready!(self.threads.poll_join_next(context)) {
            if let Err(error) = ended {
                return Poll::Ready(Some(Err(Error::Internal(format!("a scan failed: {error}")))));
            }
        }
        Poll::Ready(None)
    }
}

/// Where the batches of a scan come from.
enum Batches {
    /// From parts, read when a batch is asked for.
    Here(Vec<ScanPart>),
    /// From other threads.
    Elsewhere(ReadAhead),
}

impl Batches {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        match self {
            Batches::Here(parts) => {
                while let Some(part) = parts.first_mut() {
                    match part.next() {
                        None => drop(parts.remove(0)),
                        Some(batch) => return Poll::Ready(Some(batch.map_err(Error::Engine))),
                    }
                }
                Poll::Ready(None)
            }
            Batches::Elsewhere(ahead) => ahead.poll(context),
        }
    }
}

/// The rows of a scan.
struct Rows {
    output: Output,
    batches: Batches,
    rows_left: usize,
}

impl Stream for Rows {
    type Item = datafusion::common::Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.rows_left == 0 {
            self.batches = Batches::Here(Vec::new());
        }
        self.batches.poll(context).map(|batch| match batch? {
            Ok(batch) => {
                let batch = self.output.finish(&batch, Some(self.rows_left));
                self.rows_left -= batch.as_ref().map_or(0, RecordBatch::num_rows);
                Some(batch)
            }
            Err(error) => {
                self.rows_left = 0;
                Some(Err(DataFusionError::External(Box::new(error))))
            }
        })
    }
}

impl RecordBatchStream for Rows {
    fn schema(&self) -> SchemaRef {
        self.output.schema.clone()
    }
}
