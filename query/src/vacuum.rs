//! `VACUUM [table]`: what upkeep would do in time, done at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::sql::sqlparser::ast::VacuumStatement;
use plimsoll_engine::{Engine, SchemaError};

use crate::ddl::table_name;
use crate::session::blocking;
use crate::{Command, Error, Result};

/// A VACUUM.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Vacuum {
    /// `None` for all tables.
    table: Option<String>,
}

impl Vacuum {
    /// Reads the statement.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what PostgreSQL's VACUUM does not have, and for names with a foreign schema.
    pub(crate) fn read(vacuum: &VacuumStatement) -> Result<Vacuum> {
        let VacuumStatement {
            full: _,
            sort_only,
            delete_only,
            reindex,
            recluster,
            table_name: table,
            threshold,
            boost,
        } = vacuum;
        if *sort_only || *delete_only || *reindex || *recluster || *boost || threshold.is_some() {
            let hint = Some("Use VACUUM, or VACUUM table.".to_owned());
            return Err(Error::Unsupported {
                what: "this form of VACUUM is not supported".to_owned(),
                position: None,
                hint,
            });
        }
        Ok(Vacuum { table: table.as_ref().map(table_name).transpose()? })
    }

    /// Does it. Dropping the future stops it after the step under way.
    ///
    /// # Errors
    /// [`Error::UndefinedTable`], [`Error::Engine`].
    pub(crate) async fn run(self, engine: Arc<Engine>, now_ns: i64) -> Result<Command> {
        let wanted = Wanted(Arc::new(AtomicBool::new(true)));
        let still_wanted = wanted.0.clone();
        blocking(move || {
            let go_on = || still_wanted.load(Ordering::Relaxed);
            match engine.vacuum(self.table.as_deref(), now_ns, &go_on) {
                Err(plimsoll_engine::Error::Schema(SchemaError::NoTable(name))) => {
                    Err(Error::UndefinedTable { name, position: None, hint: None })
                }
                done => Ok(done.map(|()| Command::Vacuum)?),
            }
        })
        .await
    }
}

/// True until whoever waits for the end is gone.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
