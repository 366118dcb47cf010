"""One coarse timer per shard for all requests that wait for an answer.

A deadline is monotonic seconds on the clock of the loop. Waiters with deadlines in the same tick
share a bucket; while there is any bucket, one timer looks after each tick which are due. So a
wait costs two dictionary operations and no timer, it ends at most two ticks late, never early,
and a shard without waiters has no timer at all.

A timer that comes much too late says that the shard itself stood still: others had its core, or the
machine was halted. The answers may then lie in its sockets, so they are read before anybody fails.
"""

from asyncio import (
    AbstractEventLoop,
    CancelledError,
    Future,
    Task,
    TimerHandle,
    current_task,
)
from collections.abc import Awaitable
from functools import partial
from typing import Any, Final, NoReturn, Protocol, TypeVar

from cluster.errors import DeadlinePassed
from storage.later import Later

TICK_S: Final = 0.02
"""How late a deadline may be noticed, about; shorter than anybody's timeout by a factor of fifty.
"""

STOOD_STILL_S: Final = 0.1
"""A look that comes so late was kept from running; no turn of ours is so long."""

T = TypeVar("T")


class _Waiter(Protocol):
    """A future, or what stands for one."""

    def done(self) -> bool: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


_Bucket = dict[_Waiter, None]


class _Limited:
    """A task that waits for work which has a deadline: the work is cancelled when it passes."""

    __slots__ = ("is_late", "task")

    def __init__(self, task: "Task[Any]") -> None:
        self.task = task
        self.is_late = False

    def done(self) -> bool:
        return self.is_late

    def set_exception(self, exception: BaseException, /) -> None:
        self.is_late = True
        self.task.cancel()


class Deadlines:
    """The waiters of one shard."""

    __slots__ = ("_buckets", "_look_at", "_loop", "_timer")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, _Bucket] = {}
        self._look_at = 0.0
        self._timer: TimerHandle | None = None

    def now(self) -> float:
        """Give the time that deadlines are compared with."""
        return self._loop.time()

    async def wait(self, answer: "Future[T]", deadline: float) -> T:
        """Wait for a future of our own, which fails with `DeadlinePassed` if nothing else decides
        it in time.
        """
        if answer.done():
            return answer.result()
        tick = self._enter(answer, deadline)
        try:
            return await answer
        finally:
            self._leave(answer, tick)

    async def limit(self, work: Awaitable[T], deadline: float) -> T:
        """Wait for work of our own shard, which is cancelled with `DeadlinePassed` if it is not
        done in time. Costs no task: the work runs in its caller's.
        """
        task = current_task()
        assert task is not None, "who waits is a task"
        waiter = _Limited(task)
        tick = self._enter(waiter, deadline)
        try:
            return await work
        except CancelledError:
            if not waiter.is_late:
                raise
            task.uncancel()
            raise DeadlinePassed from None
        finally:
            self._leave(waiter, tick)

    def hold(self, answer: "Later[T]", deadline: float) -> "Later[T]":
        """See that an answer of our own shard fails with `DeadlinePassed` if nothing else decides
        it in time. Costs no coroutine.
        """
        tick = self._enter(answer, deadline)
        return answer.then(
            partial(self._pass_result, answer, tick), partial(self._pass_error, answer, tick)
        )

    def _pass_result(self, waiter: _Waiter, tick: int, result: T) -> T:
        self._leave(waiter, tick)
        return result

    def _pass_error(self, waiter: _Waiter, tick: int, error: BaseException) -> NoReturn:
        self._leave(waiter, tick)
        raise error

    def _enter(self, waiter: _Waiter, deadline: float) -> int:
        tick = int(deadline / TICK_S) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            self._arm()
        bucket[waiter] = None
        return tick

    def _leave(self, waiter: _Waiter, tick: int) -> None:
        bucket = self._buckets.get(tick)
        if bucket is not None:
            bucket.pop(waiter, None)
            if not bucket:
                del self._buckets[tick]

    def waiting(self) -> int:
        """Give how many wait."""
        return sum(len(bucket) for bucket in self._buckets.values())

    def stop(self) -> None:
        """Forget the timer; those who wait now wait for their answers only."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if self._timer is None:
            self._look_at = self._loop.time() + TICK_S
            self._timer = self._loop.call_later(TICK_S, self._look)

    def _look(self) -> None:
        if self._loop.time() - self._look_at < STOOD_STILL_S:
            self._expire()
        else:
            # Once only: a loop that is late with every turn must not wait for ever.
            self._timer = self._loop.call_later(TICK_S, self._expire)

    def _expire(self) -> None:
        self._timer = None
        current = self._loop.time() / TICK_S
        for tick in [tick for tick in self._buckets if tick <= current]:
            for answer in self._buckets.pop(tick):
                if not answer.done():
                    answer.set_exception(DeadlinePassed())
        if self._buckets:
            self._arm()

    def check(self) -> None:
        """Prove the invariants: no empty bucket is kept, and whoever waits has a timer."""
        assert all(self._buckets.values()), "a bucket is kept only for waiters"
        assert self._timer is not None or not self._buckets, "whoever waits has a timer"
