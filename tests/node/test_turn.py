"""Tests of node/turn."""

from __future__ import annotations

from collections.abc import Callable

from node.turn import Turn


class Recorder:
    """Something to flush that says so."""

    def __init__(self, said: list[str], name: str) -> None:
        self.said = said
        self.name = name

    def flush(self) -> None:
        self.said.append(self.name)


def test_the_log_goes_first_and_once_and_then_replies_in_their_order() -> None:
    said: list[str] = []
    soon: list[Callable[[], None]] = []
    turn = Turn(soon.append, lambda: said.append("log"), lambda error: None)
    for name in "abc":
        turn.flush_later(Recorder(said, name))
    (end,) = soon
    end()
    assert said == ["log", "a", "b", "c"]
    turn.flush_later(Recorder(said, "d"))
    assert len(soon) == 2


def test_after_a_failed_log_nothing_is_flushed() -> None:
    said: list[str] = []
    stopped: list[BaseException] = []

    def fail() -> None:
        raise OSError("the disk is gone")

    soon: list[Callable[[], None]] = []
    turn = Turn(soon.append, fail, stopped.append)
    turn.flush_later(Recorder(said, "a"))
    soon[0]()
    assert said == []
    assert len(stopped) == 1


def test_what_has_gathered_can_leave_before_the_end_of_the_turn() -> None:
    said: list[str] = []
    soon: list[Callable[[], None]] = []
    turn = Turn(soon.append, lambda: said.append("log"), lambda error: None)
    turn.end_now()
    assert said == []
    turn.flush_later(Recorder(said, "a"))
    turn.end_now()
    assert said == ["log", "a"]
    turn.end_now()
    assert said == ["log", "a"]
    turn.flush_later(Recorder(said, "b"))
    for end in soon:
        end()
    assert [name for name in said if name != "log"] == ["a", "b"]
