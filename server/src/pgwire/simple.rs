//! The simple protocol: one message with any number of statements, answered one after the other as text.

use std::sync::Arc;

use super::columns::Format;
use super::connection::{Connection, Stop};
use super::session::{Arguments, Life, Portal, Progress};
use super::sqlstate::{SqlError, code};
use super::statement::{Planned, row_description};

impl Connection {
    /// Answers a text of statements. The first error stops the rest; the statements before it have taken effect. The unnamed
    /// statement and portal go, as in PostgreSQL.
    pub(super) async fn query(&mut self, text: &str) -> Result<(), Stop> {
        self.session.statements.remove("");
        self.session.portals.remove("");
        let statements = plimsoll_query::parse(text).map_err(SqlError::from)?;
        let text: Arc<str> = text.into();
        if statements.is_empty() {
            self.run(Planned::empty()).await?;
        }
        for statement in &statements {
            let planned = self.plan(statement, &text, &[])?;
            if !planned.parameters.is_empty() {
                return Err(SqlError::new(code::UNDEFINED_PARAMETER, "there is no parameter $1").into());
            }
            self.run(planned).await?;
        }
        self.session.end_implicit();
        self.ready().await
    }

    async fn run(&mut self, planned: Planned) -> Result<(), Stop> {
        let formats = vec![Format::Text; planned.columns.as_ref().map_or(0, Vec::len)];
        let arguments =
            if planned.asks_catalog() { Arguments::Catalog(Vec::new()) } else { Arguments::Query(Vec::new()) };
        let description = planned.columns.as_ref().map(|columns| row_description(columns, &formats));
        let mut portal = Portal {
            planned: Arc::new(planned),
            arguments,
            formats,
            progress: Progress::Bound,
            life: Life::Transaction,
        };
        if let Some(description) = description {
            self.writer.put(&description);
        }
        let completion = self.execute(&mut portal, u64::MAX).await?;
        self.put_completion(completion);
        Ok(())
    }
}
