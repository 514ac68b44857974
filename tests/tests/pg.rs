//! SQL over PostgreSQL's protocol: byte by byte, through a driver, through psql.

mod clients;
mod copy;
mod cursor;
mod differential;
mod driver;
mod grafana;
mod postgres;
mod protocol;
mod psql;
mod raw;
mod server;
mod stop;
