"""Statements per second through the CQL parser: `python -m bench.micro.parser`."""

from __future__ import annotations

import time

from cql.parser.grammar import parse

ROUNDS = 7
STATEMENTS_PER_ROUND = 3000
STATEMENTS = {
    "insert, 6 markers": (
        "INSERT INTO ks.standard1 (key, c0, c1, c2, c3, c4) VALUES (?, ?, ?, ?, ?, ?)"
    ),
    "select, 3 relations": (
        "SELECT a, b, c FROM ks.t WHERE pk = 5 AND c1 > 'abc' AND c2 IN (1, 2, 3) LIMIT 10"
    ),
    "update, 2 columns": "UPDATE ks.t SET a = ?, b = b + {'x'} WHERE k = 1 AND c = 'y'",
    "select *": "SELECT * FROM system.local WHERE key = 'local'",
}


def seconds_per_statement(text: str) -> float:
    """The best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(STATEMENTS_PER_ROUND):
            parse(text)
        best = min(best, (time.perf_counter() - start) / STATEMENTS_PER_ROUND)
    return best


def main() -> None:
    """Print one line per statement."""
    for name, text in STATEMENTS.items():
        seconds = seconds_per_statement(text)
        print(f"{name:<22}{seconds * 1e6:8.1f} us  {1 / seconds:10.0f} statements/s")


if __name__ == "__main__":
    main()
