"""One running node of two shards for all tests in this folder, and a keyspace for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.node_process import NodeProcess

_numbers = itertools.count()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node with two shards and its data on disk."""
    directory: Path = tmp_path_factory.mktemp("driver") / "data"
    process = NodeProcess(directory, shards=2, is_pinned=False).start()
    yield process
    process.close()


@pytest.fixture(scope="session")
def cluster_session(node: NodeProcess) -> Iterator[Any]:
    """A session of the public driver with no options."""
    cluster = node.cluster()
    yield cluster.connect()
    cluster.shutdown()


@pytest.fixture
def session(cluster_session: Any) -> Iterator[Any]:
    """The session, with a keyspace of this test alone in use."""
    name = f"ks{next(_numbers)}"
    cluster_session.execute(
        f"CREATE KEYSPACE {name} WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    cluster_session.set_keyspace(name)
    yield cluster_session
    cluster_session.execute(f"DROP KEYSPACE {name}")
