//! What was written is read, whatever is selected; what is damaged is found, wherever it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Float64Builder, Int64Builder, StringViewBuilder, UInt64Builder};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray, UInt64Array};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use roaring::RoaringBitmap;

use super::stats::{Edge, Scalar, Stats};
use super::writer::SegmentSummary;
use super::*;
use crate::env::sim::SimFileSystem;
use crate::env::{FileBytes, FileSystem};
use crate::model::{FieldType, SeriesId, TableId, TimeRange};
use crate::rows::Rows;
use crate::{Error, Result};

const FIELDS: [(u32, FieldType); 5] = [
    (1, FieldType::Float),
    (2, FieldType::Integer),
    (4, FieldType::Unsigned),
    (7, FieldType::Boolean),
    (9, FieldType::Text),
];

/// One row, plainly.
#[derive(Debug, Clone, PartialEq, Default)]
struct Row {
    series: u32,
    time: i64,
    float: Option<u64>,
    integer: Option<i64>,
    unsigned: Option<u64>,
    boolean: Option<bool>,
    text: Option<String>,
}

fn rows_of(rows: &[Row]) -> Rows {
    let mut float = Float64Builder::new();
    let mut integer = Int64Builder::new();
    let mut unsigned = UInt64Builder::new();
    let mut boolean = BooleanBuilder::new();
    let mut text = StringViewBuilder::new();
    let mut series: Vec<(SeriesId, usize)> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        float.append_option(row.float.map(f64::from_bits));
        integer.append_option(row.integer);
        unsigned.append_option(row.unsigned);
        boolean.append_option(row.boolean);
        text.append_option(row.text.as_ref());
        match series.last_mut().filter(|last| last.0.0 == row.series) {
            Some(last) => last.1 = at + 1,
            None => series.push((SeriesId(row.series), at + 1)),
        }
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(float.finish()),
        Arc::new(integer.finish()),
        Arc::new(unsigned.finish()),
        Arc::new(boolean.finish()),
        Arc::new(text.finish()),
    ];
    Rows { series, times: rows.iter().map(|r| r.time).collect(), columns }
}

fn plain(rows: &Rows) -> Vec<Row> {
    fn at<A: Array + 'static, T>(array: &ArrayRef, row: usize, value: impl Fn(&A, usize) -> T) -> Option<T> {
        let array = array.as_any().downcast_ref::<A>().unwrap();
        assert_eq!(array.is_null(row), array.to_data().is_null(row));
        (!array.is_null(row)).then(|| value(array, row))
    }
    let mut out = Vec::new();
    for nth in 0..rows.series.len() {
        for row in rows.range(nth) {
            out.push(Row {
                series: rows.series[nth].0.0,
                time: rows.times[row],
                float: at(&rows.columns[0], row, |a: &Float64Array, r| a.value(r).to_bits()),
                integer: at(&rows.columns[1], row, |a: &Int64Array, r| a.value(r)),
                unsigned: at(&rows.columns[2], row, |a: &UInt64Array, r| a.value(r)),
                boolean: at(&rows.columns[3], row, |a: &BooleanArray, r| a.value(r)),
                text: at(&rows.columns[4], row, |a: &StringViewArray, r| a.value(r).to_owned()),
            });
        }
    }
    assert_eq!(out.len(), rows.len());
    assert!(rows.columns.iter().all(|c| c.len() == rows.len()));
    out
}

/// A simulated disk with one segment.
struct Disk {
    fs: SimFileSystem,
    path: PathBuf,
}

impl Disk {
    fn new() -> Disk {
        Disk { fs: SimFileSystem::new(), path: PathBuf::from("/000001.seg") }
    }

    /// Writes rows in pieces of the given length.
    fn write(&self, rows: &[Row], piece: usize) -> SegmentSummary {
        let mut writer = SegmentWriter::create(&self.fs, &self.path, TableId(3), &FIELDS).unwrap();
        for piece in rows.chunks(piece.max(1)) {
            writer.append(&rows_of(piece)).unwrap();
        }
        writer.finish().unwrap()
    }

    fn open(&self) -> Segment {
        from_bytes(self.bytes()).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        self.fs.read(&self.path).unwrap().to_vec()
    }
}

