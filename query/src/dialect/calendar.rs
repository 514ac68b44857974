//! `CREATE CALENDAR`: when somebody is at work, or a promise holds.

use std::fmt;

use super::cursor::Cursor;
use super::statement::Kind;
use super::{Options, SyntaxError, joined, quoted, text_literal};

/// A calendar.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Calendar {
    pub(crate) name: String,
    /// The IANA name of its time zone.
    pub(crate) zone: String,
    /// Such as `MO-FR 08:00-18:00` or `24x7`.
    pub(crate) windows: Vec<String>,
    pub(crate) options: Options,
}

impl Calendar {
    pub(super) fn parse(name: String, cursor: &mut Cursor<'_>) -> Result<Calendar, SyntaxError> {
        let zone = match cursor.eat("at") {
            true => {
                cursor.expect("time")?;
                cursor.expect("zone")?;
                cursor.quoted_text("the name of a time zone in quotes")?
            }
            false => "UTC".to_owned(),
        };
        cursor.expect("as")?;
        let windows = cursor.list(|cursor| cursor.quoted_text("a window such as 'MO-FR 08:00-18:00'"))?;
        let options = Options::parse_with(cursor, Kind::Calendar)?;
        cursor.expect_end(&["with"])?;
        Ok(Calendar { name, zone, windows, options })
    }
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let windows = joined(self.windows.iter().map(|window| text_literal(window)), ", ");
        let zone = text_literal(&self.zone);
        write!(f, "{} AT TIME ZONE {zone} AS ({windows}){}", quoted(&self.name), self.options)
    }
}
