//! SQL over PostgreSQL's protocol: byte by byte, through a driver, through psql.

mod copy;
mod differential;
mod driver;
mod protocol;
mod psql;
mod raw;
mod server;
mod stop;
