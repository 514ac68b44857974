//! What is due, by case: days are numbers, hours are offsets of them.

use expect_test::{Expect, expect};

use super::*;
use crate::model::Tier;
use crate::tiers::Rollup;

const HOUR_NS: i64 = 3_600 * SECOND_NS;

fn tier(width_ns: i64, keep_days: i64) -> Tier {
    Tier { width_ns: Some(width_ns).filter(|w| *w > 0), keep_ns: Some(keep_days * DAY_NS).filter(|k| *k > 0) }
}

/// Raw 2 days, 1 min 5 days, 1 hour forever.
fn options() -> TableOptions {
    let tiers = vec![tier(0, 2), tier(60 * SECOND_NS, 5), tier(HOUR_NS, 0)];
    TableOptions { retention: Some(Retention::new(tiers).unwrap()), legal_hold: false, ..TableOptions::default() }
}

fn day(widths: &[i64]) -> Day {
    let rollups = widths.iter().map(|width_ns| Rollup { width_ns: *width_ns, segment: None });
    Day { raw_gone: false, changes: 0, rollups: rollups.collect() }
}

/// The state, what is due at an hour of it, and so on until nothing is.
fn check(options: &TableOptions, mut tiers: Tiers, stored: &[i64], unflushed: &[i64], now_ns: i64, expected: &Expect) {
    let mut stored: BTreeSet<i64> = stored.iter().copied().collect();
    let unflushed: BTreeSet<i64> = unflushed.iter().copied().collect();
    let mut told = String::new();
    for _ in 0..20 {
        let kept = Kept {
            options,
            tiers: &tiers,
            stored: stored.clone(),
            unflushed: unflushed.clone(),
            damaged: BTreeSet::new(),
        };
        let Some(upkeep) = kept.next(now_ns) else { break };
        match &upkeep {
            Upkeep::Flush => {
                told += "flush\n";
                break;
            }
            Upkeep::Roll(roll) => {
                let minutes: Vec<i64> = roll.widths.iter().map(|w| w / SECOND_NS / 60).collect();
                told += &format!("roll {} to {minutes:?} min{}\n", roll.day, if roll.adds { ", adding" } else { "" });
                let of_day = tiers.days.entry(roll.day).or_default();
                *of_day = Day { raw_gone: of_day.raw_gone, ..day(&roll.widths) };
                if roll.adds {
                    stored.remove(&roll.day);
                }
            }
            Upkeep::Expire(expiry) => {
                let hours = |ns: i64| if ns == i64::MIN { "-".to_owned() } else { (ns / HOUR_NS).to_string() };
                let rollups: Vec<_> =
                    expiry.rollups.iter().map(|(day, w)| format!("{day}/{}", w / SECOND_NS / 60)).collect();
                told += &format!(
                    "raw from hour {}, floor {}, drop raw {:?} rollups {rollups:?}\n",
                    hours(expiry.raw_from_ns),
                    hours(expiry.floor_ns),
                    expiry.raw_days
                );
                (tiers.raw_from_ns, tiers.floor_ns) = (expiry.raw_from_ns, expiry.floor_ns);
                tiers.raw_keep_ns = expiry.raw_keep_ns;
                for day in &expiry.raw_days {
                    stored.remove(day);
                    tiers.days.entry(*day).and_modify(|d| d.raw_gone = true);
                }
                for (day, width_ns) in &expiry.rollups {
                    tiers.days.get_mut(day).unwrap().rollups.retain(|r| r.width_ns != *width_ns);
                }
                tiers.days.retain(|_, d| !d.rollups.is_empty());
            }
        }
    }
    expected.assert_eq(&told);
}

