"""Several workers are one run: one seed, one sum of what was proven, and files that stay whole."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import workers

ROOT = Path(__file__).resolve().parents[2]
COUNTING = """
import os
import pytest

@pytest.mark.parametrize("number", range(4))
def test_counting(number, seed, proven):
    proven("counted", number)
    with open(os.environ["SEEN"], "a") as seen:
        print(__name__, os.getpid(), seed, file=seen)
"""


def _run(folder: Path, *options: str) -> tuple[str, list[list[str]]]:
    """What a run of two files says at its end, and file, process and seed of its eight tests."""
    pytest.importorskip("xdist", reason="pytest-xdist is not installed")
    tests = folder / "tests"
    (tests / "harness").mkdir(parents=True)
    shutil.copy2(ROOT / "tests/conftest.py", tests)
    shutil.copy2(ROOT / "tests/harness/workers.py", tests / "harness")
    for name in ("test_one.py", "test_two.py"):
        (tests / name).write_text(COUNTING)
    environment = {k: v for k, v in os.environ.items() if k != "CI" and "PYTEST" not in k}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "--import-mode=importlib", *options],
        cwd=folder,
        env=environment | {"SEEN": str(folder / "seen"), "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, [line.split() for line in (folder / "seen").read_text().splitlines()]


@pytest.mark.parametrize("count", ["0", "2"])
def test_a_run_has_one_seed_and_one_sum_with_any_number_of_workers(
    count: str, tmp_path: Path
) -> None:
    said, seen = _run(tmp_path, "-n", count)
    (told,) = re.findall(r"\| (\d+) \| counted 12 \| passed \|", said)
    assert {seed for _, _, seed in seen} == {told}
    processes = {(file, process) for file, process, _ in seen}
    assert len(processes) == 2, "each file is run by one process"
    assert len({process for _, process in processes}) == max(1, int(count))


def test_a_seed_that_was_given_reaches_the_workers(tmp_path: Path) -> None:
    _, seen = _run(tmp_path, "-n", "2", "--seed", "77")
    assert {seed for _, _, seed in seen} == {"77"}


def test_files_that_are_named_exist_once() -> None:
    assert len(set(workers.LONG)) == len(workers.LONG)
    assert [file for file in workers.LONG if not (ROOT / file).exists()] == []


def test_what_measures_is_one_part_and_what_is_divided_has_parts_of_its_own() -> None:
    first, second = workers.MEASURING[:2]
    assert workers.part(f"{first}::test_a") == workers.part(f"{second}::test_b[1]")
    (divided, *_) = workers.DIVIDED
    assert workers.part(f"{divided}::test_a[1]") != workers.part(f"{divided}::test_a[2]")
    assert workers.part("tests/x.py::test_a") == workers.part("tests/x.py::test_b") == "tests/x.py"
    assert workers.turn(f"{first}::test_a") < workers.turn(f"{divided}::test_a")
    assert workers.turn(f"{divided}::test_a") < workers.turn("tests/x.py::test_a")
