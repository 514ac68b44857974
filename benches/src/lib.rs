//! The data of the benchmarks: hosts with ten integer fields each, as the TSBS "devops" set has them, without randomness from outside.

pub mod random;
pub mod timing;

use std::borrow::Cow;

use plimsoll_engine::{Point, Value};

/// Fields of every point.
pub const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

/// Time between two points of a host, ns.
pub const STEP_NS: i64 = 10_000_000_000;

/// Names of hosts.
pub fn hosts(count: usize) -> Vec<String> {
    (0..count).map(|host| format!("host_{host}")).collect()
}

/// One point of every host for one step of time, counted from the epoch.
pub fn points(hosts: &[String], step: i64) -> Vec<Point<'_>> {
    let point = |(nth, host): (usize, &'_ String)| {
        let value = |field: usize| Value::Integer(walk(nth, field, step));
        Point {
            table: Cow::Borrowed("cpu"),
            tags: vec![("hostname".into(), host.clone().into()), ("region".into(), ["eu", "us"][nth % 2].into())],
            fields: FIELDS.iter().enumerate().map(|(field, name)| ((*name).into(), value(field))).collect(),
            time_ns: step * STEP_NS,
        }
    };
    hosts.iter().enumerate().map(point).collect()
}

/// A value between 0 and 100 that changes slowly.
pub fn walk(host: usize, field: usize, step: i64) -> i64 {
    let phase = (host * 31 + field * 7) as i64;
    let at = (step / 3 + phase).rem_euclid(200);
    if at < 100 { at } else { 200 - at }
}
