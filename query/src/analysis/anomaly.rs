//! Baselines and anomaly scores of one series: what was expected, the band around it, how unlikely the value is.
//!
//! ```text
//! point ─► expected, band       from the usual course of the season and the level beside it
//!       ─► features             residuals (fast, slow, of the season, of a line); novelty (of the value, the residual, the recent mean)
//!       ─► calibration          each feature's own past: minus the logarithm of the probability of as much
//!       ─► fusion               of residuals half of the largest and half of the mean, and half of the novelty of the value
//!       ─► learning             after scoring, residuals clipped; levels stand still while values are outside of the band
//! ```
//!
//! A level that followed a series through an outage would call the outage normal before it is over, and what comes after it strange.
//! So from a strange point outside of the band on, levels stay as they were before it, until a value is inside again. What lasts
//! longer than [`Settings::hold_ns`] is what is normal now.
//!
//! A model is O(1) for a point. The same points in the same order give the same bits. `docs/detection.md` tells how well it does.

use chrono_tz::Tz;

mod calibration;
mod novelty;
pub(crate) mod onset;
mod saved;
mod season;
pub(crate) mod signs;

#[cfg(test)]
mod gates;
#[cfg(test)]
mod tests;

use calibration::{Calibration, SCORE_MAX};
use novelty::Seen;
use season::{Place, Seasons, points_per_slot};

/// What a value depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Season {
    HourOfWeek,
    HourOfDay,
    DayOfMonth,
}

/// Which features make the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Spikes, dips and steps, and more so where the value is new: what is right for most.
    Auto,
    /// Spikes, dips and steps.
    Residual,
    /// Values that were never seen.
    Novelty,
}

/// How a series is modelled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) seasons: Vec<Season>,
    /// Time between two points.
    pub(crate) step_ns: i64,
    /// For how long a point counts.
    pub(crate) history_ns: i64,
    /// For how long levels stand still while values are outside of the band; 0 for levels that always follow.
    pub(crate) hold_ns: i64,
    pub(crate) method: Method,
    /// The share of values that the band holds.
    pub(crate) band: f64,
    /// The zone in which days begin.
    pub(crate) zone: Tz,
}

/// What is said of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) expected: Option<f64>,
    pub(crate) lower: Option<f64>,
    pub(crate) upper: Option<f64>,
    /// Minus the decimal logarithm of the probability of a point as strange within five minutes, or within a step where steps
    /// are longer; `None` while learning.
    pub(crate) score: Option<f64>,
    pub(crate) band: Band,
}

/// How much attention a point deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Band {
    Normal,
    Warn,
    Critical,
    Learning,
    NoData,
}

impl Band {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Band::Normal => "normal",
            Band::Warn => "warn",
            Band::Critical => "critical",
            Band::Learning => "learning",
            Band::NoData => "no_data",
        }
    }

    /// The band of a word.
    pub(crate) fn of_word(word: &str) -> Option<Band> {
        let all = [Band::Normal, Band::Warn, Band::Critical, Band::Learning, Band::NoData];
        all.into_iter().find(|band| band.word() == word)
    }
}

/// What is different from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rebase {
    /// The level is another one; the season and how far values are from it stay.
    Shift,
    /// Values are twice as far from what is expected, less so as others are learned.
    Widen,
    /// Everything.
    Reset,
}

/// Scores from which a point is to be looked at, and to be acted on.
pub(crate) const WARN: f64 = 2.5;
pub(crate) const CRITICAL: f64 = 4.0;

/// The score of a point outside of the band from which levels stand still: less, and they would stand still where a series has only
/// gone elsewhere.
const HOLD: f64 = 6.0;

/// Points before the first score.
const POINTS_MIN: u64 = 100;

/// Points before calibrations learn.
const SETTLED: u64 = 20;
const SETTLED_NOVELTIES: u64 = 330;

/// How fast levels follow.
const FAST: f64 = 0.3;
const SLOW: f64 = 0.05;