const ALL: Selection<'_> = Selection { time: TimeRange::ALL, series: None };

fn read(segment: &Segment, select: &Selection<'_>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for chunk in 0..segment.chunks().len() {
        rows.extend(plain(&segment.read(chunk, &FIELDS, select)?));
    }
    Ok(rows)
}

fn from_bytes(bytes: Vec<u8>) -> Result<Segment> {
    Segment::from_bytes(Path::new("x.seg"), FileBytes::new(bytes))
}

/// `series` series of `points` points every ten seconds, with a bit of everything in the fields.
fn sample(series: u32, points: i64) -> Vec<Row> {
    let mut rows = Vec::new();
    for series in 0..series {
        for point in 0..points {
            let n = i64::from(series) * 31 + point * 7;
            rows.push(Row {
                series,
                time: 1_700_000_000_000_000_000 + point * 10_000_000_000,
                float: (n % 11 != 0).then(|| ((n % 1000) as f64 / 10.0).to_bits()),
                integer: Some(n * n),
                unsigned: (series % 2 == 0).then_some(u64::MAX - n as u64),
                boolean: Some(n % 3 == 0),
                text: (n % 5 != 0).then(|| format!("state {}", n % 4)),
            });
        }
    }
    rows
}

fn row() -> impl Strategy<Value = Row> {
    let integer = prop_oneof![any::<i64>(), -3_i64..3, Just(i64::MIN), Just(i64::MAX)];
    let float = prop_oneof![
        any::<u64>(),
        (-999_i32..999).prop_map(|v| (f64::from(v) / 10.0).to_bits()),
        Just((-0.0_f64).to_bits()),
        Just(f64::NAN.to_bits()),
        Just(f64::NEG_INFINITY.to_bits()),
    ];
    let text = prop_oneof!["[a-c]{0,2}", "[a-zé]{10,90}"];
    let unsigned = prop_oneof![any::<u64>(), 0_u64..3];
    (option::of(float), option::of(integer), option::of(unsigned), option::of(any::<bool>()), option::of(text))
        .prop_map(|(float, integer, unsigned, boolean, text)| Row {
            float,
            integer,
            unsigned,
            boolean,
            text,
            ..Row::default()
        })
}

/// Rows in order: some series, each with some times.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let time = prop_oneof![any::<i64>(), (-50_i64..50).prop_map(|t| t * 10), Just(i64::MIN), Just(i64::MAX)];
    let run = (prop_oneof![0_u32..6, any::<u32>()], vec((time, row()), 0..30));
    vec(run, 0..8).prop_map(|runs| {
        let mut rows: Vec<Row> = Vec::new();
        for (series, points) in runs {
            rows.extend(points.into_iter().map(|(time, row)| Row { series, time, ..row }));
        }
        rows.sort_by_key(|r| (r.series, r.time));
        rows.dedup_by_key(|r| (r.series, r.time));
        rows
    })
}

