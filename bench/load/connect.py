"""What a driver waits for at its start: `Cluster().connect()` and a CREATE TABLE.

    python -m bench.load.connect [--runs 5]

The public Python driver with no options, against a node of one shard that has just started.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from tests.harness.node_process import NodeProcess


def measure(node: NodeProcess, number: int) -> tuple[float, float]:
    """Seconds to connect, and to create a table."""
    start = time.perf_counter()
    with node.cluster() as cluster:
        session = cluster.connect()
        connected = time.perf_counter()
        session.execute(
            "CREATE KEYSPACE IF NOT EXISTS bench WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        before = time.perf_counter()
        session.execute(f"CREATE TABLE bench.t{number} (k int PRIMARY KEY, v text)")
        return connected - start, time.perf_counter() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        node = NodeProcess(Path(folder) / "data", options=("--shard-aware-port", "0")).start()
        try:
            runs = [measure(node, number) for number in range(options.runs)]
        finally:
            node.close()
    connect, create = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"load {os.getloadavg()[0]:.1f}, medians of {options.runs} runs")
    print(f"Cluster().connect()  {connect * 1000:7.1f} ms")
    print(f"CREATE TABLE         {create * 1000:7.1f} ms")


if __name__ == "__main__":
    main()