/// How fast a line follows: where it is, and where it goes.
const LINE: f64 = 0.5;
const TREND: f64 = 0.05;

/// Scores are for this time: a series with more points does not have more alarms.
const ALARM_TIME_NS: i64 = 300_000_000_000;

/// How much the novelty of a value adds to what its residuals say.
const NOVELTY: f64 = 0.5;

/// How fast the usual deviation follows.
const DEVIATION: f64 = 0.01;

/// The share of the deviation of a long time that the usual one is at least, and how fast that one follows.
const LONG: f64 = 0.5;
const LONG_MEMORY: f64 = 1e-4;

/// Residuals beyond this many usual deviations are learned as that many.
const CLIP: f64 = 6.0;

/// Points in the recent mean.
const RECENT: usize = 20;

/// Bins per unit of the inverse hyperbolic sine.
const RESOLUTION: f64 = 500.0;

/// Features, and how many of them, the first, are residuals.
const FEATURES: usize = 7;
const RESIDUALS: usize = 4;

/// Scales of the tail that nonconformities are learned as at most: residuals, novelties, and distances from what was expected.
const CLIP_RESIDUALS: f64 = 1.4;
const CLIP_NOVELTIES: f64 = 20.0;
const CLIP_WIDTHS: f64 = 12.0;

/// That of a feature.
fn clip_of(feature: usize) -> f64 {
    if feature < RESIDUALS { CLIP_RESIDUALS } else { CLIP_NOVELTIES }
}

/// No value, no residual and no recent mean that was ever seen.
fn unseen() -> [Seen; 3] {
    [Seen::new(RESOLUTION), Seen::new(RESOLUTION), Seen::new(1_000.0)]
}

/// A level that follows a series, or a line that does (Holt 1957), and how far points usually are from it.
#[derive(Debug, Clone, PartialEq)]
struct Level {
    alpha: f64,
    /// How fast the trend follows; 0 for a level.
    beta: f64,
    level: f64,
    /// Change until the next point.
    trend: f64,
    /// Of late, large ones clipped.
    deviation: f64,
    /// Of a long time, as it was.
    long: f64,
    count: u64,
}

impl Level {
    fn new(alpha: f64) -> Level {
        Level::line(alpha, 0.0)
    }

    fn line(alpha: f64, beta: f64) -> Level {
        Level { alpha, beta, level: 0.0, trend: 0.0, deviation: 0.0, long: 0.0, count: 0 }
    }

    fn residual(&self, value: f64) -> f64 {
        if self.count == 0 { 0.0 } else { value - self.level - self.trend }
    }

    /// The residual by the usual deviation.
    fn nonconformity(&self, value: f64) -> f64 {
        self.residual(value).abs() / self.scale()
    }

    /// The usual deviation. What is calm now is measured by what it was in a long time as well, and by a billionth of the level.
    fn scale(&self) -> f64 {
        self.deviation.max(LONG * self.long).max(self.level.abs() * 1e-9 + 1e-12)
    }

    fn learn(&mut self, value: f64) {
        let residual = self.residual(value);
        self.count += 1;
        if self.count == 1 {
            self.level = value;
            return;
        }
        let weight = DEVIATION.max(1.0 / self.count as f64);
        let bound =
            if self.count < 20 { residual.abs() } else { CLIP * self.deviation.max(1e-12 + self.level.abs() * 1e-9) };
        self.long += LONG_MEMORY.max(1.0 / self.count as f64) * (residual.abs() - self.long);
        self.deviation += weight * (residual.abs().min(bound) - self.deviation);
        self.level += self.trend + self.alpha.max(1.0 / self.count as f64) * residual;
        self.trend += self.beta * residual;
    }

    /// Goes on as if a point had had this value, of which nothing is known: how far points usually are stays as it is.
    fn follow(&mut self, value: f64) {
        let residual = self.residual(value);
        self.level += self.trend + self.alpha * residual;
        self.trend += self.beta * residual;
    }

