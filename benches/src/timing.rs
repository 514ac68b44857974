//! Time that this thread had the processor, where the system tells it; time that passed elsewhere.

use std::time::Instant;

/// A running clock.
#[derive(Debug)]
pub struct Timer {
    started: Instant,
    processor_started: Option<f64>,
}

impl Timer {
    /// Starts one.
    #[must_use]
    pub fn start() -> Timer {
        Timer { started: Instant::now(), processor_started: processor_seconds() }
    }

    /// Seconds since its start.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        match (self.processor_started, processor_seconds()) {
            (Some(start), Some(now)) => now - start,
            _ => self.started.elapsed().as_secs_f64(),
        }
    }
}

/// What Linux counts for the thread.
fn processor_seconds() -> Option<f64> {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(counted.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}
