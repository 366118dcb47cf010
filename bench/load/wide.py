"""Large things on one shard: a wide partition, a heap of tombstones, thousands of tables.

    python -m bench.load.wide [--megabytes 1000] [--tombstones 10000000] [--tables 5000]

The node has 256 MiB and runs on core 0, the client on core 1. While pages are read, another process
asks OPTIONS in a loop: its longest wait shows how long a turn of the shard's loop can be. On a
machine with other work a wait may be that of the shard, or of the one who asks, for a processor:
the kernel counts that for every thread, so it is told beside, and what is left without it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import struct
import tempfile
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

from bench.load.servers import wait_until_idle
from tests.harness.node_process import NodeProcess
from tests.harness.wire import WireClient, execute_frame

MEMORY = "256MiB"
ROW_BYTES = 1_000
PAGE_ROWS = 100
BATCH = 20_000
OP_OPTIONS = 5
KEYSPACE = (
    "CREATE KEYSPACE bench WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
)


class Wait(NamedTuple):
    """One request, in milliseconds."""

    whole: float
    shard_ready: float
    """For how long the shard could have run, and had no processor."""

    asker_ready: float
    """The same for the process that asks."""

    shard_ran: float

    stolen: float
    """How long the hypervisor gave processors to others; the kernel counts in steps of 10 ms."""

    shard_faults: int
    """Pages that the shard had to wait for, as they were not in memory any more."""

    @property
    def ours(self) -> float:
        """What is left if everybody has a processor."""
        return self.whole - self.shard_ready - self.asker_ready - self.stolen

    def __str__(self) -> str:
        return (
            f"{self.whole:.1f} ms (the shard ran {self.shard_ran:.1f} ms and had no processor for "
            f"{self.shard_ready:.1f} ms, the one who asks for {self.asker_ready:.1f} ms, stolen "
            f"{self.stolen:.0f} ms, {self.shard_faults} major faults)"
        )


def _scheduled(pid: int) -> tuple[float, float]:
    """How long a process's first thread has run, and waited for a processor; milliseconds."""
    ran, ready = Path(f"/proc/{pid}/schedstat").read_text().split()[:2]
    return int(ran) / 1e6, int(ready) / 1e6


def _stolen_and_faults(pid: int) -> tuple[float, int]:
    """Milliseconds that the hypervisor has taken from all processors; major faults of a process."""
    stolen = int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) * 1e3
    faults = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[9]
    return stolen / os.sysconf("SC_CLK_TCK"), int(faults)


def _probe(port: int, shard: int, ends: Event, result: multiprocessing.Queue[list[Wait]]) -> None:
    """Asks OPTIONS until told to end; gives all waits."""
    os.sched_setaffinity(0, {1})
    client = WireClient("127.0.0.1", port)
    me = os.getpid()
    waits = []
    while not ends.wait(0.001):
        stolen, faults = _stolen_and_faults(shard)
        ran, ready = _scheduled(shard)
        my_ready = _scheduled(me)[1]
        began = time.perf_counter()
        client.call(OP_OPTIONS, b"")
        whole = (time.perf_counter() - began) * 1e3
        my_ready = _scheduled(me)[1] - my_ready
        now_ran, now_ready = _scheduled(shard)
        now_stolen, now_faults = _stolen_and_faults(shard)
        waits.append(
            Wait(
                whole,
                now_ready - ready,
                my_ready,
                now_ran - ran,
                now_stolen - stolen,
                now_faults - faults,
            )
        )
    client.close()
    result.put(waits)


class Probe:
    """How long others wait, while the block runs."""

    def __init__(self, node: NodeProcess) -> None:
        self._ends = multiprocessing.Event()
        self._result: multiprocessing.Queue[list[Wait]] = multiprocessing.Queue()
        arguments = (node.port, node.shard_pids()[0], self._ends, self._result)
        self._process = multiprocessing.Process(target=_probe, args=arguments)

    def __enter__(self) -> Probe:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        waits = self._result.get()
        self._process.join()
        median = statistics.median(wait.whole for wait in waits)
        longest, ours = max(waits), max(waits, key=lambda wait: wait.ours)
        print(
            f"    others meanwhile ({len(waits)} times, load {os.getloadavg()[0]:.1f}): median "
            f"{median:.2f} ms, longest {longest}; longest without what others took "
            f"{ours.ours:.1f} ms of {ours}"
        )