    /// Is at another level from now on.
    fn jump(&mut self, value: f64) {
        (self.level, self.trend) = (value, 0.0);
    }
}

/// What becomes of levels at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// They follow it.
    Follow,
    /// It is the first of those that they do not follow: they go where they were expected to.
    First,
    /// It is another one of these.
    Stand,
    /// What was strange for so long is what is usual.
    Accept,
}

/// What is known of a series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Model {
    settings: Settings,
    /// The logarithm of the points in the time that scores are for.
    crowd: f64,
    first_ns: Option<i64>,
    last_ns: i64,
    /// Up to when it was told that something is different.
    rebased_ns: i64,
    /// The first point of those outside of the band, while levels stand still.
    held_ns: Option<i64>,
    /// Points until novelties are told again after a shift, counted as `count` is.
    novel_from: u64,
    count: u64,
    seasons: Seasons,
    fast: Level,
    slow: Level,
    line: Level,
    /// Of what is left when the season is taken away.
    apart: Level,
    /// Of the same, for the band.
    course: Level,
    recent: Vec<f64>,
    seen: [Seen; 3],
    /// The range of the first values, by which the recent mean is looked at more or less finely.
    low: f64,
    high: f64,
    calibrations: [Calibration; FEATURES],
    /// How far points are from what was expected, in usual deviations.
    widths: Calibration,
}

impl Model {
    /// The time of the last point that was learned.
    pub(crate) fn last_ns(&self) -> Option<i64> {
        self.first_ns.map(|_| self.last_ns)
    }

    /// True for a point that is after all that were learned.
    pub(crate) fn is_next(&self, time_ns: i64) -> bool {
        self.last_ns().is_none_or(|last_ns| time_ns > last_ns)
    }

    pub(crate) fn new(settings: &Settings) -> Model {
        Model {
            settings: settings.clone(),
            crowd: (ALARM_TIME_NS as f64 / settings.step_ns.max(1) as f64).log10().max(0.0),
            first_ns: None,
            last_ns: 0,
            rebased_ns: i64::MIN,
            held_ns: None,
            novel_from: 0,
            count: 0,
            seasons: Seasons::new(&settings.seasons),
            fast: Level::new(FAST),
            slow: Level::new(SLOW),
            line: Level::line(LINE, TREND),
            apart: Level::new(FAST),
            course: Level::new(SLOW),
            recent: Vec::with_capacity(RECENT),
            seen: unseen(),
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            calibrations: std::array::from_fn(|at| Calibration::new(clip_of(at))),
            widths: Calibration::new(CLIP_WIDTHS),
        }
    }

    /// Takes in that something was different from `at_ns` on, before the first point after it. What was said of earlier points stays,
    /// and so does what came before the model's first point.
    pub(crate) fn rebase(&mut self, at_ns: i64, how: Rebase) {
        if at_ns <= self.rebased_ns || self.first_ns.is_none_or(|first_ns| at_ns <= first_ns) {
            return;
        }
        match how {
            Rebase::Shift => {
                self.held_ns = None;
                self.levels().into_iter().for_each(|level| level.count = 0);
                self.recent.clear();
                self.seen = unseen();
                self.novel_from = self.count + POINTS_MIN;
            }
            Rebase::Widen => self.levels().into_iter().for_each(|level| {
                level.deviation *= 2.0;
                level.long *= 2.0;
            }),
            Rebase::Reset => *self = Model::new(&self.settings),
        }
        self.rebased_ns = at_ns;
    }

    fn levels(&mut self) -> [&mut Level; 5] {
        [&mut self.fast, &mut self.slow, &mut self.line, &mut self.apart, &mut self.course]
    }

