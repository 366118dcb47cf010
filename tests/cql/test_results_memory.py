"""How much is held of results that take several turns."""

from __future__ import annotations

import asyncio

import pytest

from cql.errors import InvalidRequest, Overloaded
from cql.results_memory import Gathered, Results


def test_pages_wait_for_room_in_their_order() -> None:
    async def test() -> list[int]:
        results, order = Results(100), []

        async def make(number: int, size: int) -> None:
            gathered = Gathered(results)
            if (waits := gathered.enter(size)) is not None:
                await waits
            assert results.used <= 100
            order.append(number)
            await asyncio.sleep(0)
            gathered.release()

        sizes = [60, 60, 10, 40, 100, 1]
        await asyncio.gather(*(make(number, size) for number, size in enumerate(sizes)))
        assert results.used == 0
        return order

    assert asyncio.run(test()) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("was_told", [False, True])
def test_who_is_cancelled_while_it_waits_takes_no_room(was_told: bool) -> None:
    async def test() -> None:
        results = Results(100)
        first, second, third = (Gathered(results) for _ in range(3))
        assert first.enter(100) is None
        waits = [second.enter(100), third.enter(100)]
        tasks = [asyncio.ensure_future(each) for each in waits if each is not None]
        await asyncio.sleep(0)
        if was_told:
            first.release()
        tasks[0].cancel()
        await asyncio.sleep(0)
        first.release()
        await tasks[1]
        assert results.used == 100
        third.release()
        assert results.used == 0

    asyncio.run(test())


def test_a_page_larger_than_all_room_goes_alone() -> None:
    async def test() -> None:
        results = Results(10)
        first, second = Gathered(results), Gathered(results)
        assert first.enter(50) is None
        waits = second.enter(1)
        assert waits is not None
        task = asyncio.ensure_future(waits)
        await asyncio.sleep(0)
        assert not task.done()
        first.release()
        await task

    asyncio.run(test())


def test_what_is_more_than_a_page_is_charged_and_refused_where_there_is_no_room() -> None:
    results = Results(100)
    first, second = Gathered(results), Gathered(results)
    assert first.enter(40) is None
    first.grow(30)
    assert results.used == 40
    first.grow(70)
    assert results.used == 70
    with pytest.raises(Overloaded):
        second.grow(40)
    with pytest.raises(InvalidRequest):
        second.grow(101)
    first.release()
    assert results.used == 0
