//! Loops over slices of numbers, written so that the compiler can run them on several values at once.
//!
//! Every number has an *order key*, an `i64` that has its place in the order of min and max: −0.0 before 0.0, NaN last.

/// Values next to each other that are worked on together.
const LANES: usize = 8;

/// A type of values that are aggregated by number.
pub(super) trait Number: Copy {
    /// Its place in the order of min and max.
    fn key(self) -> i64;

    /// The smallest key; the greatest there is for no values.
    fn least(values: &[Self]) -> i64 {
        fold(values, i64::MAX, |a, v| a.min(v.key()), i64::min)
    }

    /// The greatest key; the smallest there is for no values.
    fn greatest(values: &[Self]) -> i64 {
        fold(values, i64::MIN, |a, v| a.max(v.key()), i64::max)
    }
}

impl Number for i64 {
    fn key(self) -> i64 {
        self
    }
}

impl Number for u64 {
    fn key(self) -> i64 {
        (self ^ 1 << 63) as i64
    }
}

impl Number for bool {
    fn key(self) -> i64 {
        i64::from(self)
    }
}

impl Number for f64 {
    fn key(self) -> i64 {
        if self.is_nan() {
            return NAN_KEY;
        }
        let bits = self.to_bits() as i64;
        bits ^ ((bits >> 63) as u64 >> 1) as i64
    }

    fn least(values: &[f64]) -> i64 {
        let least = fold(values, f64::INFINITY, |a, v| if v < a { v } else { a }, |a, b| if b < a { b } else { a });
        // Zeros of both signs compare as equal, and NaNs never are less: these take a closer look.
        if least == 0.0 || least == f64::INFINITY {
            return values.iter().map(|v| v.key()).min().unwrap_or(i64::MAX);
        }
        least.key()
    }

    fn greatest(values: &[f64]) -> i64 {
        let lane = |(a, nan): (f64, bool), v: f64| (if v > a { v } else { a }, nan | v.is_nan());
        let join = |a: (f64, bool), b: (f64, bool)| (if b.0 > a.0 { b.0 } else { a.0 }, a.1 | b.1);
        let (greatest, has_nan) = fold(values, (f64::NEG_INFINITY, false), lane, join);
        if has_nan {
            return NAN_KEY;
        }
        if greatest == 0.0 || greatest == f64::NEG_INFINITY {
            return values.iter().map(|v| v.key()).max().unwrap_or(i64::MIN);
        }
        greatest.key()
    }
}

/// The key of every NaN.
pub(super) const NAN_KEY: i64 = i64::MAX;

/// The float of an order key.
pub(super) fn float_of_key(key: i64) -> f64 {
    match key {
        NAN_KEY => f64::NAN,
        _ => f64::from_bits((key ^ ((key >> 63) as u64 >> 1) as i64) as u64),
    }
}

fn fold<T: Copy, A: Copy>(values: &[T], start: A, lane: impl Fn(A, T) -> A, join: impl Fn(A, A) -> A) -> A {
    let mut lanes = [start; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (a, v) in lanes.iter_mut().zip(chunk) {
            *a = lane(*a, *v);
        }
    }
    let rest = rest.iter().fold(start, |a, v| lane(a, *v));
    lanes.into_iter().fold(rest, join)
}

/// The sum in 64-bit arithmetic, in several strands; −0.0 for no values, which added to anything changes nothing.
pub(super) fn sum_floats(values: &[f64]) -> f64 {
    fold(values, -0.0, |a, v| a + v, |a, b| a + b)
}

/// Values whose sum is looked at together: so many of [`SMALL`] size fit 64 bits.
const SUM_VALUES: usize = 1024;
/// Magnitude up to which values are added without a look at each.
const SMALL: i64 = 1 << 52;

/// The exact sum.
pub(super) fn sum_integers(values: &[i64]) -> i128 {
    let sum = |values: &[i64]| {
        let (mut sum, mut seen) = (0_i64, 0_u64);
        for v in values {
            sum = sum.wrapping_add(*v);
            seen |= v.wrapping_add(SMALL) as u64;
        }
        match seen < 2 * SMALL as u64 {
            true => i128::from(sum),
            false => values.iter().map(|v| i128::from(*v)).sum(),
        }
    };
    values.chunks(SUM_VALUES).map(sum).sum()
}

/// The exact sum.
pub(super) fn sum_unsigned(values: &[u64]) -> i128 {
    let sum = |values: &[u64]| {
        let low: u64 = values.iter().map(|v| v & 0xffff_ffff).sum();
        let high: u64 = values.iter().map(|v| v >> 32).sum();
        i128::from(low) + (i128::from(high) << 32)
    };
    values.chunks(SUM_VALUES).map(sum).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn float() -> impl Strategy<Value = f64> {
        let special = vec![0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE / 2.0];
        prop_oneof![3 => any::<f64>(), 2 => proptest::sample::select(special), 3 => -9_f64..9.0]
    }

    proptest! {
        #[test]
        fn floats_have_the_extremes_of_their_keys(values in proptest::collection::vec(float(), 0..40)) {
            prop_assert_eq!(f64::least(&values), values.iter().map(|v| v.key()).min().unwrap_or(i64::MAX));
            prop_assert_eq!(f64::greatest(&values), values.iter().map(|v| v.key()).max().unwrap_or(i64::MIN));
            for v in values {
                prop_assert!(float_of_key(v.key()).to_bits() == v.to_bits() || v.is_nan());
            }
        }

        #[test]
        fn integers_have_the_plain_sums_and_extremes(values in proptest::collection::vec(any::<i64>(), 0..40)) {
            prop_assert_eq!(sum_integers(&values), values.iter().map(|v| i128::from(*v)).sum::<i128>());
            prop_assert_eq!(i64::least(&values), values.iter().copied().min().unwrap_or(i64::MAX));
            let unsigned: Vec<u64> = values.iter().map(|v| *v as u64).collect();
            prop_assert_eq!(sum_unsigned(&unsigned), unsigned.iter().map(|v| i128::from(*v)).sum::<i128>());
            let greatest = unsigned.iter().max().map_or(i64::MIN, |v| v.key());
            prop_assert_eq!(u64::greatest(&unsigned), greatest);
            let small: Vec<i64> = values.iter().map(|v| v >> 11).collect();
            prop_assert_eq!(sum_integers(&small), small.iter().map(|v| i128::from(*v)).sum::<i128>());
        }

        #[test]
        fn float_sums_are_near(values in proptest::collection::vec(-1e9_f64..1e9, 0..200)) {
            let plain: f64 = values.iter().sum();
            let bound = values.iter().map(|v| v.abs()).sum::<f64>() * values.len() as f64 * f64::EPSILON;
            prop_assert!((sum_floats(&values) - plain).abs() <= bound);
        }
    }

    #[test]
    fn the_sum_of_negative_zeros_is_one() {
        assert!(sum_floats(&[-0.0; 20]).is_sign_negative());
        assert!(sum_floats(&[-0.0, 0.0]).is_sign_positive());
    }
}
