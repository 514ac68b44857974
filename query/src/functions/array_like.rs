//! `array_like($1, x)`: a parameter that is a list of values such as `x` is. What `x = ANY ($1)` is planned as.

use std::sync::Arc;

use datafusion::arrow::array::Array;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::Error;
use crate::relation::external;

type Result<T> = datafusion::common::Result<T>;

/// Its name, which no statement writes.
pub(crate) const ARRAY_LIKE: &str = "array_like";

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ArrayLike {
    signature: Signature,
}

impl ArrayLike {
    pub(crate) fn udf() -> ScalarUDF {
        ScalarUDF::from(ArrayLike { signature: Signature::any(2, Volatility::Immutable) })
    }
}

/// The type of a list of values of a type.
pub(crate) fn list_of(item: &DataType) -> DataType {
    let item = if *item == DataType::Utf8View { &DataType::Utf8 } else { item };
    DataType::List(Arc::new(Field::new_list_field(item.clone(), true)))
}

/// A list, or the text of one, as a list of another type.
fn as_list(value: &ScalarValue, wanted: &DataType) -> Result<ScalarValue> {
    let DataType::List(item) = wanted else { return internal_err!("{wanted} is no list") };
    let Some(text) = value.try_as_str() else { return value.cast_to(wanted) };
    let Some(text) = text else { return ScalarValue::try_from(wanted) };
    let items = array_items(text)
        .ok_or_else(|| external(Error::InvalidText { message: format!("malformed array literal: \"{text}\"") }))?;
    let items = items.into_iter().map(|item_text| ScalarValue::Utf8(item_text).cast_to(item.data_type()));
    let items = items.collect::<Result<Vec<_>>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&items, item.data_type())))
}

impl ScalarUDFImpl for ArrayLike {
    fn name(&self) -> &str {
        ARRAY_LIKE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [_, like] => Ok(list_of(like)),
            _ => internal_err!("a list and what it is like"),
        }
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match args.as_slice() {
            [Expr::Literal(value, _), like] => {
                let list = as_list(value, &list_of(&info.get_data_type(like)?))?;
                Ok(ExprSimplifyResult::Simplified(Expr::Literal(list, None)))
            }
            _ => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.first() {
            Some(ColumnarValue::Scalar(value)) => Ok(ColumnarValue::Scalar(as_list(value, args.return_type())?)),
            Some(ColumnarValue::Array(lists)) if matches!(lists.data_type(), DataType::List(_)) => {
                Ok(ColumnarValue::Array(cast(lists, args.return_type())?))
            }
            _ => internal_err!("a list that is no parameter"),
        }
    }
}

/// The items of an array of one dimension that is written as PostgreSQL writes it, `{a,"b c",NULL}`; an item is `None` for NULL.
/// Gives `None` for what is no such array.
#[must_use]
pub fn array_items(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    if inner.trim().is_empty() {
        return Some(Vec::new());
    }
    let mut items = Vec::new();
    let mut chars = inner.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let is_quoted = chars.next_if_eq(&'"').is_some();
        let mut item = String::new();
        // How much of an item without quotes is more than the blanks at its end.
        let mut written = 0;
        loop {
            match chars.next() {
                Some('\\') => {
                    item.push(chars.next()?);
                    written = item.len();
                }
                Some('"') if is_quoted => break,
                Some('"' | '{' | '}') if !is_quoted => return None,
                Some(',') if !is_quoted => {
                    items.push(plain_item(&item[..written])?);
                    item.clear();
                    break;
                }
                Some(c) => {
                    item.push(c);
                    if !c.is_whitespace() {
                        written = item.len();
                    }
                }
                None if is_quoted => return None,
                None => {
                    items.push(plain_item(&item[..written])?);
                    return Some(items);
                }
            }
        }
        if is_quoted {
            items.push(Some(item));
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
            match chars.next() {
                Some(',') => {}
                None => return Some(items),
                Some(_) => return None,
            }
        }
    }
}

/// An item without quotes: not empty, and NULL in any case is none.
fn plain_item(text: &str) -> Option<Option<String>> {
    match text {
        "" => None,
        text if text.eq_ignore_ascii_case("null") => Some(None),
        text => Some(Some(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::array_items;

    #[test]
    fn arrays_are_read_as_postgresql_writes_them() {
        let some = |items: &[&str]| Some(items.iter().map(|item| Some((*item).to_owned())).collect::<Vec<_>>());
        assert_eq!(array_items("{a,b c , d}"), some(&["a", "b c", "d"]));
        assert_eq!(array_items(r#"{"a,b", "c\"d" ,e\,f}"#), some(&["a,b", "c\"d", "e,f"]));
        assert_eq!(array_items(r#"{NULL,"NULL",""}"#), Some(vec![None, Some("NULL".to_owned()), Some(String::new())]));
        assert_eq!(array_items(" { } "), Some(Vec::new()));
        for wrong in ["", "a", "{a", "{,a}", "{a,}", "{{a}}", r#"{"a}"#, r#"{"a"b}"#, r#"{a"b"}"#] {
            assert_eq!(array_items(wrong), None, "{wrong}");
        }
    }
}
