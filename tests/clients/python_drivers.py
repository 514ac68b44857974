#!/usr/bin/env python3
"""psycopg2, asyncpg, pg8000, SQLAlchemy and psycopg's cursors and copies against a running server.

Usage: python_drivers.py --pg "host=127.0.0.1 port=5433 user=postgres dbname=postgres"

Prints a line per failure and `N passed, N failed`; the exit status is 1 when something failed.
"""

import argparse
import asyncio
import io
import sys
import traceback
from datetime import datetime, timedelta, timezone

import asyncpg
import pg8000.dbapi
import psycopg
import psycopg2
import psycopg2.extras
import sqlalchemy

NEW_YEAR = datetime(2024, 1, 1, tzinfo=timezone.utc)
NUMBERS = "SELECT n FROM py_numbers ORDER BY time"
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def words(dsn):
    return dict(word.split("=", 1) for word in dsn.split())


@check
def psycopg_reads_by_a_cursor_of_the_server(dsn):
    with psycopg.connect(dsn) as connection:
        with connection.cursor(name="numbers") as cursor:
            cursor.itersize = 30
            cursor.execute(NUMBERS)
            assert [row[0] for row in cursor] == list(range(100))
        with connection.cursor(name="some", withhold=True) as cursor:
            cursor.execute("SELECT n FROM py_numbers WHERE n >= %s ORDER BY n", (90,))
            assert cursor.fetchmany(3) == [(90,), (91,), (92,)]
            connection.commit()
            assert len(cursor.fetchall()) == 7


@check
def psycopg_copies_rows_out(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY (SELECT time, host, n FROM py_numbers ORDER BY time LIMIT 2) TO STDOUT") as copy:
            copy.set_types(["timestamptz", "text", "int8"])
            rows = list(copy.rows())
        assert rows == [(NEW_YEAR, "h0", 0), (NEW_YEAR + timedelta(seconds=1), "h1", 1)], rows
        with cursor.copy("COPY (SELECT host, n FROM py_numbers ORDER BY time) TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(["text", "int8"])
            assert [row[1] for row in copy.rows()] == list(range(100))


@check
def psycopg2_reads_and_writes(dsn):
    connection = psycopg2.connect(dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT n FROM py_numbers WHERE host = %s AND time > %s ORDER BY n", ("h1", NEW_YEAR))
            assert cursor.fetchone() == (1,)
        with connection.cursor(name="named") as cursor:
            cursor.itersize = 40
            cursor.execute(NUMBERS)
            assert [row[0] for row in cursor] == list(range(100))
        connection.commit()
        connection.set_session(autocommit=True)
        with connection.cursor() as cursor:
            rows = [(NEW_YEAR + timedelta(days=1, seconds=n), "v", n) for n in range(5)]
            psycopg2.extras.execute_values(cursor, "INSERT INTO py_numbers (time, host, n) VALUES %s", rows)
            text = io.StringIO()
            cursor.copy_expert("COPY (SELECT host, n FROM py_numbers WHERE host = 'v' ORDER BY n) TO STDOUT CSV", text)
            assert text.getvalue().splitlines() == [f"v,{n}" for n in range(5)], text.getvalue()
            cursor.execute("DELETE FROM py_numbers WHERE host = 'v'")
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM py_missing")
            raise AssertionError("no error")
        except psycopg2.errors.UndefinedTable:
            pass
    finally:
        connection.close()


@check
def asyncpg_reads_cursors_and_copies(dsn):
    async def run():
        given = words(dsn)
        connection = await asyncpg.connect(
            host=given["host"], port=int(given["port"]), user=given["user"], database=given["dbname"]
        )
        try:
            row = await connection.fetchrow("SELECT time, host, n FROM py_numbers WHERE n = $1", 7)
            assert tuple(row) == (NEW_YEAR + timedelta(seconds=7), "h1", 7), row
            async with connection.transaction():
                read = [row["n"] async for row in connection.cursor(NUMBERS, prefetch=30)]
            assert read == list(range(100))
            array = await connection.fetchval("SELECT '{1,2}'::int[]")
            assert array == [1, 2], array
            out = io.BytesIO()
            await connection.copy_from_query("SELECT n FROM py_numbers ORDER BY time LIMIT 3", output=out, format="csv")
            assert out.getvalue() == b"0\n1\n2\n", out.getvalue()
            out = io.BytesIO()
            await connection.copy_from_table("py_numbers", columns=["n"], output=out, format="csv", header=True)
            assert len(out.getvalue().splitlines()) == 101
        finally:
            await connection.close()
        pool = await asyncpg.create_pool(
            host=given["host"], port=int(given["port"]), user=given["user"], database=given["dbname"], min_size=1, max_size=3
        )
        async with pool:
            counts = await asyncio.gather(*(pool.fetchval("SELECT count(*) FROM py_numbers") for _ in range(9)))
        assert counts == [100] * 9, counts

    asyncio.run(run())


@check
def pg8000_reads(dsn):
    given = words(dsn)
    connection = pg8000.dbapi.connect(
        user=given["user"], host=given["host"], port=int(given["port"]), database=given["dbname"]
    )
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT time, host, n FROM py_numbers WHERE n < %s ORDER BY n", (2,))
        rows = [tuple(row) for row in cursor.fetchall()]
        assert rows == [(NEW_YEAR, "h0", 0), (NEW_YEAR + timedelta(seconds=1), "h1", 1)], rows
        connection.rollback()
    finally:
        connection.close()


@check
def sqlalchemy_reflects_tables(dsn):
    given = words(dsn)
    address = f"{given['user']}@{given['host']}:{given['port']}/{given['dbname']}"
    for driver in ("psycopg2", "psycopg", "pg8000"):
        engine = sqlalchemy.create_engine(f"postgresql+{driver}://{address}")
        inspector = sqlalchemy.inspect(engine)
        assert "public" in inspector.get_schema_names()
        assert "py_numbers" in inspector.get_table_names(), driver
        columns = {column["name"]: column for column in inspector.get_columns("py_numbers")}
        assert list(columns) == ["time", "host", "n"], columns
        assert isinstance(columns["time"]["type"], sqlalchemy.types.TIMESTAMP) and columns["time"]["type"].timezone
        assert isinstance(columns["n"]["type"], sqlalchemy.types.BIGINT) and not columns["time"]["nullable"]
        assert inspector.get_pk_constraint("py_numbers")["constrained_columns"] == []
        assert inspector.get_foreign_keys("py_numbers") == [] and inspector.get_indexes("py_numbers") == []
        assert inspector.has_table("py_numbers") and not inspector.has_table("py_missing")
        table = sqlalchemy.Table("py_numbers", sqlalchemy.MetaData(), autoload_with=engine)
        with engine.connect() as connection:
            query = sqlalchemy.select(table.c.host, sqlalchemy.func.count()).group_by(table.c.host).order_by(table.c.host)
            assert [tuple(row) for row in connection.execute(query)] == [("h0", 34), ("h1", 33), ("h2", 33)], driver
        engine.dispose()


def prepare(dsn):
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS py_numbers")
        connection.execute("CREATE TABLE py_numbers (time timestamptz, host text, n bigint)")
        with connection.cursor() as cursor:
            rows = [(NEW_YEAR + timedelta(seconds=n), f"h{n % 3}", n) for n in range(100)]
            cursor.executemany("INSERT INTO py_numbers (time, host, n) VALUES (%s, %s, %s)", rows)


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
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP TABLE py_numbers")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
