"""What `bench.load.disk` measures, a step each: orders to one server, figures back.

A row is cassandra-stress's: a blob key of 12 bytes and five text columns of 34 bytes, 182 bytes.
The values are hexadecimal noise, of which LZ4 saves nothing.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.load.point import COLUMNS, cpu_seconds
from bench.load.servers import Server, bytes_written, wait_until_idle
from tests.harness.wire import WireClient, execute_frame, spread_key

VALUE_BYTES = 34
ROW_BYTES = 12 + COLUMNS * VALUE_BYTES
MAIN = "standard1"
BATCH = 20_000
FRAMES = 20_000
CACHED_KEYS = 1_000
SCAN_PAGE_ROWS = 5_000
MERGED_FILES = 4
CHANGES = 10
"""How often each row of the tables for amplification is written."""
STRATEGIES = {
    "size-tiered": "'class': 'SizeTieredCompactionStrategy'",
    "leveled": "'class': 'LeveledCompactionStrategy', 'sstable_size_in_mb': '4'",
    "time window": "'class': 'TimeWindowCompactionStrategy'",
    "unified": "'class': 'UnifiedCompactionStrategy', 'target_sstable_size': '4MiB'",
}
APART = "'class': 'SizeTieredCompactionStrategy', 'enabled': 'false'"
POLL_S = 0.02
WARM_UP_PARTS = 5
"""Of a measurement's time, before the first of them."""
MERGE_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    rows: int
    """Of the table that is read."""
    small_rows: int
    """Of the tables that are flushed, merged and replayed."""
    changed_rows: int
    """Of the tables that are overwritten."""
    seconds: float
    """Of each measurement that has a time and no end of its own."""


@dataclass(frozen=True)
class Figure:
    """One line of the table; the same line of both servers has the same words."""

    what: str
    value: float
    unit: str


Step = Callable[[Server, Scale], Iterator[Figure]]


class Usage:
    """Wall time and the server's CPU since it was made."""

    def __init__(self, server: Server) -> None:
        self._pids = server.pids()
        self._cpu, self._wall = cpu_seconds(self._pids), time.perf_counter()

    @property
    def wall_s(self) -> float:
        """Seconds on the wall."""
        return time.perf_counter() - self._wall

    @property
    def cpu_s(self) -> float:
        """Seconds of the server's processes."""
        return max(cpu_seconds(self._pids) - self._cpu, 0.001)


def write(server: Server, scale: Scale) -> Iterator[Figure]:
    """Fills the table that is read; what memory held of it is in files at the end."""
    client = server.client()
    make_table(client, MAIN)
    usage = Usage(server)
    load(client, MAIN, range(scale.rows), in_flight=128)
    yield Figure("writes, 128 in flight", scale.rows / usage.wall_s, "/s")
    wait_until_idle(server.pids())
    yield Figure("CPU of a write, flush and compaction", usage.cpu_s / scale.rows * 1e6, "us")
    server.flush(MAIN)
    wait_until_idle(server.pids())
    held = sum(path.stat().st_size for path in server.files(MAIN))
    yield Figure(f"bytes on disk per row of {ROW_BYTES}", held / scale.rows, "B")
    client.close()


def flush_and_compact(server: Server, scale: Scale) -> Iterator[Figure]:
    """Flushes a few parts of a table that lie apart, then merges their files."""
    client = server.client()
    table = f"merged_{time.monotonic_ns()}"  # Files of an earlier round may still be there.
    make_table(client, table, APART)
    part = scale.small_rows // MERGED_FILES
    cpu = 0.0
    for number in range(MERGED_FILES):
        # Each part lies all over the ring, so merging them is no copying of one after the other.
        load(client, table, range(number, part * MERGED_FILES, MERGED_FILES), in_flight=128)
        wait_until_idle(server.pids())
        usage = Usage(server)
        server.flush(table)
        wait_until_idle(server.pids())
        cpu += usage.cpu_s
    megabytes = part * MERGED_FILES * ROW_BYTES / 1e6
    yield Figure("flush, of rows", megabytes / cpu, "MB per CPU s")
    before = len(_data_files(server, table))
    usage = Usage(server)
    server.compact(table)
    until = time.monotonic() + MERGE_TIMEOUT_S
    while len(_data_files(server, table)) != 1:
        assert time.monotonic() < until, f"{before} files are merged in time"
        time.sleep(POLL_S)
    wait_until_idle(server.pids())
    yield Figure(f"compaction of {before} files, of rows", megabytes / usage.cpu_s, "MB per CPU s")
    client.query(f"DROP TABLE bench.{table}")
    client.close()


