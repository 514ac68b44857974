//! Room for recursion. Planning walks statements and plans by recursion, in frames that are large in unoptimised builds;
//! nesting is bounded by the parser, and within that bound a plan must never overflow the stack of whoever asks.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Room that planning may need for a statement as deep as the parser lets through.
pub(crate) const STACK_BYTES: usize = 16 << 20;

/// Below this much room the work moves to a stack of its own.
const ROOM_MIN_BYTES: usize = 12 << 20;

/// Does something with room for deep recursion.
pub(crate) fn on_deep_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(ROOM_MIN_BYTES, STACK_BYTES, work)
}

/// Polls a future with room for deep recursion.
pub(crate) struct OnDeepStack<F>(pub(crate) Pin<Box<F>>);

impl<F: Future> Future for OnDeepStack<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        on_deep_stack(|| self.0.as_mut().poll(context))
    }
}
