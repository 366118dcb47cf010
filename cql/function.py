"""What a function is: its types, how it is called, and how well arguments fit it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Final, Protocol, TypeAlias

from cql.moment import Moment
from cql.types import catalog
from cql.types.catalog import CqlType, NativeType
from cql.types.text import is_assignable, preferred_type
from storage.values import value_class

Values: TypeAlias = Sequence[bytes | None]


class Chance(Protocol):
    """Where unique values come from; `cql.environment.Environment` is one."""

    def timeuuid(self, moment: Moment) -> bytes:
        """A new time UUID."""
        ...

    def uuid(self) -> bytes:
        """A new random UUID."""
        ...


@value_class
class Context:
    """What a call may draw on besides its arguments."""

    moment: Moment
    random: Chance


class Aggregate(Protocol):
    """Many rows to one value; the state belongs to one group."""

    def start(self) -> Any:
        """The state before the first row."""
        ...

    def add(self, state: Any, values: Values) -> Any:
        """The state after one more row."""
        ...

    def finish(self, state: Any) -> bytes | None:
        """The value of the rows so far."""
        ...


Body: TypeAlias = Callable[[Context, Values], bytes | None]


@value_class
class Function:
    """One signature. `name` carries no keyspace; exactly one of `body` and `aggregate` is given.

    `is_strict`: an argument that is null, or empty where that means nothing, makes the result null.
    `is_pure`: the same arguments always give the same result.
    """

    name: str
    argument_types: tuple[CqlType, ...]
    return_type: CqlType
    body: Body | None = None
    aggregate: Aggregate | None = None
    is_strict: bool = True
    is_pure: bool = True
    form: str = ""

    def call(self, context: Context, values: Values) -> bytes | None:
        """The result for these values; raises InvalidRequest or FunctionFailure."""
        assert self.body is not None, "an aggregate is not called with one row's values"
        if self.is_strict:
            for cql_type, value in zip(self.argument_types, values, strict=True):
                if value is None or (not value and is_nothing_when_empty(cql_type)):
                    return None
        return self.body(context, values)

    def title(self, arguments: Sequence[str]) -> str:
        """The name of a result column that holds a call."""
        if self.form:
            return self.form.format(*arguments, type=self.return_type)
        return f"system.{self.name}({', '.join(arguments)})"

    def __str__(self) -> str:
        types = ", ".join(map(str, self.argument_types))
        return f"system.{self.name} : ({types}) -> {self.return_type}"


def is_nothing_when_empty(cql_type: CqlType) -> bool:
    """True for types where zero bytes are not a value that functions could work on."""
    return isinstance(cql_type, NativeType) and cql_type.name not in ("text", "ascii", "blob")


class Match(IntEnum):
    """How well an argument fits a parameter."""

    NONE = 0
    WEAK = 1
    EXACT = 2


@value_class
class Argument:
    """What stands at one place of a call.

    With `type` it is an expression of that type; with `kind` a constant (`constant` is its text);
    with `accepts` a collection or tuple of terms; with none of them a marker or null, which fits
    everything. `text` is how refusals show it.
    """

    text: str
    type: CqlType | None = None
    kind: str = ""
    constant: str = ""
    accepts: Callable[[CqlType], bool] | None = None

    def match(self, wanted: CqlType) -> Match:
        """How well this fits a parameter of the type."""
        if self.type is not None:
            return match_types(self.type, wanted)
        if self.kind:
            if not is_assignable(self.kind, wanted):
                return Match.NONE
            return Match.EXACT if preferred_type(self.kind, self.constant) == wanted else Match.WEAK
        if self.accepts is not None:
            return Match.WEAK if self.accepts(wanted) else Match.NONE
        return Match.WEAK

    def likely_type(self) -> CqlType | None:
        """The type this has by itself, None if that depends on where it stands."""
        if self.type is not None:
            return self.type
        return preferred_type(self.kind, self.constant) if self.kind else None


# parameter type -> other types whose bytes it understands
_UNDERSTANDS: Final = {
    "bigint": {"timestamp"},
    "varint": {"int", "bigint", "timestamp"},
    "timestamp": {"bigint"},
    "date": {"int"},
    "time": {"bigint"},
    "uuid": {"timeuuid"},
    "text": {"ascii"},
}


def match_types(given: CqlType, wanted: CqlType) -> Match:
    """How well a value of one type serves as one of another."""
    if given.frozen() == wanted.frozen():
        return Match.EXACT
    if wanted == catalog.BLOB:
        return Match.WEAK
    if not isinstance(given, NativeType) or not isinstance(wanted, NativeType):
        return Match.NONE
    return Match.WEAK if given.name in _UNDERSTANDS.get(wanted.name, ()) else Match.NONE
