//! Group commit: one sync for all writers that wait.
//!
//! A writer puts its record into the queue. If no one leads, it takes the whole queue and leads: it appends and syncs the
//! records of all and applies their changes, while later writers gather behind it. Nobody needs a thread of their own.
//!
//! Invariants
//! - Records get their numbers, and their changes are applied, in the order of the queue.
//! - A change is applied after its record is durable (as `Durability` says), and before its writer returns.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::{Error, Result};

/// The writers that wait, each with a change `C` to apply once its record is durable.
#[derive(Debug)]
pub(crate) struct Group<C> {
    queue: Mutex<Queue<C>>,
    led: Condvar,
}

#[derive(Debug)]
struct Queue<C> {
    waiting: Vec<Entry<C>>,
    has_leader: bool,
}

/// One writer's record and change.
#[derive(Debug)]
pub(crate) struct Entry<C> {
    pub(crate) payload: Vec<u8>,
    pub(crate) change: C,
    waiter: Waiter,
}

/// Where the leader leaves the result for the writer.
type Outcome = Mutex<Option<Result<()>>>;

impl<C> Default for Group<C> {
    fn default() -> Group<C> {
        Group { queue: Mutex::new(Queue { waiting: Vec::new(), has_leader: false }), led: Condvar::new() }
    }
}

impl<C> Group<C> {
    /// Waits until the record is durable and the change applied, or refused. `lead` does that for all entries it is given.
    pub(crate) fn commit(&self, payload: Vec<u8>, change: C, lead: impl FnOnce(Vec<Entry<C>>) + Copy) -> Result<()> {
        let outcome = Arc::new(Outcome::default());
        let mut queue = self.lock();
        queue.waiting.push(Entry { payload, change, waiter: Waiter(outcome.clone()) });
        loop {
            if let Some(result) = take(&outcome) {
                return result;
            }
            if queue.has_leader {
                queue = self.led.wait(queue).expect("no thread panics while it holds the queue");
                continue;
            }
            queue.has_leader = true;
            let entries = std::mem::take(&mut queue.waiting);
            drop(queue);
            let leadership = Leadership(self);
            lead(entries);
            drop(leadership);
            queue = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<C>> {
        self.queue.lock().expect("no thread panics while it holds the queue")
    }
}

impl<C> Entry<C> {
    /// Parts the entry into its change and the handle that tells its writer.
    pub(crate) fn split(self) -> (C, Waiter) {
        (self.change, self.waiter)
    }
}

/// A writer that waits for its result.
#[derive(Debug)]
pub(crate) struct Waiter(Arc<Outcome>);

impl Waiter {
    /// Tells the writer what became of its record; it wakes when the leader is done.
    pub(crate) fn tell(&self, result: Result<()>) {
        *self.0.lock().expect("an outcome is only written and taken") = Some(result);
    }
}

impl Drop for Waiter {
    /// A leader that dies without a word must not leave its followers waiting for ever.
    fn drop(&mut self) {
        if let Ok(mut outcome) = self.0.lock()
            && outcome.is_none()
            && Arc::strong_count(&self.0) > 1
        {
            *outcome = Some(Err(Error::Poisoned { cause: "a writer died in the middle of a commit".to_owned() }));
        }
    }
}

/// Gives the lead back, whatever happens.
struct Leadership<'a, C>(&'a Group<C>);

impl<C> Drop for Leadership<'_, C> {
    fn drop(&mut self) {
        self.0.lock().has_leader = false;
        self.0.led.notify_all();
    }
}

fn take(outcome: &Outcome) -> Option<Result<()>> {
    outcome.lock().expect("an outcome is only written and taken").take()
}
