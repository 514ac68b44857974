//! How long something was open, where incidents at the same time count once.

/// A query of the seconds in `[from, to)` in which an incident was open, and of how many there were: a row for each value of
/// `of`, an expression over `ops.incident AS i`, with the columns `of`, `incidents` and `seconds`. `from`, `to` and `test` are SQL.
///
/// An interval that begins before an earlier one has ended adds only what comes after that end.
pub(super) fn seconds_open(of: &str, from: &str, to: &str, test: &str) -> String {
    format!(
        "SELECT of, count(*) AS incidents, sum(greatest(extract(epoch FROM e - greatest(s, COALESCE(seen, s))), 0))::float8 AS seconds \
         FROM (SELECT of, s, e, max(e) OVER (PARTITION BY of ORDER BY s, e ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS seen \
         FROM (SELECT {of} AS of, greatest(i.opened_at, {from}) AS s, least(COALESCE(i.resolved_at, now()), {to}) AS e \
         FROM ops.incident AS i WHERE {test} AND i.opened_at < {to} AND COALESCE(i.resolved_at, now()) >= {from}) AS open) AS ordered \
         GROUP BY of"
    )
}
