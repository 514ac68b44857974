//! From documents to statements.

mod alert;
mod indicator;
mod objective;
mod place;

use std::collections::BTreeMap;

use plimsoll_query::{parse, parts, quoted, text_literal};
use serde_json::{Map, Value as Json};

use super::yaml::{self, Value};
use super::{Finding, KEPT, PREFIX};
use place::{At, Left};

/// The version of OpenSLO that is read.
const VERSION: &str = "openslo/v1";

/// Kinds, in the order in which their statements have to come, and what their `spec` may have.
const KINDS: [(&str, &[&str]); 7] = [
    ("DataSource", &["description", "type", "connectionDetails"]),
    ("Service", &["description"]),
    ("SLI", &["description", "thresholdMetric", "ratioMetric"]),
    ("AlertNotificationTarget", &["description", "target"]),
    ("AlertCondition", &["description", "severity", "condition"]),
    (
        "AlertPolicy",
        &[
            "description",
            "alertWhenNoData",
            "alertWhenResolved",
            "alertWhenBreaching",
            "conditions",
            "notificationTargets",
        ],
    ),
    (
        "SLO",
        &[
            "description",
            "service",
            "indicator",
            "indicatorRef",
            "timeWindow",
            "budgetingMethod",
            "objectives",
            "alertPolicies",
        ],
    ),
];

/// A statement and what it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// The kind of the object, in lower case.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) text: String,
    /// Where it comes from.
    pub(crate) place: String,
}

/// What files come to.
#[derive(Debug, Default)]
pub(crate) struct Translated {
    /// In an order in which they can be carried out.
    pub(crate) statements: Vec<Made>,
    pub(crate) findings: Vec<Finding>,
}

/// Translates files, each with its name.
pub(crate) fn import(files: &[(String, String)]) -> Translated {
    let mut translated = Translated::default();
    let mut read = Vec::new();
    for (file, text) in files {
        match yaml::documents(text) {
            Ok(documents) => read.extend(documents.into_iter().map(|(document, node)| (file.as_str(), document, node))),
            Err(broken) => translated.findings.push(Finding {
                place: format!("{file}:{} (document {})", broken.line, broken.document),
                message: format!("{}; no document of this file is read", broken.message),
                is_left_out: true,
            }),
        }
    }
    let mut work = Work { documents: BTreeMap::new(), translated, made: BTreeMap::new(), services: Vec::new() };
    for (file, document, node) in &read {
        let at = At::new(file, *document, node);
        if let Err(left) = work.take(at) {
            work.left(left);
        }
    }
    work.translate();
    work.translated
}

