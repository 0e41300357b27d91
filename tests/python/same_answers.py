"""Compares the answers of two engines, as ask_fleet.py prints them, and prints a table of the times they took.

Usage: same_answers.py ANSWERS.json ANSWERS.json
"""

import json
import math
import sys

answers = [json.load(open(path, encoding="utf-8")) for path in sys.argv[1:]]
names = [f"{one['engine']} {one['version']}" for one in answers]
one, other = (each["answers"] for each in answers)
assert one.keys() == other.keys(), (list(one), list(other))


def unit(value):
    """The unit of the last digit of a number."""
    return 10 ** -len(repr(value).partition(".")[2])


def same(a, b):
    """Whether two values are the same. What is in the middle of two numbers is rounded to either."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1.01 * min(unit(a), unit(b)))
    return a == b


different = 0
print(f"| query | rows of the answer | {names[0]} | {names[1]} |")
print("| --- | ---: | ---: | ---: |")
for query, answer in one.items():
    second = other[query]
    print(f"| `{query}` | {len(answer['rows'])} | {answer['seconds']:.2f} s | {second['seconds']:.2f} s |")
    assert answer["columns"] == second["columns"], (query, answer["columns"], second["columns"])
    if len(answer["rows"]) != len(second["rows"]):
        print(f"{query}: {len(second['rows'])} rows", file=sys.stderr)
        different += 1
    for a, b in zip(answer["rows"], second["rows"]):
        if not all(map(same, a, b)):
            print(f"{query}: {names[0]} says {a}, {names[1]} says {b}", file=sys.stderr)
            different += 1
            break
sys.exit(1 if different else 0)
