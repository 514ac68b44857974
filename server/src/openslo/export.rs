//! From definitions to documents.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use plimsoll_query::{Over, Parts, parts, quoted, text_literal};
use regex::Regex;
use serde_json::{Map, Value as Json, json};

use super::{Finding, KEPT, PREFIX, yaml};

/// When a calendar window began, if nobody has said: with a day, a week, a month, a quarter and a year.
pub(super) const START: &str = "2024-01-01 00:00:00";

/// The tier of a service that names none.
const TIER: u8 = 2;

/// A definition that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Existing {
    /// The statement that makes it.
    pub(crate) definition: String,
    pub(crate) comment: Option<String>,
    /// Of a KPI: whether its rows are `good` and `total`.
    pub(crate) is_ratio: bool,
}

/// What a definition is made of, with what its comment keeps.
struct Object {
    parts: Parts,
    is_ratio: bool,
    description: Option<String>,
    kept: Map<String, Json>,
}

/// Documents of definitions as YAML, and what is not in them. With names, only objects of these names.
pub(crate) fn export(existing: &[Existing], names: &[String]) -> (String, Vec<Finding>) {
    let objects: Vec<Object> = existing.iter().filter_map(Object::read).collect();
    let mut work =
        Work { objects: &objects, documents: BTreeMap::new(), findings: Vec::new(), policies: BTreeMap::new() };
    for object in objects.iter().filter(|object| names.is_empty() || names.contains(&object.parts.name)) {
        work.object(object);
    }
    for name in names.iter().filter(|name| !objects.iter().any(|object| object.parts.name == **name)) {
        work.left(name, "there is no such object");
    }
    let texts: Vec<String> = work.documents.values().map(yaml::print).collect();
    (texts.join("---\n"), work.findings)
}

/// The name of OpenSLO that is translated to a name of ours; `None` when there is none.
pub(super) fn open_name(name: &str) -> Option<String> {
    let open = name.replace('_', "-");
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = open.len() <= 63
        && open.starts_with(is_plain)
        && open.ends_with(is_plain)
        && open.chars().all(|c| is_plain(c) || c == '-');
    (is_name && open.replace('-', "_") == name).then_some(open)
}

impl Object {
    fn read(existing: &Existing) -> Option<Object> {
        let comment = existing.comment.clone().unwrap_or_default();
        let (text, last) = match comment.rsplit_once('\n') {
            Some((text, last)) => (text, last),
            None => ("", comment.as_str()),
        };
        let kept = last.strip_prefix(KEPT).and_then(|json| serde_json::from_str(json).ok());
        let description = if kept.is_some() { text.to_owned() } else { comment };
        Some(Object {
            parts: parts(&existing.definition)?,
            is_ratio: existing.is_ratio,
            description: Some(description).filter(|text| !text.is_empty()),
            kept: kept.unwrap_or_default(),
        })
    }

    fn kept(&self, key: &str) -> Option<&Json> {
        self.kept.get(key)
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.parts.options.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Its options as they stand in a statement, without some.
    fn options(&self, without: &[&str]) -> String {
        let kept = self.parts.options.iter().filter(|(name, _)| !without.contains(&name.as_str()));
        kept.map(|(name, value)| format!("{} = {value}", quoted(name))).collect::<Vec<_>>().join(", ")
    }

    /// Its name in OpenSLO, and whether ours has to be said besides.
    fn open_name(&self) -> (String, bool) {
        match self.kept("name").and_then(Json::as_str) {
            Some(name) if name.replace('-', "_") == self.parts.name => (name.to_owned(), false),
            _ => open(&self.parts.name),
        }
    }
}

/// A name in OpenSLO for any name of ours, and whether ours has to be said besides.
fn open(name: &str) -> (String, bool) {
    match open_name(name) {
        Some(open) => (open, false),
        None => {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
            let open: String = name.chars().map(plain).take(63).collect();
            let open = open.trim_matches('-');
            (if open.is_empty() { "object".to_owned() } else { open.to_owned() }, true)
        }
    }
}

struct Work<'a> {
    objects: &'a [Object],
    /// By the place of their kind and by name.
    documents: BTreeMap<(u8, String), Json>,
    findings: Vec<Finding>,
    /// Alert policies of SLOs, by SLO.
    policies: BTreeMap<String, Vec<String>>,
}

