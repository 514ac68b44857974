//! `CREATE KPI` and `CREATE BASELINE`: what is measured, and what is normal.

use std::fmt;

use super::cursor::Cursor;
use super::options::options_at;
use super::statement::Kind;
use super::{Options, SyntaxError, joined, quoted};

type Result<T, E = SyntaxError> = std::result::Result<T, E>;

/// A query as it was written, and where it stood in its statement.
#[derive(Debug, Clone, Eq)]
pub(crate) struct Query {
    pub(crate) text: String,
    /// Characters of the statement before it.
    pub(crate) offset: usize,
}

impl PartialEq for Query {
    /// The same text is the same query, wherever it stood.
    fn eq(&self, other: &Query) -> bool {
        self.text == other.text
    }
}

/// A KPI.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kpi {
    pub(crate) name: String,
    /// The service that it speaks of.
    pub(crate) service: Option<String>,
    pub(crate) query: Query,
    pub(crate) options: Options,
}

/// A baseline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Baseline {
    pub(crate) name: String,
    /// The KPI that it learns.
    pub(crate) kpi: String,
    /// What a value depends on; empty when it is not said.
    pub(crate) season: Vec<Season>,
    pub(crate) options: Options,
}

/// What a value depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Season {
    HourOfWeek,
    HourOfDay,
    DayOfMonth,
    /// On nothing.
    None,
}

const SEASONS: [(&str, Season); 4] = [
    ("hour_of_week", Season::HourOfWeek),
    ("hour_of_day", Season::HourOfDay),
    ("day_of_month", Season::DayOfMonth),
    ("none", Season::None),
];

impl Query {
    /// Takes a query: everything up to the options of the statement, or to its end.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Query> {
        if !cursor.is_word("select") && !cursor.is_word("with") && !cursor.is_sign('(') {
            return Err(cursor.unexpected("a query", &["select"]));
        }
        let end = options_at(cursor);
        let start = cursor.advance();
        let mut last = start.clone();
        loop {
            let next = cursor.peek();
            let is_end = end.as_ref().is_some_and(|end| end.start == next.start);
            if is_end || next.kind == super::lexer::TokenKind::End {
                // Not further: a comment to the end of a line would hide the options that are printed behind it.
                let text = cursor.between(&start, &last).to_owned();
                return Ok(Query { text, offset: cursor.offset_of(&start) });
            }
            last = cursor.advance();
        }
    }
}

/// Takes `ON SERVICE name` if it comes next.
pub(super) fn on_service(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    match cursor.eat("on") {
        true => {
            cursor.expect("service")?;
            cursor.name("the name of a service").map(Some)
        }
        false => Ok(None),
    }
}

impl Kpi {
    pub(super) fn parse(name: String, cursor: &mut Cursor<'_>) -> Result<Kpi> {
        let service = on_service(cursor)?;
        cursor.expect("as")?;
        let query = Query::parse(cursor)?;
        let options = Options::parse_with(cursor, Kind::Kpi)?;
        cursor.expect_end(&[])?;
        Ok(Kpi { name, service, query, options })
    }

    /// The value of an option as text.
    pub(crate) fn option_text(&self, name: &str) -> Option<&str> {
        self.options.text(name)
    }
}

impl Baseline {
    pub(super) fn parse(name: String, cursor: &mut Cursor<'_>) -> Result<Baseline> {
        cursor.expect("on")?;
        cursor.expect("kpi")?;
        let kpi = cursor.name("the name of a KPI")?;
        let season = match cursor.eat("season") {
            true => cursor.list(season)?,
            false => Vec::new(),
        };
        let options = Options::parse_with(cursor, Kind::Baseline)?;
        cursor.expect_end(&["season", "with"])?;
        Ok(Baseline { name, kpi, season, options })
    }

    /// The value of an option as text.
    pub(crate) fn option_text(&self, name: &str) -> Option<&str> {
        self.options.text(name)
    }
}

fn season(cursor: &mut Cursor<'_>) -> Result<Season> {
    let word = cursor.expect_any(&SEASONS.map(|(word, _)| word))?;
    let found = SEASONS.iter().find(|(known, _)| *known == word);
    found.map(|(_, season)| *season).ok_or_else(|| cursor.error("no such season", None))
}

impl fmt::Display for Season {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = SEASONS.iter().find(|(_, season)| season == self).map_or("none", |(word, _)| word);
        f.write_str(word)
    }
}

impl fmt::Display for Kpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", quoted(&self.name))?;
        if let Some(service) = &self.service {
            write!(f, " ON SERVICE {}", quoted(service))?;
        }
        write!(f, " AS {}{}", self.query.text, self.options)
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ON KPI {}", quoted(&self.name), quoted(&self.kpi))?;
        if !self.season.is_empty() {
            write!(f, " SEASON ({})", joined(&self.season, ", "))?;
        }
        write!(f, "{}", self.options)
    }
}
