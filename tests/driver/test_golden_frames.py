"""Cassandra's own frames against a running node: what it said over the wire, we say too."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from tests.harness.golden_frames import Case, run_frames
from tests.harness.node_process import NodeProcess
from tests.harness.protocol_client import Answer

QUIET_S = 0.5
SETUP = (
    "CREATE KEYSPACE vec WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "CREATE TYPE vec.u2 (a int, b text)",
    "CREATE TABLE vec.one (k int PRIMARY KEY, n_int int, c_text text)",
    "CREATE TABLE vec.ord_2 (pk int, ck int, n int, PRIMARY KEY (pk, ck))",
    "CREATE TABLE vec.fn (k int PRIMARY KEY, c_list list<int>, c_set set<text>, "
    "c_map map<text, int>, c_udt frozen<u2>, c_vec vector<float, 3>, c_duration duration)",
    "INSERT INTO vec.one (k, c_text) VALUES (0, 'héllo 世界 😀')",
    "INSERT INTO vec.one (k) VALUES (1)",
    "INSERT INTO vec.fn (k, c_list, c_set, c_map, c_udt, c_vec, c_duration) VALUES "
    "(1, [5, -3, 9], {'a', 'b', 'c'}, {'a': 1, 'b': 2}, {a: 7, b: 'bee'}, [0.5, 0.25, -0.75], "
    "1y2mo25d5h6m7s8ms9us10ns)",
)
OF_ORD_2 = "INSERT INTO vec.ord_2 (pk, ck) VALUES (0, %s)"
CLUSTERINGS = (-(2**31), -256, -1, 0, 1)
OURS = (
    "OPTIONS",  # our own options: no snappy, no v6, and Scylla's sharding
    "QUERY paged",  # a paging state is opaque and ours is signed
    "PREPARE (with the warning",  # the warning is Cassandra's advice
)


class SocketPeer:
    """A connection to a node, read until it is quiet."""

    def __init__(self, address: str, port: int) -> None:
        self._socket = socket.create_connection((address, port), timeout=10)
        self._socket.settimeout(QUIET_S)

    def __enter__(self) -> SocketPeer:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> bytes:
        """Everything the node says to these bytes."""
        self._socket.sendall(data)
        out = b""
        while not _is_whole(out):
            try:
                piece = self._socket.recv(1 << 16)
            except TimeoutError:
                break
            if not piece:
                break
            out += piece
        return out


def _is_whole(data: bytes) -> bool:
    """True for one bare envelope; segments are read until silence."""
    is_bare = len(data) >= 9 and data[0] in (0x83, 0x84, 0x85, 0x86) and data[1] < 0x20
    return is_bare and len(data) == 9 + int.from_bytes(data[5:9], "big")


def _alike(case: Case, ours: list[Answer], theirs: list[Answer]) -> bool:
    """Equal byte for byte, but for what is a node's own."""
    if case.name.startswith(OURS):
        return [_shape(answer) for answer in ours] == [_shape(answer) for answer in theirs]
    return ours == theirs


def _shape(answer: Answer) -> Answer:
    return replace(answer, body=b"", flags=0)


@pytest.fixture(scope="module")
def prepared(node: NodeProcess, cluster_session: Any) -> NodeProcess:
    """The node with the tables and rows that the golden frames speak of."""
    for statement in SETUP:
        cluster_session.execute(statement)
    for clustering in CLUSTERINGS:
        cluster_session.execute(re.sub("%s", str(clustering), OF_ORD_2))
    return node


@pytest.mark.parametrize("file", ["frames.json", "frames_v5.json"])
def test_the_golden_frames_are_answered_alike(prepared: NodeProcess, file: str) -> None:
    with ExitStack() as peers:

        def connect() -> SocketPeer:
            return peers.enter_context(SocketPeer(prepared.address, prepared.port))

        assert run_frames(connect, file, equal=_alike) == []