fn check_round_trip(rows: &[Row], piece: usize) -> Segment {
    let disk = Disk::new();
    let summary = disk.write(rows, piece);
    let segment = disk.open();
    assert_eq!(summary.rows, rows.len() as u64);
    assert_eq!(summary.bytes, disk.bytes().len() as u64);
    let published = Published { table: TableId(3), rows: summary.rows, time: summary.time, checksum: summary.checksum };
    assert!(Segment::open(&disk.fs, &disk.path, &published).is_ok());
    let verified = segment.verify();
    assert!(verified.is_empty(), "{verified:?}");
    assert!(read(&segment, &ALL).unwrap() == rows);
    segment
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_selection_equals_a_filter_of_the_rows(
        rows in rows(),
        piece in 1_usize..40,
        picks in vec((any::<i64>(), any::<i64>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6),
        series in vec(prop_oneof![0_u32..6, any::<u32>()], 0..6),
    ) {
        let segment = check_round_trip(&rows, piece);
        let series: RoaringBitmap = series.into_iter().chain(rows.first().map(|r| r.series)).collect();
        for (a, b, from, to) in picks {
            // Bounds that are in the data as well as any others.
            let bound = |index: prop::sample::Index, other: i64| match rows.is_empty() {
                true => other,
                false => rows[index.index(rows.len())].time,
            };
            for time in [(a, b), (bound(from, a), bound(to, b))] {
                let time = TimeRange { min_ns: time.0, max_ns: time.1 };
                for series in [None, Some(&series)] {
                    let wanted = |r: &&Row| time.contains(r.time) && series.is_none_or(|s| s.contains(r.series));
                    let expected: Vec<Row> = rows.iter().filter(wanted).cloned().collect();
                    prop_assert_eq!(read(&segment, &Selection { time, series }).unwrap(), expected);
                }
            }
        }
    }
}

#[test]
fn long_and_short_series_come_back() {
    for (series, points) in [(1, 1), (1, 1023), (1, 1024), (2, 1025), (3, 70_000), (500, 20), (40, 700), (3000, 1)] {
        let rows = sample(series, points);
        for piece in [usize::MAX, 777] {
            let segment = check_round_trip(&rows, piece.min(rows.len()));
            let middle = rows[rows.len() / 2].time;
            let time = TimeRange { min_ns: middle, max_ns: middle + 25_000_000_000 };
            let only: RoaringBitmap = [series / 2].into_iter().collect();
            let expected: Vec<Row> =
                rows.iter().filter(|r| r.series == series / 2 && time.contains(r.time)).cloned().collect();
            assert!(read(&segment, &Selection { time, series: Some(&only) }).unwrap() == expected);
        }
    }
}

#[test]
fn an_empty_segment_is_fine() {
    let segment = check_round_trip(&[], 1);
    assert!(segment.chunks().is_empty());
}

#[test]
fn fields_that_are_not_stored_are_null() {
    let disk = Disk::new();
    disk.write(&sample(2, 3), 4);
    let segment = disk.open();
    let columns = [(3, FieldType::Text), (2, FieldType::Integer), (2, FieldType::Integer), (70, FieldType::Boolean)];
    let rows = segment.read(0, &columns, &ALL).unwrap();
    let nulls: Vec<usize> = rows.columns.iter().map(Array::logical_null_count).collect();
    assert_eq!(nulls, [6, 0, 0, 6]);
    assert_eq!(rows.columns[3].data_type(), &FieldType::Boolean.arrow());
    let no_columns = segment.read(0, &[], &ALL).unwrap();
    assert_eq!((no_columns.len(), no_columns.columns.len()), (6, 0));
    let other_type = segment.read(0, &[(2, FieldType::Float)], &ALL).unwrap_err();
    assert!(other_type.to_string().contains("chunk 0, column 2: is stored as another type"), "{other_type}");
}

#[test]
fn regular_series_cost_little() {
    let bytes_per_row = |series: u32, points: i64| {
        let time_only = |r: Row| Row { series: r.series, time: r.time, ..Row::default() };
        let rows: Vec<Row> = sample(series, points).into_iter().map(time_only).collect();
        let disk = Disk::new();
        disk.write(&rows, rows.len()).bytes as f64 / rows.len() as f64
    };
    // Five columns of NULLs included.
    assert!(bytes_per_row(1, 60_000) < 0.02, "{}", bytes_per_row(1, 60_000));
    assert!(bytes_per_row(20_000, 20) < 0.08, "{}", bytes_per_row(20_000, 20));
}

#[test]
fn statistics_follow_the_rules() {
    let float = |v: f64| Some(v.to_bits());
    let long = "x".repeat(65);
    let fields = [
        (None, None, None, None),
        (float(f64::NAN), Some(i64::MAX), Some(5), Some("b".to_owned())),
        (float(-0.0), Some(1), Some(6), Some(String::new())),
        (float(0.0), Some(-1), None, Some(long)),
        (float(f64::INFINITY), None, None, Some("c".to_owned())),
    ];
    let rows: Vec<Row> = (0..)
        .zip(fields)
        .map(|(time, (float, integer, unsigned, text))| Row { time, float, integer, unsigned, text, ..Row::default() })
        .collect();
    let disk = Disk::new();
    disk.write(&rows, 5);
    let segment = disk.open();
    let chunk = segment.chunk(0).unwrap();
    let sections = &chunk.head().sections;
    let stats = |position: u32| -> &Stats { &sections[FIELDS.iter().position(|f| f.0 == position).unwrap()].stats };
    let edges = |a: (i64, Scalar), b: (i64, Scalar)| {
        let edge = |(time_ns, value)| Edge { time_ns, value };
        Some((edge(a), edge(b)))
    };

    let floats = stats(1);
    assert_eq!((floats.rows, floats.nulls, floats.count(), floats.nans), (5, 1, 4, 1));
    assert_eq!(floats.range, Some((Scalar::Float(-0.0), Scalar::Float(f64::INFINITY))));
    assert_eq!(floats.sum, None);
    assert_eq!(floats.edges, edges((1, Scalar::Float(f64::NAN)), (4, Scalar::Float(f64::INFINITY))));

    let integers = stats(2);
    assert_eq!(integers.range, Some((Scalar::Integer(-1), Scalar::Integer(i64::MAX))));
    assert_eq!(integers.sum, Some(Scalar::Integer(i64::MAX)), "the total fits though a part of it does not");
    assert_eq!(integers.edges, edges((1, Scalar::Integer(i64::MAX)), (3, Scalar::Integer(-1))));

    assert_eq!(stats(4).sum, Some(Scalar::Unsigned(11)));
    let booleans = stats(7);
    assert_eq!((booleans.nulls, &booleans.range, &booleans.sum, &booleans.edges), (5, &None, &None, &None));
    let texts = stats(9);
    assert_eq!(texts.range, None, "the greatest text is too long to repeat");
    assert_eq!(texts.edges, edges((1, Scalar::Text("b".to_owned())), (4, Scalar::Text("c".to_owned()))));
}

/// A reader must never hand out other data than was written: each damaged byte is named, and what can still be read is right.
#[test]
fn every_damaged_byte_is_found() {
    let disk = Disk::new();
    let rows = sample(3, 9);
    disk.write(&rows, 7);
    let bytes = disk.bytes();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            let Ok(segment) = from_bytes(damaged) else { continue };
            let errors = segment.verify();
            assert!(!errors.is_empty(), "damage at {at} goes unnoticed");
            assert!(errors.iter().all(|e| matches!(e, Error::Corrupt { .. })), "{errors:?}");
            if let Ok(read) = read(&segment, &ALL) {
                assert!(read == rows, "damage at {at} gives other data");
            }
        }
    }
}

