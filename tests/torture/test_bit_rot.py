"""Bits flip and sectors vanish in every kind of file of a shard: detected, or harmless.

A damaged copy of one directory is opened, read whole and by key, compacted, and read again. Every
answer is the right one or a typed error that names a file and an offset. Only what the log had not
made durable may be missing, and then all that was logged after it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import cache
from random import Random

import pytest

from storage.commitlog import CommitLogConfig, SyncMode
from storage.engine import Engine, EngineConfig
from storage.errors import CorruptData, CorruptFile, StorageError
from storage.layout import Layout
from storage.mutation import Mutation, MutationBuilder
from storage.row import RowBuilder
from storage.slice import Page, Slice
from tests.sim.disk import SECTOR_BYTES, Faults, SimulatedDisk
from tests.sim.states import end_tasks

DAMAGES_QUICK, DAMAGES_LONG = 1_300, 20_000
"""With those of `test_bit_rot_of_small_files` 5,500 in a quick run."""

MERGED_EVERY = 4
"""Of so many faults in a quick run, one is also met by compactions."""
TABLES = (b"a" * 16, b"b" * 16)
CONFIG = EngineConfig(
    memtable_bytes=1 << 20,
    block_cache_bytes=1 << 12,
    commitlog=CommitLogConfig(
        SyncMode.PERIODIC, segment_bytes=32 * 1024, total_space_bytes=1 << 20
    ),
)
PADDING = bytes(64)
"""Zeros that are no content, of which one bit in so many is flipped: each costs a whole life."""

QUICK_STEP = 251
"""A quick run flips every so manieth bit of the small files, the seed says with which it begins."""


@dataclass(frozen=True)
class Writes:
    """How many there were."""

    durable: int = 240
    """Those that must be found again."""

    tail: int = 12
    """Those that were logged last and not synced."""

    @property
    def all(self) -> int:
        return self.durable + self.tail


MANY, FEW = Writes(), Writes(24, 3)
Rows = dict[tuple[bytes, bytes], bytes]


def layout_of(table_id: bytes) -> Layout:
    return Layout(table_id, "t", frozenset({1}), True, False, chunk_bytes=1024)


def write_of(number: int) -> tuple[Mutation, tuple[bytes, bytes], bytes]:
    """The mutation, and where its row is found; every fifth overwrites an earlier one."""
    key = b"%08d" % (number % 17 * 1_000_003 % 10**8)
    clustering = b"c%04d" % (number - 100 if number % 5 == 0 and number >= 100 else number)
    row = RowBuilder()
    row.begin(number + 1, True)
    row.cell(1, number + 1, b"%d " % number * (number % 40 + 1))
    data = row.finish()
    builder = MutationBuilder(TABLES[number % 17 % 2], key)
    builder.row(clustering, data)
    return builder.finish(), (key, clustering), data


async def damaged_directory(random: Random, writes: Writes = MANY) -> SimulatedDisk:
    """Several files, a merged one, and a log of which the last records are not synced."""
    disk = SimulatedDisk(random)
    engine = Engine(disk, "/shard-0", 0, CONFIG)
    await engine.open([layout_of(table_id) for table_id in TABLES])
    quarter = writes.durable // 4
    for number in range(writes.durable):
        engine.apply(write_of(number)[0])
        engine.end_of_turn()
        if number in (quarter, 2 * quarter, 3 * quarter):
            await engine.flush()
        if number == 2 * quarter + 1:
            await engine.compact(TABLES[0])
    await engine.sync()
    for number in range(writes.durable, writes.all):
        engine.apply(write_of(number)[0])
        engine.end_of_turn()
    return disk


async def ask(engine: Engine, wanted: Slice) -> Page:
    answer = engine.read(wanted, 0)
    return answer if isinstance(answer, Page) else await answer


async def answers(engine: Engine) -> AsyncIterator[tuple[str, Rows | StorageError]]:
    """What reads say: of each table whole, and of each partition."""
    wanted = [("whole", Slice(table_id)) for table_id in TABLES]
    for number in range(17):
        mutation, (key, _), _ = write_of(number)
        wanted.append((key.decode(), Slice(mutation.table_id, key=key)))
    for name, slice_ in wanted:
        try:
            page = await ask(engine, slice_)
        except StorageError as error:
            yield name, error
            continue
        found: Rows = {}
        for partition in page.partitions:
            for clustering, row in zip(partition.clusterings, partition.rows, strict=True):
                found[partition.key, clustering] = row
        yield f"{name} {slice_.table_id[:1].decode()}", found


def damage(disk: SimulatedDisk, path: str, random: Random) -> str:
    """Harm a file in one of the ways in which disks do; what was done, in words."""
    content = disk.content(path)
    used = len(content.rstrip(b"\0")) or len(content)
    kind = random.choice(("bit", "bit", "zero", "swap", "other"))
    sectors = max(1, used // SECTOR_BYTES)
    place = random.randrange(sectors) * SECTOR_BYTES
    if kind == "bit" or len(content) < 2 * SECTOR_BYTES:
        bit = random.randrange(used * 8)
        disk.flip_bit(path, bit)
        return f"{path}: bit {bit} flipped"
    if kind == "zero":
        disk.overwrite(path, place, bytes(min(SECTOR_BYTES, len(content) - place)))
    elif kind == "swap":
        other = random.randrange(sectors) * SECTOR_BYTES
        size = min(SECTOR_BYTES, len(content) - max(place, other))
        disk.overwrite(path, place, content[other : other + size])
        disk.overwrite(path, other, content[place : place + size])
    else:
        source = disk.content(random.choice(disk.paths()))
        disk.overwrite(path, place, source[: min(SECTOR_BYTES, len(content) - place)])
    return f"{path}: {kind} at {place}"


async def check_damaged(
    original: SimulatedDisk, path: str, random: Random, is_merged: bool = True
) -> str:
    """Damage one file of a copy and use it; `harmless`, `refused` or `detected`."""
    disk = original.restart(power_cut=False)
    before = disk.content(path)
    what = damage(disk, path, random)
    return await outcome_of(disk, path, what, MANY, disk.content(path) == before, is_merged)


async def outcome_of(
    disk: SimulatedDisk, path: str, what: str, writes: Writes, is_same: bool, is_merged: bool
) -> str:
    """Use a directory of which one file may be damaged: `harmless`, `refused` or `detected`."""
    engine = Engine(disk, "/shard-0", 0, CONFIG)
    try:
        await engine.open([layout_of(table_id) for table_id in TABLES])
    except CorruptFile as error:
        assert not is_same and error.path.startswith("/shard-0/"), what
        return "refused"
    outcome = "harmless"
    least = writes.durable if "/commitlog/" in path else writes.all
    possible = list(range(least, writes.all + 1))
    for after in ("", "after compaction") if is_merged else ("",):
        async for name, found in answers(engine):
            if isinstance(found, StorageError):
                assert isinstance(found, CorruptFile) and found.path == path, (what, name, found)
                outcome = "detected"
                continue
            possible = [count for count in possible if parts_of(count).get(name, {}) == found]
            assert possible, f"{what}: {name} is wrong {after}"
        for table_id in TABLES if is_merged else ():
            try:
                await engine.compact(table_id)
            except CorruptData as error:
                assert isinstance(error, CorruptFile) and error.path == path, (what, error)
                outcome = "detected"
    await engine.stop()
    return outcome


@cache
def parts_of(count: int) -> dict[str, Rows]:
    """What the first writes leave, by the names of the reads that ask for it."""
    parts: dict[str, Rows] = {}
    for number in range(count):
        mutation, place, data = write_of(number)
        table = mutation.table_id[:1].decode()
        for name in (f"whole {table}", f"{place[0].decode()} {table}"):
            parts.setdefault(name, {})[place] = data
    return parts


def test_damage_is_detected_or_harmless(
    seed: int, request: pytest.FixtureRequest, proven: Callable[[str, int], None]
) -> None:
    is_long = request.config.getoption("--long")
    random = Random(seed)

    async def test() -> Counter[str]:
        original = await damaged_directory(random)
        outcomes: Counter[str] = Counter()
        paths = original.paths()
        for number in range(DAMAGES_LONG if is_long else DAMAGES_QUICK):
            path = paths[number % len(paths)]
            is_merged = is_long or number // len(paths) % MERGED_EVERY == 0
            outcomes[await check_damaged(original, path, random, is_merged)] += 1
        return outcomes

    outcomes = asyncio.run(test())
    print(dict(outcomes))
    proven("bit rot", outcomes.total())
    assert outcomes["detected"] and outcomes["refused"], "damage is found in files of all kinds"


@pytest.mark.parametrize("kind", ["manifest", "commitlog-", ".sst"])
def test_every_bit_of_a_small_file_is_needed_or_checked(
    kind: str, seed: int, request: pytest.FixtureRequest, proven: Callable[[str, int], None]
) -> None:
    step = 1 if request.config.getoption("--long") else QUICK_STEP

    async def test() -> Counter[str]:
        original = await damaged_directory(Random(seed), FEW)
        used = {path: original.content(path).rstrip(b"\0") for path in original.paths()}
        path = min(
            (path for path in used if kind in path and used[path]), key=lambda p: len(used[p])
        )
        outcomes: Counter[str] = Counter()
        for bit in bits_of(used[path])[seed % step :: step]:
            disk = original.restart(power_cut=False, faults=Faults(is_immediate=True))
            disk.flip_bit(path, bit)
            what = f"{path}: bit {bit} flipped"
            outcomes[await outcome_of(disk, path, what, FEW, is_same=False, is_merged=True)] += 1
            await end_tasks()
        return outcomes

    outcomes = asyncio.run(test())
    print(kind, dict(outcomes))
    proven("bit rot, each bit", outcomes.total())
    assert outcomes["detected" if kind == ".sst" else "refused"]


def bits_of(content: bytes) -> list[int]:
    """The numbers of all bits, but few of those in padding."""
    bits: list[int] = []
    at = 0
    while at < len(content):
        is_padding = content.startswith(PADDING, at)
        size = len(PADDING) if is_padding else 1
        bits += [8 * at] if is_padding else range(8 * at, 8 * at + 8)
        at += size
    return bits


def test_a_file_found_damaged_is_told_of_once_with_its_place(seed: int) -> None:
    class Listener:
        def __init__(self) -> None:
            self.found: list[CorruptFile] = []

        def work_is_due(self) -> None:
            pass

        def has_failed(self, error: BaseException) -> None:
            raise error

        def has_found_damage(self, damage: CorruptFile) -> None:
            self.found.append(damage)

        def tell(self, message: str) -> None:
            pass

    async def test() -> None:
        original = await damaged_directory(Random(seed))
        disk = original.restart(power_cut=False)
        path = next(path for path in disk.paths() if path.endswith(".sst"))
        disk.flip_bit(path, 8 * 100)
        listener = Listener()
        engine = Engine(disk, "/shard-0", 0, CONFIG, listener=listener)
        await engine.open([layout_of(table_id) for table_id in TABLES])
        for _ in range(2):
            async for _ in answers(engine):
                pass
        assert [(damage.path, damage.offset) for damage in listener.found] == [(path, 0)]
        assert sum(table.quarantined for table in engine.statistics().tables) == 1
        await engine.stop()

    asyncio.run(test())
