"""Another number of shards, stopped at any call to the disk: the old or the new one, all of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from cluster.schema_log import SchemaLog
from cluster.token import decorate, key_token, shard_of
from cql.ddl import execute_ddl
from cql.ddl_common import DdlEnvironment
from cql.parser.grammar import parse
from cql.prepared import Remembered
from cql.schema import Schema, encode_ops, layout_of
from cql.system.tables import system_keyspaces
from node.ceiling import MARGIN_US, STEP_US, Ceiling
from node.config import Config
from node.identity import Identity, load_or_create
from node.resharding import ReshardingFailed, Surroundings, reshard, tidy
from node.shard import INTERNAL_LAYOUTS, engine_config
from node.statement_memory import StatementMemory
from storage import hot_keys
from storage.commitlog import CommitLogConfig
from storage.disk import OpenMode
from storage.engine import Engine
from storage.errors import CorruptFile, DiskFull
from storage.hot_keys import HotKey
from storage.layout import Layout
from storage.points import RecordedPoints
from storage.values import replace
from tests.sim.crash import run_until_crash
from tests.sim.disk import Faults, SimulatedDisk
from tests.storage.split_parts import Partition, content, live_files, random_mutation

DATA = "/data"
KIB = 1024
CONFIG = Config(
    data_directory=DATA,
    shards=2,
    commitlog_segment_bytes=32 * KIB,
    commitlog_total_bytes=1024 * KIB,
)
STATEMENTS = (
    "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "CREATE TABLE k.plain (p blob PRIMARY KEY, v blob, w blob)",
    "CREATE TABLE k.wide (p blob, c blob, s blob static, v blob, PRIMARY KEY (p, c))",
)
KEYS = [decorate(b"key%d" % number) for number in range(40)]
BOOT = b"this boot"
CLOCK_US = 1_700_000_000_000_000
QUICK_STEP = 41
"""Each quick run stops at every 41st call, the seed says with which it begins."""


@dataclass
class Node:
    """A data directory and what is in it."""

    disk: SimulatedDisk
    layouts: list[Layout]
    before: list[dict[bytes, Partition]]

    def copy(self, faults: Faults | None = None) -> SimulatedDisk:
        """The disk once more, as it is."""
        return self.disk.restart(power_cut=False, faults=faults)


async def _make_node(random: Random, shards: int) -> Node:
    """A node that was killed: part of what it holds is in its log only, and synced."""
    disk = SimulatedDisk(random)
    await disk.make_directory(DATA)
    config = replace(CONFIG, shards=shards)
    await load_or_create(disk, config, random)
    layouts = [*await _make_schema(disk, random), *INTERNAL_LAYOUTS]
    for shard in range(shards):
        await _make_shard(disk, config, shard, layouts, random)
    # What it holds is known from a copy, whose log is replayed.
    copy = disk.restart(power_cut=False)
    for shard in range(shards):
        engine = Engine(copy, _place(shard), shard, _engine_config(config))
        await engine.open(layouts)
        await engine.stop()
    return Node(disk, layouts, [await _joined(copy, layout, shards) for layout in layouts])


def _engine_config(config: Config) -> Any:
    small = CommitLogConfig(segment_bytes=32 * KIB, total_space_bytes=1024 * KIB)
    return replace(engine_config(config), commitlog=small)


async def _make_schema(disk: SimulatedDisk, random: Random) -> list[Layout]:
    schema = Schema(system_keyspaces())
    log = await SchemaLog.open(disk, f"{DATA}/schema", random)
    for text in STATEMENTS:
        ops = execute_ddl(parse(text), schema, None, DdlEnvironment(random, 1, {"dc": 1})).ops
        schema = schema.apply(ops)
        await log.append(json.dumps(None).encode() + b"\n" + encode_ops(ops))
    await log.close()
    return [layout_of(table) for table in schema.tables() if table.keyspace == "k"]


async def _make_shard(
    disk: SimulatedDisk, config: Config, shard: int, layouts: list[Layout], random: Random
) -> None:
    engine = Engine(disk, _place(shard), shard, _engine_config(config))
    await engine.open(layouts)
    for turn in range(40):
        mutation = random_mutation(random, random.choice(layouts), KEYS, 100 + turn)
        if shard_of(key_token(mutation.key), config.shards) == shard:
            assert engine.apply(mutation) is None
        engine.end_of_turn()
        if turn in (15, 30):
            await engine.flush()
    await engine.sync()
    await engine.stop(flush=False)
    ceiling = await Ceiling.open(disk, _place(shard), BOOT)
    await ceiling.begin()
    ceiling.pass_to(CLOCK_US + shard)
    await ceiling.sync()
    await ceiling.close()
    memory = StatementMemory(lambda: None)
    await memory.open(disk, f"{_place(shard)}/prepared", random)
    for id_ in (b"all", b"shard %d" % shard):
        memory.remember(Remembered(id_, "SELECT", None, b"fingerprint"))
    await memory.close()
    await hot_keys.write(disk, _place(shard), await hot_keys.encode(_hot(layouts, config, shard)))


def _hot(layouts: list[Layout], config: Config, shard: int) -> list[HotKey]:
    """What a shard's file says was hot: all of its keys in the table of rows without clustering."""
    table_id = next(layout.table_id for layout in layouts if not layout.has_clustering)
    mine = [key for key in KEYS if shard_of(key_token(key), config.shards) == shard]
    return [HotKey(table_id, key, b"", b"") for key in mine]


