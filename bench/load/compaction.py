"""Point reads while a compaction or a flush runs, beside an idle node; and writes without an end.

    python -m bench.load.compaction [--rounds 3] [--megabytes 200] [--seconds 4] [--rate 1000]
    python -m bench.load.compaction --sustained 120

One shard on core 0, the client on core 1, data on the disk, in 256 MiB. Each round asks in turn for
rows that are cached and for rows past all caches, at a fixed rate (latency counts from when the
request was due), with one request in flight, and with eight; each time idle first, then while a
compaction runs, then while a flush runs. The files to merge are restored from a snapshot every
time. What counts is between the birth and the last change of the files which the work writes.

On a machine with other work, run it under `chrt -r 1`: otherwise the tails are those of others.
The client collects no garbage: its pauses of 20 ms, with so many samples, are not the node's.

`--sustained` writes as fast as it can, and shows how many SSTables there are meanwhile, for
size-tiered and for unified compaction.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import select
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.load.point import cpu_seconds
from node.admin import ask
from tests.harness.node_process import NodeProcess
from tests.harness.wire import OP_ERROR, ServerError, WireClient, execute_frame, spread_key

MEMORY = "256MiB"
KEYS = 20_000
ROW_BYTES = 200
FLUSH_ROWS = 100_000
FLUSH_MS = 1_000
LOOK_S = 0.1
QUIET_S = 0.3
"""A file that has not grown for so long is done."""

AFTER_S = 0.05
"""Goes on after the last change of a file: it is opened, and memory is given back."""

PHASE_S_MAX = 12.0
TAG = "files"
STREAMS = 1_024
KEYSPACE = (
    "CREATE KEYSPACE bench WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
)
TIERED = "{'class': 'SizeTieredCompactionStrategy', 'enabled': '%s'}"
UNIFIED = "{'class': 'UnifiedCompactionStrategy'}"


@dataclass(frozen=True)
class Load:
    """How requests are sent: so many a second, or so many in flight."""

    name: str
    rate: float = 0
    in_flight: int = 0


@dataclass(frozen=True)
class Sample:
    """One answered request."""

    at_s: float
    """When it was answered, in seconds since 1970."""

    took_us: float


class Reader:
    """Asks and measures."""

    def __init__(self, client: WireClient, frames: list[bytes]) -> None:
        self._client = client
        self._frames = frames

    def run(self, load: Load, is_over: Callable[[], bool]) -> list[Sample]:
        """Sends until it is over, and gives what was answered."""
        return self._open(load.rate, is_over) if load.rate else self._closed(load, is_over)

    def _closed(self, load: Load, is_over: Callable[[], bool]) -> list[Sample]:
        client, frames, samples = self._client, self._frames, []
        began: dict[int, float] = {}
        at = 0
        look_at = time.perf_counter() + LOOK_S
        ends = False
        while began or not ends:
            while not ends and len(began) < load.in_flight:
                while at % STREAMS in began:
                    at += 1
                began[at % STREAMS] = time.perf_counter()
                client.send(frames[at % len(frames)])
                at += 1
            for stream, opcode, body in client.receive():
                now = time.perf_counter()
                samples.append(_sample(now - began.pop(stream), opcode, body))
            if now >= look_at:
                look_at = now + LOOK_S
                ends = is_over()
        return samples

    def _open(self, rate: float, is_over: Callable[[], bool]) -> list[Sample]:
        client, frames, samples = self._client, self._frames, []
        due: dict[int, float] = {}
        at = 0
        first = time.perf_counter()
        look_at = first + LOOK_S
        ends = False
        while due or not ends:
            now = time.perf_counter()
            if now >= look_at:
                look_at = now + LOOK_S
                ends = is_over()
            while not ends and first + at / rate <= now and len(due) < STREAMS // 2:
                assert at % STREAMS not in due, "a request was overtaken by all others"
                due[at % STREAMS] = first + at / rate
                client.send(frames[at % len(frames)])
                at += 1
            wait = max(first + at / rate - time.perf_counter(), 0.0)
            if select.select([client], [], [], wait)[0]:
                for stream, opcode, body in client.receive():
                    took = time.perf_counter() - due.pop(stream)
                    samples.append(_sample(took, opcode, body))
        return samples


def _sample(took_s: float, opcode: int, body: bytes) -> Sample:
    if opcode == OP_ERROR:
        raise ServerError(body)
    return Sample(time.time(), took_s * 1e6)


class Folder:
    """The SSTables of one table."""

    def __init__(self, data: Path, table: str) -> None:
        (self._path,) = (data / "shard-0" / "tables").glob(f"bench.{table}-*")

    def files(self) -> set[Path]:
        """All of them."""
        return set(self._path.glob("*.sst"))

    def bytes(self) -> int:
        """Of all of them."""
        return sum(_size(path) for path in self.files())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Watch:
    """Notices when work on a table's files has begun, and when it is done."""

    def __init__(self, folder: Folder, merges: bool) -> None:
        self._folder = folder
        self._merges = merges
        self._before = folder.files()
        self._began = time.monotonic()
        self._grew_at = self._began
        self._written = 0
        self._new: set[Path] = set()
        self.end_s = 0.0
        self.is_done = False

    @property
    def written(self) -> int:
        """Bytes of the new files."""
        return self._written

    @cached_property
    def start_s(self) -> float:
        """When the first file was made; 0 if there is none. Asked later: it takes milliseconds."""
        return min((_birth(path) for path in self._new if path.exists()), default=0.0)

    @property
    def seconds(self) -> float:
        """How long the work took."""
        return max(self.end_s - self.start_s, 0.0) if self.start_s else 0.0

    def is_over(self) -> bool:
        """Looks; true when the work is done, or takes too long."""
        files = self._folder.files()
        new = files - self._before
        written = sum(_size(path) for path in new)
        now = time.monotonic()
        self._new |= new
        if written != self._written:
            self._written, self._grew_at = written, now
            self.end_s = max(map(_changed, new), default=self.end_s)
        if self._merges:
            self.is_done = bool(new) and not self._before & files
        else:
            self.is_done = bool(new) and now - self._grew_at > QUIET_S
        return self.is_done or now - self._began > PHASE_S_MAX


