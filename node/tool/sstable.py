"""`pythia sstable`: shows and checks SSTables, whether a node has them open or not."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cql.sstable_json import TOKEN_BYTES, SSTableJson, instant_text
from node.tool.dump import dump
from node.tool.schema import find_table
from storage.direct_disk import DirectDisk
from storage.errors import StorageError
from storage.manifest import NAME as SHARD_MANIFEST
from storage.manifest import decode_state
from storage.sstable.verify import open_alone, sections_of, verify

if TYPE_CHECKING:
    from storage.sstable.reader import SSTable

EXIT_FAILED: Final = 1
NEVER_S: Final = 0xFFFFFFFF
PROGRESS_EVERY_S: Final = 0.2
_TOKEN_OFFSET: Final = 1 << 63


def main(arguments: Sequence[str]) -> int:
    """Runs one command on all files; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(options))
    except StorageError as error:
        print(f"pythia: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # Who reads has seen enough.
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pythia sstable", description="SSTables: what they hold, and whether they are whole."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("dump", help="partitions and rows as JSON, like sstabledump")
    show.add_argument("-e", "--keys-only", action="store_true", help="partition keys only")
    show.add_argument("-k", "--key", action="append", default=[], help="only this partition")
    show.add_argument("-x", "--exclude-key", action="append", default=[])
    show.add_argument("-t", "--raw-timestamps", action="store_true", help="times as numbers")
    meta = actions.add_parser("metadata", help="counts, bounds, compression, level")
    check = actions.add_parser("verify", help="read everything and check it; exit code 1 if wrong")
    for action in (show, meta, check):
        action.add_argument("files", nargs="+", type=Path, metavar="FILE")
    for action in (show, meta):
        action.add_argument(
            "--schema",
            type=Path,
            metavar="PLACE",
            help="a data directory or a snapshot, if the file does not lie in one",
        )
    return parser


async def _run(options: argparse.Namespace) -> int:
    run = {"dump": _dump, "metadata": _metadata, "verify": _verify}[options.action]
    disk = DirectDisk(is_direct=False)
    try:
        codes = [await run(disk, path, options) for path in options.files]
    finally:
        disk.stop()
    return max(codes)


async def _dump(disk: DirectDisk, path: Path, options: argparse.Namespace) -> int:
    table = await open_alone(disk, str(path))
    try:
        shape = await _shape(disk, table, path, options)
        if options.keys_only:
            await _dump_keys(table, shape)
            return 0
        keys, excluded = frozenset(options.key), frozenset(options.exclude_key)
        async for piece in dump(table, shape, keys, excluded):
            sys.stdout.write(piece)
        sys.stdout.flush()
        return 0
    finally:
        await _close(table)


async def _dump_keys(table: SSTable, shape: SSTableJson) -> None:
    separator, last = "[\n", b""
    async for _, section in sections_of(table):
        if section.key != last:
            last = section.key
            sys.stdout.write(separator + json.dumps(shape.key_texts(last)))
            separator = ",\n"
    sys.stdout.write("\n]\n")


async def _shape(
    disk: DirectDisk, table: SSTable, path: Path, options: argparse.Namespace
) -> SSTableJson:
    found = await find_table(disk, path, table.footer.table_id, options.schema)
    if found is None:
        print("pythia: the table's schema was not found, values are in hex", file=sys.stderr)
    raw_times = getattr(options, "raw_timestamps", False)
    return SSTableJson(found, int(time.time()), raw_times=raw_times)


async def _metadata(disk: DirectDisk, path: Path, options: argparse.Namespace) -> int:
    table = await open_alone(disk, str(path))
    try:
        shape = await _shape(disk, table, path, options)
        level = await _level(disk, path, table)
        lines = [("SSTable", str(path)), *_facts(table, shape), ("SSTable Level", level)]
        print(*(f"{name}: {value}" for name, value in lines), sep="\n")
        return 0
    finally:
        await _close(table)


def _facts(table: SSTable, shape: SSTableJson) -> list[tuple[str, str]]:
    footer, found = table.footer, table.statistics
    ratio = footer.filter.offset / found.raw_bytes if found.raw_bytes else 1.0
    return [
        ("Table id", footer.table_id.hex()),
        ("Number", str(footer.generation)),
        ("Created", _time_text(footer.created_s)),
        ("Size", f"{footer.file_bytes} bytes"),
        ("Compressor", footer.compression.name),
        ("Uncompressed data", f"{found.raw_bytes} bytes"),
        ("Compression ratio", f"{ratio:.3f}"),
        ("Partitions", str(found.partitions)),
        ("Rows", str(found.rows)),
        ("Tombstones and expiring cells", str(found.tombstones)),
        ("Minimum timestamp", f"{found.min_timestamp} ({instant_text(found.min_timestamp)})"),
        ("Maximum timestamp", f"{found.max_timestamp} ({instant_text(found.max_timestamp)})"),
        ("SSTable min local deletion time", _time_text(found.min_deletion_s)),
        ("SSTable max local deletion time", _time_text(found.max_deletion_s)),
        ("TTL max", str(found.max_ttl_s)),
        ("First token", _key_text(found.first_key, shape)),
        ("Last token", _key_text(found.last_key, shape)),
        ("Filter", f"{table.filter.memory_bytes} bytes"),
        ("Index summary", f"{table.summary.count} entries"),
    ]


async def _level(disk: DirectDisk, path: Path, table: SSTable) -> str:
    """What the shard's manifest says, if the file lies in a shard's directory."""
    manifest = path.resolve().parent.parent.parent / SHARD_MANIFEST
    if not manifest.is_file():
        return "unknown: the file lies in no shard's directory"
    live = decode_state(manifest.read_bytes()).sstables
    for file in live:
        if (file.table_id, file.number) == (table.footer.table_id, table.generation):
            return str(file.level)
    return "none: the shard does not use this file"


def _key_text(key: bytes, shape: SSTableJson) -> str:
    token = int.from_bytes(key[:TOKEN_BYTES], "big") - _TOKEN_OFFSET
    return f"{token} ({':'.join(shape.key_texts(key))})"


def _time_text(seconds: int) -> str:
    if seconds == NEVER_S:
        return "no tombstones"
    return f"{seconds} ({instant_text(seconds * 1_000_000)})"


async def _verify(disk: DirectDisk, path: Path, _options: argparse.Namespace) -> int:
    damages = await verify(disk, str(path), _progress(path))
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    for damage in damages:
        print(damage)
    if not damages:
        print(f"{path}: nothing is wrong")
    return EXIT_FAILED if damages else 0


def _progress(path: Path) -> Callable[[int], None]:
    """Tells on a terminal how far it is."""
    if not sys.stderr.isatty():
        return lambda _offset: None
    size = path.stat().st_size
    last: list[Any] = [0.0]

    def show(offset: int) -> None:
        now = time.monotonic()
        if now - last[0] >= PROGRESS_EVERY_S:
            last[0] = now
            print(f"\r{path.name} {offset * 100 // size}%", end="", file=sys.stderr, flush=True)

    return show


async def _close(table: SSTable) -> None:
    if table.release():
        await table.close()
