//! Alert policies, their conditions, and whoever is told.

use plimsoll_query::{quoted, text_literal};
use serde_json::{Map, Value as Json};

use super::objective::{length, sign, wrong_length};
use super::place::{At, Left};
use super::{Work, metadata, ours, with};

impl<'a> Work<'a> {
    /// Makes the sink of a target; without an address there is none.
    pub(super) fn target(&mut self, at: &At<'a>) -> Result<String, Left> {
        let name = self.sql_name(at)?;
        if self.made.get(&("sink", name.clone())) == Some(&at.place()) {
            return Ok(name);
        }
        let target = at.need("spec")?.need("target")?;
        let word = target.need_text()?;
        let options = ours(at, "options").unwrap_or_default();
        let mut own = Vec::new();
        let known = ["alertmanager", "pagerduty", "slack", "servicenow", "jira"];
        match word.to_lowercase().replace(['-', '_'], "").as_str() {
            "email" | "mail" if !options.contains("connector") => own.push("connector = 'email'".to_owned()),
            format if known.contains(&format) && !options.contains("format") => {
                own.push(format!("format = '{format}'"));
            }
            _ => {}
        }
        if options.trim().is_empty() {
            let needed = if own.iter().any(|option| option.contains("email")) {
                "host = '...', from = '...', to = '...'"
            } else {
                "url = '...'"
            };
            return Err(target.left(format!(
                "OpenSLO does not say where this target is: annotate it with plimsoll/options: \"{needed}\""
            )));
        }
        // An export finds the word in the options, if it is there.
        let all = format!("{} {options}", own.join(", "));
        let is_bare = !all.contains("format") && !all.contains("connector");
        let shows = all.contains(&format!("'{word}'")) || (word == "webhook" && is_bare);
        let text = format!("CREATE OR REPLACE SINK {}{}", quoted(&name), with(own, at));
        self.make("sink", &name, text, at)?;
        let mut kept = Map::new();
        if !shows {
            kept.insert("target".to_owned(), Json::from(word));
        }
        self.comment("sink", &name, at, kept)?;
        Ok(name)
    }