def _place(shard: int) -> str:
    return f"{DATA}/shard-{shard}"


async def _joined(disk: SimulatedDisk, layout: Layout, shards: int) -> dict[bytes, Partition]:
    """What all shards hold together of a table; each key is only where it belongs."""
    together: dict[bytes, Partition] = {}
    parts = await content(disk, [_place(shard) for shard in range(shards)], layout)
    for shard, partitions in enumerate(parts):
        assert {shard_of(key_token(key), shards) for key in partitions} <= {shard}
        together |= partitions
    return together


async def _start(disk: SimulatedDisk, shards: int, **around: Any) -> Identity:
    """The part of a start that this is about."""
    config = replace(CONFIG, shards=shards)
    random = Random(1)
    identity = await load_or_create(disk, config, random)
    identity = await tidy(disk, DATA, identity)
    if identity.shards == shards:
        return identity
    surroundings = Surroundings(disk, config, random, BOOT, 100, **around)
    return await reshard(surroundings, identity)


async def _check(node: Node, disk: SimulatedDisk, shards: int) -> None:
    """All is there, once, and nothing else."""
    names = [f"shard-{shard}" for shard in range(shards)]
    assert await disk.list(DATA) == sorted(["node.json", "schema", *names])
    for shard in range(shards):
        engine = Engine(disk, _place(shard), shard, _engine_config(CONFIG))
        report = await engine.open(node.layouts)
        assert not report.damaged
        await engine.stop()
        ceiling = await Ceiling.open(disk, _place(shard), BOOT)
        assert ceiling.found_us >= CLOCK_US + STEP_US
        hot = await hot_keys.read(disk, _place(shard))
        assert set(hot) == set(_hot(node.layouts, replace(CONFIG, shards=shards), shard))
        assert len(hot) == len(set(hot))
    for layout, before in zip(node.layouts, node.before, strict=True):
        assert await _joined(disk, layout, shards) == before


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_stop_at_any_call_leaves_all_of_the_old_or_of_the_new(
    seed: int, power_cut: bool, request: pytest.FixtureRequest
) -> None:
    step = 1 if request.config.getoption("--long") else QUICK_STEP

    async def test() -> None:
        random = Random(seed)
        old, new = random.choice([(2, 3), (3, 2), (1, 3), (3, 1)])
        node = await _make_node(random, old)
        decided: list[int] = []
        number = 1 + seed % step
        while True:
            disk = node.copy(Faults(crash_at=number))
            if not await run_until_crash(disk, _ignoring(_start(disk, new))):
                break
            # The next start, with any number, is stopped somewhere too; the third is not.
            second = disk.restart(
                power_cut=power_cut, faults=Faults(crash_at=random.randint(1, 500))
            )
            other = random.choice([old, new, 4])
            await run_until_crash(second, _ignoring(_start(second, other)))
            third = second.restart(power_cut=power_cut)
            found = (await load_or_create(third, CONFIG, random)).shards
            decided.append(found)
            last = random.choice([old, new])
            assert (await _start(third, last)).shards == last
            await _check(node, third, last)
            number += step
        assert number > 300
        disk.faults.crash_at = 0
        await _check(node, disk, new)

    asyncio.run(test())


