//! What a model says of made-up series.

use super::saved::Corrupt;
use super::*;

const MINUTE: i64 = 60_000_000_000;

fn settings(seasons: &[Season], method: Method, step_ns: i64) -> Settings {
    let history_ns = 56 * 1_440 * MINUTE;
    Settings {
        seasons: seasons.to_vec(),
        step_ns,
        history_ns,
        hold_ns: 1_440 * MINUTE,
        method,
        band: 0.99,
        zone: Tz::UTC,
    }
}

/// Numbers without order, the same each time, from -1 to 1.
fn noise(seed: u64, at: usize) -> f64 {
    let mut bits = (at as u64).wrapping_add(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// Four weeks of a series that follows the day, in steps of ten minutes.
fn daily() -> (Vec<i64>, Vec<f64>) {
    let times: Vec<i64> = (0..4 * 7 * 144).map(|n| n * 10 * MINUTE).collect();
    let value = |(at, time): (usize, &i64)| {
        let hours = (*time % (1_440 * MINUTE)) as f64 / (60 * MINUTE) as f64;
        100.0 + 40.0 * (hours / 24.0 * std::f64::consts::TAU).sin() + 2.0 * noise(1, at)
    };
    let values = times.iter().enumerate().map(value).collect();
    (times, values)
}

#[test]
fn a_model_learns_before_it_scores() {
    let (times, values) = daily();
    let verdicts = score_series(&times, &values, &settings(&[Season::HourOfWeek], Method::Auto, 10 * MINUTE));
    assert!(verdicts[..100].iter().all(|v| v.band == Band::Learning && v.score.is_none() && v.expected.is_none()));
    assert!(verdicts[100..].iter().all(|v| v.score.is_some() && v.lower <= v.expected && v.expected <= v.upper));
}

#[test]
fn the_band_follows_the_season_and_holds_what_it_says() {
    let (times, values) = daily();
    let verdicts = score_series(&times, &values, &settings(&[Season::HourOfDay], Method::Auto, 10 * MINUTE));
    let last_week = verdicts.iter().zip(&values).skip(3 * 7 * 144);
    let inside = last_week.clone().filter(|(v, value)| v.lower <= Some(**value) && Some(**value) <= v.upper).count();
    let share = inside as f64 / (7 * 144) as f64;
    assert!((0.96..=1.0).contains(&share), "{share}");
    let far = last_week.map(|(v, value)| (v.expected.unwrap() - value).abs()).fold(0.0, f64::max);
    assert!(far < 20.0, "{far}");
    let calm = verdicts[144 * 7..].iter().filter(|v| v.band == Band::Critical).count();
    assert!(calm < 12, "{calm}");
}

#[test]
fn a_spike_is_seen_by_every_method() {
    let (times, mut values) = daily();
    let at = 3 * 7 * 144 + 70;
    values[at] += 120.0;
    for method in [Method::Auto, Method::Residual, Method::Novelty] {
        let verdicts = score_series(&times, &values, &settings(&[Season::HourOfWeek], method, 10 * MINUTE));
        assert_eq!(verdicts[at].band, Band::Critical, "{method:?} {:?}", verdicts[at]);
    }
}

#[test]
fn a_usual_value_at_an_unusual_hour_is_seen_with_a_season() {
    let (times, mut values) = daily();
    let (at, like) = (3 * 7 * 144 + 36, 3 * 7 * 144 + 108);
    for n in 0..6 {
        values[at + n] = values[like + n];
    }
    let score = |seasons: &[Season]| {
        let verdicts = score_series(&times, &values, &settings(seasons, Method::Novelty, 10 * MINUTE));
        verdicts[at].score.unwrap()
    };
    assert!(score(&[Season::HourOfDay]) > score(&[]), "{} {}", score(&[Season::HourOfDay]), score(&[]));
}

/// Verdicts of values that are 120 more in some rows after the third week.
fn with_more(rows: impl Fn(usize) -> bool) -> (Vec<Verdict>, usize) {
    let (times, mut values) = daily();
    let first = 3 * 7 * 144;
    (0..7 * 144).filter(|at| rows(*at)).for_each(|at| values[first + at] += 120.0);
    (score_series(&times, &values, &settings(&[Season::HourOfDay], Method::Auto, 10 * MINUTE)), first)
}

/// The scores of which a test does not hold, by row.
fn scores_but(verdicts: &[Verdict], fits: impl Fn(f64) -> bool) -> Vec<(usize, f64)> {
    let scores = verdicts.iter().map(|verdict| verdict.score.unwrap()).enumerate();
    scores.filter(|(_, score)| !fits(*score)).collect()
}

#[test]
fn an_outage_is_strange_until_it_ends_and_what_comes_after_is_not() {
    let (verdicts, first) = with_more(|at| at < 48);
    let (during, after) = verdicts[first..].split_at(48);
    assert_eq!(scores_but(during, |score| score > 2.5), []);
    assert!(during.iter().all(|v| v.upper.unwrap() < 180.0));
    let strange = |from: usize| scores_but(&after[from..from + 48], |score| score < 1.5);
    // Right after it, and at the same time of the next day.
    assert!(strange(0).len() < 6 && strange(96).len() < 6, "{:?} {:?}", strange(0), strange(96));
}

#[test]
fn what_lasts_longer_than_a_day_is_normal() {
    let (verdicts, first) = with_more(|_| true);
    let (day, later) = verdicts[first..].split_at(144);
    assert_eq!(scores_but(day, |score| score > 2.5), []);
    assert!(scores_but(later, |score| score < 2.5).len() < 10, "{:?}", scores_but(later, |score| score < 2.5));
    assert!(later[6 * 144 - 1].expected.unwrap() > 180.0);
}

#[test]
fn what_comes_every_day_is_learned_as_a_season() {
    let (times, mut values) = daily();
    // A job of two hours in the night, from the fifth day on.
    (4 * 144..times.len()).filter(|at| at % 144 < 12).for_each(|at| values[at] += 120.0);
    let verdicts = score_series(&times, &values, &settings(&[Season::HourOfDay], Method::Auto, 10 * MINUTE));
    let night = |day: usize| verdicts[day * 144 + 6].expected.unwrap();
    assert!(night(4) < 120.0 && night(5) < 120.0 && night(27) > 190.0, "{} {} {}", night(4), night(5), night(27));
}

#[test]
fn a_model_that_stands_still_is_saved_as_it_is() {
    let (times, mut values) = daily();
    let first = 3 * 7 * 144;
    values[first..first + 48].iter_mut().for_each(|value| *value += 120.0);
    let settings = settings(&[Season::HourOfDay], Method::Auto, 10 * MINUTE);
    let whole = score_series(&times, &values, &settings);
    let mut model = Model::new(&settings);
    for at in 0..first + 10 {
        model.observe(times[at], values[at], true);
    }
    let mut restored = Model::restore(&model.save(), &settings).unwrap();
    assert_eq!(restored, model);
    for at in first + 10..times.len() {
        assert_eq!(restored.observe(times[at], values[at], true), whole[at], "{at}");
    }
}

#[test]
fn what_is_not_to_be_learned_leaves_no_trace() {
    let (times, values) = daily();
    let settings = settings(&[Season::HourOfDay], Method::Auto, 10 * MINUTE);
    let mut model = Model::new(&settings);
    times.iter().zip(&values).for_each(|(time, value)| {
        model.observe(*time, *value, true);
    });
    let before = model.clone();
    model.observe(times[times.len() - 1] + 10 * MINUTE, 1e9, false);
    assert_eq!(model, before);
}

#[test]
fn missing_values_have_an_expectation_and_no_score() {
    let (times, values) = daily();
    let settings = settings(&[Season::HourOfDay], Method::Auto, 10 * MINUTE);
    let mut model = Model::new(&settings);
    times.iter().zip(&values).for_each(|(time, value)| {
        model.observe(*time, *value, true);
    });
    for missing in [f64::NAN, f64::INFINITY] {
        let verdict = model.observe(times[times.len() - 1] + 10 * MINUTE, missing, true);
        assert!(verdict.expected.is_some() && verdict.score.is_none() && verdict.band == Band::NoData);
    }
}

#[test]
fn odd_series_do_no_harm() {
    let settings = settings(&[Season::HourOfWeek, Season::DayOfMonth], Method::Auto, MINUTE);
    let series: [fn(usize) -> f64; 6] = [
        |_| 0.0,
        |_| 5.0,
        |at| at as f64 * 1e300,
        |at| if at.is_multiple_of(2) { f64::MAX } else { f64::MIN },
        |at| f64::from_bits((at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        |at| noise(7, at) * 1e-300,
    ];
    for make in series {
        let mut model = Model::new(&settings);
        for at in 0..3_000 {
            let verdict = model.observe(at as i64 * MINUTE, make(at), true);
            assert!(verdict.score.is_none_or(|score| (0.0..=SCORE_MAX).contains(&score)), "{at} {verdict:?}");
        }
    }
    let mut model = Model::new(&settings);
    for time in [i64::MIN, -1, 0, i64::MAX] {
        model.observe(time, 1.0, true);
    }
}

#[test]
fn a_model_goes_on_from_what_was_saved() {
    let (times, values) = daily();
    let settings = settings(&[Season::HourOfWeek, Season::DayOfMonth], Method::Auto, 10 * MINUTE);
    let whole = score_series(&times, &values, &settings);
    let mut model = Model::new(&settings);
    for at in 0..times.len() {
        if at % 977 == 0 {
            let saved = model.save();
            model = Model::restore(&saved, &settings).unwrap();
            assert_eq!(model.save(), saved);
        }
        assert_eq!(model.observe(times[at], values[at], true), whole[at], "{at}");
    }
    let saved = model.save();
    for at in (0..saved.len()).step_by(101) {
        let mut damaged = saved.clone();
        damaged[at] ^= 4;
        assert_eq!(Model::restore(&damaged, &settings), Err(Corrupt));
        assert_eq!(Model::restore(&saved[..at], &settings), Err(Corrupt));
    }
}