static KPI: LazyLock<[Option<Regex>; 4]> = LazyLock::new(|| {
    let from = r#"FROM kpi\.("(?:[^"]|"")+"|[a-z_][a-z0-9_]*)"#;
    [
        format!("^SELECT time, good, total {from}$"),
        format!("^SELECT time, (value|1 - value) AS good, 1 AS total {from} WHERE value IS NOT NULL$"),
        format!(
            "^SELECT time, CASE WHEN value (<=|<|>=|>) (\\S+) THEN 1 ELSE 0 END AS good, 1 AS total {from} WHERE value IS NOT NULL$"
        ),
        r"^long_burn (>=|>) ([0-9.eE+-]+)$".to_owned(),
    ]
    .map(|pattern| Regex::new(&pattern).ok())
});

impl<'a> Work<'a> {
    fn object(&mut self, object: &Object) {
        let parts = &object.parts;
        match parts.kind {
            "service" => self.service(object),
            "kpi" => {
                let metric = match (object.is_ratio, object.kept("rawType")) {
                    (true, _) => json!({ "ratioMetric": ratio(parts) }),
                    (false, Some(word)) => json!({ "ratioMetric": { "raw": metric(parts, None), "rawType": word } }),
                    (false, None) => json!({ "thresholdMetric": metric(parts, None) }),
                };
                let ours = [("service", parts.service.clone()), ("options", Some(object.options(&[])))];
                self.put(2, "SLI", object, metric, &ours);
            }
            "slo" => self.slo(object),
            "sink" => self.sink(object),
            // An option of the SLO makes these.
            "alert" if object.option("burn_template").is_some() => {}
            "alert" => {
                if self.alert(object).is_none() {
                    self.left(
                        &format!("alert {}", parts.name),
                        "OpenSLO has alerts on a burn rate over one length of time alone",
                    );
                }
            }
            // Told with the alerts that name them.
            "escalation policy" => {}
            kind => self.left(&format!("{kind} {}", parts.name), "OpenSLO has nothing of the kind"),
        }
    }

    fn service(&mut self, object: &Object) {
        let parts = &object.parts;
        let depends: Vec<String> = parts
            .depends
            .iter()
            .map(|(name, is_hard)| format!("{} {}", quoted(name), if *is_hard { "HARD" } else { "SOFT" }))
            .collect();
        let tier = parts.tier.filter(|tier| *tier != TIER).map(|tier| tier.to_string());
        let ours = [
            ("tier", tier),
            ("owner", parts.owner.clone()),
            ("depends-on", Some(depends.join(", "))),
            ("options", Some(object.options(&[]))),
        ];
        self.put(1, "Service", object, json!({}), &ours);
    }

    fn sink(&mut self, object: &Object) {
        let hidden: Vec<&str> =
            object.parts.options.iter().filter(|(_, value)| value == "'***'").map(|(name, _)| name.as_str()).collect();
        if !hidden.is_empty() {
            let message = format!("{} cannot be read: add it to plimsoll/options before an import", hidden.join(", "));
            let place = format!("sink {}", object.parts.name);
            self.findings.push(Finding { place, message, is_left_out: false });
        }
        let unquoted = |name| object.option(name).map(|value| value.trim_matches('\'').to_owned());
        let target = unquoted("format").or(unquoted("connector")).unwrap_or("webhook".to_owned());
        let target = object.kept("target").cloned().unwrap_or(Json::String(target));
        let ours = [("options", Some(object.options(&hidden)))];
        self.put(3, "AlertNotificationTarget", object, json!({ "target": target }), &ours);
    }

