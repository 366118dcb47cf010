"""scylla-driver, with no options, opens one connection for each shard and routes by keys.

It cannot live beside cassandra-driver, as both are called `cassandra`: it is installed into a
folder of its own, where the machine can fetch it, and used by a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.node_process import NodeProcess

PROGRAM = Path(__file__).parent / "scylla_client.py"
INSTALL_TIMEOUT_S = 300
KEYS_QUICK, KEYS_LONG = 200, 100_000
TIMEOUT_QUICK_S, TIMEOUT_LONG_S = 300, 4 * 3600

PATIENT = "read_request_timeout: 60s\nwrite_request_timeout: 60s\n"
"""What is asked here is where keys go; a machine that stands still for seconds is no answer."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has scylla-driver."""
    folder = tmp_path_factory.mktemp("scylla")
    install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder)]
    done = subprocess.run(
        [*install, "--only-binary", ":all:", "scylla-driver"],
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"not run: scylla-driver cannot be installed: {done.stderr.strip()[-300:]}")
    return folder


@pytest.mark.parametrize("shards", [2, 3])
def test_the_shard_aware_driver_opens_one_connection_for_each_shard_and_finds_every_key(
    tmp_path: Path, packages: Path, shards: int, request: pytest.FixtureRequest
) -> None:
    is_long = request.config.getoption("--long")
    keys, timeout = (KEYS_LONG, TIMEOUT_LONG_S) if is_long else (KEYS_QUICK, TIMEOUT_QUICK_S)
    file = tmp_path / "pythia.yaml"
    file.write_text(PATIENT)
    options = ("--config", str(file))
    node = NodeProcess(tmp_path / "data", shards=shards, options=options, is_pinned=False).start()
    try:
        done = subprocess.run(
            [sys.executable, str(PROGRAM), node.address, str(node.port), str(shards), str(keys)],
            env=os.environ | {"PYTHONPATH": str(packages)},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    finally:
        node.close()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert done.stdout.startswith("ok one connection per shard\nok each on its shard\n")
    assert done.stdout.rstrip().endswith("done")
