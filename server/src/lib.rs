//! The server: line protocol in over HTTP, SQL out over PostgreSQL's protocol, one data directory, one binary.
//!
//! [`Server`] is the whole of it as a value; `cli` is what the binary does with it. Storage is `plimsoll_engine`'s business
//! and SQL is `plimsoll_query`'s.

pub mod agent;
mod alerting;
mod api;
pub mod cli;
pub mod config;
mod error;
mod gate;
pub mod ingest;
mod maintenance;
mod notify;
mod openslo;
pub mod pgwire;
mod server;
mod storage;
mod telemetry;
mod throttle;
mod tls;

pub use config::Config;
pub use error::{Error, Result};
pub use server::Server;
