"""An answer that comes later, and the plain calls that are made with it then.

A coroutine for each floor, and a task that drives them, cost more than most reads from the disk.
So who must wait gives a `Later`; each floor adds what it does with the result, as a plain call, and
hands the same object up. Whoever decides it makes all these calls, in the turn of the loop in which
the answer comes. A coroutine may await it all the same.
"""

from asyncio import CancelledError, ensure_future, get_running_loop


cdef extern from *:
    """
    /* What `hasattr(type(o), "__await__")` says, without the error that it makes and drops. */
    static int pythia_is_awaitable(PyObject *o) {
        PyAsyncMethods *methods = Py_TYPE(o)->tp_as_async;
        return methods != NULL && methods->am_await != NULL;
    }
    """
    bint pythia_is_awaitable(object o)


cdef class Later:
    """What a request waits for, handed up from floor to floor: one object, one consumer."""

    def __cinit__(self):
        self.steps = []

    cpdef Later then(self, on_result, on_error=None):
        """Add a step: what makes another result, or an error, of a result; of an error, if given.

        A step that gives an awaitable is followed by the next when that is done. Gives this object.
        """
        self.steps.append(on_result)
        self.steps.append(on_error)
        if self.is_decided and not self.is_running:
            self.run()
        return self

    def follow(self, work not None) -> None:
        """Let a task decide, unless something else does before: then the task is cancelled."""
        assert self.task is None, "one task decides"
        self.task = ensure_future(work)
        self.task.add_done_callback(self._followed)

    def _followed(self, task) -> None:
        self.task = None
        if task.cancelled():
            self.set_exception(CancelledError())
            return
        error = task.exception()
        if error is None:
            self.set_result(task.result())
        else:
            self.set_exception(error)

    def done(self) -> bool:
        """Whether the outcome is decided; what steps make of it may still wait."""
        return self.is_decided

    def set_result(self, result, /) -> None:
        """The answer, unless it is decided already."""
        self.decide(result, None)

    def set_exception(self, BaseException exception not None, /) -> None:
        """There will be no answer, unless it is decided already."""
        self.decide(None, exception)

    def __await__(self):
        """The outcome of all steps so far. Who is cancelled gives the answer up."""
        future = get_running_loop().create_future()
        outcome = _Outcome(future)
        self.then(outcome.succeed, outcome.fail)
        try:
            return (yield from future)
        except CancelledError:
            self.set_exception(CancelledError())
            raise

    cdef int decide(self, object result, object error) except -1:
        """Begin with the steps, unless they have begun."""
        if self.is_decided:
            return 0
        self.is_decided = True
        self.result = result
        self.error = error
        if self.task is not None:
            # Not before it has begun: what it was given it lets go of in its end.
            get_running_loop().call_soon(self.task.cancel)
        return self.run()

    cdef int run(self) except -1:
        """Make the steps that are left; stops at one which has to wait."""
        self.is_running = True
        while self.at < len(self.steps):
            step = self.steps[self.at if self.error is None else self.at + 1]
            self.at += 2
            if step is None:
                continue
            try:
                if self.error is None:
                    self.result = step(self.result)
                else:
                    error, self.error = self.error, None
                    self.result = step(error)
            except BaseException as error:  # noqa: BLE001 - the next step hears of it
                self.result, self.error = None, error
                continue
            if pythia_is_awaitable(self.result):
                return self.go_on_after(self.result)
        self.is_running = False
        if self.at:
            # What was done is not done again, and holds nobody any longer.
            self.steps.clear()
            self.at = 0
            if self.error is not None:
                self.tell_loop()
        return 0

    cdef int go_on_after(self, object work) except -1:
        """Go on with the steps when the awaitable is done that one of them gave."""
        self.result = None
        if isinstance(work, Later):
            (<Later>work).then(self._go_on, self._go_on_failed)
        else:
            soon(work).then(self._go_on, self._go_on_failed)
        return 0

    def _go_on(self, result) -> None:
        self.result = result
        self.run()

    def _go_on_failed(self, error) -> None:
        self.error = error
        self.run()

    cdef int tell_loop(self) except -1:
        """An error that no step took must not be lost; that somebody gave up is none."""
        if not isinstance(self.error, CancelledError):
            get_running_loop().call_exception_handler(
                {"message": "an error that nobody waited for", "exception": self.error}
            )
        return 0


cdef class _Outcome:
    """The future of a coroutine that awaits a `Later`."""

    cdef object future

    def __init__(self, future not None):
        self.future = future

    def succeed(self, result) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error) -> None:
        if isinstance(error, CancelledError):
            self.future.cancel()
        elif not self.future.done():
            self.future.set_exception(error)


def soon(work not None):
    """What an awaitable gives, which a task begins to run in this turn of the loop."""
    cdef Later later = Later()
    later.follow(work)
    return later
