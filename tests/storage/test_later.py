"""Answers that come later, and the calls made with them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from storage.later import Later, soon


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        unhandled: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: unhandled.append(told))
        await test()
        await asyncio.sleep(0)
        assert not unhandled

    asyncio.run(main())


def test_steps_are_made_in_their_order_when_the_result_comes() -> None:
    later: Later[int] = Later()
    seen: list[str] = []
    later.then(lambda result: result + 1).then(str).then(seen.append)
    assert not later.done() and not seen
    later.set_result(1)
    assert later.done() and seen == ["2"]


def test_a_step_that_is_added_afterwards_is_made_at_once() -> None:
    later: Later[int] = Later()
    seen: list[str] = []
    later.set_result(1)
    later.then(str).then(seen.append)
    assert seen == ["1"]


def test_an_error_passes_the_steps_for_results_until_one_takes_it() -> None:
    later: Later[int] = Later()
    seen: list[object] = []
    later.then(seen.append).then(None, lambda error: f"{error}!").then(seen.append)
    later.set_exception(ValueError("no"))
    assert seen == ["no!"]


def test_a_step_that_fails_gives_its_error_to_the_next() -> None:
    later: Later[int] = Later()
    seen: list[type] = []
    later.then(lambda result: result // 0, lambda _: 0).then(None, lambda e: seen.append(type(e)))
    later.set_result(1)
    assert seen == [ZeroDivisionError]


def test_what_is_decided_stays_so() -> None:
    later: Later[int] = Later()
    seen: list[object] = []
    later.then(seen.append, seen.append)
    later.set_result(1)
    later.set_result(2)
    later.set_exception(ValueError())
    assert seen == [1]


def test_a_step_may_give_something_to_wait_for() -> None:
    async def test() -> None:
        inner: Later[int] = Later()
        outer: Later[int] = Later()

        async def doubled(value: int) -> int:
            await asyncio.sleep(0)
            return value * 2

        outer.then(lambda _: inner).then(doubled).then(str)
        outer.set_result(0)
        waiting = asyncio.ensure_future(outer)
        await asyncio.sleep(0)
        assert not waiting.done()
        inner.set_result(21)
        assert await waiting == "42"

    run(test)


def test_an_error_of_what_a_step_waits_for_reaches_the_next() -> None:
    async def test() -> None:
        async def failing(_: int) -> int:
            raise ValueError("inside")

        later: Later[int] = Later()
        later.then(failing).then(None, str)
        later.set_result(0)
        assert await later == "inside"

    run(test)


@pytest.mark.parametrize("is_decided", [False, True])
def test_a_coroutine_may_await_it(is_decided: bool) -> None:
    async def test() -> None:
        good: Later[int] = Later()
        bad: Later[int] = Later()
        if not is_decided:
            asyncio.get_running_loop().call_soon(good.set_result, 1)
            asyncio.get_running_loop().call_soon(bad.set_exception, ValueError())
        else:
            good.set_result(1)
            bad.set_exception(ValueError())
        assert await good == 1
        with pytest.raises(ValueError):
            await bad

    run(test)


def test_who_is_cancelled_gives_the_answer_up() -> None:
    async def test() -> None:
        later: Later[int] = Later()
        seen: list[object] = []
        later.then(seen.append, seen.append)
        waiting = asyncio.ensure_future(later)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert later.done()
        assert [type(each) for each in seen] == [asyncio.CancelledError]

    run(test)


def test_a_task_decides_unless_something_else_was_faster() -> None:
    async def test() -> None:
        ended: list[str] = []

        async def work() -> int:
            try:
                await asyncio.sleep(0 if not ended else 3600)
                return 1
            finally:
                ended.append("work")

        assert await soon(work()) == 1
        late = soon(work())
        late.set_exception(TimeoutError())
        with pytest.raises(TimeoutError):
            await late
        while len(ended) < 2:
            await asyncio.sleep(0)

    run(test)


def test_an_error_that_nobody_took_is_told() -> None:
    async def main() -> list[str]:
        told: list[str] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: told.append(repr(context["exception"]))
        )
        later: Later[int] = Later()
        later.then(lambda result: result // 0)
        later.set_result(1)
        return told

    assert asyncio.run(main()) == ["ZeroDivisionError('integer division or modulo by zero')"]
