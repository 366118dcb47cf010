"""The differences from Cassandra that are on purpose, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.compare.script import Request


@dataclass(frozen=True)
class Explanation:
    """One difference: which requests show it, and what of the answer differs."""

    name: str
    reason: str
    statement: str
    """A regular expression that is found in the request as printed."""
    difference: str = ""
    """A regular expression that is found in what differs."""


EXPLANATIONS: tuple[Explanation, ...] = ()

_used: set[str] = set()


def explanation_of(request: Request, found: Sequence[str]) -> Explanation | None:
    """The first explanation that fits a difference."""
    if not found:
        return None
    text = "\n".join(found)
    for explanation in EXPLANATIONS:
        fits = re.search(explanation.statement, str(request), re.DOTALL)
        if fits and re.search(explanation.difference, text, re.DOTALL):
            _used.add(explanation.name)
            return explanation
    return None


def unused() -> list[Explanation]:
    """The explanations that explained nothing."""
    return [explanation for explanation in EXPLANATIONS if explanation.name not in _used]
