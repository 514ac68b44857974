//! A statement after names and types are resolved: what `bind` makes and `run` evaluates.
//!
//! Every query level has one flat row, all its FROM items side by side. A column is (depth, index): depth 0 is the
//! row of the query the expression stands in, 1 the row of the query around it. Aggregates, window functions and
//! set-returning calls of the SELECT list are computed first, into the *slots* of their level.

use super::{
    datum::{Datum, Row},
    functions::{Aggregate, Function, SetFunction},
    relations::Relation,
};
use std::{cell::OnceCell, collections::HashMap, rc::Rc};

/// An expression and its type.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    pub kind: Kind,
    pub type_oid: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Const(Datum),
    Column {
        depth: usize,
        index: usize,
    },
    Parameter(usize),
    Slot(usize),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    IsNull(Box<Expr>),
    /// `IS TRUE`, `IS FALSE`, `IS UNKNOWN`: compares with no NULL in the result.
    Is(Box<Expr>, Option<bool>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// `IS NOT DISTINCT FROM`.
    Same(Box<Expr>, Box<Expr>),
    Call(&'static Function, Vec<Expr>),
    Cast {
        from: u32,
        value: Box<Expr>,
    },
    Case {
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Coalesce(Vec<Expr>),
    Array(Vec<Expr>),
    Row(Vec<Expr>),
    Subscript(Box<Expr>, Box<Expr>),
    Field(Box<Expr>, usize),
    /// `value op ANY (array)`, or `ALL`.
    Quantified {
        comparison: Quantified,
        all: bool,
        value: Box<Expr>,
        array: Box<Expr>,
    },
    /// `value op ANY (SELECT ...)`, or `ALL`; `IN` is `= ANY`.
    QuantifiedQuery {
        comparison: Quantified,
        all: bool,
        value: Box<Expr>,
        query: SubQuery,
    },
    Scalar(SubQuery),
    Exists(SubQuery),
    ArrayOf(SubQuery),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The operator before ANY or ALL.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Quantified {
    Compare(Comparison),
    Call(&'static Function),
}

/// A query inside an expression or FROM. One that looks at nothing outside itself runs once.
#[derive(Debug, Clone)]
pub(crate) struct SubQuery {
    pub query: Rc<Query>,
    pub correlated: bool,
    pub once: OnceCell<Rc<RowSet>>,
}

/// A query expression with its output columns.
#[derive(Debug)]
pub(crate) struct Query {
    pub ctes: Vec<Cte>,
    pub body: Body,
    pub order: Vec<Order>,
    /// Positions of the `DISTINCT ON` keys among the body's outputs.
    pub distinct_on: Vec<usize>,
    pub limit: Option<Expr>,
    pub offset: Option<Expr>,
    pub columns: Vec<Column>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub name: String,
    pub type_oid: u32,
    /// The fields of a record whose shape is known.
    pub fields: Fields,
}

/// Names and types of a record's fields; empty when they are not known.
pub(crate) type Fields = &'static [(&'static str, u32)];

/// A common table expression; `id` is where its rows are kept while the statement runs.
#[derive(Debug)]
pub(crate) struct Cte {
    pub id: usize,
    pub query: Rc<Query>,
    /// The part that is repeated over the rows it added last, and whether duplicates are kept.
    pub recursive: Option<(Rc<Query>, bool)>,
}

#[derive(Debug)]
pub(crate) enum Body {
    Select(Box<Select>),
    Values(Vec<Vec<Expr>>),
    Set { operation: SetOperation, all: bool, left: Box<Query>, right: Box<Query> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetOperation {
    Union,
    Intersect,
    Except,
}

/// A sort key: a position among the body's outputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub output: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Debug)]
pub(crate) struct Select {
    pub from: Node,
    /// Columns of the flat row.
    pub width: usize,
    /// Conditions that need no FROM item of this level.
    pub conditions: Vec<Expr>,
    pub group: Option<Group>,
    pub windows: Vec<Window>,
    pub sets: Vec<SetCall>,
    /// All slots: aggregates, then windows and sets as they were met.
    pub slots: usize,
    /// The visible columns, then keys that only ORDER BY needs.
    pub outputs: Vec<Expr>,
    pub visible: usize,
    pub distinct: bool,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub keys: Vec<Expr>,
    pub aggregates: Vec<AggregateCall>,
    pub having: Option<Expr>,
}

#[derive(Debug)]
pub(crate) struct AggregateCall {
    pub slot: usize,
    pub function: &'static Aggregate,
    pub arguments: Vec<Expr>,
    pub distinct: bool,
    pub filter: Option<Expr>,
    pub order: Vec<SortKey>,
}

#[derive(Debug)]
pub(crate) struct SortKey {
    pub expr: Expr,
    pub descending: bool,
    pub nulls_first: bool,
}

/// A ranking window function.
#[derive(Debug)]
pub(crate) struct Window {
    pub slot: usize,
    pub function: Ranking,
    pub partition: Vec<Expr>,
    pub order: Vec<SortKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ranking {
    RowNumber,
    Rank,
    DenseRank,
}

/// A set-returning call in the SELECT list.
#[derive(Debug)]
pub(crate) struct SetCall {
    pub slot: usize,
    pub function: &'static SetFunction,
    pub arguments: Vec<Expr>,
}

/// The FROM tree, conditions already at the deepest place that can test them.
#[derive(Debug)]
pub(crate) enum Node {
    /// No FROM: one row of no columns.
    Nothing,
    Leaf(Leaf),
    Join {
        kind: JoinKind,
        left: Box<Node>,
        right: Box<Node>,
        on: Vec<Expr>,
        after: Vec<Expr>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    /// Every row of the first side at least once; a RIGHT join has its sides swapped.
    Outer,
    Full,
}

/// One FROM item: columns `offset..offset + width` of the flat row.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub item: Item,
    pub offset: usize,
    pub width: usize,
    /// Equality with something known before this item: rows are found by hash. Column is relative to the item.
    pub lookup: Option<(usize, Expr)>,
    pub filters: Vec<Expr>,
}

#[derive(Debug)]
pub(crate) enum Item {
    Relation(&'static Relation),
    Query(SubQuery),
    Cte(usize),
    Function {
        function: &'static SetFunction,
        arguments: Vec<Expr>,
        ordinality: bool,
    },
    /// A plain function in FROM: one row, one column.
    Scalar {
        value: Expr,
        ordinality: bool,
    },
}

/// Rows that stay for the length of a statement, with hash indexes made when a join asks for them.
#[derive(Debug, Default)]
pub(crate) struct RowSet {
    pub rows: Vec<Row>,
    pub indexes: std::cell::RefCell<HashMap<usize, Rc<Index>>>,
}

pub(crate) type Index = HashMap<super::datum::Key, Vec<usize>>;

impl RowSet {
    pub(crate) fn new(rows: Vec<Row>) -> Rc<RowSet> {
        Rc::new(RowSet { rows, indexes: std::cell::RefCell::default() })
    }

    /// The index over one column; NULLs are left out, no equality finds them.
    pub(crate) fn index(&self, column: usize) -> Rc<Index> {
        let mut indexes = self.indexes.borrow_mut();
        let index = indexes.entry(column).or_insert_with(|| {
            let mut index = Index::new();
            for (i, row) in self.rows.iter().enumerate().filter(|(_, row)| !row[column].is_null()) {
                index.entry(row[column].key()).or_default().push(i);
            }
            Rc::new(index)
        });
        index.clone()
    }
}

impl Expr {
    pub(crate) fn constant(value: Datum, type_oid: u32) -> Expr {
        Expr { kind: Kind::Const(value), type_oid }
    }

    /// Calls `visit` on this expression and all below it, sub-queries excluded.
    pub(crate) fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        visit(self);
        self.children(&mut |child| child.walk(visit));
    }

    pub(crate) fn children<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        match &self.kind {
            Kind::Const(_)
            | Kind::Column { .. }
            | Kind::Parameter(_)
            | Kind::Slot(_)
            | Kind::Scalar(_)
            | Kind::Exists(_)
            | Kind::ArrayOf(_) => {}
            Kind::And(list)
            | Kind::Or(list)
            | Kind::Coalesce(list)
            | Kind::Array(list)
            | Kind::Row(list)
            | Kind::Call(_, list) => list.iter().for_each(visit),
            Kind::Not(a) | Kind::IsNull(a) | Kind::Is(a, _) | Kind::Field(a, _) => visit(a),
            Kind::Cast { value, .. } | Kind::QuantifiedQuery { value, .. } => visit(value),
            Kind::Compare(_, a, b) | Kind::Same(a, b) | Kind::Subscript(a, b) => {
                visit(a);
                visit(b);
            }
            Kind::Quantified { value, array, .. } => {
                visit(value);
                visit(array);
            }
            Kind::Case { branches, otherwise } => {
                for (condition, result) in branches {
                    visit(condition);
                    visit(result);
                }
                if let Some(otherwise) = otherwise {
                    visit(otherwise);
                }
            }
        }
    }
}
