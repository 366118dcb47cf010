"""What a node costs before anyone uses it: start, memory, CPU.

    python -m bench.load.idle [--shards 1] [--runs 5] [--idle-seconds 10]

Start is from the process's start to the first answered query, on an empty directory: time on the
wall, and the CPU time of all processes of the node, which a busy machine changes less. Memory is
PSS and RSS of these processes after the first query; idle CPU is what they use from then on.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from bench.load.point import cpu_seconds
from tests.harness.node_process import NodeProcess
from tests.harness.wire import WireClient


def memory_kib(pid: int) -> tuple[int, int]:
    """(RSS, PSS) of one process."""
    found = {"Rss:": 0, "Pss:": 0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        words = line.split()
        if words[0] in found:
            found[words[0]] = int(words[1])
    return found["Rss:"], found["Pss:"]


def one_run(shards: int, idle_s: float) -> tuple[float, float, int, int, float]:
    """Seconds and CPU seconds to the first answer, RSS of the largest shard and PSS of all in KiB,
    idle CPU in %.
    """
    with tempfile.TemporaryDirectory() as folder:
        node = NodeProcess(Path(folder) / "data", shards=shards)
        start = time.perf_counter()
        node.start()
        try:
            client = WireClient(node.address, node.port)
            client.query("SELECT * FROM system.local")
            took = time.perf_counter() - start
            pids = [node.pid, *node.shard_pids()]
            memory = [memory_kib(pid) for pid in pids]
            before = cpu_seconds(pids)
            time.sleep(idle_s)
            idle = (cpu_seconds(pids) - before) / idle_s * 100 if idle_s else 0.0
            rss, pss = max(rss for rss, _ in memory[1:]), sum(pss for _, pss in memory)
            return took, before, rss, pss, idle
        finally:
            node.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--idle-seconds", type=float, default=10.0)
    options = parser.parse_args()
    runs = [one_run(options.shards, options.idle_seconds) for _ in range(options.runs)]
    took, cpu, rss, pss, idle = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"shards {options.shards}, medians of {options.runs} runs")
    print(f"start to first answer   {took * 1000:8.0f} ms")
    print(f"CPU time of the start   {cpu * 1000:8.0f} ms")
    print(f"RSS of a shard          {rss / 1024:8.1f} MiB")
    print(f"PSS of the whole node   {pss / 1024:8.1f} MiB")
    print(f"CPU while idle          {idle:8.2f} %")


if __name__ == "__main__":
    main()
