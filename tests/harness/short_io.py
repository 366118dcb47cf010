"""Processes whose reads and writes are short or interrupted, by the number of the call.

The kernel's side is `short_io.c`, which is preloaded into such a process: nothing of the node knows
of it, and it costs nothing elsewhere.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from enum import IntEnum
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("short_io.c")
EVERY_CALL = 0


class Fate(IntEnum):
    """What happens to a call; the numbers are those of the C side."""

    WHOLE = 0
    SHORT = 1
    """About half of it is moved; a single page of a direct file is interrupted instead."""

    INTERRUPTED = 2
    """EINTR, and nothing is moved."""

    FAILING = 3
    """It is short, and the next call of the same file fails: EIO of a read, ENOSPC of a write."""

    MIXED = 4
    """Left alone, short and interrupted in turn; the only one for every call."""


def environment(folder: Path) -> dict[str, str]:
    """What a process is started with so that `plan` has an effect in it; skips without a compiler.

    The library is made in `folder`.
    """
    compiler = shutil.which(os.environ.get("CC", "cc").split()[-1])
    if compiler is None or os.uname().sysname != "Linux":
        pytest.skip("short calls are made by a library for Linux, which a C compiler makes")
    library = folder / "short_io.so"
    command = [compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library)]
    subprocess.run([*command, str(SOURCE), "-ldl"], check=True)
    return os.environ | {"LD_PRELOAD": str(library)}


def plan(call: int, fate: Fate) -> None:
    """In such a process: what happens to a call of those that follow, of which the first is 1."""
    assert call != EVERY_CALL or fate in (Fate.WHOLE, Fate.MIXED), "otherwise no call ends"
    _library().short_io_plan(ctypes.c_long(call), int(fate))


def calls() -> int:
    """In such a process: how many reads and writes were asked for since the plan was made."""
    made = _library().short_io_calls
    made.restype = ctypes.c_long
    return int(made())


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
