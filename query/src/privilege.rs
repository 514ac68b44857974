//! Who may do what on what: allowed, or SQLSTATE 42501.
//!
//! Pure decisions over the roles of one moment. Where names become tables (`lower`) and where plans are made (`plan`) they are
//! asked for; nothing else knows of rights.
//!
//! What a view or a definition reads is read with all rights: who reads the view needs the right to the view alone. Whoever makes
//! it needs the rights to what it reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::Reference;
use crate::dialect::{Kind, quoted, text_literal};
use crate::roles::{ADMIN, Roles};
use crate::{Error, Result};

/// Something that one may be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Privilege {
    Select,
    Insert,
    Update,
    Delete,
    /// To make, change and drop what is in a schema.
    Create,
    /// To say for a while what is normal.
    Override,
    /// To take incidents up and to end them.
    Ack,
    Approve,
    Restate,
    /// To be told of changes.
    Subscribe,
}

/// Privileges by their words.
const WORDS: [(&str, Privilege); 10] = [
    ("select", Privilege::Select),
    ("insert", Privilege::Insert),
    ("update", Privilege::Update),
    ("delete", Privilege::Delete),
    ("create", Privilege::Create),
    ("override", Privilege::Override),
    ("ack", Privilege::Ack),
    ("approve", Privilege::Approve),
    ("restate", Privilege::Restate),
    ("subscribe", Privilege::Subscribe),
];

/// What a privilege is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum On {
    /// What has no place: `GRANT ACK TO r`.
    Everything,
    /// A schema and all that is in it, now and later.
    Schema(String),
    /// One thing in a schema. Tables and views are in `public`; KPIs in `kpi`, and so on.
    Named { schema: String, name: String },
}

impl On {
    pub(crate) fn named(schema: &str, name: &str) -> On {
        On::Named { schema: schema.to_owned(), name: name.to_owned() }
    }

    /// A definition of the dialect.
    pub(crate) fn object(kind: Kind, name: &str) -> On {
        On::named(schema_of(kind), name)
    }

    /// What a definition reads.
    pub(crate) fn read(reference: &Reference) -> On {
        match reference {
            Reference::Relation(name) => On::named("public", name),
            Reference::Object(kind, name) => On::object(*kind, name),
        }
    }

    /// True when a privilege on this is one on `other`.
    fn covers(&self, other: &On) -> bool {
        match (self, other) {
            (On::Everything, _) => true,
            (On::Schema(all), On::Named { schema, .. }) => all == schema,
            _ => self == other,
        }
    }
}

/// The schema that definitions of a kind are in.
pub(crate) fn schema_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Policy => "policy",
        other => other.word(),
    }
}

/// The schemas that privileges are granted on.
pub(crate) const SCHEMAS: [&str; 12] =
    ["public", "ops", "sys", "kpi", "slo", "sla", "baseline", "service", "calendar", "sink", "policy", "alert"];

impl Privilege {
    /// All of them.
    pub(crate) const ALL: [Privilege; 10] = [
        Privilege::Select,
        Privilege::Insert,
        Privilege::Update,
        Privilege::Delete,
        Privilege::Create,
        Privilege::Override,
        Privilege::Ack,
        Privilege::Approve,
        Privilege::Restate,
        Privilege::Subscribe,
    ];

    pub(crate) fn word(self) -> &'static str {
        WORDS.iter().find(|(_, privilege)| *privilege == self).map_or("", |(word, _)| word)
    }

    pub(crate) fn of_word(word: &str) -> Option<Privilege> {
        WORDS.iter().find(|(known, _)| *known == word).map(|(_, privilege)| *privilege)
    }

    /// Whether there can be such a privilege on something.
    pub(crate) fn fits(self, on: &On) -> bool {
        let is_data = |schema: &str| matches!(schema, "public" | "ops");
        match (self, on) {
            (Privilege::Ack | Privilege::Approve | Privilege::Restate | Privilege::Subscribe, on) => {
                *on == On::Everything
            }
            (Privilege::Override, On::Everything) => true,
            (Privilege::Override, On::Schema(schema) | On::Named { schema, .. }) => schema == "baseline",
            (Privilege::Create, on) => matches!(on, On::Schema(_)),
            (_, On::Everything) => false,
            (Privilege::Select, _) => true,
            (_, On::Schema(schema) | On::Named { schema, .. }) => is_data(schema),
        }
    }
}

