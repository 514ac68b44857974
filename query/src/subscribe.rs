//! `SUBSCRIBE TO (query)`: the rows of a query, and from then on how they change.
//!
//! A row of the answer says when (`changed_at`), whether a row has come (`diff` 1) or gone (-1), and which. The query is asked again
//! and again; what is sent is the difference between two answers, taken as bags of rows. It ends when whoever asked stops it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{ArrayRef, Int8Array, RecordBatch, TimestampNanosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use tokio::time::Instant;

use crate::analysis::duration::Span;
use crate::dialect::{Options, Query};
use crate::lower::Lowering;
use crate::relation::plan_text;
use crate::session::Session;
use crate::{Error, OutputColumn, Result};

/// How often the query is asked when the statement does not say.
const EVERY: Duration = Duration::from_secs(1);

/// Least time between two answers.
const EVERY_MIN: Duration = Duration::from_millis(100);

/// Most rows that a query may have: those of the last answer are kept to compare with.
const ROWS_MAX: usize = 100_000;

/// What is followed.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    text: String,
    snapshot: bool,
    every: Duration,
    schema: SchemaRef,
}

impl Subscription {
    /// # Errors
    /// Whatever is wrong with the query; KP003 for a `min_interval` that is none.
    pub(crate) fn new(query: &Query, options: &Options, lowering: &Lowering<'_>) -> Result<Subscription> {
        let (_, columns) = plan_text(query, lowering)?;
        let every = match options.text("min_interval") {
            None => EVERY,
            Some(text) => {
                let refused = |why: String| Error::definition("KP003", format!("\"min_interval\": {why}"));
                let ns = Span::parse(text).map_err(refused)?.fixed_ns().and_then(|ns| u64::try_from(ns).ok());
                Duration::from_nanos(ns.ok_or_else(|| refused(format!("'{text}' is no fixed length of time")))?)
            }
        };
        let time = DataType::Timestamp(TimeUnit::Nanosecond, Some(lowering.settings.time_zone.clone()));
        let mut fields = vec![Field::new("changed_at", time, false), Field::new("diff", DataType::Int8, false)];
        fields.extend(columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true)));
        Ok(Subscription {
            text: query.text.clone(),
            snapshot: options.text("snapshot") != Some("false"),
            every: every.max(EVERY_MIN),
            schema: Arc::new(Schema::new(fields)),
        })
    }

    pub(crate) fn columns(&self) -> Vec<OutputColumn> {
        self.schema.fields().iter().map(OutputColumn::of).collect()
    }

    /// The changes, for as long as somebody takes them.
    ///
    /// # Errors
    /// For columns whose rows cannot be compared.
    pub(crate) fn stream(&self, session: Session, now_ns: i64) -> Result<SendableRecordBatchStream> {
        let fields = self.schema.fields().iter().skip(2).map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(fields.collect()).map_err(DataFusionError::from)?;
        let following = Following {
            subscription: self.clone(),
            session,
            start_ns: now_ns,
            started: Instant::now(),
            answered: None,
            bag: Bag { converter, rows: HashMap::new() },
        };
        let changes = futures::stream::try_unfold(following, |mut following| async move {
            let batch = following.next().await.map_err(crate::relation::external)?;
            Ok(Some((batch, following)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), changes)))
    }
}

/// A subscription that is served.
struct Following {
    subscription: Subscription,
    session: Session,
    start_ns: i64,
    started: Instant,
    /// When the last answer was asked for.
    answered: Option<Instant>,
    bag: Bag,
}

impl Following {
    /// Waits until something has changed.
    async fn next(&mut self) -> Result<RecordBatch> {
        loop {
            let is_first = match self.answered {
                None => true,
                Some(answered) => {
                    tokio::time::sleep_until(answered + self.subscription.every).await;
                    false
                }
            };
            self.answered = Some(Instant::now());
            let since = i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX);
            let now_ns = self.start_ns.saturating_add(since);
            let batches = self.session.rows_of(&self.subscription.text, now_ns).await?;
            let changes = self.bag.replace(&batches)?;
            let is_told = !is_first || self.subscription.snapshot;
            if is_told && !changes.is_empty() {
                return self.batch(&changes, now_ns);
            }
        }
    }

    fn batch(&self, changes: &[(i8, OwnedRow)], now_ns: i64) -> Result<RecordBatch> {
        let zone = match self.subscription.schema.field(0).data_type() {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let times = TimestampNanosecondArray::from(vec![now_ns; changes.len()]).with_timezone_opt(zone);
        let diffs: Int8Array = changes.iter().map(|(diff, _)| Some(*diff)).collect();
        let rows = self.bag.converter.convert_rows(changes.iter().map(|(_, row)| row.row()));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(diffs)];
        columns.extend(rows.map_err(DataFusionError::from)?);
        Ok(RecordBatch::try_new(self.subscription.schema.clone(), columns).map_err(DataFusionError::from)?)
    }
}

