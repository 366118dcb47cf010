"""Texts of what SSTables hold; whole files are dumped in tests/driver/test_sstable_tool.py."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cql.sstable_json import SSTableJson, instant_text
from storage.row import RowBuilder, purge

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_is_shown_as_the_calendar_has_it(when: datetime) -> None:
    text = instant_text((when - EPOCH) // timedelta(microseconds=1))
    assert datetime.fromisoformat(text) == when


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500, "1970-01-01T00:00:00.001500Z"),
        (5_000, "1970-01-01T00:00:00.005Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_709_164_800_000_000, "2024-02-29T00:00:00Z"),
        (253_402_300_800_000_000, "+10000-01-01T00:00:00Z"),
        (-(2**63) + 1, "-290308-12-21T19:59:05.224193Z"),
    ],
)
def test_an_instant_has_no_three_or_six_digits(time_us: int, text: str) -> None:
    assert instant_text(time_us) == text


def test_without_a_schema_everything_is_hexadecimal() -> None:
    shape = SSTableJson(None, 0, raw_times=True)
    assert shape.partition(bytes(8) + b"key", 5, (7, 8)) == (
        '{"key": ["6b6579"], "position": 5, '
        '"deletion_info": {"marked_deleted": "7", "local_delete_time": "8"}}'
    )
    builder = RowBuilder()
    builder.begin(3, True)
    builder.cell(4, 3, b"v")
    assert shape.row(b"\x20c", builder.finish(), 9) == (
        '{"type": "row", "position": 9, "clustering": ["2063"], '
        '"liveness_info": {"tstamp": "3"}, "cells": [{"name": "column 4", "value": "76"}]}'
    )
    assert shape.bound(b"a", b"a", [(1, 2), (3, 4)]) == (
        '{"type": "range_tombstone_boundary", '
        '"start": {"type": "inclusive", "clustering": ["61"], '
        '"deletion_info": {"marked_deleted": "3", "local_delete_time": "4"}}, '
        '"end": {"type": "exclusive", "clustering": ["61"], '
        '"deletion_info": {"marked_deleted": "1", "local_delete_time": "2"}}}'
    )


def test_an_expired_cell_without_its_value_is_shown_as_deleted_when_it_was_written() -> None:
    builder = RowBuilder()
    builder.begin(3, False)
    builder.expiring_cell(4, 3, 60, 1060, b"v")
    row = purge(builder.finish(), 2000, 0, False)
    shown = SSTableJson(None, 2000, raw_times=True).row(b"\x20c", row, 9)
    cell = '{"name": "column 4", "deletion_info": {"local_delete_time": "1000"}, "tstamp": "3"}'
    assert f'"cells": [{cell}]' in shown
