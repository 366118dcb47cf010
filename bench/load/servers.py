"""The two servers of `bench.load.disk`, with the same orders for both: ours, and Cassandra.

Each runs on core 0. What may cache data is `--memory` for both: our node has no more for anything;
Cassandra's chunk cache and the page cache of its control group have that together, besides its heap
and what else it takes. The group needs root and control groups of version 1.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Protocol

from bench.compare.cassandra import Cassandra
from bench.load.point import cpu_seconds
from node.admin import ask
from tests.harness.node_process import NodeProcess
from tests.harness.wire import WireClient

SERVER_CORE, CLIENT_CORE = 0, 1
CHUNK_CACHE_PART = 0.25
"""Of the memory that Cassandra may cache data with; the page cache has the rest."""
GROUPS = Path("/sys/fs/cgroup/memory")
QUIET_S = 2.0
IDLE_CPU = 0.05


class Server(Protocol):
    """A database with one core, and the orders that a load gives it."""

    name: str

    def start(self) -> None:
        """Start it and wait until it serves."""

    def stop(self) -> None:
        """End it if it runs, and remove what it needed beside its directory."""

    def kill(self) -> None:
        """End it as a crash would."""

    def pids(self) -> list[int]:
        """The processes whose work is the server's."""

    def client(self) -> WireClient:
        """A new connection."""

    def flush(self, table: str) -> None:
        """Write what memory holds of a table to files."""

    def compact(self, table: str) -> None:
        """Let a table's files be merged which were kept apart."""

    def files(self, table: str) -> list[Path]:
        """The files of a table."""

    def limit_cache(self) -> None:
        """From now on no more memory for data than agreed."""


class Ours:
    """A node with one shard."""

    name = "Pythia"

    def __init__(self, folder: Path, memory_mib: int, io: str, settings: dict[str, str]) -> None:
        folder.mkdir()
        config = folder / "pythia.yaml"
        config.write_text("".join(f"{name}: {value}\n" for name, value in settings.items()))
        options = ("--memory", f"{memory_mib}MiB", "--io", io, "--config", str(config))
        self._node = NodeProcess(folder / "data", options=options)
        self._flushes = 0

    def start(self) -> None:
        """See `Server`."""
        self._node.start()
        pin(self.pids())

    def stop(self) -> None:
        """See `Server`."""
        self._node.close()

    def kill(self) -> None:
        """See `Server`."""
        self._node.kill()

    def pids(self) -> list[int]:
        """See `Server`."""
        return self._node.shard_pids()

    def client(self) -> WireClient:
        """See `Server`."""
        return WireClient(self._node.address, self._node.port)

    def flush(self, table: str) -> None:
        """A snapshot flushes; its links go again."""
        tag, directory = f"flush-{self._flushes}", str(self._node.directory)
        self._flushes += 1
        ask(directory, "snapshot take", tag=tag, names=[f"bench.{table}"])
        ask(directory, "snapshot clear", tags=[tag])

    def compact(self, table: str) -> None:
        """See `Server`; its strategy merges files of similar size."""
        self.client().query(
            f"ALTER TABLE bench.{table} WITH compaction = "
            "{'class': 'SizeTieredCompactionStrategy', 'min_threshold': '2'}"
        )

    def files(self, table: str) -> list[Path]:
        """See `Server`."""
        return _files(self._node.directory / "shard-0" / "tables", table)

    def limit_cache(self) -> None:
        """Nothing to do: the node was started with that limit."""


class Theirs:
    """Apache Cassandra with one core, in a control group of its own."""

    name = "Cassandra"

    def __init__(self, folder: Path, memory_mib: int, settings: dict[str, str]) -> None:
        chunks = max(int(memory_mib * CHUNK_CACHE_PART), 1)
        self._page_cache_bytes = (memory_mib - chunks) << 20
        own = {
            "file_cache_size": f"{chunks}MiB",
            "memtable_heap_space": f"{max(memory_mib // 4, 16)}MiB",
            "compaction_throughput": "0MiB/s",
        }
        if "commitlog_sync" in settings:
            own["commitlog_sync_period"] = ""  # Of the mode that is not wanted.
        self._node = Cassandra(folder, is_short_lived=False, settings=own | settings)
        self._group = GROUPS / f"bench-{os.getpid()}-{folder.name}"

    def start(self) -> None:
        """See `Server`."""
        self._group.mkdir(exist_ok=True)
        # Told from its start that it has one core; it starts on both, as that takes long.
        os.sched_setaffinity(0, {SERVER_CORE, CLIENT_CORE})
        self._node.start()
        os.sched_setaffinity(0, {CLIENT_CORE})
        pin(self.pids())
        (self._group / "cgroup.procs").write_text(str(self._node.pid))

    def stop(self) -> None:
        """See `Server`."""
        self._node.stop()
        if self._group.exists():
            self._group.rmdir()

    def kill(self) -> None:
        """See `Server`."""
        self._node.kill()

    def pids(self) -> list[int]:
        """See `Server`."""
        return [self._node.pid]

    def client(self) -> WireClient:
        """See `Server`."""
        return WireClient(self._node.address, self._node.port)

    def flush(self, table: str) -> None:
        """See `Server`."""
        self._node.nodetool("flush", "bench", table)

    def compact(self, table: str) -> None:
        """See `Server`."""
        self._node.nodetool("compact", "bench", table)

    def files(self, table: str) -> list[Path]:
        """See `Server`."""
        return _files(self._node.directory / "data" / "bench", table)

    def limit_cache(self) -> None:
        """Empty the page cache of the group, and leave it what was agreed."""
        (self._group / "memory.force_empty").write_text("1")
        # What is left is no data: memory of the process and of the kernel on its behalf.
        held = int((self._group / "memory.usage_in_bytes").read_text())
        (self._group / "memory.limit_in_bytes").write_text(str(held + self._page_cache_bytes))


def _files(tables: Path, table: str) -> list[Path]:
    """The files of a table, whichever its id; not those in directories below its own."""
    found = [path for place in tables.glob(f"*{table}-*") for path in place.iterdir()]
    return [path for path in found if path.is_file()]


def pin(pids: list[int]) -> None:
    """Leave processes the server's core only, their threads included."""
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {SERVER_CORE})


def bytes_written(pids: list[int]) -> int:
    """What processes have given the disks to write so far, or the page cache."""
    fields = [Path(f"/proc/{pid}/io").read_text().split() for pid in pids]
    return sum(int(words[words.index("write_bytes:") + 1]) for words in fields)


def wait_until_idle(pids: list[int]) -> float:
    """Lets flushes and compactions finish; gives the seconds of CPU that they took."""
    began = last = cpu_seconds(pids)
    quiet = 0.0
    while quiet < QUIET_S:
        time.sleep(0.5)
        now = cpu_seconds(pids)
        quiet = quiet + 0.5 if now - last < IDLE_CPU else 0.0
        last = now
    return last - began
