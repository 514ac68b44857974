//! Which tables there are, and what their columns hold.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};

use crate::dialect::Kind;

/// The schema that they live in.
pub(crate) const SCHEMA: &str = "ops";

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    /// The schema that it is in.
    pub(crate) schema: &'static str,
    pub(crate) name: &'static str,
    /// What a row of it is.
    pub(crate) about: &'static str,
    pub(crate) columns: &'static [Column],
    /// Columns that no two rows have the same values of; the first is the key.
    pub(crate) unique: &'static [&'static [&'static str]],
    /// The rows that it begins with.
    pub(super) first: &'static [&'static [First]],
    /// Whether its rows come of what happens, and statements only read them.
    pub(crate) is_kept: bool,
}

/// A column.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) data_type: Type,
    pub(crate) default: Default,
    pub(crate) check: Check,
    pub(crate) about: &'static str,
}

/// The types that columns have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Integer,
    Float,
    Boolean,
    Time,
}

/// A value of a row that a table begins with.
#[derive(Debug, Clone, Copy)]
pub(super) enum First {
    Number(f64),
    Text(&'static str),
}

const fn n(number: f64) -> First {
    First::Number(number)
}

const fn t(text: &'static str) -> First {
    First::Text(text)
}

/// What a column holds that an INSERT does not name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Default {
    Null,
    /// NULL is refused.
    Required,
    /// One more than the largest there is.
    NextId,
    /// The time of the statement.
    Now,
    /// Who is at work.
    Actor,
    Text(&'static str),
    Integer(i64),
}

/// What the values of a column have to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Check {
    Any,
    OneOf(&'static [&'static str]),
    /// Some of these, with commas between.
    SomeOf(&'static [&'static str]),
    Between(i64, i64),
    /// Not before the time in another column.
    NotBefore(&'static str),
    Json,
    /// JSON of names and texts, none of them the name of the column of times.
    Tags,
    Zone,
    Day,
    /// The length of a period of the calendar.
    Period,
    /// One query, in which `{from}` and `{to}` stand for instants.
    Query,
    /// A rule of RFC 5545.
    Recurrence,
    /// The number of a row of another table of `ops`.
    Of(&'static str),
    /// The name of what is defined.
    Defined(Kind),
}

impl Type {
    /// The Arrow type; an instant carries the zone given.
    pub(crate) fn arrow(self, time_zone: &Arc<str>) -> DataType {
        match self {
            Type::Text => DataType::Utf8,
            Type::Integer => DataType::Int64,
            Type::Float => DataType::Float64,
            Type::Boolean => DataType::Boolean,
            Type::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some(time_zone.clone())),
        }
    }
}

impl Table {
    pub(crate) fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known.name == column)
    }

    /// Schema and name.
    pub(super) fn id(&self) -> (&'static str, &'static str) {
        (self.schema, self.name)
    }

    /// What the store calls it.
    pub(super) fn stored_name(&self) -> String {
        match self.schema {
            SCHEMA => self.name.to_owned(),
            schema => format!("{schema}.{}", self.name),
        }
    }
}

/// The table of a name in a schema.
pub(crate) fn find_in(schema: &str, name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|table| table.schema == schema && table.name == name)
}

/// The table of a name in the schema `ops`.
pub(crate) fn find(name: &str) -> Option<&'static Table> {
    find_in(SCHEMA, name)
}

const fn column(name: &'static str, data_type: Type, default: Default, check: Check, about: &'static str) -> Column {
    Column { name, data_type, default, check, about }
}

const fn text(name: &'static str, about: &'static str) -> Column {
    column(name, Type::Text, Default::Null, Check::Any, about)
}

const fn needed(name: &'static str, about: &'static str) -> Column {
    column(name, Type::Text, Default::Required, Check::Any, about)
}

const fn time(name: &'static str, about: &'static str) -> Column {
    column(name, Type::Time, Default::Null, Check::Any, about)
}

const fn after(name: &'static str, first: &'static str, about: &'static str) -> Column {
    column(name, Type::Time, Default::Null, Check::NotBefore(first), about)
}

const fn integer(name: &'static str, about: &'static str) -> Column {
    column(name, Type::Integer, Default::Null, Check::Any, about)
}

