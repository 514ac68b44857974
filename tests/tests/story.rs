//! The whole way in virtual time, as `plimsoll demo --story` tells it: rows, baseline, promise, backtest, incident, escalation,
//! problem, action plan.

use crate::harness::{run, said};

#[test]
fn the_story_goes_from_rows_to_whoever_has_to_act() {
    let output = run(&["demo", "--story"]);
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("it would have opened 1, the last at 2026-04-09"), "{told}");
    let mut rest = told.as_str();
    for wanted in [
        // What cannot be is kept apart; what can be kept is known before it is promised.
        "sane",
        "-17",
        "recommended",
        "precision",
        // It is slow: one signed event with the whole story, and the next step when nobody takes it up.
        "pager <- incident.opened of incident 3 (checkout), priority 2, event 1",
        "checkout_p95 2",
        "(00h)",
        "mostly region=",
        "CHG-88",
        "incident.escalated of incident 3",
        "baseline    | slot",
        "CALL acknowledge(3",
        "incident.acknowledged of incident 3",
        "incident.resolved of incident 3",
        // It comes again: the known error and its workaround are named, and a problem is opened.
        "pager <- incident.opened of incident 4 (checkout)",
        "warm the cache",
        "checkout_comes_again",
        "least budget remaining",
        "acme (acme_gold)",
        // What stands on something broken opens nothing of its own.
        "pager <- incident.opened of incident 5 (payments), priority 1",
        "upstream: payments_slow on payments (incident 5)",
        // The week ends.
        "checkout_avail",
        "shop_team",
        // The week is sealed, and a late row does not change it.
        "2026-05-04",
        "{\"good\":",
        "(1 row)",
        "another normal",
        "larger pictures are here to stay",
        "minutes to restore",
        "SHOW LINEAGE",
        // Nobody has changed the audit.
        "audit_verify()",
        " t        |",
    ] {
        let Some(at) = rest.find(wanted) else { panic!("no {wanted:?} from there on:\n{rest}\n-- in --\n{told}") };
        rest = &rest[at + wanted.len()..];
    }
    for (event, times) in [
        ("pager <- incident.opened", 3),
        ("incident.escalated of incident 3", 2),
        ("pager <- incident.resolved of incident 3", 1),
        ("of incident 6", 0),
    ] {
        assert_eq!(told.matches(event).count(), times, "{event}:\n{told}");
    }
}
