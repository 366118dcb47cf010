"""Increments become contexts, on the shard that owns the key and one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.consistency import Consistency
from cluster.counter import counting_id, part, parts, total
from cluster.errors import Unavailable, WriteFailure
from storage.mutation import Mutation, MutationBuilder
from storage.row import CellCursor, RowBuilder, merge_rows
from storage.slice import Page
from tests.sim.loop import SimulatedLoop, simulate
from tests.sim.node import HOST, TABLE, SimulatedNode, put, whole

INT64 = st.integers(-(2**63), 2**63 - 1)
ONE = Consistency.ONE


def increment(key: bytes, ts: int, *steps: int, clustering: bytes = b"") -> Mutation:
    """Add a step to each of the columns 1, 2, 3..."""
    row = RowBuilder()
    row.begin(ts, False)
    for column, step in enumerate(steps, 1):
        row.cell(column, ts, step.to_bytes(8, "big", signed=True))
    builder = MutationBuilder(TABLE, key)
    builder.row(clustering, row.finish())
    return builder.finish()


def counters_in(row: bytes) -> list[int]:
    cursor = CellCursor()
    cursor.reset(row)
    found = []
    while cursor.next():
        found.append(total(cursor.value()))
    return found


async def counters(node: SimulatedNode, key: bytes) -> list[int]:
    page = node.shards[0].read(whole(key), node.replication, ONE, 0, node.loop.time() + 2)
    page = await page if isinstance(page, Awaitable) else page
    assert isinstance(page, Page)
    return counters_in(page.partitions[0].rows[0]) if page.partitions else []


async def count(node: SimulatedNode, shard: int, increments: Mutation) -> None:
    counted = node.shards[shard].count(increments, node.replication, ONE, node.loop.time() + 2)
    if counted is not None:
        await counted


def test_a_count_on_our_own_shard_is_one_call() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        key = node.key_on(0)
        # `confirmed` wraps nothing when memory answers.
        for ts, step in enumerate((5, -7, 1), 1):
            assert node.shards[0].count(increment(key, ts, step), node.replication, ONE, 0) is None
        assert await counters(node, key) == [-1]

    simulate(main)


@pytest.mark.parametrize("read_delay_s", [0.0, 0.001])
@pytest.mark.parametrize("room_delay_s", [0.0, 0.001])
def test_concurrent_counts_of_all_shards_add_up(read_delay_s: float, room_delay_s: float) -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 3)
        key = node.key_on(1)
        for engine in node.engines:
            engine.read_delay_s = read_delay_s
            engine.room_delay_s = room_delay_s
        # All carry one timestamp: the clocks of the contexts keep them apart.
        await asyncio.gather(*(count(node, n % 3, increment(key, 7, n, -1)) for n in range(1, 101)))
        assert await counters(node, key) == [5050, -100]

    simulate(main)


def test_one_resolved_mutation_is_logged_for_each_count() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        key = node.key_on(1)
        await count(node, 0, increment(key, 7, 5, 6))
        await count(node, 0, increment(key, 9, 1))
        ((first,), (second,)) = node.engines[1].log
        identity = counting_id(HOST, 1)
        ((_, row),) = first.items()
        cursor = CellCursor()
        cursor.reset(row)
        assert cursor.next()
        assert parts(cursor.value()) == [(identity, 7, 5)]
        ((_, row),) = second.items()
        cursor.reset(row)
        assert cursor.next()
        assert parts(cursor.value()) == [(identity, 9, 6)]
        assert counters_in(row) == [6]

    simulate(main)


def test_counting_again_after_the_log_was_replayed_goes_on() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        key = node.key_on(1)
        await count(node, 0, increment(key, 7, 5))
        node.kill(1)
        with pytest.raises(Unavailable):
            await count(node, 0, increment(key, 8, 1))
        node.start(1)
        await count(node, 0, increment(key, 8, 1))
        assert await counters(node, key) == [6]

    simulate(main)


def test_a_counter_wraps_around_like_a_bigint() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 1)
        key = node.key_on(0)
        await count(node, 0, increment(key, 1, 2**63 - 1))
        await count(node, 0, increment(key, 2, 2))
        assert await counters(node, key) == [-(2**63) + 1]

    simulate(main)


def test_what_is_no_increment_is_refused_and_frees_the_key() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        for owner in (0, 1):
            key = node.key_on(owner)
            with pytest.raises(WriteFailure):
                await count(node, 0, put(key, b"", 1, b"nine bytes"))
            await count(node, 0, increment(key, 1, 3))
            assert await counters(node, key) == [3]

    simulate(main)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), max_size=12), st.randoms())
def test_contexts_merge_by_the_higher_clock_in_any_order(
    writes: list[tuple[str, int]], random: object
) -> None:
    def row(name: str, clock: int) -> bytes:
        builder = RowBuilder()
        builder.begin(clock + 1, False)
        builder.counter(1, clock + 1, part(name.encode() * 16, clock, clock * 10))
        return builder.finish()

    merged = b""
    for name, clock in writes:
        merged = merge_rows(merged, row(name, clock)) if merged else row(name, clock)
    latest = {name: max(c for n, c in writes if n == name) for name, _ in writes}
    if merged:
        cursor = CellCursor()
        cursor.reset(merged)
        assert cursor.next()
        assert parts(cursor.value()) == [
            (name.encode() * 16, latest[name], latest[name] * 10) for name in sorted(latest)
        ]


@given(st.lists(st.tuples(st.binary(min_size=16, max_size=16), INT64, INT64)))
def test_a_context_comes_apart_as_it_was_put_together(
    expected: list[tuple[bytes, int, int]],
) -> None:
    context = b"".join(part(*each) for each in expected)
    assert parts(context) == expected
    assert (total(context) - sum(value for _, _, value in expected)) % 2**64 == 0


def test_shards_and_hosts_count_under_different_ids() -> None:
    hosts = [UUID(int=n) for n in range(3)]
    ids = {counting_id(UUID(int=host.int << 64), shard) for host in hosts for shard in range(256)}
    assert len(ids) == 3 * 256
