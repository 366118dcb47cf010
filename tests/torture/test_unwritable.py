"""A start where nothing can be written: one sentence names the place and the reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.node_process import ROOT, NodeProcess

TIMEOUT_S = 60
WITHOUT_ROOTS_RIGHTS = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "node", *sys.argv[1:]])
"""
"""Permissions bind root too; somebody else may not drop this right and has it not."""


def refusal_of(directory: Path, *options: str) -> str:
    """What a start says that ends by itself."""
    command = [sys.executable, "-c", WITHOUT_ROOTS_RIGHTS, "start", "--dir", str(directory)]
    done = subprocess.run(
        [*command, "--port", "0", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 1 and not done.stdout, done
    return done.stderr


def used(directory: Path) -> Path:
    """A data directory in which a node has lived."""
    assert NodeProcess(directory, shards=2).start().stop() == 0
    return directory


def close(directory: Path) -> None:
    """Takes the right to write in a directory and all directories below."""
    for place, _, _ in os.walk(directory):
        os.chmod(place, 0o500)


def test_a_new_directory_that_nobody_may_write_ends_the_start(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir(0o500)
    assert refusal_of(directory) == f"pythia: {directory}/node.json.new: Permission denied\n"
    inside = directory / "data"
    assert refusal_of(inside) == f"pythia: {inside}: Permission denied\n"


@pytest.mark.parametrize(
    ("closed", "named"),
    [("", "admin.sock"), ("shard-1", "shard-1/commitlog/commitlog-*.log")],
)
def test_a_used_directory_that_nobody_may_write_ends_the_start(
    tmp_path: Path, closed: str, named: str
) -> None:
    directory = used(tmp_path / "data")
    if closed:
        close(directory / closed)
    else:
        directory.chmod(0o500)
    said = refusal_of(directory).splitlines()[-1]  # Before it, a busy machine may be told of.
    place, _, reason = said.partition(": ")[2].partition(": ")
    assert Path(place).match(str(directory / named)) and reason == "Permission denied"


def test_a_port_file_that_cannot_be_written_ends_the_start(tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "port"
    said = refusal_of(tmp_path / "data", "--port-file", str(file))
    assert said == f"pythia: {file}.new: No such file or directory\n"


def test_a_full_volume_ends_the_start(volume: Path) -> None:
    with (volume / "zeros").open("wb") as zeros:
        free = os.statvfs(volume).f_bavail * os.statvfs(volume).f_bsize
        zeros.write(bytes(free - (1 << 20)))
    said = refusal_of(volume / "data", "--shards", "2").splitlines()[-1]
    assert said.startswith(f"pythia: {volume}/data/") and said.endswith(
        ": No space left on device"
    ), said


def test_a_volume_that_has_become_read_only_ends_the_start(volume: Path) -> None:
    directory = used(volume / "data")
    subprocess.run(["mount", "-o", "remount,ro", str(volume)], check=True)
    said = refusal_of(directory)
    assert said.startswith(f"pythia: {directory}/") and said.endswith(
        ": Read-only file system\n"
    ), said
