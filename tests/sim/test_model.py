"""Random statements on a whole node against the slow, obvious model, at the level of CQL.

Timestamps are explicit and often equal; time to live runs on virtual time; flushes, compactions,
restarts and kills come in between. Whatever happened, a read shows what the model shows. Counters
have a table of their own.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cluster.token import token_of
from node.config import Config
from tests.model.cql_table import Cell, Column, CqlTable, Deletion, Key, Row
from tests.sim.client import INVALID, Client, Failed
from tests.sim.loop import SimulatedLoop, end_simulation
from tests.sim.machine import DATA, Machine

KEYSPACE = "m"
Statement = tuple[str, list[bytes | None]]
STAMPS = 4
"""So few timestamps that writes often have the same."""

TABLE = f"{KEYSPACE}.t"
COUNTERS = f"{KEYSPACE}.c"
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.sampled_from([-(1 << 31), -1, 0, 1, 2, 300]),
    "bigint": st.sampled_from([-(1 << 63), -1, 0, 7, 1 << 40]),
    "smallint": st.sampled_from([-3, 0, 3]),
    "varint": st.sampled_from([-(1 << 70), -129, -1, 0, 1, 128, 1 << 70]),
    "boolean": st.booleans(),
    "text": st.sampled_from(["a", "ab", "b", "", "é", "a\0b", "\uffff"]),
    "blob": st.sampled_from([b"\0", b"\0\0", b"\1", b"\xff", b"\xff\xff", b""]),
    "set": st.sets(st.sampled_from(["x", "y", "yy", "z"]), max_size=3),
    "map": st.dictionaries(st.sampled_from([-1, 0, 5]), st.sampled_from(["p", "q"]), max_size=3),
    "list": st.lists(st.sampled_from([0, 1, 2]), max_size=3),
    "udt": st.fixed_dictionaries(
        {"a": st.sampled_from([None, 1, 2]), "b": st.sampled_from([None, "s", "t"])}
    ),
}
SCALARS = ["int", "bigint", "smallint", "varint", "boolean", "text", "blob"]
QUICK_EXAMPLES, LONG_EXAMPLES = 40, 2_000
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">": lambda a, b: b < a,
    ">=": lambda a, b: not a < b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: not b < a,
}


@st.composite
def tables(draw: st.DrawFn) -> CqlTable:
    """A schema: keys of several types, directions, statics, collections, the user type."""
    columns = [
        Column(f"p{n}", "partition", draw(st.sampled_from(["int", "bigint", "varint", "boolean"])))
        for n in range(draw(st.integers(1, 2)))
    ]
    clustering = draw(st.integers(0, 2))
    columns += [
        Column(f"c{n}", "clustering", draw(st.sampled_from(SCALARS)), draw(st.booleans()))
        for n in range(clustering)
    ]
    if clustering and draw(st.booleans()):
        kinds = draw(st.lists(st.sampled_from(["list", "int", "set"]), min_size=1, max_size=2))
        columns += [Column(f"s{n}", "static", kind) for n, kind in enumerate(kinds)]
    regular = st.sampled_from(["list", "int", "text", "set", "map", "list", "udt"])
    kinds = draw(st.lists(regular, min_size=1, max_size=4))
    columns += [Column(f"v{n}", "regular", kind) for n, kind in enumerate(kinds)]
    return CqlTable(tuple(columns))


class CqlMachine(RuleBasedStateMachine):
    """Statements, time, and what a node does to itself."""

    SHARDS = 1

    def __init__(self) -> None:
        super().__init__()
        self.loop = SimulatedLoop(7)
        asyncio.set_event_loop(self.loop)
        self.ttl_writes = 0
        self.known: list[Key] = []
        self.machine = Machine(
            self.loop,
            Config(
                data_directory=DATA,
                shards=self.SHARDS,
                memory_bytes=64 << 20,
                commitlog_segment_bytes=1 << 16,
                commitlog_total_bytes=1 << 20,
            ),
        )

    def run_now(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Let the node do something, and the world outside wait for it."""
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        end_simulation(self.loop)
        asyncio.set_event_loop(None)
        self.loop.close()

    @initialize(table=tables())
    def make_table(self, table: CqlTable) -> None:
        self.table = table
        self.run_now(self.machine.switch_on())
        self.clients = [Client(self.machine, n, n) for n in range(self.SHARDS)]
        self.turn = 0
        self.query(
            f"CREATE KEYSPACE {KEYSPACE} WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        self.query(f"CREATE TYPE {KEYSPACE}.pair (a int, b text)")
        self.query(_create(table))
        self.query(
            f"CREATE TABLE {COUNTERS} (p int, c int, n counter, m counter, s counter static, "
            "PRIMARY KEY (p, c))"
        )
        self.counters: dict[tuple[int, int, str], int] = {}

    def query(self, text: str, values: list[bytes | None] | None = None, **options: Any) -> Any:
        """Any shard answers."""
        self.turn += 1
        client = self.clients[self.turn % len(self.clients)]
        run = client.execute if self.turn % 3 else client.query
        return self.run_now(run(text, values or [], **options))

    def now(self) -> int:
        """The second in which the next statement runs; never near its end."""
        fraction = self.machine.time_ns() % 1_000_000_000 / 1e9
        if fraction > 0.8:
            self.run_now(asyncio.sleep(1.05 - fraction))
        return self.machine.time_ns() // 1_000_000_000

    # Writes.

    def key(self, data: st.DataObject) -> Key:
        """A partition key; few, so that they meet."""
        return tuple(
            data.draw(st.booleans() if c.type == "boolean" else st.sampled_from([0, -1]))
            for c in self.table.of_kind("partition")
        )

    def clustering(self, data: st.DataObject, size: int | None = None) -> Key:
        """Mostly of a few that this run returns to, so that writes meet."""
        columns = self.table.of_kind("clustering")
        if len(self.known) < 2 or not data.draw(st.integers(0, 4)):
            self.known.append(tuple(data.draw(VALUES[column.type]) for column in columns))
            return self.known[-1][:size]
        return data.draw(st.sampled_from(self.known[:3]))[:size]

    def timing(self, data: st.DataObject) -> tuple[int, int, str]:
        """Timestamp, expiry and USING. What expires has a timestamp of its own: no ties."""
        if data.draw(st.integers(0, 4)):
            ts = data.draw(st.integers(1, STAMPS))
            return ts * 10, 0, f"USING TIMESTAMP {ts * 10}"
        ttl = data.draw(st.sampled_from([1, 3, 20]))
        self.ttl_writes += 1
        ts = data.draw(st.integers(1, STAMPS)) * 10 + 1 + self.ttl_writes % 9
        return ts, self.now() + ttl, f"USING TIMESTAMP {ts} AND TTL {ttl}"

    def assignable(self, data: st.DataObject, kinds: tuple[str, ...]) -> dict[Column, Any]:
        """Some columns, each with a value or None."""
        columns = [column for kind in kinds for column in self.table.of_kind(kind)]
        chosen = data.draw(st.lists(st.sampled_from(columns), min_size=1, unique=True))
        return {c: data.draw(st.none() | VALUES[c.type]) for c in chosen}

    @rule(data=st.data())
    def insert(self, data: st.DataObject) -> None:
        self.query(*self.insertion(data))

    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        self.query(*self.change(data))

    @rule(data=st.data())
    def batch(self, data: st.DataObject) -> None:
        """Several writes of any partitions, logged or not."""
        ways = data.draw(st.lists(st.booleans(), min_size=1, max_size=4))
        statements = [self.insertion(data) if way else self.change(data) for way in ways]
        self.turn += 1
        client = self.clients[self.turn % len(self.clients)]
        self.run_now(client.batch(statements, kind=data.draw(st.integers(0, 1))))

    def insertion(self, data: st.DataObject) -> Statement:
        """An INSERT, which the model makes too."""
        key, clustering = self.key(data), self.clustering(data)
        ts, expiry, using = self.timing(data)
        given = self.assignable(data, ("regular", "static"))
        names = [c.name for c in self.key_columns()] + [c.name for c in given]
        marks = ", ".join("?" * len(names))
        values = self.packed_key(key, clustering) + [_packed(c, v) for c, v in given.items()]
        self.table.mark(key, clustering, ts, expiry)
        for column, value in given.items():
            self.table.assign(self.row_of(column, key, clustering), column, value, ts, expiry)
        return f"INSERT INTO {TABLE} ({', '.join(names)}) VALUES ({marks}) {using}", values

    def change(self, data: st.DataObject) -> Statement:
        """An UPDATE that reads nothing before, which the model makes too."""
        statics = bool(self.table.of_kind("static")) and data.draw(st.booleans())
        key = self.key(data)
        clustering = None if statics else self.clustering(data)
        ts, expiry, using = self.timing(data)
        given = self.assignable(data, ("static",) if statics else ("regular",))
        row = self.table.row(key, clustering)
        texts, values = [], []
        for column, value in given.items():
            text, packed = self.set_clause(data, column, value, row, ts, expiry)
            texts.append(text)
            values += packed
        where = self.where(clustering)
        values += self.packed_key(key, clustering or ())
        return f"UPDATE {TABLE} {using} SET {', '.join(texts)} WHERE {where}", values

    def set_clause(
        self, data: st.DataObject, column: Column, value: Any, row: Row, ts: int, expiry: int
    ) -> tuple[str, list[bytes | None]]:
        """An assignment, of all or of a part, which the model makes too."""
        way = data.draw(st.integers(0, 2)) if column.is_multicell and value else 0
        if way == 0:
            self.table.assign(row, column, value, ts, expiry)
            return f"{column.name} = ?", [_packed(column, value)]
        if column.type == "udt":
            field = value["a"]
            cell = Cell(ts, None) if field is None else Cell(ts, _int(field), expiry)
            self.table.put(row, column, 0, cell)
            return f"{column.name}.a = ?", [None if field is None else _int(field)]
        if column.type == "list":
            cells = self.table.appended(value) if way == 1 else self.table.prepended(value)
            for place, content in cells.items():
                self.table.put(row, column, place, Cell(ts, content, expiry))
            name = column.name
            text = f"{name} = {name} + ?" if way == 1 else f"{name} = ? + {name}"
            return text, [column.pack(value)]
        if way == 1:
            for place, content in column.elements(value).items():
                self.table.put(row, column, place, Cell(ts, content, expiry))
            return f"{column.name} = {column.name} + ?", [column.pack(value)]
        for place in column.elements(value):
            self.table.put(row, column, place, Cell(ts, None))
        gone = Column(column.name, column.kind, "set" if column.type == "set" else "ints")
        packed = column.pack(value) if gone.type == "set" else _packed_ints(sorted(value))
        return f"{column.name} = {column.name} - ?", [packed]

    # Lists, where what is there decides.

    @precondition(lambda self: self.lists())
    @rule(data=st.data())
    def change_list_at_index(self, data: st.DataObject) -> None:
        """Set or delete one element; an index beyond the end is refused, and nothing happens."""
        column, key, clustering = self.list_place(data)
        cells = self.table.live_cells(key, clustering, column, self.now())
        index = data.draw(st.integers(0, 3))
        ts, expiry, using = self.timing(data)
        values = self.packed_key(key, clustering or ())
        where = self.where(clustering)
        value = data.draw(st.none() | st.just(9))
        if value is None and data.draw(st.booleans()):
            using = f"USING TIMESTAMP {ts}"
            text = f"DELETE {column.name}[{index}] FROM {TABLE} {using} WHERE {where}"
        else:
            text = f"UPDATE {TABLE} {using} SET {column.name}[{index}] = ? WHERE {where}"
            values = [None if value is None else _int(value), *values]
        try:
            self.query(text, values)
        except Failed as failed:
            assert failed.code == INVALID, failed
            assert index >= len(cells), failed
            return
        assert index < len(cells), f"{text}: there are {len(cells)} elements"
        cell = Cell(ts, None) if value is None else Cell(ts, _int(value), expiry)
        self.table.put(self.table.row(key, clustering), column, list(cells)[index], cell)

    @precondition(lambda self: self.lists())
    @rule(data=st.data(), value=st.sampled_from([0, 1, 9]))
    def remove_from_list(self, data: st.DataObject, value: int) -> None:
        """All elements that are equal to a value."""
        column, key, clustering = self.list_place(data)
        ts = data.draw(st.integers(1, STAMPS)) * 10
        cells = self.table.live_cells(key, clustering, column, self.now())
        text = f"UPDATE {TABLE} USING TIMESTAMP {ts} SET {column.name} = {column.name} - ?"
        values = [column.pack([value]), *self.packed_key(key, clustering or ())]
        self.query(f"{text} WHERE {self.where(clustering)}", values)
        row = self.table.row(key, clustering)
        for place, content in cells.items():
            if content == _int(value):
                self.table.put(row, column, place, Cell(ts, None))

    def lists(self) -> list[Column]:
        return [column for column in self.table.columns if column.type == "list"]

    def list_place(self, data: st.DataObject) -> tuple[Column, Key, Key | None]:
        """A list column, and a row that may have one."""
        column = data.draw(st.sampled_from(self.lists()))
        clustering = None if column.kind == "static" else self.clustering(data)
        return column, self.key(data), clustering

    # Counters.

    @rule(
        place=st.tuples(st.integers(0, 2), st.integers(0, 1)),
        name=st.sampled_from("nms"),
        step=st.integers(-5, 5),
    )
    def count(self, place: tuple[int, int], name: str, step: int) -> None:
        p, c = place
        where = f"p = {p}" if name == "s" else f"p = {p} AND c = {c}"
        sign = "+" if step >= 0 else "-"
        self.query(f"UPDATE {COUNTERS} SET {name} = {name} {sign} {abs(step)} WHERE {where}")
        at = (p, -1 if name == "s" else c, name)
        self.counters[at] = self.counters.get(at, 0) + step

    @rule(p=st.integers(0, 2))
    def read_counters(self, p: int) -> None:
        rows = self.query(f"SELECT c, n, m, s FROM {COUNTERS} WHERE p = {p}").rows
        at = self.counters.get
        shared = at((p, -1, "s"))
        wanted = [
            (c, at((p, c, "n")), at((p, c, "m")), shared)
            for c in range(2)
            if (p, c, "n") in self.counters or (p, c, "m") in self.counters
        ]
        if not wanted and shared is not None:
            wanted = [(None, None, None, shared)]
        assert [tuple(map(_number, row)) for row in rows] == wanted

    # Deletions.

    @rule(data=st.data())
    def delete_cells(self, data: st.DataObject) -> None:
        statics = bool(self.table.of_kind("static")) and data.draw(st.booleans())
        columns = self.table.of_kind("static" if statics else "regular")
        chosen = data.draw(st.lists(st.sampled_from(columns), min_size=1, unique=True))
        key = self.key(data)
        clustering = None if statics else self.clustering(data)
        ts = data.draw(st.integers(1, STAMPS)) * 10
        row = self.table.row(key, clustering)
        names = []
        for column in chosen:
            if column.type == "map" and data.draw(st.booleans()):
                names.append(f"{column.name}[5]")
                self.table.put(row, column, 5, Cell(ts, None))
            elif column.is_multicell:
                names.append(column.name)
                self.table.empty(row, column, ts)
            else:
                names.append(column.name)
                self.table.put(row, column, None, Cell(ts, None))
        text = f"DELETE {', '.join(names)} FROM {TABLE} USING TIMESTAMP {ts}"
        values = self.packed_key(key, clustering or ())
        self.query(f"{text} WHERE {self.where(clustering)}", values)

    @rule(data=st.data())
    def delete_rows(self, data: st.DataObject) -> None:
        """A row, a range, or a partition."""
        key = self.key(data)
        ts = data.draw(st.integers(1, STAMPS)) * 10
        where, values, admits = self.restriction(data)
        is_partition = admits is None
        covers = admits or (lambda clustering: True)
        text = f"DELETE FROM {TABLE} USING TIMESTAMP {ts} WHERE {where}"
        self.query(text, self.packed_key(key, ()) + values)
        self.table.delete(key, Deletion(ts, covers, is_partition))

    # What else happens.

    @rule(seconds=st.sampled_from([1, 2, 5, 30]))
    def time_passes(self, seconds: int) -> None:
        self.run_now(asyncio.sleep(seconds))

    @rule()
    def flush(self) -> None:
        for shard in range(self.SHARDS):
            self.run_now(self.machine.in_shard(shard, lambda s: s.engine.flush()))

    @rule()
    def compact(self) -> None:
        wall_s = self.now()
        for shard in range(self.SHARDS):
            life = self.machine.lives[shard]
            assert life.shard is not None
            for layout in life.shard.engine.layouts():
                table_id = layout.table_id
                self.run_now(
                    self.machine.in_shard(shard, lambda s, t=table_id: s.engine.compact(t, wall_s))
                )

    @rule()
    def restart(self) -> None:
        self.run_now(self.machine.stop())
        self.run_now(self.machine.switch_on())

    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self.machine.kill(data.draw(st.integers(0, self.SHARDS - 1)))
        self.run_now(self.machine.wait_until_serving())

    # Reads.

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        """After every step."""
        now = self.now()
        wanted = [
            row
            for key in self.table.in_scan_order()
            for row in self.table.show(key, now, None, False)
        ]
        self.expect(f"SELECT {self.names()} FROM {TABLE}", [], 0, wanted)

    @rule(data=st.data(), page_size=st.sampled_from([0, 1, 2, 5]))
    def read_partition(self, data: st.DataObject, page_size: int) -> None:
        key = self.key(data)
        where, values, admits = self.restriction(data)
        reverse = bool(self.table.of_kind("clustering")) and data.draw(st.booleans())
        limit = data.draw(st.sampled_from([0, 0, 1, 3]))
        text = f"SELECT {self.names()} FROM {TABLE} WHERE {where}"
        if reverse:
            first = self.table.of_kind("clustering")[0]
            text += f" ORDER BY {first.name} {'ASC' if first.is_descending else 'DESC'}"
        if limit:
            text += f" LIMIT {limit}"
        wanted = self.table.show(key, self.now(), admits, reverse)
        if limit:
            wanted = wanted[:limit]
        self.expect(text, self.packed_key(key, ()) + values, page_size, wanted)

    @rule(data=st.data(), page_size=st.sampled_from([0, 1, 2, 3]))
    def scan(self, data: st.DataObject, page_size: int) -> None:
        per_partition = data.draw(st.sampled_from([0, 0, 1]))
        text = f"SELECT {self.names()} FROM {TABLE}"
        if per_partition:
            text += f" PER PARTITION LIMIT {per_partition}"
        now = self.now()
        wanted = []
        for key in self.table.in_scan_order():
            shown = self.table.show(key, now, None, False)
            wanted += shown[:per_partition] if per_partition else shown
        self.expect(text, [], page_size, wanted)

    @rule(data=st.data(), page_size=st.sampled_from([0, 1, 2, 3]))
    def scan_a_part_of_the_ring(self, data: st.DataObject, page_size: int) -> None:
        """Tokens between those of two keys."""
        marks = ", ".join(c.name for c in self.table.of_kind("partition"))
        texts, values, checks = [], [], []
        for operators in ((">", ">="), ("<", "<=")):
            if data.draw(st.booleans()):
                operator = data.draw(st.sampled_from(operators))
                bound = token_of(self.table.key_bytes(self.key(data)))
                texts.append(f"token({marks}) {operator} ?")
                values.append(bound.to_bytes(8, "big", signed=True))
                checks.append((OPERATORS[operator], bound))
        where = f" WHERE {' AND '.join(texts)}" if texts else ""
        now = self.now()
        wanted = [
            row
            for key in self.table.in_scan_order()
            if all(holds(token_of(self.table.key_bytes(key)), bound) for holds, bound in checks)
            for row in self.table.show(key, now, None, False)
        ]
        self.expect(f"SELECT {self.names()} FROM {TABLE}{where}", values, page_size, wanted)

    @precondition(lambda self: len(self.table.of_kind("partition")) == 1)
    @rule(data=st.data(), page_size=st.sampled_from([0, 1, 2, 3]))
    def read_several_partitions(self, data: st.DataObject, page_size: int) -> None:
        """IN of the partition key; each partition comes whole, their order is not looked at."""
        (column,) = self.table.of_kind("partition")
        keys = [self.key(data) for _ in range(data.draw(st.integers(1, 3)))]
        restriction, values, admits = self.restriction(data)
        marks = ", ".join("?" * len(keys))
        where = restriction.replace(f"{column.name} = ?", f"{column.name} IN ({marks})", 1)
        text = f"SELECT {self.names()} FROM {TABLE} WHERE {where}"
        now = self.now()
        wanted = {
            column.pack(key[0]): self.ordered(self.table.show(key, now, admits, False), text)
            for key in keys
        }
        found = self.all_pages(text, [column.pack(key[0]) for key in keys] + values, page_size)
        groups = [(key, list(rows)) for key, rows in itertools.groupby(found, lambda r: r[0])]
        assert len(groups) == len(dict(groups)), f"{text}: a partition comes in one piece"
        shown = {key: [tuple(row.values()) for row in rows] for key, rows in wanted.items() if rows}
        assert dict(groups) == shown, text

    @rule(page_size=st.sampled_from([0, 1]))
    def read_distinct(self, page_size: int) -> None:
        columns = self.table.of_kind("partition") + self.table.of_kind("static")
        names = ", ".join(column.name for column in columns)
        now = self.now()
        wanted = [
            s[:1]
            for key in self.table.in_scan_order()
            if (s := self.table.show(key, now, None, False))
        ]
        rows = [{c.name: row[c.name] for c in columns} for (row,) in wanted]
        self.expect(f"SELECT DISTINCT {names} FROM {TABLE}", [], page_size, rows)

    def expect(
        self, text: str, values: list[bytes], page_size: int, wanted: list[dict[str, bytes | None]]
    ) -> None:
        """The answer in pages, against the model's."""
        found = self.all_pages(text, values, page_size)
        assert found == [tuple(row.values()) for row in self.ordered(wanted, text)], text

    def all_pages(
        self, text: str, values: list[bytes | None], page_size: int
    ) -> list[tuple[bytes | None, ...]]:
        found: list[tuple[bytes | None, ...]] = []
        state = None
        while True:
            page = self.query(text, values, page_size=page_size, paging_state=state)
            found += page.rows
            assert not page_size or len(page.rows) <= page_size, "pages have a size"
            state = page.paging_state
            if state is None:
                return found

    def ordered(
        self, rows: list[dict[str, bytes | None]], text: str
    ) -> list[dict[str, bytes | None]]:
        """The model's rows with their columns in the order of the statement."""
        names = text.removeprefix("SELECT ").removeprefix("DISTINCT ").partition(" FROM")[0]
        return [{name: row[name] for name in names.split(", ")} for row in rows]

    # Texts.

    def names(self) -> str:
        return ", ".join(column.name for column in self.table.columns)

    def key_columns(self) -> list[Column]:
        return self.table.of_kind("partition") + self.table.of_kind("clustering")

    def row_of(self, column: Column, key: Key, clustering: Key) -> Row:
        return self.table.row(key, None if column.kind == "static" else clustering)

    def packed_key(self, key: Key, clustering: Key) -> list[bytes | None]:
        columns = self.key_columns()[: len(key) + len(clustering)]
        return [c.pack(v) for c, v in zip(columns, key + clustering, strict=True)]

    def where(self, clustering: Key | None) -> str:
        kinds = self.table.of_kind("partition") if clustering is None else self.key_columns()
        return " AND ".join(f"{column.name} = ?" for column in kinds)

    def restriction(
        self, data: st.DataObject
    ) -> tuple[str, list[bytes | None], Callable[[Key], bool] | None]:
        """WHERE on one partition and part of its rows: text, values of that part, predicate."""
        columns = self.table.of_kind("clustering")
        equal = data.draw(st.integers(0, len(columns)))
        prefix = self.clustering(data, equal)
        texts = [f"{c.name} = ?" for c in self.table.of_kind("partition")]
        texts += [f"{c.name} = ?" for c in columns[:equal]]
        values: list[bytes | None] = [c.pack(v) for c, v in zip(columns, prefix, strict=False)]
        last = [prefix[-1]] if prefix else []
        if prefix and data.draw(st.booleans()):
            last += data.draw(st.lists(VALUES[columns[equal - 1].type], max_size=2))
            texts[-1] = f"{columns[equal - 1].name} IN ({', '.join('?' * len(last))})"
            values += [columns[equal - 1].pack(value) for value in last[1:]]
        bounds: list[tuple[str, Any]] = []
        if equal < len(columns):
            for operators in ((">", ">="), ("<", "<=")):
                if data.draw(st.booleans()):
                    bound = data.draw(VALUES[columns[equal].type])
                    operator = data.draw(st.sampled_from(operators))
                    bounds.append((operator, bound))
                    texts.append(f"{columns[equal].name} {operator} ?")
                    values.append(columns[equal].pack(bound))
        if not prefix and not bounds:
            return " AND ".join(texts), values, None

        def admits(clustering: Key) -> bool:
            if clustering[:equal] not in [(*prefix[:-1], value) for value in last] and prefix:
                return False
            by = _order(columns[equal]) if bounds else None
            return all(OPERATORS[op](by(clustering[equal]), by(bound)) for op, bound in bounds)

        return " AND ".join(texts), values, admits


def _order(column: Column) -> Callable[[Any], Any]:
    return (lambda value: value.encode()) if column.type == "text" else (lambda value: value)


def _create(table: CqlTable) -> str:
    columns = ", ".join(
        f"{c.name} {c.cql_type}{' static' if c.kind == 'static' else ''}" for c in table.columns
    )
    partition = ", ".join(c.name for c in table.of_kind("partition"))
    clustering = table.of_kind("clustering")
    key = ", ".join([f"({partition})", *(c.name for c in clustering)])
    order = ", ".join(f"{c.name} {'DESC' if c.is_descending else 'ASC'}" for c in clustering)
    text = f"CREATE TABLE {TABLE} ({columns}, PRIMARY KEY ({key})) WITH gc_grace_seconds = 864000"
    return f"{text} AND CLUSTERING ORDER BY ({order})" if clustering else text


def _int(value: int) -> bytes:
    return value.to_bytes(4, "big", signed=True)


def _number(value: bytes | None) -> int | None:
    return None if value is None else int.from_bytes(value, "big", signed=True)


def _packed(column: Column, value: Any) -> bytes | None:
    return None if value is None else column.pack(value)


def _packed_ints(values: list[int]) -> bytes:
    return len(values).to_bytes(4, "big") + b"".join(b"\0\0\0\4" + _int(v) for v in values)


class TwoShards(CqlMachine):
    """The same on a node with two shards."""

    SHARDS = 2


@pytest.mark.parametrize("machine", [CqlMachine, TwoShards])
def test_a_node_answers_as_the_model_does(
    machine: type[CqlMachine], request: pytest.FixtureRequest
) -> None:
    is_long = request.config.getoption("--long")
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=LONG_EXAMPLES if is_long else QUICK_EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
