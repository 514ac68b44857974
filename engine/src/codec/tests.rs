//! Every encoding gives back what it was given, agrees with its plain twin, and refuses foreign bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const KINDS: [FieldType; 5] =
    [FieldType::Float, FieldType::Integer, FieldType::Unsigned, FieldType::Boolean, FieldType::Text];

fn kind_of(values: &Values) -> FieldType {
    match values {
        Values::Float(_) => FieldType::Float,
        Values::Integer(_) => FieldType::Integer,
        Values::Unsigned(_) => FieldType::Unsigned,
        Values::Boolean(_) => FieldType::Boolean,
        Values::Text(_) => FieldType::Text,
    }
}

/// Equal to the bit: a NaN equals itself, and −0.0 is not 0.0.
fn same(a: &Values, b: &Values) -> bool {
    match (a, b) {
        (Values::Float(a), Values::Float(b)) => a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits())),
        (Values::Text(a), Values::Text(b)) => a.iter().eq(b.iter()),
        _ => a == b,
    }
}

/// Encodes, decodes in both ways, and says which encoding was chosen.
#[track_caller]
fn check(values: &Values) -> Encoding {
    check_with(values, Compression::Cold);
    let bytes = check_with(values, Compression::Hot);
    for len in 0..bytes.len().min(40) {
        // A shorter constant text is another constant text.
        let _no_panic = decode(kind_of(values), &bytes[..len], values.len());
    }
    Encoding::take(&mut Cursor::new(&bytes)).expect("the encoding byte is known")
}

#[track_caller]
fn check_with(values: &Values, compression: Compression) -> Vec<u8> {
    let mut bytes = vec![77];
    encode(values, compression, &mut bytes);
    bytes.remove(0);
    let decoded = decode(kind_of(values), &bytes, values.len()).expect("what was encoded decodes");
    assert!(same(&decoded, values), "{decoded:?} is not {values:?}");
    let plain = naive::decode(kind_of(values), &bytes, values.len()).expect("what was encoded decodes plainly");
    assert!(same(&plain, values), "{plain:?} is not {values:?}");
    bytes
}

fn texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Values {
    let mut gathered = Texts::default();
    texts.into_iter().for_each(|t| gathered.push(t.as_ref()));
    Values::Text(gathered)
}

fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -5_i64..5, Just(i64::MIN), Just(i64::MAX), Just(0)]
}

fn integers() -> impl Strategy<Value = Vec<i64>> {
    prop_oneof![
        vec(integer(), 0..80),
        vec(any::<i64>(), 0..=VALUES_MAX),
        // A stride, a frame with a divisor, a walk, and a repetition, from any start.
        (integer(), integer(), 0_i64..=1024)
            .prop_map(|(a, s, n)| (0..n).map(|i| a.wrapping_add(i.wrapping_mul(s))).collect()),
        (integer(), integer(), vec(0_i64..1000, 0..300))
            .prop_map(|(a, s, o)| o.into_iter().map(|o| a.wrapping_add(o.wrapping_mul(s))).collect()),
        (integer(), vec(-9_i64..9, 0..300)).prop_map(|(a, steps)| steps
            .into_iter()
            .scan(a, |v, s| {
                *v = v.wrapping_add(s);
                Some(*v)
            })
            .collect()),
        (vec(integer(), 1..40), 0_usize..=VALUES_MAX).prop_map(|(round, n)| round
            .iter()
            .copied()
            .cycle()
            .take(n)
            .collect()),
    ]
}

fn float() -> impl Strategy<Value = f64> {
    let special = prop_oneof![
        Just(0.0),
        Just(-0.0),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        Just(f64::MIN_POSITIVE / 4.0),
        Just(f64::MAX),
        Just(f64::EPSILON),
        any::<u64>().prop_map(|payload| f64::from_bits(payload | 0x7ff0_0000_0000_0001)),
    ];
    prop_oneof![any::<u64>().prop_map(f64::from_bits), special, decimal(3)]
}

fn decimal(digits: i32) -> impl Strategy<Value = f64> {
    (-100_000_i32..100_000).prop_map(move |v| f64::from(v) / 10_f64.powi(digits))
}

fn floats() -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        vec(float(), 0..60),
        (0_i32..16).prop_flat_map(|digits| vec(decimal(digits), 0..=VALUES_MAX)),
        (vec(decimal(2), 0..60), float()).prop_map(|(mut values, last)| {
            values.push(last);
            values
        }),
        (float(), 0_usize..40).prop_map(|(v, n)| vec![v; n]),
    ]
}

