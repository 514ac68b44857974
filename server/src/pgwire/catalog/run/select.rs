//! Query levels: WITH, SELECT with groups, windows and sets, UNION, DISTINCT, ORDER BY, LIMIT.

use super::{
    super::{
        datum::{Datum, Key, Row, compare, compare_nulls_last},
        error::{CatalogError, Result},
        functions::Call,
        plan::{
            AggregateCall, Body, Cte, Expr, Group, Order, Query, Ranking, RowSet, Select, SetOperation, SortKey, Window,
        },
    },
    Frame, QUERY_STEPS, Runtime,
};
use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
};

/// A row of a level with the slots computed for it.
struct Slotted {
    row: Vec<Datum>,
    slots: Vec<Datum>,
}

impl Runtime<'_> {
    pub(super) fn query(&self, query: &Query, outer: Option<&Frame<'_>>) -> Result<Vec<Row>> {
        self.take_steps(QUERY_STEPS)?;
        for cte in &query.ctes {
            self.cte(cte, outer)?;
        }
        let mut rows = self.body(&query.body, outer)?;
        if !query.order.is_empty() {
            rows.sort_by(|a, b| by_order(&query.order, a, b));
        }
        if !query.distinct_on.is_empty() {
            let mut seen = HashSet::new();
            rows.retain(|row| seen.insert(query.distinct_on.iter().map(|i| row[*i].key()).collect::<Vec<_>>()));
        }
        let offset = self.count(query.offset.as_ref(), "OFFSET", outer)?.unwrap_or(0);
        let limit = self.count(query.limit.as_ref(), "LIMIT", outer)?.unwrap_or(usize::MAX);
        if offset > 0 || limit < rows.len() {
            rows = rows.into_iter().skip(offset).take(limit).collect();
        }
        let visible = query.columns.len();
        Ok(rows.into_iter().map(|row| if row.len() == visible { row } else { row[..visible].into() }).collect())
    }

    fn count(&self, expr: Option<&Expr>, clause: &str, outer: Option<&Frame<'_>>) -> Result<Option<usize>> {
        let Some(expr) = expr else { return Ok(None) };
        match self.eval(expr, &Frame { row: &[], slots: &[], outer })? {
            Datum::Int(count) => usize::try_from(count).map(Some).map_err(|_| {
                let sqlstate = if clause == "LIMIT" { "2201W" } else { "2201X" };
                CatalogError::new(sqlstate, format!("{clause} must not be negative"))
            }),
            _ => Ok(None),
        }
    }

    fn cte(&self, cte: &Cte, outer: Option<&Frame<'_>>) -> Result<()> {
        let mut rows = self.query(&cte.query, outer)?;
        if let Some((step, all)) = &cte.recursive {
            let mut seen = HashSet::new();
            if !all {
                rows.retain(|row| seen.insert(key(row)));
            }
            let mut working = rows.clone();
            while !working.is_empty() {
                self.ctes.borrow_mut().insert(cte.id, RowSet::new(working));
                working = self.query(step, outer)?;
                if !all {
                    working.retain(|row| seen.insert(key(row)));
                }
                rows.extend(working.iter().cloned());
            }
        }
        self.ctes.borrow_mut().insert(cte.id, RowSet::new(rows));
        Ok(())
    }

    fn body(&self, body: &Body, outer: Option<&Frame<'_>>) -> Result<Vec<Row>> {
        match body {
            Body::Select(select) => self.select(select, outer),
            Body::Values(rows) => {
                let frame = Frame { row: &[], slots: &[], outer };
                rows.iter().map(|row| self.all(row, &frame).map(Row::from)).collect()
            }
            Body::Set { operation, all, left, right } => {
                let (left, right) = (self.query(left, outer)?, self.query(right, outer)?);
                Ok(combined(*operation, *all, left, right))
            }
        }
    }

    fn select(&self, select: &Select, outer: Option<&Frame<'_>>) -> Result<Vec<Row>> {
        let mut rows = self.input(select, outer)?;
        for window in &select.windows {
            self.window(window, &mut rows, outer)?;
        }
        let mut outputs = Vec::with_capacity(rows.len());
        let mut seen = HashSet::new();
        for mut row in rows {
            self.expanded(select, &mut row, outer, &mut |frame| {
                let output = Row::from(self.all(&select.outputs, frame)?);
                if !select.distinct || seen.insert(key(&output[..select.visible])) {
                    self.keep(&output)?;
                    outputs.push(output);
                }
                Ok(())
            })?;
        }
        Ok(outputs)
    }

    /// The rows of FROM and WHERE, grouped when the level groups.
    fn input(&self, select: &Select, outer: Option<&Frame<'_>>) -> Result<Vec<Slotted>> {
        let mut rows = Vec::new();
        let mut row = vec![Datum::Null; select.width];
        if self.all_hold(&select.conditions, &Frame { row: &row, slots: &[], outer })? {
            self.walk(&select.from, &mut row, outer, &mut |row| {
                self.step()?;
                self.keep(row)?;
                rows.push(row.clone());
                Ok(())
            })?;
        }
        match &select.group {
            Some(group) => self.grouped(group, select, &rows, outer),
            None => Ok(rows.into_iter().map(|row| Slotted { row, slots: vec![Datum::Null; select.slots] }).collect()),
        }
    }

    fn grouped(
        &self,
        group: &Group,
        select: &Select,
        rows: &[Vec<Datum>],
        outer: Option<&Frame<'_>>,
    ) -> Result<Vec<Slotted>> {
        let mut order: Vec<Vec<usize>> = Vec::new();
        let mut places: HashMap<Vec<Key>, usize> = HashMap::new();
        for (number, row) in rows.iter().enumerate() {
            let keys = key(&self.all(&group.keys, &Frame { row, slots: &[], outer })?);
            let place = *places.entry(keys).or_insert_with(|| {
                order.push(Vec::new());
                order.len() - 1
            });
            order[place].push(number);
        }
        // Without GROUP BY there is one group, even of no rows.
        if group.keys.is_empty() && order.is_empty() {
            order.push(Vec::new());
        }
        let mut result = Vec::with_capacity(order.len());
        for members in order {
            let members: Vec<&Vec<Datum>> = members.into_iter().map(|number| &rows[number]).collect();
            let mut slots = vec![Datum::Null; select.slots];
            for aggregate in &group.aggregates {
                slots[aggregate.slot] = self.aggregate(aggregate, &members, outer)?;
            }
            let row = members.first().map_or_else(|| vec![Datum::Null; select.width], |row| (*row).clone());
            let kept = match &group.having {
                Some(having) => self.holds(having, &Frame { row: &row, slots: &slots, outer })?,
                None => true,
            };
            if kept {
                result.push(Slotted { row, slots });
            }
        }
        Ok(result)
    }

    fn aggregate(&self, call: &AggregateCall, rows: &[&Vec<Datum>], outer: Option<&Frame<'_>>) -> Result<Datum> {
        let mut inputs: Vec<(Vec<Datum>, Vec<Datum>)> = Vec::with_capacity(rows.len());
        for row in rows {
            let frame = Frame { row, slots: &[], outer };
            if let Some(filter) = &call.filter
                && !self.holds(filter, &frame)?
            {
                continue;
            }
            let values = self.all(&call.arguments, &frame)?;
            if !call.function.keeps_nulls && values.first().is_some_and(Datum::is_null) {
                continue;
            }
            let keys = call.order.iter().map(|key| self.eval(&key.expr, &frame)).collect::<Result<_>>()?;
            self.keep(&values)?;
            inputs.push((keys, values));
        }
        if call.distinct {
            let mut seen = HashSet::new();
            inputs.retain(|(_, values)| seen.insert(key(values)));
            // DISTINCT sorts, as a by-product that clients have come to see.
            inputs.sort_by(|(_, a), (_, b)| by_values(a, b));
        }
        if !call.order.is_empty() {
            inputs.sort_by(|(a, _), (b, _)| by_keys(&call.order, a, b));
        }
        let values: Vec<Vec<Datum>> = inputs.into_iter().map(|(_, values)| values).collect();
        (call.function.body)(&values, &call.arguments)
    }

    fn window(&self, window: &Window, rows: &mut [Slotted], outer: Option<&Frame<'_>>) -> Result<()> {
        let mut partitions: HashMap<Vec<Key>, Vec<(Vec<Datum>, usize)>> = HashMap::new();
        for (number, row) in rows.iter().enumerate() {
            let frame = Frame { row: &row.row, slots: &row.slots, outer };
            let keys = window.order.iter().map(|key| self.eval(&key.expr, &frame)).collect::<Result<_>>()?;
            partitions.entry(key(&self.all(&window.partition, &frame)?)).or_default().push((keys, number));
        }
        for mut members in partitions.into_values() {
            members.sort_by(|(a, _), (b, _)| by_keys(&window.order, a, b));
            let (mut rank, mut dense) = (0, 0);
            for position in 0..members.len() {
                let new =
                    position == 0 || by_keys(&window.order, &members[position - 1].0, &members[position].0).is_ne();
                if new {
                    rank = position + 1;
                    dense += 1;
                }
                let value = match window.function {
                    Ranking::RowNumber => position + 1,
                    Ranking::Rank => rank,
                    Ranking::DenseRank => dense,
                };
                rows[members[position].1].slots[window.slot] = Datum::Int(value as i64);
            }
        }
        Ok(())
    }

    /// One row for each step of the longest set-returning call; shorter ones give NULL at their end.
    fn expanded(
        &self,
        select: &Select,
        row: &mut Slotted,
        outer: Option<&Frame<'_>>,
        emit: &mut dyn FnMut(&Frame<'_>) -> Result<()>,
    ) -> Result<()> {
        if select.sets.is_empty() {
            return emit(&Frame { row: &row.row, slots: &row.slots, outer });
        }
        let mut sets = Vec::with_capacity(select.sets.len());
        for set in &select.sets {
            let values = self.all(&set.arguments, &Frame { row: &row.row, slots: &row.slots, outer })?;
            sets.push(match values.iter().any(Datum::is_null) {
                true => Vec::new(),
                false => (set.function.body)(&Call { values: &values, exprs: &set.arguments, runtime: self })?,
            });
        }
        let longest = sets.iter().map(Vec::len).max().unwrap_or(0);
        for position in 0..longest {
            self.step()?;
            for (set, values) in select.sets.iter().zip(&sets) {
                row.slots[set.slot] = values.get(position).cloned().unwrap_or(Datum::Null);
            }
            emit(&Frame { row: &row.row, slots: &row.slots, outer })?;
        }
        Ok(())
    }
}