    fn slo(&mut self, object: &Object) {
        let parts = &object.parts;
        let place = format!("slo {}", parts.name);
        let (Some(window), Some(percent)) = (window(object), parts.objective.as_deref().map(number)) else {
            return self.left(&place, "its window is no whole number of minutes, hours, days, weeks, months or years");
        };
        let mut objective = Map::new();
        objective.extend(object.kept("objectiveName").map(|name| ("displayName".to_owned(), name.clone())));
        objective.insert("targetPercent".to_owned(), percent);
        let method = match object.option("budgeting").unwrap_or("'occurrences'") {
            "'timeslices'" => "Timeslices",
            "'ratio_timeslices'" => "RatioTimeslices",
            _ => "Occurrences",
        };
        let mut without = vec!["budgeting"];
        if method != "Occurrences" {
            without.push("slice");
            let Some(slice) = shorthand(object.option("slice").unwrap_or("'1 min'").trim_matches('\'')) else {
                return self.left(&place, "its slice is no whole number of minutes, hours, days or weeks");
            };
            objective.insert("timeSliceWindow".to_owned(), Json::String(slice));
        }
        if method == "Timeslices" {
            without.push("slice_target");
            let share =
                || parts.objective.as_deref().and_then(|text| text.parse::<f64>().ok()).unwrap_or_default() / 100.0;
            let target = object.option("slice_target").map_or_else(|| json!(share()), number);
            objective.insert("timeSliceTarget".to_owned(), target);
        }
        let mut spec = json!({ "timeWindow": [window], "budgetingMethod": method });
        if let Some(service) = &parts.service {
            spec["service"] = Json::String(self.name_of("service", service));
        }
        let query = parts.query.as_deref().unwrap_or_default();
        let found = |at: usize| KPI[at].as_ref().and_then(|regex| regex.captures(query));
        let kpi = if let Some(found) = found(0) {
            Some(found[1].to_owned())
        } else if let Some(found) = found(1) {
            Some(found[2].to_owned())
        } else if let Some(found) = found(2) {
            let op = match &found[1] {
                "<=" => "lte",
                "<" => "lt",
                ">=" => "gte",
                _ => "gt",
            };
            objective.insert("op".to_owned(), json!(op));
            objective.insert("value".to_owned(), number(&found[2]));
            Some(found[3].to_owned())
        } else {
            None
        };
        match kpi {
            Some(name) => {
                let name = name
                    .strip_prefix('"')
                    .map_or(name.clone(), |rest| rest.trim_end_matches('"').replace("\"\"", "\""));
                spec["indicatorRef"] = Json::String(self.name_of("kpi", &name));
            }
            None => {
                let metadata =
                    json!({ "name": object.open_name().0, "annotations": { format!("{PREFIX}inline"): "true" } });
                spec["indicator"] = json!({ "metadata": metadata, "spec": { "ratioMetric": ratio(parts) } });
            }
        }
        spec["objectives"] = json!([objective]);
        if let Some(policies) = self.policies.get(&parts.name) {
            spec["alertPolicies"] = refer(policies, "alertPolicyRef");
        }
        self.put(6, "SLO", object, spec, &[("options", Some(object.options(&without)))]);
    }

