"""One process per core: forks the shards, restarts the dead ones, and never serves data itself.

The supervisor loads all code once and forks. It keeps every listening socket and both ends of every
mesh pair for its whole life, so that a shard which comes back finds the places of the one that
died; and the word from which all shards take their write timestamps.

With each child it has a control socket: the child says `ready`, `failed VERDICT TEXT` or `drained`,
the supervisor says `serve`, `drain` and `stop`. A child whose supervisor is gone ends at once: what
it acknowledged is in its log.

A stop has two phases, because shards need each other while requests are in flight: all shards drain
(accept no more, answer what they have), and only when the last one has drained does any of them
stop.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from node.allocator import keep_free_memory
from node.child import die_with_parent, ending
from node.config import Config
from node.failure_policy import Verdict
from node.high_mark import HighMark
from node.listener import Listeners
from storage.values import value_class

START_TIMEOUT_S = 120.0
DRAIN_TIMEOUT_S = 60.0
RESTART_DELAY_FIRST_S = 0.1
RESTART_DELAY_MAX_S = 5.0
STEADY_AFTER_S = 30.0
"""A shard that lived this long starts again with the first delay."""
LINE_BYTES_MAX = 64 * 1024
EXIT_FAILED = 1
GARBAGE_OBJECTS = 10_000
"""So many more than before are looked at for cycles; requests in flight alone are thousands."""
HALTED = (
    "the node has stopped serving because of its failure policies; what it acknowledged is in its"
    " files. End this process and start it again when the cause is gone"
)

SHUT = "its commit log has failed; it answers reads and refuses writes until the node starts anew"

_log = logging.getLogger("supervisor")


@value_class
class Seat:
    """What a child is born with."""

    shard: int
    incarnation: int
    config: Config
    listeners: Listeners
    control: socket.socket
    mesh: dict[int, socket.socket]
    high_mark: HighMark
    is_log_shut: bool = False
    """Whether this life only answers reads; see `failure_policy.Verdict.SHUT`."""


@dataclass(slots=True)
class _Child:
    """What the supervisor knows of one shard's process."""

    shard: int
    pid: int = 0
    incarnation: int = 0
    control: socket.socket | None = None
    started_at: float = 0.0
    restart_at: float | None = None
    delay_s: float = RESTART_DELAY_FIRST_S
    is_ready: bool = False
    has_drained: bool = False
    is_log_shut: bool = False
    received: bytearray = field(default_factory=bytearray)


class StartFailed(Exception):
    """A shard could not start; the text is what it said."""