    /// Says what it thinks of a point by what it learned before, then learns it, if `learn`. Points come in the order of time; a
    /// value that is not finite is missing.
    pub(crate) fn observe(&mut self, time_ns: i64, value: f64, learn: bool) -> Verdict {
        let place = Place::of(time_ns, self.settings.zone);
        let days = self.first_ns.map_or(0, |first| time_ns.saturating_sub(first) / 86_400_000_000_000);
        let usual = self.seasons.usual(place, days);
        let early = self.seasons.early(place, days);
        let is_learning = self.is_learning(time_ns);
        let expected = self.expected(usual);
        let width = self.course.scale() * self.widths.quantile(self.settings.band);
        let bounds = expected.filter(|_| !is_learning).map(|expected| (expected - width, expected + width));
        let known = Verdict {
            expected: expected.filter(|_| !is_learning),
            lower: bounds.map(|(lower, _)| lower),
            upper: bounds.map(|(_, upper)| upper),
            score: None,
            band: Band::NoData,
        };
        if !value.is_finite() {
            return known;
        }
        let features = self.features(value, usual, early);
        let score = self.fused(&features);
        if learn {
            let is_outside = bounds.is_some_and(|(lower, upper)| value < lower || value > upper);
            let hold = self.hold(time_ns, is_outside, score);
            self.learn(time_ns, place, value, [usual, early, expected], &features, hold);
        }
        if is_learning {
            return Verdict { band: Band::Learning, ..known };
        }
        let band = match score {
            score if score >= CRITICAL => Band::Critical,
            score if score >= WARN => Band::Warn,
            _ => Band::Normal,
        };
        Verdict { score: Some(score), band, ..known }
    }

    /// Decides what becomes of levels at a point.
    fn hold(&mut self, time_ns: i64, is_outside: bool, score: f64) -> Hold {
        let (held_ns, hold) = match self.held_ns {
            _ if self.settings.hold_ns == 0 => (None, Hold::Follow),
            None if is_outside && score >= HOLD => (Some(time_ns), Hold::First),
            None => (None, Hold::Follow),
            Some(_) if !is_outside => (None, Hold::Follow),
            Some(since_ns) if time_ns.saturating_sub(since_ns) >= self.settings.hold_ns => (None, Hold::Accept),
            Some(since_ns) => (Some(since_ns), Hold::Stand),
        };
        self.held_ns = held_ns;
        hold
    }

    /// Until a hundred points and half a day, where days matter.
    fn is_learning(&self, time_ns: i64) -> bool {
        const HALF_A_DAY_NS: i64 = 43_200_000_000_000;
        let least = if self.settings.seasons.is_empty() { 0 } else { HALF_A_DAY_NS };
        self.count < POINTS_MIN || self.first_ns.is_none_or(|first| time_ns.saturating_sub(first) < least)
    }

    /// The usual course, moved to where the series is of late; the slow level without one.
    fn expected(&self, usual: Option<f64>) -> Option<f64> {
        match usual {
            _ if self.count == 0 => None,
            Some(usual) => Some(usual + self.course.level),
            None => Some(self.slow.level),
        }
    }

    /// How strange a value is in each respect.
    fn features(&self, value: f64, usual: Option<f64>, early: Option<f64>) -> [f64; FEATURES] {
        let mean = self.recent_with(value);
        let apart = early.map_or(value - self.slow.level, |early| value - early);
        let novel = |distance: f64| if self.count < self.novel_from { 0.0 } else { distance };
        [
            self.fast.nonconformity(value),
            self.slow.nonconformity(value),
            usual.map_or_else(|| self.fast.nonconformity(value), |usual| self.apart.nonconformity(value - usual)),
            self.line.nonconformity(value),
            novel(self.seen[0].distance(value.asinh())),
            novel(self.seen[1].distance(apart.asinh())),
            if self.count >= POINTS_MIN { novel(self.seen[2].distance(self.in_range(mean))) } else { 0.0 },
        ]
    }

