//! The functions of catalogue statements: one list per family, found by name, chosen by argument types.

mod aggregate;
mod array;
mod json;
mod math;
mod object;
pub(crate) mod pattern;
mod quote;
mod session;
mod text;
pub(crate) mod time;

use super::{
    datum::Datum,
    error::Result,
    plan::{Expr, Fields},
    run::Runtime,
    types::oid,
};
use std::{collections::HashMap, sync::LazyLock};

pub(crate) use self::{
    quote::{identifiers, quote_ident},
    session::{SERVER_VERSION, UTF8, timezone_rows},
};

/// A function's name and types. `ANYELEMENT`, `ANYARRAY` and `ANY` are PostgreSQL's polymorphic types.
#[derive(Debug)]
pub(crate) struct Signature {
    pub name: &'static str,
    pub arguments: &'static [u32],
    /// The last argument may be repeated.
    pub variadic: bool,
    pub result: u32,
}

impl Signature {
    pub(crate) fn takes(&self, count: usize) -> bool {
        count == self.arguments.len() || (self.variadic && count >= self.arguments.len())
    }

    pub(crate) fn argument(&self, index: usize) -> u32 {
        self.arguments.get(index).or(self.arguments.last()).copied().unwrap_or(oid::ANY)
    }
}

/// A function of one result.
#[derive(Debug)]
pub(crate) struct Function {
    pub signature: Signature,
    /// NULL when any argument is NULL.
    pub strict: bool,
    pub body: fn(&Call<'_>) -> Result<Datum>,
}

/// A set-returning function; it gives no rows when an argument is NULL.
#[derive(Debug)]
pub(crate) struct SetFunction {
    pub signature: Signature,
    /// Columns when it gives records; else each value is a row of one column.
    pub columns: Fields,
    pub body: fn(&Call<'_>) -> Result<Vec<Datum>>,
}

/// An aggregate: the arguments of each row it sees, in order.
#[derive(Debug)]
pub(crate) struct Aggregate {
    pub signature: Signature,
    /// Rows whose first argument is NULL count too.
    pub keeps_nulls: bool,
    pub body: fn(&[Vec<Datum>], &[Expr]) -> Result<Datum>,
}

/// The arguments of one call.
pub(crate) struct Call<'a> {
    pub values: &'a [Datum],
    /// The expressions they came from, for their types; empty when only values are known.
    pub exprs: &'a [Expr],
    pub runtime: &'a Runtime<'a>,
}

impl Call<'_> {
    fn text(&self, index: usize) -> &str {
        self.values.get(index).and_then(Datum::as_str).unwrap_or("")
    }

    fn int(&self, index: usize) -> i64 {
        self.values.get(index).and_then(Datum::as_int).unwrap_or(0)
    }

    fn oid(&self, index: usize) -> u32 {
        self.values.get(index).and_then(Datum::as_oid).unwrap_or(0)
    }

    fn is_true(&self, index: usize) -> bool {
        matches!(self.values.get(index), Some(Datum::Bool(true)))
    }

    fn items(&self, index: usize) -> &[Datum] {
        match self.values.get(index) {
            Some(Datum::Array(array)) => &array.items,
            _ => &[],
        }
    }

    fn type_of(&self, index: usize) -> u32 {
        self.exprs.get(index).map_or(oid::TEXT, |expr| expr.type_oid)
    }

    /// The argument in PostgreSQL's text format.
    fn shown(&self, index: usize) -> Option<String> {
        self.values.get(index)?.text(self.type_of(index))
    }
}

const fn signature(name: &'static str, arguments: &'static [u32], result: u32) -> Signature {
    Signature { name, arguments, variadic: false, result }
}

/// A strict function.
const fn f(
    name: &'static str,
    arguments: &'static [u32],
    result: u32,
    body: fn(&Call<'_>) -> Result<Datum>,
) -> Function {
    Function { signature: signature(name, arguments, result), strict: true, body }
}

impl Function {
    /// Called with NULLs too.
    const fn lenient(mut self) -> Self {
        self.strict = false;
        self
    }

    const fn variadic(mut self) -> Self {
        self.signature.variadic = true;
        self
    }
}

const fn set(
    name: &'static str,
    arguments: &'static [u32],
    result: u32,
    body: fn(&Call<'_>) -> Result<Vec<Datum>>,
) -> SetFunction {
    SetFunction { signature: signature(name, arguments, result), columns: &[], body }
}

impl SetFunction {
    const fn columns(mut self, columns: Fields) -> Self {
        self.columns = columns;
        self
    }
}

type ByName<T> = HashMap<&'static str, Vec<&'static T>>;

static SCALARS: LazyLock<ByName<Function>> = LazyLock::new(|| {
    let families = [
        text::FUNCTIONS,
        quote::FUNCTIONS,
        pattern::FUNCTIONS,
        math::FUNCTIONS,
        array::FUNCTIONS,
        json::FUNCTIONS,
        time::FUNCTIONS,
        session::FUNCTIONS,
        object::FUNCTIONS,
    ];
    by_name(families.into_iter().flatten(), |f| f.signature.name)
});

static SETS: LazyLock<ByName<SetFunction>> =
    LazyLock::new(|| by_name([array::SETS, session::SETS, text::SETS].into_iter().flatten(), |f| f.signature.name));

static AGGREGATES: LazyLock<ByName<Aggregate>> =
    LazyLock::new(|| by_name(aggregate::AGGREGATES.iter(), |f| f.signature.name));

fn by_name<T>(list: impl Iterator<Item = &'static T>, name: fn(&'static T) -> &'static str) -> ByName<T> {
    let mut map: ByName<T> = HashMap::new();
    list.for_each(|function| map.entry(name(function)).or_default().push(function));
    map
}

pub(crate) fn scalars(name: &str) -> impl Iterator<Item = &'static Function> + use<> {
    SCALARS.get(name).cloned().unwrap_or_default().into_iter()
}

pub(crate) fn sets(name: &str) -> impl Iterator<Item = &'static SetFunction> + use<> {
    SETS.get(name).cloned().unwrap_or_default().into_iter()
}

pub(crate) fn aggregates(name: &str) -> impl Iterator<Item = &'static Aggregate> + use<> {
    AGGREGATES.get(name).cloned().unwrap_or_default().into_iter()
}

/// The overload with so many arguments.
pub(crate) fn scalar(name: &str, arguments: usize) -> Option<&'static Function> {
    scalars(name).find(|function| function.signature.takes(arguments))
}

pub(crate) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains_key(name)
}

/// A function that SQL calls by its bare name where the parser sees a column.
pub(crate) fn is_bare(name: &str) -> bool {
    matches!(name, "current_schema" | "current_catalog" | "current_role" | "current_user" | "session_user" | "user")
}

/// Whether any function of that name is answered here.
pub(crate) fn is_known(name: &str) -> bool {
    SCALARS.contains_key(name)
        || SETS.contains_key(name)
        || AGGREGATES.contains_key(name)
        || matches!(name, "coalesce" | "nullif" | "array" | "row" | "row_number" | "rank" | "dense_rank")
}

/// Whether the name belongs to the server's own state and objects: nothing but the catalogue can answer it.
pub(crate) fn is_system(name: &str) -> bool {
    let family = session::FUNCTIONS.iter().chain(object::FUNCTIONS).chain(quote::FUNCTIONS);
    let mut names = family.map(|f| f.signature.name).chain(session::SETS.iter().map(|f| f.signature.name));
    names.any(|known| known == name) || matches!(name, "format" | "_pg_expandarray")
}
