//! `kpi.NAME`: the rows of a KPI's query, with what is known of each.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit, when};

use crate::catalog::Object;
use crate::dialect::Kpi;
use crate::lower::Lowering;
use crate::{Error, OutputColumn, Result};

use super::plan_text;

/// The time column of every relation.
pub(crate) const TIME: &str = "time";

/// What a KPI measures by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// A number.
    Value,
    /// Good ones among all.
    Ratio,
}

/// The columns that the query of a KPI gives.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) measure: Measure,
    /// The names of its dimensions, in the order of the query.
    pub(crate) dimensions: Vec<String>,
}

/// Names of what a KPI measures by.
const MEASURES: [&str; 3] = ["value", "good", "total"];

/// Names that `kpi.NAME` gives a meaning to.
const RESERVED: [&str; 8] = ["coverage", "quality", "version", "expected", "lower", "upper", "score", "band"];

/// The dimensions of a KPI, by the columns that are kept with its object.
pub(crate) fn dimensions(object: &Object) -> impl Iterator<Item = &String> {
    let is_dimension =
        |name: &&String| **name != TIME && !MEASURES.contains(&name.as_str()) && !RESERVED.contains(&name.as_str());
    object.columns.iter().map(|(name, _)| name).filter(is_dimension)
}

impl Shape {
    /// The names of the dimensions among the columns of `kpi.NAME`.
    pub(crate) fn dimensions_of(columns: &[(String, DataType)]) -> Vec<&str> {
        let names = columns.iter().map(|(name, _)| name.as_str());
        names.filter(|name| !RESERVED.contains(name) && !MEASURES.contains(name) && *name != TIME).collect()
    }

    /// Reads the columns of a query.
    ///
    /// # Errors
    /// [`Error::Definition`], KP001 without a time or a value, KP004 for columns that cannot be dimensions.
    pub(crate) fn of(columns: &[OutputColumn]) -> Result<Shape> {
        let find = |name: &str| columns.iter().find(|column| column.name == name);
        let hint = "Its query gives time and value, or time, good and total; every other column is a dimension.";
        let missing = |what: String| Err(Error::definition("KP001", what).hinted(hint));
        match find(TIME).map(|column| &column.data_type) {
            Some(DataType::Timestamp(_, Some(_))) => {}
            Some(_) => return missing("the column time of a KPI is a timestamptz".to_owned()),
            None => return missing("a KPI needs a column time".to_owned()),
        }
        let measure = match (find("value"), find("good"), find("total")) {
            (_, Some(_), Some(_)) => Measure::Ratio,
            (Some(_), None, None) => Measure::Value,
            (None, None, None) => return missing("a KPI needs a column value, or good and total".to_owned()),
            (_, good, _) => {
                let other = if good.is_some() { "total" } else { "good" };
                return missing(format!("a KPI with good or total needs a column {other}"));
            }
        };
        let measures: &[&str] = match measure {
            Measure::Value => &["value"],
            Measure::Ratio => &["good", "total", "value"],
        };
        for name in measures {
            if let Some(column) = find(name)
                && !column.data_type.is_numeric()
                && column.data_type != DataType::Null
            {
                return missing(format!("the column {name} of a KPI is a number"));
            }
        }
        let mut dimensions: Vec<String> = Vec::new();
        for column in columns {
            let name = column.name.as_str();
            if name == TIME || measures.contains(&name) {
                continue;
            }
            if RESERVED.contains(&name) || dimensions.contains(&column.name) || columns_named(columns, name) > 1 {
                let message = format!("the column \"{name}\" cannot be a dimension of a KPI");
                return Err(Error::definition("KP004", message).hinted("Give the column another name with AS."));
            }
            if !can_be_dimension(&column.data_type) {
                let message = format!("the dimension \"{name}\" of a KPI is neither text nor boolean nor an integer");
                return Err(Error::definition("KP004", message).hinted("Cast it to text, or leave it out."));
            }
            dimensions.push(column.name.clone());
        }
        Ok(Shape { measure, dimensions })
    }
}

fn can_be_dimension(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => can_be_dimension(values),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Boolean => true,
        other => other.is_integer(),
    }
}

fn columns_named(columns: &[OutputColumn], name: &str) -> usize {
    columns.iter().filter(|column| column.name == name).count()
}

/// The plan of a KPI's rows, analysed: `time`, the dimensions, `good` and `total` of a ratio, `value`, `coverage`, `quality`,
/// `version`. Those that are kept up are read, the others computed.
///
/// # Errors
/// Whatever is wrong with the query.
pub(crate) fn plan(object: &Object, kpi: &Kpi, lowering: &Lowering<'_>) -> Result<(LogicalPlan, Shape)> {
    let (live, shape) = live(object, kpi, lowering)?;
    let plan = crate::maintained::read(object, live, &shape, lowering)?;
    Ok((plan, shape))
}

/// The same as the query gives it, of whatever age.
///
/// # Errors
/// Whatever is wrong with the query.
pub(super) fn live(object: &Object, kpi: &Kpi, lowering: &Lowering<'_>) -> Result<(LogicalPlan, Shape)> {
    let (inner, columns) = plan_text(&kpi.query, lowering)?;
    let shape = Shape::of(&columns)?;
    let column = |name: &str| -> Result<Expr> {
        let at = columns.iter().position(|column| column.name == name);
        let at = at.ok_or_else(|| Error::Internal(format!("no column {name}")))?;
        Ok(Expr::Column(Column::from(inner.schema().qualified_field(at))))
    };
    let zone = lowering.settings.time_zone.clone();
    let time = cast(column(TIME)?, DataType::Timestamp(TimeUnit::Nanosecond, Some(zone)));
    let mut projection = vec![time.alias(TIME)];
    for dimension in &shape.dimensions {
        projection.push(column(dimension)?.alias(dimension));
    }
    let value = match shape.measure {
        Measure::Value => cast(column("value")?, DataType::Float64),
        Measure::Ratio => {
            let (good, total) = (column("good")?, column("total")?);
            projection.push(counted(good.clone(), &inner)?.alias("good"));
            projection.push(counted(total.clone(), &inner)?.alias("total"));
            share(good, total)?
        }
    };
    projection.extend(known(value, object.version)?);
    let plan = LogicalPlanBuilder::from(inner).project(projection)?.build()?;
    Ok((lowering.analyze(plan)?, shape))
}

/// Good ones among all; NULL where there are none.
pub(crate) fn share(good: Expr, total: Expr) -> Result<Expr> {
    let of = |expr| cast(expr, DataType::Float64);
    Ok(when(of(total.clone()).not_eq(lit(0.0)), of(good) / of(total)).end()?)
}

/// The columns of a value and of what is known of it.
pub(crate) fn known(value: Expr, version: u64) -> Result<[Expr; 4]> {
    Ok([
        value.clone().alias("value"),
        when(value.clone().is_null(), lit(0.0)).otherwise(lit(1.0))?.alias("coverage"),
        when(value.is_null(), lit("no_data")).otherwise(lit("good"))?.alias("quality"),
        lit(i64::try_from(version).unwrap_or(i64::MAX)).alias("version"),
    ])
}

/// Counts stay exact: integers are 64 bits, decimals as they are, anything else is a float.
fn counted(expr: Expr, plan: &LogicalPlan) -> Result<Expr> {
    use datafusion::logical_expr::ExprSchemable;
    let data_type = expr.get_type(plan.schema())?;
    Ok(match data_type {
        DataType::Int64 | DataType::Decimal128(..) => expr,
        other if other.is_integer() => cast(expr, DataType::Int64),
        _ => cast(expr, DataType::Float64),
    })
}