#[test]
fn complete_days_are_rolled_up_before_they_expire() {
    check(
        &options(),
        Tiers::default(),
        &[10, 11, 12, 13],
        &[],
        13 * DAY_NS + 5 * HOUR_NS,
        &expect![[r#"
            raw from hour 240, floor -, drop raw [] rollups []
            roll 10 to [1, 60] min
            raw from hour 264, floor -, drop raw [10] rollups []
            roll 11 to [1, 60] min
            raw from hour 269, floor -, drop raw [] rollups []
            roll 12 to [1, 60] min
        "#]],
    );
}

#[test]
fn rows_in_memory_hold_the_horizon_up() {
    check(
        &options(),
        Tiers::default(),
        &[10],
        &[10, 13],
        13 * DAY_NS,
        &expect![[r#"
            raw from hour 240, floor -, drop raw [] rollups []
            flush
        "#]],
    );
}

#[test]
fn raw_rows_alone_just_expire() {
    let options =
        TableOptions { retention: Some(Retention::raw(DAY_NS).unwrap()), legal_hold: false, ..TableOptions::default() };
    check(
        &options,
        Tiers::default(),
        &[10, 11, 12],
        &[],
        12 * DAY_NS + HOUR_NS / 2,
        &expect![[r#"
            raw from hour 264, floor 264, drop raw [10] rollups []
        "#]],
    );
}

#[test]
fn a_legal_hold_keeps_everything() {
    let held = TableOptions { legal_hold: true, ..options() };
    let mut tiers = Tiers::default();
    tiers.days.insert(3, Day { raw_gone: true, ..day(&[60 * SECOND_NS, HOUR_NS]) });
    check(
        &held,
        tiers,
        &[3, 10],
        &[],
        13 * DAY_NS,
        &expect![[r#"
        roll 10 to [1, 60] min
    "#]],
    );
}

#[test]
fn a_tier_expires_after_the_next_one_has_the_day() {
    let mut tiers = Tiers { raw_from_ns: 264 * HOUR_NS, raw_keep_ns: Some(2 * DAY_NS), ..Tiers::default() };
    tiers.days.insert(3, Day { raw_gone: true, ..day(&[60 * SECOND_NS]) });
    tiers.days.insert(9, Day { raw_gone: true, ..day(&[60 * SECOND_NS, HOUR_NS]) });
    check(
        &options(),
        tiers,
        &[],
        &[],
        13 * DAY_NS,
        &expect![[r#"
        roll 3 to [1, 60] min
        raw from hour 264, floor -, drop raw [] rollups ["3/1"]
    "#]],
    );
}

#[test]
fn late_rows_are_added_where_raw_rows_are_gone() {
    let mut tiers = Tiers { raw_from_ns: 264 * HOUR_NS, raw_keep_ns: Some(2 * DAY_NS), ..Tiers::default() };
    tiers.days.insert(9, Day { raw_gone: true, ..day(&[60 * SECOND_NS, HOUR_NS]) });
    tiers.days.insert(11, Day { changes: 1, ..day(&[60 * SECOND_NS, HOUR_NS]) });
    check(
        &options(),
        tiers,
        &[2, 9, 11],
        &[],
        13 * DAY_NS,
        &expect![[r#"
        roll 2 to [60] min
        raw from hour 264, floor -, drop raw [2] rollups []
        roll 9 to [1, 60] min, adding
        roll 11 to [1, 60] min
    "#]],
    );
}

#[test]
fn tiers_that_nobody_names_any_more_stay_while_they_are_all_there_is() {
    let mut tiers = Tiers { raw_from_ns: 264 * HOUR_NS, raw_keep_ns: Some(2 * DAY_NS), ..Tiers::default() };
    tiers.days.insert(9, Day { raw_gone: true, ..day(&[60 * SECOND_NS]) });
    tiers.days.insert(11, day(&[60 * SECOND_NS]));
    check(
        &TableOptions::default(),
        tiers.clone(),
        &[11],
        &[],
        13 * DAY_NS,
        &expect![[r#"
        raw from hour 240, floor -, drop raw [] rollups ["11/1"]
    "#]],
    );
    let other = Retention::new(vec![tier(0, 2), tier(HOUR_NS, 30)]).unwrap();
    let other = TableOptions { retention: Some(other), legal_hold: false, ..TableOptions::default() };
    check(
        &other,
        tiers,
        &[11],
        &[],
        13 * DAY_NS,
        &expect![[r#"
            raw from hour 264, floor -408, drop raw [] rollups []
            roll 9 to [1, 60] min
            raw from hour 264, floor -408, drop raw [] rollups ["9/1"]
            roll 11 to [60] min
        "#]],
    );
}