    /// A value by the range of the first ones.
    fn in_range(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low).max(self.high.abs() * 1e-9 + 1e-12)
    }

    fn recent_with(&self, value: f64) -> f64 {
        let skip = usize::from(self.recent.len() >= RECENT);
        let rest = &self.recent[skip..];
        (rest.iter().sum::<f64>() + value) / (rest.len() + 1) as f64
    }

    fn fused(&self, features: &[f64; FEATURES]) -> f64 {
        let scores: [f64; FEATURES] = std::array::from_fn(|at| self.calibrations[at].score(features[at]));
        let of = |scores: &[f64]| {
            let largest = scores.iter().copied().fold(0.0, f64::max);
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            0.5 * largest + 0.5 * mean
        };
        let (residuals, novelties) = scores.split_at(RESIDUALS);
        let score = match self.settings.method {
            Method::Residual => of(residuals),
            // New in one respect alone is seldom wrong: all of them count alike.
            Method::Novelty => novelties.iter().sum::<f64>() / novelties.len() as f64,
            Method::Auto => of(residuals) + NOVELTY * novelties[0],
        };
        (score - self.crowd).clamp(0.0, SCORE_MAX)
    }

    fn learn(
        &mut self,
        time_ns: i64,
        place: Place,
        value: f64,
        [usual, early, expected]: [Option<f64>; 3],
        features: &[f64; FEATURES],
        hold: Hold,
    ) {
        let days_of_history = self.settings.history_ns as f64 / 86_400e9;
        if hold != Hold::Stand {
            self.learn_strangeness(time_ns, value, early, expected, features);
        }
        match (hold, expected) {
            (Hold::First | Hold::Stand, Some(expected)) => self.learn_level(expected, usual, Level::follow),
            (Hold::Accept, _) => {
                self.learn_level(value, usual, Level::jump);
                self.novel_from = self.count + POINTS_MIN;
            }
            _ => self.learn_level(value, usual, Level::learn),
        }
        let (per_slot, is_strange) =
            (points_per_slot(self.settings.step_ns), matches!(hold, Hold::First | Hold::Stand));
        self.seasons.learn(place, value, days_of_history, per_slot, is_strange);
        self.first_ns.get_or_insert(time_ns);
        self.last_ns = time_ns;
        self.count += 1;
    }

    /// Learns how far points are from what was expected, and which were seen.
    fn learn_strangeness(
        &mut self,
        time_ns: i64,
        value: f64,
        early: Option<f64>,
        expected: Option<f64>,
        features: &[f64; FEATURES],
    ) {
        // The first deviations are of too few points to go by, and at first everything is new.
        for (at, (calibration, feature)) in self.calibrations.iter_mut().zip(features).enumerate() {
            if self.count >= if at < RESIDUALS { SETTLED } else { SETTLED_NOVELTIES } {
                calibration.learn(*feature);
            }
        }
        if let Some(expected) = expected.filter(|_| self.count >= SETTLED) {
            self.widths.learn((value - expected).abs() / self.course.scale());
        }
        let step = time_ns.saturating_div(self.settings.step_ns.max(1));
        self.seen[0].learn(value.asinh(), step);
        self.seen[1].learn(early.map_or(value - self.slow.level, |early| value - early).asinh(), step);
        if self.count >= POINTS_MIN {
            self.seen[2].learn(self.in_range(self.recent_with(value)), step);
        } else {
            (self.low, self.high) = (self.low.min(value), self.high.max(value));
        }
    }

    fn learn_level(&mut self, value: f64, usual: Option<f64>, learn: fn(&mut Level, f64)) {
        if self.recent.len() >= RECENT {
            self.recent.remove(0);
        }
        self.recent.push(value);
        learn(&mut self.fast, value);
        learn(&mut self.slow, value);
        learn(&mut self.line, value);
        if let Some(usual) = usual {
            learn(&mut self.apart, value - usual);
        }
        learn(&mut self.course, value - usual.unwrap_or(self.slow.level));
    }
}

/// What is said of each point of a series, in the order of time.
pub(crate) fn score_series(times_ns: &[i64], values: &[f64], settings: &Settings) -> Vec<Verdict> {
    let mut model = Model::new(settings);
    times_ns.iter().zip(values).map(|(time, value)| model.observe(*time, *value, true)).collect()
}
