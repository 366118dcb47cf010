"""Tests of storage/read_room: how many reads run at once, who waits, who is refused."""

from __future__ import annotations

import asyncio

import pytest

from storage.errors import Overloaded
from storage.read_room import PAGE_BYTES, ROW_BYTES, ReadRoom, bytes_of
from storage.slice import Slice


def test_reads_wait_for_room_in_the_order_in_which_they_came() -> None:
    async def run() -> None:
        room = ReadRoom(100, 10)
        order: list[str] = []

        async def read(name: str, size: int) -> None:
            await room.enter(size)
            order.append(name)

        assert room.try_enter(80)
        large = asyncio.ensure_future(read("large", 90))
        small = asyncio.ensure_future(read("small", 10))
        await asyncio.sleep(0)
        assert (order, room.waiting, room.try_enter(1)) == ([], 2, False)
        room.leave(80)
        await asyncio.gather(large, small)
        assert order == ["large", "small"]
        room.check()
        room.leave(90)
        room.leave(10)
        assert (room.used, room.running) == (0, 0)

    asyncio.run(run())


def test_one_read_runs_however_large_it_is() -> None:
    room = ReadRoom(100, 10)
    assert room.try_enter(500)
    room.check()
    assert not room.try_enter(1)


def test_too_many_waiting_reads_are_refused_and_those_who_give_up_leave_no_trace() -> None:
    async def run() -> None:
        room = ReadRoom(100, 1)
        assert room.try_enter(100)
        waiting = asyncio.ensure_future(room.enter(50))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await room.enter(50)
        waiting.cancel()
        await asyncio.wait([waiting])
        room.leave(100)
        room.check()
        assert (room.used, room.waiting) == (0, 0)
        # Its turn came, and it gave up before it heard of that.
        assert room.try_enter(100)
        late = asyncio.ensure_future(room.enter(50))
        await asyncio.sleep(0)
        room.leave(100)
        late.cancel()
        await asyncio.wait([late])
        assert (room.used, room.running) == (0, 0)

    asyncio.run(run())


class _Turn:
    """Who waits for room without a coroutine."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self.told = name, told
        self.is_gone = False

    def done(self) -> bool:
        return self.is_gone

    def set_result(self, _: None, /) -> None:
        self.told.append(self.name)


def test_who_waits_without_a_coroutine_is_told_of_its_turn_unless_it_gave_up() -> None:
    room, told = ReadRoom(100, 3), list[str]()
    first, gone, last = (_Turn(name, told) for name in ("first", "gone", "last"))
    assert room.begin(100, _Turn("nobody waits", told))
    assert not any(room.begin(60, turn) for turn in (first, gone, last))
    with pytest.raises(Overloaded):
        room.begin(1, _Turn("too many", told))
    assert room.refusals == 1
    gone.is_gone = True
    room.leave(100)
    assert (told, room.used, room.waiting) == (["first"], 60, 1)
    room.check()
    room.leave(60)
    assert (told, room.used, room.running, room.waiting) == (["first", "last"], 60, 1, 0)
    room.leave(60)
    room.check()


def test_reads_that_end_in_the_call_that_lets_them_begin_are_told_once_each() -> None:
    class Brief(_Turn):
        def set_result(self, _: None, /) -> None:
            super().set_result(None)
            room.leave(100)

    room, told = ReadRoom(100, 20_000), list[str]()
    assert room.begin(100, _Turn("long", told))
    for number in range(20_000):
        assert not room.begin(100, Brief(str(number), told))
    room.leave(100)
    assert told == list(map(str, range(20_000)))
    assert (room.used, room.running, room.waiting) == (0, 0, 0)


def test_one_row_is_charged_less_than_a_page() -> None:
    wanted = Slice(b"t" * 16, key=b"k" * 9)
    assert bytes_of(wanted, True) == ROW_BYTES < bytes_of(wanted, False)
    assert bytes_of(wanted.changed(byte_limit=1 << 40), False) < 2 * PAGE_BYTES