    /// Makes the alert of a policy on an SLO.
    pub(super) fn alert(&mut self, item: &At<'a>, slo: &str, service: Option<&str>) -> Result<(), Left> {
        let policy = self.resolved(item, "alertPolicyRef", "AlertPolicy")?;
        let spec = policy.need("spec")?;
        let truth = |field: &str| spec.get(field).map(|at| at.truth()).transpose();
        if truth("alertWhenBreaching")? == Some(false) {
            return Err(spec.left("alertWhenBreaching is false: there would be nothing to tell"));
        }
        let conditions = spec.need("conditions")?;
        let items = conditions.items();
        let [item] = items.as_slice() else { return Err(conditions.left("a policy has exactly one condition")) };
        let condition = self.resolved(item, "conditionRef", "AlertCondition")?;
        let about = condition.need("spec")?;
        let burn = about.need("condition")?;
        if let Some(kind) = burn.get("kind").filter(|kind| kind.node.text() != Some("burnrate")) {
            return Err(kind.left("the one kind of condition is burnrate"));
        }
        let op = burn.need("op")?;
        let sign = match sign(&op)? {
            "<=" | "<" => {
                self.note(&op, "read as a burn rate above the threshold: one below it is no alarm");
                if op.node.text() == Some("lte") { ">=" } else { ">" }
            }
            sign => sign,
        };
        let threshold = burn.need("threshold")?;
        threshold.number()?;
        let span = |field: &str| -> Result<Option<String>, Left> {
            let Some(at) = burn.get(field) else { return Ok(None) };
            length(at.need_text()?).map(Some).ok_or_else(|| wrong_length(&at))
        };
        let back = text_literal(&span("lookbackWindow")?.ok_or_else(|| burn.left("lookbackWindow is missing"))?);
        let hold = span("alertAfter")?.filter(|text| !text.starts_with("0 "));
        let hold = hold.map(|text| format!(" FOR {}", text_literal(&text))).unwrap_or_default();
        let severity = text_literal(about.need("severity")?.need_text()?);
        let escalate = self.escalation(&policy, &spec)?;
        let escalate = escalate.map(|name| format!(" ESCALATE TO {}", quoted(&name))).unwrap_or_default();
        let name = ours(&policy, "alert").unwrap_or(format!("{slo}_{}", self.sql_name(&policy)?));
        let mut options = vec![format!("dedup_key = {}", text_literal(&format!("slo/{slo}")))];
        if truth("alertWhenNoData")? == Some(true) {
            options.push("on_missing = 'bad'".to_owned());
        }
        let on = service.map(|service| format!(" ON SERVICE {}", quoted(service))).unwrap_or_default();
        let text = format!(
            "CREATE OR REPLACE ALERT {}{on} AS SELECT time, long_burn, short_burn FROM slo_burn({}, {back}, {back}) \
             WHEN long_burn {sign} {}{hold} SEVERITY {severity}{escalate} WITH ({})",
            quoted(&name),
            text_literal(slo),
            threshold.need_text()?,
            options.join(", ")
        );
        self.make("alert", &name, text, &policy)?;
        let told = |at: &At<'a>| {
            let mut kept = metadata(at);
            if let Some(description) = at.get("spec").and_then(|spec| spec.get("description")) {
                kept.insert("description".to_owned(), description.node.json());
            }
            kept
        };
        let mut kept = told(&policy);
        if let Some(resolved) = truth("alertWhenResolved")? {
            kept.insert("alertWhenResolved".to_owned(), Json::Bool(resolved));
        }
        let both = [("policy", kept), ("condition", told(&condition))];
        let kept = both.into_iter().map(|(key, kept)| (key.to_owned(), Json::Object(kept))).collect();
        self.comment_text("alert", &name, &policy, None, kept);
        Ok(())
    }

    /// A document that stands in a list, or that is referred to there.
    fn resolved(&self, item: &At<'a>, field: &str, kind: &'static str) -> Result<At<'a>, Left> {
        match item.get(field) {
            None => Ok(item.clone()),
            Some(reference) => {
                let name = reference.need_text()?;
                let found = self.documents.get(&(kind, name.to_owned())).cloned();
                found.ok_or_else(|| reference.left(format!("no file defines the {kind} {name}")))
            }
        }
    }

    /// Makes the escalation policy that tells the targets of a policy at once; none when none of them is a sink.
    fn escalation(&mut self, policy: &At<'a>, spec: &At<'a>) -> Result<Option<String>, Left> {
        let name = ours(policy, "escalation").map_or_else(|| self.sql_name(policy), Ok)?;
        if self.made.contains_key(&("escalation policy", name.clone())) {
            return Ok(Some(name));
        }
        let mut sinks = Vec::new();
        for item in spec.get("notificationTargets").map(|list| list.items()).unwrap_or_default() {
            let reference = item.get("targetRef").and_then(|at| at.node.text());
            let is_there = reference
                .is_some_and(|name| !self.documents.contains_key(&("AlertNotificationTarget", name.to_owned())));
            if let (true, Some(name)) = (is_there, reference) {
                let name = self.reference("AlertNotificationTarget", name);
                self.note(&item, format!("no file defines this target: the sink {name} has to be there"));
                sinks.push(quoted(&name));
                continue;
            }
            let target = self.resolved(&item, "targetRef", "AlertNotificationTarget")?;
            let sink = self.sql_name(&target)?;
            match reference {
                // What was wrong with a document of its own has been told.
                Some(_) if !self.made.contains_key(&("sink", sink.clone())) => {}
                Some(_) => sinks.push(quoted(&sink)),
                None => match self.target(&target) {
                    Ok(sink) => sinks.push(quoted(&sink)),
                    Err(left) => self.left(left),
                },
            }
        }
        if sinks.is_empty() {
            self.note(spec, "the alert tells nobody: none of its targets is a sink");
            return Ok(None);
        }
        let steps = ours(policy, "steps").unwrap_or(format!("AFTER '0 min' NOTIFY {}", sinks.join(", ")));
        let text = format!("CREATE OR REPLACE ESCALATION POLICY {} ({steps})", quoted(&name));
        self.make("escalation policy", &name, text, policy)?;
        Ok(Some(name))
    }
}
