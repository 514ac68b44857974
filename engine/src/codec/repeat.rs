//! Repeat: the values come round again with a period, as the times of many short series on one schedule do.

use super::Malformed;

/// The shortest period of which the values hold at least two rounds.
pub(super) fn period_of(values: &[i64]) -> Option<usize> {
    // The prefix function of Knuth, Morris and Pratt: the longest proper prefix that is also a suffix tells the period.
    let mut borders = vec![0_u16; values.len().min(usize::from(u16::MAX))];
    for i in 1..borders.len() {
        let mut border = usize::from(borders[i - 1]);
        while border > 0 && values[i] != values[border] {
            border = usize::from(borders[border - 1]);
        }
        borders[i] = (border + usize::from(values[i] == values[border])) as u16;
    }
    let period = values.len().checked_sub(usize::from(*borders.last()?))?;
    (borders.len() == values.len() && period * 2 <= values.len()).then_some(period)
}

/// Repeats the first `period` values, which begin at `start` of `out`, until there are `count`.
pub(super) fn unfold(start: usize, period: usize, count: usize, out: &mut Vec<i64>) {
    while out.len() < start + count {
        let len = period.min(start + count - out.len());
        out.extend_from_within(start..start + len);
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
