"""Options that all tests share: a seed that repeats a run, and the long figures.

With `-n` a controller hands tests to workers, each a process of its own: it draws the seed for all
of them, and adds up what they have proven.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.harness import workers

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
PROVEN_KEY, SEED_KEY = "pythia_proven", "pythia_seed"
"""What a worker tells at its end, and is told at its start."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="seed of the random tests")
    parser.addoption("--long", action="store_true", help="the long figures instead of the quick")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_PROVEN] = Counter()
    given = config.getoption("--seed")
    if workers.is_worker(config):
        config.stash[_SEED] = config.workerinput[SEED_KEY]  # type: ignore[attr-defined]
    elif given is not None:
        config.stash[_SEED] = int(given)
    else:
        is_judged = os.environ.get("CI")
        config.stash[_SEED] = CI_SEED if is_judged else random.SystemRandom().getrandbits(32)
    if not workers.is_worker(config):
        config.pluginmanager.register(NamedAtOnce(config))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """In the controller: a worker is about to start."""
    node.workerinput[SEED_KEY] = node.config.stash[_SEED]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if workers.is_worker(session.config):
        session.config.workeroutput[PROVEN_KEY] = dict(session.config.stash[_PROVEN])  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """In the controller: a worker has ended, or died, which fails the run."""
    node.config.stash[_PROVEN].update(getattr(node, "workeroutput", {}).get(PROVEN_KEY, {}))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """In the controller: how the workers share the tests."""
    return workers.scheduler(config, log)


class NamedAtOnce:
    """In the controller: names a failed test when it fails, as a run may be stopped."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.write_line(f"\nfailed: {report.nodeid} ({report.when})")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without workers the order is that of the files."""
    if workers.is_worker(config):
        items.sort(key=lambda item: workers.turn(item.nodeid))


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run; printed, so that a failure can be repeated with --seed."""
    chosen = request.config.stash[_SEED]
    print(f"--seed {chosen}")
    return chosen


@pytest.fixture
def proven(request: pytest.FixtureRequest) -> Callable[[str, int], None]:
    """To be told what was done, by the row of docs/proofs.md; a run prints the sums at its end."""
    counts = request.config.stash[_PROVEN]

    def count(row: str, number: int) -> None:
        counts[row] += number

    return count


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """One line for the ledger in docs/proofs.md, ready to be pasted."""
    counts = config.stash[_PROVEN]
    if not counts:
        return
    date = datetime.now(UTC).date().isoformat()
    done = ", ".join(f"{row} {counts[row]:,}" for row in sorted(counts))
    result = "passed" if exitstatus == 0 else "FAILED"
    seed = config.stash[_SEED]
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
