"""Time UUIDs of one shard: unique, ordered as they were made, and before what came before."""

from __future__ import annotations

from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from cql.assemble import timeuuid_order
from cql.environment import Environment
from cql.moment import Moment

NOW = 1_700_000_000_000_000


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 30), st.booleans()), max_size=20))
def test_paths_are_ordered_as_they_were_made(steps: list[tuple[int, int, bool]]) -> None:
    environment = Environment(Random(1))
    expected: list[bytes] = []
    now = NOW
    for passed_us, count, prepends in steps:
        now += passed_us
        moment = Moment(0.0, now, now // 1_000_000)
        if prepends:
            expected = environment.list_paths_before(moment, count) + expected
        else:
            expected = expected + environment.list_paths(moment, count)
    assert sorted(expected, key=timeuuid_order) == expected
    assert len(set(expected)) == len(expected)


def test_a_time_uuid_tells_its_time() -> None:
    made = UUID(bytes=Environment(Random(1)).timeuuid(Moment(0.0, NOW, NOW // 1_000_000)))
    assert made.version == 1
    assert (made.time - 0x01B21DD213814000) // 10 == NOW


def test_random_uuids_are_of_version_4() -> None:
    environment = Environment(Random(1))
    made = {UUID(bytes=environment.uuid()) for _ in range(10)}
    assert len(made) == 10
    assert {uuid.version for uuid in made} == {4}
