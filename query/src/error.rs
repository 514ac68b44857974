//! The one error type of the query crate. Its texts are PostgreSQL's, because clients match on them.

use datafusion::error::DataFusionError;

mod convert;
mod text;

pub(crate) use text::type_name;

use convert::convert;

/// The hint for a call that no function takes.
pub(crate) const NO_SUCH_FUNCTION: &str =
    "No function matches the given name and argument types. You might need to add explicit type casts.";

/// The hint for an operator between types that it does not join.
const NO_SUCH_OPERATOR: &str =
    "No operator matches the given name and argument types. You might need to add explicit type casts.";

/// Result of a query call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and what the caller can do: fix the statement, fix the value, wait, or look at the machine.
///
/// Positions count characters from 1 over the whole text that was given to [`crate::parse`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Fix the statement: it is not SQL (42601).
    #[error("{message}")]
    Syntax {
        /// What is wrong.
        message: String,
        /// Character of the offending token.
        position: usize,
        /// What would be right.
        hint: Option<String>,
    },
    /// Fix the statement: no such table (42P01).
    #[error("relation \"{name}\" does not exist")]
    UndefinedTable {
        /// The name as it was looked up.
        name: String,
        /// Where it stands.
        position: Option<usize>,
        /// One that may have been meant.
        hint: Option<String>,
    },
    /// Fix the statement: no such column (42703).
    #[error("column {} does not exist", quoted(name))]
    UndefinedColumn {
        /// The name as it was looked up, qualified with a dot where the statement did.
        name: String,
        /// Where it stands.
        position: Option<usize>,
        /// A column that may have been meant.
        hint: Option<String>,
    },
    /// Fix the statement: no such KPI, SLO, ... (42704).
    #[error("{kind} \"{name}\" does not exist")]
    UndefinedObject {
        /// What it would be.
        kind: &'static str,
        /// The name as it was looked up.
        name: String,
        /// Where it stands.
        position: Option<usize>,
        /// One that may have been meant.
        hint: Option<String>,
    },
    /// Choose another name, or say OR REPLACE: the KPI, SLO, ... exists (42710).
    #[error("{kind} \"{name}\" already exists")]
    DuplicateObject {
        /// What it is.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Fix the definition: it means nothing that can be kept (the class KP).
    #[error("{message}")]
    Definition {
        /// Its SQLSTATE.
        code: &'static str,
        /// What is wrong.
        message: String,
        /// Where it stands.
        position: Option<usize>,
        /// What would be right.
        hint: Option<String>,
    },
    /// Fix the statement: no function of that name takes these types (42883).
    #[error("function {signature} does not exist")]
    UndefinedFunction {
        /// Name and argument types, `f(integer, text)`.
        signature: String,
        /// Where it stands.
        position: Option<usize>,
        /// A function that may have been meant.
        hint: Option<String>,
    },
    /// Fix the statement: the column name fits several tables (42702).
    #[error("column reference \"{name}\" is ambiguous")]
    AmbiguousColumn {
        /// The name.
        name: String,
        /// Where it stands.
        position: Option<usize>,
    },
    /// Choose another name: the table exists (42P07).
    #[error("relation \"{name}\" already exists")]
    DuplicateTable {
        /// The table.
        name: String,
    },
    /// Drop what depends on it first, or drop it too with CASCADE (2BP01).
    #[error("cannot drop {kind} {name} because other objects depend on it")]
    Dependents {
        /// What was to be dropped.
        kind: &'static str,
        /// Its name.
        name: String,
        /// A sentence for each object that depends on it.
        dependents: Vec<String>,
    },
    /// Look at the file: the catalogue of definitions cannot be read or written (58030).
    #[error("cannot {action} the catalogue {}: {message}", path.display())]
    Catalog {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Why it failed.
        message: String,
    },
    /// Fix the statement: a column is neither grouped nor aggregated (42803).
    #[error("{message}")]
    Grouping {
        /// Which column.
        message: String,
        /// Where it stands.
        position: Option<usize>,
    },
    /// Fix the statement: types do not fit (42804).
    #[error("{message}")]
    Type {
        /// Which types.
        message: String,
        /// Where it stands.
        position: Option<usize>,
        /// What would fit.
        hint: Option<String>,
    },
    /// Fix the value: a text is not a value of the type it is used as (22P02).
    #[error("{message}")]
    InvalidText {
        /// Which text and type.
        message: String,
    },
    /// Fix the value: a text is not a timestamp or an interval (22007).
    #[error("{message}")]
    InvalidDateTime {
        /// Which text and type.
        message: String,
    },
    /// Fix the value: a number does not fit its type (22003).
    #[error("{message}")]
    NumericRange {
        /// Which type.
        message: String,
    },
    /// Fix the value: division by zero (22012).
    #[error("division by zero")]
    DivisionByZero,
    /// Fix the value: `time` is never NULL (23502).
    #[error("null value in column \"{column}\" of relation \"{table}\" violates not-null constraint")]
    NotNull {
        /// The column.
        column: String,
        /// The table.
        table: String,
    },
    /// Fix the value: it is none that the column takes (23514).
    #[error("new row for relation \"{table}\" violates check constraint of column \"{column}\"")]
    Check {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What it takes.
        hint: String,
    },
    /// Fix the row: it violates an expectation of its table (23514).
    #[error("row {row} for relation \"{table}\" violates expectation \"{rule}\"")]
    Expectation {
        /// The table.
        table: String,
        /// The expectation.
        rule: String,
        /// Which row of those given, from 1.
        row: u64,
        /// The condition.
        expression: String,
    },
    /// Fix the ticket: a service desk has sent what cannot be taken (22023).
    #[error("ticket {at}: {message}")]
    Ticket {
        /// Which of those sent, from 0.
        at: usize,
        /// Why it is refused.
        message: String,
    },
    /// Use another key, or say ON CONFLICT: another row has it (23505).
    #[error("duplicate key value violates unique constraint of relation \"{table}\"")]
    DuplicateKey {
        /// The table.
        table: String,
        /// The columns of the key.
        columns: String,
    },
    /// Try again: others change the same rows all the time (40001).
    #[error("could not serialize access to \"{table}\" due to concurrent update")]
    Contended {
        /// The table.
        table: String,
    },
    /// Fix the value: a setting, an argument or a parameter is out of its range (22023).
    #[error("{message}")]
    InvalidParameter {
        /// What was set.
        name: String,
        /// Why it is refused.
        message: String,
    },
    /// Fix the statement: an option that there is not, or a value that it does not take (22023).
    #[error("{message}")]
    InvalidOption {
        /// What is wrong.
        message: String,
        /// Where it stands.
        position: Option<usize>,
        /// What would be right.
        hint: Option<String>,
    },
    /// Do it another way: this is SQL that is not offered here (0A000).
    #[error("{what}")]
    Unsupported {
        /// The whole sentence: what is not supported.
        what: String,
        /// Where it stands.
        position: Option<usize>,
        /// Another way.
        hint: Option<String>,
    },
    /// Ask for less, or raise the limit: the memory or spill limit for queries is used up (53200).
    #[error("out of memory: {message}")]
    OutOfMemory {
        /// Which operator asked for how much.
        message: String,
    },
    /// Ask somebody who may, or for the right to (42501).
    #[error("{what}")]
    Denied {
        /// The whole sentence: what is not allowed.
        what: String,
    },
    /// The storage engine refused.
    #[error(transparent)]
    Engine(#[from] plimsoll_engine::Error),
    /// Report it: this should not happen (XX000).
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// The 1-based character of the statement's text that the error is about, where one is known.
    pub fn position(&self) -> Option<usize> {
        match self {
            Error::Syntax { position, .. } => Some(*position),
            Error::UndefinedTable { position, .. }
            | Error::UndefinedColumn { position, .. }
            | Error::UndefinedObject { position, .. }
            | Error::Definition { position, .. }
            | Error::UndefinedFunction { position, .. }
            | Error::AmbiguousColumn { position, .. }
            | Error::Grouping { position, .. }
            | Error::Type { position, .. }
            | Error::InvalidOption { position, .. }
            | Error::Unsupported { position, .. } => *position,
            _ => None,
        }
    }

    /// A definition that means nothing that can be kept.
    pub(crate) fn definition(code: &'static str, message: impl Into<String>) -> Error {
        Error::Definition { code, message: message.into(), position: None, hint: None }
    }

    /// The same with a hint, where it can have one and has none.
    pub(crate) fn hinted(mut self, text: &str) -> Error {
        if let Error::Syntax { hint, .. }
        | Error::Definition { hint, .. }
        | Error::InvalidOption { hint, .. }
        | Error::Type { hint, .. } = &mut self
        {
            hint.get_or_insert_with(|| text.to_owned());
        }
        self
    }

    /// The same for a text that begins `characters` later in a larger one.
    pub(crate) fn shifted(self, characters: usize) -> Error {
        self.placed(|at| at + characters)
    }

    fn placed(mut self, place: impl Fn(usize) -> usize) -> Error {
        match &mut self {
            Error::Syntax { position, .. } => *position = place(*position),
            Error::UndefinedTable { position, .. }
            | Error::UndefinedColumn { position, .. }
            | Error::UndefinedObject { position, .. }
            | Error::UndefinedFunction { position, .. }
            | Error::AmbiguousColumn { position, .. }
            | Error::Definition { position, .. }
            | Error::Grouping { position, .. }
            | Error::Type { position, .. }
            | Error::InvalidOption { position, .. }
            | Error::Unsupported { position, .. } => *position = position.map(place),
            _ => {}
        }
        self
    }

    /// The error with the place that it has in a text of ours moved to where the same characters stand in the user's: `before`
    /// characters stand before them here and `offset` there.
    pub(crate) fn moved(self, before: usize, offset: usize) -> Error {
        let unplaced = self.placed(|at| at.saturating_sub(before));
        unplaced.shifted(offset)
    }

    /// What the user may try instead.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Error::Syntax { hint, .. }
            | Error::UndefinedTable { hint, .. }
            | Error::UndefinedColumn { hint, .. }
            | Error::UndefinedObject { hint, .. }
            | Error::Definition { hint, .. }
            | Error::UndefinedFunction { hint, .. }
            | Error::Type { hint, .. }
            | Error::InvalidOption { hint, .. }
            | Error::Unsupported { hint, .. } => hint.as_deref(),
            Error::Check { hint, .. } => Some(hint),
            Error::DuplicateObject { kind: "constraint", .. } => Some("Choose another name, or drop it first."),
            Error::DuplicateObject { .. } => Some("CREATE OR REPLACE makes a new version of it."),
            Error::Dependents { .. } => Some("Use DROP ... CASCADE to drop the dependent objects too."),
            _ => None,
        }
    }

    /// What more there is to say about it.
    pub fn detail(&self) -> Option<String> {
        match self {
            Error::Dependents { dependents, .. } => Some(dependents.join("\n")),
            Error::DuplicateKey { columns, .. } => Some(format!("The key is ({columns}).")),
            Error::Expectation { expression, .. } => Some(format!("Rows satisfy ({expression}).")),
            _ => None,
        }
    }
}

/// Errors that reach the caller through a stream of rows.
impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Error {
        convert(error)
    }
}

/// PostgreSQL quotes a plain column name and leaves a qualified one bare.
fn quoted(name: &str) -> String {
    if name.contains('.') { name.to_owned() } else { format!("\"{name}\"") }
}
