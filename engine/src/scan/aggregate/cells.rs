//! What is known of every group and bucket so far, field by field in arrays.
//!
//! Invariant: where the count of a field is zero, its sum, minimum and maximum are those of no values (−0.0 for a float, the
//! greatest and the smallest order key), to which anything can be added, and mean nothing.

use super::column::{Column, Slice};
use super::kernels::{NAN_KEY, Number, sum_floats, sum_integers, sum_unsigned};
use super::plan::{FieldPlan, Wants};
use super::spans::{Span, Times, Window};
use crate::model::FieldType;
use crate::segment::{Scalar, Stats};

/// The cells of a window.
#[derive(Debug)]
pub(super) struct Cells {
    pub(super) window: Window,
    /// Rows of each cell; a cell without rows is not in the answer.
    pub(super) rows: Vec<u64>,
    pub(super) fields: Vec<FieldCells>,
}

/// One field of all cells.
#[derive(Debug)]
pub(super) struct FieldCells {
    kind: FieldType,
    wants: Wants,
    /// Values that are not NULL.
    pub(super) count: Vec<u64>,
    pub(super) sum: Sums,
    /// Order keys.
    pub(super) min: Vec<i64>,
    pub(super) max: Vec<i64>,
    /// In place of order keys for texts.
    pub(super) text_min: Vec<Option<Box<str>>>,
    pub(super) text_max: Vec<Option<Box<str>>>,
    pub(super) first: Vec<Option<Edge>>,
    pub(super) last: Vec<Option<Edge>>,
}

#[derive(Debug)]
pub(super) enum Sums {
    Float(Vec<f64>),
    Exact(Vec<i128>),
}

/// The earliest or latest row of a cell.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    time_ns: i64,
    series: u32,
    /// `None` for NULL.
    pub(super) value: Option<Scalar>,
}

impl Edge {
    fn order(&self) -> (i64, u32) {
        (self.time_ns, self.series)
    }
}

/// Bytes of one cell, roughly.
pub(super) fn cell_bytes(fields: &[FieldPlan]) -> usize {
    let of_field = |f: &FieldPlan| {
        let extremes = usize::from(f.wants.min) + usize::from(f.wants.max);
        let edges = usize::from(f.wants.first) + usize::from(f.wants.last);
        8 + usize::from(f.wants.sum) * 16 + extremes * 16 + edges * size_of::<Option<Edge>>()
    };
    8 + fields.iter().map(of_field).sum::<usize>()
}

impl Cells {
    pub(super) fn new(window: Window, fields: &[FieldPlan]) -> Cells {
        let cells = window.cells();
        Cells { window, rows: vec![0; cells], fields: fields.iter().map(|f| FieldCells::new(f, cells)).collect() }
    }

    /// Adds what another one knows of a cell to a cell of this one.
    pub(super) fn merge(&mut self, cell: usize, other: &Cells, other_cell: usize) {
        self.rows[cell] += other.rows[other_cell];
        for (field, other) in self.fields.iter_mut().zip(&other.fields) {
            field.merge(cell, other, other_cell);
        }
    }
}

impl FieldCells {
    fn new(plan: &FieldPlan, cells: usize) -> FieldCells {
        let FieldPlan { kind, wants, .. } = *plan;
        let size = |is_wanted: bool| if is_wanted { cells } else { 0 };
        let is_text = kind == FieldType::Text;
        FieldCells {
            kind,
            wants,
            count: vec![0; cells],
            sum: match kind {
                FieldType::Float => Sums::Float(vec![-0.0; size(wants.sum)]),
                _ => Sums::Exact(vec![0; size(wants.sum)]),
            },
            min: vec![i64::MAX; size(wants.min && !is_text)],
            max: vec![i64::MIN; size(wants.max && !is_text)],
            text_min: vec![None; size(wants.min && is_text)],
            text_max: vec![None; size(wants.max && is_text)],
            first: vec![None; size(wants.first)],
            last: vec![None; size(wants.last)],
        }
    }

    /// Adds rows: spans of a column.
    pub(super) fn add(&mut self, column: &Column<'_>, spans: &[Span], times: Times<'_>) {
        self.add_edges(column, spans, times);
        if column.valid.is_empty() {
            return self.add_present(&column.values, spans);
        }
        let mut rows = Vec::new();
        let (present, spans) = only_present(column, spans, &mut rows);
        self.add_present(&present, &spans);
    }

