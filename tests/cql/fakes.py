"""A coordinator over a dictionary and a harness which runs whole statements in one process."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cluster.consistency import Consistency
from cql.ddl import execute_ddl
from cql.ddl_common import DdlEnvironment
from cql.executor import Executor
from cql.moment import Moment
from cql.parser.grammar import parse
from cql.prepared import PreparedStatements
from cql.protocol.requests import Batch, Execute, QueryOptions
from cql.results import Prepared, Result, Rows, SetKeyspace
from cql.results_memory import Results
from cql.schema import Schema, SchemaHolder, Table
from cql.system.facts import NodeFacts
from cql.system.tables import SystemTables, system_keyspaces
from storage.mutation import Mutation, merge_mutations
from storage.row import CellCursor, RowBuilder, live, merge_rows, shadow
from storage.slice import Page, PartitionRows, Slice

NEVER = -(1 << 63)


@dataclass
class Partition:
    """Everything written to one partition."""

    deletion: tuple[int, int] = (NEVER, 0)
    ranges: list[tuple[bytes, bytes, int]] = field(default_factory=list)
    rows: dict[bytes, bytes] = field(default_factory=dict)

    def row(self, clustering: bytes) -> bytes:
        """The row with all deletions applied."""
        row = self.rows[clustering]
        deleted = [self.deletion[0]]
        deleted += [
            ts
            for start, end, ts in self.ranges
            if start <= clustering and (not end or clustering < end)
        ]
        return shadow(row, max(deleted))


class FakeCoordinator:
    """Keeps mutations in dictionaries and answers slices by looking at everything."""

    def __init__(self) -> None:
        self.tables: dict[bytes, dict[bytes, Partition]] = {}
        self.has_clustering: dict[bytes, bool] = {}
        self.has_static: dict[bytes, bool] = {}
        self.writes: list[Mutation] = []
        self.reads: list[Slice] = []
        self.waits = False
        self.batches: list[tuple[bool, list[Mutation]]] = []

    def write(
        self,
        mutation: Mutation,
        replication: Any,
        level: Any,
        deadline: float,
        kind: str = "SIMPLE",
    ) -> Awaitable[None] | None:
        self.writes.append(mutation)
        self._apply(mutation)
        return self._later(None) if self.waits else None

    def _apply(self, mutation: Mutation) -> None:
        partition = self.tables.setdefault(mutation.table_id, {}).setdefault(
            mutation.key, Partition()
        )
        if mutation.deletion is not None:
            partition.deletion = max(partition.deletion, mutation.deletion)
        for item in mutation.items():
            if len(item) == 2:
                clustering, row = item
                old = partition.rows.get(clustering)
                partition.rows[clustering] = row if old is None else merge_rows(old, row)
            else:
                start, end, ts, _ = item
                partition.ranges.append((start, end, ts))

    def count(
        self, increments: Mutation, replication: Any, level: Any, deadline: float
    ) -> Awaitable[None] | None:
        partition = self.tables.get(increments.table_id, {}).get(increments.key)
        for item in increments.items():
            clustering, row = item[0], item[1]
            stored = (
                partition.row(clustering) if partition and clustering in partition.rows else b""
            )
            self._apply(self._resolved(increments, clustering, row, stored))
        return None

    def _resolved(
        self, increments: Mutation, clustering: bytes, row: bytes, stored: bytes
    ) -> Mutation:
        from storage.mutation import MutationBuilder

        counts = _cells(stored) if stored else {}
        builder = RowBuilder()
        ts = 0
        cells = []
        for column, (value, timestamp) in _cells(row).items():
            old = counts.get(column, (bytes(32), 0))[0]
            total = int.from_bytes(old[24:], "big", signed=True) + int.from_bytes(
                value, "big", signed=True
            )
            ts = timestamp
            cells.append((column, bytes(24) + total.to_bytes(8, "big", signed=True)))
        builder.begin(ts, False)
        for column, context in cells:
            builder.tombstone  # noqa: B018 - counters are never tombstones here
            builder.counter(column, ts, context)
        result = MutationBuilder(increments.table_id, increments.key)
        result.row(clustering, builder.finish())
        key = self.tables.setdefault(increments.table_id, {}).setdefault(
            increments.key, Partition()
        )
        key.rows.pop(clustering, None)
        return result.finish()

    def write_batch(
        self,
        mutations: list[Mutation],
        replication_of: Callable[[Mutation], Any],
        level: Any,
        deadline: float,
        logged: bool,
    ) -> Awaitable[None] | None:
        self.batches.append((logged, mutations))
        for mutation in merge_mutations(mutations):
            replication_of(mutation)
            self._apply(mutation)
        return self._later(None) if self.waits else None

    async def cas(
        self,
        wanted: Slice,
        replication: Any,
        serial_level: Any,
        level: Any,
        deadline: float,
        wall_s: int,
        decide: Callable[[Page], Mutation | None],
    ) -> tuple[bool, Page]:
        page = self._read(wanted, wall_s)
        mutation = decide(page)
        if mutation is None:
            return False, page
        self._apply(mutation)
        return True, page

    async def truncate(self, table_id: bytes, name: str, deadline: float) -> None:
        self.tables.pop(table_id, None)

    def read(
        self, wanted: Slice, replication: Any, level: Any, wall_s: int, deadline: float
    ) -> Page | Awaitable[Page]:
        self.reads.append(wanted)
        page = self._read(wanted, wall_s)
        return self._later(page) if self.waits else page

    async def _later(self, value: Any) -> Any:
        return value

    def _read(self, wanted: Slice, wall_s: int) -> Page:
        table = self.tables.get(wanted.table_id, {})
        found: list[PartitionRows] = []
        count = size = 0
        for key in sorted(table):
            if not _wants(wanted, key):
                continue
            rows = self._rows(wanted, table[key], key, wall_s)
            if rows is None:
                continue
            kept_c: list[bytes] = []
            kept_r: list[bytes] = []
            for clustering, row in zip(rows.clusterings, rows.rows, strict=True):
                if (wanted.row_limit and count >= wanted.row_limit) or (
                    wanted.byte_limit and size >= wanted.byte_limit
                ):
                    last = kept_c[-1] if kept_c else None
                    if last is None:
                        return _page(found)
                    found.append(PartitionRows(key, None, rows.static_row, kept_c, kept_r))
                    return Page(found, True, key, last)
                kept_c.append(clustering)
                kept_r.append(row)
                count += 1
                size += len(row)
            if not rows.rows:
                if wanted.row_limit and count >= wanted.row_limit:
                    return _page(found)
                count += 1
            found.append(PartitionRows(key, None, rows.static_row, kept_c, kept_r))
            if wanted.row_limit and count >= wanted.row_limit and not isinstance(wanted.key, bytes):
                return Page(found, True, key, b"")
        return Page(found, False, found[-1].key if found else b"", b"")

    def _rows(
        self, wanted: Slice, partition: Partition, key: bytes, wall_s: int
    ) -> PartitionRows | None:
        has_static = self.has_static[wanted.table_id]
        static = b""
        if has_static and b"" in partition.rows and wanted.static:
            static = live(partition.row(b""), wall_s, wanted.columns)
        clusterings = sorted(c for c in partition.rows if c or not has_static)
        if wanted.reverse:
            clusterings.reverse()
        kept: list[tuple[bytes, bytes]] = []
        resumes = key == wanted.resume_key and wanted.resume_clustering
        given = wanted.resume_rows if resumes else 0
        for clustering in clusterings:
            if not any(s <= clustering and (not e or clustering < e) for s, e in wanted.ranges):
                continue
            if resumes and not (
                clustering < wanted.resume_clustering
                if wanted.reverse
                else clustering > wanted.resume_clustering
            ):
                continue
            row = live(partition.row(clustering), wall_s, wanted.columns)
            if not row:
                continue
            if wanted.partition_limit and given + len(kept) >= wanted.partition_limit:
                break
            kept.append((clustering, row))
            if wanted.distinct:
                break
        whole = all(s in (b"", b"\x01") and e == b"" for s, e in wanted.ranges)
        if not kept and not (static and whole and not resumes):
            return None
        return PartitionRows(key, None, static, [c for c, _ in kept], [r for _, r in kept])


def _cells(row: bytes) -> dict[int, tuple[bytes, int]]:
    cursor = CellCursor()
    cursor.reset(row)
    found = {}
    while cursor.next():
        found[cursor.column] = (cursor.value(), cursor.timestamp)
    return found


def _page(found: list[PartitionRows]) -> Page:
    last = found[-1]
    return Page(found, True, last.key, b"")


def _wants(wanted: Slice, key: bytes) -> bool:
    if isinstance(wanted.key, bytes):
        return key == wanted.key
    if wanted.key is not None:
        start, end = wanted.key
        if key < start or (end and key >= end):
            return False
    if wanted.resume_key:
        if key < wanted.resume_key:
            return False
        if key == wanted.resume_key and not wanted.resume_clustering:
            return False
    return True


FACTS = NodeFacts(
    host_id=UUID(int=1, version=4),
    cluster_name="fake",
    datacenter="datacenter1",
    rack="rack1",
    tokens=(0,),
    listen_address="127.0.0.1",
    broadcast_address="127.0.0.1",
    rpc_address="127.0.0.1",
    storage_port=7000,
    native_port=9042,
    generation=1,
    version="0.0.0",
)


@dataclass
class FakeSession:
    """A connection's keyspace."""

    keyspace: str | None = None


