//! The statements: which one a text is by its first words, and what all definitions have in common.

use std::fmt;

use super::backtest::instant;
use super::cursor::Cursor;
use super::expression::query_in_parentheses;
use super::expression::take_until;
use super::options::Known;
use super::{
    Alert, Backtest, Baseline, Calendar, Call, Kpi, Options, Override, Policy, Query, RoleStatement, Service, Sink,
    Sla, Slo, SyntaxError, joined, quoted, text_literal,
};

type Result<T, E = SyntaxError> = std::result::Result<T, E>;

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Service,
    Calendar,
    Kpi,
    Baseline,
    Slo,
    Sla,
    Sink,
    Policy,
    Alert,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Statement {
    /// `CREATE [OR REPLACE] KIND [IF NOT EXISTS] name ...`
    Create { or_replace: bool, if_not_exists: bool, object: Box<Definition> },
    /// `ALTER KIND name SET (...)` and `RESET (...)`
    AlterSet { kind: Kind, name: String, set: Options, reset: Vec<String> },
    /// `ALTER BASELINE name OVERRIDE (...) [WHERE ...] REASON '...' UNTIL '...'`
    Override(Override),
    /// `DROP KIND [IF EXISTS] name, ... [CASCADE]`
    Drop { kind: Kind, names: Vec<String>, if_exists: bool, cascade: bool },
    /// `COMMENT ON KIND name IS ...`
    Comment { kind: Kind, name: String, text: Option<String> },
    /// `SHOW CREATE KIND name`
    ShowCreate { of: Shown, name: String },
    /// `SHOW LINEAGE FOR KIND name`
    ShowLineage { kind: Kind, name: String },
    /// `EVALUATE SLA name FOR PERIOD '...'`
    EvaluateSla { name: String, period: String, as_of: Option<String> },
    /// `REFRESH MATERIALIZED VIEW name`
    Refresh { name: String },
    /// `CALL name(...)`
    Call(Call),
    /// `BACKTEST ALERT name BETWEEN '...' AND '...' ...`
    Backtest(Backtest),
    /// `BACKTEST BASELINE name BETWEEN from AND to`.
    BacktestBaseline { name: String, start: String, end: String },
    /// `EXPLAIN ALERT name AT '...'`
    ExplainAlert { name: String, at: String },
    /// `EXPLAIN (LINEAGE) query`
    ExplainLineage { query: Query },
    /// `SUBSCRIBE TO (query) [WITH (...)]`
    /// `SUBSCRIBE TO (query) ...`, or `COPY (SUBSCRIBE ...) TO STDOUT`, which psql shows as it comes.
    Subscribe { query: Query, options: Options, is_copied: bool },
    /// Who there is, and what each may do.
    Role(RoleStatement),
}

/// What `SHOW CREATE` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Object(Kind),
    Table,
    View,
}

/// What an object is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Definition {
    Service(Service),
    Calendar(Calendar),
    Kpi(Kpi),
    Baseline(Baseline),
    Slo(Slo),
    Sla(Sla),
    Sink(Sink),
    Policy(Policy),
    Alert(Alert),
}

/// Kinds by their words.
const KINDS: [(&str, Kind); 9] = [
    ("service", Kind::Service),
    ("calendar", Kind::Calendar),
    ("kpi", Kind::Kpi),
    ("baseline", Kind::Baseline),
    ("slo", Kind::Slo),
    ("sla", Kind::Sla),
    ("sink", Kind::Sink),
    ("escalation policy", Kind::Policy),
    ("alert", Kind::Alert),
];

impl Kind {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Kind> {
        KINDS.iter().map(|(_, kind)| *kind)
    }

    /// Its word, or words, in lower case.
    pub(crate) fn word(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    pub(crate) fn of_word(word: &str) -> Option<Kind> {
        KINDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind)
    }

    /// The kind whose objects are relations of a schema.
    pub(crate) fn of_schema(schema: &str) -> Option<Kind> {
        Kind::of_word(schema).filter(|kind| matches!(kind, Kind::Kpi | Kind::Slo | Kind::Sla))
    }

