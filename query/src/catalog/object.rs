//! An object of the dialect as the catalogue keeps it: its definition, the version that it is, and what it reads.

use std::collections::BTreeSet;

use datafusion::arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast;
use serde::{Deserialize, Serialize};

use super::{Reference, relations};
use crate::analysis::calendar::ALWAYS;
use crate::dialect::{self, Definition, Kind};
use crate::{Error, Result};

/// An object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Object {
    /// Its name, unique in its kind.
    pub(crate) name: String,
    /// What it is.
    pub(crate) definition: Definition,
    /// Which definition of that name it is, from 1.
    pub(crate) version: u64,
    /// When this version was made, in nanoseconds since the Unix epoch.
    pub(crate) defined_ns: i64,
    /// Who made it.
    pub(crate) actor: String,
    /// What somebody has said of it.
    pub(crate) comment: Option<String>,
    /// The columns of the relation that it is read as, without those that a baseline adds.
    pub(crate) columns: Vec<(String, DataType)>,
    /// What has to be there for it.
    pub(crate) reads: BTreeSet<Reference>,
}

/// One of the versions that an object has had.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Version {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) defined_ns: i64,
    pub(crate) actor: String,
    /// The statement that defines it.
    pub(crate) text: String,
}

/// A version as the store keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) text: String,
    pub(super) version: u64,
    pub(super) defined_ns: i64,
    pub(super) actor: String,
    pub(super) comment: Option<String>,
    /// Names and types.
    pub(super) columns: Vec<(String, String)>,
}

impl Object {
    /// The object of a definition.
    ///
    /// # Errors
    /// [`Error::Syntax`] when its query is none.
    pub(crate) fn new(definition: Definition, version: u64, defined_ns: i64, actor: &str) -> Result<Object> {
        let reads = reads(&definition)?;
        let name = definition.name().to_owned();
        Ok(Object {
            name,
            definition,
            version,
            defined_ns,
            actor: actor.to_owned(),
            comment: None,
            columns: Vec::new(),
            reads,
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.definition.kind()
    }

    pub(crate) fn reference(&self) -> Reference {
        Reference::Object(self.kind(), self.name.clone())
    }

    /// The statement that defines it, with its secrets hidden.
    pub(crate) fn text(&self) -> String {
        self.definition.masked().to_string()
    }

    pub(super) fn to_stored(&self) -> String {
        let (version, defined_ns) = (self.version, self.defined_ns);
        let (actor, comment) = (self.actor.clone(), self.comment.clone());
        let column = |(name, data_type): &(String, DataType)| (name.clone(), data_type.to_string());
        let columns = self.columns.iter().map(column).collect();
        let stored = Stored { text: self.definition.to_string(), version, defined_ns, actor, comment, columns };
        serde_json::to_string(&stored).expect("an object is plain data")
    }

    pub(super) fn from_stored(text: &str) -> Result<Object> {
        let damaged = |what: String| Error::Internal(format!("stored definition: {what}"));
        let stored: Stored = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
        let definition = match dialect::parse_statement(&stored.text) {
            Some(Ok(dialect::Statement::Create { object, .. })) => *object,
            Some(Err(error)) => return Err(damaged(format!("{}: {}", stored.text, error.message))),
            _ => return Err(damaged(stored.text)),
        };
        let object = Object::new(definition, stored.version, stored.defined_ns, &stored.actor)?;
        let column =
            |(name, data_type): (String, String)| Ok((name, data_type.parse().map_err(|e| damaged(format!("{e}")))?));
        let columns = stored.columns.into_iter().map(column).collect::<Result<_>>()?;
        Ok(Object { comment: stored.comment, columns, ..object })
    }
}

/// What has to be there for a definition.
fn reads(definition: &Definition) -> Result<BTreeSet<Reference>> {
    let mut reads = BTreeSet::new();
    let object = |kind, name: &String| Reference::Object(kind, name.clone());
    if let Some(query) = definition.query() {
        let statements = crate::parse(&query.text)?;
        let parsed = statements.first().and_then(crate::Statement::ast);
        if let (1, Some(ast::Statement::Query(parsed))) = (statements.len(), parsed) {
            reads.extend(relations(parsed));
        }
    }
    match definition {
        Definition::Service(_) | Definition::Calendar(_) | Definition::Sink(_) => {}
        Definition::Policy(policy) => {
            let sinks = policy.steps.iter().flat_map(|step| &step.notify);
            reads.extend(sinks.map(|name| object(Kind::Sink, name)));
        }
        Definition::Alert(alert) => {
            reads.extend(alert.service.iter().map(|name| object(Kind::Service, name)));
            reads.extend(alert.escalate.iter().map(|name| object(Kind::Policy, name)));
        }
        Definition::Kpi(kpi) => reads.extend(kpi.service.iter().map(|name| object(Kind::Service, name))),
        Definition::Baseline(baseline) => reads.extend([object(Kind::Kpi, &baseline.kpi)]),
        Definition::Slo(slo) => reads.extend(slo.service.iter().map(|name| object(Kind::Service, name))),
        Definition::Sla(sla) => {
            reads.extend(sla.targets.iter().map(|target| object(Kind::Slo, &target.slo)));
            let calendar = sla.calendar.iter().filter(|name| *name != ALWAYS);
            reads.extend(calendar.map(|name| object(Kind::Calendar, name)));
        }
    }
    if let Definition::Baseline(_) = definition
        && let Some(calendar) = definition.option_text("holidays")
    {
        reads.insert(Reference::Object(Kind::Calendar, calendar.to_owned()));
    }
    if let Definition::Kpi(_) | Definition::Slo(_) | Definition::Policy(_) = definition
        && let Some(calendar) = definition.option_text("calendar").filter(|name| *name != ALWAYS)
    {
        reads.insert(Reference::Object(Kind::Calendar, calendar.to_owned()));
    }
    Ok(reads)
}
