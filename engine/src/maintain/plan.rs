//! What upkeep has to do next, decided from plain facts: no file is touched here, and time is an argument.
//!
//! Compaction is size-tiered. Segments of one table, tier and time partition are a list, oldest first; a segment of `b` bytes
//! is of level `floor(log_FANOUT(b / LEVEL_BYTES_MIN))`, at least 0. Neighbours are joined, and only neighbours, because the
//! order of the list is the order of age, which decides whose value wins. Two rules bound the list ([`segments_max`]):
//! - *rising*: a segment takes in the older ones right before it that are of a lower level, so levels never rise with age;
//! - *full*: [`FANOUT`] segments of a level are joined, with all that are newer, and become one of a higher level.
//!
//! So each byte is rewritten about once per level. Two more rules act when a partition has been left alone for a time that
//! grows with its bytes ([`settle_after_ns`]), which bounds what they cost:
//! - *settle*: the segments of the partition become one;
//! - *purge*: a segment that holds deleted rows is written without them. One that holds no other rows is just dropped.

use std::ops::Range;

use crate::manifest::FileNumber;
use crate::model::TableId;
use crate::partition::Partition;

/// Segments of a level that are joined.
pub(crate) const FANOUT: usize = 4;

/// Segments of fewer bytes than `FANOUT` times this are of level 0.
pub(crate) const LEVEL_BYTES_MIN: u64 = 16 << 10;

/// Most segments that are joined at once: bounds the memory and the open chunks of a compaction.
pub(crate) const INPUTS_MAX: usize = 16;

/// A partition settles into segments of at most this.
const SETTLED_BYTES_MAX: u64 = 2 << 30;

/// A partition settles when it was left alone for this long at least ...
const SETTLE_REST_NS: i64 = 5 * 1_000_000_000;

/// ... and for as long as its bytes take at this rate.
const SETTLE_BYTES_PER_S: u64 = 8 << 20;

/// Rows are flushed when nothing was written for this long, if they are [`CALM_FLUSH_BYTES`] at least ...
const CALM_FLUSH_NS: i64 = 5 * 1_000_000_000;

/// ... which is enough for a segment of its own.
const CALM_FLUSH_BYTES: u64 = 1 << 20;

/// Any rows are flushed when nothing was written for this long.
const LONG_CALM_FLUSH_NS: i64 = 60 * 1_000_000_000;

/// The level of a segment.
pub(crate) fn level(bytes: u64) -> u32 {
    (bytes / LEVEL_BYTES_MIN).max(1).ilog(FANOUT as u64)
}

/// Most segments that a partition has when nothing is left to be joined, given the bytes of its largest segment:
/// `(FANOUT - 1) * (level(largest) + 1)`.
#[cfg(test)]
pub(crate) fn segments_max(bytes_largest: u64) -> usize {
    (FANOUT - 1) * (level(bytes_largest) as usize + 1)
}

/// How long segments of these bytes must have been left alone before they settle or are purged.
fn settle_after_ns(bytes: u64) -> i64 {
    let by_size = bytes.saturating_mul(1_000_000_000) / SETTLE_BYTES_PER_S;
    SETTLE_REST_NS.saturating_add(i64::try_from(by_size).unwrap_or(i64::MAX))
}

/// What upkeep can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Write the unflushed rows into segments.
    Flush,
    /// Drop segments of which every row is deleted.
    Drop {
        /// The table.
        table: TableId,
        /// The segments.
        segments: Vec<FileNumber>,
    },
    /// Write neighbouring segments of one partition as one, without their deleted rows.
    Compact(Compaction),
}

/// Segments to be written as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compaction {
    pub(crate) table: TableId,
    /// Oldest first, neighbours in the list of their partition.
    pub(crate) inputs: Vec<FileNumber>,
    /// Bytes of the inputs.
    pub(crate) bytes: u64,
}

/// All that upkeep needs to know to decide.
#[derive(Debug, Default)]
pub(crate) struct Situation {
    pub(crate) memtable_bytes: u64,
    pub(crate) memtable_flush_bytes: u64,
    /// A flush has set rows aside and has failed.
    pub(crate) has_frozen: bool,
    /// A restart would have too much to replay.
    pub(crate) log_is_long: bool,
    /// Time since the last write.
    pub(crate) calm_ns: i64,
    pub(crate) tables: Vec<TableFacts>,
}

