//! The server: line protocol in over HTTP, SQL out over PostgreSQL's protocol, one data directory, one binary.

pub mod pgwire;