async def _ignoring(start: Coroutine[Any, Any, Identity]) -> None:
    await start


@pytest.mark.parametrize(("old", "new"), [(1, 4), (4, 3), (3, 5), (5, 1)])
def test_all_is_there_once_with_any_number(old: int, new: int) -> None:
    async def test() -> None:
        node = await _make_node(Random(old), old)
        disk = node.copy()
        before = await load_or_create(disk, CONFIG, Random(1))
        after = await _start(disk, new)
        assert after == replace(before, shards=new)
        assert after == await load_or_create(disk, CONFIG, Random(1))
        await _check(node, disk, new)

    asyncio.run(test())


def test_every_new_shard_remembers_the_statements_of_all_old_ones() -> None:
    async def test() -> None:
        disk = (await _make_node(Random(1), 2)).copy()
        await _start(disk, 3)
        for shard in range(3):
            memory = StatementMemory(lambda: None)
            await memory.open(disk, f"{_place(shard)}/prepared", Random(1))
            ids = {statement.id for statement in memory.statements()}
            assert ids == {b"all", b"shard 0", b"shard 1"}
            await memory.close()

    asyncio.run(test())


def test_what_was_hot_is_cached_again_by_the_shards_that_own_it_now() -> None:
    async def test() -> None:
        node = await _make_node(Random(1), 2)
        disk = node.copy()
        await _start(disk, 3)
        cached = 0
        for shard in range(3):
            engine = Engine(disk, _place(shard), shard, _engine_config(CONFIG))
            await engine.open(node.layouts)
            for job in engine.background(1):
                await job
            cached += sum(table.row_cache_partitions for table in engine.statistics().tables)
            await engine.stop()
        plain = next(layout for layout in node.layouts if not layout.has_clustering)
        held = node.before[node.layouts.index(plain)]
        assert 0 < len(held) <= cached

    asyncio.run(test())