def amplification(server: Server, scale: Scale) -> Iterator[Figure]:
    """Overwrites tables of each strategy, keys in random order."""
    for name, strategy in STRATEGIES.items():
        table = "changed_" + name.replace("-", "_").replace(" ", "_")
        client = server.client()
        make_table(client, table, strategy)
        order = list(range(scale.changed_rows))
        before = bytes_written(server.pids())
        for change in range(CHANGES):
            random.Random(change).shuffle(order)
            load(client, table, order, in_flight=128, seed=change)
        wait_until_idle(server.pids())
        server.flush(table)
        wait_until_idle(server.pids())
        written = bytes_written(server.pids()) - before
        held = sum(path.stat().st_size for path in server.files(table))
        once = scale.changed_rows * ROW_BYTES
        yield Figure(f"{name}: bytes written, log included, per byte", written / once / CHANGES, "")
        yield Figure(f"{name}: bytes on disk per byte that counts", held / once, "")
        client.query(f"DROP TABLE bench.{table}")
        client.close()


def warm_up(server: Server, scale: Scale) -> Iterator[Figure]:
    """Reads without a figure, so that a compiler which learns at run time has learnt."""
    client = server.client()
    select = client.prepare(f"SELECT {_names()} FROM bench.{MAIN} WHERE key = ?")
    keys = random.Random(3).choices(range(scale.rows), k=FRAMES)
    frames = [execute_frame(i % 1024, select, [spread_key(k)]) for i, k in enumerate(keys)]
    client.run(frames, 64, scale.seconds * WARM_UP_PARTS)
    client.close()
    yield from ()


def point_reads(server: Server, scale: Scale) -> Iterator[Figure]:
    """Reads of rows anywhere, most of which are on the disk, and of a few that are in memory."""
    client = server.client()
    select = client.prepare(f"SELECT {_names()} FROM bench.{MAIN} WHERE key = ?")
    chance = random.Random(time.monotonic_ns())
    few = [chance.randrange(scale.rows) for _ in range(CACHED_KEYS)]
    for kind in ("uncached", "cached"):
        for depth in (1, 8, 64):
            keys = (
                [chance.randrange(scale.rows) for _ in range(FRAMES)] if kind == "uncached" else few
            )
            frames = [execute_frame(i % 1024, select, [spread_key(k)]) for i, k in enumerate(keys)]
            if kind == "cached":
                client.run_all(frames * 3, depth)
            usage = Usage(server)
            answered, took = client.run(frames, depth, scale.seconds)
            cpu = usage.cpu_s / answered * 1e6
            yield Figure(f"{kind} point reads, {depth} in flight", answered / took, "/s")
            yield Figure(f"{kind} point reads, {depth} in flight: CPU of one", cpu, "us")
    client.close()


def scan(server: Server, scale: Scale) -> Iterator[Figure]:
    """Reads the table from its beginning, for a time."""
    client = server.client()
    usage, found = Usage(server), 0
    for page in client.pages(f"SELECT * FROM bench.{MAIN}", SCAN_PAGE_ROWS):
        found += page
        if usage.wall_s > scale.seconds:
            break
    yield Figure("scan", found / usage.wall_s, "rows/s")
    yield Figure("scan, of rows", found * ROW_BYTES / 1e6 / usage.wall_s, "MB/s")
    yield Figure("scan, of one core", found / usage.cpu_s, "rows per CPU s")
    client.close()


