"""A shard whose core others have says so, seldom."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from node.core_wait import LONG_WAIT_S, TELL_EVERY_S, CoreWait, kernel_count

RUN_S = 0.2


class Machine:
    """A clock and the kernel's count, moved by hand."""

    def __init__(self) -> None:
        self.now, self.waited = 50.0, 7.0
        self.said: list[str] = []
        self.wait = CoreWait(lambda: self.waited, lambda: self.now, self.said.append)

    def pass_s(self, seconds: float, waiting: float) -> None:
        self.now += seconds
        self.waited += waiting
        self.wait.look()


def test_a_shard_that_ran_when_it_wanted_says_nothing() -> None:
    machine = Machine()
    for _ in range(100):
        machine.pass_s(0.25, LONG_WAIT_S / 4)
    assert machine.said == []
    assert machine.wait.longest_s == pytest.approx(LONG_WAIT_S / 4)


def test_a_shard_that_did_not_run_says_for_how_long() -> None:
    machine = Machine()
    machine.pass_s(0.25, 0.0)
    machine.pass_s(4.75, 4.5)
    (said,) = machine.said
    assert "for 4.5 of the last 4.8 s" in said
    assert machine.wait.longest_s == pytest.approx(4.5)


def test_it_says_so_at_most_once_in_a_while() -> None:
    machine = Machine()
    for _ in range(round(2 * TELL_EVERY_S)):
        machine.pass_s(1.0, LONG_WAIT_S)
    assert len(machine.said) == 2


def test_the_kernel_counts_what_another_program_takes_of_our_core() -> None:
    count = kernel_count()
    if count is None:
        pytest.skip("not run: this kernel does not count waits")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        before, began, ran = count(), time.monotonic(), time.thread_time()
        while time.thread_time() - ran < RUN_S:
            pass
        waited, took = count() - before, time.monotonic() - began
    finally:
        other.kill()
        other.wait()
        os.sched_setaffinity(0, cores)
    assert RUN_S / 10 < waited < took
