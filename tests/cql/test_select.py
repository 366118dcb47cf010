"""Whole SELECT statements over a fake coordinator."""

from __future__ import annotations

import pytest

from cql.errors import InvalidRequest, ProtocolError
from tests.cql.fakes import Harness, rows_of

PAGE_SIZES = (1, 2, 3, 5, 7, 100)
QUERIES = (
    "SELECT * FROM t",
    "SELECT a, c, d FROM t WHERE a = 2",
    "SELECT c, s FROM t WHERE a IN (3, 1, 2)",
    "SELECT c FROM t WHERE a IN (1, 2, 3) AND c > 1",
    "SELECT DISTINCT a, s FROM t",
    "SELECT a, c FROM t PER PARTITION LIMIT 2",
    "SELECT a, c FROM t PER PARTITION LIMIT 3 LIMIT 8",
    "SELECT a, c FROM t LIMIT 9",
    "SELECT c FROM t WHERE a = 3 ORDER BY c DESC",
    "SELECT a, c FROM t WHERE d = 1 ALLOW FILTERING",
    "SELECT a, c FROM t WHERE d = 1 PER PARTITION LIMIT 1 ALLOW FILTERING",
    "SELECT a, c FROM t WHERE d = 1 LIMIT 4 ALLOW FILTERING",
    "SELECT JSON a, c FROM t",
    "SELECT a, c, writetime(d) FROM t LIMIT 11",
    "SELECT a, count(*) FROM t GROUP BY a",
    "SELECT a, c, count(*) FROM t WHERE d = 1 GROUP BY a, c LIMIT 5 ALLOW FILTERING",
    "SELECT a, c, count(*) FROM t GROUP BY a, c PER PARTITION LIMIT 2",
    "SELECT count(*) FROM t",
)


PAGE_BYTES = 1, 20, 70, 200


def int_of(value: int) -> bytes:
    return value.to_bytes(4, "big", signed=True)


