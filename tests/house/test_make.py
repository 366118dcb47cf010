"""What the tools say when something they need is missing: one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("make", "sh", "find", "touch", "env")

WITHOUT_HEADERS = """
import sysconfig
_path = sysconfig.get_path
sysconfig.get_path = lambda name, *more: "/nowhere" if name == "include" else _path(name, *more)
"""


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment whose path has no Python and no compiler."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, f"{tool} is needed"
        (tools / tool).symlink_to(found)
    for name in ("Makefile", "pyproject.toml", "setup.py"):
        shutil.copy2(ROOT / name, tmp_path / name)
    return {"PATH": str(tools), "HOME": str(tmp_path)}


def _with_python(bare: dict[str, str]) -> dict[str, str]:
    (Path(bare["PATH"]) / "python3").symlink_to(sys.executable)
    return bare


def _with_compiler(bare: dict[str, str]) -> dict[str, str]:
    compiler = Path(bare["PATH"]) / "cc"
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o700)
    return bare


def _last_sentence(directory: Path, environment: dict[str, str], *command: str) -> str:
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    lines = (done.stdout + done.stderr).splitlines()
    (said,) = (line for line in lines if not line.startswith("make:"))
    return said


def test_make_names_a_missing_python(bare: dict[str, str], tmp_path: Path) -> None:
    said = _last_sentence(tmp_path, bare, "make", "build")
    assert said == "Python 3.11 or later is missing: install python3."


def test_make_names_a_missing_compiler(bare: dict[str, str], tmp_path: Path) -> None:
    said = _last_sentence(tmp_path, _with_python(bare), "make", "build")
    assert said == "A C compiler is missing: install gcc."


def test_make_names_missing_headers(bare: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_HEADERS)
    environment = _with_compiler(_with_python(bare)) | {"PYTHONPATH": str(tmp_path)}
    said = _last_sentence(tmp_path, environment, "make", "build")
    assert said == "Python's C headers are missing: install python3-dev."


def test_make_names_a_missing_c_library(bare: dict[str, str], tmp_path: Path) -> None:
    environment = _with_compiler(_with_python(bare))
    (Path(bare["PATH"]) / "cc").write_text("#!/bin/sh\nexit 1\n")
    said = _last_sentence(tmp_path, environment, "make", "build")
    assert said == "The C library's headers are missing: install libc6-dev."


def test_a_build_without_make_names_a_missing_compiler(
    bare: dict[str, str], tmp_path: Path
) -> None:
    said = _last_sentence(tmp_path, bare, sys.executable, "setup.py", "--version")
    assert said == "A C compiler is missing: install gcc."


def test_a_build_without_make_names_missing_headers(tmp_path: Path) -> None:
    shutil.copy2(ROOT / "setup.py", tmp_path / "setup.py")
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_HEADERS)
    environment = dict(os.environ) | {"PYTHONPATH": str(tmp_path)}
    said = _last_sentence(tmp_path, environment, sys.executable, "setup.py", "--version")
    assert said == "Python's C headers are missing: install python3-dev."
