"""Which SSTables live."""

import asyncio
import errno
import struct
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.checksum import crc32c
from storage.disk import OpenMode
from storage.errors import CorruptData, CorruptManifest, DiskError, DiskFull, ManifestFailed
from storage.manifest import (
    LiveSSTable,
    Manifest,
    ManifestState,
    decode_state,
    encode_state,
    key_head,
)
from storage.memory_disk import MemoryDisk
from tests.sim.crash import crash_at_every_call
from tests.sim.disk import Faults, SimulatedDisk

DIRECTORY = "/data"
A, B = b"a" * 16, b"b" * 16

U64 = st.integers(0, 2**64 - 1)
TABLES = st.binary(min_size=16, max_size=16)
HEADS = st.binary(min_size=8, max_size=8)
LIVE = st.builds(LiveSSTable, TABLES, U64, U64, st.integers(0, 255), HEADS, HEADS)
STATES = st.builds(
    ManifestState,
    U64,
    U64,
    st.dictionaries(TABLES, U64, max_size=5),
    st.sets(LIVE, max_size=8).map(lambda live: tuple(sorted(live))),
    U64,
)


async def loaded(disk: SimulatedDisk | MemoryDisk) -> Manifest:
    """The manifest that another process would find."""
    await disk.make_directory(DIRECTORY)
    manifest = Manifest(disk, DIRECTORY)
    await manifest.load()
    manifest.check()
    return manifest


@given(STATES)
def test_a_state_survives_its_bytes(state: ManifestState) -> None:
    assert decode_state(encode_state(state)) == state


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptData):
        decode_state(data)


@given(STATES, st.data())
def test_a_flipped_bit_is_found(state: ManifestState, choice: st.DataObject) -> None:
    data = bytearray(encode_state(state))
    bit = choice.draw(st.integers(0, len(data) * 8 - 1))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptData):
        decode_state(bytes(data))


@given(STATES, st.data())
def test_a_cut_is_found(state: ManifestState, choice: st.DataObject) -> None:
    data = encode_state(state)
    with pytest.raises(CorruptData):
        decode_state(data[: choice.draw(st.integers(0, len(data) - 1))])


def test_a_change_is_found_by_the_next_process() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        manifest = await loaded(disk)
        first = LiveSSTable(A, manifest.take_number(), 4096)
        second = LiveSSTable(B, manifest.take_number(), 8192, 1)
        await manifest.change(add=[second, first], flushed={A: 70, B: 80})
        await manifest.change(remove=[first.number], flushed={A: 60})
        found = await loaded(disk)
        assert found.state == manifest.state
        assert found.sstables_of(A) == () and found.sstables_of(B) == (second,)
        assert found.flushed_position(A) == 70, "a position does not go back"
        assert found.take_number() == 3
        await found.change(forget=[B])
        found = await loaded(disk)
        assert found.numbers() == frozenset() and found.flushed_position(B) == 0
        assert found.state.generation == 3 and found.take_number() == 4

    asyncio.run(test())


def test_a_first_start_finds_none() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        await disk.make_directory(DIRECTORY)
        assert await Manifest(disk, DIRECTORY).load() is False
        await (await loaded(disk)).change()
        assert await Manifest(disk, DIRECTORY).load() is True

    asyncio.run(test())


def test_changes_wait_for_each_other() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        manifest = await loaded(disk)
        tables = [LiveSSTable(A, manifest.take_number(), 1) for _ in range(20)]
        await asyncio.gather(*(manifest.change(add=[table]) for table in tables))
        assert (await loaded(disk.restart(power_cut=True))).sstables_of(A) == tuple(tables)

    asyncio.run(test())


def test_damage_is_reported_with_the_file() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        await (await loaded(disk)).change(flushed={A: 1})
        disk.flip_bit(f"{DIRECTORY}/manifest", 99)
        with pytest.raises(CorruptManifest) as caught:
            await loaded(disk)
        assert caught.value.path == f"{DIRECTORY}/manifest"

    asyncio.run(test())


@pytest.mark.parametrize("operation", ["open", "write", "sync"])
def test_a_new_manifest_that_fails_leaves_the_old_and_may_be_tried_again(operation: str) -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        manifest = await loaded(disk)
        await manifest.change(flushed={A: 1})
        disk.faults.choose = lambda _, call, __: errno.ENOSPC if call == operation else 0
        with pytest.raises(DiskFull):
            await manifest.change(flushed={A: 2})
        disk.faults.choose = None
        assert manifest.flushed_position(A) == 1
        await manifest.change(flushed={A: 3})
        assert (await loaded(disk.restart(power_cut=True))).flushed_position(A) == 3

    asyncio.run(test())


