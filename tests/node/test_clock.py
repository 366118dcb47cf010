"""Write timestamps increase, and shards never share one."""

from __future__ import annotations

from node.clock import Clock


def test_timestamps_strictly_increase() -> None:
    clock = Clock(0, 1)
    made = [clock.next_timestamp_us() for _ in range(1000)]
    assert made == sorted(set(made))


def test_two_shards_never_make_the_same_timestamp() -> None:
    clocks = [Clock(shard, 3) for shard in range(3)]
    made = [clock.next_timestamp_us() for _ in range(300) for clock in clocks]
    assert len(set(made)) == len(made)


def test_timestamps_go_on_after_what_an_earlier_life_used() -> None:
    clock = Clock(1, 2)
    clock.keep_after(1 << 60)
    assert clock.next_timestamp_us() > 1 << 60