class Supervisor:
    """Owns the children of one node. `run` returns the exit code, or raises `StartFailed`."""

    def __init__(
        self,
        config: Config,
        listeners: Listeners,
        run_shard: Callable[[Seat], int],
        on_ready: Callable[[], None],
    ) -> None:
        self._config = config
        self._listeners = listeners
        self._run_shard = run_shard
        self._on_ready = on_ready
        self._children = [_Child(shard) for shard in range(config.shards)]
        self._pairs = _mesh_pairs(config.shards)
        self._high_mark = HighMark()
        self._is_serving = False
        self._stopping = False
        self._is_halted = False
        """Whether the node serves nobody any more, until a signal ends it."""
        self._exit_code = 0

    def run(self) -> int:
        """Forks all shards and stays with them until a signal stops the node."""
        keep_free_memory()  # Shards inherit it.
        gc.freeze()  # What is loaded stays shared: no collection writes to its pages.
        gc.enable()
        gc.set_threshold(GARBAGE_OBJECTS)
        wakeup, written = socket.socketpair()
        written.setblocking(False)
        wakeup.setblocking(False)
        signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        try:
            for child in self._children:
                self._fork(child)
            self._wait_until_ready(wakeup)
            self._is_serving = True
            self._tell_all("serve")
            self._on_ready()
            self._watch(wakeup)
        except StartFailed:
            self._kill_all()
            raise
        return self._exit_code

    def _wait_until_ready(self, wakeup: socket.socket) -> None:
        until = time.monotonic() + START_TIMEOUT_S
        while not all(child.is_ready for child in self._children) and not self._stopping:
            if time.monotonic() > until:
                raise StartFailed(f"not every shard was ready after {START_TIMEOUT_S:.0f} s")
            self._turn(wakeup, 1.0)
            self._reap(is_starting=True)

    def _watch(self, wakeup: socket.socket) -> None:
        while not self._stopping and not self._is_halted:
            due = [child.restart_at for child in self._children if child.restart_at is not None]
            self._turn(wakeup, max(0.0, min(due) - time.monotonic()) if due else None)
            self._reap(is_starting=False)
            self._restart_due()
        self._drain(wakeup)
        if self._is_halted:
            _log.critical(HALTED)
            for listener in self._listeners.every():
                listener.close()
        while self._is_halted and not self._stopping:
            self._turn(wakeup, None)

    def _turn(self, wakeup: socket.socket, timeout_s: float | None) -> None:
        """Waits for a signal or a line of a child, and reads both."""
        controls = {c.control.fileno(): c for c in self._children if c.control is not None}
        readable, _, _ = select.select([wakeup.fileno(), *controls], [], [], timeout_s)
        for place in readable:
            if place == wakeup.fileno():
                numbers = wakeup.recv(4096)
                if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                    self._stopping = True
            else:
                self._hear(controls[place])

    def _hear(self, child: _Child) -> None:
        assert child.control is not None, "only children with a control socket are listened to"
        try:
            data = child.control.recv(4096)
        except OSError:
            data = b""
        if not data:
            child.control.close()
            child.control = None
            return
        child.received += data
        assert len(child.received) < LINE_BYTES_MAX, "a child says only short lines"
        while b"\n" in child.received:
            line, _, rest = bytes(child.received).partition(b"\n")
            child.received[:] = rest
            self._obey(child, line.decode())

    def _obey(self, child: _Child, line: str) -> None:
        word, _, text = line.partition(" ")
        if word == "ready":
            child.is_ready = True
            if self._is_serving:
                self._tell(child, "serve")
        elif word == "drained":
            child.has_drained = True
        elif word == "failed" and not self._is_serving:
            raise StartFailed(text.partition(" ")[2])
        elif word == "failed":
            verdict, _, reason = text.partition(" ")
            _log.error("shard %d: %s", child.shard, reason)
            self._judge(child, Verdict(verdict))

    def _judge(self, child: _Child, verdict: Verdict) -> None:
        """A shard's log or disk has failed: the others stop too, if the policy wants that."""
        if verdict is Verdict.SHUT:
            child.is_log_shut = True
            _log.critical("shard %d: %s", child.shard, SHUT)
        if verdict in (Verdict.HALT, Verdict.DIE):
            self._exit_code = EXIT_FAILED
        self._is_halted = self._is_halted or verdict is Verdict.HALT
        self._stopping = self._stopping or verdict is Verdict.DIE

    def _fork(self, child: _Child) -> None:
        ours, theirs = socket.socketpair()
        child.incarnation += 1
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._be_child(child, ours, theirs)
        theirs.close()
        child.pid, child.control, child.restart_at = pid, ours, None
        child.is_ready = child.has_drained = False
        child.received.clear()
        child.started_at = time.monotonic()

    def _be_child(self, child: _Child, ours: socket.socket, theirs: socket.socket) -> None:
        """Runs the shard in the new process and leaves it; never returns."""
        code = EXIT_FAILED
        try:
            die_with_parent()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            ours.close()
            for other in self._children:
                if other.control is not None:
                    other.control.close()
            code = self._run_shard(self._seat(child, theirs))
        except BaseException:  # noqa: BLE001 - a child must leave by _exit, whatever happened
            _log.exception("shard %d ended with an error", child.shard)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _seat(self, child: _Child, control: socket.socket) -> Seat:
        mine = child.shard
        ends = {}
        for (low, high), (low_end, high_end) in self._pairs.items():
            if mine == low:
                ends[high] = low_end
            elif mine == high:
                ends[low] = high_end
            else:
                low_end.close()
                high_end.close()
        return Seat(
            mine,
            child.incarnation,
            self._config,
            self._listeners,
            control,
            ends,
            self._high_mark,
            child.is_log_shut,
        )

    def _reap(self, *, is_starting: bool) -> None:
        for child in self._children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if not pid:
                continue
            self._read_last_words(child)
            if is_starting:
                child.pid = 0
                raise StartFailed(f"shard {child.shard} ended while starting ({ending(status)})")
            self._bury(child, status)

    def _read_last_words(self, child: _Child) -> None:
        while child.control is not None and select.select([child.control], [], [], 0)[0]:
            self._hear(child)

    def _bury(self, child: _Child, status: int) -> None:
        lived = time.monotonic() - child.started_at
        child.pid = 0
        if child.control is not None:
            child.control.close()
            child.control = None
        if self._stopping or self._is_halted:
            self._exit_code = self._exit_code or (EXIT_FAILED if status else 0)
            return
        if lived > STEADY_AFTER_S:
            child.delay_s = RESTART_DELAY_FIRST_S
        _log.error(
            "shard %d died (%s); it starts again in %.1f s",
            child.shard,
            ending(status),
            child.delay_s,
        )
        child.restart_at = time.monotonic() + child.delay_s
        child.delay_s = min(RESTART_DELAY_MAX_S, 2 * child.delay_s)

    def _restart_due(self) -> None:
        for child in self._children:
            if child.restart_at is not None and child.restart_at <= time.monotonic():
                self._fork(child)

    def _drain(self, wakeup: socket.socket) -> None:
        until = time.monotonic() + DRAIN_TIMEOUT_S
        self._tell_all("drain")
        while any(c.pid and not c.has_drained for c in self._children) and time.monotonic() < until:
            self._turn(wakeup, 0.5)
            self._reap(is_starting=False)
        self._tell_all("stop")
        while any(child.pid for child in self._children) and time.monotonic() < until:
            self._turn(wakeup, 0.5)
            self._reap(is_starting=False)
        self._kill_all()

    def _tell_all(self, word: str) -> None:
        for child in self._children:
            self._tell(child, word)

    def _tell(self, child: _Child, word: str) -> None:
        if child.control is not None:
            try:
                child.control.sendall(word.encode() + b"\n")
            except OSError:
                _log.warning("shard %d did not hear %r", child.shard, word)

    def _kill_all(self) -> None:
        for child in self._children:
            if child.pid:
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
                child.pid = 0
                self._exit_code = EXIT_FAILED


def _mesh_pairs(
    shards: int,
) -> dict[tuple[int, int], tuple[socket.socket, socket.socket]]:
    return {(low, high): socket.socketpair() for high in range(shards) for low in range(high)}
