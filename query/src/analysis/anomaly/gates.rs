//! How well scores find the labelled anomalies of public data sets. `docs/detection.md` has the figures.
//!
//! The data is found by the environment variable `PLIMSOLL_DATA`; where it is not there, a gate says so and passes.

#![expect(clippy::print_stderr, reason = "the figures are what whoever runs a gate wants to see")]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use chrono::NaiveDateTime;

use super::*;

mod nab;

/// A labelled series.
struct Labelled {
    times_ns: Vec<i64>,
    values: Vec<f64>,
    labels: Vec<bool>,
    /// Rows before this one are for learning.
    judged_from: usize,
}

fn data(set: &str) -> Option<PathBuf> {
    let root = std::env::var_os("PLIMSOLL_DATA").map(PathBuf::from);
    let root = root.or_else(|| Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data")))?;
    let folder = root.join(set);
    if !folder.is_dir() {
        eprintln!("skipped: data set not present ({set})");
        return None;
    }
    Some(folder)
}

fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path, end)),
            path if path.to_string_lossy().ends_with(end) => found.push(path),
            _ => {}
        }
    }
    found.sort();
    found
}

fn text_of(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    match path.extension().is_some_and(|extension| extension == "gz") {
        true => drop(flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap()),
        false => text = String::from_utf8(bytes).unwrap(),
    }
    text
}

fn instant(text: &str) -> i64 {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds * 1_000_000_000;
    }
    let text = text.trim_end_matches('Z');
    let forms = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S"];
    let read = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    read.unwrap_or_else(|| panic!("no time: {text}")).and_utc().timestamp_nanos_opt().unwrap()
}

/// The time between most points.
fn step_of(times_ns: &[i64]) -> i64 {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    times_ns.windows(2).for_each(|pair| *counts.entry(pair[1] - pair[0]).or_default() += 1);
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(60_000_000_000, |(step, _)| step.max(1))
}

fn settings(times_ns: &[i64], method: Method, hold_ns: i64) -> Settings {
    Settings {
        seasons: vec![Season::HourOfWeek],
        step_ns: step_of(times_ns),
        history_ns: 56 * 86_400_000_000_000,
        hold_ns,
        method,
        band: 0.99,
        zone: Tz::UTC,
    }
}

/// Scores of a series, 0 while there are none.
fn scores(times_ns: &[i64], values: &[f64], method: Method, hold_ns: i64) -> Vec<f64> {
    let verdicts = score_series(times_ns, values, &settings(times_ns, method, hold_ns));
    verdicts.iter().map(|verdict| verdict.score.unwrap_or(0.0)).collect()
}

/// Scores where something begins, 0 elsewhere.
fn onsets(times_ns: &[i64], values: &[f64], method: Method, hold_ns: i64) -> Vec<f64> {
    let mut onset = onset::Onset::new(step_of(times_ns));
    let scores = scores(times_ns, values, method, hold_ns);
    scores.into_iter().map(|score| onset.observe(Some(score)).unwrap_or(0.0)).collect()
}

fn nab(method: Method, hold_ns: i64) -> Option<[f64; 3]> {
    let folder = data("nab")?;
    let windows: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&text_of(&folder.join("labels/combined_windows.json"))).unwrap();
    let mut corpus = Vec::new();
    for (name, windows) in windows {
        let path = folder.join(&name);
        if !path.is_file() {
            continue;
        }
        let text = text_of(&path);
        let rows = text.lines().skip(1).map(|line| line.split_once(',').unwrap());
        let (times, values): (Vec<i64>, Vec<f64>) =
            rows.map(|(time, value)| (instant(time), value.parse::<f64>().unwrap())).unzip();
        let row = |text: &str| times.partition_point(|time| *time < instant(text));
        let windows = windows.iter().map(|(first, last)| (row(first), row(last))).collect();
        corpus.push(nab::Scored { scores: onsets(&times, &values, method, hold_ns), windows });
    }
    assert!(corpus.len() >= 30, "{} series", corpus.len());
    let profiles = [nab::STANDARD, nab::LOW_FALSE_POSITIVES, nab::LOW_FALSE_NEGATIVES];
    Some(profiles.map(|profile| nab::best(&corpus, profile).0))
}

