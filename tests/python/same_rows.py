"""Reads rows as JSON lines, CSV and Parquet, and checks that they are the same; prints how many.

Usage: same_rows.py ROWS.jsonl ROWS.csv ROWS.parquet
"""

import csv
import datetime
import json
import sys

import duckdb

of_json, of_csv, of_parquet = sys.argv[1:]

with open(of_json, encoding="utf-8") as file:
    rows = [json.loads(line) for line in file]
columns = list(rows[0])


def as_text(value):
    """A value as CSV has it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


with open(of_csv, encoding="utf-8", newline="") as file:
    header, *lines = csv.reader(file)
assert header == columns, header
for row, line in zip(rows, lines, strict=True):
    assert line == [as_text(value) for value in row.values()], (row, line)

# Times come as microseconds: with time zones, DuckDB would need another package.
database = duckdb.connect()
described = database.execute("describe select * from read_parquet(?)", [of_parquet]).fetchall()
assert [name for name, *_ in described] == columns, described
types = {name: kind for name, kind, *_ in described}
selected = ", ".join(
    f'epoch_us("{name}")' if types[name].startswith("TIMESTAMP") else f'"{name}"' for name in columns
)
read = database.execute(f"select {selected} from read_parquet(?)", [of_parquet]).fetchall()


def as_parquet(name, value):
    """A value as the Parquet file has it."""
    if value is not None and types[name].startswith("TIMESTAMP"):
        since = datetime.datetime.fromisoformat(value) - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        return since // datetime.timedelta(microseconds=1)
    return value


for row, line in zip(rows, read, strict=True):
    assert list(line) == [as_parquet(name, value) for name, value in row.items()], (row, line)
kinds = {bool: "BOOLEAN", int: "BIGINT", str: "VARCHAR"}
for name, value in rows[0].items():
    if value is not None and not types[name].startswith("TIMESTAMP"):
        assert types[name] == kinds[type(value)], (name, types[name])
assert types["start_time"] == "TIMESTAMP WITH TIME ZONE", types["start_time"]
print(len(rows))
