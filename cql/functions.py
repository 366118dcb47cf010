"""Which function a call means: names, overloads, and the types of arguments.

All functions are native. They live in the keyspace `system`, work on bytes, and take time and
chance from the `Context` they are called with. Names are in lower case; the spellings from before
Cassandra 5 (`todate`, `blobasint`) are functions of their own, as they name their column so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from cql import (
    functions_aggregates,
    functions_bytes,
    functions_casts,
    functions_numbers,
    functions_time,
)
from cql.errors import InvalidRequest
from cql.function import Aggregate, Argument, Context, Function, Match, Values
from cql.functions_bytes import from_json_function, to_json_function, token_function
from cql.functions_collections import (
    COLLECTION_FUNCTIONS,
    SIMILARITIES,
    of_collection,
    similarity,
)
from cql.functions_masks import MASKS, mask
from cql.functions_numbers import NEGATION, OPERATORS
from cql.types import catalog
from cql.types.catalog import CqlType, VectorType

__all__ = [
    "Aggregate",
    "Argument",
    "Context",
    "Function",
    "Match",
    "Values",
    "find_cast",
    "find_function",
    "find_negation",
    "find_operation",
    "is_aggregate",
]

Factory = Callable[[str, Sequence[Argument], CqlType | None], Function]


def find_function(
    keyspace: str | None,
    name: str,
    arguments: Sequence[Argument | CqlType],
    receiver: CqlType | None = None,
) -> Function:
    """The function that a call means, where `receiver` is the type wanted if there is one.

    Raises InvalidRequest, with Cassandra's texts, if there is none, more than one, or the arguments
    do not fit.
    """
    shown = name if keyspace is None else f"{keyspace}.{name}"
    given = [arg if isinstance(arg, Argument) else Argument(str(arg), arg) for arg in arguments]
    if keyspace in (None, "system"):
        factory = _FACTORIES.get(name)
        if factory is not None:
            return factory(name, given, receiver)
        candidates = _OVERLOADS.get(name)
        if candidates is not None:
            return _choose(shown, candidates, given, receiver)
    raise InvalidRequest(f"Unknown function '{shown}'")


def find_operation(
    symbol: str,
    left: Argument | CqlType,
    right: Argument | CqlType,
    receiver: CqlType | None = None,
) -> Function:
    """The function of `left symbol right`, symbol being one of + - * / %."""
    return find_function(None, OPERATORS[symbol], (left, right), receiver)


def find_negation(operand: Argument | CqlType, receiver: CqlType | None = None) -> Function:
    """The function of `-operand`."""
    return find_function(None, NEGATION, (operand,), receiver)


def find_cast(operand: Argument | CqlType, type_text: str) -> Function | None:
    """The function of CAST(operand AS type), None if the operand is of that type already."""
    name = type_text.strip().lower()
    given = operand if isinstance(operand, Argument) else Argument(str(operand), operand)
    if given.type is not None and catalog.NATIVE_BY_NAME.get(name) == given.type:
        return None
    candidates = _OVERLOADS.get(f"cast_as_{name}")
    if candidates is None:
        raise InvalidRequest(f"{given.text} cannot be cast to {name}")
    return _choose(f"system.cast_as_{name}", candidates, [given], None)


def is_aggregate(keyspace: str | None, name: str) -> bool:
    """True if calls of that name look at many rows."""
    return keyspace in (None, "system") and name in _AGGREGATES


# --------------------------------------------------------- overloads


def _choose(
    shown: str,
    candidates: Sequence[Function],
    given: Sequence[Argument],
    receiver: CqlType | None,
) -> Function:
    if len(candidates) == 1:
        _check_only(candidates[0], given)
        return candidates[0]
    weak = []
    for function in candidates:
        if receiver is not None and not _returns(function, receiver):
            continue
        match = _match(function, given)
        if match == Match.EXACT:
            return function
        if match == Match.WEAK:
            weak.append(function)
    if len(weak) == 1:
        return weak[0]
    symbol = _SYMBOLS.get(shown, "")
    if not weak:
        if symbol:
            raise InvalidRequest(
                f"the '{symbol}' operation is not supported between {given[0].text} "
                f"and {given[1].text}"
            )
        raise InvalidRequest(
            f"Invalid call to function {shown}, none of its type signatures match "
            f"(known type signatures: {_shown(candidates)})"
        )
    return _settle(shown, symbol, weak, given, receiver)


def _returns(function: Function, receiver: CqlType) -> bool:
    return Argument("", function.return_type).match(receiver) != Match.NONE


def _settle(
    shown: str,
    symbol: str,
    weak: Sequence[Function],
    given: Sequence[Argument],
    receiver: CqlType | None,
) -> Function:
    """Several functions would do: for operations the receiver's type may decide."""
    if symbol:
        is_constant = all(arg.type is not None or arg.kind for arg in given)
        for function in weak:
            if is_constant and set(function.argument_types) == {receiver}:
                return function
        raise InvalidRequest(
            f"Ambiguous '{symbol}' operation with args {given[0].text} and {given[1].text}: "
            "use type hint to disambiguate, example '(int) ?'"
        )
    if shown == NEGATION:
        raise InvalidRequest("Ambiguous negation: use type casts to disambiguate")
    raise InvalidRequest(
        f"Ambiguous call to function {shown} (can be matched by following signatures: "
        f"{_shown(weak)}): use type casts to disambiguate"
    )


