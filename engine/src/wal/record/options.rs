//! Options of a table in log records: tiers (number, each: width and time kept, both 0 for none), then the legal hold, then the most series, if
//! that is set.

use super::{Cursor, Short, put_varint};
use crate::model::{Retention, TIERS_MAX, TableOptions, Tier};

pub(super) fn put_options(out: &mut Vec<u8>, options: &TableOptions) {
    let tiers = options.retention.as_ref().map_or(&[][..], Retention::tiers);
    put_varint(out, tiers.len() as u64);
    for tier in tiers {
        put_varint(out, tier.width_ns.unwrap_or(0) as u64);
        put_varint(out, tier.keep_ns.unwrap_or(0) as u64);
    }
    out.push(u8::from(options.legal_hold));
    if let Some(max_series) = options.max_series {
        put_varint(out, u64::from(max_series));
    }
}

pub(super) fn take_options(cursor: &mut Cursor<'_>) -> Result<TableOptions, Short> {
    let mut tiers = Vec::new();
    for _ in 0..cursor.varint_max(TIERS_MAX)? {
        tiers.push(Tier { width_ns: take_duration(cursor)?, keep_ns: take_duration(cursor)? });
    }
    let retention = if tiers.is_empty() { None } else { Some(Retention::new(tiers).map_err(|_| Short)?) };
    let legal_hold = match cursor.u8()? {
        0 => false,
        1 => true,
        _ => return Err(Short),
    };
    let max_series = match cursor.remaining() {
        0 => None,
        _ => Some(u32::try_from(cursor.varint()?).map_err(|_| Short)?),
    };
    Ok(TableOptions { retention, legal_hold, max_series })
}

/// A duration; 0 stands for none.
fn take_duration(cursor: &mut Cursor<'_>) -> Result<Option<i64>, Short> {
    let duration_ns = i64::try_from(cursor.varint()?).map_err(|_| Short)?;
    Ok(Some(duration_ns).filter(|ns| *ns != 0))
}
