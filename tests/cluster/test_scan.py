"""Key ranges merged from several shards, against one engine that holds everything."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cluster.consistency import Consistency
from cluster.errors import ReadFailure, Unavailable
from cluster.scan import EMPTY_PAGES_MAX, merged_page, size_of
from cluster.token import decorate
from storage.slice import Page, PartitionRows, Slice
from tests.model.engine import ModelEngine
from tests.sim.loop import SimulatedLoop, simulate
from tests.sim.node import TABLE, SimulatedNode, put, rows_of

EVERYTHING = (b"", b"")


async def read(node: SimulatedNode, wanted: Slice) -> Page:
    page = node.shards[0].read(wanted, node.replication, Consistency.ONE, 0, node.loop.time() + 10)
    return await page if isinstance(page, Awaitable) else page


def following(wanted: Slice, page: Page) -> Slice:
    """The slice of the next page, as a client's paging state makes it."""
    given_rows = 0
    if page.last_clustering:
        given_rows = wanted.resume_rows if wanted.resume_key == page.last_key else 0
        given_rows += sum(len(p.rows) for p in page.partitions if p.key == page.last_key)
    return wanted.changed(
        resume_key=page.last_key,
        resume_clustering=page.last_clustering,
        resume_rows=given_rows,
    )


@settings(max_examples=60, deadline=None)
@example(3, [1, 2], 0, 0, 40, False, 0, False)
@example(3, [1, 2], 0, 0, 40, False, 0, True)
@example(2, [3] * 14, 0, 0, 200, False, 0, True)
@given(
    shards=st.integers(1, 4),
    partitions=st.lists(st.integers(1, 9), max_size=14),
    row_limit=st.integers(0, 12),
    partition_limit=st.integers(0, 4),
    byte_limit=st.sampled_from([0, 40, 200, 100_000]),
    is_slow=st.booleans(),
    seed=st.integers(0, 1000),
    is_packed=st.booleans(),
)
def test_pages_of_all_shards_are_the_pages_of_one(
    shards: int,
    partitions: list[int],
    row_limit: int,
    partition_limit: int,
    byte_limit: int,
    is_slow: bool,
    seed: int,
    is_packed: bool,
) -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, shards)
        oracle = ModelEngine()
        for engine in node.engines:
            engine.packs = is_packed
        for number, rows in enumerate(partitions):
            key = decorate(b"key %d" % number)
            for row in range(rows):
                mutation = put(key, b"\x40%d" % row, 1, b"value")
                oracle.apply(mutation)
                node.engines[node.owner(key)].apply(mutation)
        if is_slow:
            for engine in node.engines:
                engine.read_delay_s = 0.003
        wanted = Slice(
            TABLE,
            key=EVERYTHING,
            row_limit=row_limit,
            partition_limit=partition_limit,
            byte_limit=byte_limit,
        )
        everything = oracle.read(wanted.changed(row_limit=0, byte_limit=0), 0)
        assert isinstance(everything, Page)
        expected = rows_of(everything)
        found: dict[tuple[bytes, bytes], bytes] = {}
        order: list[tuple[bytes, bytes]] = []
        for _ in range(300):
            page = await read(node, wanted)
            rows = rows_of(page)
            assert not row_limit or len(rows) <= row_limit
            if byte_limit and shards > 1:
                assert sum(map(size_of, page.partitions[:-1])) < byte_limit
            assert not found.keys() & rows.keys(), "no row is given twice"
            keys = [p.key for p in page.partitions]
            assert keys == sorted(set(keys)), "a page gives each partition once, in key order"
            found |= rows
            order += rows
            if not page.more:
                break
            wanted = following(wanted, page)
        assert found == expected
        assert order == sorted(order)

    simulate(main, seed)


def test_a_full_page_of_evenly_spread_rows_asks_each_shard_once() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 2)
        for number in range(3000):
            key = decorate(b"key %d" % number)
            node.engines[node.owner(key)].apply(put(key, b"", 1, b"v"))
        page = await read(node, Slice(TABLE, key=EVERYTHING, row_limit=1000))
        assert len(rows_of(page)) == 1000
        assert page.more

    simulate(main)


def test_a_range_of_dead_rows_ends_the_page_and_says_how_far_it_came() -> None:
    async def main(loop: SimulatedLoop) -> None:
        asked: list[bytes] = []

        def only_tombstones(wanted: Slice) -> Page:
            asked.append(wanted.resume_key)
            return Page([], True, b"dead %d" % len(asked), b"")

        def a_row(wanted: Slice) -> Page:
            rows = [PartitionRows(b"early", None, b"", [b""], [b"row"])]
            return Page([] if wanted.resume_key >= b"early" else rows)

        page = await merged_page(
            Slice(TABLE, key=EVERYTHING, row_limit=5), [only_tombstones, a_row]
        )
        assert len(asked) == EMPTY_PAGES_MAX
        assert page.partitions == []
        assert (page.more, page.last_key) == (True, b"dead %d" % len(asked))

    simulate(main)


def test_a_dead_shard_makes_a_range_unavailable_and_a_dying_one_fails_it() -> None:
    async def main(loop: SimulatedLoop) -> None:
        node = SimulatedNode(loop, 3)
        wanted = Slice(TABLE, key=EVERYTHING, row_limit=5)
        page = node.shards[0].read(wanted, node.replication, Consistency.ONE, 0, loop.time() + 1)
        loop.call_soon(node.kill, 2)
        with pytest.raises((ReadFailure, Unavailable)):
            assert isinstance(page, Awaitable)
            await page
        with pytest.raises(Unavailable):
            await read(node, wanted)

    simulate(main)
