//! Functions that make much out of little: `repeat('x', 1000000000)` is refused before it takes the memory.
//!
//! The memory limit of queries counts what operators hold, not what one call of a function makes.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use crate::Error;

type Result<T> = datafusion::common::Result<T>;

/// Most bytes that one call may make, over all rows of a batch.
const MADE_BYTES_MAX: u128 = 64 << 20;

/// Bytes that an element of a list takes, at least.
const ELEMENT_BYTES: u128 = 8;

/// Functions whose arguments say how much they make.
pub(super) const MULTIPLYING: [&str; 7] =
    ["repeat", "lpad", "rpad", "generate_series", "range", "array_repeat", "array_resize"];

/// A function with a bound on what it makes; otherwise the function itself.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Bounded {
    function: Arc<ScalarUDF>,
}

impl Bounded {
    pub(super) fn new(function: Arc<ScalarUDF>) -> Bounded {
        Bounded { function }
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let made = made_bytes(self.name(), &arrays);
        if made > MADE_BYTES_MAX {
            let message = format!("{}() would make {made} bytes at once, limit {MADE_BYTES_MAX}", self.name());
            return Err(DataFusionError::External(Box::new(Error::OutOfMemory { message })));
        }
        self.function.invoke_with_args(args)
    }
}

/// Bytes that a call makes, at least; 0 where the arguments do not tell.
fn made_bytes(name: &str, arguments: &[ArrayRef]) -> u128 {
    let numbers: Vec<Option<ArrayRef>> = arguments
        .iter()
        .map(|a| if a.data_type().is_integer() { cast(a, &DataType::Int64).ok() } else { None })
        .collect();
    let number = |nth: usize, row: usize| -> Option<i128> {
        let array = numbers.get(nth)?.as_ref()?.as_primitive::<Int64Type>();
        array.is_valid(row).then(|| i128::from(array.value(row)))
    };
    let rows = arguments.first().map_or(0, Array::len);
    let of_row = |row: usize| -> u128 {
        let count = |n: Option<i128>| n.unwrap_or(0).max(0).unsigned_abs();
        match (name, arguments.len()) {
            ("repeat", _) => count(number(1, row)) * text_bytes(&arguments[0], row),
            ("lpad" | "rpad", _) => count(number(1, row)),
            ("array_repeat" | "array_resize", _) => count(number(1, row)) * ELEMENT_BYTES,
            (_, 1) => count(number(0, row)) * ELEMENT_BYTES,
            _ => {
                let span = number(0, row).zip(number(1, row)).map_or(0, |(from, to)| (to - from).unsigned_abs());
                let step = number(2, row).map_or(1, i128::unsigned_abs).max(1);
                span / step * ELEMENT_BYTES
            }
        }
    };
    (0..rows).map(of_row).sum()
}

fn text_bytes(texts: &ArrayRef, row: usize) -> u128 {
    let bytes = match texts.data_type() {
        DataType::Utf8 => texts.as_string::<i32>().value(row).len(),
        DataType::LargeUtf8 => texts.as_string::<i64>().value(row).len(),
        DataType::Utf8View => texts.as_string_view().value(row).len(),
        _ => 0,
    };
    bytes as u128
}