    /// The command tags of CREATE, ALTER and DROP.
    fn tags(self) -> [&'static str; 3] {
        match self {
            Kind::Service => ["CREATE SERVICE", "ALTER SERVICE", "DROP SERVICE"],
            Kind::Calendar => ["CREATE CALENDAR", "ALTER CALENDAR", "DROP CALENDAR"],
            Kind::Kpi => ["CREATE KPI", "ALTER KPI", "DROP KPI"],
            Kind::Baseline => ["CREATE BASELINE", "ALTER BASELINE", "DROP BASELINE"],
            Kind::Slo => ["CREATE SLO", "ALTER SLO", "DROP SLO"],
            Kind::Sla => ["CREATE SLA", "ALTER SLA", "DROP SLA"],
            Kind::Sink => ["CREATE SINK", "ALTER SINK", "DROP SINK"],
            Kind::Policy => ["CREATE ESCALATION POLICY", "ALTER ESCALATION POLICY", "DROP ESCALATION POLICY"],
            Kind::Alert => ["CREATE ALERT", "ALTER ALERT", "DROP ALERT"],
        }
    }
}

impl Statement {
    /// Its command tag.
    pub(crate) fn tag(&self) -> &'static str {
        match self {
            Statement::Create { object, .. } => object.kind().tags()[0],
            Statement::AlterSet { kind, .. } => kind.tags()[1],
            Statement::Override(_) => Kind::Baseline.tags()[1],
            Statement::Drop { kind, .. } => kind.tags()[2],
            Statement::Comment { .. } => "COMMENT",
            Statement::ShowCreate { .. } | Statement::ShowLineage { .. } => "SHOW",
            Statement::ExplainLineage { .. } => "EXPLAIN",
            Statement::EvaluateSla { .. }
            | Statement::Backtest(_)
            | Statement::BacktestBaseline { .. }
            | Statement::ExplainAlert { .. } => "SELECT",
            Statement::Refresh { .. } => "REFRESH MATERIALIZED VIEW",
            Statement::Call(_) => "CALL",
            Statement::Subscribe { .. } => "SUBSCRIBE",
            Statement::Role(statement) => statement.tag(),
        }
    }
}

impl Definition {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Definition::Service(_) => Kind::Service,
            Definition::Calendar(_) => Kind::Calendar,
            Definition::Kpi(_) => Kind::Kpi,
            Definition::Baseline(_) => Kind::Baseline,
            Definition::Slo(_) => Kind::Slo,
            Definition::Sla(_) => Kind::Sla,
            Definition::Sink(_) => Kind::Sink,
            Definition::Policy(_) => Kind::Policy,
            Definition::Alert(_) => Kind::Alert,
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Definition::Service(Service { name, .. })
            | Definition::Calendar(Calendar { name, .. })
            | Definition::Kpi(Kpi { name, .. })
            | Definition::Baseline(Baseline { name, .. })
            | Definition::Slo(Slo { name, .. })
            | Definition::Sla(Sla { name, .. })
            | Definition::Sink(Sink { name, .. })
            | Definition::Policy(Policy { name, .. })
            | Definition::Alert(Alert { name, .. }) => name,
        }
    }

    /// Its query, if it has one.
    pub(crate) fn query(&self) -> Option<&Query> {
        match self {
            Definition::Kpi(Kpi { query, .. })
            | Definition::Slo(Slo { query, .. })
            | Definition::Alert(Alert { query, .. }) => Some(query),
            _ => None,
        }
    }

    fn options(&self) -> &Options {
        match self {
            Definition::Service(Service { options, .. })
            | Definition::Calendar(Calendar { options, .. })
            | Definition::Kpi(Kpi { options, .. })
            | Definition::Baseline(Baseline { options, .. })
            | Definition::Slo(Slo { options, .. })
            | Definition::Sla(Sla { options, .. })
            | Definition::Sink(Sink { options, .. })
            | Definition::Policy(Policy { options, .. })
            | Definition::Alert(Alert { options, .. }) => options,
        }
    }

    fn options_mut(&mut self) -> &mut Options {
        match self {
            Definition::Service(Service { options, .. })
            | Definition::Calendar(Calendar { options, .. })
            | Definition::Kpi(Kpi { options, .. })
            | Definition::Baseline(Baseline { options, .. })
            | Definition::Slo(Slo { options, .. })
            | Definition::Sla(Sla { options, .. })
            | Definition::Sink(Sink { options, .. })
            | Definition::Policy(Policy { options, .. })
            | Definition::Alert(Alert { options, .. }) => options,
        }
    }

    /// The same with its secrets hidden, to be shown.
    pub(crate) fn masked(&self) -> Definition {
        let mut masked = self.clone();
        masked.options_mut().mask(self.kind());
        masked
    }

    /// The value of an option as text.
    pub(crate) fn option_text(&self, name: &str) -> Option<&str> {
        self.options().text(name)
    }

    /// Sets some options and takes others away.
    pub(crate) fn change_options(&mut self, set: &Options, reset: &[String]) {
        match self {
            Definition::Service(service) => service.change(set, reset),
            Definition::Slo(slo) => {
                slo.options.change(set, reset);
                slo.compose();
            }
            other => other.options_mut().change(set, reset),
        }
    }
}

