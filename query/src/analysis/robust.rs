//! Plain measures of how far a value is from others, with floors, so that others that are all the same do not make it infinite.

/// The least spread by the size of the values.
const FLOOR: f64 = 1e-9;

/// The median of values in any order; `None` of none. Values that are not numbers are left out.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// A quantile by linear interpolation (type 7 of Hyndman and Fan 1996).
pub(crate) fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = share.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[at as usize], sorted[(at.ceil() as usize).min(last)]);
    Some(below + (above - below) * at.fract())
}

/// The median of the distances to the median.
pub(crate) fn mad(values: &[f64]) -> Option<f64> {
    let middle = median(values)?;
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    median(&distances)
}

/// Standard deviations between a value and the mean of others.
pub(crate) fn zscore(values: &[f64], value: f64) -> Option<f64> {
    let known: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let count = known.len() as f64;
    if known.is_empty() || !value.is_finite() {
        return None;
    }
    let mean = known.iter().sum::<f64>() / count;
    let deviation = (known.iter().map(|known| (known - mean).powi(2)).sum::<f64>() / count).sqrt();
    Some((value - mean) / deviation.max(mean.abs() * FLOOR + f64::MIN_POSITIVE))
}

/// Hampel's identifier: the distance to the median by the deviation that a normal distribution of that median absolute deviation
/// would have, which is at least a tenth of the mean distance.
pub(crate) fn hampel(values: &[f64], value: f64) -> Option<f64> {
    let middle = median(values).filter(|_| value.is_finite())?;
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).filter(|far| far.is_finite()).collect();
    let mean = distances.iter().sum::<f64>() / distances.len().max(1) as f64;
    let spread = (1.4826 * median(&distances)?).max(0.1 * mean).max(middle.abs() * FLOOR + f64::MIN_POSITIVE);
    Some((value - middle).abs() / spread)
}

/// Interquartile ranges between a value and the nearer quartile, 0 between them (Tukey 1977, who looks beyond 1.5).
pub(crate) fn tukey(values: &[f64], value: f64) -> Option<f64> {
    let (low, high) = (quantile(values, 0.25)?, quantile(values, 0.75)?);
    let range = (high - low).max(low.abs().max(high.abs()) * FLOOR + f64::MIN_POSITIVE);
    value.is_finite().then(|| (low - value).max(value - high).max(0.0) / range)
}

/// Most values that a period is looked for in: the newest.
const PERIOD_VALUES_MAX: usize = 6_000;

/// The number of values after which a series repeats itself: the lag of the first high peak of its autocorrelation. `None` when
/// there is none. Values that are not numbers count as the mean.
pub(crate) fn period(values: &[f64]) -> Option<usize> {
    /// How alike values a period apart have to be.
    const ALIKE: f64 = 0.3;
    let values = &values[values.len().saturating_sub(PERIOD_VALUES_MAX)..];
    let known = || values.iter().copied().filter(|value| value.is_finite());
    let mean = known().sum::<f64>() / known().count().max(1) as f64;
    let centred: Vec<f64> = values.iter().map(|value| if value.is_finite() { value - mean } else { 0.0 }).collect();
    let power: f64 = centred.iter().map(|value| value * value).sum::<f64>() / centred.len().max(1) as f64;
    if !power.is_finite() || power <= 0.0 {
        return None;
    }
    let correlation = |lag: usize| {
        let products = centred.iter().zip(&centred[lag..]).map(|(a, b)| a * b);
        products.sum::<f64>() / (centred.len() - lag) as f64 / power
    };
    let correlations: Vec<f64> = (0..=centred.len() / 2).map(correlation).collect();
    // What is near is alike; a period comes after values have been unlike.
    let begin = correlations.iter().position(|correlation| *correlation < ALIKE / 2.0)?;
    let largest = correlations[begin..].iter().copied().fold(0.0, f64::max);
    let is_peak = |at: usize| {
        let around = at.saturating_sub(2)..(at + 3).min(correlations.len());
        correlations[around].iter().all(|other| *other <= correlations[at])
    };
    let high = largest.max(ALIKE) * 0.9;
    (begin..correlations.len()).find(|at| correlations[*at] >= high && correlations[*at] >= ALIKE && is_peak(*at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_measured_with_floors() {
        let values = [1.0, 2.0, 3.0, 4.0, 100.0];
        assert_eq!(median(&values), Some(3.0));
        assert_eq!(mad(&values), Some(1.0));
        assert_eq!(hampel(&values, 100.0).map(f64::round), Some(48.0));
        assert_eq!(tukey(&values, 100.0), Some(48.0));
        assert_eq!(tukey(&values, 3.0), Some(0.0));
        assert_eq!(zscore(&[1.0, 3.0], 3.0), Some(1.0));
        let same = [5.0; 10];
        for far in [hampel(&same, 5.0), zscore(&same, 5.0), tukey(&same, 5.0)] {
            assert_eq!(far, Some(0.0));
        }
        assert!(hampel(&same, 6.0).is_some_and(|far| far > 1e6 && far.is_finite()));
        for nothing in [median(&[]), mad(&[f64::NAN]), zscore(&[], 1.0), hampel(&values, f64::NAN)] {
            assert_eq!(nothing, None);
        }
    }

    #[test]
    fn periods_are_found() {
        let odd = |n: usize| (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
        let wave = |n: usize, length: f64| (n as f64 / length * std::f64::consts::TAU).sin() + odd(n) as f64 * 2e-4;
        let series = |length: f64| (0..1_000).map(|n| wave(n, length)).collect::<Vec<_>>();
        assert_eq!(period(&series(24.0)), Some(24));
        assert!(period(&series(100.0)).is_some_and(|found| found.abs_diff(100) <= 1));
        let noise: Vec<f64> = (0..1_000u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64).collect();
        assert_eq!(period(&noise[..50]).filter(|found| *found < 3), None);
        assert_eq!(period(&[1.0; 100]), None);
        assert_eq!(period(&[]), None);
    }
}