    fn add_edges(&mut self, column: &Column<'_>, spans: &[Span], times: Times<'_>) {
        if !self.wants.first && !self.wants.last {
            return;
        }
        for span in spans {
            let edge = |row: usize| Edge { time_ns: times.at(row), series: span.series, value: scalar(column, row) };
            if self.wants.first {
                self.offer_first(span.cell, edge(span.start));
            }
            if self.wants.last {
                self.offer_last(span.cell, edge(span.end - 1));
            }
        }
    }

    fn offer_first(&mut self, cell: usize, edge: Edge) {
        if self.first[cell].as_ref().is_none_or(|first| edge.order() < first.order()) {
            self.first[cell] = Some(edge);
        }
    }

    fn offer_last(&mut self, cell: usize, edge: Edge) {
        if self.last[cell].as_ref().is_none_or(|last| edge.order() > last.order()) {
            self.last[cell] = Some(edge);
        }
    }

    /// Adds spans of values of which none is NULL.
    fn add_present(&mut self, values: &Slice<'_>, spans: &[Span]) {
        match values {
            Slice::Nothing => {}
            Slice::Float(v) => {
                self.add_float_sums(v, spans);
                self.add_extremes(v, spans);
            }
            Slice::Integer(v) => {
                self.add_sums(v, spans, sum_integers);
                self.add_extremes(v, spans);
            }
            Slice::Unsigned(v) => {
                self.add_sums(v, spans, sum_unsigned);
                self.add_extremes(v, spans);
            }
            Slice::Boolean(v) => self.add_extremes(v, spans),
            Slice::Text(v) => {
                for span in spans {
                    (span.start..span.end).for_each(|row| self.add_text(span.cell, v.get(row)));
                }
            }
        }
        if !matches!(values, Slice::Nothing) {
            spans.iter().for_each(|span| self.count[span.cell] += (span.end - span.start) as u64);
        }
    }

    fn add_float_sums(&mut self, values: &[f64], spans: &[Span]) {
        if let (true, Sums::Float(sums)) = (self.wants.sum, &mut self.sum) {
            spans.iter().for_each(|span| sums[span.cell] += sum_floats(&values[span.start..span.end]));
        }
    }

    fn add_sums<T>(&mut self, values: &[T], spans: &[Span], sum: impl Fn(&[T]) -> i128) {
        if let (true, Sums::Exact(sums)) = (self.wants.sum, &mut self.sum) {
            for span in spans {
                sums[span.cell] += sum(&values[span.start..span.end]);
            }
        }
    }

    fn add_extremes<T: Number>(&mut self, values: &[T], spans: &[Span]) {
        if !self.wants.min && !self.wants.max {
            return;
        }
        for span in spans {
            let values = &values[span.start..span.end];
            if self.wants.min {
                self.min[span.cell] = self.min[span.cell].min(T::least(values));
            }
            if self.wants.max {
                self.max[span.cell] = self.max[span.cell].max(T::greatest(values));
            }
        }
    }

    fn add_text(&mut self, cell: usize, text: &str) {
        if self.wants.min && self.text_min[cell].as_deref().is_none_or(|min| text < min) {
            self.text_min[cell] = Some(text.into());
        }
        if self.wants.max && self.text_max[cell].as_deref().is_none_or(|max| text > max) {
            self.text_max[cell] = Some(text.into());
        }
    }
}

/// What statistics tell of rows that all belong to one cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// `None` when every value is NULL.
    pub(super) stats: Option<&'a Stats>,
    /// Times of the first and last row.
    pub(super) ends_ns: (i64, i64),
    /// The series of all rows; `None` when there are several.
    pub(super) series: Option<u32>,
}

impl FieldCells {
    /// Adds rows by their statistics; false, and nothing changed, when they do not tell enough.
    pub(super) fn add_known(&mut self, cell: usize, known: Known<'_>) -> bool {
        let (has_edges, has_text) = (self.wants.first || self.wants.last, self.kind == FieldType::Text);
        if has_edges && known.series.is_none() {
            return false;
        }
        let Some(stats) = known.stats.filter(|s| s.count() > 0) else {
            self.add_known_edges(cell, known, None, None);
            return true;
        };
        let sum = match (self.wants.sum, &stats.sum) {
            (true, None) => return false,
            (true, Some(sum)) => Some(sum),
            (false, _) => None,
        };
        let only_nans = stats.count() == stats.nans;
        if (self.wants.min || self.wants.max) && stats.range.is_none() && !only_nans {
            return false;
        }
        if has_edges && stats.edges.is_none() {
            return false;
        }
        self.count[cell] += u64::from(stats.count());
        match (&mut self.sum, sum) {
            (Sums::Float(sums), Some(Scalar::Float(sum))) => sums[cell] += sum,
            (Sums::Exact(sums), Some(Scalar::Integer(sum))) => sums[cell] += i128::from(*sum),
            (Sums::Exact(sums), Some(Scalar::Unsigned(sum))) => sums[cell] += i128::from(*sum),
            _ => {}
        }
        if has_text {
            self.add_known_texts(cell, stats);
        } else {
            self.add_known_extremes(cell, stats);
        }
        if let Some((first, last)) = stats.edges.as_ref().filter(|_| has_edges) {
            // A first value that is not in the first row says that this row is NULL.
            let (first_ns, last_ns) = known.ends_ns;
            let first = (first.time_ns == first_ns).then(|| first.value.clone());
            let last = (last.time_ns == last_ns).then(|| last.value.clone());
            self.add_known_edges(cell, known, first, last);
        }
        true
    }

