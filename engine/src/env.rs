//! The world outside the engine: files and time, behind two traits with simulated twins.
//!
//! Nothing else in this crate touches `std::fs` or asks for the time.

mod clock;
mod fs;
pub mod sim;

pub use clock::{Clock, SystemClock};
pub use fs::{AppendFile, FileBytes, FileLock, FileSystem, LockAttempt, RealFileSystem};