/// The number of a row of another table of `ops`.
const fn number_of(name: &'static str, table: &'static str, about: &'static str) -> Column {
    column(name, Type::Integer, Default::Null, Check::Of(table), about)
}

/// A count that begins at 0.
const fn number(name: &'static str, about: &'static str) -> Column {
    column(name, Type::Integer, Default::Integer(0), Check::Between(0, i64::MAX), about)
}

const fn id(about: &'static str) -> Column {
    column("id", Type::Integer, Default::NextId, Check::Any, about)
}

const fn at(name: &'static str, about: &'static str) -> Column {
    column(name, Type::Time, Default::Now, Check::Any, about)
}

const fn actor(about: &'static str) -> Column {
    column("actor", Type::Text, Default::Actor, Check::Any, about)
}

const fn rank(name: &'static str, about: &'static str) -> Column {
    column(name, Type::Integer, Default::Null, Check::Between(1, 5), about)
}

/// What maintenance can affect.
const AFFECTS: &[&str] = &["budget", "alert", "baseline", "availability_report"];

const INCIDENT_STATES: &[&str] = &[
    "new",
    "acknowledged",
    "in_progress",
    "awaiting_user",
    "awaiting_vendor",
    "awaiting_problem",
    "awaiting_change",
    "resolved",
    "closed",
    "reopened",
];

