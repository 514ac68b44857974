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

/// Seconds that all threads of this process had the processor, where Linux counts them; time that passed elsewhere.
#[must_use]
pub fn process_seconds() -> f64 {
    let counted = || {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        // After the name, which is in parentheses, user and system time are the 12th and 13th field, in hundredths.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((user + system) / 100.0)
    };
    counted().unwrap_or_else(|| {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_secs_f64()
    })
}