    /// The policy and the condition of an alert; `None` when OpenSLO cannot say what it is.
    fn alert(&mut self, object: &Object) -> Option<()> {
        let parts = &object.parts;
        let (slo, back) = burn(parts.query.as_deref()?)?;
        let found = KPI[3].as_ref()?.captures(parts.when.as_deref()?)?;
        let severity = parts.severity.as_deref()?.strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'");
        let known = [("dedup_key", text_literal(&format!("slo/{slo}"))), ("on_missing", "'bad'".to_owned())];
        let is_known = |(name, value): &(String, String)| known.iter().any(|(known, of)| name == known && value == of);
        if parts.has_more || !parts.options.iter().all(is_known) || object.option("dedup_key").is_none() {
            return None;
        }
        let slo_object = self.find("slo", &slo)?;
        if slo_object.parts.service != parts.service {
            return None;
        }
        let own = parts.name.strip_prefix(&format!("{slo}_")).filter(|own| !own.is_empty());
        let mut condition = json!({
            "kind": "burnrate",
            "op": if &found[1] == ">" { "gt" } else { "gte" },
            "threshold": number(&found[2]),
            "lookbackWindow": shorthand(&back)?,
        });
        if let Some(hold) = &parts.hold {
            condition["alertAfter"] = Json::String(shorthand(hold)?);
        }
        let told = |key: &str| object.kept(key).and_then(Json::as_object).cloned().unwrap_or_default();
        let (about_policy, about_condition) = (told("policy"), told("condition"));
        let named = |about: &Map<String, Json>| about.get("name").and_then(Json::as_str).map(str::to_owned);
        // Two SLOs can have alerts of one policy; when the policies differ, the alert gives the name.
        let mut policy_name = named(&about_policy).unwrap_or_else(|| open(own.unwrap_or(&parts.name)).0);
        let mut ours = vec![];
        if policy_name.replace('-', "_") != own.unwrap_or_default() {
            ours.push(("alert", Some(parts.name.clone())));
        }
        let condition_name = named(&about_condition).unwrap_or_else(|| policy_name.clone());
        let inline = document(
            "AlertCondition",
            &condition_name,
            &about_condition,
            None,
            json!({ "severity": severity, "condition": condition }),
            &[],
        );
        let mut spec = json!({
            "alertWhenBreaching": true,
            "alertWhenNoData": object.option("on_missing").is_some(),
            "conditions": [without_version(inline)],
        });
        if let Some(resolved) = about_policy.get("alertWhenResolved") {
            spec["alertWhenResolved"] = resolved.clone();
        }
        spec["notificationTargets"] = json!([]);
        if let Some(name) = &parts.escalate {
            let policy = self.find("escalation policy", name)?;
            if policy.parts.has_more || !policy.parts.options.is_empty() {
                let message = format!("the escalation policy {name} has conditions or options, which OpenSLO has not");
                self.findings.push(Finding { place: format!("alert {}", parts.name), message, is_left_out: true });
            }
            let sinks: Vec<String> = policy.parts.steps.iter().flat_map(|(_, sinks)| sinks.clone()).collect();
            let sinks: Vec<String> = sinks.iter().map(|sink| self.name_of("sink", sink)).collect();
            spec["notificationTargets"] = refer(&sinks, "targetRef");
            if policy_name.replace('-', "_") != *name {
                ours.push(("escalation", Some(name.clone())));
            }
            let step = |(after, sinks): &(String, Vec<String>)| {
                let sinks: Vec<String> = sinks.iter().map(|sink| quoted(sink)).collect();
                format!("AFTER {} NOTIFY {}", text_literal(after), sinks.join(", "))
            };
            if policy.parts.steps.len() != 1 || policy.parts.steps.iter().any(|(after, _)| after != "0 min") {
                ours.push(("steps", Some(policy.parts.steps.iter().map(step).collect::<Vec<_>>().join(", "))));
            }
        }
        let made = document("AlertPolicy", &policy_name, &about_policy, None, spec.clone(), &ours);
        if self.documents.get(&(5, policy_name.clone())).is_some_and(|other| *other != made) {
            policy_name = open(&parts.name).0;
            ours.retain(|(name, _)| *name != "alert");
            ours.push(("alert", Some(parts.name.clone())));
        }
        let made = document("AlertPolicy", &policy_name, &about_policy, None, spec, &ours);
        self.documents.insert((5, policy_name.clone()), made);
        self.policies.entry(slo.clone()).or_default().push(policy_name);
        // Whichever of the two came first, the SLO names its policies.
        if let Some(document) = self.documents.get_mut(&(6, slo_object.open_name().0)) {
            document["spec"]["alertPolicies"] = refer(self.policies.get(&slo)?, "alertPolicyRef");
        }
        Some(())
    }