/// All tables.
pub(crate) const TABLES: &[Table] = &[
    Table {
        schema: SCHEMA,
        name: "maintenance",
        about: "a window of planned work on a service, once or by a rule",
        columns: &[
            id("its number"),
            needed("service", "the service that is worked on"),
            column("starts_at", Type::Time, Default::Required, Check::Any, "when the first window begins"),
            column("ends_at", Type::Time, Default::Required, Check::NotBefore("starts_at"), "when it ends"),
            column("rrule", Type::Text, Default::Null, Check::Recurrence, "how it comes again, by RFC 5545"),
            text("reason", "what is done"),
            text("change_id", "the change that it is for"),
            column(
                "affects",
                Type::Text,
                Default::Text("budget,alert,baseline"),
                Check::SomeOf(AFFECTS),
                "what leaves it out: budget, alert, baseline, availability_report",
            ),
            column("zone", Type::Text, Default::Text("UTC"), Check::Zone, "by whose clocks it comes again"),
            actor("who entered it"),
            at("entered_at", "when it was entered"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "holiday",
        about: "a day on which nobody of a calendar is at work",
        columns: &[
            needed("calendar", "the calendar"),
            column("day", Type::Text, Default::Required, Check::Day, "the day, as 2026-12-25"),
            text("name", "what is celebrated"),
        ],
        unique: &[&["calendar", "day"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "change",
        about: "a change to a service: a deployment, a new configuration",
        columns: &[
            needed("id", "its name"),
            needed("service", "the service"),
            at("starts_at", "when it begins"),
            after("ends_at", "starts_at", "when it is done"),
            text("kind", "deployment, configuration, ..."),
            column(
                "risk",
                Type::Text,
                Default::Null,
                Check::OneOf(&["low", "medium", "high"]),
                "how much it may break",
            ),
            text("description", "what is changed"),
            actor("who makes it"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "incident",
        about: "something that is broken, and how far it is mended",
        columns: &[
            id("its number"),
            text("external_id", "its name at the service desk"),
            text("key", "what it is told from others by"),
            text("service", "the service"),
            text("title", "what is broken"),
            column("state", Type::Text, Default::Text("new"), Check::OneOf(INCIDENT_STATES), "how far it is"),
            rank("priority", "1 is the highest"),
            rank("impact", "1 is the highest"),
            rank("urgency", "1 is the highest"),
            at("opened_at", "when it began"),
            after("acknowledged_at", "opened_at", "when somebody took it up"),
            after("resolved_at", "opened_at", "when the service worked again"),
            after("closed_at", "opened_at", "when it was done with"),
            column(
                "reopened",
                Type::Integer,
                Default::Integer(0),
                Check::Between(0, i64::MAX),
                "how often it came back",
            ),
            column("made_sla", Type::Boolean, Default::Null, Check::Any, "whether it was resolved as soon as promised"),
            text("assignee", "who works on it"),
            at("ingested_at", "when it was entered"),
            text("alert", "the alert that opened it"),
            text("severity", "how bad it is, as the alert says"),
            text("policy", "the escalation policy that it follows"),
            number("sequence", "how many events of it were sent"),
            number("members", "how many instances of the alert belong to it"),
            column("story", Type::Text, Default::Null, Check::Json, "what is known of it, as JSON"),
            time("notified_at", "when somebody was last told of it"),
            number_of("problem_id", "problem", "the problem behind it"),
            number_of("known_error_id", "known_error", "the known error that it looks like"),
            text("resolution", "how it was resolved"),
            column(
                "budget_remaining",
                Type::Float,
                Default::Null,
                Check::Any,
                "the least share that is left of an error budget of the service",
            ),
            text("paused", "while the user or a vendor was waited for, as a tstzmultirange"),
        ],
        unique: &[&["id"], &["external_id"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "incident_event",
        about: "a step in the course of an incident",
        columns: &[
            id("its number"),
            column("incident_id", Type::Integer, Default::Required, Check::Any, "the incident"),
            needed("event", "what happened"),
            at("at", "when it happened"),
            at("ingested_at", "when it was entered"),
            actor("who did it"),
            text("detail", "what there is to say of it"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "problem",
        about: "what makes incidents come again",
        columns: &[
            id("its number"),
            needed("title", "what it is"),
            text("service", "the service"),
            column(
                "state",
                Type::Text,
                Default::Text("open"),
                Check::OneOf(&["open", "known_error", "proposed_to_cab", "resolved", "closed"]),
                "how far it is",
            ),
            at("opened_at", "when it was found"),
            after("resolved_at", "opened_at", "when it was mended"),
            actor("who opened it"),
            text("key", "what it is told from others by"),
            text("alert", "the alert that opened it"),
        ],
        unique: &[&["id"], &["key"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "known_error",
        about: "an error that has a workaround",
        columns: &[
            id("its number"),
            needed("title", "what it is"),
            column("signature", Type::Text, Default::Null, Check::Json, "what it is known by, as JSON"),
            text("workaround", "what helps meanwhile"),
            number_of("problem_id", "problem", "the problem behind it"),
            column(
                "state",
                Type::Text,
                Default::Text("open"),
                Check::OneOf(&["open", "retired"]),
                "whether it is still there",
            ),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "known_error_feedback",
        about: "whether an incident was the known error that it looked like",
        columns: &[
            column("incident_id", Type::Integer, Default::Required, Check::Of("incident"), "the incident"),
            column("known_error_id", Type::Integer, Default::Required, Check::Of("known_error"), "the known error"),
            column("is_right", Type::Boolean, Default::Required, Check::Any, "whether it was this one"),
            text("note", "what is to be said of it"),
            at("at", "when this was found"),
            actor("who says so"),
        ],
        unique: &[&["incident_id", "known_error_id"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "rca",
        about: "why an incident happened",
        columns: &[
            id("its number"),
            number_of("incident_id", "incident", "the incident"),
            number_of("problem_id", "problem", "the problem"),
            needed("cause", "why"),
            text("category", "what kind of cause it is"),
            at("at", "when it was found"),
            actor("who found it"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "review",
        about: "what was learned from an incident",
        columns: &[
            id("its number"),
            number_of("incident_id", "incident", "the incident"),
            needed("summary", "what happened, and what is to be done"),
            at("at", "when it was held"),
            actor("who held it"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "action_plan",
        about: "what somebody has to do so that a promise is kept again",
        columns: &[
            id("its number"),
            text("service", "the service"),
            text("kpi", "what was missed"),
            text("owner", "who has to act"),
            text("plan", "what is to be done"),
            column(
                "state",
                Type::Text,
                Default::Text("open"),
                Check::OneOf(&["open", "submitted", "done", "withdrawn"]),
                "how far it is",
            ),
            time("due_at", "until when"),
            at("opened_at", "when it was asked for"),
            text("reason", "why it was withdrawn"),
            text("key", "what it is told from others by"),
            text("alert", "the alert that asked for it"),
        ],
        unique: &[&["id"], &["key"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "rebaseline",
        about: "a moment from which something else is normal",
        columns: &[
            id("its number"),
            needed("baseline", "the baseline"),
            at("at", "since when"),
            column(
                "mode",
                Type::Text,
                Default::Text("shift"),
                Check::OneOf(&["shift", "widen", "reset"]),
                "shift: the level is another one, and the season stays; widen: twice as far from it is normal, less and less so; \
                 reset: all is learned anew",
            ),
            text("change_id", "the change that made it so"),
            text("reason", "why"),
            actor("who says so"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "override",
        about: "what somebody knows better of a baseline, for a reason and for a while",
        columns: &[
            id("its number"),
            needed("baseline", "the baseline"),
            column(
                "labels",
                Type::Text,
                Default::Text("{}"),
                Check::Json,
                "dimensions and the values that rows have, as JSON",
            ),
            column("lower", Type::Float, Default::Null, Check::Any, "the lower end of the band"),
            column("upper", Type::Float, Default::Null, Check::Any, "the upper end of the band"),
            column("score_threshold", Type::Float, Default::Null, Check::Any, "the score from which a row is critical"),
            needed("reason", "why"),
            actor("who says so"),
            at("starts_at", "since when"),
            column("until", Type::Time, Default::Required, Check::NotBefore("starts_at"), "until when"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "priority_matrix",
        about: "the priority of an incident by its impact and urgency",
        columns: &[
            rank("impact", "1 is the highest"),
            rank("urgency", "1 is the highest"),
            rank("priority", "1 is the highest"),
        ],
        unique: &[&["impact", "urgency"]],
        first: &[
            &[n(1.0), n(1.0), n(1.0)],
            &[n(1.0), n(2.0), n(2.0)],
            &[n(2.0), n(1.0), n(2.0)],
            &[n(2.0), n(2.0), n(3.0)],
            &[n(1.0), n(3.0), n(3.0)],
            &[n(3.0), n(1.0), n(3.0)],
            &[n(2.0), n(3.0), n(4.0)],
            &[n(3.0), n(2.0), n(4.0)],
            &[n(3.0), n(3.0), n(4.0)],
        ],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "tier_policy",
        about: "how soon something is wrong, by the tier of the service",
        columns: &[
            column("tier", Type::Integer, Default::Required, Check::Between(0, 3), "the tier, 0 is the most important"),
            column("score", Type::Float, Default::Required, Check::Any, "the anomaly score from which a point counts"),
            column(
                "for_seconds",
                Type::Integer,
                Default::Required,
                Check::Between(0, i64::MAX),
                "for how long it has to",
            ),
            column(
                "evaluate_seconds",
                Type::Integer,
                Default::Required,
                Check::Between(0, i64::MAX),
                "how often it is looked at; 0 for each bucket",
            ),
            rank("max_priority", "the highest priority that comes of it"),
        ],
        unique: &[&["tier"]],
        first: &[
            &[n(0.0), n(2.1), n(120.0), n(0.0), n(1.0)],
            &[n(1.0), n(2.5), n(300.0), n(0.0), n(1.0)],
            &[n(2.0), n(3.0), n(600.0), n(60.0), n(2.0)],
            &[n(3.0), n(3.5), n(1_800.0), n(300.0), n(3.0)],
        ],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "burn_template",
        about: "alerts on how fast the budget of an SLO is spent, made by its option burn_alerts",
        columns: &[
            needed("template", "the template that it is a part of"),
            column("budget", Type::Float, Default::Required, Check::Any, "the share of the budget that is spent then"),
            needed("long", "in how long a time"),
            needed("short", "and over how short a time before, so that it ends soon"),
            needed("severity", "how bad it is"),
        ],
        unique: &[&["template", "long"]],
        // Google, Site Reliability Workbook, chapter 5, table 5-8, and the third of four rows that others have added.
        first: &[
            &[t("google_30d"), n(0.02), t("1 hour"), t("5 min"), t("critical")],
            &[t("google_30d"), n(0.05), t("6 hours"), t("30 min"), t("critical")],
            &[t("google_30d"), n(0.1), t("1 day"), t("2 hours"), t("minor")],
            &[t("google_30d"), n(0.1), t("3 days"), t("6 hours"), t("minor")],
        ],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "definition_change",
        about: "a change of a definition that waits for, or had, the decision of a second person",
        columns: &[
            id("its number"),
            needed("kind", "what kind of definition"),
            needed("name", "its name"),
            needed("statement", "the statement that changes it"),
            column("requested_by", Type::Text, Default::Actor, Check::Any, "who asks for it"),
            at("requested_at", "when"),
            needed("state", "proposed, approved or rejected"),
            text("decided_by", "who decided"),
            time("decided_at", "when"),
            text("reason", "why it was decided so"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: true,
    },
    Table {
        schema: SCHEMA,
        name: "tag_rule",
        about: "tags that rows get on their way in, whoever writes them",
        columns: &[
            id("its number"),
            column("table_name", Type::Text, Default::Text("*"), Check::Any, "the table, where * stands for anything"),
            column(
                "where_tags",
                Type::Text,
                Default::Text("{}"),
                Check::Tags,
                "the tags that a row has to have, as JSON, where * stands for anything",
            ),
            column(
                "set_tags",
                Type::Text,
                Default::Required,
                Check::Tags,
                "the tags that it gets, as JSON; {service}, {tier} and {owner} are those of the service that it belongs to",
            ),
            column("overwrite", Type::Boolean, Default::Null, Check::Any, "whether a tag that a row has is replaced"),
            column("position", Type::Integer, Default::Integer(100), Check::Any, "rules of a smaller one come first"),
            text("reason", "why"),
            actor("who says so"),
            at("entered_at", "when"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "adjustment",
        about: "a correction of what is reported that one person asks for and another one signs off",
        columns: &[
            id("its number"),
            text("sla", "the SLA; any, and the SLO on its own, if NULL"),
            text("slo", "the SLO; any if NULL"),
            column("starts_at", Type::Time, Default::Required, Check::Any, "since when"),
            column("ends_at", Type::Time, Default::Required, Check::NotBefore("starts_at"), "until when"),
            column(
                "op",
                Type::Text,
                Default::Text("exclude"),
                Check::OneOf(&["exclude", "restate"]),
                "exclude: the time does not count; restate: a sealed period is sealed anew, with the rows that came later",
            ),
            needed("reason", "why"),
            column("requested_by", Type::Text, Default::Actor, Check::Any, "who asks for it"),
            at("requested_at", "when"),
            column(
                "state",
                Type::Text,
                Default::Text("proposed"),
                Check::OneOf(&["proposed", "approved", "rejected"]),
                "proposed, approved or rejected",
            ),
            text("approved_by", "who decided"),
            time("approved_at", "when"),
            text("decision", "why it was decided so"),
            column("attained_sealed", Type::Float, Default::Null, Check::Any, "what the sealed period came to"),
            text("status_sealed", "and its status"),
            column(
                "attained_now",
                Type::Float,
                Default::Null,
                Check::Any,
                "what it comes to with the rows that came later",
            ),
            text("status_now", "and its status then"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "report",
        about: "a query whose answer is kept when a period is over",
        columns: &[
            needed("name", "its name"),
            column(
                "query",
                Type::Text,
                Default::Required,
                Check::Query,
                "the query; {from} and {to} stand for the period",
            ),
            column("period", Type::Text, Default::Text("1 month"), Check::Period, "how long a period is"),
            column("zone", Type::Text, Default::Text("UTC"), Check::Zone, "by whose clocks a period begins"),
            actor("who wants it"),
            at("entered_at", "when it was entered; periods that were over then are not kept"),
            column(
                "sink",
                Type::Text,
                Default::Null,
                Check::Defined(Kind::Sink),
                "who is told of each answer, if anybody",
            ),
        ],
        unique: &[&["name"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: crate::system::SCHEMA,
        name: "report_snapshot",
        about: "what a report said of a period",
        columns: &[
            needed("report", "the report"),
            column("period_start", Type::Time, Default::Required, Check::Any, "when the period began"),
            time("period_end", "when it was over"),
            time("sealed_at", "when the query was asked"),
            integer("rows", "how many rows it gave"),
            text("sha256", "the digest of the body, in hexadecimal"),
            text("body", "the rows, as JSON"),
            text("error", "why there is none yet"),
        ],
        unique: &[&["report", "period_start"]],
        first: &[],
        is_kept: true,
    },
    Table {
        schema: SCHEMA,
        name: "silence",
        about: "while alerts are not to be heard: nobody is told and no incident is opened",
        columns: &[
            id("its number"),
            column("alert", Type::Text, Default::Null, Check::Defined(Kind::Alert), "the alert; any if NULL"),
            column("service", Type::Text, Default::Null, Check::Defined(Kind::Service), "the service; any if NULL"),
            column(
                "labels",
                Type::Text,
                Default::Text("{}"),
                Check::Json,
                "dimensions and the values that instances have, as JSON",
            ),
            at("starts_at", "since when"),
            column("ends_at", Type::Time, Default::Required, Check::NotBefore("starts_at"), "until when"),
            column("rrule", Type::Text, Default::Null, Check::Recurrence, "how it comes again, by RFC 5545"),
            column("zone", Type::Text, Default::Text("UTC"), Check::Zone, "by whose clocks it comes again"),
            needed("reason", "why"),
            actor("who says so"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: false,
    },
    Table {
        schema: SCHEMA,
        name: "alert",
        about: "an instance of an alert that is or was more than inactive",
        columns: &[
            needed("alert", "the alert"),
            needed("labels", "the dimensions that tell it from other instances, as JSON"),
            text("key", "instances of the same key share an incident"),
            text("service", "the service"),
            needed("state", "pending, firing, clearing, flapping, resolved or inactive"),
            time("since", "when this state began"),
            time("began_at", "when its condition became true"),
            text("severity", "how bad it is"),
            column("value", Type::Float, Default::Null, Check::Any, "the value then"),
            column("score", Type::Float, Default::Null, Check::Any, "the anomaly score then"),
            integer("incident_id", "the incident that it belongs to"),
            text("suppressed_by", "why nobody was told"),
            column("no_data", Type::Boolean, Default::Null, Check::Any, "whether its data has stopped"),
            text("machine", "the whole of its state, as JSON"),
            text("signal", "all values then, as JSON"),
        ],
        unique: &[&["alert", "labels"]],
        first: &[],
        is_kept: true,
    },
    Table {
        schema: SCHEMA,
        name: "alert_event",
        about: "a change of the state of an instance of an alert",
        columns: &[
            id("its number"),
            needed("alert", "the alert"),
            needed("labels", "the instance"),
            needed("event", "the state that began, or no_data, data, suppressed, heard, opened, joined"),
            text("from_state", "the state before"),
            at("at", "when it happened, by the data"),
            at("noticed_at", "when it was found"),
            column("value", Type::Float, Default::Null, Check::Any, "the value then"),
            column("score", Type::Float, Default::Null, Check::Any, "the anomaly score then"),
            text("severity", "how bad it is"),
            integer("incident_id", "the incident"),
            text("cause", "why it was suppressed"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: true,
    },
    Table {
        schema: SCHEMA,
        name: "escalation",
        about: "a step of an escalation policy for an incident",
        columns: &[
            id("its number"),
            column("incident_id", Type::Integer, Default::Required, Check::Any, "the incident"),
            needed("policy", "the policy"),
            integer("version", "which definition of the policy it is of"),
            number("round", "how often the incident had come back when it was planned"),
            number("cycle", "how often the steps were gone through before"),
            number("step", "which step of the policy it is, from 0"),
            column("due_at", Type::Time, Default::Required, Check::Any, "when it is taken"),
            needed("notify", "the sinks that are told, with commas between"),
            text("condition", "what has to hold then"),
            column(
                "state",
                Type::Text,
                Default::Text("waiting"),
                Check::OneOf(&["waiting", "sent", "skipped", "stopped"]),
                "what became of it",
            ),
            time("done_at", "when that was"),
            text("note", "why it was skipped"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: true,
    },
    Table {
        schema: crate::system::SCHEMA,
        name: "delivery",
        about: "an event that a sink is told: the outbox",
        columns: &[
            needed("event_id", "its name, the same over all attempts"),
            needed("sink", "who is told"),
            integer("incident_id", "the incident"),
            integer("sequence", "which event of the incident it is, from 1"),
            needed("event", "what happened"),
            needed("body", "what is told, as JSON"),
            at("created_at", "when it happened"),
            column(
                "state",
                Type::Text,
                Default::Text("waiting"),
                Check::OneOf(&["waiting", "delivered", "dead"]),
                "what became of it",
            ),
            number("attempts", "how often it was tried"),
            time("next_at", "when it is tried again, at the earliest"),
            text("answer", "what the sink said last"),
            time("settled_at", "when it was delivered or given up"),
        ],
        unique: &[&["event_id", "sink"]],
        first: &[],
        is_kept: true,
    },
    Table {
        schema: crate::system::SCHEMA,
        name: "sink_state",
        about: "a sink that is switched off because its receiver said it is gone",
        columns: &[needed("sink", "the sink"), at("disabled_at", "since when"), text("reason", "what it said")],
        unique: &[&["sink"]],
        first: &[],
        is_kept: true,
    },
    Table {
        schema: crate::system::SCHEMA,
        name: "alert_run",
        about: "how far an alert is evaluated",
        columns: &[
            needed("alert", "the alert"),
            integer("version", "which definition of it"),
            time("evaluated_until", "the end of the last bucket that was looked at"),
            time("evaluated_at", "when that was"),
            column("seconds", Type::Float, Default::Null, Check::Any, "how long it took"),
            text("error", "why it failed"),
            time("failed_since", "since when it fails"),
            integer("shed", "how often it was left for later because there was not time for all"),
            time("shed_at", "when that was last"),
        ],
        unique: &[&["alert"]],
        first: &[],
        is_kept: true,
    },
    Table {
        schema: crate::system::SCHEMA,
        name: "watermark",
        about: "up to when a KPI is kept up",
        columns: &[
            needed("object", "the KPI"),
            integer("version", "which definition of it"),
            text("source", "the table that it reads"),
            time(
                "watermark",
                "buckets that end by then are complete and kept; later ones are computed when they are read",
            ),
            time("kept_from", "kept rows are not before it; a backfill moves it back"),
            column("is_whole", Type::Boolean, Default::Null, Check::Any, "whether all of the history is kept"),
            integer("record", "the record of the log whose effects are in it"),
            text("error", "why it is not kept up"),
            time("updated_at", "when this was written"),
            time("kept_since", "since when what is kept, and what changes of it, is written down"),
        ],
        unique: &[&["object"]],
        first: &[],
        is_kept: true,
    },
    Table {
        schema: crate::system::SCHEMA,
        name: "restatement",
        about: "a row of a KPI that changed after its bucket was complete",
        columns: &[
            id("its number"),
            at("at", "when it was found"),
            needed("object", "the KPI"),
            at("bucket", "the time of the row"),
            text("dimensions", "the dimensions of the row, as JSON"),
            text("old", "what was measured before, as JSON; NULL for a row that was not there"),
            text("new", "what is measured now, as JSON; NULL for a row that is gone"),
            text("cause", "why"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: true,
    },
    Table {
        schema: crate::system::SCHEMA,
        name: "audit",
        about: "something that was changed by hand",
        columns: &[
            column("seq", Type::Integer, Default::Required, Check::Any, "its number, from 1 without a gap"),
            at("at", "when"),
            needed("actor", "who did it"),
            needed("action", "what: insert, update or delete of a row, or a statement"),
            needed("object", "of what"),
            text("before", "what it was, as JSON or as the statement that defines it"),
            text("after", "what it is"),
            text("reason", "why, if that was said"),
            text("prev_hash", "the hash of the entry before it"),
            needed("hash", "SHA-256 over that and the entry"),
        ],
        unique: &[&["seq"]],
        first: &[],
        is_kept: true,
    },
    Table {
        schema: crate::system::SCHEMA,
        name: "seal",
        about: "what a target of a reporting period came to when the period was sealed",
        columns: &[
            id("its number"),
            needed("sla", "the SLA"),
            at("period_start", "the beginning of the period"),
            column("period_end", Type::Time, Default::Required, Check::Any, "its end"),
            needed("target", "the SLO"),
            column("attained", Type::Float, Default::Null, Check::Any, "the share of good ones"),
            column("required", Type::Float, Default::Null, Check::Any, "the share that was promised"),
            needed("status", "met, breach or unknown"),
            column("coverage", Type::Float, Default::Null, Check::Any, "for how much of the period there is data"),
            column("credit", Type::Float, Default::Null, Check::Any, "what is owed, in percent of the price"),
            at("sealed_at", "when it was sealed"),
            actor("who sealed it"),
            text("reason", "why it was sealed again"),
            text("quality", "good, or tainted by rows that were not as they were expected to be"),
            text("adjustments", "what was signed off for it"),
        ],
        unique: &[&["id"]],
        first: &[],
        is_kept: true,
    },
];
