//! Plimsoll's query layer: text in, Arrow batches out.
//!
//! ```text
//! text ─► statement ─► plan ─► run
//!         parse        Session::prepare, Session::run, over a snapshot of the engine
//! ```
//!
//! Beside SQL there are statements of our own, the dialect, which define services, KPIs, baselines, SLOs and SLAs; what they define is
//! read as relations.
//!
//! SQL is PostgreSQL's as far as it goes, planned and executed by DataFusion over `plimsoll_engine`. Time is always an
//! argument: `now()` is the `now_ns` that the caller hands in.

mod alert;
mod alter;
mod analysis;
mod backup;
mod catalog;
mod cooperative;
mod copy;
mod database;
mod ddl;
mod define;
mod delete;
mod dialect;
mod direct;
mod error;
mod functions;
mod insert;
mod lower;
mod maintained;
mod notify;
mod objects;
mod ops;
mod options;
mod plan;
mod privilege;
mod quality;
mod relation;
mod report;
mod retention;
mod roles;
mod running;
mod session;
mod source;
mod stack;
mod statement;
mod subscribe;
mod system;
mod times_of_buckets;
mod vacuum;

pub use alert::{Delivery, Settled, SinkOptions, Tick};
pub use backup::{back_up_at_rest, verify_stores};
pub use catalog::{View, ViewColumn};
pub use copy::{CopyFormat, CopyIn, CopyOptions, CopyOut};
pub use database::{CheckSink, Database, DatabaseOptions, DefinedRelation};
pub use dialect::{Over, Parts, parts, quoted, text_literal};
pub use error::{Error, Result};
pub use functions::array_items;
pub use notify::{Notification, PAYLOAD_BYTES_MAX};
pub use objects::objects;
pub use ops::{OpsColumn, OpsTable, Taken, ops_tables};
pub use privilege::{Errand, Writer};
pub use quality::{Admitted, Guard, Refusal};
pub use roles::{Login, Verifier};
pub use session::{Command, Outcome, OutputColumn, Prepared, Session};
pub use statement::{Statement, parse};
pub use system::{SystemColumn, SystemTable, system_tables};
