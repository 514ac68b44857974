//! Delivers events to the sinks outside: signed webhooks, the formats of common receivers, and mail.
//!
//! The outbox, which is durable, hands out one [`Delivery`] after the other and stores each [`Outcome`]; it keeps the
//! order within an incident. Here is what stands outside of it: what is sent, to which address, and what an answer
//! means. An event may arrive more than once, and always under the same id.

mod breaker;
mod courier;
mod email;
mod format;
mod guard;
#[cfg(test)]
mod receiver;
mod retry;
#[cfg(test)]
mod schema;
mod sign;
mod story;
mod target;

pub(crate) use breaker::Breaker;
pub(crate) use courier::Courier;
pub(crate) use sign::is_signed;
pub(crate) use target::Target;

/// Says what is wrong with the options of a sink, in a sentence that repeats no secret.
///
/// # Errors
/// That sentence.
pub(crate) fn check(options: &plimsoll_query::SinkOptions) -> Result<(), String> {
    Target::of(options).map(|_| ())
}

/// One event for one sink, as the outbox hands it out.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// A UUIDv7, the same over all attempts.
    pub(crate) event_id: String,
    /// What the options of the sink say.
    pub(crate) target: Target,
    /// The event: `incident_v1` as JSON text.
    pub(crate) body: String,
    /// When it happened, in nanoseconds UTC.
    pub(crate) created_ns: i64,
    /// Attempts that were made before.
    pub(crate) attempts: u32,
}

/// What became of an attempt. The reasons are on one line, short, and free of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The receiver has it.
    Delivered {
        /// What it answered.
        status: String,
    },
    /// Try again.
    Later {
        /// When, in nanoseconds UTC.
        at_ns: i64,
        /// What went wrong.
        why: String,
    },
    /// Never again: a dead letter.
    Dead {
        /// What went wrong.
        why: String,
    },
    /// A dead letter, and the sink is to be disabled: the receiver says that it takes nothing any more.
    Gone {
        /// What it answered.
        why: String,
    },
}

impl Outcome {
    /// Whether the receiver is at work, be it only to refuse this event: what a [`Breaker`] wants to know.
    pub(crate) fn is_settled(&self) -> bool {
        !matches!(self, Outcome::Later { .. })
    }
}
