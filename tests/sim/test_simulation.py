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
TWIN_S = 6.0


@pytest.fixture(scope="module")
def seeds(request: pytest.FixtureRequest, seed: int) -> range:
    """One seed if it was named, otherwise as many as there is time for."""
    if request.config.getoption("--seed") is not None:
        return range(seed, seed + 1)
    return range(seed, seed + (LONG_SEEDS if request.config.getoption("--long") else QUICK_SEEDS))


def test_a_node_keeps_its_promises_under_every_seed(seeds: range) -> None:
    for number in seeds:
        run_seed(number)


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
