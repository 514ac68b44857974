//! Strings: cutting, splitting, formatting.

use super::{
    super::{
        datum::Datum,
        error::{CatalogError, Result},
        run::TEXT_BYTES_MAX,
        types::oid::*,
    },
    Call, Function, SetFunction, f,
    quote::{quote_ident, quote_literal},
    set,
};

pub(super) static FUNCTIONS: &[Function] = &[
    f("lower", &[TEXT], TEXT, |call| Ok(Datum::from(call.text(0).to_lowercase()))),
    f("upper", &[TEXT], TEXT, |call| Ok(Datum::from(call.text(0).to_uppercase()))),
    f("initcap", &[TEXT], TEXT, |call| Ok(Datum::from(initcap(call.text(0))))),
    f("length", &[TEXT], INT4, length),
    f("char_length", &[TEXT], INT4, length),
    f("octet_length", &[TEXT], INT4, |call| Ok(Datum::Int(call.text(0).len() as i64))),
    f("textcat", &[TEXT, TEXT], TEXT, |call| Ok(Datum::from([call.text(0), call.text(1)].concat()))),
    f("concat", &[ANY], TEXT, |call| Ok(Datum::from(shown(call, 0).concat()))).variadic().lenient(),
    f("concat_ws", &[TEXT, ANY], TEXT, concat_ws).variadic().lenient(),
    f("substring", &[TEXT, INT4], TEXT, |call| Ok(Datum::from(substring(call.text(0), call.int(1), i64::MAX)))),
    f("substring", &[TEXT, INT4, INT4], TEXT, substring_for),
    f("substr", &[TEXT, INT4], TEXT, |call| Ok(Datum::from(substring(call.text(0), call.int(1), i64::MAX)))),
    f("substr", &[TEXT, INT4, INT4], TEXT, substring_for),
    f("substring", &[TEXT, TEXT], TEXT, substring_like),
    f("left", &[TEXT, INT4], TEXT, |call| Ok(Datum::from(left(call.text(0), call.int(1))))),
    f("right", &[TEXT, INT4], TEXT, |call| Ok(Datum::from(right(call.text(0), call.int(1))))),
    f("btrim", &[TEXT], TEXT, |call| Ok(Datum::from(call.text(0).trim_matches(' ')))),
    f("btrim", &[TEXT, TEXT], TEXT, |call| Ok(Datum::from(call.text(0).trim_matches(|c| call.text(1).contains(c))))),
    f("ltrim", &[TEXT], TEXT, |call| Ok(Datum::from(call.text(0).trim_start_matches(' ')))),
    f("ltrim", &[TEXT, TEXT], TEXT, |call| {
        Ok(Datum::from(call.text(0).trim_start_matches(|c| call.text(1).contains(c))))
    }),
    f("rtrim", &[TEXT], TEXT, |call| Ok(Datum::from(call.text(0).trim_end_matches(' ')))),
    f("rtrim", &[TEXT, TEXT], TEXT, |call| {
        Ok(Datum::from(call.text(0).trim_end_matches(|c| call.text(1).contains(c))))
    }),
    f("replace", &[TEXT, TEXT, TEXT], TEXT, replace),
    f("strpos", &[TEXT, TEXT], INT4, strpos),
    f("starts_with", &[TEXT, TEXT], BOOL, |call| Ok(Datum::Bool(call.text(0).starts_with(call.text(1))))),
    f("split_part", &[TEXT, TEXT, INT4], TEXT, split_part),
    f("repeat", &[TEXT, INT4], TEXT, repeat),
    f("reverse", &[TEXT], TEXT, |call| Ok(Datum::from(call.text(0).chars().rev().collect::<String>()))),
    f("string_to_array", &[TEXT, TEXT], TEXT_ARRAY, string_to_array).lenient(),
    f("string_to_array", &[TEXT, TEXT, TEXT], TEXT_ARRAY, string_to_array).lenient(),
    f("array_to_string", &[ANYARRAY, TEXT], TEXT, array_to_string),
    f("array_to_string", &[ANYARRAY, TEXT, TEXT], TEXT, array_to_string),
    f("format", &[TEXT], TEXT, format),
    f("format", &[TEXT, ANY], TEXT, format).variadic().lenient(),
];

pub(super) static SETS: &[SetFunction] = &[set("string_to_table", &[TEXT, TEXT], TEXT, |call| {
    Ok(split(call.text(0), Some(call.text(1))).into_iter().map(Datum::from).collect())
})];

fn length(call: &Call<'_>) -> Result<Datum> {
    Ok(Datum::Int(call.text(0).chars().count() as i64))
}

/// Arguments from `first` on that are not NULL, as text.
fn shown(call: &Call<'_>, first: usize) -> Vec<String> {
    (first..call.values.len()).filter_map(|index| call.shown(index)).collect()
}

fn concat_ws(call: &Call<'_>) -> Result<Datum> {
    Ok(if call.values[0].is_null() { Datum::Null } else { Datum::from(shown(call, 1).join(call.text(0))) })
}

fn initcap(text: &str) -> String {
    let mut inside = false;
    let cased = |c: char| {
        let cased: String = if inside { c.to_lowercase().collect() } else { c.to_uppercase().collect() };
        inside = c.is_alphanumeric();
        cased
    };
    text.chars().map(cased).collect()
}

/// `length` characters from position `from`, counted from 1; positions before the text count too.
fn substring(text: &str, from: i64, length: i64) -> String {
    let end = from.saturating_add(length);
    let start = from.max(1);
    let take = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
    text.chars().skip(usize::try_from(start - 1).unwrap_or(0)).take(take).collect()
}

