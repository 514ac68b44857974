//! The sketch of a bucket: how many values lie in each bin, bins being 1 % apart.
//!
//! The bins are those of `sketches-ddsketch` with its defaults, so that sketches of buckets can be added, and what a query
//! sketches from raw values is the same. Values of at most 1e-9 either side of zero share a bin; NaN and infinities have none.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::LazyLock;

use sketches_ddsketch::Config;

/// A sketch of numbers: counts by bin, in the order of values. Negative bins are those of negative values, zero is that of
/// values near zero.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bins(BTreeMap<i32, u64>);

/// The bins of every sketch; making it takes several logarithms.
static CONFIG: LazyLock<Config> = LazyLock::new(Config::defaults);

/// Bits of a number in one character of text, and the flag that more follow.
const DIGIT_BITS: u32 = 6;
const MORE: u8 = 1 << DIGIT_BITS;

/// Says that step and count follow as numbers of their own.
const LONG: u8 = 0x7F;

impl Bins {
    /// Counts a value; NaN and infinities are left out.
    pub fn add(&mut self, value: f64) {
        if let Some(bin) = bin_of(value) {
            *self.0.entry(bin).or_default() += 1;
        }
    }

    /// Counts values of one bin, which is that of `value`.
    pub(crate) fn add_many(&mut self, value: f64, count: u64) {
        if let Some(bin) = bin_of(value).filter(|_| count > 0) {
            *self.0.entry(bin).or_default() += count;
        }
    }

    /// Counts the values of another sketch as well.
    pub fn merge(&mut self, other: &Bins) {
        for (bin, count) in &other.0 {
            *self.0.entry(*bin).or_default() += count;
        }
    }

    /// Takes back a value that was counted.
    pub fn remove(&mut self, value: f64) {
        if let Some(bin) = bin_of(value)
            && let Entry::Occupied(mut entry) = self.0.entry(bin)
        {
            match entry.get_mut() {
                0 | 1 => drop(entry.remove()),
                count => *count -= 1,
            }
        }
    }

    /// The value at a fraction of the way from the least to the greatest, within 1 % of the value whose rank is
    /// ⌊`fraction` × (values − 1)⌋; `None` without values. Fractions below 0 are 0, those above 1 are 1.
    pub fn quantile(&self, fraction: f64) -> Option<f64> {
        let values: u64 = self.0.values().sum();
        let rank = (fraction.clamp(0.0, 1.0) * values.checked_sub(1)? as f64) as u64;
        let mut before = 0;
        let mut reaches = |count: u64| {
            before += count;
            before > rank
        };
        let bin = self.0.iter().find(|(_, count)| reaches(**count)).or(self.0.last_key_value());
        bin.map(|(bin, _)| middle_of(*bin))
    }

    /// How many bins hold values.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when no value is counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when there is one bin, and all `count` values are in it.
    pub(crate) fn is_one_bin(&self, count: u64) -> bool {
        self.0.len() == 1 && self.0.values().next() == Some(&count)
    }

    /// The library's sketch of the same values, for quantiles.
    #[cfg(test)]
    fn sketch(&self) -> sketches_ddsketch::DDSketch {
        let mut sketch = sketches_ddsketch::DDSketch::new(*CONFIG);
        for (bin, count) in &self.0 {
            sketch.add_with_count(middle_of(*bin), *count);
        }
        sketch
    }

    /// As ASCII text, so that it can be a text column: for each bin a character that holds the step from the bin before
    /// (from 0 for the first) and the count, or `LONG` and both as numbers of six bits a character.
    pub fn to_text(&self) -> String {
        let mut text = Vec::with_capacity(self.0.len() + 4);
        let mut before = 0i64;
        for (bin, count) in &self.0 {
            let step = i64::from(*bin) - before;
            before = i64::from(*bin);
            match short(step, *count) {
                Some(character) => text.push(character),
                None => {
                    text.push(LONG);
                    put_number(&mut text, ((step << 1) ^ (step >> 63)) as u64);
                    put_number(&mut text, *count);
                }
            }
        }
        String::from_utf8(text).expect("every character is ASCII")
    }

    /// Reads [`Bins::to_text`] back; `None` for any other text.
    pub fn from_text(text: &str) -> Option<Bins> {
        let mut bins = BTreeMap::new();
        let mut rest = text.as_bytes();
        let mut before = 0i64;
        while let Some((&first, after)) = rest.split_first() {
            rest = after;
            let (step, count) = match first {
                LONG => {
                    let step = take_number(&mut rest)?;
                    ((step >> 1) as i64 ^ -((step & 1) as i64), take_number(&mut rest)?)
                }
                0x80.. => return None,
                short => (i64::from(short >> 3), u64::from(short & 7) + 1),
            };
            before = before.checked_add(step)?;
            bins.insert(i32::try_from(before).ok()?, count);
        }
        Some(Bins(bins))
    }
}

