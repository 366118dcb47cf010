"""Tests of node/waiting."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable

import uvloop

from node.shard_process import look_of
from node.waiting import Waiting


def test_a_selector_with_something_to_tell_is_seen_and_keeps_it() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, select.epoll() as selector:
        selector.register(ours, select.EPOLLIN)
        waiting = Waiting(selector.fileno())
        assert not waiting.is_anybody()
        theirs.send(b"a request")
        assert waiting.is_anybody()
        assert waiting.is_anybody(), "looking takes nothing away"
        assert selector.poll(0) == [(ours.fileno(), select.EPOLLIN)]
        ours.recv(100)
        assert not waiting.is_anybody()


def test_what_comes_for_a_loop_is_seen_while_the_loop_does_something_else() -> None:
    ours, theirs = socket.socketpair()

    async def test() -> list[bool]:
        loop = asyncio.get_running_loop()
        is_anybody: Callable[[], bool] = look_of(loop)
        arrived = loop.create_future()
        ours.setblocking(False)
        loop.add_reader(ours, lambda: arrived.done() or arrived.set_result(None))
        await asyncio.sleep(0)
        seen = [is_anybody()]
        theirs.send(b"a request")
        seen.append(is_anybody())
        await arrived
        ours.recv(100)
        seen.append(is_anybody())
        loop.remove_reader(ours)
        return seen

    with ours, theirs, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(test()) == [False, True, False]
