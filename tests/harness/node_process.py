"""A real node in its own processes, for tests: started, stopped, killed, started again."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cassandra.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
READY_LINE = "Pythia serves."
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
DRIVER_TIMEOUT_S = 20.0


class NodeProcess:
    """One node. The directory outlives the process; every start takes new free ports.

    `program` is an installed `pythia` to run, away from the tree; without it the tree's node runs.
    A test of what a node answers leaves its shards unpinned: where others have the core of a pinned
    shard, it may not run for seconds, and requests time out as they should.
    """

    def __init__(
        self,
        directory: Path,
        *,
        shards: int = 1,
        options: tuple[str, ...] = (),
        program: Path | None = None,
        is_pinned: bool = True,
    ) -> None:
        self.directory = directory
        self.program = program
        self.shards = shards
        self.options = options if is_pinned else (*options, "--overprovisioned")
        self.address = "127.0.0.1"
        self.port = 0
        self.shard_aware_port = 0
        self.log = directory.parent / f"{directory.name}.log"
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None, "the node runs"
        return self._process.pid

    def start(self) -> NodeProcess:
        """Starts the node and returns when it serves; raises AssertionError with its log if not."""
        port_file = self.directory.parent / f"{self.directory.name}.port"
        port_file.unlink(missing_ok=True)
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                self._command(port_file),
                cwd=ROOT if self.program is None else self.directory.parent,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._wait_for_ready_line()
        host, port, aware = port_file.read_text().split()
        self.address, self.port, self.shard_aware_port = host, int(port), int(aware)
        return self

    def _command(self, port_file: Path) -> list[str]:
        program = [sys.executable, "-m", "node"] if self.program is None else [str(self.program)]
        return [
            *(*program, "start"),
            *("--dir", str(self.directory), "--shards", str(self.shards)),
            *("--port", "0", "--port-file", str(port_file), *self.options),
        ]

    def _wait_for_ready_line(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        output = self._process.stdout
        self._reader = threading.Thread(target=_forward, args=(output, lines), daemon=True)
        self._reader.start()
        try:
            line = lines.get(timeout=START_TIMEOUT_S)
        except queue.Empty:
            line = "nothing"
        if not line.startswith(READY_LINE):
            self._process.kill()
            self._await_end()
            raise AssertionError(f"the node said {line!r}:\n{self.log.read_text()[-4000:]}")

    def kill(self) -> None:
        """kill -9 on the supervisor; its shards die with it."""
        assert self._process is not None, "the node runs"
        shards = self.shard_pids()
        self._process.kill()
        self._await_end()
        for pid in shards:
            _wait_until_gone(pid)

    def stop(self) -> int:
        """SIGTERM: drain. Returns the exit code."""
        assert self._process is not None, "the node runs"
        self._process.send_signal(signal.SIGTERM)
        return self._await_end()

    def shard_pids(self) -> list[int]:
        """The children of the supervisor, in the order of the shards unless one was restarted."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def close(self) -> None:
        """Ends the node if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._await_end()

    def _await_end(self) -> int:
        """Waits for the process, and for the thread that reads what it says."""
        assert self._process is not None, "the node was started"
        code = self._process.wait(STOP_TIMEOUT_S)
        if self._reader is not None:
            self._reader.join(STOP_TIMEOUT_S)
        return code

    def cluster(self, **options: Any) -> Cluster:
        """A Cluster of the public Python driver that knows this node."""
        from cassandra.cluster import Cluster

        # The driver's 2 s for a control connection are too few where other tests run beside.
        patient = dict.fromkeys(("connect_timeout", "control_connection_timeout"), DRIVER_TIMEOUT_S)
        return Cluster([self.address], port=self.port, **(patient | options))


def _forward(output: Any, lines: queue.SimpleQueue[str]) -> None:
    with output:
        for line in output:
            lines.put(line)
    lines.put("")


def _wait_until_gone(pid: int) -> None:
    """Waits for a process that is not our child to end."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        import select

        select.select([descriptor], [], [], STOP_TIMEOUT_S)
    finally:
        os.close(descriptor)
