"""Options that all tests share: a seed that repeats a run, and the long figures."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no reason to fail: examples have no deadline of their own.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("random"), derandomize=True)
settings.load_profile("repeatable" if os.environ.get("CI") else "random")

CI_SEED = 20261121
"""A submission is judged by one fixed run; people and long runs draw their seeds."""
KILL_CYCLES_QUICK, KILL_CYCLES_LONG = 100, 600


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="seed of the random tests")
    parser.addoption("--long", action="store_true", help="the long figures instead of the quick")


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run; printed, so that a failure can be repeated with --seed."""
    given = request.config.getoption("--seed")
    drawn = CI_SEED if os.environ.get("CI") else random.SystemRandom().getrandbits(32)
    chosen = drawn if given is None else int(given)
    print(f"--seed {chosen}")
    return chosen


@pytest.fixture(scope="session")
def kill_cycles(request: pytest.FixtureRequest) -> int:
    """How often the torture test kills a node."""
    return KILL_CYCLES_LONG if request.config.getoption("--long") else KILL_CYCLES_QUICK