/// Parses a statement whose first words are the dialect's; `None` for others.
pub(super) fn parse(text: &str) -> Option<Result<Statement>> {
    let mut cursor = match Cursor::new(text) {
        Ok(cursor) => cursor,
        Err(error) => {
            // What stands before the open quote or comment tells whose statement it is.
            let before: String = text.chars().take(error.offset).collect();
            return parse(&before).map(|_| Err(error));
        }
    };
    let cursor = &mut cursor;
    match () {
        () if cursor.eat("create") => {
            let or_replace = cursor.eat_all(&["or", "replace"]);
            if !or_replace && let Some(role) = RoleStatement::after_verb("create", cursor) {
                return Some(role.map(Statement::Role));
            }
            with_kind(cursor, |cursor, kind| definition(cursor, kind, or_replace))
        }
        () if cursor.eat("alter") => match RoleStatement::after_verb("alter", cursor) {
            Some(role) => Some(role.map(Statement::Role)),
            None => with_kind(cursor, alter),
        },
        () if cursor.eat("drop") => match RoleStatement::after_verb("drop", cursor) {
            Some(role) => Some(role.map(Statement::Role)),
            None => with_kind(cursor, drop_objects),
        },
        () if cursor.eat("grant") => Some(RoleStatement::grant(cursor).map(Statement::Role)),
        () if cursor.eat("revoke") => Some(RoleStatement::revoke(cursor).map(Statement::Role)),
        () if cursor.eat_all(&["comment", "on"]) => with_kind(cursor, comment),
        () if cursor.eat_all(&["show", "create"]) => Some(show_create(cursor)),
        () if cursor.eat_all(&["show", "lineage"]) => Some(show_lineage(cursor)),
        () if cursor.eat("evaluate") => Some(evaluate(cursor)),
        () if cursor.eat_all(&["refresh", "materialized", "view"]) => Some(refresh(cursor)),
        () if cursor.eat("call") => Some(Call::parse(cursor).map(Statement::Call)),
        () if cursor.eat("backtest") => Some(match cursor.eat("baseline") {
            true => backtest_baseline(cursor),
            false => Backtest::parse(cursor).map(Statement::Backtest),
        }),
        () if cursor.eat_all(&["explain", "alert"]) => Some(explain_alert(cursor)),
        () if cursor.is_word("explain") && cursor.is_sign_at(1, '(') && cursor.is_word_at(2, "lineage") => {
            (0..3).for_each(|_| drop(cursor.advance()));
            Some(explain_lineage(cursor))
        }
        () if cursor.eat("subscribe") => Some(subscribe(cursor)),
        () if cursor.is_word("copy") && cursor.is_sign_at(1, '(') && cursor.is_word_at(2, "subscribe") => {
            (0..3).for_each(|_| drop(cursor.advance()));
            Some(copied_subscription(cursor))
        }
        () => None,
    }
}