def test_the_hottest_of_all_old_shards_come_first() -> None:
    async def test() -> None:
        disk = (await _make_node(Random(1), 3)).copy()
        ranked = [[HotKey(b"t" * 16, key, b"", b"") for key in KEYS[n::3]] for n in range(3)]
        for shard, entries in enumerate(ranked):
            # One has less to say than the others.
            data = await hot_keys.encode(entries[: len(entries) - 5 * shard])
            await hot_keys.write(disk, _place(shard), data)
        await _start(disk, 1)
        found = [hot.key for hot in await hot_keys.read(disk, _place(0))]
        ranks = [KEYS.index(key) // 3 for key in found]
        assert len(found) == len(KEYS) - 15 and ranks == sorted(ranks)

    asyncio.run(test())


@pytest.mark.parametrize("is_there", [True, False])
def test_a_file_of_hot_keys_that_is_damaged_or_missing_stops_nothing(is_there: bool) -> None:
    async def test() -> None:
        node = await _make_node(Random(1), 2)
        disk = node.copy()
        path = f"{_place(0)}/{hot_keys.NAME}"
        await disk.remove(path)
        if is_there:
            file = await disk.open(path, OpenMode.CREATE)
            await file.write(0, b"damage")
            await file.sync()
            await file.close()
        await _start(disk, 3)
        found = {hot for shard in range(3) for hot in await hot_keys.read(disk, _place(shard))}
        assert found == set(_hot(node.layouts, replace(CONFIG, shards=2), 1))

    asyncio.run(test())


def test_no_new_shard_goes_back_behind_the_clock_of_any_old_one() -> None:
    async def test() -> None:
        disk = (await _make_node(Random(1), 2)).copy()
        config = replace(CONFIG, shards=1)
        identity = await load_or_create(disk, config, Random(1))
        # The machine has started anew since, which calls for a margin.
        await reshard(Surroundings(disk, config, Random(1), b"another boot", 100), identity)
        ceiling = await Ceiling.open(disk, _place(0), b"another boot")
        assert ceiling.found_us == CLOCK_US + 1 + STEP_US + MARGIN_US

    asyncio.run(test())


def test_files_are_rewritten_once() -> None:
    async def test() -> None:
        node = await _make_node(Random(1), 2)
        disk = node.copy()
        await _start(disk, 3)
        written = [path for operation, path in disk.trace if operation == "write"]
        staged = [path for path in written if "/resharding/" in path and path.endswith(".sst")]
        for layout in node.layouts:
            for shard in range(3):
                for live in await live_files(disk, _place(shard), layout):
                    name = f"{live.number:016x}.sst"
                    mine = [path for path in staged if f"shard-{shard}/" in path]
                    assert len([path for path in mine if path.endswith(name)]) == 1

    asyncio.run(test())


def test_too_little_room_is_told_before_anything_is_written() -> None:
    async def test() -> None:
        node = await _make_node(Random(1), 2)
        disk = node.copy(Faults(bytes_max=node.disk.bytes_used + 1024 * KIB))
        with pytest.raises(ReshardingFailed) as caught:
            await _start(disk, 3)
        assert "needs 17 MiB in /data" in str(caught.value), caught.value
        assert "start with --shards 2" in str(caught.value)
        assert "resharding" not in await disk.list(DATA)
        disk.faults.bytes_max = 0
        await _start(disk, 2)
        await _check(node, disk, 2)

    asyncio.run(test())


def test_a_disk_that_gets_full_meanwhile_leaves_the_old_number() -> None:
    async def test() -> None:
        node = await _make_node(Random(1), 2)
        points = RecordedPoints()
        disk = node.copy()

        def fill(name: str, count: int) -> None:
            disk.faults.bytes_max = disk.bytes_used

        points.on("split.group", fill)
        with pytest.raises(DiskFull):
            await _start(disk, 3, points=points)
        disk.faults.bytes_max = 0
        assert "resharding" not in await disk.list(DATA)
        await _start(disk, 2)
        await _check(node, disk, 2)

    asyncio.run(test())


def test_damage_ends_it_with_a_sentence_and_leaves_the_old_number() -> None:
    async def test() -> None:
        node = await _make_node(Random(1), 2)
        for offset, failure in ((60, CorruptFile), (-60, ReshardingFailed)):
            disk = node.copy()
            path = next(path for path in disk.paths() if path.endswith(".sst"))
            file = await disk.open(path, OpenMode.LOG)
            size = await disk.size(path)
            at = offset if offset > 0 else size - 4096
            await file.write(at, b"damage")
            await file.close()
            with pytest.raises(failure) as caught:
                await _start(disk, 3)
            assert path in str(caught.value)
            identity = await load_or_create(disk, CONFIG, Random(1))
            assert (identity.shards, identity.is_adopting) == (2, False)
            assert "resharding" not in await disk.list(DATA)

    asyncio.run(test())


def test_an_older_program_refuses_a_directory_whose_shards_are_not_in_their_places() -> None:
    async def test() -> None:
        disk = (await _make_node(Random(1), 2)).copy()
        points = RecordedPoints()

        def look(name: str, count: int) -> None:
            content = json.loads(disk.content(f"{DATA}/node.json"))
            assert content["format"] == 4 and content["shards"] == 3

        points.on("resharding.decided", look)
        await _start(disk, 3, points=points)
        assert points.reached["resharding.decided"] == 1
        assert json.loads(disk.content(f"{DATA}/node.json"))["format"] == 3

    asyncio.run(test())