def _birth(path: Path) -> float:
    done = subprocess.run(["stat", "-c", "%.9W", path], capture_output=True, check=True)
    return float(done.stdout)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


class Bench:
    """The tables, and the work that is done on them."""

    def __init__(self, node: NodeProcess, client: WireClient) -> None:
        self._node = node
        self.client = client
        self._random = random.Random(1)
        self._noise = self._random.randbytes(1 << 20)
        self._written = 0
        client.query(KEYSPACE)
        for table in ("read", "merged", "flushed"):
            self.create(table, TIERED % "false")

    def create(self, table: str, compaction: str) -> None:
        """A table of one row per partition."""
        self.client.query(
            f"CREATE TABLE bench.{table} (k blob PRIMARY KEY, v blob) "
            f"WITH compaction = {compaction}"
        )

    def folder(self, table: str) -> Folder:
        """Where its files are."""
        return Folder(self._node.directory, table)

    def frames(self, table: str, first: int, count: int) -> list[bytes]:
        """Writes of new values."""
        insert = self.client.prepare(f"INSERT INTO bench.{table} (k, v) VALUES (?, ?)")
        size = ROW_BYTES - 12
        places = self._random.choices(range(len(self._noise) - size), k=count)
        return [
            execute_frame(n % STREAMS, insert, [spread_key(n), self._noise[at : at + size]])
            for n, at in zip(range(first, first + count), places, strict=True)
        ]

    def write(self, table: str, first: int, count: int) -> None:
        """Writes rows."""
        batch = 20_000
        for at in range(first, first + count, batch):
            self.client.run_all(self.frames(table, at, min(batch, first + count - at)), 128)

    def set_flush_ms(self, table: str, period_ms: int) -> None:
        """How old a memtable may become; 0 is no limit."""
        self.client.query(
            f"ALTER TABLE bench.{table} WITH memtable_flush_period_in_ms = {period_ms}"
        )

    def reader(self, bypass: str) -> Reader:
        """Reads of the small table."""
        query = f"SELECT v FROM bench.read WHERE k = ?{bypass}"
        select = self.client.prepare(query)
        order = list(range(KEYS))
        self._random.shuffle(order)
        frames = [
            execute_frame(at % STREAMS, select, [spread_key(n)])
            for at, n in enumerate(order[: KEYS - KEYS % STREAMS])
        ]
        return Reader(self.client, frames)

    def prepare(self, megabytes: int) -> None:
        """Fills the tables and takes the snapshot that compactions begin with."""
        self.set_flush_ms("read", FLUSH_MS)
        self.write("read", 0, KEYS)
        self.set_flush_ms("merged", FLUSH_MS)
        self.write("merged", 0, megabytes * 1_000_000 // ROW_BYTES)
        ask(str(self._node.directory), "snapshot take", tag=TAG, names=["bench.merged"], ttl_s=None)
        folder = self.folder("merged")
        print(f"{len(folder.files())} files of {folder.bytes() / 1e6:.0f} MB to merge")

    def begin_compaction(self) -> Watch:
        """Has the files again, and lets them be merged."""
        ask(str(self._node.directory), "snapshot restore", tag=TAG, names=["bench.merged"])
        watch = Watch(self.folder("merged"), True)
        self.client.query(f"ALTER TABLE bench.merged WITH compaction = {TIERED % 'true'}")
        return watch

    def end_compaction(self, watch: Watch) -> None:
        """Waits for one that takes too long."""
        while not watch.is_done:
            time.sleep(LOOK_S)
            watch.is_over()

    def begin_flush(self) -> Watch:
        """Lets what was written be flushed."""
        self.set_flush_ms("flushed", 0)
        self.write("flushed", self._written, FLUSH_ROWS)
        self._written += FLUSH_ROWS
        watch = Watch(self.folder("flushed"), False)
        self.set_flush_ms("flushed", FLUSH_MS)
        return watch


class Results:
    """All samples of all rounds."""

    def __init__(self) -> None:
        self._ratios: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def show(self, what: str, load: str, phases: dict[str, list[Sample]]) -> None:
        """One line for each phase; remembers how its p99 is beside the idle one."""
        idle = 0.0
        for phase, samples in phases.items():
            times = sorted(sample.took_us for sample in samples)
            if len(times) < 100:
                print(f"  {what:8} {load:12} {phase:28} only {len(times)} requests")
                continue
            p50, p99, p999 = (times[int(len(times) * part)] for part in (0.5, 0.99, 0.999))
            idle = idle or p99
            span = max(s.at_s for s in samples) - min(s.at_s for s in samples)
            print(
                f"  {what:8} {load:12} {phase:28} {len(times) / span:7.0f} /s  p50 {p50:6.0f}  "
                f"p99 {p99:6.0f}  p99.9 {p999:6.0f}  max {times[-1]:6.0f} us  {p99 / idle:5.2f} x"
            )
            self._ratios[what, load, phase.partition(",")[0]].append(p99 / idle)

    def show_ratios(self) -> None:
        """The medians over the rounds."""
        print("p99 beside idle, median of the rounds (lowest to highest)")
        for (what, load, phase), ratios in self._ratios.items():
            if phase != "idle":
                print(
                    f"  {what:8} {load:12} {phase:10} {statistics.median(ratios):5.2f} "
                    f"({min(ratios):.2f} to {max(ratios):.2f})"
                )


def _for_seconds(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until


def _within(samples: list[Sample], watch: Watch) -> list[Sample]:
    end = watch.end_s + AFTER_S if watch.is_done else samples[-1].at_s
    return [sample for sample in samples if watch.start_s <= sample.at_s <= end]


def latencies(bench: Bench, options: argparse.Namespace) -> None:
    """All rounds."""
    bench.prepare(options.megabytes)
    loads = (
        Load(f"{options.rate:.0f} /s", rate=options.rate),
        Load("1 in flight", in_flight=1),
        Load("8 in flight", in_flight=8),
    )
    readers = {"cached": bench.reader(""), "uncached": bench.reader(" BYPASS CACHE")}
    results = Results()
    for number in range(options.rounds):
        print(f"round {number + 1}, load {os.getloadavg()[0]:.1f}")
        for what, reader in readers.items():
            reader.run(Load("", in_flight=32), _for_seconds(1.0))
            for load in loads:
                phases = dict(_phases(bench, reader, load, options.seconds))
                results.show(what, load.name, phases)
    results.show_ratios()


def _phases(
    bench: Bench, reader: Reader, load: Load, seconds: float
) -> Iterator[tuple[str, list[Sample]]]:
    yield "idle", reader.run(load, _for_seconds(seconds))
    watch = bench.begin_compaction()
    samples = reader.run(load, watch.is_over)
    took = min(watch.seconds, PHASE_S_MAX)
    speed = watch.written / 1e6 / took if took else 0.0
    yield f"compaction, {speed:.1f} MB/s", _within(samples, watch)
    bench.end_compaction(watch)
    watch = bench.begin_flush()
    samples = reader.run(load, watch.is_over)
    yield f"flush, {watch.seconds:.2f} s", _within(samples, watch)


def sustained(bench: Bench, pids: list[int], seconds: float) -> None:
    """Writes as fast as one connection can, and shows the files."""
    for name, compaction in (("tiered", TIERED % "true"), ("unified", UNIFIED)):
        bench.create(name, compaction)
        used, began = cpu_seconds(pids), time.perf_counter()
        shown = began
        written = 0
        counts: deque[tuple[float, int, int]] = deque()
        folder: Folder | None = None
        while (now := time.perf_counter()) < began + seconds:
            bench.write(name, written, 20_000)
            written += 20_000
            folder = folder or bench.folder(name) if written > 1_000_000 else folder
            if folder is not None:
                counts.append((now - began, len(folder.files()), folder.bytes()))
                if now > shown + seconds / 10:
                    shown = now
                    print(f"    {now - began:5.0f} s: {counts[-1][1]} files, {written} rows")
        took = time.perf_counter() - began
        used = cpu_seconds(pids) - used
        print(
            f"  {name}: {written / took:.0f} rows/s, {written * ROW_BYTES / took / 1e6:.1f} MB/s, "
            f"{used / written * 1e6:.1f} us CPU; at most {max(c[1] for c in counts)} files, "
            f"in the last tenth {max(c[1] for c in counts if c[0] > took * 0.9)}; "
            f"{counts[-1][2] / (written * ROW_BYTES):.2f} bytes on disk for each written"
        )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rate", type=float, default=1_000.0)
    parser.add_argument("--sustained", type=float)
    options = parser.parse_args()
    gc.disable()
    with tempfile.TemporaryDirectory() as folder:
        node = NodeProcess(Path(folder) / "data", options=("--memory", MEMORY)).start()
        try:
            pids = node.shard_pids()
            for pid in pids:
                os.sched_setaffinity(pid, {0})
            os.sched_setaffinity(0, {1})
            print(f"load {os.getloadavg()[0]:.1f}")
            bench = Bench(node, WireClient(node.address, node.port))
            if options.sustained:
                sustained(bench, pids, options.sustained)
            else:
                latencies(bench, options)
        finally:
            node.close()


if __name__ == "__main__":
    main()
