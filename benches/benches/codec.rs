//! How small vectors get, and how quickly they are written and read, for the kinds of data there are. Every answer is checked.
//!
//! `cargo bench -p plimsoll-benches --bench codec`. Rates are per second of processor time where the system tells it, so
//! that other work on the machine disturbs little; GB/s are of decoded values, to be compared with the memory's.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::hint::black_box;

use plimsoll_benches::random::Random;
use plimsoll_benches::timing::Timer;
use plimsoll_engine::benching::{Decoder, IntegerSegment, Vector, encode, encode_cold, encoding_of};

const ROWS: usize = 1024;
const VECTORS: usize = 64;
const FIELDS: u32 = 10;
const STEP_NS: i64 = 10_000_000_000;
/// Seconds that each rate is measured.
const SECONDS: f64 = 0.1;

fn main() {
    memory();
    println!(
        "{:>24}  {:<14} {:>8} {:>8} {:>10} {:>10} {:>8}",
        "", "encoding", "B/value", "cold", "encode", "decode", ""
    );
    println!("{:>24}  {:<14} {:>8} {:>8} {:>10} {:>10} {:>8}", "", "", "", "B/value", "M/s", "M/s", "GB/s");
    integers();
    floats();
    texts();
    segments();
}

/// What the machine can do at most: reading memory once, in order.
fn memory() {
    let values: Vec<i64> = (0..32_i64 << 20).collect();
    let sum: i64 = values.iter().sum();
    let rate = rate(values.len(), || assert_eq!(black_box(&values).iter().sum::<i64>(), sum));
    println!("reading memory: {:.1} GB/s, {:.0} M values/s", rate * 8.0 / 1e9, rate / 1e6);
}

fn integers() {
    let mut random = Random::new(7);
    let count = ROWS * VECTORS;
    let walks = |random: &mut Random, length: usize| -> Vec<i64> {
        (0..count.div_ceil(length)).flat_map(|_| random.walk(length)).take(count).collect()
    };
    integer_row("wandering 0 to 100", &walks(&mut random, count));
    integer_row("200 points a series", &walks(&mut random, 200));
    integer_row("20 points a series", &walks(&mut random, 20));
    let sums = |mut step: Box<dyn FnMut() -> i64>| -> Vec<i64> {
        let add = |sum: &mut i64, step: i64| {
            *sum += step;
            Some(*sum)
        };
        (0..count).map(|_| step()).scan(0, add).collect()
    };
    let mut noise = Random::new(8);
    integer_row("counter", &sums(Box::new(move || 1000 + (noise.normal() * 50.0) as i64)));
    integer_row("below 1,000", &(0..count).map(|_| random.below(1000) as i64).collect::<Vec<_>>());
    integer_row("durations", &(0..count).map(|_| (-random.unit().ln() * 300.0) as i64).collect::<Vec<_>>());
    integer_row("states", &(0..count as i64).map(|i| i / 57 * 7919 % 13).collect::<Vec<_>>());
    integer_row("regular time", &(0..count as i64).map(|i| i * STEP_NS).collect::<Vec<_>>());
    let mut noise = Random::new(9);
    integer_row("jittering time", &sums(Box::new(move || STEP_NS + (noise.normal() * 1e6) as i64)));
    integer_row("any integer", &(0..count).map(|_| random.next() as i64).collect::<Vec<_>>());
}

fn floats() {
    let mut random = Random::new(11);
    let count = ROWS * VECTORS;
    let mut value = 50.0;
    let mut wander = |random: &mut Random, step: f64| {
        value = (value + random.normal() * step).clamp(0.0, 100.0);
        value
    };
    float_row(
        "1 decimal, wandering",
        &(0..count).map(|_| (wander(&mut random, 1.0) * 10.0).round() / 10.0).collect::<Vec<_>>(),
    );
    float_row("2 decimals", &(0..count).map(|_| random.below(100_000) as f64 / 100.0).collect::<Vec<_>>());
    float_row("wandering", &(0..count).map(|_| wander(&mut random, 0.01)).collect::<Vec<_>>());
    float_row("0 to 1", &(0..count).map(|_| random.unit()).collect::<Vec<_>>());
    float_row("any float", &(0..count).map(|_| f64::from_bits(random.next())).collect::<Vec<_>>());
}

fn texts() {
    let mut random = Random::new(13);
    let states = ["running", "stopped", "failed over to the standby"];
    text_row("states", (0..ROWS * 8).map(|_| states[random.below(3) as usize].to_owned()).collect());
    let line = |random: &mut Random| format!("GET /item/{} took {} ms", random.below(1 << 20), random.below(900));
    text_row("log lines", (0..ROWS * 8).map(|_| line(&mut random)).collect());
}

