"""The same statements over the real coordinator and engine: the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cql import reading
from storage.engine import Engine
from storage.slice import Pack, Page, PartitionRows, Slice
from tests.cql.fakes import Harness, rows_of
from tests.cql.stored import StoredHarness
from tests.cql.test_select import PAGE_BYTES, PAGE_SIZES, QUERIES, fill
from tests.cql.test_transcript import DIFFERENT, TRANSCRIPT, expected, outcome

STORES = ("memory", "SSTables", "three shards")


@pytest.fixture(scope="module", params=STORES)
def stored(request: pytest.FixtureRequest) -> Iterator[StoredHarness]:
    yield from _open(request.param)


def _open(store: str) -> Iterator[StoredHarness]:
    harness = StoredHarness(3 if store == "three shards" else 1, flushes=store == "SSTables")
    yield harness
    harness.close()


def test_cassandras_transcript_is_repeated(stored: StoredHarness) -> None:
    different: list[Any] = []
    for number, entry in enumerate(TRANSCRIPT):
        found = outcome(stored, entry["cql"])
        if number not in DIFFERENT and found != expected(entry):
            different.append((number, entry["cql"], found, expected(entry)))
    assert different == []


@pytest.fixture(scope="module")
def simple() -> Harness:
    return fill(Harness())


@pytest.fixture(scope="module", params=STORES)
def filled(request: pytest.FixtureRequest) -> Iterator[StoredHarness]:
    """Of its own, so that its writes have the times of those of the simple store."""
    for harness in _open(request.param):
        fill(harness)
        yield harness


@pytest.mark.parametrize("query", QUERIES)
def test_pages_are_those_of_the_simple_store(
    filled: StoredHarness, simple: Harness, query: str
) -> None:
    whole = rows_of(simple.run(query))
    assert rows_of(filled.run(query)) == whole
    for page_size in PAGE_SIZES:
        assert filled.rows(query, page_size=page_size) == whole, page_size


@pytest.mark.parametrize("query", QUERIES)
def test_pages_that_end_at_their_bytes_are_those_of_the_simple_store(
    filled: StoredHarness, simple: Harness, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rows_of(simple.run(query))
    for page_bytes in PAGE_BYTES:
        monkeypatch.setattr(filled.results, "page_bytes_max", page_bytes)
        assert filled.rows(query, page_size=5_000) == whole, page_bytes


PACKED_QUERIES = (
    "SELECT * FROM p",
    "SELECT c, a FROM p",
    "SELECT l, d, b FROM p",
    "SELECT JSON * FROM p",
    "SELECT a, b, c FROM p PER PARTITION LIMIT 2",
    "SELECT a, b, c FROM p PER PARTITION LIMIT 1 LIMIT 7",
    "SELECT * FROM p LIMIT 9",
    "SELECT a, c, m FROM p WHERE d = 1 ALLOW FILTERING",
    "SELECT a, c FROM p WHERE d = 1 LIMIT 4 ALLOW FILTERING",
    "SELECT a, b, count(*), max(c) FROM p GROUP BY a, b",
    "SELECT count(*), sum(d) FROM p",
    "SELECT * FROM p WHERE token(a, b) > 0",
    "SELECT DISTINCT a, b FROM p",
)


def fill_plain(made: Harness) -> Harness:
    """Partitions of one to three rows, of all kinds of columns and without static ones."""
    made.run("USE k")
    made.run(
        "CREATE TABLE p (a int, b text, c decimal, d int, l list<int>, m map<text, int>, "
        "PRIMARY KEY ((a, b), c))"
    )
    for a in range(12):
        for c in range(1 + a % 3):
            made.run(
                f"INSERT INTO p (a, b, c, d, l) VALUES ({a}, 'x{a * 7}', {c}.50, {c % 2}, [{a}, 1])"
            )
        if a % 2:
            made.run(
                f"UPDATE p SET m = {{'k': {a}}}, d = null WHERE a = {a} AND b = 'x{a * 7}' "
                "AND c = 0.5"
            )
    return made


@pytest.fixture(scope="module")
def packed(filled: StoredHarness) -> StoredHarness:
    """The same in one file of each shard, so that most partitions need no merge."""
    fill_plain(filled)
    table_id = filled.holder.current.get_table("k", "p").id.bytes
    parts: list[PartitionRows | Pack] = []
    for engine in filled.engines:
        if filled.flushes:
            filled.loop.run_until_complete(engine.compact(table_id))
        parts += filled.loop.run_until_complete(_page(engine, Slice(table_id))).parts
    assert any(isinstance(part, Pack) for part in parts)
    return filled


async def _page(engine: Engine, wanted: Slice) -> Page:
    answer = engine.read(wanted, 0)
    return answer if isinstance(answer, Page) else await answer


@pytest.fixture(scope="module")
def simple_plain(simple: Harness) -> Harness:
    return fill_plain(simple)


@pytest.mark.parametrize("query", PACKED_QUERIES)
def test_pages_of_packed_rows_are_those_of_the_simple_store(
    packed: StoredHarness, simple_plain: Harness, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rows_of(simple_plain.run(query))
    assert whole
    assert rows_of(packed.run(query)) == whole
    for page_size in PAGE_SIZES:
        assert packed.rows(query, page_size=page_size) == whole, page_size
    for page_bytes in PAGE_BYTES:
        monkeypatch.setattr(packed.results, "page_bytes_max", page_bytes)
        for page_size in (3, 5_000):
            assert packed.rows(query, page_size=page_size) == whole, (page_bytes, page_size)


@pytest.mark.parametrize("turn", [1, 2, 5])
def test_packed_rows_are_all_given_whatever_fits_a_turn(
    packed: StoredHarness, simple_plain: Harness, turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PLAIN_TURN_ROWS", turn)
    monkeypatch.setattr(reading, "TURN_ROWS", turn)
    for query in PACKED_QUERIES:
        whole = rows_of(simple_plain.run(query))
        assert rows_of(packed.run(query)) == whole, query
        assert packed.rows(query, page_size=4) == whole, query
