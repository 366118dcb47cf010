"""A snapshot restored by another number of shards: the same data, each key at its owner."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from storage.disk import Disk
from storage.engine import Engine
from storage.errors import CorruptFile, RestoreRefused
from storage.layout import Layout
from storage.memory_disk import MemoryDisk
from storage.snapshot_split import Shares
from storage.sstable.reader import NO_KEY
from storage.values import replace
from tests.sim.crash import CALLS_MAX, run_until_crash
from tests.sim.disk import Faults, SimulatedDisk
from tests.storage.split_parts import random_mutation
from tests.storage.test_split import (
    CONFIG,
    KEYS,
    LAYOUTS,
    directories,
    joined,
    owner,
    settle,
    write,
)


@dataclass(frozen=True)
class Owned:
    """The keys of one shard, as test_split divides them."""

    shard: int
    shards: int

    def is_mine(self, key: bytes) -> bool:
        return owner(key, self.shards) == self.shard

    def until(self, key: bytes) -> bytes:
        mine = owner(key, self.shards)
        others = (k for k in sorted(KEYS) if k > key and owner(k, self.shards) != mine)
        return next(others, NO_KEY)


async def snapshot_of(
    disk: Disk, paths: Sequence[str], layouts: Sequence[Layout]
) -> dict[bytes, Shares]:
    """A snapshot of all shards, by table."""
    shares: dict[bytes, list[Any]] = {layout.table_id: [] for layout in layouts}
    for shard, path in enumerate(paths):
        engine = Engine(disk, path, shard, CONFIG)
        await engine.open(layouts)
        for layout in layouts:
            directory = f"snapshots/{shard}/{layout.name}"
            files = await engine.link_files(layout.table_id, directory)
            shares[layout.table_id].append((directory, files))
        await engine.stop()
    return shares  # type: ignore[return-value]


@pytest.mark.parametrize(
    "compaction",
    [
        (),
        (("class", "LeveledCompactionStrategy"), ("sstable_size_in_mb", "1")),
        (("class", "TimeWindowCompactionStrategy"),),
        (("class", "UnifiedCompactionStrategy"), ("min_sstable_size", "0B")),
    ],
)
@pytest.mark.parametrize(("old", "new"), [(1, 3), (3, 1), (2, 3), (4, 2)])
def test_each_shard_takes_what_is_its_own_and_nothing_is_lost(
    seed: int, old: int, new: int, compaction: tuple[tuple[str, str], ...]
) -> None:
    async def test() -> None:
        disk, random = MemoryDisk(), Random(seed)
        layouts = [replace(layout, compaction=compaction) for layout in LAYOUTS]
        before, after = directories(0, old), directories(1, new)
        await write(disk, before, random, layouts)
        await settle(disk, before, layouts)
        shares = await snapshot_of(disk, before, layouts)
        expected = [await joined(disk, before, layout) for layout in layouts]
        # What the tables held goes.
        await write(disk, after, random, layouts)
        for shard, path in enumerate(after):
            engine = Engine(disk, path, shard, CONFIG)
            await engine.open(layouts)
            for layout in layouts:
                ours = Owned(shard, new)
                await engine.restore_shares(layout.table_id, shares[layout.table_id], ours)
            engine.check()
            await engine.stop()
        assert [await joined(disk, after, layout) for layout in layouts] == expected

    asyncio.run(test())


def test_a_crash_at_any_call_leaves_the_old_content_or_the_new() -> None:
    async def test() -> None:
        random = Random(1)
        layout, before = LAYOUTS[0], directories(0, 2)
        first = SimulatedDisk(random)
        await write(first, before, random, [layout])
        await settle(first, before, [layout])
        shares = await snapshot_of(first, before, [layout])
        engine = Engine(first, "new", 0, CONFIG)
        await engine.open([layout])
        for turn in range(5):
            engine.apply(random_mutation(random, layout, KEYS, 500 + turn))
        await engine.stop()
        origin = first.fork()
        old = await joined(first, ["new"], layout)
        whole = await joined(first, before, layout)
        new = {key: part for key, part in whole.items() if owner(key, 2) == 1}
        found_old = found_new = 0

        async def restore(disk: SimulatedDisk) -> None:
            engine = Engine(disk, "new", 0, CONFIG)
            await engine.open([layout])
            await engine.restore_shares(layout.table_id, shares[layout.table_id], Owned(1, 2))
            await engine.stop()

        for call in range(1, CALLS_MAX):
            dead = origin.restart(power_cut=False, faults=Faults(crash_at=call))
            if not await run_until_crash(dead, restore(dead)):
                break
            disk = dead.restart(power_cut=True)
            await settle(disk, ["new"], [layout])
            content = await joined_one(disk, layout)
            assert content in (old, new)
            found_old += content == old
            found_new += content == new
        assert found_old > 5 and found_new > 3 and old != new

    asyncio.run(test())


async def joined_one(disk: Disk, layout: Layout) -> dict[bytes, Any]:
    return dict(await joined(disk, ["new"], layout))


def test_a_restore_that_has_no_room_is_refused_before_it_writes_anything() -> None:
    async def test() -> None:
        disk, random = SimulatedDisk(Random(1)), Random(1)
        layout, before = LAYOUTS[0], directories(0, 2)
        await write(disk, before, random, [layout])
        await settle(disk, before, [layout])
        shares = await snapshot_of(disk, before, [layout])
        whole = await joined(disk, before, layout)
        engine = Engine(disk, "new", 0, CONFIG)
        await engine.open([layout])
        engine.apply(random_mutation(random, layout, KEYS, 500))
        await engine.flush()
        snapshot = shares[layout.table_id]
        size = sum(file.size for _, files in snapshot for file in files)
        needed = size // 2 + size // 40
        disk.faults.bytes_max = disk.bytes_used + needed - 1
        paths = disk.paths()
        for _ in range(2):  # What was reserved is given back.
            with pytest.raises(RestoreRefused, match=r"needs 1 MiB .* may take 0 MiB"):
                await engine.restore_shares(layout.table_id, snapshot, Owned(1, 2))
        with pytest.raises(RestoreRefused):
            engine.refuse_without_room(size, 2)
        assert disk.paths() == paths
        disk.faults.bytes_max = disk.bytes_used + needed + CONFIG.marks.flush_bytes + 1
        engine.refuse_without_room(size, 2)
        disk.faults.bytes_max = 0
        for _ in range(2):
            await engine.restore_shares(layout.table_id, snapshot, Owned(1, 2))
        await engine.stop()
        content = await joined_one(disk, layout)
        assert content == {key: part for key, part in whole.items() if owner(key, 2) == 1}

    asyncio.run(test())


def test_a_damaged_file_is_refused_and_nothing_changes() -> None:
    async def test() -> None:
        disk, random = SimulatedDisk(Random(1)), Random(1)
        layout, before = LAYOUTS[0], directories(0, 2)
        await write(disk, before, random, [layout])
        await settle(disk, before, [layout])
        shares = await snapshot_of(disk, before, [layout])
        path = next(path for path in disk.paths() if path.startswith("snapshots/"))
        engine = Engine(disk, "new", 0, CONFIG)
        await engine.open([layout])
        engine.apply(random_mutation(random, layout, KEYS, 500))
        disk.flip_bit(path, 8 * 50)
        with pytest.raises(CorruptFile, match=r"snapshots/|epoch-0/"):
            await engine.restore_shares(layout.table_id, shares[layout.table_id], Owned(0, 1))
        await engine.stop()
        assert len(await joined_one(disk, layout)) == 1
        assert len([path for path in disk.paths() if path.startswith("new/tables/")]) == 1

    asyncio.run(test())
