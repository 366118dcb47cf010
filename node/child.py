"""Child processes: they die with their parent, and one may do a single piece of work and end."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable

EXIT_FAILED = 1
TEXT_BYTES_MAX = 64 * 1024

_PR_SET_PDEATHSIG = 1
_log = logging.getLogger("child")


class ChildFailed(Exception):
    """A child did not do its work; the text is what it said, or how it ended."""


def run_in_child(work: Callable[[], str]) -> None:
    """Run `work` in a fork, whose memory goes when it ends; raises `ChildFailed`.

    `work` gives a text when it could not be done, and "" otherwise. Nobody may hold threads or a
    running loop when this is called.
    """
    ours, theirs = os.pipe()
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _work_and_leave(work, theirs, parent)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answers:
        text = answers.read(TEXT_BYTES_MAX).decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    if text or status:
        raise ChildFailed(text or f"its process ended with {ending(status)}")


def die_with_parent() -> None:
    """Asks Linux to kill this process when its parent dies; others must notice by themselves."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def ending(status: int) -> str:
    """How a process ended, in words."""
    if os.WIFSIGNALED(status):
        return f"signal {signal.Signals(os.WTERMSIG(status)).name}"
    return f"exit code {os.waitstatus_to_exitcode(status)}"


def _work_and_leave(work: Callable[[], str], answers: int, parent: int) -> None:
    """Runs in the new process and never returns."""
    code = EXIT_FAILED
    try:
        die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends our parent, and so us.
        if os.getppid() == parent:  # Else it died before we asked.
            os.write(answers, work().encode()[:TEXT_BYTES_MAX])
            code = 0
    except BaseException:  # noqa: BLE001 - a child must leave by _exit, whatever happened
        _log.exception("a piece of work ended with an error")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
