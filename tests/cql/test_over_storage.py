"""The same statements over the real coordinator and engine: the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

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