fn integer_row(what: &str, values: &[i64]) {
    let encoded = row(what, values, 8, Vector::Integers, |decoder, bytes, count| {
        black_box(decoder.integers(bytes, count));
    });
    let mut decoder = Decoder::default();
    for (bytes, vector) in encoded.iter().zip(values.chunks(ROWS)) {
        assert!(decoder.integers(bytes, vector.len()) == vector, "what was written is read");
    }
}

fn float_row(what: &str, values: &[f64]) {
    let encoded = row(what, values, 8, Vector::Floats, |decoder, bytes, count| {
        black_box(decoder.floats(bytes, count));
    });
    let mut decoder = Decoder::default();
    for (bytes, vector) in encoded.iter().zip(values.chunks(ROWS)) {
        let same = decoder.floats(bytes, vector.len()).iter().zip(vector).all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "what was written is read, bit by bit");
    }
}

fn text_row(what: &str, values: Vec<String>) {
    let each = values.iter().map(String::len).sum::<usize>() / values.len();
    let encoded = row(what, &values, each, Vector::Texts, |decoder, bytes, count| {
        black_box(decoder.texts(bytes, count));
    });
    let mut decoder = Decoder::default();
    for (bytes, vector) in encoded.iter().zip(values.chunks(ROWS)) {
        let expected = (vector.len(), vector.iter().map(String::len).sum());
        assert_eq!(decoder.texts(bytes, vector.len()), expected, "what was written is read");
    }
}

/// One line of the table; gives back the encoded vectors.
fn row<'a, T>(
    what: &str,
    values: &'a [T],
    value_bytes: usize,
    vector: impl Fn(&'a [T]) -> Vector<'a>,
    decode: impl Fn(&mut Decoder, &[u8], usize),
) -> Vec<Vec<u8>> {
    let vectors: Vec<&'a [T]> = values.chunks(ROWS).collect();
    let encoded: Vec<Vec<u8>> = vectors.iter().map(|&v| encode(vector(v))).collect();
    let per_value = |bytes: usize| bytes as f64 / values.len() as f64;
    let hot = per_value(encoded.iter().map(Vec::len).sum());
    let cold = per_value(vectors.iter().map(|&v| encode_cold(vector(v)).len()).sum());
    let encoding_rate = rate(values.len(), || vectors.iter().for_each(|&v| drop(black_box(encode(vector(v))))));
    let mut decoder = Decoder::default();
    let decoding_rate = rate(values.len(), || {
        encoded.iter().zip(&vectors).for_each(|(bytes, v)| decode(&mut decoder, bytes, v.len()));
    });
    let encoding = encoding_of(&encoded[encoded.len() / 2]);
    let (encode, decode) = (encoding_rate / 1e6, decoding_rate / 1e6);
    let speed = decoding_rate * value_bytes as f64 / 1e9;
    println!("{what:>24}  {encoding:<14} {hot:>8.3} {cold:>8.3} {encode:>10.0} {decode:>10.0} {speed:>8.1}");
    encoded
}

/// Whole segments of ten integer fields, with heads, directories and statistics.
fn segments() {
    for (series, points) in [(100, 8640), (1000, 360), (20_000, 20)] {
        let mut random = Random::new(17);
        let mut walks = || -> Vec<Vec<i64>> { (0..FIELDS).map(|_| random.walk(points)).collect() };
        let data: Vec<Vec<Vec<i64>>> = (0..series).map(|_| walks()).collect();
        let times: Vec<i64> = (0..points as i64).map(|i| i * STEP_NS).collect();
        let timer = Timer::start();
        let mut segment = IntegerSegment::new(FIELDS);
        data.into_iter().for_each(|fields| segment.append(&times, fields));
        let bytes = segment.finish();
        let rows = (series * points) as f64;
        let (rate, each) = (rows / timer.seconds() / 1e6, bytes as f64 / rows / f64::from(FIELDS));
        println!(
            "segment of {series:>6} series x {points:>5} points x {FIELDS} fields: {each:.3} B/value, {rate:.2} M rows/s"
        );
        assert!(each < 0.8, "integer fields stay small");
    }
}

/// Values per second of a function that handles `count` of them.
fn rate(count: usize, mut run: impl FnMut()) -> f64 {
    run();
    let timer = Timer::start();
    let mut runs = 0;
    while timer.seconds() < SECONDS {
        run();
        runs += 1;
    }
    (count * runs) as f64 / timer.seconds()
}
