"""`pythia snapshot`: asks the running node, or reads and clears the files of a stopped one."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from node.admin import NoNode, RequestRefused, ask
from node.config import SNAPSHOT_TTL_S_MIN, ConfigError, parse_duration
from node.snapshot_commands import rows_of
from node.snapshot_files import SnapshotError, SnapshotFiles
from node.tool.columns import aligned
from storage.direct_disk import DirectDisk
from storage.errors import DirectoryLocked, DiskError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

EXIT_FAILED, EXIT_USAGE = 1, 2
_TITLES = {
    "tag": "Snapshot name",
    "keyspace": "Keyspace name",
    "table": "Table name",
    "own_bytes": "True size",
    "bytes": "Size on disk",
    "created_ms": "Creation time",
    "expires_ms": "Expiration time",
}

Rows = list[dict[str, Any]]


def main(arguments: Sequence[str]) -> int:
    """Runs one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    run = {"take": _take, "list": _list, "clear": _clear, "restore": _restore}[options.action]
    try:
        run(options)
    except (RequestRefused, SnapshotError, DiskError) as error:
        print(f"pythia: {error}", file=sys.stderr)
        return EXIT_FAILED
    except NoNode:
        print(
            f"pythia: no node runs in {options.dir}; `{options.action}` needs one", file=sys.stderr
        )
        return EXIT_FAILED
    except ConfigError as error:
        print(f"pythia: {error}", file=sys.stderr)
        return EXIT_USAGE
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pythia snapshot", description="Snapshots of tables: hard links and a schema."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    take = _action(actions, "take", "flush tables and keep their files as they are now")
    take.add_argument("-t", "--tag", help="its name (default: milliseconds since 1970)")
    take.add_argument("--ttl", help="clear it by itself after this time, such as 7d; at least 60s")
    take.add_argument("names", nargs="*", metavar="KEYSPACE[.TABLE]", help="default: all")
    _action(actions, "list", "show all snapshots, also those of a stopped node")
    clear = _action(actions, "clear", "remove snapshots, also those of a stopped node")
    clear.add_argument("--all", action="store_true", help="every snapshot")
    clear.add_argument("-t", "--tag", action="append", default=[], help="may be repeated")
    restore = _action(
        actions, "restore", "let tables hold exactly what a snapshot has of them; needs the node"
    )
    restore.add_argument("-t", "--tag", required=True)
    restore.add_argument("names", nargs="*", metavar="KEYSPACE[.TABLE]", help="default: all")
    return parser


def _action(actions: Any, name: str, purpose: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=purpose, description=purpose)
    parser.add_argument("--dir", metavar="D", default="data", help="data directory (default: data)")
    return parser


def _take(options: argparse.Namespace) -> None:
    tag = options.tag or str(int(time.time() * 1000))
    ttl_s = None
    if options.ttl is not None:
        ttl_s = int(parse_duration("--ttl", options.ttl, SNAPSHOT_TTL_S_MIN))
    rows = ask(options.dir, "snapshot take", tag=tag, names=options.names, ttl_s=ttl_s)
    size = sum(row["bytes"] for row in rows)
    print(
        f"Snapshot {tag}: {_count(rows)}, {sum(row['files'] for row in rows)} files, {size} bytes."
    )


def _list(options: argparse.Namespace) -> None:
    try:
        rows = ask(options.dir, "snapshot list")
    except NoNode:
        rows = asyncio.run(_offline(options.dir, _listed))
    if not rows:
        print("There are no snapshots.")
        return
    lines = [[_shown(name, row[name]) for name in _TITLES] for row in rows]
    print(*aligned([list(_TITLES.values()), *lines]), sep="\n")
    print(f"\nTotal true size: {sum(row['own_bytes'] for row in rows)} bytes")


def _clear(options: argparse.Namespace) -> None:
    if bool(options.tag) == options.all:
        raise RequestRefused("say which snapshots: --tag T, or --all")

    async def clear(files: SnapshotFiles) -> Rows:
        tags = options.tag or await files.tags()
        for tag in tags:
            await files.get(tag)
        for tag in tags:
            await files.clear(tag)
        return [{"tag": tag} for tag in tags]

    try:
        rows = ask(options.dir, "snapshot clear", tags=options.tag)
    except NoNode:
        rows = asyncio.run(_offline(options.dir, clear, locks=True))
    print(*(f"Cleared {row['tag']}." for row in rows), sep="\n")


def _restore(options: argparse.Namespace) -> None:
    rows = ask(options.dir, "snapshot restore", tag=options.tag, names=options.names)
    print(f"Restored {_count(rows)} from {options.tag}.")


async def _listed(files: SnapshotFiles) -> Rows:
    return [row for snapshot in await files.all() for row in rows_of(files, snapshot)]


async def _offline(
    directory: str, work: Callable[[SnapshotFiles], Awaitable[Rows]], *, locks: bool = False
) -> Rows:
    """Work on the files of a node that does not run."""
    disk = DirectDisk(is_direct=False)
    try:
        lock = await disk.lock(directory) if locks else None
        try:
            return await work(SnapshotFiles(disk, directory))
        finally:
            if lock is not None:
                lock.release()
    except DirectoryLocked:
        raise RequestRefused(f"{directory} is in use, and its node does not answer") from None
    finally:
        disk.stop()


def _count(rows: Rows) -> str:
    return f"{len(rows)} table{'' if len(rows) == 1 else 's'}"


def _shown(name: str, value: Any) -> str:
    if name.endswith("_ms"):
        return "" if value is None else _time_text(value)
    return f"{value} bytes" if name.endswith("bytes") else str(value)


def _time_text(ms: int) -> str:
    seconds, rest = divmod(ms, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03d}Z"
