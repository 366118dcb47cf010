"""Writes much more than a node may hold in memory, and watches what its processes hold meanwhile.

    python -m bench.load.memory [--memory 256MiB] [--gigabytes 10] [--shards 1] [--dir D]

Three tables take the bytes: small rows without clustering, partitions that grow, and large values.
Half of the writes go to a bounded set of keys, again and again, the other half to new ones; one
request in 512 reads a random key. Values are random, so that files do not shrink by compression.
A line every ten seconds says how much was written so far, at which rate, and the memory of all
processes together. PSS counts a page that several processes share once. Exit code 1: the limit did
not hold.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.load.idle import memory_kib
from tests.harness.node_process import NodeProcess
from tests.harness.wire import ServerError, WireClient, execute_frame

IN_FLIGHT = 64
READ_EVERY = 512
SAMPLE_S = 0.1
REPORT_S = 10.0
HOT_KEYS = 20_000
FREE_BYTES_MIN = 8 << 30
OVERLOADED = 0x1001


@dataclass(slots=True)
class Watch:
    """What the processes of a node held, sampled by a thread of its own."""

    pids: list[int]
    pss_max: int = 0
    rss_max: int = 0
    pss_now: int = 0
    samples: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            try:
                found = [memory_kib(pid) for pid in self.pids]
            except OSError:
                return
            self.pss_now = sum(pss for _, pss in found)
            self.pss_max = max(self.pss_max, self.pss_now)
            self.rss_max = max(self.rss_max, sum(rss for rss, _ in found))
            self.samples += 1

    def stop(self) -> None:
        self._ended.set()


class Load:
    """Makes frames: which table, which key, which bytes."""

    def __init__(self, client: WireClient, seed: int) -> None:
        self._chance = random.Random(seed)
        self._pool = self._chance.randbytes(1 << 20)
        client.query(
            "CREATE KEYSPACE IF NOT EXISTS m WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        client.query("CREATE TABLE m.small (k blob PRIMARY KEY, a blob, b blob, c blob, d blob)")
        client.query("CREATE TABLE m.wide (k blob, c blob, v blob, PRIMARY KEY (k, c))")
        client.query("CREATE TABLE m.large (k blob PRIMARY KEY, v blob)")
        self._small = client.prepare("INSERT INTO m.small (k, a, b, c, d) VALUES (?, ?, ?, ?, ?)")
        self._wide = client.prepare("INSERT INTO m.wide (k, c, v) VALUES (?, ?, ?)")
        self._large = client.prepare("INSERT INTO m.large (k, v) VALUES (?, ?)")
        self._read = [
            client.prepare("SELECT * FROM m.small WHERE k = ?"),
            client.prepare("SELECT * FROM m.wide WHERE k = ? LIMIT 20"),
            client.prepare("SELECT * FROM m.large WHERE k = ?"),
        ]
        self._new = 0

    def value(self, size: int) -> bytes:
        at = int(self._chance.random() * (len(self._pool) - size))
        return self._pool[at : at + size]

    def key(self) -> bytes:
        if self._chance.random() < 0.5:
            return b"h%d" % int(self._chance.random() * HOT_KEYS)
        self._new += 1
        return b"n%d" % self._new

    def write(self) -> tuple[bytes, int]:
        """A frame, and how many bytes of keys and values it carries."""
        chance = self._chance.random()
        if chance < 0.5:
            values = [self.key(), *(self.value(40) for _ in range(4))]
            statement = self._small
        elif chance < 0.92:
            values = [b"p%d" % int(self._chance.random() * 5000), self.key(), self.value(1000)]
            statement = self._wide
        else:
            values = [self.key(), self.value(8000)]
            statement = self._large
        return execute_frame(0, statement, values), sum(map(len, values))

    def read(self) -> bytes:
        kind = int(self._chance.random() * 3)
        if kind == 1:
            return execute_frame(0, self._read[1], [b"p%d" % int(self._chance.random() * 5000)])
        key = b"n%d" % int(self._chance.random() * (self._new + 1))
        return execute_frame(0, self._read[kind], [key])


def run(node: NodeProcess, total: int, watch: Watch) -> dict[str, float]:
    """Writes `total` bytes; counts what was answered and what was refused."""
    client = WireClient(node.address, node.port)
    load = Load(client, 1)
    written = answered = refused = asked = 0
    start = last = time.perf_counter()
    while written < total:
        batch = []
        for _ in range(IN_FLIGHT):
            asked += 1
            if asked % READ_EVERY == 0:
                batch.append(load.read())
                continue
            frame, size = load.write()
            batch.append(frame)
            written += size
        client.send(b"".join(batch))
        missing = len(batch)
        while missing:
            for _, opcode, body in client.receive():
                missing -= 1
                if opcode == 0:
                    error = ServerError(body)
                    if error.code != OVERLOADED:
                        raise error
                    refused += 1
        answered += len(batch)
        now = time.perf_counter()
        if now - last >= REPORT_S:
            last = now
            print(
                f"{now - start:6.0f} s  {written / 1e6:8.0f} MB written  "
                f"{written / 1e6 / (now - start):6.1f} MB/s  PSS {watch.pss_now / 1024:6.1f} MiB, "
                f"at most {watch.pss_max / 1024:6.1f}",
                flush=True,
            )
            free = shutil.disk_usage(node.directory).free
            if free < FREE_BYTES_MIN:
                print("stopped: the disk is nearly full")
                break
    took = time.perf_counter() - start
    client.close()
    return {"written": written, "requests": answered, "refused": refused, "seconds": took}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--memory", default="256MiB")
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--dir", help="where the node's directory is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        sizes = ("--memory", options.memory)
        node = NodeProcess(Path(folder) / "data", shards=options.shards, options=sizes).start()
        watch = Watch([node.pid, *node.shard_pids()])
        thread = threading.Thread(target=watch.run)
        thread.start()
        try:
            found = run(node, int(options.gigabytes * 1e9), watch)
            code = node.stop()
        finally:
            watch.stop()
            thread.join()
            node.close()
    limit_kib = int(options.memory.removesuffix("MiB").removesuffix("M")) * 1024
    print(
        f"load {os.getloadavg()[0]:.1f}, {options.shards} shard(s), --memory {options.memory}\n"
        f"written {found['written'] / 1e6:.0f} MB in {found['seconds']:.0f} s, "
        f"{found['requests']:.0f} requests, {found['refused']:.0f} refused, exit code {code}\n"
        f"at most {watch.pss_max / 1024:.1f} MiB PSS, {watch.rss_max / 1024:.1f} MiB RSS, "
        f"of all processes ({watch.samples} samples)"
    )
    return 0 if watch.pss_max <= limit_kib and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