    fn add_known_extremes(&mut self, cell: usize, stats: &Stats) {
        let range = stats.range.as_ref().map(|(min, max)| (key(min), key(max)));
        if self.wants.min {
            self.min[cell] = self.min[cell].min(range.map_or(NAN_KEY, |(min, _)| min));
        }
        if self.wants.max {
            let max = range.filter(|_| stats.nans == 0).map_or(NAN_KEY, |(_, max)| max);
            self.max[cell] = self.max[cell].max(max);
        }
    }

    fn add_known_texts(&mut self, cell: usize, stats: &Stats) {
        if let Some((Scalar::Text(min), Scalar::Text(max))) = &stats.range {
            self.add_text(cell, min);
            self.add_text(cell, max);
        }
    }

    fn add_known_edges(&mut self, cell: usize, known: Known<'_>, first: Option<Scalar>, last: Option<Scalar>) {
        let Some(series) = known.series else { return };
        if self.wants.first {
            self.offer_first(cell, Edge { time_ns: known.ends_ns.0, series, value: first });
        }
        if self.wants.last {
            self.offer_last(cell, Edge { time_ns: known.ends_ns.1, series, value: last });
        }
    }

    fn merge(&mut self, cell: usize, other: &FieldCells, other_cell: usize) {
        self.count[cell] += other.count[other_cell];
        match (&mut self.sum, &other.sum) {
            (Sums::Float(sums), Sums::Float(more)) if self.wants.sum => sums[cell] += more[other_cell],
            (Sums::Exact(sums), Sums::Exact(more)) if self.wants.sum => sums[cell] += more[other_cell],
            _ => {}
        }
        if let Some(min) = other.min.get(other_cell) {
            self.min[cell] = self.min[cell].min(*min);
        }
        if let Some(max) = other.max.get(other_cell) {
            self.max[cell] = self.max[cell].max(*max);
        }
        for text in [&other.text_min, &other.text_max].into_iter().filter_map(|t| t.get(other_cell)) {
            text.iter().for_each(|text| self.add_text(cell, text));
        }
        if let Some(Some(first)) = other.first.get(other_cell) {
            self.offer_first(cell, first.clone());
        }
        if let Some(Some(last)) = other.last.get(other_cell) {
            self.offer_last(cell, last.clone());
        }
    }
}

/// The order key of a number in statistics.
fn key(value: &Scalar) -> i64 {
    match value {
        Scalar::Float(v) => v.key(),
        Scalar::Integer(v) => v.key(),
        Scalar::Unsigned(v) => v.key(),
        Scalar::Boolean(v) => v.key(),
        Scalar::Text(_) => unreachable!("texts have no order key"),
    }
}

/// The value of a row as statistics have it.
fn scalar(column: &Column<'_>, row: usize) -> Option<Scalar> {
    if !column.is_valid(row) {
        return None;
    }
    Some(match &column.values {
        Slice::Nothing => return None,
        Slice::Float(v) => Scalar::Float(v[row]),
        Slice::Integer(v) => Scalar::Integer(v[row]),
        Slice::Unsigned(v) => Scalar::Unsigned(v[row]),
        Slice::Boolean(v) => Scalar::Boolean(v[row]),
        Slice::Text(v) => Scalar::Text(v.get(row).to_owned()),
    })
}

/// The values of some spans that are not NULL, one after the other, and the spans that they are.
fn only_present<'a>(column: &'a Column<'_>, spans: &[Span], rows: &'a mut Vec<u32>) -> (Slice<'a>, Vec<Span>) {
    let mut present_spans = Vec::with_capacity(spans.len());
    for span in spans {
        let start = rows.len();
        rows.extend((span.start..span.end).filter(|row| column.valid[*row]).map(|row| row as u32));
        if start < rows.len() {
            present_spans.push(Span { start, end: rows.len(), ..*span });
        }
    }
    (column.pick(rows).values, present_spans)
}
