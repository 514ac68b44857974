//! An event (`incident_v1`, or a report, `report_v1`) read for people: one line, or the whole story. Whatever is missing is left out.

use serde_json::Value;

/// An event of any shape.
#[derive(Debug, Clone, Copy)]
pub(super) struct Story<'a>(&'a Value);

impl<'a> Story<'a> {
    pub(super) fn new(event: &'a Value) -> Story<'a> {
        Story(event)
    }

    /// The value at a JSON pointer, unless it is null.
    pub(super) fn value(self, pointer: &str) -> Option<&'a Value> {
        self.0.pointer(pointer).filter(|value| !value.is_null())
    }

    /// The text, number or truth value at a JSON pointer, as text that is not empty.
    pub(super) fn text(self, pointer: &str) -> Option<String> {
        self.value(pointer).and_then(plain)
    }

    /// The name of the report that this is, if it is one.
    pub(super) fn report(self) -> Option<String> {
        self.text("/report").filter(|_| self.text("/schema").as_deref() == Some("report_v1"))
    }

    /// The rows of a report, line by line.
    fn rows(self) -> Vec<String> {
        const MOST: usize = 50;
        let rows = self.value("/rows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let cell =
            |(name, value): (&String, &Value)| format!("{name}: {}", plain(value).unwrap_or_else(|| "-".to_owned()));
        let row = |row: &Value| row.as_object().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(", "));
        let mut lines: Vec<String> = rows.iter().take(MOST).filter_map(row).collect();
        let count = self.value("/count").and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
        if let Some(more) = count.and_then(|count| count.checked_sub(lines.len())).filter(|more| *more > 0) {
            lines.push(format!("and {more} rows more: SELECT body FROM sys.report_snapshot"));
        }
        lines
    }

    /// What happened: `opened`, `acknowledged`, `priority_changed`, `resolved`, `reopened`, or a later word.
    pub(super) fn verb(self) -> String {
        let event = self.text("/event").unwrap_or_default();
        let verb = event.rsplit('.').next().unwrap_or_default();
        if verb.is_empty() { "changed".to_owned() } else { verb.to_owned() }
    }

    /// Whether nothing is to be done any more.
    pub(super) fn is_over(self) -> bool {
        matches!(self.verb().as_str(), "resolved" | "closed")
            || matches!(self.text("/incident/state").as_deref(), Some("resolved" | "closed"))
    }

    /// 1 (worst) to 5; 3 where none is given.
    pub(super) fn priority(self) -> u64 {
        self.value("/incident/priority").and_then(Value::as_u64).map_or(3, |priority| priority.clamp(1, 5))
    }