/// What tells of incidents, each row of the one in its column `incident_id`.
const OF_INCIDENTS: [(&str, &str); 9] = [
    ("ops", "alert"),
    ("ops", "alert_event"),
    ("ops", "escalation"),
    ("ops", "incident_event"),
    ("ops", "known_error_feedback"),
    ("ops", "rca"),
    ("ops", "review"),
    ("sys", "dead_letter"),
    ("sys", "delivery"),
];

/// Which rows of a relation the roles see that it is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct RowPolicy {
    pub(crate) name: String,
    pub(crate) on: On,
    /// A condition of SQL over the columns of the relation.
    pub(crate) condition: String,
}

/// What is done beside SQL, and takes a right as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// Tickets come in.
    EnterTickets,
    /// Somebody wants to be told of alerts and incidents.
    FollowEvents,
    /// A copy of everything is made, passwords and secrets included: for superusers alone.
    BackUp,
}

impl Errand {
    fn takes(self) -> Vec<(Privilege, On)> {
        let incident = || On::named("ops", "incident");
        match self {
            Errand::EnterTickets => vec![(Privilege::Insert, incident()), (Privilege::Update, incident())],
            Errand::FollowEvents => vec![(Privilege::Subscribe, On::Everything)],
            Errand::BackUp => Vec::new(),
        }
    }
}

/// Somebody who brings points, with the rights that he had and the views that there were when he began.
#[derive(Debug, Clone)]
pub struct Writer {
    rights: Rights,
    /// Views whose names no table has.
    views: BTreeSet<String>,
}

impl Writer {
    /// Who may write into every table.
    pub const ANYBODY: Writer = Writer { rights: Rights::ALL, views: BTreeSet::new() };

    pub(crate) fn new(rights: Rights, views: BTreeSet<String>) -> Writer {
        Writer { rights, views }
    }

    /// Checks that a table of the schema public, which may not be there yet, may be written into.
    ///
    /// # Errors
    /// [`Error::Denied`] without the right to; [`Error::Unsupported`] where a view has the name.
    pub fn check(&self, table: &str) -> Result<()> {
        self.rights.check(Privilege::Insert, &On::named("public", table))?;
        match self.views.contains(table) {
            true => Err(Error::Unsupported {
                what: format!("\"{table}\" is a view: no rows can be written into it"),
                position: None,
                hint: None,
            }),
            false => Ok(()),
        }
    }
}

/// A privilege on something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) privilege: Privilege,
    pub(crate) on: On,
}

/// What the shipped roles may do, without `admin`, who may do everything: what they have of others, what they may read and make, and
/// what else.
struct Shipped {
    name: &'static str,
    includes: &'static [&'static str],
    reads: &'static [&'static str],
    makes: &'static [&'static str],
    writes_ops: bool,
    also: &'static [Privilege],
}

const SHIPPED: [Shipped; 6] = [
    Shipped {
        name: "viewer",
        includes: &[],
        reads: &["public", "ops", "kpi", "slo", "sla", "baseline", "service", "calendar", "alert"],
        makes: &[],
        writes_ops: false,
        also: &[Privilege::Subscribe],
    },
    Shipped {
        name: "responder",
        includes: &["viewer"],
        reads: &["sys", "sink", "policy"],
        makes: &[],
        writes_ops: true,
        also: &[Privilege::Ack],
    },
    Shipped {
        name: "steward",
        includes: &["viewer"],
        reads: &["sys"],
        makes: &["public", "kpi", "baseline", "calendar"],
        writes_ops: false,
        also: &[Privilege::Override, Privilege::Approve, Privilege::Restate],
    },
    Shipped {
        name: "service_owner",
        includes: &["responder"],
        reads: &[],
        makes: &["service", "slo", "sla", "alert"],
        writes_ops: false,
        also: &[],
    },
    Shipped {
        name: "sre_lead",
        includes: &["responder", "service_owner", "steward"],
        reads: &[],
        makes: &["sink", "policy"],
        writes_ops: false,
        also: &[],
    },
    Shipped {
        name: "auditor",
        includes: &["viewer"],
        reads: &["sys", "sink", "policy"],
        makes: &[],
        writes_ops: false,
        also: &[],
    },
];

