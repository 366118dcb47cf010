"""Write timestamps increase over all shards of a node, whatever the wall clock does."""

from __future__ import annotations

import os
import struct

from node.clock import Clock
from node.high_mark import HighMark

YEAR_US = 365 * 86_400 * 1_000_000


def test_timestamps_strictly_increase() -> None:
    clock = Clock()
    made = [clock.next_timestamp_us() for _ in range(1000)]
    assert made == sorted(set(made))


def test_timestamps_follow_the_wall_clock() -> None:
    wall_us = [YEAR_US]
    clock = Clock(time_ns=lambda: wall_us[0] * 1000)
    assert clock.moment().timestamp_us == YEAR_US
    wall_us[0] += 500
    assert clock.moment().timestamp_us == YEAR_US + 500


def test_shards_agree_on_the_order_of_timestamps_after_the_clock_was_set_back() -> None:
    """The second shard has never seen the time from which the clock was set back."""
    wall_us = [YEAR_US]
    mark = HighMark()
    first, second = (Clock(mark, time_ns=lambda: wall_us[0] * 1000) for _ in range(2))
    before = first.next_timestamp_us()
    wall_us[0] -= 3600 * 1_000_000
    shards = (second, first, second, second, first)
    made = [before, *(shard.next_timestamp_us() for shard in shards)]
    assert made == sorted(set(made))


def test_timestamps_go_on_after_what_an_earlier_life_used() -> None:
    mark = HighMark()
    Clock(mark).keep_after(1 << 60)
    assert Clock(mark).next_timestamp_us() > 1 << 60
    Clock(mark).keep_after(5)
    assert mark.value > 1 << 60


def test_processes_that_take_timestamps_at_once_never_get_the_same() -> None:
    mark, count, processes = HighMark(), 20_000, 3
    ends = []
    for _ in range(processes):
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            made = [mark.next(0) for _ in range(count)]
            is_rising = made == sorted(set(made))
            os.write(write_end, struct.pack("qq?", made[0], made[-1], is_rising))
            os._exit(0)
        os.close(write_end)
        ends.append((pid, read_end))
    for pid, read_end in ends:
        assert os.waitpid(pid, 0)[1] == 0
        _, _, is_rising = struct.unpack("qq?", os.read(read_end, 100))
        os.close(read_end)
        assert is_rising
    # Each compare-and-swap has made one step: a lost one would be missing here.
    assert mark.value == processes * count
