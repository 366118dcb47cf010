"""Messages between shards over real socket pairs, in one process."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import GrantLost, Overloaded, ReplicaFailed, ShardDown
from cluster.messages import decode_fault, encode_fault
from node.links import Links
from node.mesh import Mesh

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.new_event_loop,
    uvloop.new_event_loop,
]


def run(
    main: Coroutine[Any, Any, None],
    new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
) -> None:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(main, 20))


def new_mesh(shard: int, **options: Any) -> Mesh:
    options.setdefault("before_flush", lambda: None)
    return Mesh(
        shard,
        asyncio.get_running_loop(),
        encode_fault=encode_fault,
        decode_fault=decode_fault,
        **options,
    )


def pair(**options: Any) -> tuple[Mesh, Mesh]:
    left, right = new_mesh(0, **options), new_mesh(1)
    ends = socket.socketpair()
    left.attach(1, ends[0])
    right.attach(0, ends[1])
    return left, right


@pytest.mark.parametrize("new_loop", LOOPS)
def test_answers_come_to_their_requests_in_any_order(new_loop: Any) -> None:
    async def main() -> None:
        left, right = pair()
        release = asyncio.get_running_loop().create_future()

        async def slow(payload: bytes, source: int) -> bytes:
            await release
            return b"slow " + payload

        right.register(1, slow)
        right.register(2, lambda payload, source: b"%d %s" % (source, payload))
        first, second = left.call(1, 1, b"a"), left.call(1, 2, b"b")
        assert await second == b"0 b"
        assert not first.done()
        release.set_result(None)
        assert await first == b"slow a"
        assert left.in_flight(1) == 0
        left.close()
        right.close()

    run(main(), new_loop)


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_message_of_many_megabytes_arrives_whole_beside_small_ones(new_loop: Any) -> None:
    async def main() -> None:
        left, right = pair()
        right.register(1, lambda payload, source: payload)
        large = os.urandom(1 << 16) * 200
        futures = [left.call(1, 1, b"x"), left.call(1, 1, large), left.call(1, 1, b"y")]
        assert await futures[0] == b"x"
        assert await futures[1] == large
        assert await futures[2] == b"y"
        assert await left.call(1, 1, b"z") == b"z"
        left.close()
        right.close()

    run(main(), new_loop)


def test_calls_of_one_turn_leave_with_one_write() -> None:
    async def main() -> None:
        left, right = pair()
        right.register(1, lambda payload, source: payload)
        futures = [left.call(1, 1, b"%d" % n) for n in range(100)]
        assert [await future for future in futures] == [b"%d" % n for n in range(100)]
        assert left.frames_sent == 100
        assert left.writes == 1
        assert right.writes == 1
        left.close()
        right.close()

    run(main())


def test_a_handler_that_fails_gives_its_error_to_the_caller() -> None:
    async def main() -> None:
        left, right = pair()

        def lose(payload: bytes, source: int) -> bytes:
            raise GrantLost

        async def full(payload: bytes, source: int) -> bytes:
            raise Overloaded("no room")

        right.register(1, lose)
        right.register(2, full)
        with pytest.raises(GrantLost):
            await left.call(1, 1, b"")
        with pytest.raises(Overloaded, match="no room"):
            await left.call(1, 2, b"")
        with pytest.raises(ReplicaFailed):
            await left.call(1, 99, b"")
        left.close()
        right.close()

    run(main())


def test_a_lost_link_fails_calls_and_says_whether_they_had_left() -> None:
    async def main() -> None:
        left, right = pair()
        changes: list[tuple[int, bool]] = []
        left.on_change(lambda shard, is_alive: changes.append((shard, is_alive)))
        never = asyncio.get_running_loop().create_future()
        right.register(1, lambda payload, source: never)
        sent = left.call(1, 1, b"a")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        queued = left.call(1, 1, b"b")
        left.detach(1)
        with pytest.raises(ShardDown) as failed:
            await sent
        assert failed.value.was_sent
        with pytest.raises(ShardDown) as failed:
            await queued
        assert not failed.value.was_sent
        with pytest.raises(ShardDown) as failed:
            left.call(1, 1, b"c")
        assert not failed.value.was_sent
        assert changes == [(1, False)]
        right.close()

    run(main())


def test_a_full_queue_is_overloaded_and_nothing_is_sent() -> None:
    async def main() -> None:
        left, right = pair(calls_max=3, queue_bytes_max=1000)
        right.register(1, lambda payload, source: payload)
        with pytest.raises(Overloaded):
            left.call(1, 1, b"x" * 1001)
        futures = [left.call(1, 1, b"") for _ in range(3)]
        with pytest.raises(Overloaded):
            left.call(1, 1, b"")
        for future in futures:
            await future
        assert await left.call(1, 1, b"ok") == b"ok"
        left.close()
        right.close()

    run(main())


def test_no_answer_leaves_if_the_log_could_not_be_written() -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: None)

        def fail() -> None:
            raise OSError("the log is broken")

        left, right = new_mesh(0), new_mesh(1, before_flush=fail)
        ends = socket.socketpair()
        left.attach(1, ends[0])
        right.attach(0, ends[1])
        right.register(1, lambda payload, source: payload)
        answer = left.call(1, 1, b"a")
        await asyncio.sleep(0.05)
        assert not answer.done()
        right.detach(0)
        with pytest.raises(ShardDown):
            await answer
        left.close()

    run(main())


def test_bytes_that_are_no_frames_end_the_link() -> None:
    async def main() -> None:
        left = new_mesh(0)
        ends = socket.socketpair()
        left.attach(1, ends[0])
        answer = left.call(1, 1, b"a")
        ends[1].send(b"\xff" * 64)
        with pytest.raises(ShardDown):
            await answer
        assert not left.is_alive(1)
        left.close()
        ends[1].close()

    run(main())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300_000), st.booleans()), max_size=25))
def test_every_size_makes_the_round_trip(sizes: list[tuple[int, bool]]) -> None:
    async def main() -> None:
        left, right = pair()
        right.register(1, lambda payload, source: payload)
        left.register(1, lambda payload, source: payload[::-1])
        futures = []
        for size, is_forth in sizes:
            payload = bytes([size % 251]) * size + b"end"
            caller, target = (left, 1) if is_forth else (right, 0)
            futures.append((caller.call(target, 1, payload), payload, is_forth))
        for future, payload, is_forth in futures:
            assert await future == (payload if is_forth else payload[::-1])
        left.close()
        right.close()

    run(main())


class Shard:
    """A mesh with its links, born with copies of the kept ends as after a fork."""

    def __init__(self, shard: int, incarnation: int, kept: dict[int, socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        self.mesh = new_mesh(shard)
        self.mesh.register(1, lambda payload, source: b"%d.%d" % (shard, incarnation))
        ends = {sibling: end.dup() for sibling, end in kept.items()}
        self.links = Links(shard, incarnation, ends, self.mesh, loop)
        self.links.start()

    def die(self) -> None:
        self.links.stop()
        self.mesh.close()


def kept_pairs(shards: int) -> dict[int, dict[int, socket.socket]]:
    kept: dict[int, dict[int, socket.socket]] = {shard: {} for shard in range(shards)}
    for high in range(shards):
        for low in range(high):
            kept[low][high], kept[high][low] = socket.socketpair()
    return kept


def close(kept: dict[int, dict[int, socket.socket]]) -> None:
    for ends in kept.values():
        for end in ends.values():
            end.close()


@pytest.mark.parametrize("new_loop", LOOPS)
def test_a_shard_that_is_born_again_is_linked_again(new_loop: Any) -> None:
    async def main() -> None:
        kept = kept_pairs(3)
        shards = {number: Shard(number, 1, kept[number]) for number in range(3)}
        for shard in shards.values():
            await shard.links.wait_until_connected(5)
        for victim in (0, 2, 1, 0):
            others = [number for number in range(3) if number != victim]
            incarnation = 2 + victim
            shards[victim].die()
            for other in others:
                while shards[other].mesh.is_alive(victim):
                    await asyncio.sleep(0)
            shards[victim] = Shard(victim, incarnation, kept[victim])
            for shard in shards.values():
                await shard.links.wait_until_connected(5)
            for other in others:
                answer = await shards[other].mesh.call(victim, 1, b"")
                assert answer == b"%d.%d" % (victim, incarnation)
                await shards[victim].mesh.call(other, 1, b"")
        for shard in shards.values():
            shard.die()
        close(kept)

    run(main(), new_loop)


def test_a_shard_that_dies_at_birth_leaves_nothing_that_confuses_the_next() -> None:
    async def main() -> None:
        kept = kept_pairs(2)
        stayed = Shard(0, 1, kept[0])
        for incarnation in range(1, 6):
            Shard(1, incarnation, kept[1]).die()
            for _ in range(incarnation % 3):
                await asyncio.sleep(0)
        last = Shard(1, 6, kept[1])
        await last.links.wait_until_connected(5)
        await stayed.links.wait_until_connected(5)
        assert await stayed.mesh.call(1, 1, b"") == b"1.6"
        stayed.die()
        last.die()
        close(kept)

    run(main())
