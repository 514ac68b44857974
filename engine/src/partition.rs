//! Time partitions: a segment holds rows of one UTC day, so that time ranges and expiry touch whole files.

use crate::model::TimeRange;

/// Number of a day, counted from the Unix epoch.
pub(crate) type Partition = i64;

/// Length of a partition.
const PARTITION_NS: i64 = 24 * 60 * 60 * 1_000_000_000;

/// The partition that a timestamp belongs to.
pub(crate) fn of(time_ns: i64) -> Partition {
    time_ns.div_euclid(PARTITION_NS)
}

/// The timestamps of a partition.
pub(crate) fn range(partition: Partition) -> TimeRange {
    let max_ns = partition.saturating_add(1).checked_mul(PARTITION_NS).map_or(i64::MAX, |end| end - 1);
    TimeRange { min_ns: partition.saturating_mul(PARTITION_NS), max_ns }
}

/// The partitions of some timestamps, each once, in order.
pub(crate) fn all_of(times: &[i64]) -> Vec<Partition> {
    let mut partitions: Vec<Partition> = Vec::new();
    for time_ns in times {
        let partition = of(*time_ns);
        if partitions.last() != Some(&partition) {
            partitions.push(partition);
        }
    }
    partitions.sort_unstable();
    partitions.dedup();
    partitions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timestamp_is_in_its_partition() {
        for time_ns in [i64::MIN, i64::MIN + 1, -1, 0, 1, PARTITION_NS - 1, PARTITION_NS, i64::MAX - 1, i64::MAX] {
            assert!(range(of(time_ns)).contains(time_ns), "{time_ns}");
        }
        assert_eq!(range(of(-1)).max_ns, -1);
        assert_eq!(all_of(&[5, -1, 6, PARTITION_NS]), [-1, 0, 1]);
    }
}