fn refresh(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = cursor.name("the name of a materialized view")?;
    cursor.expect_end(&[])?;
    Ok(Statement::Refresh { name })
}

/// Takes the words of a kind if the first one comes next, and does something with the kind.
fn with_kind<'a, T>(
    cursor: &mut Cursor<'a>,
    then: impl FnOnce(&mut Cursor<'a>, Kind) -> Result<T>,
) -> Option<Result<T>> {
    let (first, kind) = KINDS
        .iter()
        .map(|(words, kind)| (words.split(' ').next().unwrap_or(words), *kind))
        .find(|(first, _)| cursor.is_word(first))?;
    let rest = kind.word()[first.len()..].split_whitespace();
    cursor.advance();
    for word in rest {
        if let Err(error) = cursor.expect(word) {
            return Some(Err(error));
        }
    }
    Some(then(cursor, kind))
}

/// What is expected where a name stands.
fn the_name_of(kind: Kind) -> String {
    let article = if matches!(kind, Kind::Slo | Kind::Sla | Kind::Alert | Kind::Policy) { "an" } else { "a" };
    format!("the name of {article} {kind}")
}

/// The first words of all kinds.
fn first_words() -> Vec<&'static str> {
    KINDS.iter().filter_map(|(words, _)| words.split(' ').next()).collect()
}

/// Takes the words of a kind.
fn expect_kind(cursor: &mut Cursor<'_>, also: &[&'static str]) -> Result<Kind> {
    match with_kind(cursor, |_, kind| Ok(kind)) {
        Some(kind) => kind,
        None => {
            let words = [first_words().as_slice(), also].concat();
            let listed = super::cursor::listed(words.iter().map(|word| word.to_uppercase()));
            Err(cursor.unexpected(&listed, &words))
        }
    }
}

fn definition(cursor: &mut Cursor<'_>, kind: Kind, or_replace: bool) -> Result<Statement> {
    let if_not_exists = cursor.eat_all(&["if", "not", "exists"]);
    if or_replace && if_not_exists {
        let hint = "A definition is either replaced or left as it is.".to_owned();
        return Err(cursor.error("OR REPLACE and IF NOT EXISTS exclude one another", Some(hint)));
    }
    let name = cursor.name(&the_name_of(kind))?;
    let object = match kind {
        Kind::Service => Definition::Service(Service::parse(name, cursor)?),
        Kind::Calendar => Definition::Calendar(Calendar::parse(name, cursor)?),
        Kind::Kpi => Definition::Kpi(Kpi::parse(name, cursor)?),
        Kind::Baseline => Definition::Baseline(Baseline::parse(name, cursor)?),
        Kind::Slo => Definition::Slo(Slo::parse(name, cursor)?),
        Kind::Sla => Definition::Sla(Sla::parse(name, cursor)?),
        Kind::Sink => Definition::Sink(Sink::parse(name, cursor)?),
        Kind::Policy => Definition::Policy(Policy::parse(name, cursor)?),
        Kind::Alert => Definition::Alert(Alert::parse(name, cursor)?),
    };
    Ok(Statement::Create { or_replace, if_not_exists, object: Box::new(object) })
}

