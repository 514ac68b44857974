//! How good alarms were, against what had happened indeed; and which settings to take.
//!
//! An alarm *belongs* to an incident when it begins between a little before it was opened and its end. An incident is *caught*
//! when an alarm begins early enough: not later than the greatest delay after it was opened. An alarm that belongs to none is
//! false. Where ours is stricter than window-adjusted measures: an alarm that rings for ever catches one incident, not all.

use std::ops::Range;

/// Something that had happened. Nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incident {
    pub(crate) opened_ns: i64,
    /// Its end; that of the time that is looked at while there is none.
    pub(crate) resolved_ns: i64,
}

/// What counts as in time. Nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tolerance {
    /// How long after an incident was opened an alarm still catches it.
    pub(crate) delay_max_ns: i64,
    /// How long before it was opened an alarm already belongs to it.
    pub(crate) lead_ns: i64,
}

/// What alarms came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures {
    pub(crate) incidents: usize,
    pub(crate) caught: usize,
    pub(crate) alarms: usize,
    pub(crate) false_alarms: usize,
    /// Half of the caught incidents were caught so long after they were opened, or sooner; nanoseconds, 0 for those seen before.
    pub(crate) delay_ns: Option<i64>,
    /// Half of the caught incidents were seen so long before they were opened, or longer; nanoseconds.
    pub(crate) lead_ns: Option<i64>,
    /// How long false alarms were on.
    pub(crate) noise_ns: i64,
}

impl Figures {
    /// Compares alarms, by their beginnings, with incidents.
    pub(crate) fn new(alarms: &[Range<i64>], incidents: &[Incident], tolerance: Tolerance) -> Figures {
        let early = |incident: &Incident| incident.opened_ns.saturating_sub(tolerance.lead_ns);
        let late = |incident: &Incident| incident.opened_ns.saturating_add(tolerance.delay_max_ns);
        let belongs = |alarm: &Range<i64>, incident: &Incident| {
            alarm.start >= early(incident) && alarm.start <= incident.resolved_ns.max(late(incident))
        };
        let mut offsets = Vec::new();
        for incident in incidents {
            let in_time = |alarm: &&Range<i64>| alarm.start >= early(incident) && alarm.start <= late(incident);
            let first = alarms.iter().filter(in_time).map(|alarm| alarm.start).min();
            offsets.extend(first.map(|start| start - incident.opened_ns));
        }
        let noise: Vec<&Range<i64>> =
            alarms.iter().filter(|alarm| !incidents.iter().any(|incident| belongs(alarm, incident))).collect();
        Figures {
            incidents: incidents.len(),
            caught: offsets.len(),
            alarms: alarms.len(),
            false_alarms: noise.len(),
            delay_ns: median(offsets.iter().map(|offset| (*offset).max(0)).collect()),
            lead_ns: median(offsets.iter().map(|offset| offset.saturating_neg().max(0)).collect()),
            noise_ns: noise.iter().map(|alarm| alarm.end.saturating_sub(alarm.start)).fold(0, i64::saturating_add),
        }
    }

    /// The share of alarms that belong to an incident; `None` without alarms.
    pub(crate) fn precision(&self) -> Option<f64> {
        share(self.alarms - self.false_alarms, self.alarms)
    }

    /// The share of incidents that were caught; `None` without incidents.
    pub(crate) fn recall(&self) -> Option<f64> {
        share(self.caught, self.incidents)
    }

    /// The harmonic mean of both; 0 where there were incidents and nothing was caught.
    pub(crate) fn f1(&self) -> Option<f64> {
        let recall = self.recall()?;
        let precision = self.precision().unwrap_or(0.0);
        Some(if recall + precision > 0.0 { 2.0 * recall * precision / (recall + precision) } else { 0.0 })
    }

    /// Between which numbers the precision lies with 95 % certainty.
    pub(crate) fn precision_between(&self) -> Option<(f64, f64)> {
        wilson(self.alarms - self.false_alarms, self.alarms)
    }

