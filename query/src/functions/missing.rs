//! Stands in for a function that does not exist, so that the error can name the types of the arguments.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::Error;
use crate::error::{NO_SUCH_FUNCTION, type_name};

type Result<T> = datafusion::common::Result<T>;

/// The error for a call that no function of that name takes.
pub(crate) fn no_such_function(name: &str, types: &[DataType]) -> DataFusionError {
    undefined(name, types, None)
}

fn undefined(name: &str, types: &[DataType], hint: Option<String>) -> DataFusionError {
    let types: Vec<_> = types.iter().map(type_name).collect();
    let signature = format!("{name}({})", types.join(", "));
    let hint = hint.or_else(|| Some(NO_SUCH_FUNCTION.to_owned()));
    DataFusionError::External(Box::new(Error::UndefinedFunction { signature, position: None, hint }))
}

/// Fails as soon as its argument types are known.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Missing {
    name: String,
    similar: Option<String>,
    signature: Signature,
}

impl Missing {
    pub(crate) fn new(name: &str, similar: Option<String>) -> Missing {
        let signature =
            Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], Volatility::Volatile);
        Missing { name: name.to_owned(), similar, signature }
    }

    fn error(&self, types: &[DataType]) -> DataFusionError {
        undefined(&self.name, types, self.similar.as_ref().map(|name| format!("Did you mean {name}()?")))
    }
}

impl ScalarUDFImpl for Missing {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Err(self.error(types))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(self.error(&[]))
    }
}
