//! Everything that is tested across crates.

mod pg;
