"""How long an OPTIONS waits on a shard that runs nothing but scans.

    python -m bench.load.heartbeat [--rows 20000] [--seconds 4] [--driver]

One shard on core 0, everything else on core 1. For each kind of scan one client asks for it again
and again, in pages of 5,000 rows as drivers do, and another one sends a heartbeat each two
milliseconds. Who scans runs on core 1 only when nobody else wants to, or what is measured would be
how two clients share a core.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.synchronize
import os
import tempfile
import time
from collections import deque
from pathlib import Path

from tests.harness.node_process import NodeProcess
from tests.harness.wire import WireClient

OPTIONS = 5
PAUSE_S = 0.002
FILTER = "WHERE v = 'y' ALLOW FILTERING"
WHOLE = "SELECT * FROM b.wide"
COUNT = "SELECT count(*), max(v) FROM b.wide"
PAGE_ROWS = 5_000
SCANS = {
    "idle": "",
    "one reply of all rows": WHOLE,
    "wide partitions": "SELECT k, c, v FROM b.wide",
    "wide partitions, filtered": f"SELECT * FROM b.wide {FILTER}",
    "wide partitions, counted": COUNT,
    "one partition": "SELECT * FROM b.wide WHERE k = 1",
    "narrow partitions": "SELECT * FROM b.narrow",
    "narrow partitions, filtered": f"SELECT * FROM b.narrow {FILTER}",
}


def fill(client: WireClient, rows: int) -> None:
    """Two tables: partitions of a quarter of the rows, and of one row."""
    client.query(
        "CREATE KEYSPACE b WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    client.query("CREATE TABLE b.wide (k int, c int, v text, PRIMARY KEY (k, c))")
    client.query("CREATE TABLE b.narrow (k int PRIMARY KEY, v text)")
    value = "x" * 50
    for row in range(rows):
        client.query(f"INSERT INTO b.wide (k, c, v) VALUES ({row * 4 // rows}, {row}, '{value}')")
        client.query(f"INSERT INTO b.narrow (k, v) VALUES ({row}, '{value}')")


def scan(
    port: int, text: str, is_over: multiprocessing.synchronize.Event, has_driver: bool
) -> None:
    """Asks until it is over."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if has_driver:
        scan_by_driver(port, text, is_over)
        return
    client = WireClient("127.0.0.1", port)
    while not is_over.is_set():
        if text in (WHOLE, COUNT):
            client.query(text)
        else:
            deque(client.pages(text, PAGE_ROWS), maxlen=0)


def scan_by_driver(port: int, text: str, is_over: multiprocessing.synchronize.Event) -> None:
    """The same as a driver does it; rows stay bytes as far as it lets them."""
    from cassandra.cluster import Cluster
    from cassandra.query import SimpleStatement

    with Cluster(["127.0.0.1"], port=port) as cluster:
        session = cluster.connect()
        is_whole = text in (WHOLE, COUNT)
        statement = SimpleStatement(text, fetch_size=None if is_whole else PAGE_ROWS)
        while not is_over.is_set():
            deque(session.execute(statement), maxlen=0)


def beats(port: int, seconds: float) -> list[float]:
    """How many milliseconds each heartbeat took, in order of length."""
    client = WireClient("127.0.0.1", port)
    took = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        client.call(OPTIONS, b"")
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(PAUSE_S)
    client.close()
    return sorted(took)


def main() -> None:
    """Prints a line for each kind of scan."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--driver", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        os.sched_setaffinity(0, {0})
        node = NodeProcess(Path(directory) / "data", shards=1).start()
        os.sched_setaffinity(0, {1})
        client = WireClient("127.0.0.1", node.port)
        fill(client, options.rows)
        client.close()
        for name, text in SCANS.items():
            is_over = multiprocessing.Event()
            scanner = multiprocessing.Process(
                target=scan, args=(node.port, text, is_over, options.driver)
            )
            if text:
                scanner.start()
            took = beats(node.port, options.seconds)
            is_over.set()
            if text:
                scanner.join()
            shown = (f"{took[len(took) * part // 1000]:.2f}" for part in (500, 900, 990, 999))
            print(f"{name:28} ms at 50, 90, 99, 99.9 %: {', '.join(shown)}", flush=True)
        node.stop()


if __name__ == "__main__":
    main()
