//! Cases, round trips, and the real parser against the naive one.

use std::borrow::Cow;
use std::fmt::Write;

use expect_test::{Expect, expect};
use plimsoll_engine::{Point, Value};
use proptest::prelude::*;

use super::{BatchLimits, Parsed, Precision, Reader, naive, parse, print};

const NOW_NS: i64 = 77;

fn check(body: &str, expected: &Expect) {
    expected.assert_eq(&describe(&parse(body.as_bytes(), NOW_NS, Precision::Nanosecond)));
}

fn describe(parsed: &Parsed<'_>) -> String {
    let mut out = String::new();
    for (point, line) in parsed.points.iter().zip(&parsed.lines) {
        write!(out, "{line}: {:?}", point.table).unwrap();
        for (name, value) in &point.tags {
            write!(out, ", {name:?} = {value:?}").unwrap();
        }
        for (name, value) in &point.fields {
            write!(out, " | {name:?} = {value:?}").unwrap();
        }
        writeln!(out, " @ {}", point.time_ns).unwrap();
    }
    for error in &parsed.errors {
        writeln!(out, "{}:{}: {:?}: {}", error.line, error.column, error.text, error.reason).unwrap();
    }
    out
}

#[test]
fn a_point_with_everything() {
    check(
        r#"weather,city=Oslo,site=roof\ 2 celsius=-3.5,readings=12i,note="snow, \"a lot\"",up=t,left=7u 1700000000000000000"#,
        &expect![[r#"
            1: "weather", "city" = "Oslo", "site" = "roof 2" | "celsius" = Float(-3.5) | "readings" = Integer(12) | "note" = Text("snow, \"a lot\"") | "up" = Boolean(true) | "left" = Unsigned(7) @ 1700000000000000000
        "#]],
    );
}

#[test]
fn no_tags_and_no_timestamp() {
    check(
        "m f=1",
        &expect![[r#"
        1: "m" | "f" = Float(1.0) @ 77
    "#]],
    );
}

#[test]
fn escapes() {
    check(
        r#"a\,b\ c\=d,t\,\ \=k=v\,\ \=w f\,\ \=n="\"\\\n\,""#,
        &expect![[r#"
        1: "a,b c\\=d", "t, =k" = "v, =w" | "f, =n" = Text("\"\\\\n\\,") @ 77
    "#]],
    );
    // A backslash that escapes nothing stands for itself, and so does each but the last of several.
    check(
        r"C:\dir\file,path=C:\\Win\\ dows,q=\x f\g=1",
        &expect![[r#"
        1: "C:\\dir\\file", "path" = "C:\\\\Win\\ dows", "q" = "\\x" | "f\\g" = Float(1.0) @ 77
    "#]],
    );
    // Two characters that Telegraf sends for a line end.
    check(
        r"m,t=a\nb\tc\rd\fe f=1",
        &expect![[r#"
        1: "m", "t" = "a\\nb\\tc\\rd\\fe" | "f" = Float(1.0) @ 77
    "#]],
    );
}

#[test]
fn quotes_are_ordinary_outside_values() {
    check(
        r#""m",t="a" "f"=1"#,
        &expect![[r#"
        1: "\"m\"", "t" = "\"a\"" | "\"f\"" = Float(1.0) @ 77
    "#]],
    );
}

#[test]
fn strings_hold_line_ends() {
    check(
        "m f=\"one\ntwo\r\n# three\n\n\",g=2 5\nn f=1 6\nm f=x",
        &expect![[r#"
        1: "m" | "f" = Text("one\ntwo\r\n# three\n\n") | "g" = Float(2.0) @ 5
        6: "n" | "f" = Float(1.0) @ 6
        7:5: "m f=x": invalid boolean
    "#]],
    );
}

#[test]
fn blank_lines_comments_and_spaces() {
    check(
        "\n# comment\n\r\n  \t\n   m   f=1   5   \r\n  # more\r\nm f=2\t\n",
        &expect![[r#"
        5: "m" | "f" = Float(1.0) @ 5
        7:5: "m f=2\t": invalid number
    "#]],
    );
    check(
        "m f=1,g=t,h=\"x\"\r\nm f=2 5\r\n\r\n",
        &expect![[r#"
        1: "m" | "f" = Float(1.0) | "g" = Boolean(true) | "h" = Text("x") @ 77
        2: "m" | "f" = Float(2.0) @ 5
    "#]],
    );
}

#[test]
fn nothing() {
    check("", &expect![""]);
    check("\n\n# only a comment", &expect![""]);
}

#[test]
fn numbers() {
    let values = "1 1.0 1e5 1E+5 1e-5 -.5 5. 0 -0 -0.0 0000000000000000000000001i 9223372036854775807i -9223372036854775808i 18446744073709551615u 1e-400";
    let body: String = values.split(' ').map(|value| format!("m f={value}\n")).collect();
    check(
        &body,
        &expect![[r#"
        1: "m" | "f" = Float(1.0) @ 77
        2: "m" | "f" = Float(1.0) @ 77
        3: "m" | "f" = Float(100000.0) @ 77
        4: "m" | "f" = Float(100000.0) @ 77
        5: "m" | "f" = Float(1e-5) @ 77
        6: "m" | "f" = Float(-0.5) @ 77
        7: "m" | "f" = Float(5.0) @ 77
        8: "m" | "f" = Float(0.0) @ 77
        9: "m" | "f" = Float(-0.0) @ 77
        10: "m" | "f" = Float(-0.0) @ 77
        11: "m" | "f" = Integer(1) @ 77
        12: "m" | "f" = Integer(9223372036854775807) @ 77
        13: "m" | "f" = Integer(-9223372036854775808) @ 77
        14: "m" | "f" = Unsigned(18446744073709551615) @ 77
        15: "m" | "f" = Float(0.0) @ 77
    "#]],
    );
}

#[test]
fn booleans() {
    let body: String = "t T true True TRUE f F false False FALSE".split(' ').map(|v| format!("m f={v}\n")).collect();
    check(
        &body,
        &expect![[r#"
        1: "m" | "f" = Boolean(true) @ 77
        2: "m" | "f" = Boolean(true) @ 77
        3: "m" | "f" = Boolean(true) @ 77
        4: "m" | "f" = Boolean(true) @ 77
        5: "m" | "f" = Boolean(true) @ 77
        6: "m" | "f" = Boolean(false) @ 77
        7: "m" | "f" = Boolean(false) @ 77
        8: "m" | "f" = Boolean(false) @ 77
        9: "m" | "f" = Boolean(false) @ 77
        10: "m" | "f" = Boolean(false) @ 77
    "#]],
    );
}

#[test]
fn refused_values() {
    let values = "NaN nan Inf -inf -Infinity +1 1_0 0x1 - . -. 1e e1 1.5i i u -1u 1i5 9223372036854775808i -9223372036854775809i 18446744073709551616u 1e400 --1 1-1 tru TrUe yes 'a' é";
    let body: String = values.split(' ').map(|value| format!("m f={value}\n")).collect();
    check(
        &body,
        &expect![[r#"
        1:5: "m f=NaN": invalid number
        2:5: "m f=nan": invalid number
        3:5: "m f=Inf": invalid number
        4:5: "m f=-inf": invalid number
        5:5: "m f=-Infinity": invalid number
        6:5: "m f=+1": invalid number
        7:5: "m f=1_0": invalid number
        8:5: "m f=0x1": invalid number
        9:5: "m f=-": invalid number
        10:5: "m f=.": invalid number
        11:5: "m f=-.": invalid number
        12:5: "m f=1e": invalid number
        13:5: "m f=e1": invalid boolean
        14:5: "m f=1.5i": invalid number
        15:5: "m f=i": invalid number
        16:5: "m f=u": invalid boolean
        17:5: "m f=-1u": invalid number
        18:5: "m f=1i5": invalid number
        19:5: "m f=9223372036854775808i": unable to parse integer 9223372036854775808: value out of range
        20:5: "m f=-9223372036854775809i": unable to parse integer -9223372036854775809: value out of range
        21:5: "m f=18446744073709551616u": unable to parse integer 18446744073709551616: value out of range
        22:5: "m f=1e400": invalid float: 1e400: value out of range
        23:5: "m f=--1": invalid number
        24:5: "m f=1-1": invalid number
        25:5: "m f=tru": invalid boolean
        26:5: "m f=TrUe": invalid boolean
        27:5: "m f=yes": invalid boolean
        28:5: "m f='a'": invalid boolean
        29:5: "m f=é": invalid boolean
    "#]],
    );
}

#[test]
fn refused_lines() {
    let lines = [
        "m",
        "m ",
        "m,t=a",
        "m,t=a ",
        "m f",
        "m f g=1",
        "m f=",
        "m f=,g=1",
        "m =1",
        "m f=1,",
        "m f=1,,g=1",
        "m f=1, g=1",
        ",t=a f=1",
        "m,t f=1",
        "m,t= f=1",
        "m,=a f=1",
        "m, f=1",
        "m,t=a,, f=1",
        "m,t=a=b f=1",
        "m,t=a,s=b,t=c f=1",
        "m f=1,g=2,f=3",
        "m\tf=1",
        "m f=1\t5x",
    ];
    check(
        &lines.join("\n"),
        &expect![[r#"
        1:2: "m": missing fields
        2:3: "m ": missing fields
        3:6: "m,t=a": missing fields
        4:7: "m,t=a ": missing fields
        5:4: "m f": invalid field format
        6:4: "m f g=1": invalid field format
        7:5: "m f=": missing field value
        8:5: "m f=,g=1": missing field value
        9:3: "m =1": missing field key
        10:7: "m f=1,": invalid field format
        11:7: "m f=1,,g=1": invalid field format
        12:7: "m f=1, g=1": invalid field format
        13:1: ",t=a f=1": missing measurement
        14:4: "m,t f=1": missing tag value
        15:5: "m,t= f=1": missing tag value
        16:3: "m,=a f=1": missing tag key
        17:3: "m, f=1": missing tag key
        18:7: "m,t=a,, f=1": missing tag key
        19:6: "m,t=a=b f=1": invalid tag format
        20:11: "m,t=a,s=b,t=c f=1": duplicate tags: "t" is given twice
        21:11: "m f=1,g=2,f=3": duplicate fields: "f" is given twice
        22:6: "m\tf=1": missing fields
        23:5: "m f=1\t5x": invalid number
    "#]],
    );
}

#[test]
fn refused_timestamps() {
    let times = "x 1.5 5i +5 - -- 99999999999999999999 9223372036854775808 -9223372036854775809 1e9";
    let mut body: String = times.split(' ').map(|time| format!("m f=1 {time}\n")).collect();
    body.push_str("m f=1 5 6\nm f=1 5 # no comment\nm f=1 9223372036854775807\nm f=1 -9223372036854775808");
    check(
        &body,
        &expect![[r#"
        13: "m" | "f" = Float(1.0) @ 9223372036854775807
        14: "m" | "f" = Float(1.0) @ -9223372036854775808
        1:7: "m f=1 x": bad timestamp
        2:7: "m f=1 1.5": bad timestamp
        3:7: "m f=1 5i": bad timestamp
        4:7: "m f=1 +5": bad timestamp
        5:7: "m f=1 -": bad timestamp
        6:7: "m f=1 --": bad timestamp
        7:7: "m f=1 99999999999999999999": bad timestamp: 99999999999999999999: time outside range -9223372036854775808 - 9223372036854775807 ns
        8:7: "m f=1 9223372036854775808": bad timestamp: 9223372036854775808: time outside range -9223372036854775808 - 9223372036854775807 ns
        9:7: "m f=1 -9223372036854775809": bad timestamp: -9223372036854775809: time outside range -9223372036854775808 - 9223372036854775807 ns
        10:7: "m f=1 1e9": bad timestamp
        11:9: "m f=1 5 6": point is invalid: text after its timestamp
        12:9: "m f=1 5 # no comment": point is invalid: text after its timestamp
    "#]],
    );
}

#[test]
fn good_lines_around_bad_ones() {
    check(
        "m f=1 1\nbad line\nm f=2 2\n\n# c\nm f=3 x\nm f=4 4\nbad",
        &expect![[r#"
        1: "m" | "f" = Float(1.0) @ 1
        3: "m" | "f" = Float(2.0) @ 2
        7: "m" | "f" = Float(4.0) @ 4
        2:9: "bad line": invalid field format
        6:7: "m f=3 x": bad timestamp
        8:4: "bad": missing fields
    "#]],
    );
}

#[test]
fn an_open_quote_spoils_its_own_line_only() {
    check(
        "m f=1 1\nm f=\"open\nm f=2 2\nm f=3 3",
        &expect![[r#"
        1: "m" | "f" = Float(1.0) @ 1
        3: "m" | "f" = Float(2.0) @ 2
        4: "m" | "f" = Float(3.0) @ 3
        2:5: "m f=\"open": unbalanced quotes
    "#]],
    );
    check(
        "m f=1 1\nm f=\"open\nm f=2 2\nm g=\"closed\" 3\nm f=4 4",
        &expect![[r#"
        1: "m" | "f" = Float(1.0) @ 1
        3: "m" | "f" = Float(2.0) @ 2
        4: "m" | "g" = Text("closed") @ 3
        5: "m" | "f" = Float(4.0) @ 4
        2:5: "m f=\"open": unbalanced quotes
    "#]],
    );
    check(
        "m f=1 1\nm f=x,g=\"open\nm f=2 2\nm f=\"a\"b 3\nm f=\"c\" 4",
        &expect![[r#"
        1: "m" | "f" = Float(1.0) @ 1
        3: "m" | "f" = Float(2.0) @ 2
        5: "m" | "f" = Text("c") @ 4
        2:5: "m f=x,g=\"open": invalid boolean
        4:8: "m f=\"a\"b 3": invalid field format
    "#]],
    );
}

#[test]
fn text_in_a_string_is_never_a_point() {
    check(
        "m f=1x,g=\"\ncpu h=1\n\" 1\nm,= g=\"\ncpu h=1\n\" 1\nm g=\"\ncpu h=1\n\" x\nm f=2",
        &expect![[r#"
        10: "m" | "f" = Float(2.0) @ 77
        1:5: "m f=1x,g=\"\ncpu h=1\n\" 1": invalid number
        4:3: "m,= g=\"\ncpu h=1\n\" 1": missing tag key
        7:17: "m g=\"\ncpu h=1\n\" x": bad timestamp
    "#]],
    );
}

#[test]
fn text_that_is_not_utf8() {
    let body = b"m f=1 1\nm,t=\xff f=1 1\n\xc3\x28 f=1\nm f=\"\xe2\x82\ncpu f=1\n\",g=1\nm \xf0\x9f=1\nm f=\xff\nm,t=\xc3\xa9 f=2 2";
    expect![[r#"
        1: "m" | "f" = Float(1.0) @ 1
        9: "m", "t" = "é" | "f" = Float(2.0) @ 2
        2:5: "m,t=� f=1 1": invalid UTF-8
        3:1: "�( f=1": invalid UTF-8
        4:6: "m f=\"�\ncpu f=1\n\",g=1": invalid UTF-8
        7:3: "m �=1": invalid UTF-8
        8:5: "m f=�": invalid boolean
    "#]]
    .assert_eq(&describe(&parse(body, NOW_NS, Precision::Nanosecond)));
}

#[test]
fn precisions() {
    let words = ["ns", "n", "us", "u", "µ", "ms", "s", "m", "h"];
    let units = words.map(|word| word.parse::<Precision>().unwrap().unit_ns(1));
    expect!["[1, 1, 1000, 1000, 1000, 1000000, 1000000000, 60000000000, 3600000000000]"]
        .assert_eq(&format!("{units:?}"));
    assert_eq!("".parse::<Precision>().unwrap_err().to_string(), "invalid precision \"\"");

    let times = |body: &'static str, precision| {
        let parsed = parse(body.as_bytes(), NOW_NS, precision);
        (parsed.points.iter().map(|point| point.time_ns).collect::<Vec<_>>(), parsed.errors.len())
    };
    assert_eq!(times("m f=1 -3\nm f=1", Precision::Hour), (vec![-3 * 3_600_000_000_000, NOW_NS], 0));
    assert_eq!(times("m f=1 9223372036", Precision::Second), (vec![9_223_372_036_000_000_000], 0));
    let guessed =
        "m f=1 4999999999\nm f=1 -5000000000\nm f=1 5000000000000\nm f=1 5000000000000000\nm f=1 -9223372036854775808";
    let ns =
        vec![4_999_999_999_000_000_000, -5_000_000_000_000_000, 5_000_000_000_000_000, 5_000_000_000_000_000, i64::MIN];
    assert_eq!(times(guessed, Precision::Auto), (ns, 0));
    assert_eq!(times("m f=1 9223372037\nm f=1 -9223372037", Precision::Second), (vec![], 2));
    assert_eq!(times("m f=1 9223372036854775807", Precision::Minute), (vec![], 1));
}

#[test]
fn long_lines_are_cut_in_errors() {
    let body = format!("{}é\nm f=1", "x".repeat(1_000));
    let parsed = parse(body.as_bytes(), NOW_NS, Precision::Nanosecond);
    assert_eq!(parsed.errors[0].text, format!("{}...", "x".repeat(160)));
    assert_eq!((parsed.errors[0].column, parsed.lines.as_slice()), (1_002, [2].as_slice()));
}

#[test]
fn wide_points_have_a_limit_and_no_repetition() {
    let fields = |count: usize| (0..count).map(|n| format!("f{n}=1")).collect::<Vec<_>>().join(",");
    let body = format!("m {}\nm {}\nm {},f40=2", fields(10_000), fields(10_001), fields(100));
    let parsed = parse(body.as_bytes(), NOW_NS, Precision::Nanosecond);
    assert_eq!(parsed.lines, [1]);
    let reasons: Vec<_> = parsed.errors.iter().map(|e| (e.line, e.reason.as_str())).collect();
    assert_eq!(
        reasons,
        [(2, "too many tags and fields, limit 10000"), (3, "duplicate fields: \"f40\" is given twice"),]
    );
}

#[test]
fn batches_add_up() {
    let body = "m f=1 1\nbad\nm f=\"a\nb\" 2\n# c\nm f=3 3\nbad\n\nm f=4 4\n\n";
    let whole = describe(&parse(body.as_bytes(), NOW_NS, Precision::Nanosecond));
    for (lines_max, bytes_max) in [(1, usize::MAX), (2, usize::MAX), (usize::MAX, 1), (usize::MAX, 12)] {
        let mut reader = Reader::new(body.as_bytes(), NOW_NS, Precision::Nanosecond);
        let mut all = Parsed::default();
        while let Some(mut batch) = reader.next_batch(BatchLimits { lines_max, bytes_max }) {
            assert!(batch.points.len() + batch.errors.len() <= lines_max);
            all.points.append(&mut batch.points);
            all.lines.append(&mut batch.lines);
            all.errors.append(&mut batch.errors);
        }
        assert_eq!(describe(&all), whole);
    }
}

/// Looking ahead for closing quotes must not make work grow with the square of the body.
#[test]
fn open_quotes_cost_little() {
    // Each line's quote is closed by the next line's, in the middle of it; outside strings the backslash is ordinary.
    let hostile = ["m f=\"a\n", "m x\\=\"\\\",f=\"\n", "m f=\"\\\n", "a b=\",c=\"d\n", "a\\ \" b=\"\\\",c=\"\n"];
    for line in hostile {
        let body = line.repeat((1 << 20) / line.len());
        let parsed = parse(body.as_bytes(), NOW_NS, Precision::Nanosecond);
        assert!(parsed.points.len() + parsed.errors.len() > 0);
    }
}

#[test]
fn points_borrow_from_the_body() {
    let parsed = parse(b"m,t=a\\x f=\"text\",g=1", NOW_NS, Precision::Nanosecond);
    let point = &parsed.points[0];
    assert!(matches!(point.table, Cow::Borrowed(_)) && matches!(point.tags[0], (Cow::Borrowed(_), Cow::Borrowed(_))));
    assert!(matches!(point.fields[0], (Cow::Borrowed(_), Value::Text(Cow::Borrowed(_)))));
}

fn any_name() -> impl Strategy<Value = String> {
    "[a-c,= \"\\\\é#\r]{0,6}[a-z]".prop_map(|name| name.trim_start_matches(['#', '\r']).to_owned())
}

fn any_value() -> impl Strategy<Value = Value<'static>> {
    let finite = any::<f64>().prop_filter("finite", |v| v.is_finite());
    prop_oneof![
        finite.prop_map(Value::Float),
        any::<i64>().prop_map(Value::Integer),
        any::<u64>().prop_map(Value::Unsigned),
        any::<bool>().prop_map(Value::Boolean),
        "[a-z,= \"\\\\é\n\r#]{0,12}".prop_map(|text| Value::Text(Cow::Owned(text))),
    ]
}

fn any_point() -> impl Strategy<Value = Point<'static>> {
    let tags = prop::collection::btree_map(any_name(), any_name(), 0..4);
    let fields = prop::collection::btree_map(any_name(), any_value(), 1..5);
    (any_name(), tags, fields, any::<i64>()).prop_map(|(table, tags, fields, time_ns)| Point {
        table: table.into(),
        tags: tags.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        fields: fields.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        time_ns,
    })
}

/// Bodies of the bytes that matter, so that most of them come close to being points.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(b"mtf,= \"\\\n\r\t#15-.eiu\xc3\xa9\xff".to_vec()).prop_map(|byte| vec![byte]),
        4 => prop::sample::select(vec!["m,t=a f=1", "m f=\"", "\",g=\"", ",f=1i", " f=t", "=\"", "\"\n", "\n", "\r\n", " 12", "m ", "é"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_printed_parses_back(points in prop::collection::vec(any_point(), 1..4)) {
        let mut body = String::new();
        for point in &points {
            print(point, &mut body);
        }
        let parsed = parse(body.as_bytes(), NOW_NS, Precision::Nanosecond);
        prop_assert_eq!(&parsed.errors, &[]);
        prop_assert_eq!(parsed.points, points);
    }

    #[test]
    fn fast_is_plain(body in any_body()) {
        let fast = parse(&body, NOW_NS, Precision::Millisecond);
        let plain = naive::parse(&body, NOW_NS, Precision::Millisecond);
        prop_assert_eq!(describe(&fast), describe(&plain));
    }

    #[test]
    fn any_bytes_are_fine(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let fast = parse(&body, NOW_NS, Precision::Hour);
        prop_assert!(fast.points.iter().all(|point| !point.fields.is_empty()));
        prop_assert_eq!(describe(&fast), describe(&naive::parse(&body, NOW_NS, Precision::Hour)));
    }
}
