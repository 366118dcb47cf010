"""Bits flip and sectors vanish in every file that is no SSTable, log or manifest of a shard.

Each is damaged in the same ways as those of `test_bit_rot`, and read as a start reads it. What it
says then is what it said before, or an error, or a note of damage, that names it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random
from uuid import UUID

import pytest

from cluster.schema_log import Entry, SchemaLog
from cql.prepared import Remembered
from node.ceiling import MARGIN_US, RECORDS_ROOM, STEP_US, Ceiling
from node.config import build_config
from node.identity import IdentityDamaged, IdentityMismatch, load_or_create
from node.snapshot_files import Snapshot, SnapshotError, SnapshotFiles, SnapshotTable
from node.statement_memory import StatementMemory
from storage import hot_keys
from storage.errors import CorruptData, CorruptFile
from storage.snapshot import SnapshotFile
from tests.sim.disk import Faults, SimulatedDisk
from tests.torture.test_bit_rot import damage

FAULTS_QUICK, FAULTS_LONG = 700, 40_000
"""For each kind of file; together with `test_bit_rot` 5,500 in a quick run."""

QUICK_STEP = 211
"""A quick run flips every so manieth bit, the seed says with which it begins."""

BYTES_MAX = {"clock": 2 * 1024}
"""Where only the first bytes are flipped bit by bit, as the rest is more of the same."""

DATA = "/data"
CONFIG = build_config({"data_directory": DATA, "shards": 2})
ENTRIES = [b"entry %d " % number * 20 for number in range(12)]
STATEMENTS = [
    Remembered(UUID(int=number).bytes, f"SELECT {number} FROM k.t", "k", b"f" * 8)
    for number in range(60)
]
BOOT = b"one boot"
LAST_US = 40 * 20 * STEP_US
HOT = [hot_keys.HotKey(b"t" * 16, b"key %d" % number, b"", b"") for number in range(60)]
SNAPSHOT = Snapshot(
    "one",
    1_700_000_000_000,
    None,
    2,
    tuple(
        SnapshotTable("ks", f"t{number}", f"{number:032x}", {1: [SnapshotFile(7, 1, 2, b"i" * 16)]})
        for number in range(12)
    ),
    ({"do": "put keyspace", "name": "ks"},),
)

HARMLESS, DETECTED = "harmless", "detected"
Check = Callable[[SimulatedDisk, str], Awaitable[str]]


async def identity_made(disk: SimulatedDisk) -> None:
    await load_or_create(disk, CONFIG, Random(1))


async def identity_read(disk: SimulatedDisk, path: str) -> str:
    expected = SimulatedDisk(Random(0))
    await expected.make_directory(DATA)
    right = await load_or_create(expected, CONFIG, Random(1))
    try:
        assert await load_or_create(disk, CONFIG, Random(2)) == right
        return HARMLESS
    except IdentityMismatch as error:
        assert path in str(error)
        assert isinstance(error, IdentityDamaged) or "format" in str(error)
        return DETECTED


async def schema_made(disk: SimulatedDisk) -> None:
    log = await SchemaLog.open(disk, f"{DATA}/schema", Random(1))
    for entry in ENTRIES:
        await log.append(entry)
    await log.close()


async def schema_read(disk: SimulatedDisk, path: str) -> str:
    try:
        log = await SchemaLog.open(disk, f"{DATA}/schema", Random(2))
    except CorruptFile as error:
        assert error.path == path
        return DETECTED
    expected = [Entry(number + 1, False, entry) for number, entry in enumerate(ENTRIES)]
    assert log.after(0) == expected
    return HARMLESS


async def statements_made(disk: SimulatedDisk) -> None:
    memory = StatementMemory(lambda: None)
    await memory.open(disk, f"{DATA}/prepared", Random(1))
    for number, statement in enumerate(STATEMENTS):
        memory.remember(statement)
        if number % 10 == 9:
            await memory.write()
    await memory.close()


async def statements_read(disk: SimulatedDisk, path: str) -> str:
    memory = StatementMemory(lambda: None)
    await memory.open(disk, f"{DATA}/prepared", Random(2))
    found = list(memory.statements())
    if memory.damage is None:
        assert found == STATEMENTS
        return HARMLESS
    assert memory.damage.path == path and not found
    return DETECTED


async def clock_made(disk: SimulatedDisk) -> None:
    ceiling = await Ceiling.open(disk, DATA, BOOT)
    await ceiling.begin()
    for number in range(1, 41):
        ceiling.pass_to(number * 20 * STEP_US)
        await ceiling.sync()
    await ceiling.close()


async def clock_read(disk: SimulatedDisk, path: str) -> str:
    ceiling = await Ceiling.open(disk, DATA, BOOT)
    right = LAST_US + STEP_US
    if ceiling.damage is None:
        # Zeros are what a crash may leave of records that were not synced: they are not told.
        zeros = disk.content(path).count(bytes(32))
        assert ceiling.found_us == right or zeros > RECORDS_ROOM - 42
        return HARMLESS
    assert ceiling.damage.path == path and ceiling.found_us <= right + MARGIN_US
    return DETECTED


async def hot_keys_made(disk: SimulatedDisk) -> None:
    await hot_keys.write(disk, DATA, await hot_keys.encode(HOT))


async def hot_keys_read(disk: SimulatedDisk, path: str) -> str:
    try:
        assert await hot_keys.read(disk, DATA) == HOT
        return HARMLESS
    except CorruptData:
        return DETECTED


async def snapshot_made(disk: SimulatedDisk) -> None:
    await SnapshotFiles(disk, DATA).complete(SNAPSHOT, "CREATE KEYSPACE ks;\n" * 100)


async def snapshot_read(disk: SimulatedDisk, path: str) -> str:
    try:
        assert await SnapshotFiles(disk, DATA).get("one") == SNAPSHOT
        return HARMLESS
    except SnapshotError as error:
        assert path in str(error)
        return DETECTED


KINDS: dict[str, tuple[Callable[[SimulatedDisk], Awaitable[None]], Check]] = {
    "node.json": (identity_made, identity_read),
    "schema-": (schema_made, schema_read),
    "prepared/": (statements_made, statements_read),
    "clock": (clock_made, clock_read),
    "hot_keys": (hot_keys_made, hot_keys_read),
    "manifest.json": (snapshot_made, snapshot_read),
}


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_told_or_changes_nothing(
    kind: str,
    seed: int,
    request: pytest.FixtureRequest,
    proven: Callable[[str, int], None],
) -> None:
    count = FAULTS_LONG if request.config.getoption("--long") else FAULTS_QUICK
    make, check = KINDS[kind]

    async def test() -> Counter[str]:
        random = Random(seed)
        stopped, path = await _stopped(make, kind, random)
        outcomes: Counter[str] = Counter()
        for _ in range(count):
            harmed = stopped.restart(power_cut=False)
            before = harmed.content(path)
            what = damage(harmed, path, random)
            outcome = await _outcome(check, harmed, path, what)
            assert outcome == HARMLESS or harmed.content(path) != before, what
            outcomes[outcome] += 1
        return outcomes

    outcomes = asyncio.run(test())
    print(kind, dict(outcomes))
    proven("bit rot", outcomes.total())
    assert outcomes[DETECTED] > count // 20


@pytest.mark.parametrize("kind", KINDS)
def test_every_bit_is_needed_or_checked(
    kind: str,
    seed: int,
    request: pytest.FixtureRequest,
    proven: Callable[[str, int], None],
) -> None:
    step = 1 if request.config.getoption("--long") else QUICK_STEP
    make, check = KINDS[kind]

    async def test() -> Counter[str]:
        stopped, path = await _stopped(make, kind, Random(seed))
        outcomes: Counter[str] = Counter()
        bits = 8 * len(stopped.content(path)[: BYTES_MAX.get(kind)])
        for bit in range(seed % step, bits, step):
            harmed = stopped.restart(power_cut=False, faults=Faults(is_immediate=True))
            harmed.flip_bit(path, bit)
            outcomes[await _outcome(check, harmed, path, f"{path}: bit {bit} flipped")] += 1
        return outcomes

    outcomes = asyncio.run(test())
    print(kind, dict(outcomes))
    proven("bit rot, each bit", outcomes.total())
    assert outcomes[DETECTED]


async def _stopped(
    make: Callable[[SimulatedDisk], Awaitable[None]], kind: str, random: Random
) -> tuple[SimulatedDisk, str]:
    """A disk with one of these files, and its path."""
    disk = SimulatedDisk(random)
    await disk.make_directory(DATA)
    await make(disk)
    stopped = disk.fork()
    (path,) = (path for path in stopped.paths() if kind in path)
    return stopped, path


async def _outcome(check: Check, harmed: SimulatedDisk, path: str, what: str) -> str:
    """What a start makes of a damaged file."""
    try:
        return await check(harmed, path)
    except AssertionError as error:
        raise AssertionError(what) from error
