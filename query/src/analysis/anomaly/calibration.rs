//! From a nonconformity, any number that is larger the stranger a point is, to the probability of one as large: what makes scores of
//! different series and features comparable.
//!
//! The bulk of past nonconformities is kept as a histogram over logarithms that forgets slowly. Beyond a high quantile the tail is
//! a generalised Pareto distribution fitted by moments (peaks over threshold; Pickands 1975, Hosking and Wallis 1987).

/// Bins of the histogram, and how many double the nonconformity.
const BINS: usize = 256;

/// Bins that are summed up together.
const BLOCK: usize = 16;
const PER_OCTAVE: f64 = 6.0;

/// The nonconformity that the first bin begins at; what is less is no nonconformity.
const LEAST: f64 = 1e-6;

/// Share of past points that the tail is fitted to.
const TAIL: f64 = 0.015;

/// Points between two fits.
const REFIT: u32 = 50;

/// Points after which the histogram has forgotten a third of what it knew.
const MEMORY: f64 = 100_000.0;

/// By how much an event beyond the known tail stretches it, how fast that is forgotten, and points that are one event.
const STRETCH: f64 = 1.07;
const RELAX: f64 = 3e-4;
const BURST: u32 = 20;

/// The largest score.
pub(super) const SCORE_MAX: f64 = 12.0;

/// The distribution of one feature's nonconformities.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Calibration {
    counts: Vec<f32>,
    /// The sums of each [`BLOCK`] of counts.
    blocks: [f32; BINS / BLOCK],
    total: f64,
    since_fit: u32,
    /// Scales beyond the threshold that a nonconformity is learned as at most.
    clip: f64,
    /// By how much that is stretched, because events beyond it come again and again.
    stretch: f64,
    since_stretch: u32,
    /// Where the tail begins, the share beyond it, its shape and its scale.
    threshold: f64,
    share: f64,
    shape: f64,
    scale: f64,
}

fn bin(nonconformity: f64) -> usize {
    if nonconformity <= LEAST {
        return 0;
    }
    let at = ((nonconformity / LEAST).log2() * PER_OCTAVE) as usize;
    at.min(BINS - 2) + 1
}

fn sum(counts: &[f32]) -> f32 {
    counts.iter().sum()
}

fn blocks(counts: &[f32]) -> [f32; BINS / BLOCK] {
    std::array::from_fn(|block| sum(&counts[block * BLOCK..][..BLOCK]))
}

/// The nonconformity in the middle of a bin.
fn middle(bin: usize) -> f64 {
    match bin {
        0 => 0.0,
        bin => LEAST * ((bin as f64 - 0.5) / PER_OCTAVE).exp2(),
    }
}

impl Calibration {
    pub(super) fn new(clip: f64) -> Calibration {
        Calibration {
            counts: vec![0.0; BINS],
            blocks: [0.0; BINS / BLOCK],
            total: 0.0,
            since_fit: REFIT,
            clip,
            stretch: 1.0,
            since_stretch: BURST,
            threshold: 0.0,
            share: 1.0,
            shape: 0.0,
            scale: 1.0,
        }
    }

    /// Minus the logarithm of the probability of a nonconformity as large, from 0 to 12.
    pub(super) fn score(&self, nonconformity: f64) -> f64 {
        if self.total < 1.0 || nonconformity <= 0.0 {
            return 0.0;
        }
        let probability = match nonconformity > self.threshold {
            true => {
                let over = (nonconformity - self.threshold) / self.scale;
                let survival = match self.shape < 1e-6 {
                    true => (-over).exp(),
                    false => (1.0 + self.shape * over).powf(-1.0 / self.shape),
                };
                self.share * survival
            }
            // Half of the own bin is as large.
            false => {
                let at = bin(nonconformity);
                let block = at / BLOCK;
                let near: f32 = self.counts[at + 1..(block + 1) * BLOCK].iter().sum();
                let above = near + self.blocks[block + 1..].iter().sum::<f32>();
                (f64::from(above) + f64::from(self.counts[at]) / 2.0) / self.total
            }
        };
        let least = 10f64.powf(-SCORE_MAX);
        -probability.clamp(least, 1.0).log10()
    }

    /// Learns a nonconformity.
    pub(super) fn learn(&mut self, nonconformity: f64) {
        // What is far out of the tail that is known says that the tail is longer, and no more: an anomaly is not the rule.
        // Where it is, event after event, more of it is believed.
        let mut known = f64::INFINITY;
        self.since_stretch = self.since_stretch.saturating_add(1);
        self.stretch += (1.0 - self.stretch) * RELAX;
        if self.total >= f64::from(REFIT) {
            known = self.threshold + self.clip * self.stretch * self.scale;
            if nonconformity > known && self.since_stretch >= BURST {
                self.stretch = (self.stretch * STRETCH).min(1e12);
                self.since_stretch = 0;
            }
        }
        let at = bin(nonconformity.min(known));
        self.counts[at] += 1.0;
        // Of the counts and nothing else, so that a restored histogram has the same sums.
        self.blocks[at / BLOCK] = sum(&self.counts[at / BLOCK * BLOCK..][..BLOCK]);
        self.total += 1.0;
        self.since_fit += 1;
        if self.since_fit >= REFIT {
            self.fit();
        }
    }

