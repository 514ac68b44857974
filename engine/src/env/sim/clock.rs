//! A clock that shows what it was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::env::Clock;

/// A clock that stands still until it is set or advanced. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub struct SimClock(Arc<AtomicI64>);

impl SimClock {
    /// A clock that shows `now_ns`, nanoseconds since the Unix epoch, UTC.
    pub fn new(now_ns: i64) -> SimClock {
        SimClock(Arc::new(AtomicI64::new(now_ns)))
    }

    /// Shows `now_ns` from now on, also when that is earlier.
    pub fn set(&self, now_ns: i64) {
        self.0.store(now_ns, Ordering::SeqCst);
    }

    /// Moves on by `by_ns` nanoseconds, stopping at the last timestamp there is.
    pub fn advance(&self, by_ns: i64) {
        let moved = |now: i64| Some(now.saturating_add(by_ns));
        let _always_moves = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, moved);
    }
}

impl Clock for SimClock {
    fn now_ns(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_it_was_told() {
        let clock = SimClock::new(5);
        let same = clock.clone();
        clock.advance(10);
        assert_eq!(same.now_ns(), 15);
        same.set(-3);
        assert_eq!(clock.now_ns(), -3);
        clock.set(i64::MAX);
        clock.advance(1);
        assert_eq!(clock.now_ns(), i64::MAX);
    }
}