@pytest.mark.parametrize("operation", ["rename", "sync_directory"])
def test_a_replacement_that_fails_stops_all_changes(operation: str) -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1))
        manifest = await loaded(disk)
        disk.faults.choose = lambda _, call, __: errno.EIO if call == operation else 0
        with pytest.raises(ManifestFailed):
            await manifest.change(flushed={A: 1})
        disk.faults.choose = None
        calls = disk.calls
        with pytest.raises(ManifestFailed):
            await manifest.change(flushed={A: 2})
        assert disk.calls == calls, "nothing is tried"

    asyncio.run(test())


def test_what_does_not_live_is_not_removed_and_what_lives_not_added() -> None:
    async def test() -> None:
        manifest = await loaded(MemoryDisk())
        live = LiveSSTable(A, manifest.take_number(), 1)
        await manifest.change(add=[live])
        with pytest.raises(AssertionError):
            await manifest.change(remove=[7])
        with pytest.raises(AssertionError):
            await manifest.change(add=[live])

    asyncio.run(test())


def test_rubbish_of_an_unfinished_change_goes() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        await (await loaded(disk)).change(flushed={A: 1})
        file = await disk.open(f"{DIRECTORY}/manifest.new", OpenMode.CREATE)
        await file.write(0, b"half")
        assert (await loaded(disk)).flushed_position(A) == 1
        assert await disk.list(DIRECTORY) == ["manifest"]

    asyncio.run(test())


@pytest.mark.parametrize("power_cut", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_crash_at_any_call_leaves_the_old_or_the_new(seed: int, power_cut: bool) -> None:
    async def test() -> None:
        random = Random(seed)
        done: list[int] = []

        async def changes(disk: SimulatedDisk) -> None:
            done.append(0)
            manifest = await loaded(disk)
            for step in range(1, 8):
                number = manifest.take_number()
                gone = manifest.numbers() if step % 3 == 0 else ()
                await manifest.change(
                    add=[LiveSSTable(A, number, step)], remove=gone, flushed={A: step}
                )
                done[-1] = step

        def scenario(disk: SimulatedDisk) -> Coroutine[Any, Any, None]:
            return changes(disk)

        runs = 0
        async for dead in crash_at_every_call(random, scenario):
            runs += 1
            found = await loaded(dead.restart(power_cut=power_cut))
            assert found.flushed_position(A) in (done[-1], done[-1] + 1)
            assert found.state.generation == found.flushed_position(A)
            if found.state.sstables:
                assert found.state.sstables[-1].size == found.flushed_position(A)
        assert runs > 40

    asyncio.run(test())


def test_an_unreadable_manifest_is_a_disk_error() -> None:
    async def test() -> None:
        disk = SimulatedDisk(Random(1), Faults())
        await (await loaded(disk)).change(flushed={A: 1})
        disk.faults.choose = lambda _, call, __: errno.EIO if call == "read" else 0
        with pytest.raises(DiskError):
            await loaded(disk)

    asyncio.run(test())


def test_a_manifest_of_version_1_is_read_and_may_have_any_key() -> None:
    body = struct.pack(">8sHQQI", b"PYTHIAMF", 1, 7, 12, 1)
    body += struct.pack(">16sQ", b"t" * 16, 99) + struct.pack(">I", 1)
    body += struct.pack(">16sQQB", b"t" * 16, 11, 8192, 2)
    state = decode_state(body + struct.pack(">I", crc32c(body)))
    live = LiveSSTable(b"t" * 16, 11, 8192, 2, b"\0" * 8, b"\xff" * 8)
    assert state == ManifestState(7, 12, {b"t" * 16: 99}, (live,), 0)
    assert decode_state(encode_state(state)) == state


def test_heads_of_keys_are_ordered_as_the_keys() -> None:
    keys = [b"", b"\0", b"a", b"a\0", b"abcdefgh", b"abcdefgh1", b"abcdefgh2", b"\xff" * 9]
    assert [key_head(key) for key in keys] == sorted(key_head(key) for key in keys)
