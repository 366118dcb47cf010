"""What a comparison with a real Cassandra found, one answer each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cql.errors import ConfigurationError, FunctionFailure, InvalidRequest, SyntaxException
from tests.cql.fakes import Harness, rows_of
from tests.cql.stored import StoredHarness
from tests.cql.test_select import fill, int_of


@pytest.fixture(scope="module")
def harness() -> Harness:
    return fill(Harness())


@pytest.fixture(scope="module")
def stored() -> Iterator[StoredHarness]:
    made = StoredHarness()
    fill(made)
    yield made
    made.close()


def test_filtering_takes_a_list_of_values(harness: Harness) -> None:
    found = rows_of(harness.run("SELECT c FROM t WHERE a = 2 AND d IN (7, 1) ALLOW FILTERING"))
    assert found == [[int_of(1)]]
    with pytest.raises(InvalidRequest, match="it might involve data filtering"):
        harness.run("SELECT c FROM t WHERE d IN (7, 1)")


def test_a_tuple_of_two_and_a_tuple_of_one_bound_a_slice(harness: Harness) -> None:
    harness.run("CREATE TABLE tuples (a int, b int, c int, PRIMARY KEY (a, b, c))")
    for b in range(4):
        harness.run(f"INSERT INTO tuples (a, b, c) VALUES (1, {b}, 0)")
    text = "SELECT b FROM tuples WHERE a = 1 AND (b, c) > (0, 0) AND (b) <= (2)"
    assert rows_of(harness.run(text)) == [[int_of(1)], [int_of(2)]]


def test_no_page_is_empty_because_of_a_static_row(stored: StoredHarness) -> None:
    state = None
    pages = []
    while not pages or state is not None:
        result = stored.run("SELECT * FROM t", page_size=1, paging_state=state)
        state = result.paging_state
        pages.append(len(rows_of(result)))
    assert pages[:-1] == [1] * (len(pages) - 1)
    assert sum(pages) == len(rows_of(stored.run("SELECT * FROM t")))


@pytest.mark.parametrize("literal", ["0xc", "0xabc"])
def test_half_a_byte_is_no_blob(harness: Harness, literal: str) -> None:
    harness.run("CREATE TABLE IF NOT EXISTS blobs (k int PRIMARY KEY, b blob)")
    with pytest.raises(InvalidRequest, match=r"cannot parse '.*' as hex bytes"):
        harness.run(f"INSERT INTO blobs (k, b) VALUES (1, {literal})")


def test_a_failed_division_names_the_function(harness: Harness) -> None:
    with pytest.raises(FunctionFailure) as caught:
        harness.run("INSERT INTO t (a, c, d) VALUES (1, 1, 7 / 0)")
    assert caught.value.function == "_divide"


def test_an_unknown_column_is_named_as_it_is_written(harness: Harness) -> None:
    with pytest.raises(InvalidRequest, match=r'Undefined column name "A" in table k\.t'):
        harness.run('SELECT "A" FROM t')


def test_a_mixed_batch_is_refused_as_mixed(harness: Harness) -> None:
    harness.run("CREATE TABLE n (k int PRIMARY KEY, n counter)")
    with pytest.raises(InvalidRequest, match="Counter and non-counter mutations cannot exist"):
        harness.run(
            "BEGIN BATCH INSERT INTO t (a, c) VALUES (1, 1); "
            "UPDATE n SET n = n + 1 WHERE k = 1; APPLY BATCH"
        )


def test_a_property_is_read_before_the_table_is_looked_for(harness: Harness) -> None:
    with pytest.raises(Exception, match="Invalid integer value a for 'gc_grace_seconds'"):
        harness.run("CREATE TABLE t (k int PRIMARY KEY) WITH gc_grace_seconds = 'a'")


def test_a_class_that_nobody_knows_is_no_type(harness: Harness) -> None:
    with pytest.raises(SyntaxException, match=r"abstract-type class 'a\.NoType'"):
        harness.run("CREATE TABLE custom (k int PRIMARY KEY, v 'a.NoType')")


def test_an_address_has_no_scope(harness: Harness) -> None:
    harness.run("CREATE TABLE addresses (k int PRIMARY KEY, i inet)")
    with pytest.raises(InvalidRequest, match="Unable to make inet address from 'fe80::1%lo'"):
        harness.run("INSERT INTO addresses (k, i) VALUES (1, 'fe80::1%lo')")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("'bucket_low': 2", "bucket_high value (1.5) is less than or equal to the bucket_low"),
        ("'tombstone_threshold': -1", "tombstone_threshold must be greater than 0, but was -1.0"),
        ("'min_sstable_size': 'x1'", "x1 is not a parsable int (base10) for min_sstable_size"),
    ],
)
def test_a_wrong_compaction_option_is_refused(harness: Harness, option: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        harness.run(
            "CREATE TABLE compacted (k int PRIMARY KEY) WITH compaction = "
            f"{{'class': 'SizeTieredCompactionStrategy', {option}}}"
        )
    assert caught.value.message.startswith(message)