/// What matters of a table.
#[derive(Debug)]
pub(crate) struct TableFacts {
    pub(crate) table: TableId,
    /// Oldest first, of all tiers and partitions.
    pub(crate) segments: Vec<SegmentFacts>,
}

/// What matters of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentFacts {
    pub(crate) file: FileNumber,
    pub(crate) tier: u8,
    pub(crate) partition: Partition,
    pub(crate) bytes: u64,
    /// Time since it became live or rows of it were deleted.
    pub(crate) rest_ns: i64,
    pub(crate) deleted: Deleted,
    /// A compaction of it is under way, or it cannot be read. Nothing is joined across it.
    pub(crate) is_fixed: bool,
}

/// How much of a segment is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deleted {
    Nothing,
    /// Perhaps some rows.
    Some,
    Everything,
}

/// What to do, the most urgent first. Nothing, when all is in order.
pub(crate) fn plan(situation: &Situation) -> Vec<Action> {
    let mut actions = Vec::new();
    if is_flush_due(situation) {
        actions.push(Action::Flush);
    }
    let mut joins = Vec::new();
    let mut later = Vec::new();
    for table in &situation.tables {
        actions.extend(drop_deleted(table));
        for list in lists(&table.segments) {
            if let Some(range) = rising(&list).or_else(|| full(&list)) {
                joins.push(compaction(table.table, &list[range]));
            } else {
                later.extend(settle(&list).into_iter().chain(purges(&list)).map(|r| compaction(table.table, &list[r])));
            }
        }
    }
    joins.sort_by_key(|join| join.bytes);
    later.sort_by_key(|join| join.bytes);
    actions.extend(joins.into_iter().chain(later).map(Action::Compact));
    actions
}

fn is_flush_due(situation: &Situation) -> bool {
    let Situation { memtable_bytes: bytes, calm_ns, .. } = *situation;
    situation.has_frozen
        || situation.log_is_long
        || bytes >= situation.memtable_flush_bytes
        || bytes >= CALM_FLUSH_BYTES && calm_ns >= CALM_FLUSH_NS
        || bytes > 0 && calm_ns >= LONG_CALM_FLUSH_NS
}

fn drop_deleted(table: &TableFacts) -> Option<Action> {
    let is_gone = |s: &&SegmentFacts| s.deleted == Deleted::Everything;
    let segments: Vec<FileNumber> = table.segments.iter().filter(is_gone).map(|s| s.file).collect();
    if segments.is_empty() { None } else { Some(Action::Drop { table: table.table, segments }) }
}

/// The segments that may be joined with each other, oldest first: those of one tier and partition without a fixed one between.
fn lists(segments: &[SegmentFacts]) -> Vec<Vec<&SegmentFacts>> {
    let mut ordered: Vec<&SegmentFacts> = segments.iter().filter(|s| s.deleted != Deleted::Everything).collect();
    ordered.sort_by_key(|s| (s.tier, s.partition));
    let is_list = |one: &&SegmentFacts, other: &&SegmentFacts| {
        (one.tier, one.partition) == (other.tier, other.partition) && !one.is_fixed && !other.is_fixed
    };
    let lists = ordered.chunk_by(is_list);
    lists.filter(|list| !list[0].is_fixed).map(<[&SegmentFacts]>::to_vec).collect()
}

fn compaction(table: TableId, inputs: &[&SegmentFacts]) -> Compaction {
    let bytes = inputs.iter().map(|s| s.bytes).sum();
    Compaction { table, inputs: inputs.iter().map(|s| s.file).collect(), bytes }
}

/// The first segments that are followed by one of a higher level, with that one.
fn rising(list: &[&SegmentFacts]) -> Option<Range<usize>> {
    let level_at = |at: usize| level(list[at].bytes);
    let higher = (1..list.len()).find(|at| level_at(at - 1) < level_at(*at))?;
    let lower = (0..higher).rev().take_while(|at| level_at(*at) < level_at(higher)).count();
    Some(at_most(higher - lower..higher + 1))
}