fn key(values: &[Datum]) -> Vec<Key> {
    values.iter().map(Datum::key).collect()
}

fn combined(operation: SetOperation, all: bool, left: Vec<Row>, right: Vec<Row>) -> Vec<Row> {
    let mut counts: HashMap<Vec<Key>, usize> = HashMap::new();
    let mut rows = left;
    match operation {
        SetOperation::Union => rows.extend(right),
        SetOperation::Intersect | SetOperation::Except => {
            for row in &right {
                *counts.entry(key(row)).or_default() += 1;
            }
            let keep_matches = operation == SetOperation::Intersect;
            rows.retain(|row| {
                let Some(count) = counts.get_mut(&key(row)).filter(|count| **count > 0) else { return !keep_matches };
                if all {
                    *count -= 1;
                }
                keep_matches
            });
        }
    }
    if !all {
        let mut seen = HashSet::new();
        rows.retain(|row| seen.insert(key(row)));
    }
    rows
}

fn by_values(a: &[Datum], b: &[Datum]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| compare_nulls_last(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

fn by_order(order: &[Order], a: &Row, b: &Row) -> Ordering {
    let one = |o: &Order| ordered(&a[o.output], &b[o.output], o.descending, o.nulls_first);
    order.iter().map(one).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

fn by_keys(keys: &[SortKey], a: &[Datum], b: &[Datum]) -> Ordering {
    let one = |((key, a), b): ((&SortKey, &Datum), &Datum)| ordered(a, b, key.descending, key.nulls_first);
    keys.iter().zip(a).zip(b).map(one).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

fn ordered(a: &Datum, b: &Datum, descending: bool, nulls_first: bool) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (false, false) => {
            let order = compare(a, b);
            if descending { order.reverse() } else { order }
        }
        (a, b) => {
            let nulls_last = a.cmp(&b);
            if nulls_first { nulls_last.reverse() } else { nulls_last }
        }
    }
}