fn alter(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Statement> {
    let name = cursor.name(&the_name_of(kind))?;
    let words: &[&str] = if kind == Kind::Baseline { &["set", "reset", "override"] } else { &["set", "reset"] };
    let (set, reset) = match cursor.expect_any(words)? {
        "override" => return Override::parse(name, cursor).map(Statement::Override),
        "set" => (Options::parse_set(cursor, kind)?, Vec::new()),
        _ => (Options::default(), Options::parse_reset(cursor, kind)?),
    };
    cursor.expect_end(&[])?;
    Ok(Statement::AlterSet { kind, name, set, reset })
}

fn drop_objects(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Statement> {
    let if_exists = cursor.eat_all(&["if", "exists"]);
    let mut names = vec![cursor.name(&the_name_of(kind))?];
    while cursor.eat_sign(',') {
        names.push(cursor.name(&the_name_of(kind))?);
    }
    let cascade = cursor.eat("cascade");
    if !cascade {
        cursor.eat("restrict");
    }
    cursor.expect_end(&["cascade", "restrict"])?;
    Ok(Statement::Drop { kind, names, if_exists, cascade })
}

fn comment(cursor: &mut Cursor<'_>, kind: Kind) -> Result<Statement> {
    let name = cursor.name(&the_name_of(kind))?;
    cursor.expect("is")?;
    let text = match cursor.eat("null") {
        true => None,
        false => Some(cursor.quoted_text("a text in quotes, or NULL")?),
    };
    cursor.expect_end(&[])?;
    Ok(Statement::Comment { kind, name, text })
}

fn show_create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let of = match () {
        () if cursor.eat("table") => Shown::Table,
        () if cursor.eat("view") => Shown::View,
        () => Shown::Object(expect_kind(cursor, &["table", "view"])?),
    };
    let name = cursor.name("a name")?;
    cursor.expect_end(&[])?;
    Ok(Statement::ShowCreate { of, name })
}

fn show_lineage(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("for")?;
    let kind = expect_kind(cursor, &[])?;
    let name = cursor.name(&the_name_of(kind))?;
    cursor.expect_end(&[])?;
    Ok(Statement::ShowLineage { kind, name })
}

fn evaluate(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("sla")?;
    let name = cursor.name("the name of an SLA")?;
    cursor.expect("for")?;
    cursor.expect("period")?;
    let period = cursor.quoted_text("a period such as '2026-10'")?;
    let mut as_of = None;
    if cursor.eat("as") {
        cursor.expect("of")?;
        as_of = Some(instant(cursor)?);
    }
    cursor.expect_end(&["as of"])?;
    Ok(Statement::EvaluateSla { name, period, as_of })
}

fn backtest_baseline(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = cursor.name("the name of a baseline")?;
    cursor.expect("between")?;
    let start = instant(cursor)?;
    cursor.expect("and")?;
    let end = instant(cursor)?;
    cursor.expect_end(&[])?;
    Ok(Statement::BacktestBaseline { name, start, end })
}

fn explain_alert(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = cursor.name("the name of an alert")?;
    cursor.expect("at")?;
    let at = instant(cursor)?;
    cursor.expect_end(&[])?;
    Ok(Statement::ExplainAlert { name, at })
}

fn explain_lineage(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect_sign(')')?;
    let query = take_until(cursor, "a query", |_, _| false)?;
    cursor.expect_end(&[])?;
    Ok(Statement::ExplainLineage { query })
}

fn subscribe(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let (query, options) = subscription(cursor)?;
    cursor.expect_end(&["with"])?;
    Ok(Statement::Subscribe { query, options, is_copied: false })
}

fn copied_subscription(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let (query, options) = subscription(cursor)?;
    cursor.expect_sign(')')?;
    cursor.expect("to")?;
    cursor.expect("stdout")?;
    cursor.expect_end(&[])?;
    Ok(Statement::Subscribe { query, options, is_copied: true })
}

fn subscription(cursor: &mut Cursor<'_>) -> Result<(Query, Options)> {
    cursor.expect("to")?;
    let query = query_in_parentheses(cursor)?;
    Ok((query, Options::parse_for(cursor, Known::SUBSCRIPTION)?))
}

/// As a message names it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Kpi | Kind::Slo | Kind::Sla => f.write_str(&self.word().to_uppercase()),
            _ => f.write_str(self.word()),
        }
    }
}