fn substring_for(call: &Call<'_>) -> Result<Datum> {
    if call.int(2) < 0 {
        return Err(CatalogError::new("22011", "negative substring length not allowed"));
    }
    Ok(Datum::from(substring(call.text(0), call.int(1), call.int(2))))
}

/// `substring(text FROM pattern)`: the first group, else the whole match.
fn substring_like(call: &Call<'_>) -> Result<Datum> {
    let regex = call.runtime.regex(call.text(1), false)?;
    let found = regex.captures(call.text(0)).and_then(|c| if c.len() > 1 { c.get(1) } else { c.get(0) });
    Ok(found.map_or(Datum::Null, |found| Datum::from(found.as_str())))
}

/// The first characters; a negative count leaves that many out at the end.
fn left(text: &str, count: i64) -> String {
    let length = text.chars().count() as i64;
    let keep = if count < 0 { length.saturating_add(count) } else { count };
    text.chars().take(usize::try_from(keep).unwrap_or(0)).collect()
}

fn right(text: &str, count: i64) -> String {
    let length = text.chars().count() as i64;
    let skip = if count < 0 { count.saturating_neg() } else { length.saturating_sub(count) };
    text.chars().skip(usize::try_from(skip).unwrap_or(0)).collect()
}

fn replace(call: &Call<'_>) -> Result<Datum> {
    let (text, from, to) = (call.text(0), call.text(1), call.text(2));
    if from.is_empty() {
        return Ok(Datum::from(text));
    }
    within(text.matches(from).count().saturating_mul(to.len()))?;
    Ok(Datum::from(text.replace(from, to)))
}

fn repeat(call: &Call<'_>) -> Result<Datum> {
    let times = usize::try_from(call.int(1)).unwrap_or(0);
    within(call.text(0).len().saturating_mul(times))?;
    Ok(Datum::from(call.text(0).repeat(times)))
}

fn within(bytes: usize) -> Result<()> {
    if bytes > TEXT_BYTES_MAX { Err(CatalogError::too_much("a string")) } else { Ok(()) }
}

fn strpos(call: &Call<'_>) -> Result<Datum> {
    let (text, part) = (call.text(0), call.text(1));
    Ok(Datum::Int(text.find(part).map_or(0, |at| text[..at].chars().count() as i64 + 1)))
}

fn split_part(call: &Call<'_>) -> Result<Datum> {
    let parts = split(call.text(0), Some(call.text(1)));
    let number = call.int(2);
    let index = match number {
        0 => return Err(CatalogError::new("22023", "field position must not be zero")),
        1.. => usize::try_from(number - 1).ok(),
        _ => usize::try_from(parts.len() as i64 + number).ok(),
    };
    Ok(Datum::from(index.and_then(|i| parts.get(i)).map_or("", String::as_str)))
}

/// No separator: every character alone. An empty one: the text as it is.
fn split(text: &str, separator: Option<&str>) -> Vec<String> {
    match separator {
        _ if text.is_empty() => Vec::new(),
        None => text.chars().map(String::from).collect(),
        Some("") => vec![text.to_owned()],
        Some(separator) => text.split(separator).map(str::to_owned).collect(),
    }
}

fn string_to_array(call: &Call<'_>) -> Result<Datum> {
    if call.values[0].is_null() {
        return Ok(Datum::Null);
    }
    let separator = call.values[1].as_str();
    let null = call.values.get(2).and_then(Datum::as_str);
    let item = |text: String| if Some(text.as_str()) == null { Datum::Null } else { Datum::from(text) };
    Ok(Datum::array(TEXT, split(call.text(0), separator).into_iter().map(item).collect()))
}

fn array_to_string(call: &Call<'_>) -> Result<Datum> {
    let Datum::Array(array) = &call.values[0] else { return Ok(Datum::Null) };
    let null = call.values.get(2).and_then(Datum::as_str).map(str::to_owned);
    let items: Vec<String> =
        array.items.iter().filter_map(|item| item.text(array.element).or_else(|| null.clone())).collect();
    Ok(Datum::from(items.join(call.text(1))))
}

/// `%s`, `%I`, `%L` and `%%`, with an optional position.
fn format(call: &Call<'_>) -> Result<Datum> {
    if call.values[0].is_null() {
        return Ok(Datum::Null);
    }
    let mut out = String::new();
    let mut next = 1;
    let mut chars = call.text(0).chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut digits = String::new();
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        let index = match (digits.parse::<usize>(), chars.next_if_eq(&'$')) {
            (Ok(position), Some(_)) => position,
            _ => next,
        };
        next = index + 1;
        if index == 0 || index >= call.values.len() {
            return Err(CatalogError::new("22023", "too few arguments for format()"));
        }
        let value = call.shown(index);
        match (chars.next(), value) {
            (Some('s'), value) => out.push_str(&value.unwrap_or_default()),
            (Some('I'), Some(value)) => out.push_str(&quote_ident(&value)),
            (Some('I'), None) => {
                return Err(CatalogError::new("22004", "null values cannot be formatted as an SQL identifier"));
            }
            (Some('L'), value) => out.push_str(&value.map_or_else(|| "NULL".to_owned(), |v| quote_literal(&v))),
            (other, _) => {
                let other = other.map_or_else(String::new, |c| c.to_string());
                return Err(CatalogError::new("22023", format!("unrecognized format() type specifier \"{other}\"")));
            }
        }
    }
    Ok(Datum::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_by_characters() {
        assert_eq!(substring("héllo", 2, 3), "éll");
        assert_eq!(substring("hello", -1, 4), "he");
        assert_eq!(left("hello", -2), "hel");
        assert_eq!(right("hello", 2), "lo");
    }
}
