//! The record of a DELETE. It says what was deleted by names: series by the tests that chose them, or points by their tags
//! and times. Which points a test of field values chose is found once, before the record is written, so replaying it does not
//! depend on values.

use super::{KIND_DELETE, Record};
use crate::bytes::{Cursor, Short, put_text, put_varint, put_zigzag};
use crate::model::TimeRange;
use crate::scan::{TagMatcher, TagTest};
use crate::tombstone::file::{put_times, take_times};
use crate::wal::columns::{put_packed, take_packed};

const ROWS_OF_SERIES: u8 = 0;
const ROWS_POINTS: u8 = 1;

/// What a DELETE deleted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LoggedDelete {
    /// All rows of a time range whose series pass all tests.
    OfSeries { time: TimeRange, tags: Vec<TagMatcher> },
    /// Points by series: names and values of the tags, and ascending times.
    Points(Vec<LoggedPoints>),
}

/// Points of one series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LoggedPoints {
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) times: Vec<i64>,
}

/// The payload of a record.
pub(crate) fn encode(table: &str, deleted: &LoggedDelete) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, table);
    match deleted {
        LoggedDelete::OfSeries { time, tags } => {
            body.push(ROWS_OF_SERIES);
            put_zigzag(&mut body, time.min_ns);
            put_zigzag(&mut body, time.max_ns);
            put_varint(&mut body, tags.len() as u64);
            for matcher in tags {
                put_text(&mut body, &matcher.tag);
                put_test(&mut body, &matcher.test);
            }
        }
        LoggedDelete::Points(series) => {
            body.push(ROWS_POINTS);
            put_varint(&mut body, series.len() as u64);
            for points in series {
                put_varint(&mut body, points.tags.len() as u64);
                for (tag, value) in &points.tags {
                    put_text(&mut body, tag);
                    put_text(&mut body, value);
                }
                put_times(&mut body, &points.times);
            }
        }
    }
    let mut out = vec![KIND_DELETE];
    put_packed(&mut out, &body);
    out
}

fn put_test(body: &mut Vec<u8>, test: &TagTest) {
    let (byte, texts): (u8, &[String]) = match test {
        TagTest::Equals(value) => (0, std::slice::from_ref(value)),
        TagTest::NotEquals(value) => (1, std::slice::from_ref(value)),
        TagTest::In(values) => (2, values),
        TagTest::NotIn(values) => (3, values),
        TagTest::Prefix(prefix) => (4, std::slice::from_ref(prefix)),
        TagTest::Regex(pattern) => (5, std::slice::from_ref(pattern)),
        TagTest::IsNull => (6, &[]),
        TagTest::IsNotNull => (7, &[]),
    };
    body.push(byte);
    put_varint(body, texts.len() as u64);
    for text in texts {
        put_text(body, text);
    }
}

fn take_test(cursor: &mut Cursor<'_>) -> Result<TagTest, Short> {
    let byte = cursor.u8()?;
    let count = cursor.count(1)?;
    let texts = (0..count).map(|_| cursor.text().map(str::to_owned)).collect::<Result<Vec<_>, _>>()?;
    let one = || if let [text] = texts.as_slice() { Ok(text.clone()) } else { Err(Short) };
    let none = |test| if texts.is_empty() { Ok(test) } else { Err(Short) };
    match byte {
        0 => one().map(TagTest::Equals),
        1 => one().map(TagTest::NotEquals),
        2 => Ok(TagTest::In(texts)),
        3 => Ok(TagTest::NotIn(texts)),
        4 => one().map(TagTest::Prefix),
        5 => one().map(TagTest::Regex),
        6 => none(TagTest::IsNull),
        7 => none(TagTest::IsNotNull),
        _ => Err(Short),
    }
}

/// Reads what follows the kind, and all of it.
pub(super) fn take(cursor: &mut Cursor<'_>) -> Result<Record, Short> {
    let body = take_packed(cursor)?;
    let cursor = &mut Cursor::new(&body);
    let table = cursor.text()?.to_owned();
    let deleted = match cursor.u8()? {
        ROWS_OF_SERIES => take_series(cursor)?,
        ROWS_POINTS => {
            let count = cursor.count(2)?;
            LoggedDelete::Points((0..count).map(|_| take_points(cursor)).collect::<Result<_, _>>()?)
        }
        _ => return Err(Short),
    };
    if cursor.remaining() == 0 { Ok(Record::Delete { table, deleted }) } else { Err(Short) }
}

fn take_series(cursor: &mut Cursor<'_>) -> Result<LoggedDelete, Short> {
    let time = TimeRange { min_ns: cursor.zigzag()?, max_ns: cursor.zigzag()? };
    let count = cursor.count(3)?;
    let mut tags = Vec::with_capacity(count);
    for _ in 0..count {
        tags.push(TagMatcher { tag: cursor.text()?.to_owned(), test: take_test(cursor)? });
    }
    Ok(LoggedDelete::OfSeries { time, tags })
}

fn take_points(cursor: &mut Cursor<'_>) -> Result<LoggedPoints, Short> {
    let count = cursor.count(2)?;
    let mut tags = Vec::with_capacity(count);
    for _ in 0..count {
        tags.push((cursor.text()?.to_owned(), cursor.text()?.to_owned()));
    }
    Ok(LoggedPoints { tags, times: take_times(cursor)? })
}

#[cfg(test)]
mod tests {
    use super::super::decode;
    use super::*;

    fn comes_back(deleted: &LoggedDelete) {
        let expected = Record::Delete { table: "cpu".to_owned(), deleted: deleted.clone() };
        assert_eq!(decode(&encode("cpu", deleted)), Ok(expected));
    }

    #[test]
    fn deletes_come_back() {
        let texts = || vec!["a".to_owned(), String::new(), "ü".to_owned()];
        let tests = [
            TagTest::Equals("a".to_owned()),
            TagTest::NotEquals("b".to_owned()),
            TagTest::In(texts()),
            TagTest::NotIn(Vec::new()),
            TagTest::Prefix("p".to_owned()),
            TagTest::Regex("^a|b$".to_owned()),
            TagTest::IsNull,
            TagTest::IsNotNull,
        ];
        let tags = tests.map(|test| TagMatcher { tag: "host".to_owned(), test }).to_vec();
        comes_back(&LoggedDelete::OfSeries { time: TimeRange::ALL, tags });
        comes_back(&LoggedDelete::OfSeries { time: TimeRange { min_ns: 5, max_ns: -5 }, tags: Vec::new() });
        let tags = vec![("host".to_owned(), "a".to_owned()), ("region".to_owned(), "eu".to_owned())];
        let points = LoggedPoints { tags, times: vec![i64::MIN, 0, 1, i64::MAX] };
        comes_back(&LoggedDelete::Points(vec![points, LoggedPoints { tags: Vec::new(), times: vec![7] }]));
    }
}
