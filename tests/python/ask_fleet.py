"""Asks a fleet's rows what docs/fleet asks, by an engine, and prints the answers as JSON.

Usage: ask_fleet.py duckdb|spark DIRECTORY-OF-ROWS

The JSON has the engine's name and version, the columns of a row and their types, and for each query its
columns, its rows and the seconds that it took.
"""

import datetime
import decimal
import json
import os
import pathlib
import sys
import time

QUERIES = pathlib.Path(__file__).parents[2] / "docs" / "fleet"
# Where the queries take the rows from.
ROWS = "/mnt/rows"


def as_json(value):
    """A value of an answer as JSON has it."""
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, datetime.date) else value


def statements(path):
    """The statements of a file, without comments."""
    lines = (line.split("-- ")[0] for line in path.read_text(encoding="utf-8").splitlines())
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]


def open_duckdb(directory):
    """DuckDB's version, and what executes a statement: it returns columns with types, and rows."""
    import duckdb

    database = duckdb.connect()

    def execute(statement):
        cursor = database.execute(statement)
        columns = [[name, str(kind)] for name, kind, *_ in cursor.description or []]
        return columns, cursor.fetchall()

    for statement in statements(QUERIES / "open-duckdb.sql"):
        execute(statement.replace(ROWS, directory))
    return duckdb.__version__, execute


def open_spark(directory):
    """The same of Spark."""
    # Times come in the zone of the process.
    os.environ["TZ"] = "UTC"
    time.tzset()
    import pyspark
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[*]").appName("fleet")
    for key, value in {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": "3g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.shuffle.partitions": "8",
        "spark.log.level": "ERROR",
    }.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()

    def execute(statement):
        frame = session.sql(statement)
        rows = [tuple(row) for row in frame.collect()]
        return [[field.name, field.dataType.simpleString()] for field in frame.schema.fields], rows

    for statement in statements(QUERIES / "open-spark.sql"):
        execute(statement.replace(ROWS, directory))
    return pyspark.__version__, execute


engine, directory = sys.argv[1:]
version, execute = {"duckdb": open_duckdb, "spark": open_spark}[engine](directory)
schema, _ = execute("SELECT * FROM connections LIMIT 0")
answers = {}
for query in sorted(QUERIES.glob("*.sql")):
    if query.stem.startswith("open-"):
        continue
    (statement,) = statements(query)
    begin = time.monotonic()
    columns, rows = execute(statement)
    seconds = time.monotonic() - begin
    answers[query.stem] = {
        "columns": [name for name, _ in columns],
        "rows": [[as_json(value) for value in row] for row in rows],
        "seconds": seconds,
    }
json.dump({"engine": engine, "version": version, "schema": schema, "answers": answers}, sys.stdout)