    /// The word for the priority that most receivers know.
    pub(super) fn severity(self) -> &'static str {
        match self.priority() {
            1 => "critical",
            2 => "error",
            3 => "warning",
            _ => "info",
        }
    }

    /// The name of what is wrong: the alert, or else the key of the incident.
    pub(super) fn name(self) -> String {
        let names = ["/signal/alert", "/incident/key", "/service/name"];
        names.into_iter().find_map(|pointer| self.text(pointer)).unwrap_or_else(|| "incident".to_owned())
    }

    /// The incident in the words of other systems: the same for all its events, and only letters, digits, `-`, `_`, `.`.
    pub(super) fn correlation(self) -> String {
        let parts = match self.report() {
            Some(name) => ["report".to_owned(), name],
            None => ["/incident/key", "/incident/id"].map(|pointer| self.text(pointer).unwrap_or_default()),
        };
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let [key, id] = parts.map(|part| part.chars().map(plain).take(60).collect::<String>());
        format!("plimsoll-{key}-{id}")
    }

    /// Such as `[P1] checkout_slow: incident 4711 opened`.
    pub(super) fn title(self) -> String {
        if let Some(name) = self.report() {
            let day = |pointer| self.text(pointer).unwrap_or_default();
            return line(&format!("Report {name}, {} to {}", day("/period/start"), day("/period/end")));
        }
        let incident = self.text("/incident/id").map_or_else(|| "incident".to_owned(), |id| format!("incident {id}"));
        // What no alert has opened is known by its title.
        let what = ["/signal/alert", "/incident/title"].into_iter().find_map(|pointer| self.text(pointer));
        let what = what.unwrap_or_else(|| self.name());
        line(&format!("[P{}] {what}: {incident} {}", self.priority(), self.verb().replace('_', " ")))
    }

    /// Such as `checkout_p95 is 2310 ms, expected 310 to 610`.
    pub(super) fn signal(self) -> Option<String> {
        let kpi = self.text("/signal/kpi").or_else(|| self.text("/signal/alert"))?;
        let mut text = format!("{kpi} is {}", self.text("/signal/value")?);
        if let Some(unit) = self.text("/signal/unit") {
            text += &format!(" {unit}");
        }
        match (self.text("/signal/lower"), self.text("/signal/upper")) {
            (Some(lower), Some(upper)) => text += &format!(", expected {lower} to {upper}"),
            (Some(lower), None) => text += &format!(", expected at least {lower}"),
            (None, Some(upper)) => text += &format!(", expected at most {upper}"),
            (None, None) => {}
        }
        Some(line(&text))
    }

    /// The whole story, line by line, without the title.
    pub(super) fn lines(self) -> Vec<String> {
        if self.report().is_some() {
            return self.rows().iter().map(|text| line(text)).filter(|text| !text.is_empty()).collect();
        }
        let since = self.text("/signal/since").map(|since| format!("since {since}"));
        let score = self.text("/signal/score").map(|score| format!("score {score}"));
        let service = self.text("/service/name").map(|name| format!("Service {name}"));
        let tier = self.text("/service/tier").map(|tier| format!("tier {tier}"));
        let owner = self.text("/service/owner").map(|owner| format!("owner {owner}"));
        let left = self.percent("/slo/budget_remaining").map(|left| format!("{left} of the budget left"));
        let burn = self.text("/slo/burn_1h").map(|burn| format!("burning {burn} times as fast as allowed"));
        let slo = left.is_some() || burn.is_some();
        let slo = self.text("/slo/name").filter(|_| slo).map(|name| format!("{name}:"));
        let lines = [
            joined([self.signal(), score, since], ", "),
            joined([service, tier, owner], ", "),
            self.items("/signal/top_dimensions", "Most of it in", |item| {
                Some(joined([item.text("/label"), item.percent("/share")], " "))
            }),
            joined([slo, (left.is_some() || burn.is_some()).then(|| joined([left, burn], ", "))], " "),
            self.items("/service/dependencies_firing", "Failing underneath", |item| plain(item.0)),
            self.items("/context/recent_changes", "Changed before", |item| {
                let minutes = item.text("/minutes_before").map(|minutes| format!("({minutes} min)"));
                Some(joined([item.text("/id"), minutes], " "))
            }),
            self.items("/context/known_errors", "Known errors", |item| {
                let sure = item.percent("/confidence").map(|confidence| format!("({confidence})"));
                let number = joined([item.text("/id"), sure], " ");
                Some(joined([Some(number), item.text("/workaround")], ": "))
            }),
            self.items("/context/similar_incidents", "Similar incidents", |item| plain(item.0)),
            self.text("/context/maintenance").map(|text| format!("Maintenance: {text}")).unwrap_or_default(),
            self.text("/context/cost_per_minute").map(|cost| format!("Costs {cost} a minute")).unwrap_or_default(),
            self.text("/incident/url").unwrap_or_default(),
        ];
        lines.iter().map(|text| line(text)).filter(|text| !text.is_empty()).collect()
    }

    fn percent(self, pointer: &str) -> Option<String> {
        let share = self.value(pointer)?.as_f64()?;
        // Rounded to a tenth, and shown without it where it is nought.
        Some(format!("{} %", (share * 1000.0).round() / 10.0))
    }

    fn items(self, pointer: &str, what: &str, text: impl Fn(Story<'_>) -> Option<String>) -> String {
        const MOST: usize = 5;
        let items = self.value(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let texts = items.iter().filter_map(|item| text(Story(item))).filter(|text| !text.is_empty());
        let texts = texts.take(MOST).collect::<Vec<_>>();
        if texts.is_empty() { String::new() } else { format!("{what}: {}", texts.join("; ")) }
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn joined<const N: usize>(parts: [Option<String>; N], between: &str) -> String {
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(between)
}

/// A text on one line: names and workarounds are what people wrote.
fn line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The beginning of a text, where a receiver takes only so many characters.
pub(super) fn cut(text: &str, longest: usize) -> String {
    text.char_indices().nth(longest).map_or_else(|| text.to_owned(), |(at, _)| text[..at].to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use expect_test::expect;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// An event with everything in it.
    pub(in super::super) fn opened() -> Value {
        json!({
            "schema": "incident_v1", "event_id": "01968b2e-6f00-7000-8000-000000000001", "event": "incident.opened",
            "sequence": 1,
            "incident": {"id": 4711, "key": "checkout", "state": "new", "priority": 1, "impact": 1, "urgency": 1,
                "opened_at": "2026-05-01T10:07:00Z", "url": "https://plimsoll.example.com/incident/4711"},
            "service": {"name": "checkout", "tier": 0, "owner": "payments_team", "dependencies_firing": ["payments"]},
            "signal": {"alert": "checkout_slow", "kpi": "checkout_p95", "version": 7, "unit": "ms", "value": 2310,
                "lower": 310, "expected": 420, "upper": 610, "score": 7.4, "for": "5m",
                "since": "2026-05-01T10:02:00Z",
                "points": [["2026-05-01T09:37:00Z", 415], ["2026-05-01T10:07:00Z", 2310]],
                "top_dimensions": [{"label": "region=eu", "share": 0.83}],
                "baseline": {"slot": "FRI 10h", "model": "2026-04-28", "override": null}},
            "slo": {"name": "checkout_avail", "budget_remaining": 0.41, "burn_1h": 18.2},
            "context": {"recent_changes": [{"id": "CHG-88", "minutes_before": 12}],
                "known_errors": [{"id": 31, "confidence": 0.82, "workaround": "restart <payments> & wait"}],
                "similar_incidents": [4502, 4388], "maintenance": null, "cost_per_minute": 1200,
                "lineage": "lineage('checkout_p95')", "data_complete_until": "2026-05-01T10:06:00Z"}
        })
    }

    /// A later event of the same incident.
    pub(in super::super) fn later(verb: &str, state: &str, sequence: u32) -> Value {
        let mut event = opened();
        event["event_id"] = json!(format!("01968b2e-6f00-7000-8000-00000000000{sequence}"));
        event["event"] = json!(format!("incident.{verb}"));
        event["sequence"] = json!(sequence);
        event["incident"]["state"] = json!(state);
        event
    }

    /// Any JSON, and now and then something like an event.
    pub(in super::super) fn any_event() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from)
        ];
        let names = prop::sample::select(vec![
            "event",
            "incident",
            "id",
            "key",
            "state",
            "priority",
            "service",
            "signal",
            "alert",
            "value",
            "slo",
            "name",
            "context",
            "known_errors",
            "opened_at",
            "url",
            "top_dimensions",
            "share",
            "impact",
        ]);
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn the_story_is_told_in_plain_lines() {
        let event = opened();
        let story = Story::new(&event);
        expect!["[P1] checkout_slow: incident 4711 opened"].assert_eq(&story.title());
        expect![[r#"
            checkout_p95 is 2310 ms, expected 310 to 610, score 7.4, since 2026-05-01T10:02:00Z
            Service checkout, tier 0, owner payments_team
            Most of it in: region=eu 83 %
            checkout_avail: 41 % of the budget left, burning 18.2 times as fast as allowed
            Failing underneath: payments
            Changed before: CHG-88 (12 min)
            Known errors: 31 (82 %): restart <payments> & wait
            Similar incidents: 4502; 4388
            Costs 1200 a minute
            https://plimsoll.example.com/incident/4711"#]]
        .assert_eq(&story.lines().join("\n"));
        assert_eq!(story.correlation(), "plimsoll-checkout-4711");
    }

    #[test]
    fn a_report_is_told_row_by_row() {
        let event = json!({
            "schema": "report_v1", "event": "report.kept", "report": "monthly", "count": 3,
            "period": {"start": "2026-05-01T00:00:00Z", "end": "2026-06-01T00:00:00Z"},
            "rows": [{"service": "checkout", "cost": 1200.5}, {"service": "payments", "cost": null}]
        });
        let story = Story::new(&event);
        expect!["Report monthly, 2026-05-01T00:00:00Z to 2026-06-01T00:00:00Z"].assert_eq(&story.title());
        expect![[r#"
            cost: 1200.5, service: checkout
            cost: -, service: payments
            and 1 rows more: SELECT body FROM sys.report_snapshot"#]]
        .assert_eq(&story.lines().join("\n"));
        assert_eq!(story.correlation(), "plimsoll-report-monthly");
    }

    #[test]
    fn a_later_event_is_told_by_its_verb() {
        let event = later("priority_changed", "acknowledged", 3);
        expect!["[P1] checkout_slow: incident 4711 priority changed"].assert_eq(&Story::new(&event).title());
        assert!(!Story::new(&event).is_over());
        assert!(Story::new(&later("resolved", "resolved", 4)).is_over());
    }

    #[test]
    fn what_is_missing_is_left_out() {
        let event = json!({"incident": {"id": 9}, "signal": {"kpi": "p95", "value": 3, "upper": 2.5}});
        let story = Story::new(&event);
        expect!["[P3] incident: incident 9 changed"].assert_eq(&story.title());
        assert_eq!(story.lines(), ["p95 is 3, expected at most 2.5"]);
        assert!(Story::new(&Value::Null).lines().is_empty());
        assert_eq!(Story::new(&json!({"signal": {"alert": "two\r\nlines: x"}})).name(), "two\r\nlines: x");
        assert_eq!(Story::new(&json!({"signal": {"alert": "a\r\nBcc: x"}})).title(), "[P3] a Bcc: x: incident changed");
        assert_eq!(
            Story::new(&json!({"incident": {"key": "a^ORb c\"", "id": 1}})).correlation(),
            "plimsoll-a-ORb-c--1"
        );
    }

    proptest! {
        #[test]
        fn any_event_has_a_story_of_single_lines(event in any_event()) {
            let story = Story::new(&event);
            for text in story.lines().into_iter().chain([story.title(), story.correlation()]) {
                prop_assert!(!text.is_empty() && !text.contains(['\n', '\r']));
            }
        }
    }
}
