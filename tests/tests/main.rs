//! Everything that is tested across crates: the binary as a process, the protocols through a running server, the seeds of
//! the fuzz bodies, and the rules of the house.

mod alerts;
mod backup;
mod bugs;
mod corpus;
mod demo_cli;
mod harness;
mod http_to_sql;
mod killed;
mod openslo;
mod pg;
mod push;
mod roles;
mod story;
mod tidy;
