"""Single-partition writes and cached reads over the wire: ops/s and server CPU per operation.

    python -m bench.load.point [--shards 1] [--seconds 10] [--in-flight 1 64] [--flushed]

The client speaks the protocol itself, with frames made beforehand, so that on two cores the server
is what is measured: the node's shard is pinned to core 0, the client to core 1. The table is
cassandra-stress's: one blob key, five text columns of 34 bytes. CPU is what the kernel charges the
node's processes (user and system) while the load runs. With `--host H --port P --pid N` it measures
a server that runs already, Cassandra included.

With `--flushed` the rows are in SSTables before they are read, once through the row cache and once
past all caches (BYPASS CACHE).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from tests.harness.node_process import NodeProcess
from tests.harness.wire import WireClient, execute_frame, spread_key

KEYS = 20_000
COLUMNS = 5
VALUE = b"x" * 34
FLUSH_MS = 1_000
FLUSHED_AFTER_S = 8.0


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of processes so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(
    host: str, port: int, pids: list[int], depths: list[int], seconds: float, flushed: bool
) -> None:
    """Prepares the table and prints one line per operation and depth."""
    client = WireClient(host, port)
    client.query(
        "CREATE KEYSPACE IF NOT EXISTS bench WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    columns = ", ".join(f'"C{i}" text' for i in range(COLUMNS))
    client.query(f"CREATE TABLE IF NOT EXISTS bench.standard1 (key blob PRIMARY KEY, {columns})")
    names = ", ".join(f'"C{i}"' for i in range(COLUMNS))
    marks = ", ".join("?" * (COLUMNS + 1))
    insert = client.prepare(f"INSERT INTO bench.standard1 (key, {names}) VALUES ({marks})")
    select = client.prepare(f"SELECT {names} FROM bench.standard1 WHERE key = ?")
    values = [VALUE] * COLUMNS
    writes = [execute_frame(i % 1024, insert, [spread_key(i), *values]) for i in range(KEYS)]
    reads = [execute_frame(i % 1024, select, [spread_key(i)]) for i in range(KEYS)]
    client.run(writes, 32, 1.0)
    print(f"{'operation':<10} {'in flight':>9} {'ops/s':>10} {'server CPU us/op':>17}")
    operations = [("write", writes), ("read", reads)]
    if flushed:
        client.query(f"ALTER TABLE bench.standard1 WITH memtable_flush_period_in_ms = {FLUSH_MS}")
        time.sleep(FLUSHED_AFTER_S)
        past = client.prepare(f"SELECT {names} FROM bench.standard1 WHERE key = ? BYPASS CACHE")
        uncached = [execute_frame(i % 1024, past, [spread_key(i)]) for i in range(KEYS)]
        operations = [("read", reads), ("uncached", uncached)]
        client.run_all(reads, 32)
    for name, frames in operations:
        for depth in depths:
            before = cpu_seconds(pids)
            answered, took = client.run(frames, depth, seconds)
            used = cpu_seconds(pids) - before
            print(f"{name:<10} {depth:>9} {answered / took:>10.0f} {used / answered * 1e6:>17.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--flushed", action="store_true")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int)
    parser.add_argument("--pid", type=int)
    options = parser.parse_args()
    if options.port is not None:
        measure(
            options.host,
            options.port,
            [options.pid],
            options.in_flight,
            options.seconds,
            options.flushed,
        )
        return
    with tempfile.TemporaryDirectory() as folder:
        node = NodeProcess(Path(folder) / "data", shards=options.shards).start()
        try:
            pids = node.shard_pids()
            for pid in pids:
                os.sched_setaffinity(pid, {0})
            os.sched_setaffinity(0, {1})
            print(
                f"load {os.getloadavg()[0]:.1f}, {options.shards} shard(s) on core 0, client on 1"
            )
            measure(
                node.address, node.port, pids, options.in_flight, options.seconds, options.flushed
            )
        finally:
            node.close()


if __name__ == "__main__":
    main()
