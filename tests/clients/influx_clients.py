#!/usr/bin/env python3
"""Writes through InfluxDB's own Python clients and asks SQL what has arrived.

    pip install influxdb influxdb-client 'psycopg[binary]'
    python influx_clients.py --http http://127.0.0.1:8086 --pg 'host=127.0.0.1 port=5433 user=postgres dbname=postgres'

Without --pg only what the clients are answered is checked. Prints "N passed, N failed"; exits with 1 if a check failed.
All timestamps are fixed, so that the script can be run again on the same data.
"""

import argparse
import gzip
import json
import sys
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import influxdb
from influxdb.exceptions import InfluxDBClientError
from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

START = datetime(2024, 3, 1, 12, 0, 0, tzinfo=timezone.utc)

CHECKS = []


def check(function):
    """Registers a check; it gets the arguments and a function that runs SQL, or none."""
    CHECKS.append(function)
    return function


def expect(found, wanted):
    if found != wanted:
        raise AssertionError(f"found  {found!r}\n    wanted {wanted!r}")


def seconds(count):
    return START + timedelta(seconds=count)


def v1(args, **options):
    url = urlsplit(args.http)
    return influxdb.InfluxDBClient(host=url.hostname, port=url.port, username="u", password="p", database="d", **options)


def v2(args, **options):
    return InfluxDBClient(url=args.http, token="token", org="org", **options)


@check
def v1_greets(args, sql):
    client = v1(args)
    assert client.ping(), "ping names no version"
    client.create_database("d")
    client.create_database('odd "name"')
    assert client.get_list_database(), "there is a database"


@check
def v1_writes_points(args, sql):
    points = [
        {
            "measurement": "py1_points",
            "tags": {"host": f"h{n}", "odd, =tag": "a, =b"},
            "time": seconds(n).isoformat(),
            "fields": {"float": 1.5 + n, "integer": n, "flag": n % 2 == 0, "text": 'say "hi"\\\n, twice'},
        }
        for n in range(3)
    ]
    assert v1(args).write_points(points)
    if sql:
        rows = sql('SELECT time, host, "odd, =tag", "float", "integer", flag, "text" FROM py1_points ORDER BY time')
        # This client sends a line end as a backslash and an n.
        text = 'say "hi"\\\\n, twice'
        expect(rows, [(seconds(n), f"h{n}", "a, =b", 1.5 + n, n, n % 2 == 0, text) for n in range(3)])


