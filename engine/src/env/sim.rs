//! Simulated files and time, where a seed is a whole history.
//!
//! ```text
//!              append, create,            sync, sync_dir
//!              rename, remove
//!   program ───────────────────► live ───────────────────► durable
//!                                  │                          │
//!                                kill()                    crash(seed)
//!                         all of it is still there    durable, and by seed
//!                                                     some of the rest
//! ```
//!
//! [`SimFileSystem`] keeps what a program reads (live) apart from what a power loss leaves for certain (durable), numbers
//! every operation, and can stop the world or fail at any of them. [`SimClock`] shows the time it was told.

mod clock;
mod disk;
mod file_system;
mod power_loss;
mod random;
#[cfg(test)]
mod tests;

pub use clock::SimClock;
pub use disk::SECTOR_BYTES;
pub use file_system::{Fault, Operation, OperationKind, SimFileSystem};
pub use random::Random;
