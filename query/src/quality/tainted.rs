//! `quality = 'tainted'`: which buckets of a KPI come of a time in which its tables were not as they are expected to be.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray};
use datafusion::arrow::datatypes::{DataType, TimestampNanosecondType};
use datafusion::catalog::view::ViewTable;
use datafusion::common::Column;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlanBuilder, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TableSource,
    Volatility, lit, when,
};

use super::Quality;
use crate::Result;
use crate::catalog::{Object, Reference};
use crate::dialect::Kpi;
use crate::lower::Lowering;
use crate::relation::{TIME, step_ns_of};

/// The column of a KPI.
const QUALITY: &str = "quality";

/// The width of buckets of no fixed width: a month at most.
const LONGEST_NS: i64 = 31 * 86_400_000_000_000;

/// The relation of a KPI with those buckets marked; the same one where its tables expect nothing.
///
/// # Errors
/// Those of planning.
pub(crate) fn marked(
    object: &Object,
    kpi: &Kpi,
    rows: Arc<dyn TableSource>,
    lowering: &Lowering<'_>,
) -> Result<Arc<dyn TableSource>> {
    let tables = expecting(object, lowering);
    if tables.is_empty() {
        return Ok(rows);
    }
    let plan = LogicalPlanBuilder::scan(object.name.as_str(), rows, None)?.build()?;
    let step_ns = step_ns_of(kpi, lowering.definitions).unwrap_or(LONGEST_NS);
    let quality = lowering.database.quality().clone();
    let function =
        ScalarUDF::from(Tainted { quality, tables, step_ns, signature: Signature::any(1, Volatility::Stable) });
    let time = plan.schema().qualified_field_with_unqualified_name(TIME)?;
    let is_tainted = function.call(vec![Expr::Column(Column::from(time))]);
    let column = |(qualifier, field): (Option<&_>, &Arc<_>)| {
        let column = Expr::Column(Column::from((qualifier, field)));
        match field.name().as_str() {
            QUALITY => Ok(when(is_tainted.clone(), lit("tainted")).otherwise(column)?.alias(QUALITY)),
            name => Ok(column.alias(name)),
        }
    };
    let columns = plan.schema().iter().map(column).collect::<Result<Vec<_>>>()?;
    let marked = lowering.analyze(LogicalPlanBuilder::from(plan).project(columns)?.build()?)?;
    Ok(provider_as_source(Arc::new(ViewTable::new(marked, Some(object.text())))))
}

/// The tables with expectations that a definition reads, be it through others.
pub(crate) fn expecting(object: &Object, lowering: &Lowering<'_>) -> Vec<String> {
    let definitions = lowering.definitions;
    if definitions.rules.is_empty() {
        return Vec::new();
    }
    let mut seen: BTreeSet<&Reference> = BTreeSet::new();
    let mut waiting: Vec<&Reference> = object.reads.iter().collect();
    while let Some(next) = waiting.pop() {
        if seen.insert(next) {
            waiting.extend(definitions.reads_of(next).into_iter().flatten());
        }
    }
    let table = |reference: &&Reference| match reference {
        Reference::Relation(name) if definitions.rules.contains_key(name) => Some(name.clone()),
        _ => None,
    };
    seen.iter().filter_map(table).collect()
}

/// True for the times of buckets that are tainted.
struct Tainted {
    quality: Arc<Quality>,
    tables: Vec<String>,
    step_ns: i64,
    signature: Signature,
}

impl ScalarUDFImpl for Tainted {
    fn name(&self) -> &'static str {
        "tainted"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> datafusion::common::Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion::common::Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let times = arrays.first().and_then(|times| times.as_primitive_opt::<TimestampNanosecondType>());
        let Some(times) = times else { return datafusion::common::internal_err!("the time of a KPI is an instant") };
        let is_tainted = |row: usize| {
            let start_ns = times.is_valid(row).then(|| times.value(row))?;
            let end_ns = start_ns.saturating_add(self.step_ns);
            Some(self.quality.tallies.is_tainted(&self.tables, start_ns, end_ns))
        };
        Ok(ColumnarValue::Array(Arc::new((0..times.len()).map(is_tainted).collect::<BooleanArray>())))
    }
}

impl std::fmt::Debug for Tainted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tainted").field("tables", &self.tables).finish_non_exhaustive()
    }
}

impl PartialEq for Tainted {
    fn eq(&self, other: &Tainted) -> bool {
        Arc::ptr_eq(&self.quality, &other.quality) && self.tables == other.tables && self.step_ns == other.step_ns
    }
}

impl Eq for Tainted {}

impl Hash for Tainted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.tables, self.step_ns).hash(state);
    }
}
