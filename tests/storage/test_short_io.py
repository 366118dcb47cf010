"""Reads and writes that the kernel cuts short or interrupts, on real files: nobody notices.

The loops that finish such calls are in `storage/io_threads`, `storage/uring` and
`storage/direct_disk`, below the simulated disk; so these are processes with real disks.
"""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.uring import IoUring
from tests.harness import short_io
from tests.harness.node_process import ROOT

QUICK_STEP = 61
"""Each quick run takes every so manieth call, the seed says with which it begins."""

TIMEOUT_S = 3600


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process whose calls can be short."""
    return short_io.environment(tmp_path_factory.mktemp("short"))


@pytest.mark.parametrize("disk", ["uring", "direct", "buffered"])
def test_a_short_read_or_write_at_any_call_loses_nothing_acknowledged(
    disk: str,
    prepared: dict[str, str],
    tmp_path: Path,
    seed: int,
    request: pytest.FixtureRequest,
    proven: Callable[[str, int], None],
) -> None:
    if disk == "uring":
        _skip_without_uring()
    step = 1 if request.config.getoption("--long") else QUICK_STEP
    program = ("-m", "tests.storage.short_lives", disk, str(tmp_path), str(1 + seed % step))
    proven("I/O errors, short or interrupted", int(_run(prepared, *program, str(step))))


def test_every_disk_passes_its_suite_when_calls_are_short_and_interrupted(
    prepared: dict[str, str],
) -> None:
    program = (
        "import pytest, sys\n"
        "from tests.harness.short_io import EVERY_CALL, Fate, calls, plan\n"
        "plan(EVERY_CALL, Fate.MIXED)\n"
        "code = pytest.main(['-p', 'no:cacheprovider', 'tests/ports/test_disk.py'])\n"
        "assert calls() > 1_000\n"
        "sys.exit(code)\n"
    )
    _run(prepared, "-c", program)


def _run(environment: dict[str, str], *arguments: str) -> str:
    """What a program says, which must end well."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-4000:]
    return ran.stdout


def _skip_without_uring() -> None:
    try:
        IoUring(8, 1).stop()
    except OSError as failure:
        pytest.skip(f"no io_uring here: {errno.errorcode.get(failure.errno or 0)}")
