//! Repeat: the values come round again with a period, as the times of many short series on one schedule do.

use super::Malformed;

/// Periods that seem to hold and are looked at in full.
const TRIES_MAX: usize = 16;

/// The shortest period of which the values hold at least two rounds; `None` also where too many only seem to hold.
pub(super) fn period_of(values: &[i64]) -> Option<usize> {
    let (&first, &last) = values.first().zip(values.last())?;
    let middle = values.len() / 2;
    let seems = |&period: &usize| {
        values[period] == first
            && values[values.len() - 1 - period] == last
            && values[middle] == values[middle % period]
    };
    let holds = |&period: &usize| values[..values.len() - period] == values[period..];
    (1..=values.len() / 2).filter(seems).take(TRIES_MAX).find(holds)
}

/// Repeats the first `period` values to the end.
pub(super) fn unfold(period: usize, out: &mut [i64]) {
    let mut known = period;
    while known < out.len() {
        let len = known.min(out.len() - known);
        let (front, rest) = out.split_at_mut(known);
        rest[..len].copy_from_slice(&front[..len]);
        known += len;
    }
}

/// Refuses a period that no repetition has.
pub(super) fn check(period: usize, count: usize) -> Result<(), Malformed> {
    if (1..count).contains(&period) { Ok(()) } else { Err(Malformed("period is out of range")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_period_is_found() {
        assert_eq!(period_of(&[]), None);
        assert_eq!(period_of(&[7]), None);
        assert_eq!(period_of(&[1, 2, 3]), None);
        assert_eq!(period_of(&[1, 2, 1]), None);
        assert_eq!(period_of(&[1, 2, 1, 2]), Some(2));
        assert_eq!(period_of(&[1, 1, 2, 1, 1, 2, 1]), Some(3));
        assert_eq!(period_of(&[5, 5, 5]), Some(1));
    }
}
