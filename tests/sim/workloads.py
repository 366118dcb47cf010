"""What clients do to a simulated node, and what must hold of the answers they get.

Every workload has one shape: `setup` once, `run` until the end of the faults, `check` when all is
healed. `power_was_cut` tells it what the promises allow to be lost (RELIABILITY section 1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from tests.sim.client import INVALID, SERIAL, Client, Failed, Rows
from tests.sim.machine import Machine

KEYSPACE = "sim"
PAUSE_MAX_S = 0.15
LATE_PERIODS = 1.5
REPLAYED_WITHIN_S = 15.0
"""How long a batch may be applied in part while all shards serve."""
TICK_S = 0.5
"""How late a shard may notice that a sync is late."""


class Workload(Protocol):
    """See the module."""

    async def setup(self) -> None:
        """Make the tables; no fault happens yet."""

    async def run(self, until: float) -> None:
        """Keep the node busy; raises AssertionError when an answer breaks a promise."""

    async def check(self) -> None:
        """After everything is healed."""

    def power_was_cut(self, at: float) -> None:
        """From now on answers may show what the power cut was allowed to take."""


@dataclass
class World:
    """What all workloads of a run share."""

    machine: Machine
    clients: list[Client]
    random: Random

    def client(self) -> Client:
        """Any connection, to any shard."""
        return self.random.choice(self.clients)

    @property
    def now(self) -> float:
        """Virtual time."""
        return self.machine.loop.time()

    def kept_until(self, at: float) -> float:
        """What was acknowledged by then survives a power cut at `at`."""
        config = self.machine.config
        if config.commitlog_sync != "periodic":
            return at
        return at - LATE_PERIODS * config.commitlog_sync_period_s - TICK_S

    def may_rely(self, cuts: int) -> bool:
        """Whether an answer to what was asked after so many power cuts is a promise."""
        is_synced = self.machine.config.commitlog_sync != "periodic"
        return is_synced or cuts == self.machine.cuts

    async def surely(self, text: str, values: Sequence[bytes | None] = ()) -> Rows:
        """Run an idempotent statement until it succeeds; no fault lasts."""
        for _ in range(200):
            try:
                return await self.client().query(text, values)
            except Failed as failed:
                assert failed.code != INVALID, failed
                await asyncio.sleep(0.1)
        raise AssertionError(f"the node does not recover: {text}")

    async def pause(self) -> None:
        """Think."""
        await asyncio.sleep(self.random.uniform(0, PAUSE_MAX_S))


@dataclass
class Register:
    """One key with one writer, who writes 1, 2, 3 ..."""

    invoked: int = 0
    acknowledged: list[tuple[int, float]] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)
    seen: int = 0

    @property
    def promised(self) -> int:
        """The last version that was acknowledged and may not be lost."""
        return self.acknowledged[-1][0] if self.acknowledged else 0

    @property
    def floor(self) -> int:
        """What every read that begins now must show, or something later."""
        return max(self.promised, self.seen)

    def lose_after(self, kept_until: float) -> None:
        """A power cut: what was seen but not synced may be gone."""
        self.acknowledged = [pair for pair in self.acknowledged if pair[1] <= kept_until]
        self.seen = 0

    def check(self, shown: int, floor: int, what: str) -> None:
        """A read that began when `floor` was the floor has shown a value."""
        assert shown >= floor, f"{what}: {shown} was read after {floor} was there"
        assert shown <= self.invoked, f"{what}: {shown} was read, which nobody wrote"
        assert shown not in self.refused, f"{what}: {shown} was refused and yet it is there"
        self.seen = max(self.seen, shown)


class Registers:
    """Single-writer keys: no acknowledged write is lost, no read goes back, scans miss nothing."""

    TABLE = f"{KEYSPACE}.reg"

    def __init__(self, world: World, keys: int, readers: int) -> None:
        self.world = world
        self.registers = {key: Register() for key in range(keys)}
        self._readers = readers

    async def setup(self) -> None:
        await self.world.surely(
            f"CREATE TABLE IF NOT EXISTS {self.TABLE} (k int PRIMARY KEY, v bigint, pad text) "
            "WITH memtable_flush_period_in_ms = 3000 AND compaction = "
            "{'class': 'SizeTieredCompactionStrategy', 'min_threshold': 2}"
        )

    async def run(self, until: float) -> None:
        writers = [self._write(key, until) for key in self.registers]
        readers = [self._read(until) for _ in range(self._readers)]
        await asyncio.gather(*writers, *readers, self._scan(until))

    async def check(self) -> None:
        for key, register in self.registers.items():
            floor = register.floor
            rows = await self.world.surely(f"SELECT v FROM {self.TABLE} WHERE k = {key}")
            register.check(_value(rows), floor, f"at the end, key {key}")

    def power_was_cut(self, at: float) -> None:
        for register in self.registers.values():
            register.lose_after(self.world.kept_until(at))

    async def _write(self, key: int, until: float) -> None:
        register, random = self.registers[key], self.world.random
        text = f"INSERT INTO {self.TABLE} (k, v, pad) VALUES (?, ?, ?)"
        while self.world.now < until:
            await self.world.pause()
            register.invoked = version = register.invoked + 1
            cuts = self.world.machine.cuts
            pad = b"x" * random.choice((3, 30, 300, 3000))
            client = self.world.client()
            run = client.execute if random.random() < 0.7 else client.query
            try:
                await run(text, [_int(key), _bigint(version), pad])
            except Failed as failed:
                if failed.is_definite:
                    register.refused.add(version)
                assert failed.code != INVALID, failed
            else:
                if self.world.may_rely(cuts):
                    register.acknowledged.append((version, self.world.now))

    async def _read(self, until: float) -> None:
        while self.world.now < until:
            await self.world.pause()
            key = self.world.random.choice(list(self.registers))
            register = self.registers[key]
            floor, cuts = register.floor, self.world.machine.cuts
            try:
                text = f"SELECT v FROM {self.TABLE} WHERE k = ?"
                rows = await self.world.client().execute(text, [_int(key)])
            except Failed as failed:
                assert failed.code != INVALID, failed
                continue
            if cuts == self.world.machine.cuts:
                register.check(_value(rows), floor, f"key {key}")

    async def _scan(self, until: float) -> None:
        while self.world.now < until:
            await asyncio.sleep(self.world.random.uniform(0.5, 3))
            floors = {key: register.floor for key, register in self.registers.items()}
            cuts = self.world.machine.cuts
            try:
                found = await self._all_pages()
            except Failed as failed:
                assert failed.code != INVALID, failed
                continue
            if cuts != self.world.machine.cuts:
                continue
            keys = [int.from_bytes(row[0] or b"", "big") for row in found]
            assert len(set(keys)) == len(keys), f"a scan shows keys twice: {sorted(keys)}"
            shown = {
                k: int.from_bytes(row[1] or b"", "big") for k, row in zip(keys, found, strict=True)
            }
            for key, register in self.registers.items():
                register.check(shown.get(key, 0), floors[key], f"scan, key {key}")

    async def _all_pages(self) -> list[tuple[bytes | None, ...]]:
        found, state = [], None
        page_size = self.world.random.choice((1, 2, 5, 100))
        text = f"SELECT k, v FROM {self.TABLE}"
        while True:
            page = await self.world.client().query(text, page_size=page_size, paging_state=state)
            assert len(page.rows) <= page_size, "a page has at most the rows that were asked for"
            found += page.rows
            if page.paging_state is None:
                return found
            state = page.paging_state


class Conditional:
    """Counters kept by IF: no two clients make the same step, and no step is lost, in any mode."""

    TABLE = f"{KEYSPACE}.cas"

    def __init__(self, world: World, keys: int, workers: int) -> None:
        self.world = world
        self._keys = keys
        self._workers = workers
        self.steps: dict[int, dict[int, str]] = {key: {} for key in range(keys)}
        self.unknown: dict[int, set[int]] = {key: set() for key in range(keys)}

    async def setup(self) -> None:
        await self.world.surely(
            f"CREATE TABLE IF NOT EXISTS {self.TABLE} (k int PRIMARY KEY, v bigint)"
        )
        for key in range(self._keys):
            text = f"INSERT INTO {self.TABLE} (k, v) VALUES ({key}, 0) IF NOT EXISTS"
            await self.world.surely(text)

    async def run(self, until: float) -> None:
        await asyncio.gather(*(self._work(number, until) for number in range(self._workers)))

    async def _work(self, number: int, until: float) -> None:
        while self.world.now < until:
            await self.world.pause()
            key = self.world.random.randrange(self._keys)
            steps = self.steps[key]
            floor = max(steps, default=0)
            try:
                rows = await self._read(key)
            except Failed as failed:
                assert failed.code != INVALID, failed
                continue
            shown = _value(rows)
            assert shown >= floor, f"key {key}: {shown} was read after the step to {floor}"
            await self._step(key, shown, f"worker {number}")

    async def _step(self, key: int, shown: int, who: str) -> None:
        text = f"UPDATE {self.TABLE} SET v = {shown + 1} WHERE k = {key} IF v = {shown}"
        steps, next_ = self.steps[key], shown + 1
        self.unknown[key].add(next_)
        try:
            rows = await self.world.client().query(text)
        except Failed as failed:
            assert failed.code != INVALID, failed
            return
        if rows.rows[0][0] == b"\x01":
            assert next_ not in steps, f"key {key}: {who} and {steps[next_]} both made {next_}"
            steps[next_] = who

    async def check(self) -> None:
        for key, steps in self.steps.items():
            text = f"SELECT v FROM {self.TABLE} WHERE k = {key}"
            shown = _value(await self.world.surely(text))
            assert shown >= max(steps, default=0), f"key {key}: {shown}, but {max(steps)} was made"
            assert shown in self.unknown[key] | {0}, f"key {key}: {shown}, which nobody wrote"

    def power_was_cut(self, at: float) -> None:
        """Conditional writes are synced before they are answered."""

    async def _read(self, key: int) -> Rows:
        text = f"SELECT v FROM {self.TABLE} WHERE k = ?"
        return await self.world.client().query(text, [_int(key)], consistency=SERIAL)


class Batches:
    """Groups of keys written by logged batches: in the end a group has one value, in any mode."""

    TABLE = f"{KEYSPACE}.groups"

    def __init__(self, world: World, groups: int, keys: int) -> None:
        self.world = world
        self._keys = range(keys)
        self.groups = {group: Register() for group in range(groups)}

    async def setup(self) -> None:
        await self.world.surely(
            f"CREATE TABLE IF NOT EXISTS {self.TABLE} (g int, k int, v bigint, "
            "PRIMARY KEY ((g, k))) WITH memtable_flush_period_in_ms = 5000"
        )

    async def run(self, until: float) -> None:
        await asyncio.gather(*(self._write(group, until) for group in self.groups))

    async def _write(self, group: int, until: float) -> None:
        register = self.groups[group]
        text = f"INSERT INTO {self.TABLE} (g, k, v) VALUES (?, ?, ?)"
        while self.world.now < until:
            await self.world.pause()
            register.invoked = version = register.invoked + 1
            cuts = self.world.machine.cuts
            statements = [(text, [_int(group), _int(k), _bigint(version)]) for k in self._keys]
            try:
                await self.world.client().batch(statements)
            except Failed as failed:
                if failed.is_definite:
                    register.refused.add(version)
                assert failed.code != INVALID, failed
            else:
                if self.world.may_rely(cuts):
                    register.acknowledged.append((version, self.world.now))

    async def check(self) -> None:
        for group, register in self.groups.items():
            shown = await self._values(group)
            until = self.world.now + REPLAYED_WITHIN_S
            while len(set(shown)) > 1 and self.world.now < until:
                await asyncio.sleep(1.0)
                shown = await self._values(group)
            assert len(set(shown)) == 1, f"group {group}: a batch is applied in part: {shown}"
            register.check(shown[0], register.promised, f"group {group}")

    async def _values(self, group: int) -> list[int]:
        text = f"SELECT v FROM {self.TABLE} WHERE g = {group} AND k = "
        return [_value(await self.world.surely(f"{text}{key}")) for key in self._keys]

    def power_was_cut(self, at: float) -> None:
        for register in self.groups.values():
            register.lose_after(self.world.kept_until(at))


class SchemaChanges:
    """Tables come, change and go; whoever was answered can rely on every shard."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.columns: dict[str, int] = {}
        """Tables that are there, and how many columns they have."""
        self._made = 0

    async def setup(self) -> None:
        """Nothing is there at first."""

    async def run(self, until: float) -> None:
        while self.world.now < until:
            await asyncio.sleep(self.world.random.uniform(0.2, 2.0))
            try:
                await self._change()
            except Failed as failed:
                # What becomes of an unanswered change is not known; the table is left alone.
                self.world.machine.loop.trace(f"schema change failed: {failed}")

    async def _change(self) -> None:
        choice = self.world.random.random()
        client = self.world.client()
        if not self.columns or choice < 0.4:
            self._made += 1
            name = f"{KEYSPACE}.t{self._made}"
            await client.query(f"CREATE TABLE {name} (k int PRIMARY KEY, c0 int)")
            self.columns[name] = 1
        else:
            name = self.world.random.choice(list(self.columns))
            count = self.columns.pop(name)
            if choice < 0.6:
                await client.query(f"DROP TABLE {name}")
                await self._expect_gone(name)
                return
            await client.query(f"ALTER TABLE {name} ADD c{count} int")
            self.columns[name] = count + 1
        await self._use(name, self.columns[name])

    async def _use(self, name: str, columns: int) -> None:
        """Every shard knows the table with all its columns."""
        for client in self.world.clients:
            text = f"INSERT INTO {name} (k, c{columns - 1}) VALUES (1, 1)"
            try:
                await client.query(text)
            except Failed as failed:
                assert failed.code != INVALID, f"shard {client.shard} is behind: {failed}"

    async def _expect_gone(self, name: str) -> None:
        for client in self.world.clients:
            try:
                await client.query(f"SELECT * FROM {name}")
            except Failed:
                continue
            raise AssertionError(f"shard {client.shard} still has {name}, which was dropped")

    async def check(self) -> None:
        for name, count in self.columns.items():
            names = ", ".join(f"c{number}" for number in range(count))
            await self.world.surely(f"SELECT k, {names} FROM {name}")

    def power_was_cut(self, at: float) -> None:
        """The schema is synced before it is answered."""


def _int(number: int) -> bytes:
    return number.to_bytes(4, "big")


def _bigint(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _value(rows: Rows) -> int:
    """The only value of the only row; 0 if there is none."""
    assert len(rows.rows) <= 1, "a partition without clustering columns has one row"
    return int.from_bytes(rows.rows[0][0] or b"", "big") if rows.rows else 0
