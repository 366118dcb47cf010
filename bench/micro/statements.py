"""Microseconds to bind a prepared INSERT and to assemble a row, without network and storage.

python -m bench.micro.statements
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cluster.consistency import Consistency
from cql.assemble import Assembler
from cql.bind import Binding
from cql.plan import SelectPlan, WritePlan
from cql.protocol.requests import Execute, QueryOptions
from storage.slice import Page, PartitionRows
from tests.cql.fakes import Harness

COLUMNS = 5
VALUE = b"v" * 34
ROWS = 100
ROUNDS = 5
TABLE = "CREATE TABLE t (k text PRIMARY KEY, {})".format(
    ", ".join(f"c{i} text" for i in range(COLUMNS))
)


def best_us(work: Callable[[], object], count: int) -> float:
    """The best of a few rounds, in microseconds of CPU for each call."""
    results = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(count):
            work()
        results.append((time.process_time() - start) / count * 1e6)
    return min(results)


def main() -> None:
    harness = Harness()
    harness.run(
        "CREATE KEYSPACE k WITH replication = {'class': 'LocalStrategy'}".replace(
            "'LocalStrategy'", "'SimpleStrategy', 'replication_factor': 1"
        )
    )
    harness.run("USE k")
    harness.run(TABLE)
    names = ", ".join(f"c{i}" for i in range(COLUMNS))
    marks = ", ".join("?" * (COLUMNS + 1))
    insert = harness.prepare(f"INSERT INTO t (k, {names}) VALUES ({marks})")
    plan = harness.prepared.get(insert.id, harness.holder.current).plan
    assert isinstance(plan, WritePlan) and plan.one is not None
    moment = harness.moment()
    values: list[Any] = [b"key0000001"] + [VALUE] * COLUMNS
    one = plan.one
    print(f"bind: {best_us(lambda: one.bind(Binding(values, 1, 1, moment, None)), 20000):.2f} us")

    coordinator = harness.coordinator
    coordinator.write = lambda *args: None
    request = Execute(insert.id, None, QueryOptions(Consistency.ONE, values))
    executor, session = harness.executor, harness.session
    spent = best_us(lambda: executor.execute(request, session, moment), 20000)
    print(f"execute INSERT: {spent:.2f} us")

    select = harness.prepare("SELECT * FROM t WHERE k = ?")
    reading = harness.prepared.get(select.id, harness.holder.current).plan
    assert isinstance(reading, SelectPlan)
    mutation = one.bind(Binding(values, 1, 1, moment, None))
    row = mutation.items()[0][1]
    page = Page([PartitionRows(mutation.key, None, b"", [b""], [row])])
    selection = reading.selection

    def assemble() -> object:
        assembler = Assembler(
            selection.layout, selection.outputs or (), 1, reading.codec, False, False
        )
        for _ in range(ROWS):
            assembler.add_partition(page.partitions[0])
        return assembler.take()

    print(f"assemble: {best_us(assemble, 500) / ROWS:.2f} us a row")
    coordinator.read = lambda *args: page
    request = Execute(select.id, None, QueryOptions(Consistency.ONE, values[:1], page_size=5000))
    spent = best_us(lambda: executor.execute(request, session, moment), 20000)
    print(f"execute SELECT by key: {spent:.2f} us")


if __name__ == "__main__":
    main()
