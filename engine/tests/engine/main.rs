//! The engine against its plain twin: in ordinary life, over power losses, failing and full disks, rot, and many threads.
//!
//! `SEED=n` runs one seed of each test; `PLIMSOLL_LONG=1` runs fifty times as many. A failure names its seed.

mod aggregates;
mod check;
mod concurrency;
mod crash;
mod driver;
mod faults;
mod history;
mod lock;
mod model;
mod rot;
mod seeds;