fn add_shipped(name: &str, all: &mut BTreeSet<Grant>) {
    let Some(shipped) = SHIPPED.iter().find(|shipped| shipped.name == name) else { return };
    shipped.includes.iter().for_each(|included| add_shipped(included, all));
    let in_schema = |privilege| move |schema: &&str| Grant { privilege, on: On::Schema((*schema).to_owned()) };
    all.extend(shipped.reads.iter().map(in_schema(Privilege::Select)));
    all.extend(shipped.makes.iter().map(in_schema(Privilege::Create)));
    if shipped.writes_ops {
        let changes = [Privilege::Insert, Privilege::Update, Privilege::Delete];
        all.extend(changes.map(|privilege| Grant { privilege, on: On::Schema("ops".to_owned()) }));
    }
    all.extend(shipped.also.iter().map(|privilege| Grant { privilege: *privilege, on: On::Everything }));
}

/// True for a shipped role that has all of some grants.
pub(crate) fn is_shipped_with(role: &str, grants: &[Grant]) -> bool {
    let mut its = BTreeSet::new();
    add_shipped(role, &mut its);
    let has = |grant: &Grant| its.iter().any(|its| its.privilege == grant.privilege && its.on.covers(&grant.on));
    role == ADMIN || (!grants.is_empty() && grants.iter().all(has))
}

/// What somebody may do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rights {
    /// `None` for all rights.
    grants: Option<BTreeSet<Grant>>,
    /// Itself and the roles that it is a member of.
    names: BTreeSet<String>,
    /// Relations of which only some rows are seen, with the conditions of which one has to hold for a row.
    rows: BTreeMap<On, Vec<String>>,
}

impl Rights {
    /// All rights.
    pub(crate) const ALL: Rights = Rights { grants: None, names: BTreeSet::new(), rows: BTreeMap::new() };

    /// The rights of a role; all rights for nobody in particular, and for everybody while there is no role.
    pub(crate) fn of(roles: &Roles, role: Option<&str>) -> Rights {
        let Some(role) = role.filter(|role| !roles.is_superuser(role)) else { return Rights::ALL };
        let mut grants = BTreeSet::new();
        // What has a policy for anybody has none of its rows for those that none is for.
        let mut rows: BTreeMap<On, Vec<String>> = BTreeMap::new();
        for policy in roles.all().flat_map(|role| &role.policies) {
            rows.entry(policy.on.clone()).or_default();
        }
        let names = roles.closure_of(role);
        for name in &names {
            add_shipped(name, &mut grants);
            let Some(role) = roles.find(name) else { continue };
            grants.extend(role.grants.iter().cloned());
            for policy in &role.policies {
                rows.entry(policy.on.clone()).or_default().push(policy.condition.clone());
            }
        }
        Rights { grants: Some(grants), names, rows }
    }

    /// The condition that the rows of a relation have to satisfy to be seen; `None` when all are. Whoever sees some incidents only
    /// sees of what tells of incidents what is about these, unless it has a policy of its own.
    pub(crate) fn rows(&self, on: &On) -> Option<String> {
        self.rows_by_policy(on).or_else(|| match on {
            On::Named { schema, name } if OF_INCIDENTS.contains(&(schema.as_str(), name.as_str())) => {
                let seen = self.rows_by_policy(&On::named("ops", "incident"))?;
                Some(format!("incident_id IN (SELECT id FROM ops.incident WHERE {seen})"))
            }
            On::Named { schema, name } if (schema.as_str(), name.as_str()) == ("sys", "audit") => self.rows_of_audit(),
            _ => None,
        })
    }

