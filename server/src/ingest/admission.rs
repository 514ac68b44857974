//! Who may come in: bounds on requests at once and on the bytes that they hold.
//!
//! Permits travel with the work they stand for and are given back when it is dropped, also when a client goes away.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::IngestLimits;

/// A bound is reached; the client should come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("too many requests at once, limit {0}")]
    Requests(usize),
    #[error("too many bytes in flight, limit {0}")]
    Bytes(usize),
}

/// The gate of all ingest endpoints together.
#[derive(Debug)]
pub(super) struct Admission {
    requests: Arc<Semaphore>,
    requests_max: usize,
    writers: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    bytes_max: usize,
}

/// The right to be at work.
#[derive(Debug)]
pub(super) struct Turn {
    _request: OwnedSemaphorePermit,
    _writer: OwnedSemaphorePermit,
}

/// Bytes that a request holds.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Arc<Semaphore>,
    bytes_max: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Admission {
    pub(super) fn new(limits: &IngestLimits) -> Admission {
        let one_request = limits.body_bytes_max.saturating_add(limits.decompressed_bytes_max);
        let bytes_max = limits.in_flight_bytes_max.max(one_request).min(Semaphore::MAX_PERMITS);
        let requests_max = limits.requests_max.clamp(1, Semaphore::MAX_PERMITS);
        Admission {
            requests: Arc::new(Semaphore::new(requests_max)),
            requests_max,
            writers: Arc::new(Semaphore::new(limits.writers_max.clamp(1, Semaphore::MAX_PERMITS))),
            bytes: Arc::new(Semaphore::new(bytes_max)),
            bytes_max,
        }
    }

    /// Refuses early, before a body is received in vain.
    pub(super) fn check(&self) -> Result<(), Full> {
        if self.requests.available_permits() > 0 { Ok(()) } else { Err(Full::Requests(self.requests_max)) }
    }

    /// Takes a place in the queue, or refuses at once, and waits for its turn.
    pub(super) async fn turn(&self) -> Result<Turn, Full> {
        let full = |_| Full::Requests(self.requests_max);
        let request = Arc::clone(&self.requests).try_acquire_owned().map_err(full)?;
        let writer = Arc::clone(&self.writers).acquire_owned().await;
        Ok(Turn { _request: request, _writer: writer.expect("the semaphore is never closed") })
    }

    /// Holds nothing yet.
    pub(super) fn held(&self) -> Held {
        Held { bytes: Arc::clone(&self.bytes), bytes_max: self.bytes_max, permit: None }
    }
}

impl Held {
    /// Holds that many bytes more, or refuses at once.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let full = Full::Bytes(self.bytes_max);
        let count = u32::try_from(bytes).map_err(|_| full)?;
        let more = Arc::clone(&self.bytes).try_acquire_many_owned(count).map_err(|_| full)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> IngestLimits {
        let small = IngestLimits { body_bytes_max: 6, decompressed_bytes_max: 4, ..IngestLimits::default() };
        IngestLimits { requests_max: 2, writers_max: 1, in_flight_bytes_max: 0, ..small }
    }

    #[test]
    fn bytes_come_back_when_dropped() {
        let admission = Admission::new(&limits());
        let (mut a, mut b) = (admission.held(), admission.held());
        assert_eq!((a.grow(6), a.grow(3), b.grow(2)), (Ok(()), Ok(()), Err(Full::Bytes(10))));
        drop(a);
        assert_eq!(b.grow(10), Ok(()));
        assert_eq!(b.grow(usize::MAX), Err(Full::Bytes(10)));
    }

    #[tokio::test]
    async fn requests_wait_for_their_turn_and_the_queue_is_bounded() {
        let admission = Arc::new(Admission::new(&limits()));
        let first = admission.turn().await.unwrap();
        let mut second = Box::pin(admission.turn());
        assert!(futures::poll!(&mut second).is_pending());
        assert_eq!(admission.check(), Err(Full::Requests(2)));
        assert_eq!(admission.turn().await.unwrap_err(), Full::Requests(2));
        drop(first);
        drop(second.await.unwrap());
        assert_eq!(admission.check(), Ok(()));
    }
}