/// The bin of a value; `None` for what has none.
fn bin_of(value: f64) -> Option<i32> {
    let config = &*CONFIG;
    let size = value.abs();
    match () {
        () if !size.is_finite() => None,
        () if size <= config.min_possible() => Some(0),
        () if value > 0.0 => Some(number_of(config.key(size), config)),
        () => Some(-number_of(config.key(size), config)),
    }
}

/// The value that is within 1 % of all of a bin.
fn middle_of(bin: i32) -> f64 {
    if bin == 0 {
        return 0.0;
    }
    let size = CONFIG.value(bin.abs().saturating_add(CONFIG.key(CONFIG.min_possible()) - 1));
    size.min(f64::MAX).copysign(f64::from(bin))
}

/// Bins away from zero, counted from 1, for a key of the library.
fn number_of(key: i32, config: &Config) -> i32 {
    key - config.key(config.min_possible()) + 1
}

fn short(step: i64, count: u64) -> Option<u8> {
    let fits = (0..=15).contains(&step) && (1..=8).contains(&count);
    let character = fits.then(|| (step as u8) << 3 | (count - 1) as u8)?;
    (character != LONG).then_some(character)
}

fn put_number(text: &mut Vec<u8>, mut number: u64) {
    while number >= u64::from(MORE) {
        text.push(MORE | (number as u8 & (MORE - 1)));
        number >>= DIGIT_BITS;
    }
    text.push(number as u8);
}

fn take_number(text: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..u64::BITS).step_by(DIGIT_BITS as usize) {
        let (&digit, rest) = text.split_first()?;
        *text = rest;
        number |= u64::from(digit & (MORE - 1)) << shift;
        if digit & MORE == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sketches_ddsketch::DDSketch;

    use super::*;

    fn bins(values: &[f64]) -> Bins {
        let mut bins = Bins::default();
        values.iter().for_each(|v| bins.add(*v));
        bins
    }

    #[test]
    fn a_few_values_take_a_few_characters() {
        assert!(bins(&[50.0, 51.0, 52.0, 52.0, 53.0, 54.0]).to_text().len() <= 8);
        assert_eq!(bins(&[]).to_text(), "");
        assert_eq!(bins(&[f64::NAN, f64::INFINITY]), Bins::default());
    }

    proptest! {
        #[test]
        fn text_comes_back(values: Vec<f64>) {
            let bins = bins(&values);
            prop_assert_eq!(Bins::from_text(&bins.to_text()), Some(bins));
        }

        #[test]
        fn any_text_is_safe(text: String) {
            let _any_answer_will_do = Bins::from_text(&text);
        }

        #[test]
        fn a_merged_sketch_is_that_of_all_values(
            a in prop::collection::vec(-1e6..1e6f64, 0..50),
            b in prop::collection::vec(-1e6..1e6f64, 1..50),
        ) {
            let mut merged = bins(&a);
            merged.merge(&bins(&b));
            let mut plain = DDSketch::new(Config::defaults());
            a.iter().chain(&b).for_each(|v| plain.add(*v));
            for q in [0.01, 0.25, 0.5, 0.9, 0.99] {
                prop_assert_eq!(merged.sketch().quantile(q).unwrap(), plain.quantile(q).unwrap());
                prop_assert_eq!(merged.quantile(q), plain.quantile(q).unwrap());
            }
        }

        #[test]
        fn a_quantile_is_within_one_percent(mut values in prop::collection::vec(-1e9..1e9f64, 1..200), q in 0.0..=1.0f64) {
            values.extend([0.0, f64::MAX, f64::MIN]);
            let quantile = bins(&values).quantile(q).unwrap();
            values.sort_by(f64::total_cmp);
            let exact = values[(q * (values.len() - 1) as f64) as usize];
            prop_assert!((quantile - exact).abs() <= exact.abs() * 0.010_001 + 1e-9, "{quantile} {exact}");
        }

        #[test]
        fn what_is_removed_was_never_there(a: Vec<f64>, b: Vec<f64>) {
            let mut both = bins(&a);
            b.iter().for_each(|v| both.add(*v));
            b.iter().for_each(|v| both.remove(*v));
            prop_assert_eq!(both, bins(&a));
        }
    }
}