fn words() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        vec("[a-zé💧]{0,6}", 0..50),
        vec("(running|stopped|failed over to the standby)", 0..=VALUES_MAX),
        vec("request [0-9]{1,8} took [0-9]{1,3} ms", 0..200),
        ("[a-z]{0,20}", 0_usize..40).prop_map(|(t, n)| vec![t; n]),
    ]
}

fn values() -> impl Strategy<Value = Values> {
    prop_oneof![
        integers().prop_map(Values::Integer),
        integers().prop_map(|v| Values::Unsigned(v.into_iter().map(|v| v as u64).collect())),
        floats().prop_map(Values::Float),
        vec(any::<bool>(), 0..=VALUES_MAX).prop_map(Values::Boolean),
        (any::<bool>(), 0..=VALUES_MAX).prop_map(|(v, n)| Values::Boolean(vec![v; n])),
        words().prop_map(texts),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_come_back(values in values()) {
        check(&values);
    }

    #[test]
    fn no_plan_is_much_larger_than_raw(values in integers()) {
        let plan = integer::Plan::of(&values);
        let mut bytes = Vec::new();
        plan.put(&values, &mut bytes);
        prop_assert!(bytes.len() <= plan.size() + 8 + plan.size() / 16, "{} and {}", bytes.len(), plan.size());
        prop_assert!(bytes.len() <= (1 + values.len() * 8 * 17 / 16).max(24), "never much larger than raw");
    }

    #[test]
    fn damaged_bytes_decode_as_the_twin_says(values in values(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = Vec::new();
        encode(&values, Compression::Hot, &mut bytes);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        for kind in KINDS {
            agree(kind, &bytes, values.len());
            agree(kind, &bytes[..at], values.len());
        }
    }

    #[test]
    fn foreign_bytes_decode_as_the_twin_says(
        encoding in 0_u8..18,
        tail in vec(prop_oneof![0_u8..4, any::<u8>()], 0..60),
        count in 0_usize..=VALUES_MAX + 1,
        few in 0_usize..20,
    ) {
        let bytes: Vec<u8> = std::iter::once(encoding).chain(tail).collect();
        for kind in KINDS {
            agree(kind, &bytes, few);
            if count <= VALUES_MAX {
                agree(kind, &bytes, count);
            } else {
                prop_assert!(decode(kind, &bytes, count).is_err());
            }
        }
    }
}

#[track_caller]
fn agree(kind: FieldType, bytes: &[u8], count: usize) {
    match (decode(kind, bytes, count), naive::decode(kind, bytes, count)) {
        (Ok(quick), Ok(plain)) => assert!(same(&quick, &plain), "{quick:?} is not {plain:?}"),
        (Err(_), Err(_)) => {}
        (quick, plain) => panic!("{quick:?}, but plainly {plain:?}"),
    }
}

/// Numbers that look random, the same in every run.
fn noise(count: usize) -> impl Iterator<Item = u64> {
    (0..count as u64).map(|i| {
        let mixed = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 7
    })
}

/// Steps that gather around zero, as those of a wandering value do.
fn small_steps(count: usize) -> impl Iterator<Item = i64> {
    noise(count).map(|n| (n & 1) as i64 + (n >> 1 & 1) as i64 + (n >> 2 & 1) as i64 + (n >> 3 & 1) as i64 - 2)
}

fn sums(steps: impl Iterator<Item = i64>) -> Vec<i64> {
    let add = |sum: &mut i64, step: i64| {
        *sum += step;
        Some(*sum)
    };
    steps.scan(0, add).collect()
}

#[test]
fn the_best_encoding_is_chosen() {
    let ten_seconds = 10_000_000_000;
    assert_eq!(check(&Values::Integer(vec![])), Encoding::Raw);
    assert_eq!(check(&Values::Integer(vec![i64::MIN; 9])), Encoding::Constant);
    assert_eq!(check(&Values::Integer((0..1024).map(|i| i * ten_seconds).collect())), Encoding::Stride);
    assert_eq!(check(&Values::Integer((0..1024).map(|i| (i * 37 % 101) * ten_seconds).collect())), Encoding::Repeat);
    assert_eq!(
        check(&Values::Integer(noise(1024).map(|n| (n % 1000) as i64 * ten_seconds).collect())),
        Encoding::Frame
    );
    assert_eq!(check(&Values::Integer(sums(small_steps(1024)))), Encoding::Delta);
    assert_eq!(check(&Values::Integer(sums(sums(small_steps(1024)).into_iter()))), Encoding::DeltaOfDelta);
    assert_eq!(check(&Values::Integer((0..1024).map(|i| (i / 57) * 7919 % 13).collect())), Encoding::Runs);
    let few = [3, 1 << 40, -7_777_777, 1_000_000_007];
    assert_eq!(check(&Values::Integer(noise(1024).map(|n| few[n as usize % 4]).collect())), Encoding::Distinct);
    assert_eq!(check(&Values::Unsigned(noise(1024).map(|n| n << 7 ^ n).collect())), Encoding::Raw);
    assert_eq!(check(&Values::Unsigned(noise(1024).map(|n| u64::MAX - n % 1000).collect())), Encoding::Frame);
    assert_eq!(check(&Values::Float(vec![f64::NAN; 3])), Encoding::Constant);
    assert_eq!(check(&Values::Float(vec![0.1, 0.25, -3.0, 1e9])), Encoding::Decimal);
    let mostly_decimal = (0..100).map(|i| if i == 40 { f64::NAN } else { f64::from(i * i % 7) / 10.0 });
    assert_eq!(check(&Values::Float(mostly_decimal.collect())), Encoding::Decimal);
    assert_eq!(check(&Values::Float(noise(1024).map(|n| n as f64 / (1_u64 << 60) as f64).collect())), Encoding::Split);
    let thirds = [1.0 / 3.0, -2.0 / 3.0, f64::INFINITY, -0.0];
    assert_eq!(check(&Values::Float(noise(1024).map(|n| thirds[n as usize % 4]).collect())), Encoding::Pattern);
    assert_eq!(check(&Values::Float(noise(1024).map(f64::from_bits).collect())), Encoding::Split);
    assert_eq!(check(&Values::Float(vec![0.0, -0.0])), Encoding::Raw);
    assert_eq!(check(&Values::Float(vec![1.5, f64::NAN])), Encoding::Raw);
    assert_eq!(check(&Values::Boolean(vec![true, false])), Encoding::Bits);
    assert_eq!(check(&Values::Boolean((0..500).map(|i| i > 200).collect())), Encoding::Runs);
    assert_eq!(check(&texts(["up"; 50])), Encoding::Constant);
    assert_eq!(check(&texts((0..50).map(|i| if i % 7 == 0 { "down" } else { "up" }))), Encoding::Dictionary);
    assert_eq!(check(&texts(["", "a", "bc"])), Encoding::Joined);
    assert_eq!(check(&texts((0..200).map(|i| format!("request {} took a while", i * i)))), Encoding::Joined);
}

/// One value far away must not widen all the others.
#[test]
fn an_outlier_costs_a_few_bytes() {
    let size = |values: Vec<i64>| {
        let mut bytes = Vec::new();
        encode_integers(&values, &mut bytes);
        bytes.len()
    };
    let plain: Vec<i64> = noise(1024).map(|n| (n % 1000) as i64).collect();
    for outlier in [i64::MAX, i64::MIN, -1, 1_000_000] {
        let mut with = plain.clone();
        with[700] = outlier;
        assert!(
            size(with.clone()) <= size(plain.clone()) + 24,
            "{outlier}: {} and {}",
            size(with),
            size(plain.clone())
        );
    }
    let mut walk = sums(small_steps(1024));
    let before = size(walk.clone());
    walk[300] = 1 << 50;
    assert!(size(walk.clone()) <= before + 32, "{} and {before}", size(walk));
}

/// Cold vectors hold what zstd finds on top.
#[test]
fn cold_vectors_are_compressed_where_it_pays() {
    let all: Vec<f64> = noise(100).map(f64::from_bits).collect();
    let (front, rear) = all.split_at(50);
    let repeated = Values::Float([front, rear, rear, front].concat());
    let bytes = check_with(&repeated, Compression::Cold);
    assert_eq!(Encoding::take(&mut Cursor::new(&bytes)), Ok(Encoding::Compressed));
    let noise = Values::Integer(noise(1024).map(|n| n as i64).collect());
    let bytes = check_with(&noise, Compression::Cold);
    assert_ne!(Encoding::take(&mut Cursor::new(&bytes)), Ok(Encoding::Compressed));
}

/// The page that others read a file by names every encoding by its byte.
#[test]
fn the_format_page_lists_every_encoding() {
    let page = include_str!("../../../docs/file-format.md");
    for encoding in Encoding::ALL {
        let row = format!("| {} | {} |", encoding as u8, name_on_page(encoding));
        assert!(page.contains(&row), "{row}");
    }
}

/// `DeltaOfDelta` is *delta of delta*.
fn name_on_page(encoding: Encoding) -> String {
    let mut name = String::new();
    for letter in format!("{encoding:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push(' ');
        }
        name.extend(letter.to_lowercase());
    }
    name
}
