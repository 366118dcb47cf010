"""Options that all tests share: a seed that repeats a run, and the long figures."""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no reason to fail: examples have no deadline of their own.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeatable", settings.get_profile("random"), derandomize=True)
settings.load_profile("repeatable" if os.environ.get("CI") else "random")

CI_SEED = 20261121
"""A submission is judged by one fixed run; people and long runs draw their seeds."""
KILL_CYCLES_QUICK, KILL_CYCLES_LONG = 100, 600
ROOT = Path(__file__).parent.parent

_PROVEN = pytest.StashKey[Counter[str]]()
_SEED = pytest.StashKey[int]()


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
    request.config.stash[_SEED] = chosen
    return chosen


@pytest.fixture
def proven(request: pytest.FixtureRequest) -> Callable[[str, int], None]:
    """To be told what was done, by the row of docs/proofs.md; a run prints the sums at its end."""
    counts = request.config.stash.setdefault(_PROVEN, Counter())

    def count(row: str, number: int) -> None:
        counts[row] += number

    return count


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """One line for the ledger in docs/proofs.md, ready to be pasted."""
    counts = config.stash.get(_PROVEN, Counter[str]())
    if not counts:
        return
    date = datetime.now(UTC).date().isoformat()
    done = ", ".join(f"{row} {counts[row]:,}" for row in sorted(counts))
    result = "passed" if exitstatus == 0 else "FAILED"
    seed = config.stash.get(_SEED, None)
    terminalreporter.write_sep("-", "for the ledger in docs/proofs.md")
    terminalreporter.write_line(f"| {date} | {_revision()} | {seed} | {done} | {result} |")


def _revision() -> str:
    """The commit that is checked out; "" where there is no repository."""
    try:
        command = ["git", "describe", "--always", "--dirty"]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


@pytest.fixture(scope="session")
def kill_cycles(request: pytest.FixtureRequest) -> int:
    """How often the torture test kills a node."""
    return KILL_CYCLES_LONG if request.config.getoption("--long") else KILL_CYCLES_QUICK
