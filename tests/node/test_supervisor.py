"""The supervisor: a shard that cannot start ends the node, one that keeps dying is given time."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from node import log
from node.config import Config
from node.listener import open_listeners
from node.supervisor import EXIT_FAILED, Seat, StartFailed, Supervisor

LIVES = 4


def _run(shards: int, run_shard: Callable[[Seat], int]) -> int:
    """A supervisor takes signals and freezes its heap, so it gets a process of its own."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            log.configure("info", "node")
            listeners = open_listeners("127.0.0.1", 0, 0, shards)
            code = Supervisor(Config(shards=shards), listeners, run_shard, lambda: None).run()
        except StartFailed as failure:
            print(failure, file=sys.stderr, flush=True)
            code = EXIT_FAILED
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_shard_that_cannot_start_ends_the_node_with_what_it_said(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def run(seat: Seat) -> int:
        if seat.shard == 1:
            seat.control.sendall(b"failed stop the log is damaged\n")
            return EXIT_FAILED
        seat.control.recv(1)  # Never ready: the supervisor must end it.
        return 0

    assert _run(2, run) == EXIT_FAILED
    assert capfd.readouterr().err == "the log is damaged\n"


def test_a_shard_that_cannot_start_ends_the_node_although_another_is_ready(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def run(seat: Seat) -> int:
        if seat.shard == 1:
            seat.mesh[0].recv(1)
            seat.control.sendall(b"failed again there is no room\n")
            return EXIT_FAILED
        seat.control.sendall(b"ready\n")
        seat.mesh[1].sendall(b".")
        seat.control.recv(1)
        return 0

    assert _run(2, run) == EXIT_FAILED
    assert capfd.readouterr().err == "there is no room\n"


def test_a_shard_that_dies_again_and_again_is_started_later_each_time(tmp_path: Path) -> None:
    births = tmp_path / "births"

    def run(seat: Seat) -> int:
        with births.open("a") as file:
            file.write(f"{time.monotonic()}\n")
        seat.control.sendall(b"ready\n")
        seat.control.recv(16)
        if seat.incarnation == LIVES:
            os.kill(os.getppid(), signal.SIGTERM)
            seat.control.recv(16)
            return 0
        return EXIT_FAILED

    _run(1, run)
    times = [float(line) for line in births.read_text().split()]
    pauses = [after - before for before, after in pairwise(times)]
    assert len(times) == LIVES
    assert [pause >= least for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=True)] == [
        True
    ] * 3, pauses
