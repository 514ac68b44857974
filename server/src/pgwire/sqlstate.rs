//! The one map from errors to what a client is told: SQLSTATE, message, position, hint.

use pgwire::messages::response::{ErrorResponse, NoticeResponse};
use plimsoll_engine::SchemaError;

use super::catalog::CatalogError;

/// SQLSTATEs that the front end itself raises.
pub(crate) mod code {
    pub(crate) const WARNING: &str = "01000";
    pub(crate) const PROTOCOL_VIOLATION: &str = "08P01";
    pub(crate) const FEATURE_NOT_SUPPORTED: &str = "0A000";
    pub(crate) const INSUFFICIENT_PRIVILEGE: &str = "42501";
    pub(crate) const INVALID_PARAMETER_VALUE: &str = "22023";
    pub(crate) const INVALID_TEXT: &str = "22P02";
    pub(crate) const INVALID_BINARY: &str = "22P03";
    pub(crate) const NUMERIC_RANGE: &str = "22003";
    pub(crate) const INVALID_DATETIME: &str = "22007";
    pub(crate) const BAD_COPY_FORMAT: &str = "22P04";
    pub(crate) const NOT_IN_REPERTOIRE: &str = "22021";
    pub(crate) const ACTIVE_TRANSACTION: &str = "25001";
    pub(crate) const READ_ONLY_TRANSACTION: &str = "25006";
    pub(crate) const NO_ACTIVE_TRANSACTION: &str = "25P01";
    pub(crate) const IN_FAILED_TRANSACTION: &str = "25P02";
    pub(crate) const INVALID_STATEMENT_NAME: &str = "26000";
    pub(crate) const INVALID_AUTHORIZATION: &str = "28000";
    pub(crate) const INVALID_PASSWORD: &str = "28P01";
    pub(crate) const INVALID_CURSOR_NAME: &str = "34000";
    pub(crate) const INVALID_SAVEPOINT: &str = "3B001";
    pub(crate) const SYNTAX_ERROR: &str = "42601";
    pub(crate) const UNDEFINED_OBJECT: &str = "42704";
    pub(crate) const UNDEFINED_PARAMETER: &str = "42P02";
    pub(crate) const DUPLICATE_CURSOR: &str = "42P03";
    pub(crate) const DUPLICATE_STATEMENT: &str = "42P05";
    pub(crate) const TOO_MANY_CONNECTIONS: &str = "53300";
    pub(crate) const LIMIT_EXCEEDED: &str = "54000";
    pub(crate) const OBJECT_NOT_IN_STATE: &str = "55000";
    pub(crate) const CANT_CHANGE_PARAMETER: &str = "55P02";
    pub(crate) const QUERY_CANCELED: &str = "57014";
    pub(crate) const ADMIN_SHUTDOWN: &str = "57P01";
    pub(crate) const INTERNAL: &str = "XX000";
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The statement goes on.
    Warning,
    /// The statement ends.
    Error,
    /// The connection ends.
    Fatal,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        }
    }
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlError {
    pub(crate) severity: Severity,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) detail: Option<Box<str>>,
    pub(crate) hint: Option<String>,
    /// Where in the data it happened.
    pub(crate) context: Option<Box<str>>,
    /// Character of the statement's text, counted from 1.
    pub(crate) position: Option<usize>,
}