    /// An entry of the audit tells a row of `ops` as it was: those of tables that are seen in part only are left out.
    fn rows_of_audit(&self) -> Option<String> {
        fn of_ops(on: &On) -> Option<&str> {
            match on {
                On::Named { schema, name } if schema == "ops" => Some(name),
                _ => None,
            }
        }
        let mut hidden: BTreeSet<&str> = self.rows.keys().filter_map(of_ops).collect();
        if hidden.contains("incident") {
            hidden.extend(OF_INCIDENTS.iter().filter(|(schema, _)| *schema == "ops").map(|(_, name)| *name));
        }
        let names: Vec<String> = hidden.iter().map(|name| text_literal(&format!("ops.{name}"))).collect();
        (!names.is_empty()).then(|| format!("split_part(object, ' ', 1) NOT IN ({})", names.join(", ")))
    }

    /// The condition of a relation's own policies.
    fn rows_by_policy(&self, on: &On) -> Option<String> {
        let conditions = self.rows.get(on)?;
        // A condition may end with a comment.
        let each: Vec<String> = conditions.iter().map(|condition| format!("({condition}\n)")).collect();
        Some(if each.is_empty() { "false".to_owned() } else { each.join(" OR ") })
    }

    pub(crate) fn allow(&self, privilege: Privilege, on: &On) -> bool {
        let allows = |grant: &Grant| grant.privilege == privilege && grant.on.covers(on);
        self.grants.as_ref().is_none_or(|grants| grants.iter().any(allows))
    }

    /// Checks the right to change what somebody answers for: a role that has it, or a group of them.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub(crate) fn check_steward(&self, on: &On, steward: &str) -> Result<()> {
        if self.allow(Privilege::Approve, &On::Everything) || self.names.contains(steward) {
            return Ok(());
        }
        let what = match on {
            On::Named { schema, name } => Called(schema, name).to_string(),
            _ => "this".to_owned(),
        };
        let what = format!("permission denied: {what} is changed by its steward {steward}, or with the right APPROVE");
        Err(Error::Denied { what })
    }

    /// # Errors
    /// [`Error::Denied`].
    pub(crate) fn check_errand(&self, errand: Errand) -> Result<()> {
        if errand == Errand::BackUp && self.grants.is_some() {
            return Err(Error::Denied { what: "permission denied: only superusers make backups".to_owned() });
        }
        errand.takes().iter().try_for_each(|(privilege, on)| self.check(*privilege, on))?;
        let tables: &[&str] = match errand {
            // What everybody is told at once cannot be told row by row.
            Errand::FollowEvents => &["incident", "incident_event", "alert", "alert_event"],
            // A ticket may be one that its sender does not see.
            Errand::EnterTickets => &["incident"],
            Errand::BackUp => &[],
        };
        tables.iter().try_for_each(|table| self.check_all_rows(&On::named("ops", table)))
    }

    /// Checks the right to read all of something.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub(crate) fn check_whole(&self, on: &On) -> Result<()> {
        self.check(Privilege::Select, on)?;
        self.check_all_rows(on)
    }

    /// Checks that no policy keeps rows of something away.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub(crate) fn check_all_rows(&self, on: &On) -> Result<()> {
        match self.rows(on) {
            Some(_) => Err(some_rows(on)),
            None => Ok(()),
        }
    }

    /// Checks that a relation has no policy of its own: whoever sees some rows may not put in, or change by that, those that he
    /// does not see.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub(crate) fn check_may_enter(&self, on: &On) -> Result<()> {
        match self.rows_by_policy(on) {
            Some(_) => Err(some_rows(on)),
            None => Ok(()),
        }
    }

    /// # Errors
    /// [`Error::Denied`].
    pub(crate) fn check(&self, privilege: Privilege, on: &On) -> Result<()> {
        match self.allow(privilege, on) {
            true => Ok(()),
            false => Err(Error::Denied { what: denied(privilege, on) }),
        }
    }
}

