//! The short way against the plain one: the same bytes give the same rows and the same answers, however much is remembered.

use std::path::Path;
use std::sync::Arc;

use plimsoll_engine::env::sim::SimFileSystem;
use plimsoll_engine::{Engine, Options, ScanRequest};
use proptest::prelude::*;

use super::super::line_protocol::naive;
use super::super::store::{Refused, Store};
use super::*;

const TIMES: Times = Times { default_ns: 77, precision: Precision::Millisecond };

fn engine() -> Engine {
    let options = Options { fs: Arc::new(SimFileSystem::new()), ..Options::default() };
    Engine::open(Path::new("/data"), options).unwrap()
}

/// Stores a body the plainest way: parsed by the naive parser, written point by point. Gives the answer.
fn store_plainly(engine: &Engine, body: &[u8]) -> Option<String> {
    let parsed = naive::parse(body, TIMES.default_ns, TIMES.precision);
    let mut refused = Refused::default();
    let mut errors = parsed.errors.iter().peekable();
    for (point, line) in parsed.points.iter().zip(&parsed.lines) {
        while let Some(error) = errors.next_if(|error| error.line < *line) {
            refused.malformed(error);
        }
        refused.point();
        let written = engine.write(std::slice::from_ref(point)).unwrap();
        written.rejected.iter().for_each(|rejected| refused.misfit(*line, &rejected.error));
    }
    errors.for_each(|error| refused.malformed(error));
    refused.message()
}

/// Everything that an engine holds, in words.
fn dump(engine: &Engine) -> String {
    let mut out = String::new();
    for schema in engine.tables() {
        let columns: Vec<String> = schema.columns.iter().map(|column| column.name.clone()).collect();
        out.push_str(&format!("{}: {:?}\n", schema.name, schema.columns));
        let request = ScanRequest::new(&*schema.name, columns);
        for part in engine.snapshot().scan(&request).unwrap() {
            for batch in part {
                out.push_str(&format!("{:?}\n", batch.unwrap()));
            }
        }
    }
    out
}

/// Bodies of the bytes that matter: lines of few series and fields, and what is close to them.
fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let tags = prop::sample::select(vec![
        "m",
        "m,t=a",
        "m,t=b",
        "m,t=a,s=c",
        "m,s=c,t=a",
        "m,t=a\\ b",
        "n,t=a",
        "m,t=\\",
        "m\\,x",
    ]);
    let name = prop::sample::select(vec!["f", "g", "h", "f\\=", "t", "é"]);
    let value = prop_oneof![
        6 => (-200i64..200).prop_map(|v| format!("{v}i")),
        2 => (-200i64..200).prop_map(|v| format!("{v}u")),
        2 => (-200i64..200).prop_map(|v| format!("{}", v as f64 / 8.0)),
        2 => prop::sample::select(vec!["t", "F", "\"x\"", "\"x\ny\"", "\"x", "-", "1e3", "0001i", "-0i", "1ii", "",
            "9223372036854775807i", "9223372036854775808i", "-9223372036854775808i", "123456789012345678i", "-", "i", "1i\t"])
            .prop_map(str::to_owned),
    ];
    let field = (name, value).prop_map(|(name, value)| format!("{name}={value}"));
    let fields = prop::collection::vec(field, 1..4).prop_map(|fields| fields.join(","));
    let time = prop_oneof![
        6 => (0i64..4).prop_map(|time| format!(" {time}")),
        1 => prop::sample::select(vec!["", " ", " x", " -5", " 1 2", "  3", " 3 ", "\t", " 99999999999999999999"]).prop_map(str::to_owned),
    ];
    let end = prop::sample::select(vec!["\n", "\n", "\n", "\n", "\r\n", "\n\n", "", "\n# c\n"]);
    let line = (tags, fields, time, end)
        .prop_map(|(tags, fields, time, end)| format!("{tags} {fields}{time}{end}").into_bytes());
    let piece = prop_oneof![
        8 => line,
        1 => prop::sample::select(b"m, =\"\\\n\r#1i\xff".to_vec()).prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn short_is_plain(bodies in prop::collection::vec(any_body(), 1..4)) {
        let (quick, plain) = (engine(), engine());
        let remembered = Remembered::default();
        // What the first round teaches, the second uses: the same points again change nothing.
        for body in bodies.iter().chain(&bodies) {
            let stored = Store { engine: &quick, remembered: &remembered, guard: None, writer: &Writer::ANYBODY, times: TIMES }.store(body);
            prop_assert!(stored.failure.is_none());
            prop_assert_eq!(stored.refused.message(), store_plainly(&plain, body));
        }
        prop_assert_eq!(dump(&quick), dump(&plain));
    }
}

/// What was remembered of a table that is gone, or was made anew with other types, is of no use.
#[test]
fn a_dropped_table_is_forgotten() {
    let engine = engine();
    let remembered = Remembered::default();
    let store = |body: &str| {
        let stored =
            Store { engine: &engine, remembered: &remembered, guard: None, writer: &Writer::ANYBODY, times: TIMES }
                .store(body.as_bytes());
        (stored.accepted, stored.refused.message())
    };
    assert_eq!(store("m,t=a f=1i 1\nm,t=a f=2i 2\n"), (2, None));
    engine.drop_table("m").unwrap();
    assert_eq!(store("m,t=b f=1.5 1\nm,t=a f=2.5 2\nm,t=a f=3i 3\n"), (3, None));
    let plain = super::tests::engine();
    store_plainly(&plain, b"m,t=x f=1i 0\n");
    plain.drop_table("m").unwrap();
    store_plainly(&plain, b"m,t=b f=1.5 1\nm,t=a f=2.5 2\nm,t=a f=3i 3\n");
    assert_eq!(dump(&engine), dump(&plain));
}

#[test]
fn most_lines_go_the_short_way() {
    let engine = engine();
    let remembered = Remembered::default();
    let body = b"m,t=a f=1i,g=1.5,h=t 1\nm,t=b f=-1i,g=2,h=f 1\nm,t=a f=2i,g=.5,h=true 2\nm,t=a g=7,f=3i\n";
    let anybody = Writer::ANYBODY;
    let mut lines = Lines::new(engine.begin_write().unwrap(), &remembered, None, &anybody, TIMES);
    let mut reader = Reader::new(body, 0, Precision::Nanosecond);
    let everything = BatchLimits { lines_max: usize::MAX, bytes_max: usize::MAX };
    assert!(lines.read(&mut reader, everything, &mut Refused::default()));
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        assert_eq!(lines.known_row(line), Some(line.len() - 1), "{}", String::from_utf8_lossy(line));
    }
    let (stored, watched) = lines.commit().unwrap();
    assert_eq!((stored, watched.len()), (8, 0));
}
