"""The file of what was hot in a shard's row cache: bytes, and how they come to disk and back.

It is a hint. Without it, or if it is damaged, the cache fills by reads as it would anyway.
"""

import contextlib
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from storage.checksum import crc32c
from storage.disk import Disk, OpenMode
from storage.errors import CorruptData, FileMissing
from storage.pace import Pace

NAME: Final = "hot_keys"
NEW_NAME: Final = "hot_keys.new"
FILE_BYTES_MAX: Final = 8 << 20
"""What does not fit is left out; a larger file is not ours."""

_MAGIC: Final = b"PYTHIAHK"
_VERSION: Final = 1
_HEAD: Final = struct.Struct(">8sHI")
_ENTRY: Final = struct.Struct(">16sIII")
_CHECKSUM: Final = struct.Struct(">I")


class HotKey(NamedTuple):
    """An interval of one partition's clusterings that was cached."""

    table_id: bytes
    key: bytes
    start: bytes
    end: bytes
    """Exclusive; b"" is unbounded."""


async def encode(entries: Sequence[HotKey]) -> bytes:
    """The bytes of the file, with as many of the entries, hottest first, as have room."""
    pace = Pace()
    parts: list[bytes] = []
    left = FILE_BYTES_MAX - _HEAD.size - _CHECKSUM.size
    for table_id, key, start, end in entries:
        part = _ENTRY.pack(table_id, len(key), len(start), len(end)) + key + start + end
        left -= len(part)
        if left < 0:
            break
        parts.append(part)
        if pace.spend(0, 1):
            await pace.rest()
    body = _HEAD.pack(_MAGIC, _VERSION, len(parts)) + b"".join(parts)
    return body + _CHECKSUM.pack(crc32c(body))


async def decode(data: bytes) -> list[HotKey]:
    """What `encode` was given; raises `CorruptData`."""
    pace = Pace()
    body = data[: -_CHECKSUM.size]
    if len(body) < _HEAD.size or data[len(body) :] != _CHECKSUM.pack(crc32c(body)):
        raise CorruptData("the checksum is wrong")
    magic, version, count = _HEAD.unpack_from(body)
    if magic != _MAGIC or version != _VERSION:
        raise CorruptData(f"not a file of hot keys of version {_VERSION}")
    entries: list[HotKey] = []
    at = _HEAD.size
    for _ in range(count):
        if at + _ENTRY.size > len(body):
            raise CorruptData("the entries lead beyond the end")
        table_id, key, start, end = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        ends = (at + key, at + key + start, at + key + start + end)
        entries.append(
            HotKey(table_id, body[at : ends[0]], body[ends[0] : ends[1]], body[ends[1] : ends[2]])
        )
        at = ends[2]
        if pace.spend(0, 1):
            await pace.rest()
    if at != len(body):
        raise CorruptData("the entries do not end at the end")
    return entries


async def write(disk: Disk, directory: str, data: bytes) -> None:
    """Replace the file at once: a crash leaves the old one or the new one; raises `DiskError`."""
    path = f"{directory}/{NEW_NAME}"
    with contextlib.suppress(FileMissing):
        await disk.remove(path)
    file = await disk.open(path, OpenMode.CREATE)
    try:
        await file.write(0, data)
        await file.sync()
    finally:
        await file.close()
    await disk.rename(path, f"{directory}/{NAME}")
    await disk.sync_directory(directory)


async def read(disk: Disk, directory: str) -> list[HotKey]:
    """What the file has, nothing if there is none; raises `CorruptData` and `DiskError`."""
    path = f"{directory}/{NAME}"
    try:
        size = await disk.size(path)
    except FileMissing:
        return []
    if size > FILE_BYTES_MAX:
        raise CorruptData(f"{size} bytes are too many for a file of hot keys")
    file = await disk.open(path, OpenMode.READ)
    try:
        data = await file.read(0, size)
    finally:
        await file.close()
    return await decode(data)
