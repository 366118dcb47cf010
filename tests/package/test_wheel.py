"""A wheel in a clean environment: one package, one command, a node that serves."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from node.version import VERSION
from tests.harness.node_process import NodeProcess
from tests.harness.wire import WireClient

pytestmark = pytest.mark.package

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("node", "cql", "cluster", "storage")
SOURCES = (*FLOORS, "setup.py", "pyproject.toml", "README.md", "LICENSE")


def _run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources; what the tree has compiled is not compiled again."""
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, copy / name)
    _give_compiled(copy)
    built = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    _run(sys.executable, "-m", "pip", "wheel", *options, "-w", built, copy, cwd=copy)
    (found,) = built.glob("pythiadb-*.whl")
    return found


def _give_compiled(copy: Path) -> None:
    """Puts the tree's compiled modules where setuptools looks for those of the wheel; it compiles
    what is missing or older than its sources.
    """
    platform = f"lib.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    for floor in FLOORS:
        for compiled in (ROOT / floor).rglob("*.so"):
            target = copy / "build" / platform / "pythiadb/floors" / compiled.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(compiled, target)


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that holds the wheel and what it depends on."""
    directory = tmp_path_factory.mktemp("environment")
    venv.create(directory, with_pip=True)
    pip = (directory / "bin/python", "-m", "pip", "install", "--quiet")
    _run(*pip, "--disable-pip-version-check", wheel, cwd=directory)
    return directory


def test_a_wheel_holds_one_package_and_its_own_description(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    (description,) = (name for name in tops if name.endswith(".dist-info"))
    assert tops == {"pythiadb", description}


def test_a_wheel_holds_every_room_and_no_sources_of_compiled_ones(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = {name.removeprefix("pythiadb/floors/") for name in archive.namelist()}
    modules = {name.split(".")[0] for name in names if name.endswith((".py", ".so"))}
    rooms = {
        str(path.relative_to(ROOT).with_suffix(""))
        for floor in FLOORS
        for suffix in (".py", ".pyx")
        for path in (ROOT / floor).rglob(f"*{suffix}")
    }
    assert rooms - modules == set()
    assert [name for name in names if name.endswith((".c", ".pyx"))] == []


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floors_name_stays_free_for_others(environment: Path, floor: str) -> None:
    python = environment / "bin/python"
    done = subprocess.run([python, "-c", f"import {floor}"], cwd=environment, capture_output=True)
    assert b"ModuleNotFoundError" in done.stderr


def test_the_command_says_its_version(environment: Path) -> None:
    said = _run(environment / "bin/pythia", "--version", cwd=environment)
    assert said == f"pythia {VERSION}\n"


@pytest.mark.parametrize("directory", ["data", "memory://"])
def test_the_command_serves_a_first_query(
    environment: Path, tmp_path: Path, directory: str
) -> None:
    in_memory = directory == "memory://"
    options = ("--dir", directory) if in_memory else ()
    program = environment / "bin/pythia"
    node = NodeProcess(tmp_path / "data", options=options, program=program).start()
    try:
        client = WireClient(node.address, node.port)
        assert client.rows("SELECT cluster_name FROM system.local") == [(b"Test Cluster",)]
        client.close()
        assert node.stop() == 0
    finally:
        node.close()
