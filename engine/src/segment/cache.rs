//! What was read and checked once and is kept: heads and directories of open segments, within one bound for all of them.
//!
//! Nothing is thrown out while its segment is open. When the bound is reached, more is read anew each time; a segment that goes
//! away gives back what it held.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Bytes that all open segments may keep.
const CACHE_BYTES_MAX: usize = 64 << 20;

/// Bytes that are kept.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// A place for something that can always be made again.
#[derive(Debug)]
pub(super) struct Slot<T>(OnceLock<Kept<T>>);

#[derive(Debug)]
struct Kept<T> {
    value: Arc<T>,
    _share: Share,
}

impl<T> Slot<T> {
    pub(super) fn empty() -> Slot<T> {
        Slot(OnceLock::new())
    }

    /// What is kept, or what `make` makes, with the bytes that keeping it takes.
    pub(super) fn get<E>(&self, make: impl FnOnce() -> Result<(T, usize), E>) -> Result<Arc<T>, E> {
        if let Some(kept) = self.0.get() {
            return Ok(kept.value.clone());
        }
        let (value, bytes) = make()?;
        let value = Arc::new(value);
        if let Some(share) = Share::take(bytes) {
            let _another_thread_was_first = self.0.set(Kept { value: value.clone(), _share: share });
        }
        Ok(value)
    }
}

/// Bytes of the bound that are taken, and given back on drop.
#[derive(Debug)]
struct Share(usize);

impl Share {
    fn take(bytes: usize) -> Option<Share> {
        let before = HELD.fetch_add(bytes, Ordering::Relaxed);
        let share = Share(bytes);
        (before.saturating_add(bytes) <= CACHE_BYTES_MAX).then_some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        HELD.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Which stretches of bytes have had their checksum compared: a file does not change under an open segment.
#[derive(Debug)]
pub(super) struct Checked(Box<[AtomicU64]>);

impl Checked {
    pub(super) fn none(count: usize) -> Checked {
        Checked((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn contains(&self, nth: usize) -> bool {
        self.0[nth / 64].load(Ordering::Relaxed) & (1 << (nth % 64)) != 0
    }

    pub(super) fn insert(&self, nth: usize) {
        self.0[nth / 64].fetch_or(1 << (nth % 64), Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_made_each_time() {
        let slot = Slot::empty();
        for expected in 0..3 {
            assert_eq!(slot.get::<()>(|| Ok((expected, CACHE_BYTES_MAX + 1))).as_deref(), Ok(&expected));
        }
        assert_eq!(slot.get::<()>(|| Ok((7, 1))).as_deref(), Ok(&7));
        assert_eq!(slot.get::<()>(|| Ok((8, 1))).as_deref(), Ok(&7));
        assert_eq!(Slot::<u8>::empty().get(|| Err("no")), Err("no"));
    }

    #[test]
    fn a_checked_place_is_known_alone() {
        let checked = Checked::none(130);
        checked.insert(64);
        assert!((0..130).all(|nth| checked.contains(nth) == (nth == 64)));
    }
}