def fill(made: Harness) -> Harness:
    """A few partitions of different width, one with nothing but a static row."""
    made.run(
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    made.run("USE k")
    made.run("CREATE TABLE t (a int, c int, d int, s text static, PRIMARY KEY (a, c))")
    for a in range(5):
        for c in range(a + 1):
            made.run(f"INSERT INTO t (a, c, d) VALUES ({a}, {c}, {c % 2})")
    made.run("INSERT INTO t (a, s) VALUES (4, 'four')")
    made.run("INSERT INTO t (a, s) VALUES (9, 'static only')")
    return made


@pytest.fixture(scope="module")
def harness() -> Harness:
    return fill(Harness())


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("query", QUERIES)
def test_pages_of_any_size_make_up_the_whole_answer(
    harness: Harness, query: str, waits: bool
) -> None:
    harness.coordinator.waits = waits
    whole = rows_of(harness.run(query))
    assert whole
    for page_size in PAGE_SIZES:
        assert harness.rows(query, page_size=page_size) == whole, page_size
    harness.coordinator.waits = False


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("query", QUERIES)
def test_pages_that_end_at_their_bytes_make_up_the_whole_answer(
    harness: Harness, query: str, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.coordinator.waits = waits
    whole = rows_of(harness.run(query))
    for page_bytes in PAGE_BYTES:
        monkeypatch.setattr(harness.results, "page_bytes_max", page_bytes)
        for page_size in (3, 5_000):
            assert harness.rows(query, page_size=page_size) == whole, (page_bytes, page_size)
    harness.coordinator.waits = False


@pytest.mark.parametrize(
    ("rest", "count"),
    [
        ("", 30),
        (" WHERE k = ?", 30),
        (" WHERE v > 0x00 ALLOW FILTERING", 30),
        (" PER PARTITION LIMIT 17", 17),
        (" LIMIT 17", 17),
    ],
)
@pytest.mark.parametrize("what", ["*", "k, v", "JSON *"])
def test_a_page_ends_at_its_bytes_also_when_keys_are_long(
    monkeypatch: pytest.MonkeyPatch, what: str, rest: str, count: int
) -> None:
    made = Harness()
    made.run(
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    made.run("CREATE TABLE k.t (k blob, c int, s blob static, v blob, PRIMARY KEY (k, c))")
    key, static = b"k" * 1_000, b"s" * 500
    for c in range(30):
        made.run("INSERT INTO k.t (k, c, s, v) VALUES (?, ?, ?, ?)", key, int_of(c), static, b"v")
    values = (key,) if "?" in rest else ()
    query = f"SELECT {what} FROM k.t{rest}"
    whole = rows_of(made.run(query, *values))
    longest = max(sum(4 + len(value or b"") for value in row) for row in whole)
    monkeypatch.setattr(made.results, "page_bytes_max", 5_000)
    found, state, pages = [], None, 0
    while True:
        page = made.run(query, *values, page_size=5_000, paging_state=state)
        assert len(page.data) <= 5_000 + longest
        found += rows_of(page)
        state = page.paging_state
        pages += 1
        if state is None:
            break
    assert found == whole and len(whole) == count
    assert pages >= count // 5


def test_a_page_holds_no_more_rows_than_asked_for(harness: Harness) -> None:
    result = harness.run("SELECT * FROM t", page_size=4)
    assert result.row_count == 4
    assert result.paging_state is not None


def test_a_state_of_another_query_is_refused(harness: Harness) -> None:
    state = harness.run("SELECT * FROM t", page_size=4).paging_state
    with pytest.raises(ProtocolError, match="Invalid value for the paging state"):
        harness.run("SELECT a FROM t", page_size=4, paging_state=state)


def test_keys_of_an_in_come_in_the_order_of_their_values(harness: Harness) -> None:
    rows = harness.rows("SELECT a, c FROM t WHERE a IN (2, 1, 2) PER PARTITION LIMIT 1")
    assert rows == [[int_of(1), int_of(0)], [int_of(2), int_of(0)]]


def test_an_in_marker_takes_a_list(harness: Harness) -> None:
    prepared = harness.prepare("SELECT a FROM t WHERE a IN ? AND c = ?")
    assert [spec.name for spec in prepared.bind] == ["in(a)", "c"]
    assert prepared.pk_indices == ()
    both = b"\x00\x00\x00\x02" + b"".join(b"\x00\x00\x00\x04" + int_of(i) for i in (1, 2))
    assert rows_of(harness.execute(prepared, both, int_of(1))) == [[int_of(1)], [int_of(2)]]


def test_markers_have_the_names_that_drivers_know(harness: Harness) -> None:
    select = harness.prepare("SELECT a FROM t WHERE a = ? PER PARTITION LIMIT ? LIMIT ?")
    assert [s.name for s in select.bind] == ["a", "[per_partition_limit]", "[limit]"]
    update = harness.prepare(
        "UPDATE t USING TIMESTAMP ? AND TTL ? SET d = :d WHERE a = :a AND c = :a"
    )
    assert [s.name for s in update.bind] == ["[timestamp]", "[ttl]", "d", "a", "a"]
    assert update.pk_indices == (3,)


def test_an_unset_limit_is_no_limit(harness: Harness) -> None:
    from cql.protocol.requests import UNSET

    prepared = harness.prepare("SELECT a FROM t LIMIT ?")
    everything = rows_of(harness.run("SELECT a FROM t"))
    assert rows_of(harness.execute(prepared, UNSET)) == everything
    assert len(rows_of(harness.execute(prepared, int_of(3)))) == 3


def test_order_by_over_several_partitions_cannot_be_paged(harness: Harness) -> None:
    query = "SELECT a, c FROM t WHERE a IN (1, 2) ORDER BY c DESC"
    assert [row[1] for row in rows_of(harness.run(query))] == [int_of(i) for i in (2, 1, 1, 0, 0)]
    with pytest.raises(InvalidRequest, match="Cannot page queries with both ORDER BY and a IN"):
        harness.run(query, page_size=2)


def test_a_token_range_is_read_in_token_order(harness: Harness) -> None:
    whole = harness.rows("SELECT DISTINCT a FROM t")
    prepared = harness.prepare("SELECT DISTINCT a FROM t WHERE token(a) > ? AND token(a) <= ?")
    assert [s.name for s in prepared.bind] == ["partition key token"] * 2
    middle = (0).to_bytes(8, "big")
    low = rows_of(harness.execute(prepared, (-(1 << 63)).to_bytes(8, "big", signed=True), middle))
    high = rows_of(harness.execute(prepared, middle, ((1 << 63) - 1).to_bytes(8, "big")))
    assert low + high == whole
    assert low and high


def test_a_key_that_is_null_or_unset_is_refused(harness: Harness) -> None:
    from cql.protocol.requests import UNSET

    prepared = harness.prepare("SELECT a FROM t WHERE a = ?")
    with pytest.raises(InvalidRequest, match="Invalid null value in condition for column a"):
        harness.execute(prepared, None)
    with pytest.raises(InvalidRequest, match="Invalid unset value for column a"):
        harness.execute(prepared, UNSET)


def test_values_by_name_fill_every_marker_of_that_name(harness: Harness) -> None:
    query = "SELECT c FROM t WHERE a = :x AND c = :x"
    result = harness.run(query, int_of(3), names=["x"])
    assert rows_of(result) == [[int_of(3)]]


def test_a_schema_change_forgets_prepared_statements(harness: Harness) -> None:
    from cql.errors import Unprepared

    harness.run("CREATE TABLE other (a int PRIMARY KEY)")
    prepared = harness.prepare("SELECT * FROM other")
    kept = harness.prepare("SELECT a FROM t WHERE a = 1 LIMIT 1")
    harness.run("ALTER TABLE other ADD b int")
    with pytest.raises(Unprepared):
        harness.execute(prepared)
    assert harness.execute(kept).row_count == 1