    fn find(&self, kind: &str, name: &str) -> Option<&'a Object> {
        self.objects.iter().find(|object| object.parts.kind == kind && object.parts.name == name)
    }

    /// What an object that is referred to is called in OpenSLO.
    fn name_of(&self, kind: &str, name: &str) -> String {
        self.find(kind, name).map_or_else(|| open(name), Object::open_name).0
    }

    fn put(&mut self, place: u8, kind: &str, object: &Object, spec: Json, ours: &[(&str, Option<String>)]) {
        let (name, is_other) = object.open_name();
        let mut ours = ours.to_vec();
        ours.push(("name", is_other.then(|| object.parts.name.clone())));
        let made = document(kind, &name, &object.kept, object.description.as_deref(), spec, &ours);
        if self.documents.contains_key(&(place, name.clone())) {
            return self.left(
                &format!("{} {}", object.parts.kind, object.parts.name),
                &format!("another {kind} is called {name} too"),
            );
        }
        self.documents.insert((place, name), made);
    }

    fn left(&mut self, place: &str, message: &str) {
        self.findings.push(Finding { place: place.to_owned(), message: message.to_owned(), is_left_out: true });
    }
}

fn document(
    kind: &str,
    name: &str,
    kept: &Map<String, Json>,
    description: Option<&str>,
    mut spec: Json,
    ours: &[(&str, Option<String>)],
) -> Json {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), Json::from(name));
    for key in ["displayName", "labels", "annotations"] {
        metadata.extend(kept.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    for (key, value) in
        ours.iter().filter_map(|(key, value)| Some((key, value.as_ref().filter(|text| !text.is_empty())?)))
    {
        metadata.entry("annotations").or_insert_with(|| json!({}))[format!("{PREFIX}{key}")] =
            Json::from(value.clone());
    }
    if let Some(description) = description.or(kept.get("description").and_then(Json::as_str)) {
        spec["description"] = Json::from(description);
    }
    json!({ "apiVersion": "openslo/v1", "kind": kind, "metadata": metadata, "spec": spec })
}

fn without_version(mut document: Json) -> Json {
    if let Some(map) = document.as_object_mut() {
        map.remove("apiVersion");
    }
    document
}

fn refer(names: &[String], field: &str) -> Json {
    names.iter().map(|name| json!({ field: name })).collect()
}

fn metric(parts: &Parts, column: Option<&str>) -> Json {
    let mut spec = json!({ "query": parts.query });
    if let Some(column) = column {
        spec["column"] = Json::from(column);
    }
    json!({ "metricSource": { "type": "plimsoll", "spec": spec } })
}

/// One query that gives both counts.
fn ratio(parts: &Parts) -> Json {
    json!({ "counter": false, "good": metric(parts, Some("good")), "total": metric(parts, Some("total")) })
}

/// A number as it is written.
fn number(text: &str) -> Json {
    serde_json::from_str::<serde_json::Number>(text).map_or(Json::String(text.to_owned()), Json::Number)
}

fn window(object: &Object) -> Option<Json> {
    match object.parts.over.as_ref()? {
        Over::Rolling(length) => Some(json!({ "duration": shorthand(length)?, "isRolling": true })),
        Over::Calendar(period, zone) => {
            let start = object.kept("startTime").cloned().unwrap_or(Json::from(START));
            let calendar = json!({ "startTime": start, "timeZone": zone.as_deref().unwrap_or("UTC") });
            Some(json!({ "duration": shorthand(period)?, "isRolling": false, "calendar": calendar }))
        }
    }
}

/// A length of time as a duration-shorthand; `None` when it is none of one unit.
fn shorthand(text: &str) -> Option<String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(end);
    let letter = match unit.trim() {
        "m" | "min" | "mins" | "minute" | "minutes" => 'm',
        "h" | "hour" | "hours" => 'h',
        "d" | "day" | "days" => 'd',
        "w" | "week" | "weeks" => 'w',
        "mon" | "month" | "months" => 'M',
        "quarter" | "quarters" => 'Q',
        "y" | "year" | "years" => 'Y',
        _ => return None,
    };
    (!count.is_empty()).then(|| format!("{count}{letter}"))
}

/// The SLO and the length of time of a query as an import writes it.
fn burn(query: &str) -> Option<(String, String)> {
    let rest = query.strip_prefix("SELECT time, long_burn, short_burn FROM slo_burn('")?.strip_suffix("')")?;
    let mut arguments = rest.split("', '");
    let (slo, long, short) = (arguments.next()?, arguments.next()?, arguments.next()?);
    (long == short && arguments.next().is_none()).then(|| (slo.replace("''", "'"), long.to_owned()))
}
