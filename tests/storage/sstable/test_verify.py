"""Verification finds whatever is not as it was written, and nothing in what is."""

from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage.disk import OpenMode
from storage.errors import CorruptFile
from storage.memory_disk import MemoryDisk
from storage.row import RowBuilder
from storage.sstable.verify import open_alone, sections_of, verify
from tests.storage.sstable.support import PATH, Partition, file_of, key_of, layout, run


def row(number: int) -> bytes:
    builder = RowBuilder()
    builder.begin(number + 1, number % 3 == 0)
    builder.cell(1, number + 1, b"v" * (number % 90))
    return builder.finish()


def partitions() -> list[Partition]:
    """Small and wide partitions with statics, deletions and range tombstones, in many blocks."""
    random = Random(3)
    made: list[Partition] = []
    for number in range(120):
        count = 300 if number % 40 == 7 else random.randint(0, 4)
        clusterings = [b"c%06d" % (2 * i) for i in range(count)]
        tombstones = []
        if number % 5 == 0:
            tombstones = [(b"c000001", b"c000003", 9, 100), (b"c9", b"", 8, 200)]
        deletion = (5, 50) if number % 11 == 0 else None
        static_row = row(1) if number % 4 == 0 else b""
        rows = [row(i) for i in range(count)]
        made.append((key_of(number), deletion, static_row, tombstones, clusterings, rows))
    return made


CONTENT = file_of(partitions(), layout(chunk_bytes=700))


async def verified(content: bytes) -> list[CorruptFile]:
    disk = MemoryDisk()
    await disk.make_directory("t")
    file = await disk.open(PATH, OpenMode.CREATE)
    await file.write(0, content)
    await file.close()
    return await verify(disk, PATH)


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("chunk_bytes", [200, 4096, 1 << 20])
def test_nothing_is_wrong_with_a_file_as_it_was_written(compression: str, chunk_bytes: int) -> None:
    content = file_of(partitions(), layout(compression=compression, chunk_bytes=chunk_bytes))
    assert run(verified(content)) == []


PADDING = CONTENT.index(bytes(8), len(CONTENT) - 2 * 4096)
"""Before the footer there are zeros that belong to no frame."""


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
@example(PADDING + 4, 1)
def test_any_changed_byte_is_found(offset: int, change: int) -> None:
    content = bytearray(CONTENT)
    content[offset] ^= change
    found = run(verified(bytes(content)))
    assert found
    assert all(damage.path == PATH for damage in found)
    assert min(damage.offset for damage in found) <= offset


@settings(max_examples=30, deadline=None)
@given(st.integers(0, len(CONTENT) - 1))
def test_a_file_that_is_cut_off_is_found(size: int) -> None:
    assert run(verified(CONTENT[:size]))


def test_damage_in_one_block_hides_no_damage_in_another() -> None:
    async def test() -> None:
        disk = MemoryDisk()
        await disk.make_directory("t")
        file = await disk.open(PATH, OpenMode.CREATE)
        await file.write(0, CONTENT)
        await file.close()
        table = await open_alone(disk, PATH)
        offsets = sorted({offset async for offset, _ in sections_of(table)})
        wrong = [offsets[1], offsets[5], offsets[-1]]
        content = bytearray(CONTENT)
        for offset in wrong:
            content[offset + 20] ^= 1
        assert [damage.offset for damage in await verified(bytes(content))] == wrong

    run(test())
