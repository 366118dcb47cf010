"""The engine from disk, of data much larger than memory, beside fio and beside Apache Cassandra.

    python -m bench.load.disk                       ours, beside fio
    python -m bench.load.disk --cassandra           the same on Cassandra 5.0 in the same run
    python -m bench.load.disk --cassandra --memory 128 --gigabytes 1.3 --only read scan

Both servers have core 0, the client has core 1, and each step runs on one server and then on the
other, so that what else the machine does is the same for both; reads are measured in several rounds
and the table has their medians. CPU is what the kernel charges the server's processes. Steps are
`write`, `read`, `scan` (of a table of `--gigabytes`), `compact` and `amplification` (of smaller
ones), `log` (other nodes, in batch mode, then killed and replayed) and `disk` (fio and fdatasync).
How memory is made equal is said in `bench.load.servers`; Cassandra needs what
`bench.compare.cassandra` says, and root. A table for docs/performance.md is printed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import disk_steps
from bench.load.disk_steps import ROW_BYTES, Figure, Scale, Step
from bench.load.servers import CLIENT_CORE, Ours, Server, Theirs

STEPS = ("write", "compact", "amplification", "read", "scan", "log", "disk")
LOG_MEMORY_MIB = 1024
"""Of the nodes whose log is replayed: it has to hold what was written since the last flush."""
SMALL_PART, CHANGED_PART = 10, 50
"""Of the rows of the large table, those of the others; see `Scale`."""

Results = dict[str, dict[str, list[float]]]
"""By the words of a figure and the server's name."""


class Report:
    """The figures of a run."""

    def __init__(self) -> None:
        self._figures: Results = {}
        self._units: dict[str, str] = {}
        self._began = time.monotonic()

    def add(self, server: str, figure: Figure) -> None:
        """Keeps a figure, and says it at once."""
        self._units[figure.what] = figure.unit
        self._figures.setdefault(figure.what, {}).setdefault(server, []).append(figure.value)
        took = time.monotonic() - self._began
        print(f"{took:5.0f} s  {server}: {figure.what}: {_short(figure.value)} {figure.unit}")

    def table(self, servers: list[str]) -> str:
        """All figures in Markdown, medians of those that were measured several times."""
        head = ["what", "unit", *servers, "ratio"]
        lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
        for what, found in self._figures.items():
            values = {name: statistics.median(each) for name, each in found.items()}
            words = [what, self._units[what]]
            words += [_short(values[name]) if name in values else "" for name in servers]
            pair = [values[name] for name in servers if name in values]
            words.append(f"{pair[0] / pair[1]:.2f}" if len(pair) > 1 else "")
            lines.append(f"| {' | '.join(words)} |")
        return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


@contextmanager
def running(folder: Path, options: argparse.Namespace, is_synced: bool) -> Iterator[list[Server]]:
    """The servers of a run, with directories of their own, for as long as the block runs."""
    folder.mkdir()
    settings = {"commitlog_sync": "batch"} if is_synced else {}
    memory = LOG_MEMORY_MIB if is_synced else options.memory
    servers: list[Server] = [Ours(folder / "pythia", memory, options.io, settings)]
    if options.cassandra:
        servers.append(Theirs(folder / "cassandra", memory, settings))
    try:
        for server in servers:
            server.start()
        os.sched_setaffinity(0, {CLIENT_CORE})
        yield servers
    finally:
        for server in servers:
            server.stop()


def run(report: Report, servers: list[Server], step: Step, scale: Scale, rounds: int = 1) -> None:
    """One step on each server in turn."""
    for _ in range(rounds):
        for server in servers:
            for figure in step(server, scale):
                report.add(server.name, figure)


def measure(folder: Path, options: argparse.Namespace, report: Report) -> None:
    """All steps that are wanted."""
    rows = int(options.gigabytes * 1e9 / ROW_BYTES)
    scale = Scale(rows, rows // SMALL_PART, rows // CHANGED_PART, options.seconds)
    with running(folder / "reads", options, is_synced=False) as servers:
        if {"write", "read", "scan"} & options.only:
            run(report, servers, disk_steps.write, scale)
        if "compact" in options.only:
            run(report, servers, disk_steps.flush_and_compact, scale, options.rounds)
        if "amplification" in options.only:
            run(report, servers, disk_steps.amplification, scale)
        for server in servers:
            server.limit_cache()
        if "read" in options.only:
            run(report, servers, disk_steps.warm_up, scale)
            run(report, servers, disk_steps.point_reads, scale, options.rounds)
        if "scan" in options.only:
            run(report, servers, disk_steps.scan, scale, options.rounds)
    if "log" in options.only:
        with running(folder / "log", options, is_synced=True) as servers:
            run(report, servers, disk_steps.batch_writes, scale, options.rounds)
            run(report, servers, disk_steps.replay, scale)
    if "disk" in options.only:
        syncs = disk_steps.syncs_per_second(folder, options.seconds)
        report.add("disk", Figure("the disk: syncs of 4 KiB, one after the other", syncs, "/s"))
        fio(folder, options.seconds, report)


def fio(folder: Path, seconds: float, report: Report) -> None:
    """What the volume gives without a database."""
    if shutil.which("fio") is None:
        print("fio is not installed: not run")
        return
    reads = (("randread", "4k", 1), ("randread", "4k", 64), ("randread", "16k", 64))
    for kind, size, depth in (*reads, ("read", "256k", 4)):
        command = [
            *("fio", "--name=read", f"--directory={folder}", f"--rw={kind}", f"--bs={size}"),
            *("--size=512M", "--direct=1", "--ioengine=io_uring", f"--iodepth={depth}"),
            *("--time_based", f"--runtime={max(int(seconds), 1)}", "--output-format=json"),
        ]
        done = subprocess.run(command, capture_output=True, check=True)
        found = json.loads(done.stdout)["jobs"][0]["read"]
        what = f"the disk: {kind} of {size}, {depth} in flight"
        report.add("disk", Figure(what, found["iops"], "/s"))
        report.add("disk", Figure(f"{what}, bytes", found["bw_bytes"] / 1e6, "MB/s"))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--memory", type=int, default=72, help="in MiB")
    parser.add_argument("--gigabytes", type=float, default=0.4)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--io", default="auto")
    parser.add_argument("--cassandra", action="store_true")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--directory", help="where; the default is the one for temporary files")
    options = parser.parse_args()
    options.only = set(options.only)
    # Whoever ends us early gets servers, groups and directories removed all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    report = Report()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        measure(Path(name), options, report)
    names = ["Pythia", "Cassandra"] if options.cassandra else ["Pythia"]
    print(f"\nLoad {load:.1f} before, {os.getloadavg()[0]:.1f} after.\n")
    print(report.table([*names, "disk"] if "disk" in options.only else names))


if __name__ == "__main__":
    main()