    /// Between which numbers the recall lies with 95 % certainty.
    pub(crate) fn recall_between(&self) -> Option<(f64, f64)> {
        wilson(self.caught, self.incidents)
    }
}

fn share(part: usize, of: usize) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

fn median(mut values: Vec<i64>) -> Option<i64> {
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// The score interval of a share (E. B. Wilson, 1927) at 95 %; `None` of nothing.
pub(crate) fn wilson(part: usize, of: usize) -> Option<(f64, f64)> {
    /// The 97.5 % quantile of the normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    let (p, n) = (share(part, of)?, of as f64);
    let scale = 1.0 + Z * Z / n;
    let centre = (p + Z * Z / (2.0 * n)) / scale;
    let reach = Z / scale * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    Some(((centre - reach).max(0.0), (centre + reach).min(1.0)))
}

/// What is looked for when settings are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    F1,
    Precision,
    Recall,
}

/// One of the settings that were tried: each parameter as a number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tried {
    pub(crate) parameters: Vec<f64>,
    pub(crate) figures: Figures,
}

/// Which of the settings to take: the best ones, moved towards the usual ones as far as the incidents are too few to tell.
///
/// With n incidents the best parameters weigh n / (n + 10), those of the tier the rest; the settings that were tried and lie
/// nearest are taken. `usual` has a number for each parameter, or none where nothing is usual. Settings that catch nothing are
/// never taken, nor is anything without incidents.
pub(crate) fn recommended(tried: &[Tried], usual: &[Option<f64>], goal: Goal) -> Option<usize> {
    let worth = |one: &Tried| match goal {
        Goal::F1 => one.figures.f1(),
        Goal::Precision => one.figures.precision(),
        Goal::Recall => one.figures.recall(),
    };
    let is_better = |a: &Tried, b: &Tried| {
        let order = worth(a).unwrap_or(0.0).total_cmp(&worth(b).unwrap_or(0.0));
        let order = order.then(a.figures.f1().unwrap_or(0.0).total_cmp(&b.figures.f1().unwrap_or(0.0)));
        let order = order.then(b.figures.false_alarms.cmp(&a.figures.false_alarms));
        order.then(b.figures.delay_ns.cmp(&a.figures.delay_ns))
    };
    let able = || tried.iter().enumerate().filter(|(_, one)| one.figures.caught > 0);
    // Of equals the first.
    let (_, best) = able().rev().max_by(|(_, a), (_, b)| is_better(a, b))?;
    let incidents = best.figures.incidents as f64;
    let weight = incidents / (incidents + SHRINK);
    let wanted: Vec<f64> = best
        .parameters
        .iter()
        .zip(usual)
        .map(|(best, usual)| usual.map_or(*best, |usual| weight * best + (1.0 - weight) * usual))
        .collect();
    // Each parameter counts by how far its values are apart.
    let spread = |at: usize| {
        let of = |one: &Tried| one.parameters[at];
        let (low, high) = tried
            .iter()
            .map(of)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if high > low { high - low } else { 1.0 }
    };
    let spreads: Vec<f64> = (0..wanted.len()).map(spread).collect();
    let distance = |one: &Tried| -> f64 {
        let parts = one.parameters.iter().zip(&wanted).zip(&spreads);
        parts.map(|((value, wanted), spread)| ((value - wanted) / spread).powi(2)).sum()
    };
    let nearest = able().min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b)).then(is_better(b, a)))?;
    Some(nearest.0)
}

