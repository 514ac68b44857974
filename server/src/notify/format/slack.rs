//! One text, as the incoming hooks of Slack take it, and those of Mattermost, Rocket.Chat and others.

use serde_json::{Value, json};

use crate::notify::story::{Story, cut};

/// Longer texts are cut by the receiver, in the middle of a mark.
const TEXT_MAX: usize = 3000;

/// The title, with a link where there is one, and the story.
pub(super) fn text(story: Story<'_>) -> Value {
    let url = story.text("/incident/url");
    // A bar would end the link, a blank or a bracket the URL.
    let link = url.filter(|url| !url.contains(['|', ' ', '<', '>']));
    let title = escape(&story.title());
    let title = match &link {
        Some(url) => format!("*<{}|{}>*", escape(url), title.replace('|', "/")),
        None => format!("*{title}*"),
    };
    let lines = story.lines();
    let lines = lines.iter().filter(|line| Some(*line) != link.as_ref()).map(|line| escape(&cut(line, TEXT_MAX / 10)));
    let text = std::iter::once(title).chain(lines).collect::<Vec<_>>().join("\n");
    json!({ "text": text })
}

/// What the receiver reads as marks.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::notify::story::tests::{later, opened};

    fn shown(event: &Value) -> String {
        text(Story::new(event))["text"].as_str().unwrap_or_default().to_owned()
    }

    #[test]
    fn an_opened_incident_is_told() {
        expect![[r#"
            *<https://plimsoll.example.com/incident/4711|[P1] checkout_slow: incident 4711 opened>*
            checkout_p95 is 2310 ms, expected 310 to 610, score 7.4, since 2026-05-01T10:02:00Z
            Service checkout, tier 0, owner payments_team
            Most of it in: region=eu 83 %
            checkout_avail: 41 % of the budget left, burning 18.2 times as fast as allowed
            Failing underneath: payments
            Changed before: CHG-88 (12 min)
            Known errors: 31 (82 %): restart &lt;payments&gt; &amp; wait
            Similar incidents: 4502; 4388
            Costs 1200 a minute"#]]
        .assert_eq(&shown(&opened()));
    }

    #[test]
    fn a_resolved_incident_is_told() {
        let resolved = shown(&later("resolved", "resolved", 4));
        expect!["*<https://plimsoll.example.com/incident/4711|[P1] checkout_slow: incident 4711 resolved>*"]
            .assert_eq(resolved.lines().next().unwrap_or_default());
    }

    #[test]
    fn nobody_is_called_by_a_name_in_the_data() {
        let event = json!({"signal": {"alert": "<!channel> & <@U1>", "kpi": "<!here>", "value": 1}});
        expect![[r#"
            *[P3] &lt;!channel&gt; &amp; &lt;@U1&gt;: incident changed*
            &lt;!here&gt; is 1"#]]
        .assert_eq(&shown(&event));
    }
}
