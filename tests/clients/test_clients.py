"""Programs in Java, Go and Rust use a node through their own drivers.

Each is built with its language's tool chain, where there is one. The first build fetches the driver
and takes minutes; `make clients` runs these tests, `make test` does not.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.node_process import NodeProcess

FOLDER = Path(__file__).parent
BUILD_TIMEOUT_S = 1800
RUN_TIMEOUT_S = 180

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    process = NodeProcess(
        tmp_path_factory.mktemp("clients") / "data", shards=2, is_pinned=False
    ).start()
    yield process
    process.close()


def _build(folder: str, *command: str) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"not run: this machine has no {command[0]}")
    done = subprocess.run(
        command,
        cwd=FOLDER / folder,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def _run(node: NodeProcess, folder: str, *command: str) -> None:
    done = subprocess.run(
        [*command, node.address, str(node.port)],
        cwd=FOLDER / folder,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert done.stdout.rstrip().endswith("done")


def test_the_java_driver_lives_on_a_node(node: NodeProcess) -> None:
    _build("java", "mvn", "-q", "-B", "package", "dependency:copy-dependencies",
           "-DoutputDirectory=target/lib")  # fmt: skip
    _run(node, "java", "java", "-cp", "target/java-client-1.jar:target/lib/*", "clients.Main")


def test_gocql_lives_on_a_node(node: NodeProcess) -> None:
    _build("go", "go", "build", "-o", "target/client", ".")
    _run(node, "go", "target/client")


def test_the_rust_driver_lives_on_a_node(node: NodeProcess) -> None:
    _build("rust", "cargo", "build", "--quiet", "--release")
    _run(node, "rust", "target/release/rust-client")