/// Stretches of a sound segment that have a checksum of their own, inner ones before those that hold their checksum.
fn covered(segment: &Segment, len: usize) -> Vec<std::ops::Range<usize>> {
    let (mut vectors, mut directories, mut heads) = (Vec::new(), Vec::new(), Vec::new());
    for (nth, info) in segment.chunks().iter().enumerate() {
        let chunk = segment.chunk(nth).unwrap();
        heads.push(info.offset as usize..chunk.times_offset(0) as usize);
        let mut end = chunk.times_offset(0) as usize;
        for vector in &chunk.head().vectors {
            vectors.push(end..end + vector.place.length as usize);
            end += vector.place.length as usize;
        }
        for (field, section) in chunk.head().sections.iter().enumerate() {
            let Some(bytes) = section.bytes else { continue };
            let section = chunk.section(field).unwrap().unwrap();
            directories.push(end..end + bytes.directory.length as usize);
            for (offset, place) in section.vectors() {
                vectors.push(*offset as usize..*offset as usize + place.length as usize);
            }
            end += bytes.length as usize;
        }
    }
    let chunks_end = segment.chunks().last().map_or(32, |c| c.offset as usize + c.length as usize);
    let frame = [chunks_end..len - 32, len - 32..len - 4, 0..28];
    vectors.into_iter().chain(directories).chain(heads).chain(frame).collect()
}