/// The rows of an answer, each with how often it is there.
struct Bag {
    converter: RowConverter,
    rows: HashMap<OwnedRow, usize>,
}

impl Bag {
    /// Puts an answer in the place of the one before. Gives what has gone (-1), in the order of values, and what has come (1), in
    /// that of the answer.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an answer that is too large.
    fn replace(&mut self, batches: &[RecordBatch]) -> Result<Vec<(i8, OwnedRow)>> {
        let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if count > ROWS_MAX {
            let what = format!("the query of a subscription has {ROWS_MAX} rows at most, and this one has {count}");
            let hint = Some("Aggregate, or ask for less of the time.".to_owned());
            return Err(Error::Unsupported { what, position: None, hint });
        }
        let (mut now, mut come) = (HashMap::with_capacity(count), Vec::new());
        for batch in batches {
            let rows = self.converter.convert_columns(batch.columns()).map_err(DataFusionError::from)?;
            for row in &rows {
                let row = row.owned();
                let times = now.entry(row.clone()).or_insert(0_usize);
                *times += 1;
                if *times > self.rows.get(&row).copied().unwrap_or(0) {
                    come.push((1, row));
                }
            }
        }
        let mut gone: Vec<(i8, OwnedRow)> = Vec::new();
        for (row, times) in &self.rows {
            let left = now.get(row).copied().unwrap_or(0);
            gone.extend((left..*times).map(|_| (-1, row.clone())));
        }
        gone.sort_by(|(_, a), (_, b)| a.cmp(b));
        self.rows = now;
        gone.extend(come);
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;
    use proptest::prelude::*;

    use super::*;

    fn answer(values: &[i64]) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        RecordBatch::try_from_iter([("n", column)]).unwrap()
    }

    fn bag() -> Bag {
        let converter = RowConverter::new(vec![SortField::new(DataType::Int64)]).unwrap();
        Bag { converter, rows: HashMap::new() }
    }

    fn told(bag: &mut Bag, values: &[i64]) -> Vec<(i8, i64)> {
        let changes = bag.replace(&[answer(values)]).unwrap();
        let columns = bag.converter.convert_rows(changes.iter().map(|(_, row)| row.row())).unwrap();
        let numbers = columns[0].as_any().downcast_ref::<Int64Array>().unwrap().clone();
        changes.iter().zip(numbers.iter()).map(|((diff, _), number)| (*diff, number.unwrap())).collect()
    }

    #[test]
    fn what_has_gone_comes_before_what_has_come() {
        let mut bag = bag();
        assert_eq!(told(&mut bag, &[3, 1, 1]), [(1, 3), (1, 1), (1, 1)]);
        assert_eq!(told(&mut bag, &[3, 1, 1]), []);
        assert_eq!(told(&mut bag, &[1, 7, 2]), [(-1, 1), (-1, 3), (1, 7), (1, 2)]);
        assert_eq!(told(&mut bag, &[]), [(-1, 1), (-1, 2), (-1, 7)]);
    }

    proptest! {
        /// Whoever adds up the changes has the answer.
        #[test]
        fn changes_add_up_to_the_answer(answers in prop::collection::vec(prop::collection::vec(0_i64..6, 0..8), 1..6)) {
            let mut bag = bag();
            let mut sum: std::collections::BTreeMap<i64, i64> = Default::default();
            for answer in answers {
                for (diff, value) in told(&mut bag, &answer) {
                    *sum.entry(value).or_default() += i64::from(diff);
                }
                sum.retain(|_, count| *count != 0);
                let mut wanted: std::collections::BTreeMap<i64, i64> = Default::default();
                for value in answer {
                    *wanted.entry(value).or_default() += 1;
                }
                prop_assert_eq!(&sum, &wanted);
            }
        }
    }
}
