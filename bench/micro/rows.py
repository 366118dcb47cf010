"""Micro-benchmark of rows and memtables: operations per second on this core.

Run from the root of a built tree: `python -m bench.micro.rows [operations]`.
"""

import random
import sys
import time
from collections.abc import Callable

from storage.memtable import Memtable
from storage.merge import PageMerge
from storage.mutation import Mutation, MutationBuilder
from storage.row import RowBuilder, live, merge_rows
from storage.slice import Page, Slice

TABLE = bytes(range(16))
COLUMNS = 5
VALUE = b"x" * 34
BATCH = 1000


def row_of(ts: int, columns: range = range(1, COLUMNS + 1)) -> bytes:
    """A row of an INSERT as cassandra-stress makes it: five values of 34 bytes."""
    builder = RowBuilder()
    builder.begin(ts, True)
    for column in columns:
        builder.cell(column, ts, VALUE)
    return builder.finish()


def mutation_of(key: bytes, clustering: bytes, row: bytes) -> Mutation:
    """One row of one partition."""
    builder = MutationBuilder(TABLE, key)
    builder.row(clustering, row)
    return builder.finish()


def measure(name: str, operations: int, work: Callable[[int], object]) -> None:
    """Prints how often per second `work` could be done, best of three."""
    best = 0.0
    for _ in range(3):
        start = time.perf_counter()
        for i in range(operations):
            work(i)
        best = max(best, operations / (time.perf_counter() - start))
    print(f"{name:52} {best:12,.0f} /s  {1e9 / best:8,.0f} ns")


def apply_all(name: str, memtable_of: Callable[[], Memtable], mutations: list[Mutation]) -> None:
    """Prints how many mutations per second an empty memtable takes."""
    best = 0.0
    for _ in range(3):
        memtable = memtable_of()
        start = time.perf_counter()
        for mutation in mutations:
            memtable.apply(mutation)
        best = max(best, len(mutations) / (time.perf_counter() - start))
    print(f"{name:52} {best:12,.0f} /s  {1e9 / best:8,.0f} ns")


def read(memtable: Memtable, wanted: Slice) -> Page:
    """One page of one partition, as the engine reads it when memory answers."""
    merge = PageMerge(wanted, 0)
    assert isinstance(wanted.key, bytes)
    run = memtable.find(wanted.key)
    assert run is not None
    merge.begin(wanted.key, (run.head,))
    while merge.advance() >= 0:
        merge.feed(0, run.chunk_at(merge.position(0), wanted.reverse))
    return merge.page()


def measure_rows(operations: int) -> None:
    """The row codec by itself."""
    a, b, other = row_of(1), row_of(2), row_of(2, range(6, 11))
    measure("build a row of 5 cells from Python", operations, row_of)
    measure("merge two rows of 5 cells, all in both", operations, lambda _: merge_rows(a, b))
    measure("merge two rows of 5 cells, none in both", operations, lambda _: merge_rows(a, other))
    measure("live, everything wanted", operations, lambda _: live(a, 0))
    measure("live, two columns wanted", operations, lambda _: live(a, 0, (1, 3)))


def measure_memtable(operations: int) -> None:
    """Writes and reads of a memtable."""
    chance = random.Random(1)
    keys = [chance.randbytes(8) + b"0P1K2L3M4N" for _ in range(operations)]
    clusterings = [b"\x80" + i.to_bytes(8, "big") for i in range(operations)]
    shuffled = list(clusterings)
    chance.shuffle(shuffled)
    row = row_of(1)
    narrow = [mutation_of(key, b"", row) for key in keys]
    wide = [mutation_of(keys[0], c, row) for c in clusterings]
    mixed = [mutation_of(keys[0], c, row) for c in shuffled]
    single = [mutation_of(key, clusterings[0], row) for key in keys]
    apply_all("apply, new partition of a mere row", lambda: Memtable(False, False), narrow)
    apply_all("apply, new partition of one clustering row", lambda: Memtable(True, False), single)
    apply_all("apply, wide partition, ascending", lambda: Memtable(True, False), wide)
    apply_all("apply, wide partition, random order", lambda: Memtable(True, False), mixed)
    narrow_table, wide_table = Memtable(False, False), Memtable(True, False)
    for mutation in narrow:
        narrow_table.apply(mutation)
    for mutation in mixed:
        wide_table.apply(mutation)
    measure("apply, overwrite a mere row", operations, lambda i: narrow_table.apply(narrow[i]))
    points = [Slice(TABLE, key=key) for key in keys]
    measure("read a mere row", operations, lambda i: read(narrow_table, points[i]))
    rows = [Slice(TABLE, key=keys[0], ranges=((c, c + b"\0"),)) for c in shuffled]
    measure("read one row of a wide partition", operations, lambda i: read(wide_table, rows[i]))
    whole = Slice(TABLE, key=keys[0])
    start = time.perf_counter()
    count = len(read(wide_table, whole).partitions[0].rows)
    seconds = time.perf_counter() - start
    print(f"{'scan a wide partition, rows':52} {count / seconds:12,.0f} /s")


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    measure_rows(count)
    measure_memtable(count)
