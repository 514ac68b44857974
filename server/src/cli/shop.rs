//! The shop of `plimsoll demo`: eight weeks that are made up, the same each time, and what is promised of them.
//!
//! A row for each five minutes up to now. Requests follow the day and the week; noise comes of a fixed sequence. In the seventh week a
//! release makes answers slower day by day, in the fifth night of it there is planned work, and four days ago there was an outage.

/// The table, by which a later run knows that the shop is there.
pub(super) const TABLE: &str = "shop_requests";

/// What makes it.
pub(super) const MADE: &str = "\
CREATE TABLE shop_requests (time timestamptz NOT NULL, total bigint, good bigint, p95_ms double precision);

INSERT INTO shop_requests
SELECT time, total, total - bad, p95_ms FROM (
  SELECT time, total, CASE WHEN is_outage THEN total * 7 / 10 WHEN is_work THEN total WHEN noise > 0.98 THEN 1 ELSE 0 END AS bad,
    (120 + 40 * wave + 12 * noise + slower) * CASE WHEN is_outage THEN 6 ELSE 1 END AS p95_ms
  FROM (
    SELECT time_bucket('5 minutes', now()) - INTERVAL '5 minutes' * (16128 - n) AS time, noise, wave,
      ((300 + 200 * wave) * CASE WHEN n / 288 % 7 >= 5 THEN 0.6 ELSE 1 END + 30 * noise)::bigint AS total,
      CASE WHEN n BETWEEN 12096 AND 14112 THEN (n - 12096) * 0.03 ELSE 0 END AS slower,
      n BETWEEN 14976 AND 15011 AS is_outage, n BETWEEN 13260 AND 13284 AS is_work
    FROM (
      SELECT n, sin(n % 288 * 0.0218166) AS wave, ((n * 7919 + n * n % 4093 * 31) % 1009) / 1009.0 AS noise
      FROM generate_series(0, 16127) AS s(n)) AS seeds) AS course) AS shop";

/// What is run, measured, normal and promised.
pub(super) const PROMISES: &str = "\
CREATE SERVICE IF NOT EXISTS shop TIER 1 OWNER you WITH (cost_per_minute = 40, currency = 'EUR');

INSERT INTO ops.maintenance (service, starts_at, ends_at, reason)
SELECT 'shop', min(time), max(time) + INTERVAL '5 minutes', 'planned work' FROM shop_requests WHERE good = 0;

CREATE KPI IF NOT EXISTS shop_p95 ON SERVICE shop AS
  SELECT time_bucket('5 minutes', time) AS time, max(p95_ms) AS value FROM shop_requests GROUP BY 1
  WITH (unit = 'ms', better = 'low', steward = 'you');

CREATE BASELINE IF NOT EXISTS shop_p95_b ON KPI shop_p95 SEASON (hour_of_week);

CREATE KPI IF NOT EXISTS shop_orders ON SERVICE shop AS
  SELECT time_bucket('5 minutes', time) AS time, sum(good) AS good, sum(total) AS total FROM shop_requests GROUP BY 1
  WITH (unit = 'requests', better = 'high', steward = 'you');

CREATE SLO IF NOT EXISTS shop_avail ON SERVICE shop OBJECTIVE 99.5% OVER ROLLING '28 days' AS
  SELECT time, good, total FROM kpi.shop_orders WITH (exclude = 'maintenance');

CREATE SLA IF NOT EXISTS shop_gold FOR CUSTOMER 'acme' PERIOD '1 week' (shop_avail >= 99%)
  WITH (credits = '[{\"below\": 99, \"pct\": 10}]')";

/// What there is to see of it.
pub(super) const SHOWN: &str = "\
SELECT time, round(value) AS value, round(expected) AS expected, round(lower) AS lower, round(upper) AS upper,
  round(score, 1) AS score, band
FROM kpi.shop_p95 WHERE band = 'critical' ORDER BY score DESC, time LIMIT 5;

SELECT round(allowed) AS allowed, round(spent) AS spent, round(remaining, 3) AS remaining FROM error_budget('shop_avail');

SELECT period_start, target, round(attained, 5) AS attained, required, status, credit
FROM sla.shop_gold ORDER BY period_start DESC LIMIT 9";
