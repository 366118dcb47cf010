"""Reads from the disk, of data much larger than memory: point reads and scans, beside fio.

    python -m bench.load.disk [--memory 128MiB] [--gigabytes 1.3] [--seconds 10] [--io auto]
    python -m bench.load.disk --cassandra           the same load on Apache Cassandra

One shard on core 0, the client on core 1. Rows are cassandra-stress's (a blob key, five text
columns of 34 bytes) with values that do not compress. A part of what was written last may still be
in memory. Cassandra runs in a memory cgroup which, once the data is written, leaves its page cache
128 MiB; that needs root and cgroup v1. CPU is what the kernel charges the server's processes. With
fio on the path, its random reads of 4 and 16 KiB on the same volume are shown for comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.compare.cassandra import Cassandra
from bench.load.point import COLUMNS, cpu_seconds
from tests.harness.node_process import NodeProcess
from tests.harness.wire import WireClient, execute_frame, spread_key

VALUE_BYTES = 34
ROW_BYTES = 12 + COLUMNS * VALUE_BYTES
KEYS_READ = 100_000
SCAN_PAGE_ROWS = 5_000
QUIET_S = 3
IDLE_CPU = 0.05
PAGE_CACHE_BYTES = 128 << 20
CGROUP = Path("/sys/fs/cgroup/memory/pythia-bench")


def write(client: WireClient, rows: int) -> None:
    """Makes the table and fills it."""
    client.query(
        "CREATE KEYSPACE bench WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    columns = ", ".join(f'"C{i}" text' for i in range(COLUMNS))
    client.query(f"CREATE TABLE bench.standard1 (key blob PRIMARY KEY, {columns})")
    names = ", ".join(f'"C{i}"' for i in range(COLUMNS))
    marks = ", ".join("?" * (COLUMNS + 1))
    insert = client.prepare(f"INSERT INTO bench.standard1 (key, {names}) VALUES ({marks})")
    chance = random.Random(1)
    noise = chance.randbytes(1 << 20).hex().encode()
    starts = range(len(noise) - VALUE_BYTES)
    batch = 20_000
    for first in range(0, rows, batch):
        frames = []
        for number in range(first, min(first + batch, rows)):
            places = chance.choices(starts, k=COLUMNS)
            values = [noise[place : place + VALUE_BYTES] for place in places]
            frames.append(execute_frame(number % 1024, insert, [spread_key(number), *values]))
        client.run_all(frames, 128)


def wait_until_idle(pids: list[int]) -> float:
    """Lets flushes and compactions finish; gives the seconds of CPU that they took."""
    began = last = cpu_seconds(pids)
    quiet = 0
    while quiet < QUIET_S:
        time.sleep(1)
        now = cpu_seconds(pids)
        quiet = quiet + 1 if now - last < IDLE_CPU else 0
        last = now
    return last - began


def measure(client: WireClient, rows: int, pids: list[int], seconds: float) -> None:
    """Prints one line for point reads at each depth, and one for a scan."""
    chance = random.Random(2)
    names = ", ".join(f'"C{i}"' for i in range(COLUMNS))
    select = client.prepare(f"SELECT {names} FROM bench.standard1 WHERE key = ?")
    for depth in (1, 64):
        frames = [
            execute_frame(i % 1024, select, [spread_key(chance.randrange(rows))])
            for i in range(KEYS_READ)
        ]
        used = cpu_seconds(pids)
        answered, took = client.run(frames, depth, seconds)
        used = (cpu_seconds(pids) - used) / answered * 1e6
        print(f"point reads, {depth:2} in flight: {answered / took:8.0f} /s, {used:6.1f} us CPU")
    used, began, found = cpu_seconds(pids), time.perf_counter(), 0
    for page in client.pages("SELECT * FROM bench.standard1", SCAN_PAGE_ROWS):
        found += page
        if time.perf_counter() - began > seconds:
            break
    took, used = time.perf_counter() - began, cpu_seconds(pids) - used
    megabytes = found * ROW_BYTES / 1e6
    print(
        f"scan in pages of {SCAN_PAGE_ROWS}: {found / took:8.0f} rows/s, {megabytes / took:.1f} "
        f"MB/s; {found / used:8.0f} rows/s per core"
    )


def fio(directory: Path, seconds: float) -> None:
    """Prints what the volume gives without a database."""
    if shutil.which("fio") is None:
        print("fio is not installed: not run")
        return
    for size in ("4k", "16k"):
        command = [
            *("fio", "--name=read", f"--directory={directory}", "--rw=randread", f"--bs={size}"),
            *("--size=1G", "--direct=1", "--ioengine=io_uring", "--iodepth=64", "--time_based"),
            *(f"--runtime={int(seconds)}", "--output-format=json"),
        ]
        done = subprocess.run(command, capture_output=True, check=True)
        read = json.loads(done.stdout)["jobs"][0]["read"]
        print(f"fio random reads of {size}, 64 in flight: {read['iops']:8.0f} /s")


def run_pythia(folder: Path, options: argparse.Namespace) -> None:
    """The load on a node of ours."""
    arguments = ("--memory", options.memory, "--io", options.io)
    node = NodeProcess(folder / "data", options=arguments).start()
    try:
        pids = node.shard_pids()
        for pid in pids:
            os.sched_setaffinity(pid, {0})
        os.sched_setaffinity(0, {1})
        _run(WireClient(node.address, node.port), pids, options)
    finally:
        node.close()


def run_cassandra(folder: Path, options: argparse.Namespace) -> None:
    """The load on Apache Cassandra, whose page cache is small once the data is written."""
    CGROUP.mkdir(exist_ok=True)
    node = Cassandra(folder / "cassandra", is_short_lived=False).start()
    try:
        (CGROUP / "cgroup.procs").write_text(str(node.pid))
        for task in Path(f"/proc/{node.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {0})
        os.sched_setaffinity(0, {1})
        _run(WireClient(node.address, node.port), [node.pid], options, _limit_page_cache)
    finally:
        node.stop()
        CGROUP.rmdir()


def _limit_page_cache() -> None:
    (CGROUP / "memory.force_empty").write_text("1")
    statistics = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    limit = int(statistics["rss"]) + PAGE_CACHE_BYTES
    (CGROUP / "memory.limit_in_bytes").write_text(str(limit))


def _run(
    client: WireClient,
    pids: list[int],
    options: argparse.Namespace,
    when_written: Callable[[], None] | None = None,
) -> None:
    rows = int(options.gigabytes * 1e9 / ROW_BYTES)
    used, began = cpu_seconds(pids), time.perf_counter()
    write(client, rows)
    took, used = time.perf_counter() - began, cpu_seconds(pids) - used
    print(
        f"load {os.getloadavg()[0]:.1f}; wrote {rows} rows, {rows / took:.0f} /s, "
        f"{used / rows * 1e6:.1f} us CPU with flushes and compactions"
    )
    print(f"work left over: {wait_until_idle(pids):.1f} s CPU")
    if when_written is not None:
        when_written()
    measure(client, rows, pids, options.seconds)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--memory", default="128MiB")
    parser.add_argument("--gigabytes", type=float, default=1.3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--io", default="auto")
    parser.add_argument("--cassandra", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.cassandra:
            run_cassandra(folder, options)
        else:
            run_pythia(folder, options)
            fio(folder, options.seconds)


if __name__ == "__main__":
    main()
