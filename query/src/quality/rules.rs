//! What rows of a table have to satisfy, as it is defined.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use plimsoll_engine::TableSchema;
use serde::{Deserialize, Serialize};

use crate::dialect::quoted;

/// What becomes of a row that violates an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// It is stored, and counted.
    Warn,
    /// It is left out, and counted.
    Drop,
    /// It is kept aside.
    Quarantine,
    /// It is refused, and with it the statement.
    Fail,
}

impl Action {
    /// As a statement says it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Action::Warn => "WARN",
            Action::Drop => "DROP ROW",
            Action::Quarantine => "QUARANTINE",
            Action::Fail => "FAIL",
        }
    }
}

/// An expectation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) name: String,
    /// A condition over the columns of one row or over the table, or a time, as text.
    pub(crate) expression: String,
    pub(crate) action: Action,
    #[serde(default)]
    pub(crate) about: About,
}

/// What an expectation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum About {
    /// Each row, when it comes in.
    #[default]
    Row,
    /// The table as a whole, looked at each minute.
    Table,
    /// None: it tells how late rows come.
    Watermark { lateness_ns: i64 },
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let About::Watermark { .. } = self.about {
            return write!(f, "WATERMARK FOR {} AS {}", TableSchema::TIME, self.expression);
        }
        let (name, action) = (quoted(&self.name), self.action.text());
        write!(f, "CONSTRAINT {name} EXPECT ({}) ON VIOLATION {action}", self.expression)
    }
}

/// The expectations of a table, in the order in which they were added; never none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct TableRules {
    pub(crate) rules: Vec<Rule>,
}

impl TableRules {
    pub(crate) fn find(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    pub(crate) fn has(&self, action: Action) -> bool {
        self.rules.iter().any(|rule| rule.action == action)
    }

    /// True when rows are judged on their way in.
    pub(crate) fn judge_rows(&self) -> bool {
        self.rules.iter().any(|rule| rule.about == About::Row)
    }

    /// How late rows come, in nanoseconds.
    fn lateness_ns(&self) -> i64 {
        let late = self.rules.iter().filter_map(|rule| match rule.about {
            About::Watermark { lateness_ns } => Some(lateness_ns),
            _ => None,
        });
        late.max().unwrap_or(0)
    }
}

/// Those of all tables that have some, by the name of the table.
pub(crate) type Rules = BTreeMap<String, Arc<TableRules>>;

/// How late rows of some tables come, in nanoseconds: the watermarks of the tables say so.
pub(crate) fn lateness_ns<'a>(tables: impl IntoIterator<Item = &'a String>, rules: &Rules) -> i64 {
    tables.into_iter().filter_map(|table| rules.get(table)).map(|rules| rules.lateness_ns()).max().unwrap_or(0)
}
