#!/usr/bin/env python3
"""psycopg 3 against a running server: what Python programs do with it, simple and extended, text and binary.

Usage: psycopg_client.py --pg "host=127.0.0.1 port=5433 user=postgres dbname=postgres"

Prints a line per failure and `N passed, N failed`; the exit status is 1 when something failed.
"""

import argparse
import sys
import threading
import traceback
from datetime import datetime, timedelta, timezone

import psycopg
from psycopg import errors

NEW_YEAR = datetime(2024, 1, 1, tzinfo=timezone.utc)
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def connect(dsn, **options):
    return psycopg.connect(dsn, autocommit=True, **options)


def expect(error, connection, query, parameters=None):
    try:
        connection.execute(query, parameters)
    except error as raised:
        return raised
    raise AssertionError(f"no {error.__name__} from {query}")


@check
def server_says_who_it_is(dsn):
    with connect(dsn) as connection:
        assert connection.info.server_version == 150000, connection.info.server_version
        assert connection.info.parameter_status("server_version").startswith("15.0 (Plimsoll ")
        assert connection.info.encoding == "utf-8"
        assert connection.info.backend_pid > 0


@check
def rows_by_simple_protocol(dsn):
    with connect(dsn) as connection:
        row = connection.execute("SELECT time, host, usage, cores FROM py_cpu ORDER BY time, host LIMIT 1").fetchone()
        assert row == (NEW_YEAR, "a", 0.5, 8), row


@check
def rows_by_extended_protocol(dsn):
    with connect(dsn) as connection:
        query = "SELECT usage FROM py_cpu WHERE host = %s AND time >= %s AND usage < %s ORDER BY time LIMIT %s"
        row = connection.execute(query, ("b", NEW_YEAR + timedelta(minutes=1), 100.0, 1)).fetchone()
        assert row == (11.0,), row


@check
def rows_in_binary(dsn):
    with connect(dsn) as connection:
        cursor = connection.cursor(binary=True)
        row = cursor.execute("SELECT time, host, usage, cores FROM py_cpu ORDER BY time, host LIMIT %s", (1,)).fetchone()
        assert row == (NEW_YEAR, "a", 0.5, 8), row


@check
def statements_prepared_after_repeats(dsn):
    with connect(dsn) as connection:
        for number in range(12):
            row = connection.execute("SELECT %s::bigint + 1", (number,)).fetchone()
            assert row == (number + 1,), row
        connection.execute("DEALLOCATE ALL")


@check
def many_rows_inserted(dsn):
    with connect(dsn) as connection:
        connection.execute("CREATE TABLE py_many (time timestamptz, host text, v double precision, n bigint, ok boolean)")
        try:
            rows = [(NEW_YEAR + timedelta(seconds=n), f"h{n % 3}", n / 10, n, n % 2 == 0) for n in range(200)]
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO py_many (time, host, v, n, ok) VALUES (%s, %s, %s, %s, %s)", rows)
                assert cursor.rowcount == 200, cursor.rowcount
            stored = connection.execute("SELECT time, host, v, n, ok FROM py_many ORDER BY time").fetchall()
            assert stored == rows, stored[:3]
        finally:
            connection.execute("DROP TABLE py_many")


@check
def errors_have_their_classes(dsn):
    with connect(dsn) as connection:
        error = expect(errors.UndefinedTable, connection, "SELECT * FROM py_missing")
        assert error.diag.statement_position == "15", error.diag.statement_position
        assert error.diag.message_primary == 'relation "py_missing" does not exist', error.diag.message_primary
        expect(errors.UndefinedColumn, connection, "SELECT nope FROM py_cpu")
        expect(errors.SyntaxError, connection, "SELEC 1")
        expect(errors.UndefinedFunction, connection, "SELECT nope(1)")
        expect(errors.UndefinedObject, connection, "SET nope = 1")
        expect(errors.DivisionByZero, connection, "SELECT 1/0")
        expect(errors.DuplicateTable, connection, "CREATE TABLE py_cpu (time timestamptz, v double precision)")
        assert connection.execute("SELECT 1").fetchone() == (1,)