def _rested(answer: Any) -> Any:
    """What long work gives, which may rest but never truly waits for anything here."""
    try:
        while True:
            assert answer.send(None) is None, "fakes never truly wait"
    except StopIteration as done:
        return done.value


class Harness:
    """Runs statements over a fake coordinator, at a time that only the test moves."""

    def __init__(self, seed: int = 1) -> None:
        self.holder = SchemaHolder(Schema(system_keyspaces()))
        self.system = SystemTables(FACTS, self.holder)
        self.coordinator: Any = FakeCoordinator()
        self.random = random.Random(seed)
        self.session = FakeSession()
        self.timestamp_us = 1_700_000_000_000_000
        self.wall_s = 1_700_000_000
        self.prepared = PreparedStatements()
        self.results = Results()
        self.executor = Executor(
            self.holder,
            self.prepared,
            self.coordinator,
            self,
            chance=self.random,
            paging_key=b"a key of the tests",
            results=self.results,
        )

    # ---------------------------------------------------------------- ports

    async def ddl(self, text: str, keyspace: str | None, moment: Moment) -> Result | None:
        environment = DdlEnvironment(self.random, moment.timestamp_us, {"datacenter1": 1})
        statement: Any = parse(text)
        outcome = execute_ddl(statement, self.holder.current, keyspace, environment)
        self.holder.replace(self.holder.current.apply(outcome.ops))
        self.layouts_changed()
        return outcome.change

    def layouts_changed(self) -> None:
        """Tell storage about the tables."""
        for table in self.holder.current.tables():
            self.coordinator.has_static[table.id.bytes] = bool(table.static)
            self.coordinator.has_clustering[table.id.bytes] = bool(table.clustering)

    def replication(self, keyspace: str) -> Any:
        return keyspace

    def read_virtual(self, table: Table, wanted: Slice) -> Page:
        return self.system.read(wanted)

    def describe(self, statement: Any, schema: Schema, keyspace: str | None, *page: Any) -> Result:
        raise AssertionError("no DESCRIBE here")

    # ---------------------------------------------------------------- running

    def moment(self) -> Moment:
        """The next instant."""
        self.timestamp_us += 1000
        return Moment(self.now(), self.timestamp_us, self.wall_s)

    def now(self) -> float:
        """Monotonic seconds, from which deadlines are counted."""
        return 0.0

    def answer(self, ask: Callable[[], Any]) -> Any:
        """What a door gives, waited for."""
        answer = ask()
        if hasattr(type(answer), "__await__"):
            answer = _rested(answer)
        if isinstance(answer, SetKeyspace):
            self.session.keyspace = answer.keyspace
        return answer

    def run(self, text: str, *values: Any, **options: Any) -> Any:
        """The result of one statement."""
        level = Consistency(options.pop("consistency", 1))
        given = QueryOptions(level, list(values) or None, **options)
        return self.answer(lambda: self.executor.query(text, given, self.session, self.moment()))

    def rows(self, text: str, *values: Any, **options: Any) -> list[list[bytes | None]]:
        """The rows of one SELECT, all its pages."""
        result = self.run(text, *values, **options)
        found = rows_of(result)
        while result.paging_state is not None:
            options["paging_state"] = result.paging_state
            result = self.run(text, *values, **options)
            found += rows_of(result)
        return found

    def prepare(self, text: str) -> Prepared:
        """Prepare one statement."""
        result = self.answer(lambda: self.executor.prepare(text, None, self.session, self.moment()))
        assert isinstance(result, Prepared)
        return result

    def execute(self, prepared: Prepared, *values: Any, **options: Any) -> Any:
        """Run a prepared statement."""
        level = Consistency(options.pop("consistency", 1))
        given = QueryOptions(level, list(values), **options)
        request = Execute(prepared.id, None, given)
        return self.answer(lambda: self.executor.execute(request, self.session, self.moment()))

    def batch(self, kind: int, *parts: Any) -> Any:
        """Run a BATCH message."""
        request = Batch(
            kind, [(query, list(values)) for query, values in parts], QueryOptions(Consistency.ONE)
        )
        return self.answer(lambda: self.executor.batch(request, self.session, self.moment()))


def rows_of(result: Any) -> list[list[bytes | None]]:
    """The values in a Rows result."""
    assert isinstance(result, Rows), result
    found = []
    at = 0
    for _ in range(result.row_count):
        row: list[bytes | None] = []
        for _ in result.columns:
            size = int.from_bytes(result.data[at : at + 4], "big", signed=True)
            at += 4
            row.append(None if size < 0 else result.data[at : at + size])
            at += max(0, size)
        found.append(row)
    assert at == len(result.data), "the data are exactly the rows"
    return found
