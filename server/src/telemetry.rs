//! What the server says about itself: log lines, and metrics in Prometheus' text form.
//!
//! Log lines go to standard error, so that standard output stays a command's answer. Counters and histograms are recorded
//! where things happen (crate `metrics`); gauges of the engine and the process are read when somebody asks.

use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics::{describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use plimsoll_engine::env::Clock;
use plimsoll_engine::{Engine, Stats};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Upper bounds of the buckets of every `..._seconds` histogram.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Begins to write log lines; the first call of a process counts.
pub(crate) fn start_logging(format: LogFormat, level: &str) {
    let filter = EnvFilter::new(level);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _already_started = match format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
}

/// The recorder of this process; the first call installs it.
fn recorder() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .expect("the list of buckets is not empty");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed: /metrics shows the server's own gauges only");
        }
        describe();
        handle
    })
}

fn describe() {
    describe_gauge!("plimsoll_build_info", "Always 1; the labels say what is running.");
    describe_gauge!("plimsoll_start_time_seconds", "When the server started, in seconds since the Unix epoch.");
    for (name, about) in ENGINE_GAUGES {
        describe_gauge!(name, about);
    }
    describe_gauge!("process_resident_memory_bytes", "Memory that the process holds.");
    describe_gauge!("process_open_fds", "Files and sockets that the process holds open.");
    describe_counter!("plimsoll_maintenance_steps_total", "Steps of upkeep done.");
    describe_counter!("plimsoll_maintenance_errors_total", "Steps of upkeep that failed.");
    describe_gauge!("plimsoll_maintenance_failing", "1 while the latest step of upkeep failed.");
}

/// What `/metrics` reads when it is asked.
#[derive(Debug)]
struct Observed {
    engine: Arc<Engine>,
    start_ns: i64,
}

/// Installs the recorder if need be and gives the route `GET /metrics`.
pub(crate) fn router(engine: Arc<Engine>, clock: &dyn Clock) -> Router {
    recorder();
    let observed = Observed { engine, start_ns: clock.now_ns() };
    Router::new().route("/metrics", get(metrics_page)).with_state(Arc::new(observed))
}

async fn metrics_page(State(observed): State<Arc<Observed>>) -> impl IntoResponse {
    observe(&observed);
    let handle = recorder();
    handle.run_upkeep();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
}

fn observe(observed: &Observed) {
    gauge!("plimsoll_build_info", "version" => env!("CARGO_PKG_VERSION"), "os" => std::env::consts::OS).set(1.0);
    gauge!("plimsoll_start_time_seconds").set(observed.start_ns as f64 / 1e9);
    for (name, value) in engine_gauges(&observed.engine.stats()) {
        gauge!(name).set(value);
    }
    let process = Process::read();
    if let Some(bytes) = process.resident_bytes {
        gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    if let Some(open) = process.open_files {
        gauge!("process_open_fds").set(open as f64);
    }
}

/// Names of the engine's gauges and what they count, in the order of [`engine_gauges`].
const ENGINE_GAUGES: [(&str, &str); 9] = [
    ("plimsoll_tables", "Tables."),
    ("plimsoll_series", "Series of all tables."),
    ("plimsoll_segments", "Segments."),
    ("plimsoll_segment_rows", "Rows in segments."),
    ("plimsoll_segment_bytes", "Size of the segments on disk."),
    ("plimsoll_damaged_segments", "Segments that were found damaged when the data directory was opened."),
    ("plimsoll_memtable_bytes", "Memory of rows that are not in segments yet."),
    ("plimsoll_wal_bytes", "Size of the log on disk."),
    ("plimsoll_read_only", "1 while writes are refused because one failed on its way to the disk."),
];

fn engine_gauges(stats: &Stats) -> impl Iterator<Item = (&'static str, f64)> {
    let values = [
        stats.tables,
        stats.series,
        stats.segments,
        stats.segment_rows,
        stats.segment_bytes,
        stats.damaged_segments,
        stats.memtable_bytes,
        stats.wal_bytes,
        u64::from(stats.is_read_only),
    ];
    ENGINE_GAUGES.into_iter().zip(values).map(|((name, _), value)| (name, value as f64))
}

/// What the operating system says about this process, as far as it says anything.
#[derive(Debug, Default)]
struct Process {
    resident_bytes: Option<u64>,
    open_files: Option<u64>,
}

impl Process {
    fn read() -> Process {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let open = std::fs::read_dir("/proc/self/fd").map(|entries| entries.count() as u64);
        Process { resident_bytes: resident_bytes(&status), open_files: open.ok() }
    }
}

/// `VmRSS:     1234 kB` of `/proc/self/status`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_the_status_file() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t1\n"), Some(2 << 20));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
        assert_eq!(resident_bytes("VmRSS: many kB"), None);
    }
}