@check
def transactions_for_reading(dsn):
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM py_cpu").fetchone() == (6,)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        try:
            with connection.transaction():
                connection.execute("SELECT * FROM py_missing")
        except errors.UndefinedTable:
            pass
        assert connection.execute("SELECT 1").fetchone() == (1,), "the savepoint was rolled back to"
        expect(errors.FeatureNotSupported, connection, "INSERT INTO py_cpu (time, host, usage) VALUES (now(), 'c', 1)")
        expect(errors.InFailedSqlTransaction, connection, "SELECT 1")
        connection.rollback()


@check
def pipelines(dsn):
    with connect(dsn) as connection:
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::bigint", (number,)) for number in range(20)]
        assert [cursor.fetchone() for cursor in cursors] == [(number,) for number in range(20)]


@check
def several_statements(dsn):
    with connect(dsn) as connection:
        cursor = connection.execute("SELECT 1; SELECT 2")
        assert cursor.fetchone() == (1,) and cursor.nextset() and cursor.fetchone() == (2,)


@check
def time_zones(dsn):
    with connect(dsn) as connection:
        connection.execute("SET TIME ZONE 'Asia/Kolkata'")
        assert connection.info.timezone.key == "Asia/Kolkata", connection.info.timezone
        time = connection.execute("SELECT min(time) FROM py_cpu").fetchone()[0]
        assert time == NEW_YEAR and time.utcoffset() == timedelta(hours=5, minutes=30), time


@check
def types_come_back(dsn):
    with connect(dsn) as connection:
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            for query, value in [
                ("SELECT 1.5::float8", 1.5),
                ("SELECT 'Infinity'::float8", float("inf")),
                ("SELECT true", True),
                ("SELECT NULL", None),
                ("SELECT 'x'", "x"),
                ("SELECT 42::bigint", 42),
                ("SELECT '2024-02-29'::date", datetime(2024, 2, 29).date()),
                ("SELECT interval '1 day 02:03:04.5'", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
                ("SELECT '2024-01-01 00:00:00.25'::timestamp", datetime(2024, 1, 1, 0, 0, 0, 250000)),
            ]:
                row = cursor.execute(query).fetchone()
                assert row == (value,), f"{query} (binary={binary}): {row}"


@check
def a_running_query_is_canceled(dsn):
    with connect(dsn) as connection:
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        product = ", ".join(f"py_cpu c{n}" for n in range(14))
        expect(errors.QueryCanceled, connection, f"SELECT sum(c0.usage) FROM {product}")
        timer.join()
        assert connection.execute("SELECT 1").fetchone() == (1,)


@check
def a_statement_times_out(dsn):
    with connect(dsn, options="-c statement_timeout=100ms") as connection:
        product = ", ".join(f"py_cpu c{n}" for n in range(14))
        expect(errors.QueryCanceled, connection, f"SELECT sum(c0.usage) FROM {product}")


def prepare(dsn):
    with connect(dsn) as connection:
        connection.execute("DROP TABLE IF EXISTS py_cpu")
        connection.execute("CREATE TABLE py_cpu (time timestamptz, host text, usage double precision, cores bigint)")
        with connection.cursor() as cursor:
            for minute in range(3):
                for host, base in (("a", 0.5), ("b", 10.0)):
                    values = (NEW_YEAR + timedelta(minutes=minute), host, base + minute, 8)
                    cursor.execute("INSERT INTO py_cpu (time, host, usage, cores) VALUES (%s, %s, %s, %s)", values)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pg", required=True, metavar="DSN", help="connection string of the server")
    dsn = parser.parse_args().pg
    prepare(dsn)
    failed = 0
    for function in CHECKS:
        try:
            function(dsn)
        except Exception:
            failed += 1
            print(f"FAILED {function.__name__}: {traceback.format_exc().strip().splitlines()[-1]}")
    with connect(dsn) as connection:
        connection.execute("DROP TABLE py_cpu")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
