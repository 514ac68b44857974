//! The engine against its plain twin: in ordinary life, over power losses, failing and full disks, rot, and many threads.
//!
//! `SEED=n` runs one seed of each test; `PLIMSOLL_LONG=1` runs fifty times as many. A failure names its seed.

mod aggregates;
mod backup;
mod check;
mod compaction;
mod concurrency;
mod crash;
mod driver;
mod faults;
mod fixtures;
mod history;
mod latest;
mod lock;
mod model;
mod rot;
mod seeds;
mod tiers;
