//! The score of the Numenta Anomaly Benchmark: detections early in a window of labels are worth most, those outside cost.

/// What hits and misses are worth.
#[derive(Debug, Clone, Copy)]
pub(super) struct Profile {
    pub(super) false_positive: f64,
    pub(super) false_negative: f64,
}

pub(super) const STANDARD: Profile = Profile { false_positive: 0.11, false_negative: 1.0 };
pub(super) const LOW_FALSE_POSITIVES: Profile = Profile { false_positive: 0.22, false_negative: 1.0 };
pub(super) const LOW_FALSE_NEGATIVES: Profile = Profile { false_positive: 0.11, false_negative: 2.0 };

/// A series: a score for each row, and the rows of its windows, both ends in them.
pub(super) struct Scored {
    pub(super) scores: Vec<f64>,
    pub(super) windows: Vec<(usize, usize)>,
}

/// Rows at the start of a series that are not judged.
pub(super) fn probation(rows: usize) -> usize {
    (rows.min(5_000) as f64 * 0.15) as usize
}

fn sigmoid(at: f64) -> f64 {
    if at > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * at).exp()) - 1.0 }
}

/// The best score of a corpus over all thresholds, from 0 for no detections to 100 for a perfect one, and its threshold.
pub(super) fn best(corpus: &[Scored], profile: Profile) -> (f64, f64) {
    /// What a row is worth when it is detected: to a window, or by itself.
    enum Worth {
        Window(usize, f64),
        Alone(f64),
    }
    let mut rows: Vec<(f64, Worth)> = Vec::new();
    let mut windows = 0;
    for series in corpus {
        for row in probation(series.scores.len())..series.scores.len() {
            let inside = series.windows.iter().position(|(first, last)| (*first..=*last).contains(&row));
            let worth = match inside {
                Some(at) => {
                    let (first, last) = series.windows[at];
                    let place = -((last - row + 1) as f64) / (last - first + 1) as f64;
                    Worth::Window(windows + at, sigmoid(place) / sigmoid(-1.0))
                }
                None => {
                    let before = series.windows.iter().rev().find(|(_, last)| *last < row);
                    let place = before.map(|(first, last)| (row - last) as f64 / (last - first) as f64);
                    Worth::Alone(place.map_or(-1.0, sigmoid) * profile.false_positive)
                }
            };
            rows.push((series.scores[row], worth));
        }
        windows += series.windows.len();
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut best_of_window = vec![-profile.false_negative; windows];
    let null = -(windows as f64) * profile.false_negative;
    let mut total = null;
    let mut best = (total, f64::INFINITY);
    for (at, (score, worth)) in rows.iter().enumerate() {
        match worth {
            Worth::Alone(cost) => total += cost,
            Worth::Window(window, worth) => {
                let gain = worth - best_of_window[*window];
                if gain > 0.0 {
                    total += gain;
                    best_of_window[*window] = *worth;
                }
            }
        }
        let is_last_of_score = rows.get(at + 1).is_none_or(|(next, _)| next < score);
        if is_last_of_score && total > best.0 {
            best = (total, *score);
        }
    }
    (100.0 * (best.0 - null) / (windows as f64 - null), best.1)
}

#[test]
fn early_hits_are_worth_most() {
    let series = |detected: &[usize]| {
        let mut scores = vec![0.0; 1_000];
        detected.iter().for_each(|row| scores[*row] = 1.0);
        [Scored { scores, windows: vec![(500, 599)] }]
    };
    let of = |detected: &[usize]| best(&series(detected), STANDARD).0;
    assert_eq!(of(&[500]), 100.0);
    assert!(of(&[599]) > 50.0 && of(&[599]) < 55.0);
    assert_eq!(of(&[]), 0.0);
    // In the probation nothing counts.
    assert_eq!(of(&[500, 10]), 100.0);
    assert!((of(&[500, 400]) - (100.0 - 11.0 / 2.0)).abs() < 1e-9);
    assert!(of(&[500, 601]) > of(&[500, 400]));
    assert!(of(&[500, 501, 502]) == 100.0);
}
