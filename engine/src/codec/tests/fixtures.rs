//! Vectors as the first version wrote them are read for ever, whatever encoders choose now.
//!
//! `PLIMSOLL_WRITE_FIXTURES=1 cargo test -p plimsoll-engine` writes them, and seeds for the fuzzer with them. They are
//! never written again once a version is released; a new version gets a directory of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;

/// Values of every encoding, type and form of packing, by the name of their file.
fn samples() -> Vec<(&'static str, Values)> {
    let integers = Values::Integer;
    let floats = Values::Float;
    let wide_steps =
        |count| noise(count).map(|n| 1000 + (n % 64) as i64 + (n >> 8 & 63) as i64 + (n >> 16 & 63) as i64);
    let mostly_still = |count| noise(count).map(|n| (n | 1 << 9).trailing_zeros() as i64);
    // As often as the codes of the last book are short.
    let wide = [0, 0, 0, 0, -1, -1, 1, 1, -2, -2, 2, 2, -3, 3, -4, 4];
    let two_decimals = noise(150).map(|n| (n % 10_000) as f64 / 100.0).chain([f64::NAN, -0.0, 1e300]).collect();
    let few = [1.0 / 3.0, f64::from_bits(0x7ff8_0000_0000_beef), f64::INFINITY, -0.0];
    let far = |mut values: Vec<i64>| {
        values[70] = i64::MAX;
        values
    };
    let front: Vec<f64> = noise(50).map(f64::from_bits).collect();
    let rear: Vec<f64> = front.iter().map(|v| v * 3.0).collect();
    vec![
        ("constant_integer", integers(vec![i64::MIN; 5])),
        ("constant_float", floats(vec![f64::from_bits(0xfff8_0000_0000_0001); 5])),
        ("constant_boolean", Values::Boolean(vec![true; 9])),
        ("constant_text", texts(["up"; 7])),
        ("stride", integers((0..300).map(|i| i * 10 - 7).collect())),
        ("frame", integers(noise(150).map(|n| (n % 1000) as i64 * 5).collect())),
        ("frame_unsigned", Values::Unsigned(noise(150).map(|n| u64::MAX - n % 1000).collect())),
        ("frame_patched", integers(far(noise(150).map(|n| (n % 1000) as i64).collect()))),
        ("delta", integers(sums(noise(150).map(|n| (n % 16) as i64)))),
        ("delta_coded", integers(sums(small_steps(300)))),
        ("delta_coded_patched", integers(far(sums(small_steps(300))))),
        ("delta_coded_low_bits", integers(sums(wide_steps(300)))),
        ("delta_coded_still", integers(sums(mostly_still(300)))),
        ("delta_coded_wide", integers(sums(noise(300).map(|n| wide[n as usize % 16])))),
        ("delta_of_delta", integers(sums(sums(small_steps(200)).into_iter()))),
        ("repeat", integers((0..300).map(|i| i * 37 % 101 * 3).collect())),
        ("raw", integers(noise(20).map(|n| (n << 7 ^ n) as i64).chain([i64::MIN, i64::MAX]).collect())),
        ("raw_float", floats(vec![0.0, -0.0, f64::NAN])),
        ("runs", integers((0..300).map(|i| (i / 57) * 7919 % 13).collect())),
        ("runs_boolean", Values::Boolean((0..500).map(|i| i > 200).collect())),
        ("bits", Values::Boolean(noise(77).map(|n| n % 2 == 0).collect())),
        ("distinct", integers(noise(200).map(|n| [3, 1 << 40, -7_777_777, 1_000_000_007][n as usize % 4]).collect())),
        ("decimal", floats(two_decimals)),
        ("split", floats(noise(300).map(|n| n as f64 / (1_u64 << 60) as f64).collect())),
        ("pattern", floats(noise(200).map(|n| few[n as usize % 4]).collect())),
        ("dictionary", texts(noise(200).map(|n| ["running", "stopped", "", "ausgefallen 💧"][n as usize % 4]))),
        ("joined", texts(["", "a", "bc", "é"])),
        ("joined_zstd", texts((0..60).map(|i| format!("request {} took a while", i * i)))),
        ("compressed", floats([&front[..], &rear, &rear, &front].concat())),
    ]
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1/vectors")
}

#[expect(clippy::disallowed_methods, reason = "fixtures are files beside the sources")]
fn write(name: &str, values: &Values) {
    let compression = if name == "compressed" { Compression::Cold } else { Compression::Hot };
    let mut bytes = Vec::new();
    encode(values, compression, &mut bytes);
    std::fs::create_dir_all(directory()).expect("the directory can be made");
    std::fs::write(directory().join(format!("{name}.bin")), &bytes).expect("the fixture can be written");
    let mut seed = (values.len() as u16).to_le_bytes().to_vec();
    seed.extend(bytes);
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/vector");
    std::fs::write(corpus.join(format!("{name}.bin")), seed).expect("the seed can be written");
}

#[expect(clippy::disallowed_methods, reason = "fixtures are files beside the sources")]
fn read(name: &str) -> Vec<u8> {
    std::fs::read(directory().join(format!("{name}.bin"))).unwrap_or_else(|e| panic!("fixture {name}: {e}"))
}

#[test]
fn vectors_of_version_1_are_read() {
    let (mut encodings, mut forms) = (BTreeSet::new(), BTreeSet::new());
    for (name, values) in samples() {
        if std::env::var_os("PLIMSOLL_WRITE_FIXTURES").is_some() {
            write(name, &values);
        }
        let bytes = read(name);
        for decode in [decode, naive::decode] {
            let decoded = decode(kind_of(&values), &bytes, values.len()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            assert!(same(&decoded, &values), "{name}: {decoded:?} is not {values:?}");
        }
        encodings.insert(bytes[0]);
        forms.extend(form_of(&bytes));
    }
    let all: BTreeSet<u8> = Encoding::ALL.into_iter().map(|encoding| encoding as u8).collect();
    assert_eq!(encodings, all, "there is a vector of every encoding");
    assert!(forms.iter().any(|form| *form <= 64), "and a plain packing");
    assert!(forms.iter().any(|form| (65..129).contains(form)), "and a patched one");
    assert!((129..132).all(|form| forms.contains(&form)), "and one of every book: {forms:?}");
}

/// The form of the packing of a vector that has one.
fn form_of(bytes: &[u8]) -> Option<u8> {
    let mut cursor = Cursor::new(bytes);
    let firsts = match Encoding::take(&mut cursor).ok()? {
        Encoding::Frame => 0,
        Encoding::Delta => 1,
        Encoding::DeltaOfDelta => 2,
        _ => return None,
    };
    for _firsts_and_base in 0..=firsts {
        cursor.zigzag().ok()?;
    }
    cursor.varint().ok()?;
    cursor.u8().ok()
}
