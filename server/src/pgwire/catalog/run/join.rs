//! FROM: nested loops over the items, by hash where the plan found an equality.

use super::{
    super::{
        datum::{Datum, Row},
        error::Result,
        functions::Call,
        plan::{Item, JoinKind, Leaf, Node, RowSet},
    },
    Frame, Runtime,
};
use std::{collections::HashSet, rc::Rc};

/// What happens to each row: the flat row, filled as far as the items walked.
type Emit<'e> = &'e mut dyn FnMut(&mut Vec<Datum>) -> Result<()>;

impl Runtime<'_> {
    /// Calls `emit` with the flat row of every combination that the conditions leave.
    pub(super) fn walk(
        &self,
        node: &Node,
        row: &mut Vec<Datum>,
        outer: Option<&Frame<'_>>,
        emit: Emit<'_>,
    ) -> Result<()> {
        match node {
            Node::Nothing => emit(row),
            Node::Leaf(leaf) => self.leaf(leaf, row, outer, emit),
            Node::Join { kind: JoinKind::Full, left, right, on, after } => {
                let mut checked = |row: &mut Vec<Datum>| {
                    if self.all_hold(after, &frame(row, outer))? { emit(row) } else { Ok(()) }
                };
                self.full(left, right, on, row, outer, &mut checked)
            }
            Node::Join { kind, left, right, on, after } => self.walk(left, row, outer, &mut |row| {
                let mut matched = false;
                if self.all_hold(on, &frame(row, outer))? {
                    self.walk(right, row, outer, &mut |row| {
                        matched = true;
                        if self.all_hold(after, &frame(row, outer))? { emit(row) } else { Ok(()) }
                    })?;
                }
                if matched || *kind == JoinKind::Inner {
                    return Ok(());
                }
                clear(right, row);
                if self.all_hold(after, &frame(row, outer))? { emit(row) } else { Ok(()) }
            }),
        }
    }

    fn leaf(&self, leaf: &Leaf, row: &mut Vec<Datum>, outer: Option<&Frame<'_>>, emit: Emit<'_>) -> Result<()> {
        let rows = self.rows_of(leaf, row, outer)?;
        let mut visit = |item: &Row, row: &mut Vec<Datum>| {
            self.step()?;
            row[leaf.offset..leaf.offset + leaf.width].clone_from_slice(&item[..leaf.width]);
            if self.all_hold(&leaf.filters, &frame(row, outer))? { emit(row) } else { Ok(()) }
        };
        let Some((column, key)) = &leaf.lookup else {
            return rows.rows.iter().try_for_each(|item| visit(item, row));
        };
        let key = self.eval(key, &frame(row, outer))?;
        if key.is_null() {
            return Ok(());
        }
        let index = rows.index(*column);
        index.get(&key.key()).into_iter().flatten().try_for_each(|i| visit(&rows.rows[*i], row))
    }

    fn rows_of(&self, leaf: &Leaf, row: &[Datum], outer: Option<&Frame<'_>>) -> Result<Rc<RowSet>> {
        let frame = frame(row, outer);
        let (rows, ordinality) = match &leaf.item {
            Item::Relation(relation) => return Ok(self.relation(relation)),
            Item::Query(query) => return self.subquery(query, &frame),
            Item::Cte(id) => return Ok(self.ctes.borrow().get(id).cloned().unwrap_or_default()),
            Item::Scalar { value, ordinality } => (vec![self.eval(value, &frame)?], *ordinality),
            Item::Function { function, arguments, ordinality } => {
                let values = self.all(arguments, &frame)?;
                let rows = match values.iter().any(Datum::is_null) {
                    true => Vec::new(),
                    false => (function.body)(&Call { values: &values, exprs: arguments, runtime: self })?,
                };
                (rows, *ordinality)
            }
        };
        let numbered = rows.into_iter().zip(1i64..).map(|(value, number)| {
            let mut fields = match value {
                Datum::Record(fields) if !matches!(leaf.item, Item::Scalar { .. }) => fields.to_vec(),
                value => vec![value],
            };
            if ordinality {
                fields.push(Datum::Int(number));
            }
            fields.resize(leaf.width, Datum::Null);
            Row::from(fields)
        });
        Ok(RowSet::new(numbered.collect()))
    }

    /// FULL JOIN: all pairs, then the rows of either side that found none.
    fn full(
        &self,
        left: &Node,
        right: &Node,
        on: &[super::super::plan::Expr],
        row: &mut Vec<Datum>,
        outer: Option<&Frame<'_>>,
        emit: Emit<'_>,
    ) -> Result<()> {
        let mut rights = Vec::new();
        self.walk(right, row, outer, &mut |row| {
            rights.push(row.clone());
            Ok(())
        })?;
        let mut matched_rights = HashSet::new();
        clear(right, row);
        self.walk(left, row, outer, &mut |row| {
            let mut matched = false;
            for (number, other) in rights.iter().enumerate() {
                self.step()?;
                copy(right, other, row);
                if self.all_hold(on, &frame(row, outer))? {
                    matched = true;
                    matched_rights.insert(number);
                    emit(row)?;
                }
            }
            clear(right, row);
            if matched { Ok(()) } else { emit(row) }
        })?;
        clear(left, row);
        for (_, other) in rights.iter().enumerate().filter(|(number, _)| !matched_rights.contains(number)) {
            copy(right, other, row);
            emit(row)?;
        }
        Ok(())
    }
}

fn frame<'f>(row: &'f [Datum], outer: Option<&'f Frame<'f>>) -> Frame<'f> {
    Frame { row, slots: &[], outer }
}

/// The columns of every item under `node` become NULL.
fn clear(node: &Node, row: &mut [Datum]) {
    each_leaf(node, &mut |leaf| row[leaf.offset..leaf.offset + leaf.width].fill(Datum::Null));
}

fn copy(node: &Node, from: &[Datum], row: &mut [Datum]) {
    each_leaf(node, &mut |leaf| {
        let range = leaf.offset..leaf.offset + leaf.width;
        row[range.clone()].clone_from_slice(&from[range]);
    });
}

fn each_leaf(node: &Node, visit: &mut dyn FnMut(&Leaf)) {
    match node {
        Node::Nothing => {}
        Node::Leaf(leaf) => visit(leaf),
        Node::Join { left, right, .. } => {
            each_leaf(left, visit);
            each_leaf(right, visit);
        }
    }
}
