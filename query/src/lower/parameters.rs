//! Types of the parameters `$1`, `$2`, ... of a statement.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ParamValues, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};

use crate::functions::{ARRAY_LIKE, list_of};
use crate::{Error, Result};

/// The wire protocol counts parameters in 16 bits.
const PARAMETERS_MAX: usize = 65_535;

/// What is known of the parameters: by position, the type where there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(Vec<Option<DataType>>);

impl Parameters {
    /// The types that the client names; the rest is to be inferred.
    pub(crate) fn declared(types: &[Option<DataType>]) -> Parameters {
        Parameters(types.to_vec())
    }

    /// The types as the planner takes them.
    pub(crate) fn fields(&self) -> Vec<Option<FieldRef>> {
        let field = |(at, data_type): (usize, &Option<DataType>)| {
            data_type.as_ref().map(|t| Arc::new(Field::new(format!("${}", at + 1), t.clone(), true)))
        };
        self.0.iter().enumerate().map(field).collect()
    }

    /// Adds what a plan tells about parameters without a type. `integers` are placeholders that count rows.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for too many parameters or names that are not `$1`, `$2`, ...
    pub(crate) fn infer(&mut self, plan: &LogicalPlan, integers: &[String]) -> Result<()> {
        for (name, field) in plan.get_parameter_fields()? {
            let slot = self.slot(&name)?;
            if slot.is_none() {
                *slot = field.map(|f| plain(f.data_type()));
            }
        }
        for (name, like) in lists(plan)? {
            self.slot(&name)?.get_or_insert_with(|| list_of(&like));
        }
        for name in integers {
            self.slot(name)?.get_or_insert(DataType::Int64);
        }
        Ok(())
    }

    /// Adds a type that the place of a parameter asks for.
    pub(crate) fn suggest(&mut self, name: &str, data_type: &DataType) -> Result<()> {
        self.slot(name)?.get_or_insert_with(|| plain(data_type));
        Ok(())
    }

    /// Number of parameters.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The final types: what nothing tells is text.
    pub(crate) fn finish(self) -> Vec<DataType> {
        self.0.into_iter().map(|data_type| data_type.unwrap_or(DataType::Utf8)).collect()
    }

    fn slot(&mut self, name: &str) -> Result<&mut Option<DataType>> {
        let number = name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
        let Some(at) = number.filter(|n| (1..=PARAMETERS_MAX).contains(n)) else {
            let what = format!("there is no parameter {name}");
            return Err(Error::Unsupported {
                what,
                position: None,
                hint: Some("Parameters are $1, $2, ...".to_owned()),
            });
        };
        if self.0.len() < at {
            self.0.resize(at, None);
        }
        Ok(&mut self.0[at - 1])
    }
}

impl From<&[DataType]> for Parameters {
    fn from(types: &[DataType]) -> Parameters {
        Parameters(types.iter().cloned().map(Some).collect())
    }
}

/// The parameters of `x = ANY ($1)` with the types of what they are compared to.
fn lists(plan: &LogicalPlan) -> datafusion::common::Result<Vec<(String, DataType)>> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        let mut schema = DFSchema::empty();
        node.inputs().iter().for_each(|input| schema.merge(input.schema()));
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr
                    && call.func.name() == ARRAY_LIKE
                    && let [Expr::Placeholder(list), like] = call.args.as_slice()
                {
                    found.push((list.id.clone(), like.get_type(&schema)?));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// Puts values in the place of parameters, cast to the types that were planned.
///
/// # Errors
/// [`Error::InvalidParameter`] for a wrong number of values, [`Error::InvalidText`] and its like for values that do not fit.
pub(crate) fn bind(plan: LogicalPlan, types: &[DataType], values: &[ScalarValue]) -> Result<LogicalPlan> {
    if types.len() != values.len() {
        let message = format!("statement takes {} parameters, {} were given", types.len(), values.len());
        return Err(Error::InvalidParameter { name: "parameters".to_owned(), message });
    }
    if values.is_empty() {
        return Ok(plan);
    }
    let cast = values.iter().zip(types).map(|(value, data_type)| value.cast_to(data_type));
    let values = cast.collect::<datafusion::common::Result<Vec<_>>>()?;
    Ok(plan.replace_params_with_values(&ParamValues::from(values))?)
}

/// Strings come in one form, whatever the columns are stored as; NULL says nothing of a type.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        other => other.clone(),
    }
}
