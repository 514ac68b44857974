//! Who is connected, and how one connection stops what another one does.
//!
//! A request that arrives while the connection does nothing is forgotten with its next message.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rand::RngCore;
use tokio::sync::Notify;

/// The connections of a server, by process id.
#[derive(Debug, Default)]
pub(crate) struct Backends {
    by_pid: Mutex<HashMap<i32, Arc<Backend>>>,
    last_pid: AtomicI32,
}

#[derive(Debug)]
struct Backend {
    secret: Vec<u8>,
    requested: AtomicBool,
    wake: Notify,
}

/// One connection's place among the backends; left when dropped.
pub(crate) struct Cancel {
    backends: Arc<Backends>,
    backend: Arc<Backend>,
    pid: i32,
}

impl Backends {
    /// Takes a place under a process id that no other connection has, with a fresh secret.
    pub(crate) fn enter(self: &Arc<Self>, secret_bytes: usize) -> Cancel {
        let mut secret = vec![0; secret_bytes];
        rand::rng().fill_bytes(&mut secret);
        let backend = Arc::new(Backend { secret, requested: AtomicBool::new(false), wake: Notify::new() });
        let mut by_pid = self.by_pid.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = std::iter::repeat_with(|| self.next_pid())
            .find(|pid| !by_pid.contains_key(pid))
            .expect("there are fewer connections than process ids");
        by_pid.insert(pid, backend.clone());
        Cancel { backends: self.clone(), backend, pid }
    }

    /// Stops what the connection `pid` does, if the secret is its own.
    pub(crate) fn cancel(&self, pid: i32, secret: &[u8]) {
        let by_pid = self.by_pid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(backend) = by_pid.get(&pid).filter(|backend| same(&backend.secret, secret)) {
            backend.requested.store(true, Ordering::Release);
            backend.wake.notify_one();
        }
    }

    fn next_pid(&self) -> i32 {
        let last = self.last_pid.fetch_add(1, Ordering::Relaxed);
        last.rem_euclid(i32::MAX) + 1
    }
}

impl Cancel {
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn secret(&self) -> &[u8] {
        &self.backend.secret
    }

    /// Forgets a request that came while there was nothing to stop.
    pub(crate) fn forget(&self) {
        self.backend.requested.store(false, Ordering::Release);
    }

    /// Returns when the running statement is to stop, and forgets the request. Can be dropped at any time.
    pub(crate) async fn requested(&self) {
        while !self.backend.requested.swap(false, Ordering::AcqRel) {
            self.backend.wake.notified().await;
        }
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        self.backends.by_pid.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.pid);
    }
}

/// Compares in a time that does not depend on where the first difference is.
fn same(secret: &[u8], given: &[u8]) -> bool {
    secret.len() == given.len() && secret.iter().zip(given).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn only_the_secret_stops_a_connection() {
        let backends = Arc::new(Backends::default());
        let cancel = backends.enter(4);
        let secret = cancel.secret().to_vec();
        backends.cancel(cancel.pid(), &[&secret[..3], &[!secret[3]]].concat());
        backends.cancel(cancel.pid() + 1, &secret);
        assert!(cancel.requested().now_or_never().is_none());
        backends.cancel(cancel.pid(), &secret);
        assert!(cancel.requested().now_or_never().is_some());
        assert!(cancel.requested().now_or_never().is_none(), "a request stops one statement");
        backends.cancel(cancel.pid(), &secret);
        cancel.forget();
        assert!(cancel.requested().now_or_never().is_none());
    }

    #[test]
    fn a_place_is_left_with_its_connection() {
        let backends = Arc::new(Backends::default());
        let (first, second) = (backends.enter(4), backends.enter(32));
        assert_ne!(first.pid(), second.pid());
        assert_eq!(second.secret().len(), 32);
        drop((first, second));
        assert!(backends.by_pid.lock().unwrap().is_empty());
    }
}