def pss_mib(node: NodeProcess) -> float:
    """Memory of all processes of the node."""
    total = 0
    for pid in (node.pid, *node.shard_pids()):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def _fill(client: WireClient, statement: bytes, count: int, values: list[bytes]) -> None:
    for first in range(0, count, BATCH):
        frames = [
            execute_frame(number % 1024, statement, [b"k", struct.pack(">i", number), *values])
            for number in range(first, min(first + BATCH, count))
        ]
        client.run_all(frames, 64)


def _time_pages(client: WireClient, what: str, query: str, pages_max: int) -> None:
    times = []
    began = time.perf_counter()
    for _ in client.pages(query, PAGE_ROWS):
        now = time.perf_counter()
        times.append((now - began) * 1e3)
        began = now
        if len(times) == pages_max:
            break
    print(
        f"  {what}: first page {times[0]:.1f} ms; of {len(times)} pages median "
        f"{statistics.median(times):.2f} ms, longest {max(times):.1f} ms"
    )


def wide_partition(node: NodeProcess, client: WireClient, megabytes: int) -> None:
    """One partition, read from its ends and its middle, in both directions."""
    client.query("CREATE TABLE bench.wide (k blob, c int, v blob, PRIMARY KEY (k, c))")
    insert = client.prepare("INSERT INTO bench.wide (k, c, v) VALUES (?, ?, ?)")
    rows = megabytes * 1_000_000 // ROW_BYTES
    _fill(client, insert, rows, [os.urandom(ROW_BYTES)])
    print(f"a partition of {megabytes} MB in {rows} rows; PSS {pss_mib(node):.0f} MiB")
    of_it = "SELECT * FROM bench.wide WHERE k = 0x6b"
    ways = (
        ("from the start", ""),
        ("from the end", " ORDER BY c DESC"),
        ("from the middle", f" AND c >= {rows // 2}"),
        ("back from the middle", f" AND c < {rows // 2} ORDER BY c DESC"),
    )
    for when in ("right after the writes", "when nothing else is done"):
        print(f"  {when}")
        with Probe(node):
            for what, rest in ways:
                _time_pages(client, what, of_it + rest, 200)
        wait_until_idle(node.shard_pids())
    with Probe(node):
        _time_pages(client, "all of it", of_it, rows)
    print(f"  PSS {pss_mib(node):.0f} MiB")


def tombstones(node: NodeProcess, client: WireClient, count: int) -> None:
    """A partition whose rows are all deleted but the last."""
    client.query("CREATE TABLE bench.queue (k blob, c int, v blob, PRIMARY KEY (k, c))")
    delete = client.prepare("DELETE FROM bench.queue WHERE k = ? AND c = ?")
    _fill(client, delete, count, [])
    client.query(f"INSERT INTO bench.queue (k, c, v) VALUES (0x6b, {count}, 0x01)")
    print(f"{count} tombstones before one row; PSS {pss_mib(node):.0f} MiB")
    with Probe(node):
        _time_pages(client, "page by page", "SELECT * FROM bench.queue WHERE k = 0x6b", count)
    print(f"  PSS {pss_mib(node):.0f} MiB")


def _show_stalls(node: NodeProcess) -> None:
    """What the node's own stall detector has said."""
    for line in node.log.read_text().splitlines():
        if "turns of the loop" in line:
            print(f"  log: {line}")


def many_tables(node: NodeProcess, client: WireClient, count: int) -> None:
    """Empty tables: what they cost in memory and at start."""
    before, began = pss_mib(node), time.perf_counter()
    for number in range(count):
        client.query(f"CREATE TABLE bench.t{number} (k int PRIMARY KEY, a text, b int)")
    each = (time.perf_counter() - began) / count * 1e3
    print(f"{count} tables: {each:.1f} ms each, {pss_mib(node) - before:.0f} MiB more")
    client.close()
    assert node.stop() == 0
    began = time.perf_counter()
    node.start()
    took = time.perf_counter() - began
    print(f"  started with them in {took:.2f} s; PSS {pss_mib(node):.0f} MiB")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=1_000)
    parser.add_argument("--tombstones", type=int, default=10_000_000)
    parser.add_argument("--tables", type=int, default=5_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        node = NodeProcess(Path(folder) / "data", options=("--memory", MEMORY)).start()
        try:
            for pid in node.shard_pids():
                os.sched_setaffinity(pid, {0})
            os.sched_setaffinity(0, {1})
            client = WireClient(node.address, node.port)
            client.query(KEYSPACE)
            print(f"load {os.getloadavg()[0]:.1f}")
            if options.megabytes:
                wide_partition(node, client, options.megabytes)
            if options.tombstones:
                tombstones(node, client, options.tombstones)
            if options.tables:
                many_tables(node, client, options.tables)
            _show_stalls(node)
        finally:
            node.close()


if __name__ == "__main__":
    main()