/// The documents, and what has come of them.
struct Work<'a> {
    /// By kind and name.
    documents: BTreeMap<(&'static str, String), At<'a>>,
    translated: Translated,
    /// What was made, by kind and name, and where.
    made: BTreeMap<(&'static str, String), String>,
    services: Vec<String>,
}

impl<'a> Work<'a> {
    /// Takes a document in, if it is one.
    fn take(&mut self, at: At<'a>) -> Result<(), Left> {
        let Value::Map(_) = at.node.value else { return Err(at.left("a document is a map")) };
        let version = at.need("apiVersion")?;
        if version.need_text()? != VERSION {
            return Err(version.left(format!("only {VERSION} is read")));
        }
        let kind = at.need("kind")?;
        let Some((known, fields)) = KINDS.iter().find(|(known, _)| kind.node.text() == Some(known)) else {
            return Err(kind.left(format!("the kind is one of {}", KINDS.map(|(kind, _)| kind).join(", "))));
        };
        let name = at.need("metadata")?.need("name")?.need_text()?.to_owned();
        let spec = at.need("spec")?;
        self.unknown(&at, &["apiVersion", "kind", "metadata", "spec"]);
        self.unknown(&at.need("metadata")?, &["name", "displayName", "labels", "annotations"]);
        self.unknown(&spec, fields);
        if let Some(other) = self.documents.get(&(*known, name.clone())) {
            return Err(at.left(format!("{known} {name} is defined already, in {}", other.place())));
        }
        self.documents.insert((*known, name), at);
        Ok(())
    }

    /// Tells of fields that are none.
    fn unknown(&mut self, at: &At<'a>, known: &[&str]) {
        let Value::Map(entries) = &at.node.value else { return };
        for (key, node) in entries.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            let place = At { node, path: at.path_of(key), ..at.clone() };
            self.note(&place, "OpenSLO has no such field; it is not kept");
        }
    }

    fn translate(&mut self) {
        for (kind, _) in KINDS {
            let of_kind: Vec<(String, At<'a>)> = self
                .documents
                .iter()
                .filter(|((of, _), _)| *of == kind)
                .map(|((_, name), at)| (name.clone(), at.clone()))
                .collect();
            for (name, at) in of_kind {
                let done = match kind {
                    "Service" => self.service(&at),
                    "SLI" => self.indicator(&at, None).map(|_| ()),
                    "AlertNotificationTarget" => self.target(&at).map(|_| ()),
                    "SLO" => self.objectives(&at),
                    "DataSource" => {
                        self.note(&at, "a DataSource makes nothing: its type tells which queries are SQL");
                        Ok(())
                    }
                    "AlertPolicy" if !self.is_used("alertPolicyRef", &name) => {
                        Err(at.left("no SLO names it: an alert belongs to an SLO"))
                    }
                    "AlertCondition" if !self.is_used("conditionRef", &name) => Err(at.left("no AlertPolicy names it")),
                    _ => Ok(()),
                };
                if let Err(left) = done {
                    self.left(left);
                }
            }
        }
    }

    /// True when a document refers to a name by such a field.
    fn is_used(&self, field: &str, name: &str) -> bool {
        let (list, kind) =
            if field == "conditionRef" { ("conditions", "AlertPolicy") } else { ("alertPolicies", "SLO") };
        let of_kind = self.documents.iter().filter(|((of, _), _)| *of == kind);
        let mut lists = of_kind.filter_map(|(_, at)| at.get("spec")?.get(list));
        lists.any(|list| list.items().iter().any(|item| item.get(field).is_some_and(|at| at.node.text() == Some(name))))
    }

    fn service(&mut self, at: &At<'a>) -> Result<(), Left> {
        let name = self.sql_name(at)?;
        let mut text = format!("CREATE OR REPLACE SERVICE {}", quoted(&name));
        for (annotation, word) in [("tier", "TIER"), ("owner", "OWNER"), ("depends-on", "DEPENDS ON")] {
            match (annotation, ours(at, annotation)) {
                (_, None) => {}
                ("owner", Some(owner)) => text.push_str(&format!(" {word} {}", quoted(&owner))),
                ("depends-on", Some(list)) => text.push_str(&format!(" {word} ({list})")),
                (_, Some(value)) => text.push_str(&format!(" {word} {value}")),
            }
        }
        text.push_str(&with(Vec::new(), at));
        self.services.push(name.clone());
        self.make("service", &name, text, at)?;
        self.comment("service", &name, at, Map::new())
    }

    /// The name of a service in the dialect; one that no file defines is made, unless it is there.
    fn service_named(&mut self, at: &At<'a>) -> Result<String, Left> {
        let name = self.reference("Service", at.need_text()?);
        if !self.services.contains(&name) {
            self.note(at, format!("no file defines the service {name}: it is made if it is not there"));
            self.services.push(name.clone());
            self.make("service", &name, format!("CREATE SERVICE IF NOT EXISTS {}", quoted(&name)), at)?;
        }
        Ok(name)
    }

    /// What a name that is referred to is called in the dialect.
    fn reference(&self, kind: &'static str, name: &str) -> String {
        let document = self.documents.get(&(kind, name.to_owned()));
        document.and_then(|at| ours(at, "name")).unwrap_or_else(|| name.replace('-', "_"))
    }

    /// What a document is called in the dialect.
    fn sql_name(&self, at: &At<'a>) -> Result<String, Left> {
        let name = at.need("metadata")?.need("name")?;
        Ok(ours(at, "name").unwrap_or(name.need_text()?.replace('-', "_")))
    }

    /// Takes a statement, if it is one and makes what it should.
    fn make(&mut self, kind: &'static str, name: &str, text: String, at: &At<'a>) -> Result<(), Left> {
        match parse(&text) {
            Err(error) => {
                let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                return Err(at.left(format!("{error}{hint}, in: {text}")));
            }
            // A query or an annotation must not bring statements of its own.
            Ok(statements) if statements.len() != 1 => return Err(at.left(format!("this is no one statement: {text}"))),
            Ok(_) => {}
        }
        if !parts(&text).is_some_and(|parts| parts.kind == kind && parts.name == name) {
            return Err(at.left(format!("this does not make the {kind} {name}: {text}")));
        }
        let key = (kind, name.to_owned());
        if let Some(other) = self.made.get(&key) {
            return Err(at.left(format!("the {kind} {name} is made already, by {other}")));
        }
        self.made.insert(key, at.place());
        self.translated.statements.push(Made { kind, name: name.to_owned(), text, place: at.place() });
        Ok(())
    }

    /// Keeps the description, and what has no place in the dialect, as the comment of an object.
    fn comment(
        &mut self,
        kind: &'static str,
        name: &str,
        at: &At<'a>,
        mut kept: Map<String, Json>,
    ) -> Result<(), Left> {
        let about = metadata(at);
        let original = about.get("name").and_then(Json::as_str).unwrap_or(name);
        // One of several objectives has a name of its own.
        let is_whole = kept.remove("objective").is_none();
        if is_whole && ours(at, "name").is_none() && super::export::open_name(name).as_deref() != Some(original) {
            kept.insert("name".to_owned(), Json::String(original.to_owned()));
        }
        kept.extend(about.into_iter().filter(|(key, _)| key != "name"));
        let description = at.get("spec").and_then(|spec| spec.get("description")?.node.text().map(str::to_owned));
        self.comment_text(kind, name, at, description, kept);
        Ok(())
    }

    fn comment_text(
        &mut self,
        kind: &'static str,
        name: &str,
        at: &At<'a>,
        description: Option<String>,
        kept: Map<String, Json>,
    ) {
        let mut lines: Vec<String> = description.into_iter().collect();
        if !kept.is_empty() {
            lines.push(format!("{KEPT}{}", Json::Object(kept)));
        }
        if !lines.is_empty() {
            let text =
                format!("COMMENT ON {} {} IS {}", kind.to_uppercase(), quoted(name), text_literal(&lines.join("\n")));
            self.translated.statements.push(Made { kind: "comment", name: name.to_owned(), text, place: at.place() });
        }
    }

    fn note(&mut self, at: &At<'a>, message: impl Into<String>) {
        self.translated.findings.push(Finding { place: at.place(), message: message.into(), is_left_out: false });
    }

    fn left(&mut self, left: Left) {
        self.translated.findings.push(left.0);
    }
}

/// An annotation of ours.
fn ours(at: &At<'_>, name: &str) -> Option<String> {
    let annotation = at.get("metadata")?.get("annotations")?.get(&format!("{PREFIX}{name}"))?;
    annotation.node.text().map(str::to_owned)
}

/// ` WITH (...)` of options and of those that an annotation has.
fn with(mut options: Vec<String>, at: &At<'_>) -> String {
    options.extend(ours(at, "options").filter(|options| !options.trim().is_empty()));
    if options.is_empty() { String::new() } else { format!(" WITH ({})", options.join(", ")) }
}

/// Name, display name, labels and annotations, without the annotations of ours.
fn metadata(at: &At<'_>) -> Map<String, Json> {
    let Some(Json::Object(mut found)) = at.get("metadata").map(|metadata| metadata.node.json()) else {
        return Map::new();
    };
    found.retain(|key, value| {
        ["name", "displayName", "labels", "annotations"].contains(&key.as_str()) && !value.is_null()
    });
    if let Some(Json::Object(annotations)) = found.get_mut("annotations") {
        annotations.retain(|key, _| !key.starts_with(PREFIX));
        if annotations.is_empty() {
            found.remove("annotations");
        }
    }
    found
}