@check
def v1_writes_every_precision(args, sql):
    units = {"n": 1, "u": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
    start_ns = int(START.timestamp()) * 10**9
    for word, unit_ns in units.items():
        point = {"measurement": "py1_precision", "tags": {"unit": word}, "time": start_ns // unit_ns, "fields": {"f": 1}}
        assert v1(args).write_points([point], time_precision=word)
    if sql:
        rows = sql("SELECT unit, time FROM py1_precision ORDER BY unit")
        expect(rows, [(word, START) for word in sorted(units)])


@check
def v1_writes_gzip(args, sql):
    points = [{"measurement": "py1_gzip", "time": seconds(n).isoformat(), "fields": {"n": n}} for n in range(20_000)]
    assert v1(args, gzip=True).write_points(points, batch_size=5_000)
    if sql:
        expect(sql("SELECT count(*), sum(n), min(time), max(time) FROM py1_gzip"), [(20_000, 199_990_000, START, seconds(19_999))])


@check
def v1_hears_of_bad_lines(args, sql):
    lines = [f"py1_bad f=1 {n}" for n in range(4)]
    lines[2] = "py1_bad f=1x 2"
    try:
        v1(args).write_points(lines, protocol="line")
        raise AssertionError("a bad line is not reported")
    except InfluxDBClientError as error:
        expect(error.code, 400)
        for part in ("partial write: ", "unable to parse 'py1_bad f=1x 2': invalid number", "line 3", "dropped=0"):
            assert part in str(error), f"{part!r} is not in {error}"
    if sql:
        expect(sql("SELECT count(*) FROM py1_bad"), [(3,)])


@check
def v1_hears_of_conflicts(args, sql):
    try:
        v1(args).write_points(["py1_conflict f=1 1", 'py1_conflict f="x" 2', "py1_conflict f=3i 3"], protocol="line")
        raise AssertionError("a type conflict is not reported")
    except InfluxDBClientError as error:
        wanted = 'field type conflict: input field "f" on measurement "py1_conflict" is type string, already exists as type float'
        for part in ("partial write: ", wanted, "line 2", "dropped=1"):
            assert part in json.loads(error.content)["error"], f"{part!r} is not in {error}"
    if sql:
        expect(sql("SELECT f FROM py1_conflict ORDER BY time"), [(1.0,), (3.0,)])


@check
def v1_hears_what_is_not_spoken(args, sql):
    try:
        v1(args).query("SELECT * FROM m")
        raise AssertionError("InfluxQL is not refused")
    except InfluxDBClientError as error:
        assert "SQL" in str(error), str(error)


@check
def v2_greets(args, sql):
    with v2(args) as client:
        assert client.ping(), "ping"
        assert "plimsoll" in client.version(), client.version()
        expect(client.health().status, "pass")


@check
def v2_writes_points(args, sql):
    points = [
        Point("py2_points").tag("host", f"h{n}").tag("odd, =tag", "ø, =b").field("float", 1.5 + n).field("integer", n)
        .field("flag", n % 2 == 0).field("text", 'say "hi"\\').time(seconds(n), WritePrecision.NS)
        for n in range(3)
    ]
    with v2(args) as client:
        client.write_api(write_options=SYNCHRONOUS).write(bucket="b", record=points)
    if sql:
        rows = sql('SELECT time, host, "odd, =tag", "float", "integer", flag, "text" FROM py2_points ORDER BY time')
        expect(rows, [(seconds(n), f"h{n}", "ø, =b", 1.5 + n, n, n % 2 == 0, 'say "hi"\\') for n in range(3)])


@check
def v2_writes_every_precision(args, sql):
    precisions = [WritePrecision.NS, WritePrecision.US, WritePrecision.MS, WritePrecision.S]
    with v2(args) as client:
        api = client.write_api(write_options=SYNCHRONOUS)
        for precision in precisions:
            point = Point("py2_precision").tag("unit", precision).field("f", 1).time(START, precision)
            api.write(bucket="b", record=point, write_precision=precision)
    if sql:
        rows = sql("SELECT unit, time FROM py2_precision ORDER BY unit")
        expect(rows, [(word, START) for word in sorted(precisions)])


@check
def v2_writes_batches_in_the_background(args, sql):
    failed = []
    with v2(args, enable_gzip=True) as client:
        options = WriteOptions(batch_size=1_000, flush_interval=100)
        with client.write_api(write_options=options, error_callback=lambda *e: failed.append(e)) as api:
            for n in range(10_000):
                api.write(bucket="b", record=f"py2_batch,host=h{n % 10} n={n}i {int(START.timestamp()) + n}", write_precision="s")
    expect(failed, [])
    if sql:
        expect(sql("SELECT count(*), sum(n), count(DISTINCT host) FROM py2_batch"), [(10_000, 49_995_000, 10)])


@check
def v2_hears_of_bad_lines(args, sql):
    with v2(args) as client:
        try:
            client.write_api(write_options=SYNCHRONOUS).write(bucket="b", record="py2_bad f=1 1\nbad line\npy2_bad f=2 2")
            raise AssertionError("a bad line is not reported")
        except ApiException as error:
            expect(error.status, 400)
            for part in ('"code":"invalid"', "partial write: unable to parse 'bad line'", "line 2"):
                assert part in error.body, f"{part!r} is not in {error.body}"
    if sql:
        expect(sql("SELECT f FROM py2_bad ORDER BY time"), [(1.0,), (2.0,)])


@check
def v2_merges_fields_and_the_later_write_wins(args, sql):
    with v2(args) as client:
        api = client.write_api(write_options=SYNCHRONOUS)
        for record in ("py2_merge,t=a f=1,g=1 1", "py2_merge,t=a g=2,h=2 1", "py2_merge,t=b f=3 1"):
            api.write(bucket="b", record=record)
    if sql:
        expect(sql("SELECT t, f, g, h FROM py2_merge ORDER BY t"), [("a", 1.0, 2.0, 2.0), ("b", 3.0, None, None)])


def post(args, path, body, **headers):
    request = urllib.request.Request(args.http + path, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@check
def bodies_that_cannot_be_read(args, sql):
    good = gzip.compress(b"py_gzip f=1 1")
    gzipped = {"Content-Encoding": "gzip"}
    expect(post(args, "/write?db=d", good, **gzipped), (204, ""))
    for broken in (b"not gzip", good[:-9], good[:-8] + b"\0" * 8):
        expect(post(args, "/write?db=d", broken, **gzipped)[0], 400)
    expect(post(args, "/write?db=d", b"py_gzip f=2 2", **{"Content-Encoding": "br"})[0], 415)
    expect(post(args, "/api/v2/write?precision=day", b"py_gzip f=2 2")[0], 400)
    if sql:
        expect(sql("SELECT f FROM py_gzip"), [(1.0,)])


def connect(dsn):
    import psycopg

    connection = psycopg.connect(dsn, autocommit=True)
    return lambda query: [tuple(row) for row in connection.execute(query).fetchall()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--http", required=True, help="URL of the HTTP endpoints")
    parser.add_argument("--pg", help="connection string of the PostgreSQL endpoint")
    args = parser.parse_args()
    args.http = args.http.rstrip("/")
    sql = connect(args.pg) if args.pg else None
    failed = 0
    for function in CHECKS:
        try:
            function(args, sql)
            print(f"ok    {function.__name__}")
        except Exception as error:  # one failed check must not hide the others
            failed += 1
            print(f"FAIL  {function.__name__}\n    {type(error).__name__}: {error}")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
