"""Tests of node/memory and node/cgroup: what a node may use, and how it is divided."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.cgroup import cpu_limit, memory_limit
from node.config import ConfigError, build_config
from node.memory import MIB, base_bytes, divide, memory_bytes_min

MIB_256 = 256 * MIB


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_all_parts_of_all_shards_together_stay_below_the_limit(shards: int) -> None:
    division = divide(MIB_256, shards)
    budget = division.budget
    for name in ("memtables", "rows", "files", "reads"):
        size = getattr(division, name)
        budget.account(name, size).charge(size)
    budget.check()
    assert base_bytes(shards) + shards * budget.bytes_max <= MIB_256
    assert budget.used < 0.95 * budget.bytes_max


def test_a_memory_that_the_shards_cannot_keep_is_refused() -> None:
    enough = memory_bytes_min(3)
    assert build_config({"shards": 3, "memory_bytes": enough}).memory_bytes == enough
    with pytest.raises(ConfigError, match="3 shards need 144MiB at least"):
        build_config({"shards": 3, "memory_bytes": enough - MIB})


def test_the_default_is_enough_for_the_shards() -> None:
    assert build_config({"shards": 100}).memory_bytes >= memory_bytes_min(100)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_limits_of_version_2_count_from_our_group_to_the_root(tmp_path: Path) -> None:
    groups = tmp_path / "self"
    _write(groups, "0::/a/b\n")
    root = tmp_path / "cgroup"
    assert memory_limit(root, groups) is None
    assert cpu_limit(root, groups) is None
    _write(root / "a/b/memory.max", "max\n")
    _write(root / "a/memory.max", "3000\n")
    _write(root / "a/cpu.max", "150000 100000\n")
    assert memory_limit(root, groups) == 3000
    assert cpu_limit(root, groups) == 1.5
    _write(root / "a/b/memory.high", "2000\n")
    assert memory_limit(root, groups) == 2000


def test_in_a_container_the_root_is_our_group(tmp_path: Path) -> None:
    groups = tmp_path / "self"
    _write(groups, "0::/../elsewhere\n")
    _write(tmp_path / "cgroup/memory.max", "4096\n")
    assert memory_limit(tmp_path / "cgroup", groups) == 4096


def test_limits_of_version_1_have_a_folder_for_each_controller(tmp_path: Path) -> None:
    groups = tmp_path / "self"
    _write(groups, "5:cpu,cpuacct:/c\n4:memory:/m\n1:name=systemd:/\n")
    root = tmp_path / "cgroup"
    _write(root / "memory/memory.limit_in_bytes", "9223372036854771712\n")
    _write(root / "memory/m/memory.limit_in_bytes", "1048576\n")
    _write(root / "cpu/c/cpu.cfs_quota_us", "-1\n")
    _write(root / "cpu/c/cpu.cfs_period_us", "100000\n")
    assert memory_limit(root, groups) == 1048576
    assert cpu_limit(root, groups) is None
    _write(root / "cpu/c/cpu.cfs_quota_us", "200000\n")
    assert cpu_limit(root, groups) == 2.0