def batch_writes(server: Server, scale: Scale) -> Iterator[Figure]:
    """Writes that are synced before they are acknowledged; the server was told so at its start."""
    client = server.client()
    table = f"synced_{time.monotonic_ns()}"
    make_table(client, table)
    insert = _insert(client, table)
    frames = list(_frames(insert, range(FRAMES), 0))
    client.run(frames, 64, scale.seconds)
    answered, took = client.run(frames, 64, scale.seconds)
    yield Figure("writes in batch mode, 64 in flight", answered / took, "/s")
    client.close()


def replay(server: Server, scale: Scale) -> Iterator[Figure]:
    """The CPU of a start that finds writes in the log, less that of one that finds none."""
    client = server.client()
    make_table(client, "logged")
    server.flush("logged")
    client.close()
    _restart(server)  # What other steps have logged is none of this.
    baseline = _restart(server)
    client = server.client()
    files = _data_files(server, "logged")
    load(client, "logged", range(scale.small_rows), in_flight=128)
    client.close()
    assert _data_files(server, "logged") == files, "all rows are in the log, none in new files"
    cpu = _restart(server) - baseline
    megabytes = scale.small_rows * ROW_BYTES / 1e6
    yield Figure("replay, of rows", megabytes / max(cpu, 0.001), "MB per CPU s")
    client = server.client()
    count = sum(client.pages("SELECT key FROM bench.logged", SCAN_PAGE_ROWS))
    assert count == scale.small_rows, f"{count} of {scale.small_rows} rows came back"
    client.close()


def syncs_per_second(directory: Path, seconds: float) -> float:
    """How often the disk makes 4 KiB durable that are written into a file one after the other."""
    path, page, done = directory / "syncs", bytes(4096), 0
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 64 << 20)
        os.fsync(file.fileno())
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            os.pwrite(file.fileno(), page, done * 4096 % (64 << 20))
            os.fdatasync(file.fileno())
            done += 1
    path.unlink()
    return done / seconds


def make_table(client: WireClient, name: str, compaction: str = "") -> None:
    """An empty table."""
    client.query(
        "CREATE KEYSPACE IF NOT EXISTS bench WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    columns = ", ".join(f'"C{i}" text' for i in range(COLUMNS))
    options = f" WITH compaction = {{{compaction}}}" if compaction else ""
    client.query(f"CREATE TABLE bench.{name} (key blob PRIMARY KEY, {columns}){options}")


def load(
    client: WireClient, table: str, keys: range | list[int], in_flight: int, seed: int = 0
) -> None:
    """Writes one row for each key."""
    insert = _insert(client, table)
    for first in range(0, len(keys), BATCH):
        client.run_all(list(_frames(insert, keys[first : first + BATCH], seed)), in_flight)


def _insert(client: WireClient, table: str) -> bytes:
    marks = ", ".join("?" * (COLUMNS + 1))
    return client.prepare(f"INSERT INTO bench.{table} (key, {_names()}) VALUES ({marks})")


def _names() -> str:
    return ", ".join(f'"C{i}"' for i in range(COLUMNS))


NOISE = random.Random(1).randbytes(1 << 20).hex().encode()
PLACES = range(len(NOISE) - VALUE_BYTES)


def _frames(insert: bytes, keys: range | list[int], seed: int) -> Iterator[bytes]:
    chance = random.Random(seed * 1_000_003 + keys[0])
    for number in keys:
        places = chance.choices(PLACES, k=COLUMNS)
        values = [NOISE[place : place + VALUE_BYTES] for place in places]
        yield execute_frame(number % 1024, insert, [spread_key(number), *values])


def _data_files(server: Server, table: str) -> list[Path]:
    """The SSTables of a table, one path each."""
    return [path for path in server.files(table) if path.name.endswith(("-Data.db", ".sst"))]


def _restart(server: Server) -> float:
    """Kills the server and starts it again; gives the CPU of the start."""
    server.kill()
    server.start()
    wait_until_idle(server.pids())
    return cpu_seconds(server.pids())