/// The newest segments of which [`FANOUT`] are of the level of the highest.
fn full(list: &[&SegmentFacts]) -> Option<Range<usize>> {
    let levels: Vec<u32> = list.iter().map(|s| level(s.bytes)).collect();
    let mut distinct = levels.clone();
    distinct.sort_unstable();
    distinct.dedup();
    distinct.into_iter().find_map(|wanted| {
        let start = levels.iter().rposition(|l| *l > wanted).map_or(0, |at| at + 1);
        let count = levels[start..].iter().filter(|l| **l == wanted).count();
        (count >= FANOUT).then(|| at_most(start..list.len()))
    })
}

/// The newest segments of a partition that was left alone, as many as fit into one.
fn settle(list: &[&SegmentFacts]) -> Option<Range<usize>> {
    let mut bytes = 0;
    let fits = |segment: &&&SegmentFacts| {
        bytes += segment.bytes;
        bytes <= SETTLED_BYTES_MAX
    };
    let count = list.iter().rev().take(INPUTS_MAX).take_while(fits).count();
    let range = list.len() - count..list.len();
    let bytes = list[range.clone()].iter().map(|s| s.bytes).sum();
    let rest_ns = list.iter().map(|s| s.rest_ns).min()?;
    (count > 1 && rest_ns >= settle_after_ns(bytes)).then_some(range)
}

/// Each segment that may hold deleted rows and was left alone.
fn purges(list: &[&SegmentFacts]) -> Vec<Range<usize>> {
    let is_due = |s: &SegmentFacts| s.deleted == Deleted::Some && s.rest_ns >= settle_after_ns(s.bytes);
    let due = list.iter().enumerate().filter(|(_, s)| is_due(s));
    due.map(|(at, _)| at..at + 1).collect()
}

