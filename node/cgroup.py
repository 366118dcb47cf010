"""What the container allows us: the memory and the CPU of our control group, version 1 or 2.

A group's own limit counts and so do those of all groups above it. Inside a container the group's
path may name a directory that only the host sees; then the root that we see is our group.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
GROUPS_OF_SELF: Final = Path("/proc/self/cgroup")
UNLIMITED_FROM: Final = 1 << 60
"""Version 1 says no limit as a number of about the size of the address space."""


def memory_limit(root: Path = ROOT, groups: Path = GROUPS_OF_SELF) -> int | None:
    """The bytes that our group may use; None without a limit."""
    limits = []
    for folder in _folders(root, groups, "memory"):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            words = _words(folder / name)
            if words and words[0].isdigit() and int(words[0]) < UNLIMITED_FROM:
                limits.append(int(words[0]))
    return min(limits, default=None)


def cpu_limit(root: Path = ROOT, groups: Path = GROUPS_OF_SELF) -> float | None:
    """How many cores' time our group may use; None without a limit."""
    limits = []
    for folder in _folders(root, groups, "cpu"):
        words = _words(folder / "cpu.max")
        if not words:
            words = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        if len(words) == 2 and words[0].isdigit() and int(words[1]) > 0:
            limits.append(int(words[0]) / int(words[1]))
    return min(limits, default=None)


def _folders(root: Path, groups: Path, controller: str) -> Iterator[Path]:
    """Our group and those above it, of version 2 and of the controller's version 1."""
    for line in _lines(groups):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        top = root if number == "0" and not controllers else root / controller
        group = top / path.lstrip("/")
        while group != top and top in group.parents:
            yield group
            group = group.parent
        yield top


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
