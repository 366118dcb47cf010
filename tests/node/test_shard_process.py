"""Where the shards of a node run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.harness.node_process import NodeProcess


@pytest.mark.parametrize("is_pinned", [True, False])
def test_shards_have_a_core_each_unless_the_machine_has_other_work(
    tmp_path: Path, is_pinned: bool
) -> None:
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("not run: one core for all")
    node = NodeProcess(tmp_path / "data", shards=2, is_pinned=is_pinned).start()
    try:
        places = [os.sched_getaffinity(pid) for pid in node.shard_pids()]
    finally:
        node.close()
    assert places == ([{core} for core in sorted(cores)[:2]] if is_pinned else [cores, cores])
