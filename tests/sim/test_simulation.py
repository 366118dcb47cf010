"""Whole nodes of real shards under seeds: faults of every kind, and the promises hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.run import run_seed

ROOT = Path(__file__).parent.parent.parent
QUICK_SEEDS, LONG_SEEDS = 16, 2_000
PARTS = 16
"""Of all seeds: so many tests share them."""
TWIN_S = 6.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A seed that was named is alone; otherwise there are as many as there is time for."""
    if "offsets" in metafunc.fixturenames:
        option = metafunc.config.getoption
        count = LONG_SEEDS if option("--long") else QUICK_SEEDS
        parts = PARTS if option("--seed") is None else 1
        each = [range(part, count if parts > 1 else 1, parts) for part in range(parts)]
        metafunc.parametrize("offsets", each, ids=[str(part) for part in range(parts)])


def test_a_node_keeps_its_promises_under_every_seed(seed: int, offsets: range) -> None:
    for offset in offsets:
        run_seed(seed + offset)


def test_a_seed_leaves_the_same_trace_in_another_process(seed: int) -> None:
    here = run_seed(seed, TWIN_S)
    program = f"from tests.sim.run import run_seed; print(run_seed({seed}, {TWIN_S}).trace_hash)"
    for hash_seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert there.stdout.strip() == here.trace_hash, f"seed {seed}: {there.stderr[-2000:]}"
