"""A place in the tokens of a statement: look, take, expect, and say what is wrong there.

Two kinds of complaint exist. "mismatched input": exactly one token could follow. "no viable
alternative": several could, none did; then the place where the choice began is marked in the
excerpt, and the token that fitted no choice is named. People search for these texts, so their shape
is kept to the letter.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Final, TypeVar

from cql.errors import SyntaxException
from cql.parser.lexer import EOF, ERROR, line_and_column, token_offsets, tokenize
from cql.parser.tree import Marker

NESTING_MAX: Final = 60
OPERATORS_MAX: Final = 200
"""Operators in one expression: each makes its tree one level deeper."""
EXCERPT_TOKENS_BEFORE: Final = 10
EXCERPT_TOKENS_AFTER: Final = 2

T = TypeVar("T")


class Cursor:
    """Walks over the tokens of one text. `kind` is the kind of the token here."""

    __slots__ = (
        "_starts",
        "at",
        "depth",
        "kind",
        "kinds",
        "markers",
        "operators",
        "text",
        "values",
    )

    def __init__(self, text: str) -> None:
        self.text = text
        self.kinds, self.values, self._starts = tokenize(text)
        self.at = 0
        self.kind = self.kinds[0]
        self.markers: list[str | None] = []
        """Names of the bind markers taken so far, None for `?`."""
        self.depth = 0
        self.operators = 0

    @property
    def value(self) -> str:
        """The text of the token here."""
        return self.values[self.at]

    def peek(self, ahead: int = 1) -> str:
        """The kind of a later token; EOF beyond the end."""
        at = self.at + ahead
        return self.kinds[at] if at < len(self.kinds) else EOF

    def advance(self) -> None:
        """Go past the token here; EOF is never passed."""
        if self.kind != EOF:
            self.at += 1
            self.kind = self.kinds[self.at]

    def take(self) -> str:
        """Go past the token here and give its text."""
        value = self.values[self.at]
        self.advance()
        return value

    def accept(self, kind: str) -> bool:
        """Go past the token here if it is of that kind."""
        if self.kind != kind:
            return False
        self.advance()
        return True

    def expect(self, kind: str) -> str:
        """Go past a token of exactly that kind and give its text."""
        if self.kind != kind:
            raise self.mismatch(kind)
        return self.take()

    def is_word(self, word: str, ahead: int = 0) -> bool:
        """True if the token there is that word, although it is no keyword."""
        return self.peek(ahead) == "IDENT" and self.values[self.at + ahead].lower() == word

    def mark(self) -> tuple[int, int]:
        """A place to come back to."""
        return self.at, len(self.markers)

    def reset(self, mark: tuple[int, int]) -> None:
        """Go back to a marked place."""
        self.at, count = mark
        self.kind = self.kinds[self.at]
        del self.markers[count:]

    def attempt(self, read: Callable[[Cursor], T]) -> T | None:
        """What `read` gives, or None and no step taken if it fails."""
        mark = self.mark()
        depth = self.depth
        try:
            return read(self)
        except SyntaxException:
            self.reset(mark)
            self.depth = depth
            return None

    def new_marker(self, name: str | None) -> Marker:
        """The next bind marker."""
        self.markers.append(name)
        return Marker(len(self.markers) - 1, name)

    def descend(self) -> None:
        """Go one level deeper; balanced by `ascend`. Keeps the recursion bounded."""
        if self.depth == 0:
            self.operators = 0
        self.depth += 1
        if self.depth > NESTING_MAX:
            raise SyntaxException(
                f"The statement is nested too deeply (more than {NESTING_MAX} levels)"
            )

    def take_operator(self) -> str:
        """Go past an operator and give it; bounds how many one expression has."""
        self.operators += 1
        if self.operators > OPERATORS_MAX:
            raise SyntaxException(
                f"An expression has too many operators (more than {OPERATORS_MAX})"
            )
        return self.take()

    def ascend(self) -> None:
        """Come back from a level."""
        self.depth -= 1

    def require(self, follow: Container[str], start: int | None = None) -> None:
        """Complain if no token of `follow` is here; the choice began at the token `start`."""
        if self.kind not in follow:
            raise self.no_viable(start)

    def mismatch(self, expected: str) -> SyntaxException:
        """The token here is not the only one that could be."""
        return self._wrong(f"mismatched input {self._shown()} expecting {expected}", self.at)

    def no_viable(self, start: int | None = None) -> SyntaxException:
        """The token here fits none of the choices, which began at the token `start` or here."""
        message = f"no viable alternative at input {self._shown()}"
        return self._wrong(message, self.at if start is None else start)

    def no_viable_ahead(self, ahead: int) -> SyntaxException:
        """The token that far ahead fits none of the choices, which begin here."""
        start = self.at
        self.at = min(start + ahead, len(self.kinds) - 1)
        self.kind = self.kinds[self.at]
        return self.no_viable(start)

    def _shown(self) -> str:
        value = self.values[self.at].replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
        return f"'{value}'"

    def _wrong(self, message: str, start: int) -> SyntaxException:
        if ERROR in self.kinds[: self.at + 1]:
            return SyntaxException(self.values[self.kinds.index(ERROR)])
        if self.kind == EOF:
            place = "line 0:-1"
        else:
            line, column = line_and_column(self.text, self._starts[self.at])
            place = f"line {line}:{column}"
        return SyntaxException(f"{place} {message}{self._excerpt(start)}")

    def _excerpt(self, start: int) -> str:
        """The tokens around `start`, which is put in square brackets; empty if the end of the text
        is among them.
        """
        if self.kinds[start] == EOF:
            return ""
        furthest = max(start, self.at)
        offsets = token_offsets(self.text, self._starts[furthest])
        if self.kinds[furthest] == EOF:
            offsets.append(len(self.text))
        index = offsets.index(self._starts[start])
        first = offsets[max(0, index - EXCERPT_TOKENS_BEFORE)]
        last = offsets[min(len(offsets) - 1, index + EXCERPT_TOKENS_AFTER)]
        if last == len(self.text):
            return ""
        begin = self._starts[start]
        end = begin + len(self.values[start])
        stop = self._end_of(last, max(furthest, start))
        tail = "" if stop == len(self.text.rstrip("\n")) else "..."
        head = "" if first == 0 else "..."
        shown = f"{self.text[first:begin]}[{self.text[begin:end]}]{self.text[end:stop]}"
        return f" ({head}{shown.replace(chr(10), '')}{tail})"

    def _end_of(self, offset: int, at: int) -> int:
        """Where the token at that offset ends, as its text without quotes is long."""
        while at >= 0 and self._starts[at] > offset:
            at -= 1
        if at >= 0 and self._starts[at] == offset:
            return offset + len(self.values[at])
        return self._starts[at + 1]