/// After so many incidents, what was found weighs as much as what is usual.
const SHRINK: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000_000;
    const TOLERANCE: Tolerance = Tolerance { delay_max_ns: 15 * MINUTE, lead_ns: 30 * MINUTE };

    fn alarm(start: i64, end: i64) -> Range<i64> {
        start * MINUTE..end * MINUTE
    }

    fn incident(opened: i64, resolved: i64) -> Incident {
        Incident { opened_ns: opened * MINUTE, resolved_ns: resolved * MINUTE }
    }

    #[test]
    fn alarms_are_compared_with_incidents_by_their_beginnings() {
        let incidents = [incident(100, 160), incident(500, 510), incident(900, 930)];
        // Seen ten minutes before; five minutes after; never; and twice for nothing, once during an incident but late.
        let alarms = [alarm(90, 120), alarm(505, 520), alarm(140, 150), alarm(700, 703), alarm(1200, 1201)];
        let figures = Figures::new(&alarms, &incidents, TOLERANCE);
        assert_eq!((figures.caught, figures.alarms, figures.false_alarms), (2, 5, 2));
        assert_eq!((figures.delay_ns, figures.lead_ns), (Some(0), Some(0)));
        assert_eq!(figures.noise_ns, 4 * MINUTE);
        assert_eq!(figures.precision(), Some(0.6));
        assert!((figures.recall().unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert!((figures.f1().unwrap() - 2.0 * 0.6 * (2.0 / 3.0) / (0.6 + 2.0 / 3.0)).abs() < 1e-12);
    }

    #[test]
    fn an_alarm_that_rings_for_ever_catches_one_incident() {
        let incidents = [incident(100, 160), incident(500, 510), incident(900, 930)];
        let figures = Figures::new(&[alarm(95, 10_000)], &incidents, TOLERANCE);
        assert_eq!((figures.caught, figures.false_alarms), (1, 0));
    }

    #[test]
    fn of_nothing_there_is_no_share() {
        let figures = Figures::new(&[], &[], TOLERANCE);
        assert_eq!((figures.precision(), figures.recall(), figures.f1(), figures.delay_ns), (None, None, None, None));
        assert_eq!(wilson(0, 0), None);
        let silent = Figures::new(&[], &[incident(1, 2)], TOLERANCE);
        assert_eq!((silent.precision(), silent.recall(), silent.f1()), (None, Some(0.0), Some(0.0)));
    }

    #[test]
    fn intervals_are_those_of_wilson() {
        // Figures of Newcombe (1998), table I: 81 of 263 and 1 of 29.
        let near = |found: Option<(f64, f64)>, low: f64, high: f64| {
            let (a, b) = found.unwrap();
            assert!((a - low).abs() < 5e-5 && (b - high).abs() < 5e-5, "{a} {b}");
        };
        near(wilson(81, 263), 0.2553, 0.3662);
        near(wilson(1, 29), 0.0061, 0.1718);
        let (low, high) = wilson(0, 20).unwrap();
        assert!(low.abs() < 1e-12 && (high - 0.1611).abs() < 5e-5);
    }

    fn tried(threshold: f64, caught: usize, incidents: usize, false_alarms: usize) -> Tried {
        let figures = Figures {
            incidents,
            caught,
            alarms: caught + false_alarms,
            false_alarms,
            delay_ns: Some(0),
            lead_ns: Some(0),
            noise_ns: 0,
        };
        Tried { parameters: vec![threshold], figures }
    }

    #[test]
    fn few_incidents_leave_the_usual_settings_and_many_take_the_best() {
        let of = |incidents: usize| {
            [2.0, 3.0, 4.0, 6.0].map(|threshold| {
                let noise = if threshold < 6.0 { incidents } else { 0 };
                tried(threshold, incidents, incidents, noise)
            })
        };
        assert_eq!(recommended(&of(1), &[Some(2.1)], Goal::F1), Some(0));
        assert_eq!(recommended(&of(1000), &[Some(2.1)], Goal::F1), Some(3));
        assert_eq!(recommended(&of(1), &[None], Goal::F1), Some(3));
        assert_eq!(recommended(&of(0), &[Some(2.1)], Goal::F1), None);
    }

    #[test]
    fn the_goal_decides_what_is_best() {
        let all = [tried(2.0, 100, 100, 100), tried(4.0, 40, 100, 0)];
        assert_eq!(recommended(&all, &[None], Goal::Recall), Some(0));
        assert_eq!(recommended(&all, &[None], Goal::Precision), Some(1));
    }
}