/// The statement that makes it.
impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let create = self.kind().tags()[0];
        match self {
            Definition::Service(service) => write!(f, "{create} {service}"),
            Definition::Calendar(calendar) => write!(f, "{create} {calendar}"),
            Definition::Kpi(kpi) => write!(f, "{create} {kpi}"),
            Definition::Baseline(baseline) => write!(f, "{create} {baseline}"),
            Definition::Slo(slo) => write!(f, "{create} {slo}"),
            Definition::Sla(sla) => write!(f, "{create} {sla}"),
            Definition::Sink(sink) => write!(f, "{create} {sink}"),
            Definition::Policy(policy) => write!(f, "{create} {policy}"),
            Definition::Alert(alert) => write!(f, "{create} {alert}"),
        }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Create { or_replace, if_not_exists, object } => {
                let text = object.to_string();
                let (create, rest) = text.split_at("CREATE".len());
                let word = object.kind().word().len() + 1;
                let (kind, rest) = rest.split_at(word);
                let replacing = if *or_replace { " OR REPLACE" } else { "" };
                let unless = if *if_not_exists { " IF NOT EXISTS" } else { "" };
                write!(f, "{create}{replacing}{kind}{unless}{rest}")
            }
            Statement::AlterSet { kind, name, set, reset } => {
                write!(f, "{} {}", kind.tags()[1], quoted(name))?;
                match reset.is_empty() {
                    true => write!(f, "{}", set.to_string().replacen(" WITH", " SET", 1)),
                    false => write!(f, " RESET ({})", joined(reset.iter().map(|name| quoted(name)), ", ")),
                }
            }
            Statement::Override(changed) => write!(f, "{} {changed}", Kind::Baseline.tags()[1]),
            Statement::Drop { kind, names, if_exists, cascade } => {
                let unless = if *if_exists { " IF EXISTS" } else { "" };
                let cascade = if *cascade { " CASCADE" } else { "" };
                let names = joined(names.iter().map(|name| quoted(name)), ", ");
                write!(f, "{}{unless} {names}{cascade}", kind.tags()[2])
            }
            Statement::Comment { kind, name, text } => {
                let text = text.as_ref().map_or_else(|| "NULL".to_owned(), |text| text_literal(text));
                write!(f, "COMMENT ON {} {} IS {text}", kind.word().to_uppercase(), quoted(name))
            }
            Statement::ShowCreate { of, name } => {
                let word = match of {
                    Shown::Object(kind) => kind.word().to_uppercase(),
                    Shown::Table => "TABLE".to_owned(),
                    Shown::View => "VIEW".to_owned(),
                };
                write!(f, "SHOW CREATE {word} {}", quoted(name))
            }
            Statement::ShowLineage { kind, name } => {
                write!(f, "SHOW LINEAGE FOR {} {}", kind.word().to_uppercase(), quoted(name))
            }
            Statement::Refresh { name } => write!(f, "REFRESH MATERIALIZED VIEW {}", quoted(name)),
            Statement::EvaluateSla { name, period, as_of } => {
                write!(f, "EVALUATE SLA {} FOR PERIOD {}", quoted(name), text_literal(period))?;
                match as_of {
                    Some(at) => write!(f, " AS OF {}", text_literal(at)),
                    None => Ok(()),
                }
            }
            Statement::Call(call) => write!(f, "{call}"),
            Statement::Backtest(backtest) => write!(f, "{backtest}"),
            Statement::BacktestBaseline { name, start, end } => {
                let (start, end) = (text_literal(start), text_literal(end));
                write!(f, "BACKTEST BASELINE {} BETWEEN {start} AND {end}", quoted(name))
            }
            Statement::ExplainLineage { query } => write!(f, "EXPLAIN (LINEAGE) {}", query.text),
            Statement::ExplainAlert { name, at } => {
                write!(f, "EXPLAIN ALERT {} AT {}", quoted(name), text_literal(at))
            }
            Statement::Subscribe { query, options, is_copied: false } => {
                write!(f, "SUBSCRIBE TO ({}){options}", query.text)
            }
            Statement::Subscribe { query, options, is_copied: true } => {
                write!(f, "COPY (SUBSCRIBE TO ({}){options}) TO STDOUT", query.text)
            }
            Statement::Role(statement) => write!(f, "{statement}"),
        }
    }
}
