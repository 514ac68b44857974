//! Names of arguments, for functions that can be called with `name => value`.

/// The arguments of functions when all are given, in order. An argument may have a second name.
const ARGUMENTS: [(&str, &[&[&str]]); 10] = [
    ("business_time", &[&["t0", "start"], &["t1", "finish"], &["calendar"], &["pause"]]),
    ("time_bucket", &[WIDTH, TIME, &["timezone"], &["origin"], &["offset"]]),
    ("time_bucket_gapfill", &[WIDTH, TIME, &["start"], &["finish"], &["timezone"], &["origin"], &["offset"]]),
    ("locf", &[&["value"], &["prev"], &["treat_null_as_missing"]]),
    ("anomaly_score", &[VALUE, TIME, &["method"], &["season"]]),
    ("anomaly_onset", &[VALUE, TIME, &["method"], &["season"]]),
    ("baseline_expected", &[VALUE, TIME, &["season"], &["band"]]),
    ("baseline_lower", &[VALUE, TIME, &["season"], &["band"]]),
    ("baseline_upper", &[VALUE, TIME, &["season"], &["band"]]),
    ("time_weighted_avg", &[&["value"], TIME, &["method"]]),
];

const WIDTH: &[&str] = &["bucket_width", "width"];
const VALUE: &[&str] = &["value", "v"];
const TIME: &[&str] = &["ts", "time"];

/// The names of a function's arguments in order, each with its other names; `None` for a function that is called by position.
pub(crate) fn argument_names(function: &str) -> Option<&'static [&'static [&'static str]]> {
    ARGUMENTS.iter().find(|(name, _)| *name == function).map(|(_, arguments)| *arguments)
}