    /// The nonconformity that a share of the past did not exceed.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let wanted = self.total * share;
        let mut sum = 0.0;
        for (block, of_block) in self.blocks.iter().enumerate() {
            if sum + f64::from(*of_block) < wanted {
                sum += f64::from(*of_block);
                continue;
            }
            for at in block * BLOCK..(block + 1) * BLOCK {
                sum += f64::from(self.counts[at]);
                if sum >= wanted {
                    return middle(at);
                }
            }
        }
        middle(BINS - 1)
    }

    fn fit(&mut self) {
        let forget = (1.0 - f64::from(self.since_fit) / MEMORY) as f32;
        self.since_fit = 0;
        if self.total > MEMORY / 3.0 {
            self.counts.iter_mut().for_each(|count| *count *= forget);
            self.blocks = blocks(&self.counts);
        }
        self.total = self.counts.iter().map(|count| f64::from(*count)).sum();
        let mut above = 0.0;
        let mut begin = BINS;
        while begin > 1 && above + f64::from(self.counts[begin - 1]) <= self.total * TAIL {
            begin -= 1;
            above += f64::from(self.counts[begin]);
        }
        // The upper edge of the bin below.
        self.threshold = if begin <= 1 { 0.0 } else { LEAST * ((begin as f64 - 1.0) / PER_OCTAVE).exp2() };
        // A tail that nothing was seen in is as likely as half a point.
        self.share = above.max(0.5) / self.total.max(1.0);
        let (mut mean, mut square) = (0.0, 0.0);
        for at in begin..BINS {
            let over = (middle(at) - self.threshold).max(0.0);
            mean += f64::from(self.counts[at]) * over;
            square += f64::from(self.counts[at]) * over * over;
        }
        let spread = self.quantile(0.75).max(self.threshold / 2.0);
        let least = (spread * 0.1).max(LEAST);
        if above < 2.0 {
            (self.shape, self.scale) = (0.0, least.max(self.threshold * 0.5).max(LEAST));
            return;
        }
        (mean, square) = (mean / above, square / above);
        let variance = (square - mean * mean).max(1e-300);
        self.shape = (0.5 * (1.0 - mean * mean / variance)).clamp(0.0, 0.5);
        self.scale = (mean * (1.0 - self.shape)).max(least);
    }

    pub(super) fn parts(&self) -> (&[f32], [f64; 6], [u32; 2]) {
        let numbers = [self.total, self.threshold, self.share, self.shape, self.scale, self.stretch];
        (&self.counts, numbers, [self.since_fit, self.since_stretch])
    }

    /// From what [`Calibration::parts`] gave; `None` when that is not what it could have given.
    pub(super) fn from_parts(counts: Vec<f32>, numbers: [f64; 6], since: [u32; 2], clip: f64) -> Option<Calibration> {
        let [total, threshold, share, shape, scale, stretch] = numbers;
        let [since_fit, since_stretch] = since;
        let fits = counts.len() == BINS && numbers.iter().all(|number| number.is_finite()) && scale > 0.0;
        fits.then(|| Calibration {
            blocks: blocks(&counts),
            counts,
            total,
            since_fit,
            clip,
            stretch,
            since_stretch,
            threshold,
            share,
            shape,
            scale,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_how_rare_a_point_is() {
        let mut calibration = Calibration::new(1e3);
        // Exponential: of the quantiles of a regular grid, in an order that is none.
        let quantile = |n: u32| -(1.0 - (f64::from(n * 7919 % 10_000) + 0.5) / 10_000.0).ln();
        (0..10_000).for_each(|n| calibration.learn(quantile(n)));
        for probability in [1e-1, 1e-2, 1e-3, 1e-4, 1e-6] {
            let score = calibration.score(-f64::ln(probability));
            assert!((score + probability.log10()).abs() < 0.35, "{probability}: {score}");
        }
        assert_eq!(calibration.score(0.0), 0.0);
        assert!(calibration.score(1e9) <= SCORE_MAX);
        assert!((calibration.quantile(0.5) - 2f64.ln()).abs() < 0.1);
    }

    #[test]
    fn scores_never_fall() {
        let mut calibration = Calibration::new(1e3);
        (0..5_000u32).for_each(|n| calibration.learn(f64::from(n * 37 % 101) * if n % 500 == 0 { 20.0 } else { 0.1 }));
        let scores: Vec<f64> = (0..4_000).map(|n| calibration.score(f64::from(n) * 0.5)).collect();
        assert!(scores.windows(2).all(|pair| pair[0] <= pair[1] + 0.2), "{scores:?}");
    }
}