/// Makes all checksums fit again, from the inside out.
fn seal(damaged: &mut [u8], sound: &[u8], covered: &[std::ops::Range<usize>]) {
    for range in covered {
        let old = crc32fast::hash(&sound[range.clone()]).to_le_bytes();
        let new = crc32fast::hash(&damaged[range.clone()]).to_le_bytes();
        for at in (0..sound.len() - 3).filter(|&at| sound[at..at + 4] == old) {
            damaged[at..at + 4].copy_from_slice(&new);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Even where every checksum fits, bytes that no writer wrote are refused or read as something, without a panic.
    #[test]
    fn forged_bytes_are_survived(series in 1_u32..4, points in 1_i64..9, flips in vec((any::<prop::sample::Index>(), 1_u8..), 50)) {
        let disk = Disk::new();
        disk.write(&sample(series, points), 7);
        let sound = disk.bytes();
        let covered = covered(&disk.open(), sound.len());
        let mut resealed = sound.clone();
        seal(&mut resealed, &sound, &covered);
        prop_assert!(resealed == sound, "sealing sound bytes changes nothing");
        for (at, flip) in flips {
            let mut forged = sound.clone();
            forged[at.index(sound.len())] ^= flip;
            seal(&mut forged, &sound, &covered);
            let Ok(segment) = from_bytes(forged) else { continue };
            let _errors = segment.verify();
            let middle = TimeRange { min_ns: 1_700_000_000_000_000_000, max_ns: 1_700_000_020_000_000_000 };
            for time in [TimeRange::ALL, middle] {
                let _rows_or_error = (0..segment.chunks().len())
                    .map(|chunk| segment.read(chunk, &FIELDS, &Selection { time, series: None }))
                    .collect::<Vec<_>>();
            }
        }
    }
}

#[test]
fn a_shortened_or_lengthened_file_is_refused() {
    let disk = Disk::new();
    disk.write(&sample(2, 5), 10);
    let bytes = disk.bytes();
    for len in 0..bytes.len() {
        assert!(matches!(from_bytes(bytes[..len].to_vec()), Err(Error::Corrupt { .. })), "{len} bytes");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(from_bytes(longer).is_err());
}

#[test]
fn damage_is_told_by_what_and_where() {
    let disk = Disk::new();
    disk.write(&sample(1, 2000), 2000);
    let mut bytes = disk.bytes();
    let segment = disk.open();
    let chunk = segment.chunk(0).unwrap();
    let offset = segment.chunks()[0].offset as usize + segment.chunks()[0].length as usize - 1;
    drop(chunk);
    bytes[offset] ^= 1;
    let errors = from_bytes(bytes).unwrap().verify();
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].to_string().starts_with("x.seg: chunk 0, column 9, vector 1: checksum mismatch at "),
        "{errors:?}"
    );
}

#[test]
fn another_segment_under_the_name_is_refused() {
    let disk = Disk::new();
    let summary = disk.write(&sample(2, 3), 4);
    let published = Published { table: TableId(3), rows: summary.rows, time: summary.time, checksum: summary.checksum };
    let later = TimeRange { max_ns: i64::MAX, ..summary.time };
    for other in [
        Published { table: TableId(4), ..published },
        Published { rows: 5, ..published },
        Published { time: later, ..published },
        Published { checksum: !summary.checksum, ..published },
    ] {
        let refused = Segment::open(&disk.fs, &disk.path, &other).unwrap_err();
        assert!(refused.to_string().contains("not the segment that the manifest names"), "{refused}");
    }
}

#[test]
fn a_newer_version_is_no_damage() {
    let disk = Disk::new();
    disk.write(&sample(1, 1), 1);
    let mut bytes = disk.bytes();
    bytes[8] = 2;
    let checksum = crc32fast::hash(&bytes[..28]).to_le_bytes();
    bytes[28..32].copy_from_slice(&checksum);
    assert!(matches!(from_bytes(bytes), Err(Error::Version { found: 2, supported: 1, .. })));
}

/// Long texts share and split their bytes: nothing is cut off, and a vector stays within bounds.
#[test]
fn great_texts_come_back() {
    let text = |n: usize| Some(format!("{n}").repeat(3 << 20));
    let rows: Vec<Row> = (0..14).map(|n| Row { time: n as i64, text: text(n % 7), ..Row::default() }).collect();
    let segment = check_round_trip(&rows, 14);
    assert!(segment.chunk(0).unwrap().head().vectors.len() > 1);
}
