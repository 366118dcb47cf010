"""Connections reach the shard that the port promises."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from node.listener import Listeners, can_steer, open_listeners

pytestmark = pytest.mark.skipif(not can_steer(), reason="this kernel cannot steer connections")


@contextmanager
def _listeners(address: str, shards: int) -> Iterator[Listeners]:
    opened = open_listeners(address, 0, 19042, shards)
    try:
        yield opened
    finally:
        for place in opened.every():
            place.close()


def _shard_that_accepts(places: tuple[socket.socket, ...]) -> int:
    for shard, place in enumerate(places):
        try:
            accepted, _ = place.accept()
        except BlockingIOError:
            continue
        accepted.close()
        return shard
    raise AssertionError("no shard has the connection")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("shards", [1, 2, 3])
def test_the_shard_aware_port_is_exact(address: str, shards: int) -> None:
    with _listeners(address, shards) as opened:
        for _ in range(100):
            with socket.create_connection((address, opened.shard_aware_port)) as client:
                source_port = client.getsockname()[1]
                assert _shard_that_accepts(opened.shard_aware) == source_port % shards


def test_the_ordinary_port_reaches_every_shard() -> None:
    with _listeners("127.0.0.1", 3) as opened:
        reached = set()
        for _ in range(200):
            with socket.create_connection(("127.0.0.1", opened.port)):
                reached.add(_shard_that_accepts(opened.ordinary))
        assert reached == {0, 1, 2}


def test_a_port_of_another_node_is_refused() -> None:
    with _listeners("127.0.0.1", 2) as opened, pytest.raises(OSError, match="in use"):
        open_listeners("127.0.0.1", opened.port, 0, 2)


def test_shard_aware_port_zero_means_none() -> None:
    opened = open_listeners("127.0.0.1", 0, 0, 2)
    try:
        assert (opened.shard_aware_port, opened.shard_aware) == (None, ())
    finally:
        for place in opened.every():
            place.close()
