//! Statements come back from their canonical text, wrong ones say where and why, and no text is too much.

use std::fmt::Write as _;

use expect_test::expect_file;
use proptest::prelude::*;

use super::alerting::{Clear, Step};
use super::expression::Expression;
use super::promise::Part;
use super::*;

fn parsed(text: &str) -> Statement {
    match parse_statement(text) {
        Some(Ok(statement)) => statement,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn statements_have_a_canonical_text() {
    let cases = [
        ("create service Checkout", "CREATE SERVICE checkout TIER 2"),
        (
            "CREATE SERVICE checkout TIER 0 OWNER payments_team DEPENDS ON (payments HARD, cart, \"Odd one\" SOFT)
             WITH (cost_per_minute = 1200.50, currency = EUR, match = '{\"app\":\"checkout\"}')",
            "CREATE SERVICE checkout TIER 0 OWNER payments_team DEPENDS ON (payments HARD, cart HARD, \"Odd one\" SOFT) \
             WITH (cost_per_minute = 1200.50, currency = 'eur', match = '{\"app\":\"checkout\"}')",
        ),
        (
            "CREATE CALENDAR support AT TIME ZONE 'Europe/Berlin' AS ('MO-FR 08:00-18:00') -- and so on",
            "CREATE CALENDAR support AT TIME ZONE 'Europe/Berlin' AS ('MO-FR 08:00-18:00')",
        ),
        (
            "/* a /* nested */ one */ CREATE OR REPLACE KPI kpi ON SERVICE service AS SELECT time, value AS value,
             $tag$WITH (x)$tag$ FROM \"with\" WHERE note = 'it''s WITH (' WITH (unit = 'ms', better = low)",
            "CREATE OR REPLACE KPI kpi ON SERVICE service AS SELECT time, value AS value,
             $tag$WITH (x)$tag$ FROM \"with\" WHERE note = 'it''s WITH (' WITH (unit = 'ms', better = 'low')",
        ),
        (
            "CREATE KPI k AS WITH x AS (SELECT 1 AS value) SELECT now() AS time, value FROM x",
            "CREATE KPI k AS WITH x AS (SELECT 1 AS value) SELECT now() AS time, value FROM x",
        ),
        (
            "CREATE BASELINE IF NOT EXISTS b ON KPI kpi SEASON (hour_of_week, day_of_month) WITH (band = .99)",
            "CREATE BASELINE IF NOT EXISTS b ON KPI kpi SEASON (hour_of_week, day_of_month) WITH (band = .99)",
        ),
        (
            "CREATE SLO s OBJECTIVE 99.90% OVER ROLLING '30 days' AS SELECT time, good, total FROM kpi.r",
            "CREATE SLO s OBJECTIVE 99.9% OVER ROLLING '30 days' AS SELECT time, good, total FROM kpi.r",
        ),
        (
            "CREATE SLO s ON SERVICE a OBJECTIVE 95% OVER '1 month' AT TIME ZONE 'UTC' AS SELECT 1 WITH (exclude = maintenance)",
            "CREATE SLO s ON SERVICE a OBJECTIVE 95% OVER '1 month' AT TIME ZONE 'UTC' AS SELECT 1 WITH (exclude = 'maintenance')",
        ),
        (
            "CREATE SLA gold FOR CUSTOMER 'acme' PERIOD '1 month' CALENDAR c (a >= 99.9%, b >= 95%)",
            "CREATE SLA gold FOR CUSTOMER 'acme' PERIOD '1 month' CALENDAR c (a >= 99.9%, b >= 95%)",
        ),
        ("CREATE KPI k AS SELECT 1 -- a note\n WITH (unit = 'ms')", "CREATE KPI k AS SELECT 1 WITH (unit = 'ms')"),
        (
            "CREATE KPI k AS SELECT 1 -- it's\n, 2 /* WITH ( */ WITH (unit = E'\\u00b5s')",
            "CREATE KPI k AS SELECT 1 -- it's\n, 2 WITH (unit = 'µs')",
        ),
        ("ALTER SERVICE a SET (tier = 1, owner = 'ops')", "ALTER SERVICE a SET (tier = 1, owner = 'ops')"),
        ("ALTER SERVICE a RESET (owner, tier)", "ALTER SERVICE a RESET (owner, tier)"),
        ("ALTER KPI k SET (lateness = '2 min')", "ALTER KPI k SET (lateness = '2 min')"),
        ("ALTER KPI k RESET (lateness, unit)", "ALTER KPI k RESET (lateness, unit)"),
        (
            "ALTER BASELINE b OVERRIDE (upper = 900, score_threshold = 4) WHERE region = 'eu' and \"App\" = 'x'
             REASON 'sale, JIRA-9' UNTIL '2026-11-30'",
            "ALTER BASELINE b OVERRIDE (upper = 900, score_threshold = 4) WHERE region = 'eu' AND \"App\" = 'x' \
             REASON 'sale, JIRA-9' UNTIL '2026-11-30'",
        ),
        (
            "ALTER BASELINE b OVERRIDE (lower=-1.5) REASON 'x' UNTIL 'y'",
            "ALTER BASELINE b OVERRIDE (lower = -1.5) REASON 'x' UNTIL 'y'",
        ),
        ("DROP SLO IF EXISTS a, \"B\" CASCADE", "DROP SLO IF EXISTS a, \"B\" CASCADE"),
        ("DROP SLO a RESTRICT", "DROP SLO a"),
        ("COMMENT ON SLA gold IS 'it''s'", "COMMENT ON SLA gold IS 'it''s'"),
        ("COMMENT ON SLA gold IS NULL", "COMMENT ON SLA gold IS NULL"),
        ("SHOW CREATE TABLE t", "SHOW CREATE TABLE t"),
        ("SHOW LINEAGE FOR KPI k", "SHOW LINEAGE FOR KPI k"),
        ("EVALUATE SLA gold FOR PERIOD '2026-10'", "EVALUATE SLA gold FOR PERIOD '2026-10'"),
        (
            "CREATE SINK pager WITH (connector = webhook, url = 'http://x', secret = 'whsec_1')",
            "CREATE SINK pager WITH (connector = 'webhook', url = 'http://x', secret = 'whsec_1')",
        ),
        (
            "create escalation policy p (after '0 min' notify a, b, after '10 min' notify c when not acknowledged \
             and priority in (1, 2), after '1 h' notify a) with (repeat = 3)",
            "CREATE ESCALATION POLICY p (AFTER '0 min' NOTIFY a, b, AFTER '10 min' NOTIFY c WHEN not acknowledged \
             and priority in (1, 2), AFTER '1 h' NOTIFY a) WITH (repeat = 3)",
        ),
        (
            "CREATE ALERT a AS SELECT time, value, CASE WHEN value > 1 THEN 'x' END AS kind FROM kpi.k WHEN value > 5 -- much\n",
            "CREATE ALERT a AS SELECT time, value, CASE WHEN value > 1 THEN 'x' END AS kind FROM kpi.k WHEN value > 5",
        ),
        (
            "CREATE ALERT a ON SERVICE s AS WITH x AS (SELECT 1 WHEN) SELECT substring(host FOR 3) AS severity FROM x \
             LABELS (host, \"Region\") WHEN score >= tier_threshold('s') AND value > upper FOR '5 min' \
             ESCALATE TO p SEVERITY CASE WHEN score > 6 THEN 'critical' ELSE 'major' END KEEP FIRING FOR '5 min' \
             CLEAR WHEN score < 1.5 FOR '10 min' WITH (ticket = incident, dedup_key = '{service}')",
            "CREATE ALERT a ON SERVICE s AS WITH x AS (SELECT 1 WHEN) SELECT substring(host FOR 3) AS severity FROM x \
             LABELS (host, \"Region\") WHEN score >= tier_threshold('s') AND value > upper FOR '5 min' \
             CLEAR WHEN score < 1.5 FOR '10 min' KEEP FIRING FOR '5 min' \
             SEVERITY CASE WHEN score > 6 THEN 'critical' ELSE 'major' END ESCALATE TO p \
             WITH (ticket = 'incident', dedup_key = '{service}')",
        ),
        ("DROP ESCALATION POLICY IF EXISTS p, q CASCADE", "DROP ESCALATION POLICY IF EXISTS p, q CASCADE"),
        ("SHOW CREATE ESCALATION POLICY p", "SHOW CREATE ESCALATION POLICY p"),
        ("COMMENT ON ESCALATION POLICY p IS 'x'", "COMMENT ON ESCALATION POLICY p IS 'x'"),
        ("ALTER ALERT a SET (enabled = false)", "ALTER ALERT a SET (enabled = false)"),
        ("call acknowledge(4711, note => 'it''s me')", "CALL acknowledge(4711, note => 'it''s me')"),
        ("CALL tick()", "CALL tick()"),
        (
            "CREATE ALERT a AS SELECT t.when, x AS case, t.end AS labels FROM when t WHERE severity > t.from WHEN value > t.for LABELS (x)",
            "CREATE ALERT a AS SELECT t.when, x AS case, t.end AS labels FROM when t WHERE severity > t.from LABELS (x) WHEN value > t.for",
        ),
        (
            "CREATE ALERT a AS (SELECT 1) SEVERITY 'minor' ESCALATE TO escalate KEEP FIRING FOR '1 h' CLEAR WHEN clear FOR 'x' \
             WHEN severity FOR '5 min'",
            "CREATE ALERT a AS (SELECT 1) WHEN severity FOR '5 min' CLEAR WHEN clear FOR 'x' KEEP FIRING FOR '1 h' \
             SEVERITY 'minor' ESCALATE TO escalate",
        ),
        (
            "CREATE ALERT a AS SELECT 1 WHEN severity = 'x' AND value > keep OR NOT clear AND (SELECT true WHERE for) SEVERITY severity",
            "CREATE ALERT a AS SELECT 1 WHEN severity = 'x' AND value > keep OR NOT clear AND (SELECT true WHERE for) SEVERITY severity",
        ),
        (
            "CREATE ESCALATION POLICY after (AFTER '0 min' NOTIFY after WHEN after > 1, AFTER '1 h' NOTIFY notify)",
            "CREATE ESCALATION POLICY after (AFTER '0 min' NOTIFY after WHEN after > 1, AFTER '1 h' NOTIFY notify)",
        ),
        (
            "backtest alert checkout_slow between '2026-01-01' and '2026-07-01' with (max_delay = '15 min', lead = '30 min', score = ALL)",
            "BACKTEST ALERT checkout_slow BETWEEN '2026-01-01' AND '2026-07-01' WITH (max_delay = '15 min', lead = '30 min', score = 'all')",
        ),
        (
            "BACKTEST ALERT a BETWEEN 'x' AND 'y' SWEEP (score_threshold IN (2, 2.5, .5), for_duration IN ('0 min', '5 min')) \
             AGAINST (SELECT opened_at, resolved_at FROM ops.incident WHERE service IN ('checkout') -- all )\n)",
            "BACKTEST ALERT a BETWEEN 'x' AND 'y' AGAINST (SELECT opened_at, resolved_at FROM ops.incident WHERE service IN ('checkout')) \
             SWEEP (score_threshold IN (2, 2.5, .5), for_duration IN ('0 min', '5 min'))",
        ),
        ("explain alert Alert at '2026-05-01 10:07'", "EXPLAIN ALERT alert AT '2026-05-01 10:07'"),
        (
            "SUBSCRIBE TO (WITH a AS (SELECT 1) SELECT case when (true) then ')' end FROM a) with (snapshot = on, min_interval = '1 s')",
            "SUBSCRIBE TO (WITH a AS (SELECT 1) SELECT case when (true) then ')' end FROM a) WITH (snapshot = true, min_interval = '1 s')",
        ),
        ("SUBSCRIBE TO ((SELECT 1))", "SUBSCRIBE TO ((SELECT 1))"),
        ("CALL x(-1.5, true, NULL)", "CALL x(-1.5, true, NULL)"),
    ];
    for (written, canonical) in cases {
        let statement = parsed(written);
        assert_eq!(statement.to_string(), canonical);
        assert_eq!(parsed(canonical), statement);
    }
}

/// A comment behind a query hid its options from whoever read the canonical text: the catalogue, when it was opened again.
#[test]
fn a_comment_behind_a_query_hides_no_options() {
    for text in [
        "CREATE KPI k AS SELECT 1 -- note\n WITH (unit = 'ms')",
        "CREATE SLO s OBJECTIVE 99% OVER '1 month' AS SELECT 1 -- it's\n WITH (min_events = 5)",
        "CREATE KPI k AS SELECT 1 /* a */ -- b\n /* c */ WITH (unit = 'ms') -- d",
    ] {
        let statement = parsed(text);
        assert_eq!(parsed(&statement.to_string()), statement, "{text}");
    }
    let Statement::Create { mut object, .. } = parsed("CREATE KPI k AS SELECT 1 -- note") else { panic!("no CREATE") };
    let Statement::AlterSet { set, reset, .. } = parsed("ALTER KPI k SET (unit = 'ms')") else { panic!("no ALTER") };
    object.change_options(&set, &reset);
    assert_eq!(object.to_string(), "CREATE KPI k AS SELECT 1 WITH (unit = 'ms')");
}

#[test]
fn the_tier_and_owner_of_a_service_can_be_altered() {
    let Statement::Create { mut object, .. } =
        parsed("CREATE SERVICE a TIER 0 OWNER me WITH (currency = 'EUR', escalation = 'e')")
    else {
        panic!("no CREATE")
    };
    let mut altered = |text: &str| {
        let Statement::AlterSet { set, reset, .. } = parsed(text) else { panic!("no ALTER: {text}") };
        object.change_options(&set, &reset);
        object.to_string()
    };
    assert_eq!(
        altered("ALTER SERVICE a SET (owner = 'you', tier = 3, currency = 'USD')"),
        "CREATE SERVICE a TIER 3 OWNER you WITH (currency = 'USD', escalation = 'e')"
    );
    assert_eq!(
        altered("ALTER SERVICE a RESET (tier, owner, currency)"),
        "CREATE SERVICE a TIER 2 WITH (escalation = 'e')"
    );
}

#[test]
fn secrets_are_masked_where_a_sink_is_shown_and_kept_where_it_is_stored() {
    let text = "CREATE SINK s WITH (url = 'https://x', secret = 'a', secret_previous = 'b', token = 'c', username = 'u', \
                password = 'd')";
    let Statement::Create { mut object, .. } = parsed(text) else { panic!("no CREATE") };
    assert_eq!(object.to_string(), text);
    let masked = "CREATE SINK s WITH (url = 'https://x', secret = '***', secret_previous = '***', token = '***', \
                  username = 'u', password = '***')";
    assert_eq!(object.masked().to_string(), masked);
    assert_eq!(object.to_string(), text);
    let Statement::AlterSet { set, reset, .. } = parsed("ALTER SINK s SET (token = 'e')") else { panic!("no ALTER") };
    object.change_options(&set, &reset);
    assert!(object.to_string().contains("token = 'e'"));
    assert_eq!(object.masked().to_string(), masked);
}

#[test]
fn command_tags_are_those_of_what_comes_back() {
    for (text, tag) in [
        ("CREATE OR REPLACE ESCALATION POLICY p (AFTER '0 min' NOTIFY a)", "CREATE ESCALATION POLICY"),
        ("ALTER ALERT a RESET (repeat)", "ALTER ALERT"),
        ("DROP SINK a", "DROP SINK"),
        ("BACKTEST ALERT a BETWEEN 'x' AND 'y'", "SELECT"),
        ("EXPLAIN ALERT a AT 'x'", "SELECT"),
        ("SUBSCRIBE TO (SELECT 1)", "SUBSCRIBE"),
    ] {
        assert_eq!(parsed(text).tag(), tag, "{text}");
    }
}

/// Errors of planning point into the statement.
#[test]
fn queries_and_conditions_know_where_they_stood() {
    let stood = |text: &str, part: &Query| {
        let rest: String = text.chars().skip(part.offset).collect();
        assert!(rest.starts_with(&part.text), "{text}: {part:?}");
    };
    let text = "/* ü */ CREATE ALERT a AS SELECT 'é' LABELS (x) SEVERITY 'ö' WHEN ((v)) FOR '1 s' CLEAR WHEN w -- c";
    let Statement::Create { object, .. } = parsed(text) else { panic!("no CREATE") };
    let Definition::Alert(Alert { query, when, severity: Some(severity), clear: Some(clear), .. }) = *object else {
        panic!("no alert with all of it")
    };
    for (part, written) in [(query, "SELECT 'é'"), (when, "((v))"), (severity, "'ö'"), (clear.when, "w")] {
        assert_eq!(part.text, written);
        stood(text, &part);
    }
    let text = "BACKTEST ALERT \"ü\" BETWEEN 'ä' AND 'y' AGAINST ( SELECT 1 /* ) */ )";
    let Statement::Backtest(Backtest { against: Some(against), .. }) = parsed(text) else { panic!("no BACKTEST") };
    assert_eq!(against.text, "SELECT 1");
    stood(text, &against);
}

#[test]
fn escapes_in_texts_are_postgresqls() {
    let cases = [
        (r"\b\f\n\r\t", "\u{8}\u{c}\n\r\t"),
        (r"\x41\101\u0042\U0001F600", "AAB😀"),
        (r"\xc3\xa4", "ä"),
        (r"a''b\'c\\\q", "a'b'c\\q"),
    ];
    for (escaped, meant) in cases {
        let statement = parsed(&format!("COMMENT ON KPI k IS E'{escaped}'"));
        let text = Some(meant.to_owned());
        assert_eq!(statement, Statement::Comment { kind: Kind::Kpi, name: "k".to_owned(), text });
    }
    for wrong in [r"\xff", r"\u12", r"\ud800", r"\0"] {
        let refused = parse_statement(&format!("COMMENT ON KPI k IS E'{wrong}'"));
        assert!(matches!(refused, Some(Err(SyntaxError { offset: 20, .. }))), "{wrong}: {refused:?}");
    }
}

#[test]
fn what_is_not_closed_belongs_to_the_statement_that_it_stands_in() {
    for text in ["/* a */ COMMENT ON KPI k IS 'open", "SHOW LINEAGE FOR KPI \"open", "-- c\nDROP SLO a /* open"] {
        assert!(matches!(parse_statement(text), Some(Err(_))), "{text}");
    }
    for text in ["COMMENT ON TABLE k IS 'open", "'open CREATE KPI k", "CREATE 'open", "/* open CREATE KPI"] {
        assert_eq!(parse_statement(text), None, "{text}");
    }
}

#[test]
fn other_statements_are_sql() {
    for text in [
        "",
        "SELECT 1",
        "CREATE TABLE kpi (a int)",
        "DROP VIEW slo",
        "COMMENT ON TABLE t IS 'x'",
        "SHOW all",
        "ALTER TABLE t SET (retention = '1 day')",
        "CREATE OR REPLACE VIEW v AS SELECT 1",
        "SELECT 'open",
        "create",
        "EXPLAIN SELECT 1",
        "EXPLAIN (ANALYZE) SELECT * FROM alert",
        "SELECT * FROM backtest WHERE subscribe",
    ] {
        assert_eq!(parse_statement(text), None, "{text}");
    }
}

#[test]
fn wrong_statements_say_where_and_why() {
    let cases = include_str!("wrong.txt");
    let mut shown = String::new();
    for text in cases.lines() {
        let Some(Err(SyntaxError { message, offset, hint })) = parse_statement(text) else {
            panic!("accepted: {text}")
        };
        writeln!(shown, "{text}\n{:>at$}\n{message}\n{}\n", "^", hint.unwrap_or_default(), at = offset + 1).unwrap();
    }
    expect_file!["wrong.expected.txt"].assert_eq(&shown);
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_][a-z0-9_]{0,8}", "(kpi|slo|with|select|on|service|season|objective)", "[A-Z \"ü.]{1,6}"]
}

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 '\"%\\\\-]{0,12}"
}

