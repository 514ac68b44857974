//! The keys of an aggregate: the tags they mention, and the grid of time on which they are constant.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{ScalarValue, internal_datafusion_err};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;
use plimsoll_engine::{Bucket, ColumnKind, TableSchema, TimeRange};

use crate::functions::{Bucketing, Clocks, Grid, Width, bucketing, parse_interval};

const SECOND_NS: i64 = 1_000_000_000;
const MINUTE_NS: i64 = 60 * SECOND_NS;
const HOUR_NS: i64 = 60 * MINUTE_NS;
const DAY_NS: i64 = 24 * HOUR_NS;

/// What the engine groups by, so that the keys can be computed from it.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) tags: Vec<String>,
    grid: Option<Grid>,
}

impl Keys {
    /// Reads keys over the columns of a table; `None` when one of them needs more than tags and a grid. `extent` is where the
    /// rows lie.
    pub(super) fn read(
        keys: &[Expr],
        table: &TableSchema,
        time_type: &DataType,
        extent: Option<TimeRange>,
    ) -> Option<Keys> {
        let DataType::Timestamp(_, zone) = time_type else { return None };
        let extent = extent.filter(|extent| !extent.is_empty()).unwrap_or(TimeRange { min_ns: 0, max_ns: 0 });
        let mut reader = Reader { table, zone: zone.clone(), extent, keys: Keys { tags: Vec::new(), grid: None } };
        keys.iter().try_for_each(|key| reader.add(key))?;
        Some(reader.keys)
    }

    pub(super) fn bucket(&self) -> Option<Bucket> {
        self.grid.map(|Grid { width_ns, origin_ns }| Bucket { width_ns, origin_ns })
    }

    /// Columns of the engine's answer before the aggregates.
    pub(super) fn columns(&self) -> usize {
        usize::from(self.grid.is_some()) + self.tags.len()
    }

    /// A key over the columns of the engine's answer.
    pub(super) fn over_answer(&self, key: &Expr, column: &dyn Fn(usize) -> Expr) -> datafusion::common::Result<Expr> {
        let first_tag = usize::from(self.grid.is_some());
        let over_answer = key.clone().transform(|part| match &part {
            Expr::Column(named) if named.name == TableSchema::TIME => Ok(Transformed::yes(column(0))),
            Expr::Column(named) => {
                let tag = self.tags.iter().position(|tag| *tag == named.name);
                let tag = tag.ok_or_else(|| internal_datafusion_err!("a key over a column that is no tag"))?;
                Ok(Transformed::new(column(first_tag + tag), true, TreeNodeRecursion::Jump))
            }
            _ => Ok(Transformed::no(part)),
        })?;
        Ok(over_answer.data)
    }
}

struct Reader<'a> {
    table: &'a TableSchema,
    /// The session's zone, in which days begin.
    zone: Option<Arc<str>>,
    extent: TimeRange,
    keys: Keys,
}

impl Reader<'_> {
    fn add(&mut self, key: &Expr) -> Option<()> {
        match key {
            Expr::Column(column) => self.add_tag(&column.name),
            Expr::Literal(..) => Some(()),
            Expr::ScalarFunction(call) if self.mentions_time(&call.args) => self.add_grid(self.grid_of(call)?),
            Expr::Cast(cast) if self.is_time(&cast.expr) && *cast.field.data_type() == DataType::Date32 => {
                self.add_grid(self.local(DAY_NS)?)
            }
            Expr::ScalarFunction(call)
                if call.func.signature().volatility == datafusion::logical_expr::Volatility::Volatile =>
            {
                None
            }
            Expr::ScalarFunction(_)
            | Expr::BinaryExpr(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::Not(_)
            | Expr::Negative(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::Like(_) => self.add_parts(key),
            _ => None,
        }
    }

    fn add_parts(&mut self, key: &Expr) -> Option<()> {
        let mut understood = true;
        let each = key.apply_children(|part| {
            understood = understood && self.add(part).is_some();
            Ok(TreeNodeRecursion::Continue)
        });
        each.ok().filter(|_| understood).map(|_| ())
    }

    fn add_tag(&mut self, name: &str) -> Option<()> {
        let column = &self.table.columns[self.table.position(name)?];
        if column.kind != ColumnKind::Tag {
            return None;
        }
        if !self.keys.tags.iter().any(|tag| tag == name) {
            self.keys.tags.push(name.to_owned());
        }
        Some(())
    }

    fn add_grid(&mut self, grid: Grid) -> Option<()> {
        let grid = self.keys.grid.map_or(grid, |before| before.and(grid));
        self.keys.grid = Some(grid);
        Some(())
    }

    fn is_time(&self, expr: &Expr) -> bool {
        matches!(expr, Expr::Column(column) if column.name == TableSchema::TIME)
    }

    fn mentions_time(&self, args: &[Expr]) -> bool {
        args.iter().any(|arg| self.is_time(arg))
    }

    /// The grid on which a function of time and of constants does not change.
    fn grid_of(&self, call: &ScalarFunction) -> Option<Grid> {
        match (call.func.name(), call.args.as_slice()) {
            ("time_bucket", [width, time, options @ ..]) if self.is_time(time) => {
                let options = options.iter().map(constant).collect::<Option<Vec<_>>>()?;
                let bucketing = bucketing(constant(width)?, &options).ok()??;
                Some(self.within(&bucketing))
            }
            ("date_bin", [width, time, origin]) if self.is_time(time) => {
                let ScalarValue::TimestampNanosecond(Some(origin_ns), _) = constant(origin)? else { return None };
                Some(self.within(&Bucketing::new(fixed(constant(width)?)?, *origin_ns)))
            }
            ("date_trunc" | "date_part", [unit, time]) if self.is_time(time) => {
                let unit = constant(unit)?.try_as_str()??.to_ascii_lowercase();
                self.local(length_of(&unit)?)
            }
            _ => None,
        }
    }

    fn within(&self, bucketing: &Bucketing) -> Grid {
        bucketing.grid(self.extent.min_ns, self.extent.max_ns)
    }

    /// The grid of stretches of one length by the clocks of the session.
    fn local(&self, length_ns: i64) -> Option<Grid> {
        let width = Width::Fixed(length_ns);
        let bucketing = match &self.zone {
            None => Bucketing::new(width, 0),
            Some(zone) => Bucketing::in_zone(width, 0, Clocks::of(zone).ok()?)?,
        };
        Some(self.within(&bucketing))
    }
}

fn constant(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

/// A width without months.
fn fixed(value: &ScalarValue) -> Option<Width> {
    let interval = match value {
        ScalarValue::IntervalMonthDayNano(interval) => (*interval)?,
        other => parse_interval(other.try_as_str()??).ok()?,
    };
    Width::new(interval).ok().filter(|width| matches!(width, Width::Fixed(_)))
}

/// A length that divides every stretch over which a unit of `date_trunc` or `date_part` keeps its value.
fn length_of(unit: &str) -> Option<i64> {
    Some(match unit {
        "second" => SECOND_NS,
        "minute" => MINUTE_NS,
        "hour" => HOUR_NS,
        "day" | "dow" | "isodow" | "doy" | "week" | "month" | "quarter" | "year" | "isoyear" => DAY_NS,
        _ => return None,
    })
}
