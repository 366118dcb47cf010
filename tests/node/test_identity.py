"""Who a node is, or a sentence that says which file is damaged; never another node."""

from __future__ import annotations

import asyncio
import json
from random import Random

import pytest

from node.config import build_config
from node.identity import (
    Identity,
    IdentityDamaged,
    IdentityMismatch,
    load_or_create,
    save,
)
from node.resharding import tidy
from storage.disk import OpenMode
from storage.memory_disk import MemoryDisk
from storage.values import replace
from tests.sim.crash import run_until_crash
from tests.sim.disk import SECTOR_BYTES, SimulatedDisk

PATH = "data/node.json"
CONFIG = build_config({"data_directory": "data", "shards": 2})


async def made(disk: SimulatedDisk) -> Identity:
    await disk.make_directory("data")
    return await load_or_create(disk, CONFIG, Random(1))


def test_every_flipped_bit_is_told_with_the_file_or_changes_nothing() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        identity = await made(disk)
        size, harmless = len(disk.content(PATH)), 0
        for bit in range(size * 8):
            disk.flip_bit(PATH, bit)
            try:
                assert await load_or_create(disk, CONFIG, Random(2)) == identity
                harmless += 1
            except IdentityMismatch as error:
                assert PATH in str(error)
            disk.flip_bit(PATH, bit)
        assert harmless < size * 8 // 50, "only the space between fields may change"

    asyncio.run(test())


@pytest.mark.parametrize("power_cut", [False, True])
def test_a_save_that_was_stopped_leaves_one_identity_and_nothing_else(power_cut: bool) -> None:
    async def test() -> None:
        number = 1
        while True:
            disk = SimulatedDisk(Random(1))
            before = await made(disk)
            after = replace(before, shards=5)
            disk.faults.crash_at = disk.calls + number
            if not await run_until_crash(disk, save(disk, "data", after)):
                break
            disk = disk.restart(power_cut=power_cut)
            found = await tidy(disk, "data", await load_or_create(disk, CONFIG, Random(2)))
            assert found in (before, after)
            assert await disk.list("data") == ["node.json"]
            number += 1
        assert number > 5

    asyncio.run(test())


@pytest.mark.parametrize("harm", ["cut", "zeroed"])
def test_a_file_that_ends_early_or_is_zeroed_is_told(harm: str) -> None:
    async def test() -> None:
        for at in range(0, 100, 7):
            disk = SimulatedDisk(Random(1))
            await made(disk)
            if harm == "cut":
                disk.cut(PATH, at)
            else:
                disk.overwrite(PATH, at, bytes(min(SECTOR_BYTES, len(disk.content(PATH)) - at)))
            with pytest.raises(IdentityDamaged) as damage:
                await load_or_create(disk, CONFIG, Random(2))
            assert damage.value.path == PATH and "put back a copy" in str(damage.value)

    asyncio.run(test())


@pytest.mark.parametrize("name", ["schema", "shard-1"])
def test_data_whose_identity_is_missing_are_not_given_a_new_one(name: str) -> None:
    async def test() -> None:
        disk = MemoryDisk()
        await disk.make_directory(f"data/{name}")
        with pytest.raises(IdentityDamaged, match=f"missing, although there is {name}"):
            await load_or_create(disk, CONFIG, Random(1))

    asyncio.run(test())


@pytest.mark.parametrize("is_adopting", [False, True])
def test_a_file_from_before_there_was_a_checksum_is_read(is_adopting: bool) -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        identity = replace(await made(disk), is_adopting=is_adopting)
        await save(disk, "data", identity)
        fields = json.loads(disk.content(PATH))
        assert fields.pop("checksum") and fields["format"] == (4 if is_adopting else 3)
        fields["format"] -= 2
        content = json.dumps(fields, indent=1).encode()
        await disk.remove(PATH)
        file = await disk.open(PATH, OpenMode.CREATE)
        await file.write(0, content)
        await file.close()
        assert await load_or_create(disk, CONFIG, Random(2)) == identity

    asyncio.run(test())