fn labelled(set: &str) -> Option<Vec<Labelled>> {
    let read = |path: &PathBuf| {
        let text = text_of(path);
        let mut series = Labelled { times_ns: Vec::new(), values: Vec::new(), labels: Vec::new(), judged_from: 0 };
        let mut rows: Vec<(i64, f64, bool, bool)> = Vec::new();
        for line in text.lines().skip(1).filter(|line| !line.trim().is_empty()) {
            let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
            let is_for_learning = fields.get(3) == Some(&"0");
            rows.push((
                instant(fields[0]),
                fields[1].parse().unwrap_or(f64::NAN),
                fields[2].starts_with('1'),
                is_for_learning,
            ));
        }
        rows.sort_by_key(|row| row.0);
        rows.dedup_by_key(|row| row.0);
        for (time, value, label, is_for_learning) in rows {
            series.times_ns.push(time);
            series.values.push(value);
            series.labels.push(label);
            if is_for_learning {
                series.judged_from = series.times_ns.len();
            }
        }
        series
    };
    Some(files(&data(set)?, ".csv.gz").iter().map(read).collect())
}

/// Points of anomalies found, missed, and false alarms: an anomaly is found whole when one of its first eight points is.
fn counts(scores: &[f64], labels: &[bool], threshold: f64) -> (usize, usize, usize) {
    const DELAY: usize = 7;
    let (mut found, mut missed, mut wrong) = (0, 0, 0);
    let mut at = 0;
    while at < labels.len() {
        if !labels[at] {
            wrong += usize::from(scores[at] >= threshold);
            at += 1;
            continue;
        }
        let end = labels[at..].iter().position(|label| !label).map_or(labels.len(), |length| at + length);
        let in_time = scores[at..end.min(at + DELAY + 1)].iter().any(|score| *score >= threshold);
        if in_time {
            found += end - at;
        } else {
            missed += end - at;
        }
        at = end;
    }
    (found, missed, wrong)
}

/// The F1 of all series together at a threshold.
fn f1(series: &[(Vec<f64>, Vec<bool>)], threshold: f64) -> f64 {
    let sum = series.iter().map(|(scores, labels)| counts(scores, labels, threshold));
    let (found, missed, wrong) = sum.fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
    2.0 * found as f64 / (2 * found + missed + wrong).max(1) as f64
}

/// The F1 at the best threshold of all and at the one given.
fn delayed(set: &str, method: Method, hold_ns: i64, fixed: f64) -> Option<(f64, f64, f64)> {
    let scored: Vec<(Vec<f64>, Vec<bool>)> = labelled(set)?
        .into_iter()
        .map(|series| {
            let scores = onsets(&series.times_ns, &series.values, method, hold_ns);
            (scores[series.judged_from..].to_vec(), series.labels[series.judged_from..].to_vec())
        })
        .collect();
    let all = (10..80).map(|n| f64::from(n) * 0.1);
    let best =
        all.map(|threshold| (f1(&scored, threshold), threshold)).fold((0.0, 0.0), |a, b| if b.0 > a.0 { b } else { a });
    Some((best.0, f1(&scored, fixed), best.1))
}

#[test]
fn anomalies_of_the_numenta_benchmark_are_found() {
    let Some([standard, low_fp, low_fn]) = nab(Method::Novelty, 0) else { return };
    eprintln!("NAB: {standard:.1} / {low_fp:.1} / {low_fn:.1}");
    assert!(standard >= 73.0 && low_fp >= 64.0 && low_fn >= 78.0, "{standard} {low_fp} {low_fn}");
}

#[test]
fn anomalies_of_web_services_are_found_in_time() {
    let Some((pooled, fixed, at)) = delayed("aiops_kpi", Method::Auto, 0, WARN) else { return };
    eprintln!("AIOps: {pooled:.3} at {at:.1}, {fixed:.3} at {WARN}");
    assert!(pooled >= 0.77 && fixed >= 0.74, "{pooled} {fixed}");
}

#[test]
fn anomalies_of_cloud_services_are_found_in_time() {
    let Some((pooled, fixed, at)) = delayed("mscloud", Method::Auto, 0, WARN) else { return };
    eprintln!("Microsoft: {pooled:.3} at {at:.1}, {fixed:.3} at {WARN}");
    assert!(fixed >= 0.55, "{pooled} {fixed}");
}

/// What a baseline does beside what a detector would.
#[test]
fn levels_that_stand_still_find_about_as_much() {
    const HALF_A_DAY_NS: i64 = 43_200_000_000_000;
    for (set, least) in [("aiops_kpi", 0.65), ("mscloud", 0.55)] {
        let Some((pooled, fixed, at)) = delayed(set, Method::Auto, HALF_A_DAY_NS, WARN) else { return };
        eprintln!("{set} with a hold: {pooled:.3} at {at:.1}, {fixed:.3} at {WARN}");
        assert!(fixed >= least, "{set} {pooled} {fixed}");
    }
}