/// The oldest of a range, no more than can be joined at once.
fn at_most(range: Range<usize>) -> Range<usize> {
    range.start..range.end.min(range.start + INPUTS_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND_NS: i64 = 1_000_000_000;

    fn segment(file: FileNumber, bytes: u64) -> SegmentFacts {
        SegmentFacts { file, tier: 0, partition: 0, bytes, rest_ns: 0, deleted: Deleted::Nothing, is_fixed: false }
    }

    fn table(sizes: &[u64]) -> TableFacts {
        let segments = (0..).zip(sizes).map(|(file, bytes)| segment(file, *bytes)).collect();
        TableFacts { table: TableId(1), segments }
    }

    fn planned(tables: Vec<TableFacts>) -> Vec<Action> {
        plan(&Situation { memtable_flush_bytes: 1, tables, ..Situation::default() })
    }

    fn joined(sizes: &[u64]) -> Option<Vec<FileNumber>> {
        match planned(vec![table(sizes)]).into_iter().next()? {
            Action::Compact(compaction) => Some(compaction.inputs),
            other => panic!("planned {other:?}"),
        }
    }

    /// Joins for as long as something is to be joined; gives the sizes then, and the bytes that were written.
    fn settle_down(sizes: &mut Vec<u64>) -> u64 {
        let mut written = 0;
        while let Some(inputs) = joined(sizes) {
            let range = inputs[0] as usize..inputs[0] as usize + inputs.len();
            let bytes: u64 = sizes[range.clone()].iter().sum();
            sizes.splice(range, [bytes]);
            written += bytes;
        }
        written
    }

    #[test]
    fn nothing_is_to_be_done_in_an_empty_database() {
        assert_eq!(plan(&Situation { memtable_flush_bytes: 1, ..Situation::default() }), []);
    }

    #[test]
    fn rows_are_flushed_when_they_are_many_or_lie_still() {
        let due = |memtable_bytes, calm_ns| {
            let situation =
                Situation { memtable_bytes, memtable_flush_bytes: 64 << 20, calm_ns, ..Situation::default() };
            plan(&situation) == [Action::Flush]
        };
        assert!(due(64 << 20, 0));
        assert!(!due(63 << 20, 0));
        assert!(due(1 << 20, CALM_FLUSH_NS));
        assert!(!due(1 << 10, CALM_FLUSH_NS));
        assert!(due(1 << 10, LONG_CALM_FLUSH_NS));
        assert!(!due(0, LONG_CALM_FLUSH_NS));
    }

    #[test]
    fn levels_are_joined_when_full_and_never_rise() {
        const K: u64 = 1 << 10;
        assert_eq!(joined(&[K, K, K]), None);
        assert_eq!(joined(&[K, K, K, K]), Some(vec![0, 1, 2, 3]));
        assert_eq!(joined(&[K, 70 * K]), Some(vec![0, 1]));
        assert_eq!(joined(&[70 * K, K]), None);
        assert_eq!(joined(&[70 * K, K, 70 * K, 70 * K, 70 * K]), Some(vec![1, 2]));
        assert_eq!(joined(&[70 * K, 70 * K, 70 * K, 70 * K, K]), Some(vec![0, 1, 2, 3, 4]));
    }

    #[test]
    fn tiers_partitions_and_fixed_segments_part_the_list() {
        let parted = |change: &dyn Fn(&mut SegmentFacts)| {
            let mut table = table(&[1, 1, 1, 1]);
            change(&mut table.segments[2]);
            planned(vec![table])
        };
        assert_eq!(parted(&|_| ()).len(), 1);
        assert_eq!(parted(&|s| s.tier = 1), []);
        assert_eq!(parted(&|s| s.partition = 1), []);
        assert_eq!(parted(&|s| s.is_fixed = true), []);
    }

    #[test]
    fn a_partition_that_is_left_alone_becomes_one_segment() {
        let settled = |sizes: &[u64], rest_ns| {
            let mut table = table(sizes);
            table.segments.iter_mut().for_each(|s| s.rest_ns = rest_ns);
            planned(vec![table])
        };
        assert_eq!(settled(&[80 << 20, 8 << 20], SETTLE_REST_NS), []);
        assert_eq!(settled(&[80 << 20, 8 << 20], SETTLE_REST_NS + 11 * SECOND_NS).len(), 1);
        assert_eq!(settled(&[80 << 20], i64::MAX), []);
        assert_eq!(settled(&[3 << 30, 2 << 30], i64::MAX), [], "too large");
    }

    #[test]
    fn deleted_rows_are_purged_and_deleted_segments_dropped() {
        let mut table = table(&[1, 1, 1]);
        table.segments[0].deleted = Deleted::Everything;
        table.segments[2].deleted = Deleted::Some;
        let drop = Action::Drop { table: TableId(1), segments: vec![0] };
        assert_eq!(
            planned(vec![TableFacts { table: TableId(1), segments: table.segments.clone() }]),
            std::slice::from_ref(&drop)
        );
        table.segments[2].rest_ns = SETTLE_REST_NS + SECOND_NS;
        let purge = Action::Compact(Compaction { table: TableId(1), inputs: vec![2], bytes: 1 });
        assert_eq!(planned(vec![table]), [drop, purge]);
    }

    proptest! {
        /// The formula of the design, and what it costs: a byte is rewritten at most twice per level.
        #[test]
        fn segments_of_a_partition_are_bounded(flushes in prop::collection::vec(1u64..4_000_000, 1..300)) {
            let mut sizes = Vec::new();
            let mut written = 0;
            for bytes in &flushes {
                sizes.push(*bytes);
                written += settle_down(&mut sizes);
                let largest = *sizes.iter().max().unwrap();
                prop_assert!(sizes.len() <= segments_max(largest), "{sizes:?}");
                prop_assert!(sizes.is_sorted_by(|older, newer| level(*older) >= level(*newer)), "{sizes:?}");
            }
            let total: u64 = flushes.iter().sum();
            prop_assert_eq!(sizes.iter().sum::<u64>(), total);
            let levels = u64::from(level(total)) + 1;
            prop_assert!(written <= 2 * total * (levels + 1), "{written} bytes written for {total}");
        }

        /// Many segments at once, as after an upgrade or a backfill, are worked off too.
        #[test]
        fn a_backlog_is_worked_off(mut sizes in prop::collection::vec(1u64..100_000_000, 1..200)) {
            settle_down(&mut sizes);
            let largest = *sizes.iter().max().unwrap();
            prop_assert!(sizes.len() <= segments_max(largest), "{sizes:?}");
        }
    }
}
