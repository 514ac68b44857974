//! The data of the benchmarks: hosts with ten integer fields each, as the TSBS "devops" set has them, without randomness from outside.

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

/// Appends the line of one host for one step of time: ten tags, ten fields, as `hosts` and `points` name and count them.
pub fn line(host: usize, step: i64, out: &mut Vec<u8>) {
    const REGIONS: [&str; 3] = ["eu-west-1", "us-east-1", "ap-southeast-1"];
    let (region, zone) = (REGIONS[host % 3], ["a", "b", "c"][host / 3 % 3]);
    let tags = format!(
        "cpu,hostname=host_{host},region={region},datacenter={region}{zone},rack={},os=Ubuntu16.04LTS,arch=x86,team=SF,\
         service={},service_version={},service_environment=production",
        host % 100,
        host % 20,
        host % 2
    );
    out.extend_from_slice(tags.as_bytes());
    for (nth, field) in FIELDS.iter().enumerate() {
        let before = if nth == 0 { ' ' } else { ',' };
        out.extend_from_slice(format!("{before}{field}={}i", walk(host, nth, step)).as_bytes());
    }
    out.extend_from_slice(format!(" {}\n", step * STEP_NS).as_bytes());
}

/// A value between 0 and 100 that changes slowly.
pub fn walk(host: usize, field: usize, step: i64) -> i64 {
    let phase = (host * 31 + field * 7) as i64;
    let at = (step / 3 + phase).rem_euclid(200);
    if at < 100 { at } else { 200 - at }
}