fn query() -> impl Strategy<Value = Query> {
    let texts = prop_oneof![
        Just("SELECT time, value FROM t"),
        Just("SELECT 'WITH (' AS a, (SELECT 1 WHERE x IN (1, 2)) FROM \"with\" WHERE b % 2 = 0"),
        Just("WITH a AS (SELECT 1) SELECT * FROM a /* x */ ORDER BY 1"),
        Just("SELECT 1 -- WITH (\n, 2"),
    ];
    texts.prop_map(|text| Query { text: text.to_owned(), offset: 0 })
}

fn percent() -> impl Strategy<Value = Percent> {
    (1u32..100, 0u32..1_000_000)
        .prop_map(|(whole, part)| Percent::read(&format!("{whole}.{part:06}")).unwrap())
        .prop_filter("below a hundred", |percent| percent.parts() < Percent::WHOLE)
}

fn options(known: Vec<(&'static str, BoxedStrategy<OptionValue>)>) -> BoxedStrategy<Options> {
    let maybe = |(name, value): (&'static str, BoxedStrategy<OptionValue>)| {
        prop::option::of(value).prop_map(move |value| value.map(|value| (name.to_owned(), value)))
    };
    let all: Vec<_> = known.into_iter().map(maybe).collect();
    all.prop_map(|given| Options::given(given.into_iter().flatten().collect())).boxed()
}

fn any_text() -> BoxedStrategy<OptionValue> {
    text().prop_map(OptionValue::Text).boxed()
}

fn service() -> impl Strategy<Value = Definition> {
    let dependency = (name(), any::<bool>()).prop_map(|(service, is_hard)| Dependency { service, is_hard });
    let cost = (0u32..10_000, 0u32..100).prop_map(|(a, b)| OptionValue::Number(format!("{a}.{b}"))).boxed();
    let options = options(vec![("cost_per_minute", cost), ("currency", any_text()), ("match", any_text())]);
    (name(), 0u8..4, prop::option::of(name()), prop::collection::vec(dependency, 0..4), options).prop_map(
        |(name, tier, owner, depends, options)| Definition::Service(Service { name, tier, owner, depends, options }),
    )
}

fn definition() -> BoxedStrategy<Definition> {
    let calendar = (name(), text(), prop::collection::vec(text(), 1..4), options(vec![("holidays", any_text())]))
        .prop_map(|(name, zone, windows, options)| Definition::Calendar(Calendar { name, zone, windows, options }));
    let kpi = (name(), prop::option::of(name()), query(), options(vec![("unit", any_text()), ("step", any_text())]))
        .prop_map(|(name, service, query, options)| Definition::Kpi(Kpi { name, service, query, options }));
    let season = prop_oneof![Just(Season::HourOfWeek), Just(Season::DayOfMonth), Just(Season::None)];
    let learns = any::<bool>().prop_map(OptionValue::Truth).boxed();
    let baseline =
        (name(), name(), prop::collection::vec(season, 0..3), options(vec![("learn_in_maintenance", learns)]))
            .prop_map(|(name, kpi, season, options)| Definition::Baseline(Baseline { name, kpi, season, options }));
    let window = prop_oneof![
        text().prop_map(Window::Rolling),
        (text(), prop::option::of(text())).prop_map(|(period, zone)| Window::Calendar { period, zone }),
    ];
    let part = (name(), 1u32..1000).prop_map(|(slo, weight)| Part { slo, weight: weight.to_string() });
    let parts = prop::collection::vec(part, 0..3).prop_filter("once each", |parts| {
        parts.iter().enumerate().all(|(at, part)| parts[..at].iter().all(|other| other.slo != part.slo))
    });
    let slo_options = options(vec![("lateness", any_text()), ("slice", any_text())]);
    let slo = (name(), prop::option::of(name()), percent(), window, (parts, query()), slo_options).prop_map(
        |(name, service, objective, window, (parts, query), options)| {
            let mut slo = Slo { name, service, objective, window, parts, query, options };
            slo.compose();
            Definition::Slo(slo)
        },
    );
    let target = (name(), percent()).prop_map(|(slo, at_least)| Target { slo, at_least });
    let targets = prop::collection::vec(target, 1..4).prop_filter("once each", |targets| {
        targets.iter().enumerate().all(|(at, target)| targets[..at].iter().all(|other| other.slo != target.slo))
    });
    let sla = (name(), text(), text(), prop::option::of(name()), targets, options(vec![("credits", any_text())]))
        .prop_map(|(name, customer, period, calendar, targets, options)| {
            Definition::Sla(Sla { name, customer, period, calendar, targets, options })
        });
    let sink = (name(), options(vec![("url", any_text()), ("secret", any_text())]))
        .prop_map(|(name, options)| Definition::Sink(Sink { name, options }));
    let step = (text(), prop::collection::vec(plain_name(), 1..3), prop::option::of(condition()))
        .prop_map(|(after, notify, when)| Step { after, notify, when });
    let policy = (name(), prop::collection::vec(step, 1..4), options(vec![("calendar", any_text())]))
        .prop_map(|(name, steps, options)| Definition::Policy(Policy { name, steps, options }));
    let all = [calendar.boxed(), kpi.boxed(), baseline.boxed(), slo.boxed(), sla.boxed(), sink.boxed(), policy.boxed()];
    proptest::strategy::Union::new(all.into_iter().chain([service().boxed(), alert().boxed()])).boxed()
}

/// A name that is no word of a list of sinks.
fn plain_name() -> impl Strategy<Value = String> {
    name().prop_filter("not AFTER", |name| name != "after")
}

fn condition() -> impl Strategy<Value = Expression> {
    let texts = prop_oneof![
        Just("value > 5"),
        Just("severity"),
        Just("t.for > keep AND clear IS NOT NULL /* FOR */ OR end = 'x'"),
        Just("labels ? 'a' AND score >= tier_threshold('s')"),
        Just("NOT acknowledged AND severity = 'critical'"),
        Just("CASE WHEN a THEN b ELSE c END IN (1, 2) -- WITH (\n OR d"),
        Just("substring(host FOR 3) = 'FOR' AND \"for\" > (SELECT 1 WHERE x)"),
    ];
    texts.prop_map(|text| Query { text: text.to_owned(), offset: 0 })
}

fn alert() -> impl Strategy<Value = Definition> {
    let span = || prop::option::of(text());
    let clear = prop::option::of((condition(), span()).prop_map(|(when, hold)| Clear { when, hold }));
    let what = (name(), prop::option::of(name()), query(), prop::option::of(prop::collection::vec(name(), 1..3)));
    let options = options(vec![("dedup_key", any_text()), ("repeat", any_text())]);
    let rest = (span(), prop::option::of(condition()), prop::option::of(name()), options);
    (what, condition(), span(), clear, rest).prop_map(|((name, service, query, labels), when, hold, clear, rest)| {
        let (keep_firing, severity, escalate, options) = rest;
        Definition::Alert(Alert {
            name,
            service,
            query,
            labels,
            when,
            hold,
            clear,
            keep_firing,
            severity,
            escalate,
            options,
        })
    })
}

fn backtest() -> impl Strategy<Value = Statement> {
    let thresholds = || {
        prop::collection::btree_set((0u32..9, 0u32..100), 1..4)
            .prop_map(|values| values.into_iter().map(|(a, b)| format!("{a}.{b}")).collect::<Vec<_>>())
    };
    let spans = || prop::collection::btree_set(text(), 1..4).prop_map(|values| values.into_iter().collect::<Vec<_>>());
    let parameters = vec!["score_threshold", "for_duration", "clear_for", "keep_firing"];
    let sweep = prop::sample::subsequence(parameters, 0..=4).prop_flat_map(move |names| {
        let values = |name: &str| match name {
            "score_threshold" => thresholds().boxed(),
            _ => spans().boxed(),
        };
        names.into_iter().map(|name| (Just(name.to_owned()), values(name))).collect::<Vec<_>>()
    });
    let scores = prop_oneof![Just("all"), Just("precision"), Just("recall"), Just("f1")];
    let score = scores.prop_map(|score| OptionValue::Text(score.to_owned())).boxed();
    let options = options(vec![("max_delay", any_text()), ("lead", any_text()), ("score", score)]);
    (name(), text(), text(), prop::option::of(query()), sweep, options).prop_map(
        |(alert, start, end, against, sweep, options)| {
            Statement::Backtest(Backtest { alert, start, end, against, sweep, options })
        },
    )
}

fn statement() -> impl Strategy<Value = Statement> {
    let kind = prop_oneof![
        Just(Kind::Service),
        Just(Kind::Calendar),
        Just(Kind::Kpi),
        Just(Kind::Baseline),
        Just(Kind::Slo),
        Just(Kind::Sla),
        Just(Kind::Sink),
        Just(Kind::Policy),
        Just(Kind::Alert),
    ];
    let beginning = prop_oneof![Just((false, false)), Just((true, false)), Just((false, true))];
    let create = (beginning, definition()).prop_map(|((or_replace, if_not_exists), object)| Statement::Create {
        or_replace,
        if_not_exists,
        object: Box::new(object),
    });
    let drop = (kind.clone(), prop::collection::vec(name(), 1..3), any::<bool>(), any::<bool>())
        .prop_map(|(kind, names, if_exists, cascade)| Statement::Drop { kind, names, if_exists, cascade });
    let comment = (kind.clone(), name(), prop::option::of(text())).prop_map(|(kind, name, text)| Statement::Comment {
        kind,
        name,
        text,
    });
    let number = (0u8..4).prop_map(|tier| OptionValue::Number(tier.to_string())).boxed();
    let set = options(vec![("currency", any_text()), ("tier", number), ("owner", any_text())])
        .prop_filter("some", |set| *set != Options::default());
    let set = (name(), set).prop_map(|(name, set)| (name, set, Vec::new()));
    let names = prop::sample::subsequence(vec!["currency", "tier", "owner", "match"], 1..4);
    let reset = (name(), names)
        .prop_map(|(name, names)| (name, Options::default(), names.into_iter().map(str::to_owned).collect::<Vec<_>>()));
    let alter = prop_oneof![set, reset].prop_map(|(name, set, reset)| Statement::AlterSet {
        kind: Kind::Service,
        name,
        set,
        reset,
    });
    let shown = prop_oneof![kind.clone().prop_map(Shown::Object), Just(Shown::Table), Just(Shown::View)];
    let show = (shown, name()).prop_map(|(of, name)| Statement::ShowCreate { of, name });
    let lineage = (kind, name()).prop_map(|(kind, name)| Statement::ShowLineage { kind, name });
    let evaluate = (name(), text(), prop::option::of(text()))
        .prop_map(|(name, period, as_of)| Statement::EvaluateSla { name, period, as_of });
    let fits = (name(), text(), text()).prop_map(|(name, start, end)| Statement::BacktestBaseline { name, start, end });
    let number = (-999i32..999, 0u32..100).prop_map(|(a, b)| format!("{a}.{b}"));
    let set = prop::sample::subsequence(vec!["lower", "upper", "score_threshold"], 1..4).prop_flat_map(move |names| {
        let number = |name: &str| {
            let is_score = name == "score_threshold";
            number.clone().prop_map(move |digits| if is_score { digits.replace('-', "") } else { digits })
        };
        names.into_iter().map(|name| (Just(name.to_owned()), number(name))).collect::<Vec<_>>()
    });
    let labels = prop::collection::btree_map(name(), text(), 0..3).prop_map(|labels| labels.into_iter().collect());
    let overriding = (name(), set, labels, text(), text()).prop_map(|(baseline, set, labels, reason, until)| {
        Statement::Override(Override { baseline, set, labels, reason, until })
    });
    let explain = (name(), text()).prop_map(|(name, at)| Statement::ExplainAlert { name, at });
    let watching =
        options(vec![("snapshot", any::<bool>().prop_map(OptionValue::Truth).boxed()), ("min_interval", any_text())]);
    let subscribe = (query(), watching, any::<bool>()).prop_map(|(query, options, is_copied)| Statement::Subscribe {
        query,
        options,
        is_copied,
    });
    let lineage_of = query().prop_map(|query| Statement::ExplainLineage { query });
    let new = prop_oneof![backtest(), explain, lineage_of, subscribe];
    prop_oneof![6 => create, 3 => new, 1 => alter, 1 => overriding, 1 => drop, 1 => comment, 1 => show, 1 => lineage, 1 => evaluate, 1 => fits]
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same(statement in statement()) {
        let text = statement.to_string();
        prop_assert_eq!(parse_statement(&text), Some(Ok(statement)), "{}", text);
    }

    #[test]
    fn no_text_is_too_much(text in ".{0,200}", beginning in prop_oneof![Just("CREATE SLO a "), Just("ALTER KPI "), Just("")]) {
        let _may_be_wrong = parse_statement(&format!("{beginning}{text}"));
    }

    #[test]
    fn damaged_statements_do_no_harm(statement in statement(), at in any::<prop::sample::Index>(), put in ".{0,3}") {
        let mut characters: Vec<char> = statement.to_string().chars().collect();
        let place = at.index(characters.len());
        characters.splice(place..(place + 1), put.chars());
        let _may_be_wrong = parse_statement(&characters.into_iter().collect::<String>());
    }
}