impl SqlError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> SqlError {
        let (detail, hint, context, position) = (None, None, None, None);
        SqlError { severity: Severity::Error, code, message: message.into(), detail, hint, context, position }
    }

    pub(crate) fn fatal(code: &'static str, message: impl Into<String>) -> SqlError {
        SqlError { severity: Severity::Fatal, ..SqlError::new(code, message) }
    }

    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> SqlError {
        SqlError { severity: Severity::Warning, ..SqlError::new(code, message) }
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> SqlError {
        SqlError::new(code::FEATURE_NOT_SUPPORTED, message)
    }

    pub(crate) fn protocol(message: impl Into<String>) -> SqlError {
        SqlError::fatal(code::PROTOCOL_VIOLATION, message)
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> SqlError {
        SqlError { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn with_context(self, context: impl Into<String>) -> SqlError {
        SqlError { context: Some(context.into().into()), ..self }
    }

    pub(crate) fn with_detail(self, detail: impl Into<String>) -> SqlError {
        SqlError { detail: Some(detail.into().into()), ..self }
    }

    /// `text` is the text that the failed statement was parsed from.
    pub(crate) fn catalog(error: CatalogError, text: &str) -> SqlError {
        let position = error.position_in(text);
        SqlError { hint: error.hint, position, ..SqlError::new(error.sqlstate, error.message) }
    }

    pub(crate) fn response(&self) -> ErrorResponse {
        ErrorResponse::new(self.fields())
    }

    pub(crate) fn notice(&self) -> NoticeResponse {
        NoticeResponse::new(self.fields())
    }

    fn fields(&self) -> Vec<(u8, String)> {
        let severity = self.severity.word().to_owned();
        let mut fields = vec![(b'S', severity.clone()), (b'V', severity), (b'C', self.code.to_owned())];
        // A zero byte would end the message early.
        fields.push((b'M', self.message.replace('\0', "\u{fffd}")));
        fields.extend(self.detail.iter().map(|detail| (b'D', detail.to_string())));
        fields.extend(self.hint.iter().map(|hint| (b'H', hint.clone())));
        fields.extend(self.context.iter().map(|context| (b'W', context.to_string())));
        fields.extend(self.position.map(|position| (b'P', position.to_string())));
        fields
    }
}

impl From<plimsoll_query::Error> for SqlError {
    fn from(error: plimsoll_query::Error) -> SqlError {
        let (position, hint, detail) =
            (error.position(), error.hint().map(str::to_owned), error.detail().map(Into::into));
        SqlError { position, hint, detail, ..SqlError::new(query_code(&error), error.to_string()) }
    }
}

fn query_code(error: &plimsoll_query::Error) -> &'static str {
    use plimsoll_query::Error;
    match error {
        Error::Syntax { .. } => code::SYNTAX_ERROR,
        Error::UndefinedTable { .. } => "42P01",
        Error::UndefinedColumn { .. } => "42703",
        Error::UndefinedFunction { .. } => "42883",
        Error::AmbiguousColumn { .. } => "42702",
        Error::UndefinedObject { .. } => code::UNDEFINED_OBJECT,
        Error::DuplicateObject { .. } => "42710",
        Error::Definition { code, .. } => code,
        Error::DuplicateTable { .. } => "42P07",
        Error::Dependents { .. } => "2BP01",
        Error::Catalog { .. } => "58030",
        Error::Grouping { .. } => "42803",
        // PostgreSQL has one code for an operator that no types fit, and one for types that do not fit.
        Error::Type { message, .. } if message.starts_with("operator does not exist") => "42883",
        Error::Type { .. } => "42804",
        Error::InvalidText { .. } => code::INVALID_TEXT,
        Error::InvalidDateTime { .. } => code::INVALID_DATETIME,
        Error::NumericRange { .. } => code::NUMERIC_RANGE,
        Error::DivisionByZero => "22012",
        Error::NotNull { .. } => "23502",
        Error::Check { .. } | Error::Expectation { .. } => "23514",
        Error::DuplicateKey { .. } => "23505",
        Error::Contended { .. } => "40001",
        Error::InvalidParameter { .. } | Error::InvalidOption { .. } | Error::Ticket { .. } => {
            code::INVALID_PARAMETER_VALUE
        }
        Error::Unsupported { .. } => code::FEATURE_NOT_SUPPORTED,
        Error::OutOfMemory { .. } => "53200",
        Error::Denied { .. } => "42501",
        Error::Engine(error) => engine_code(error),
        _ => code::INTERNAL,
    }
}

fn engine_code(error: &plimsoll_engine::Error) -> &'static str {
    use plimsoll_engine::Error;
    match error {
        Error::Busy { .. } => "53400",
        Error::Schema(error) => schema_code(error),
        Error::Limit { .. } => code::LIMIT_EXCEEDED,
        Error::Pattern(_) => "2201B",
        Error::DiskFull { .. } => "53100",
        Error::Corrupt { .. } => "XX001",
        Error::Version { .. } => code::FEATURE_NOT_SUPPORTED,
        Error::Locked { .. } => "55006",
        Error::Poisoned { .. } => code::READ_ONLY_TRANSACTION,
        Error::Io { .. } => "58030",
        _ => code::INTERNAL,
    }
}

fn schema_code(error: &SchemaError) -> &'static str {
    match error {
        SchemaError::NoTable(_) => "42P01",
        SchemaError::TableExists(_) => "42P07",
        SchemaError::NoColumn { .. } => "42703",
        SchemaError::FieldType { .. } | SchemaError::ColumnKind { .. } => "42804",
        SchemaError::Name { .. } => "42602",
        SchemaError::NoField(_) => "23502",
        SchemaError::Duplicate(_) => "42701",
        SchemaError::Retention { .. } => "22023",
        SchemaError::LegalHold(_) => "55006",
        SchemaError::Expired { .. } => "22008",
        SchemaError::SeriesLimit { .. } => "54000",
        _ => code::INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_query::Error;

    use super::*;

    #[test]
    fn a_query_error_keeps_its_position_and_hint() {
        let error = Error::UndefinedColumn {
            name: "usge".to_owned(),
            position: Some(8),
            hint: Some("Perhaps you meant to reference the column \"cpu.usage\".".to_owned()),
        };
        let fields = SqlError::from(error).response().fields;
        let field = |tag: u8| fields.iter().find(|(t, _)| *t == tag).map(|(_, value)| value.as_str());
        assert_eq!(field(b'S'), Some("ERROR"));
        assert_eq!(field(b'C'), Some("42703"));
        assert_eq!(field(b'M'), Some("column \"usge\" does not exist"));
        assert_eq!(field(b'P'), Some("8"));
        assert!(field(b'H').is_some());
    }

    #[test]
    fn engine_errors_say_what_the_caller_can_do() {
        let code = |error: plimsoll_engine::Error| SqlError::from(Error::Engine(error)).code;
        assert_eq!(code(plimsoll_engine::Error::DiskFull { path: "x".into() }), "53100");
        assert_eq!(code(plimsoll_engine::Error::Poisoned { cause: "x".into() }), "25006");
        assert_eq!(code(SchemaError::NoTable("x".into()).into()), "42P01");
    }
}