def _shown(functions: Sequence[Function]) -> str:
    return ", ".join(map(str, functions))


def _match(function: Function, given: Sequence[Argument]) -> Match:
    types = function.argument_types
    if len(types) != len(given):
        return Match.NONE
    found = [arg.match(cql_type) for arg, cql_type in zip(given, types, strict=True)]
    return min(found, default=Match.EXACT)


def _check_only(function: Function, given: Sequence[Argument]) -> None:
    """One candidate: say what is wrong with which argument."""
    types = function.argument_types
    if len(types) != len(given):
        raise InvalidRequest(
            f"Invalid number of arguments in call to function system.{function.name}: "
            f"{len(types)} required but {len(given)} provided"
        )
    for number, (argument, cql_type) in enumerate(zip(given, types, strict=True)):
        if argument.match(cql_type) == Match.NONE:
            raise InvalidRequest(
                f"Type error: {argument.text} cannot be passed as argument {number} of function "
                f"system.{function.name} of type {cql_type}"
            )


# --------------------------------------------------------- functions of any type


def _expect_count(name: str, given: Sequence[Argument], wanted: int) -> None:
    if len(given) != wanted:
        raise InvalidRequest(f"Invalid number of arguments for function system.{name}")


def _type_of(name: str, argument: Argument, receiver: CqlType | None) -> CqlType:
    found = argument.likely_type() or receiver
    if found is None:
        raise InvalidRequest(
            f"Cannot infer type of argument {argument.text} in call to function system.{name}: "
            "use type casts to disambiguate"
        )
    return found


def _make_token(name: str, given: Sequence[Argument], receiver: CqlType | None) -> Function:
    return token_function(tuple(_type_of(name, argument, None) for argument in given))


def _make_to_json(name: str, given: Sequence[Argument], receiver: CqlType | None) -> Function:
    _expect_count(name, given, 1)
    return to_json_function(_type_of(name, given[0], None))


def _make_from_json(name: str, given: Sequence[Argument], receiver: CqlType | None) -> Function:
    _expect_count(name, given, 1)
    function = from_json_function(name, receiver)
    _check_only(function, given)
    return function


def _make_aggregate(name: str, given: Sequence[Argument], receiver: CqlType | None) -> Function:
    _expect_count(name, given, 1)
    wanted = receiver if name != "count" else None
    return functions_aggregates.for_type(name, _type_of(name, given[0], wanted))


def _make_collection(name: str, given: Sequence[Argument], receiver: CqlType | None) -> Function:
    _expect_count(name, given, 1)
    return of_collection(name, _type_of(name, given[0], None), given[0].text)


def _make_mask(name: str, given: Sequence[Argument], receiver: CqlType | None) -> Function:
    if not given:
        raise InvalidRequest(f"Invalid number of arguments for function system.{name}")
    wanted = receiver if name != "mask_hash" else None
    function = mask(name, _type_of(name, given[0], wanted), len(given))
    _check_only(function, given)
    return function


def _make_similarity(name: str, given: Sequence[Argument], receiver: CqlType | None) -> Function:
    _expect_count(name, given, 2)
    for argument in given:
        kind = argument.likely_type()
        if kind is None:
            continue
        if not isinstance(kind, VectorType) or kind.element != catalog.FLOAT:
            raise InvalidRequest(
                f"Function system.{name} requires a float vector argument, "
                f"but found argument {argument.text} of type {kind}"
            )
        other = given[1].likely_type() if argument is given[0] else given[0].likely_type()
        if isinstance(other, VectorType) and other.dimension != kind.dimension:
            raise InvalidRequest("All arguments must have the same vector dimensions")
        function = similarity(name, kind)
        _check_only(function, given)
        return function
    raise InvalidRequest(
        f"Cannot infer type of argument {given[0].text} in call to function system.{name}: "
        "use type casts to disambiguate"
    )


# --------------------------------------------------------- the registry


def _overloads() -> dict[str, tuple[Function, ...]]:
    found: dict[str, list[Function]] = {}
    for room in (
        functions_aggregates,
        functions_bytes,
        functions_casts,
        functions_numbers,
        functions_time,
    ):
        for function in room.functions():
            found.setdefault(function.name, []).append(function)
    return {name: tuple(functions) for name, functions in found.items()}


_OVERLOADS: Final = _overloads()
_SYMBOLS: Final = {name: symbol for symbol, name in OPERATORS.items()}
_AGGREGATES: Final = frozenset(["count", "count_rows", "countrows", "min", "max", "sum", "avg"])
_FACTORIES: Final[dict[str, Factory]] = {
    "token": _make_token,
    "to_json": _make_to_json,
    "tojson": _make_to_json,
    "from_json": _make_from_json,
    "fromjson": _make_from_json,
    **dict.fromkeys(("count", "min", "max"), _make_aggregate),
    **dict.fromkeys(COLLECTION_FUNCTIONS, _make_collection),
    **dict.fromkeys(SIMILARITIES, _make_similarity),
    **dict.fromkeys(MASKS, _make_mask),
}