fn some_rows(on: &On) -> Error {
    let of = match on {
        On::Named { schema, name } => Called(schema, name).to_string(),
        _ => String::new(),
    };
    Error::Denied { what: format!("permission denied: a policy lets you see some rows of {of} only") }
}

/// PostgreSQL's words.
fn denied(privilege: Privilege, on: &On) -> String {
    match on {
        On::Everything => format!("permission denied: {} is not granted", privilege.word().to_uppercase()),
        On::Schema(schema) => format!("permission denied for schema {schema}"),
        On::Named { schema, name } => format!("permission denied for {}", Called(schema, name)),
    }
}

struct Called<'a>(&'a str, &'a str);

impl fmt::Display for Called<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Called(schema, name) = self;
        match *schema {
            "public" => write!(f, "table {name}"),
            "ops" | "sys" => write!(f, "table {schema}.{name}"),
            "kpi" | "slo" | "sla" => write!(f, "{} {name}", schema.to_uppercase()),
            "policy" => write!(f, "escalation policy {name}"),
            other => write!(f, "{other} {name}"),
        }
    }
}

/// As GRANT has it.
impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            On::Everything => Ok(()),
            On::Schema(schema) => write!(f, " ON ALL TABLES IN SCHEMA {schema}"),
            On::Named { schema, name } => match schema.as_str() {
                "public" => write!(f, " ON TABLE {}", quoted(name)),
                "ops" | "sys" => write!(f, " ON TABLE {schema}.{}", quoted(name)),
                word => write!(f, " ON {} {}", word.to_uppercase(), quoted(name)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Statement;

    fn roles(texts: &[&str]) -> Roles {
        texts.iter().fold(Roles::default(), |roles, text| {
            let statement = crate::dialect::parse_statement(text);
            let Some(Ok(Statement::Role(statement))) = statement else { panic!("{text}: {statement:?}") };
            let (put, gone) = roles.changed(&statement, None).unwrap_or_else(|error| panic!("{text}: {error}"));
            roles.with(put, &gone)
        })
    }

    /// Which of the shipped roles may do each of these: the table that the documentation shows.
    #[test]
    fn the_shipped_roles_may_do_what_their_names_say() {
        let all = roles(&["CREATE USER root SUPERUSER"]);
        let all = SHIPPED.iter().map(|shipped| shipped.name).chain(["admin"]).fold(all, |roles_so_far, shipped| {
            let texts = [format!("CREATE USER u_{shipped}"), format!("GRANT {shipped} TO u_{shipped}")];
            texts.iter().fold(roles_so_far, |roles, text| {
                let Some(Ok(Statement::Role(statement))) = crate::dialect::parse_statement(text) else {
                    panic!("{text}")
                };
                let (put, gone) = roles.changed(&statement, None).unwrap();
                roles.with(put, &gone)
            })
        });
        let asked = [
            (Privilege::Select, On::named("public", "cpu")),
            (Privilege::Select, On::named("sys", "queries")),
            (Privilege::Insert, On::named("public", "cpu")),
            (Privilege::Update, On::named("ops", "incident")),
            (Privilege::Create, On::Schema("public".to_owned())),
            (Privilege::Create, On::Schema("kpi".to_owned())),
            (Privilege::Create, On::Schema("slo".to_owned())),
            (Privilege::Create, On::Schema("sink".to_owned())),
            (Privilege::Override, On::named("baseline", "b")),
            (Privilege::Ack, On::Everything),
            (Privilege::Approve, On::Everything),
            (Privilege::Subscribe, On::Everything),
        ];
        let names = ["viewer", "responder", "steward", "service_owner", "sre_lead", "auditor", "admin"];
        let mut table = String::new();
        for (privilege, on) in &asked {
            let may = |name: &&&str| Rights::of(&all, Some(&format!("u_{name}"))).allow(*privilege, on);
            let who: Vec<&str> = names.iter().filter(may).copied().collect();
            table += &format!("{}{on}: {}\n", privilege.word(), who.join(" "));
        }
        expect_test::expect![[r#"
            select ON TABLE cpu: viewer responder steward service_owner sre_lead auditor admin
            select ON TABLE sys.queries: responder steward service_owner sre_lead auditor admin
            insert ON TABLE cpu: admin
            update ON TABLE ops.incident: responder service_owner sre_lead admin
            create ON ALL TABLES IN SCHEMA public: steward sre_lead admin
            create ON ALL TABLES IN SCHEMA kpi: steward sre_lead admin
            create ON ALL TABLES IN SCHEMA slo: service_owner sre_lead admin
            create ON ALL TABLES IN SCHEMA sink: sre_lead admin
            override ON BASELINE b: steward sre_lead admin
            ack: responder service_owner sre_lead admin
            approve: steward sre_lead admin
            subscribe: viewer responder steward service_owner sre_lead auditor admin
        "#]]
        .assert_eq(&table);
    }

    #[test]
    fn a_grant_is_for_what_it_names_and_for_members() {
        let all = roles(&[
            "CREATE USER root SUPERUSER",
            "CREATE ROLE team",
            "CREATE USER u",
            "GRANT team TO u",
            "GRANT SELECT, INSERT ON TABLE cpu TO team",
            "GRANT SELECT ON KPI latency TO u",
            "GRANT OVERRIDE ON BASELINE b TO u",
            "GRANT ALL ON ALL TABLES IN SCHEMA ops TO u",
            "REVOKE DELETE ON ALL TABLES IN SCHEMA ops FROM u",
            "GRANT ACK, SUBSCRIBE TO u",
        ]);
        let may = |role: &str, privilege, on: &On| Rights::of(&all, Some(role)).allow(privilege, on);
        let cpu = On::named("public", "cpu");
        assert!(may("u", Privilege::Select, &cpu) && may("u", Privilege::Insert, &cpu));
        assert!(!may("u", Privilege::Delete, &cpu) && !may("u", Privilege::Select, &On::named("public", "mem")));
        assert!(may("u", Privilege::Select, &On::named("kpi", "latency")));
        assert!(!may("team", Privilege::Select, &On::named("kpi", "latency")));
        assert!(may("u", Privilege::Update, &On::named("ops", "incident")));
        assert!(!may("u", Privilege::Delete, &On::named("ops", "incident")));
        assert!(may("u", Privilege::Override, &On::named("baseline", "b")));
        assert!(!may("u", Privilege::Override, &On::named("baseline", "c")));
        assert!(may("u", Privilege::Ack, &On::Everything) && !may("u", Privilege::Approve, &On::Everything));
        assert!(!may("stranger", Privilege::Select, &cpu) && may("root", Privilege::Delete, &cpu));
        assert!(Rights::of(&Roles::default(), Some("anybody")).allow(Privilege::Delete, &cpu));
        let error = Rights::of(&all, Some("u")).check(Privilege::Delete, &cpu).unwrap_err();
        assert_eq!(error.to_string(), "permission denied for table cpu");
    }

    #[test]
    fn a_policy_leaves_rows_to_those_that_it_is_for() {
        let all = roles(&[
            "CREATE USER root SUPERUSER",
            "CREATE ROLE eu",
            "CREATE ROLE us",
            "CREATE USER a",
            "CREATE USER b",
            "GRANT eu, us TO a",
            "CREATE POLICY of_eu ON kpi.latency TO eu USING (region = 'eu')",
            "CREATE POLICY of_us ON kpi.latency FOR SELECT TO us USING (region = 'us')",
        ]);
        let (latency, other) = (On::named("kpi", "latency"), On::named("kpi", "other"));
        let rows = |role: &str, on: &On| Rights::of(&all, Some(role)).rows(on);
        assert_eq!(rows("us", &latency).as_deref(), Some("(region = 'us'\n)"));
        assert_eq!(rows("a", &latency).as_deref(), Some("(region = 'eu'\n) OR (region = 'us'\n)"));
        assert_eq!(rows("b", &latency).as_deref(), Some("false"));
        assert_eq!((rows("b", &other), rows("root", &latency)), (None, None));
    }
}
