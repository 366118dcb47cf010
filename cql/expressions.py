"""Selected expressions that must be computed: elements, fields, write times, calls, aggregates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cql.assemble import FetchedRow, sort_elements
from cql.bind import Slot
from cql.calls import Compiled, compile_call, slot_value
from cql.errors import InvalidRequest
from cql.functions import is_aggregate
from cql.parser import tree
from cql.restrictions import find_column
from cql.results import ColumnSpec
from cql.schema import Column
from cql.selection import Aggregate, Evaluate, Fetch, Frame, column_value
from cql.terms import Scope, prepare
from cql.types.catalog import (
    BIGINT,
    INT,
    CqlType,
    ListType,
    MapType,
    SetType,
    UserType,
)
from cql.types.codec import pack_collection, pack_map, unpack_list, unpack_map, unpack_tuple
from cql.types.ordering import compare
from cql.wording import text_of
from storage.values import value_class

Part = Callable[["bytes | None", Frame], "bytes | None"]
"""Computes something from one value."""


class Expressions:
    """Compiles the expressions of one SELECT; adds what they read to `fetch` and `aggregates`."""

    def __init__(self, fetch: Fetch, aggregates: list[Aggregate], scope: Scope) -> None:
        self.fetch = fetch
        self.aggregates = aggregates
        self.scope = scope
        self.table = fetch.table
        self.is_selection = True
        self._is_within_aggregate = False

    def compile(self, expression: tree.Expression) -> Compiled:
        """The computation of `expression`, whose type must be known by itself."""
        match expression:
            case tree.Column(name):
                return self.column(find_column(self.table, name))
            case tree.TupleTerm((inner,)):
                return self.compile(inner)
            case tree.Count():
                return Compiled("count", BIGINT, self.aggregate(_COUNT_ROWS))
            case tree.Element(operand, key):
                return self._element(operand, key)
            case tree.ElementSlice(operand, start, end):
                return self._slice(operand, start, end)
            case tree.Field(operand, field):
                return self._field(operand, field)
            case tree.WritetimeOrTtl(function, operand):
                return self._times(function, operand)
            case tree.TypeHint(type_text, _):
                type_ = self.scope.parse_type(type_text)
                return self.term(expression, type_)
            case tree.FunctionCall():
                return self._call(expression)
            case tree.Cast() | tree.Binary() | tree.Negate():
                return compile_call(expression, self)
        raise InvalidRequest(
            f"Cannot infer type for term {text_of(expression)} in selection clause "
            "(try using a cast to force a type)"
        )

    def parse_type(self, text: str) -> CqlType:
        """The type named in a hint."""
        return self.scope.parse_type(text)

    def _call(self, call: tree.FunctionCall) -> Compiled:
        if not is_aggregate(call.keyspace, call.name.lower()):
            return compile_call(call, self)
        if self._is_within_aggregate:
            raise InvalidRequest(
                "aggregate functions cannot be used as arguments of aggregate functions"
            )
        self._is_within_aggregate = True
        try:
            return compile_call(call, self)
        finally:
            self._is_within_aggregate = False

    def column(self, column: Column) -> Compiled:
        """A column as it is."""
        return Compiled(column.name, column.type, column_value(self.fetch.index_of(column)))

    def term(self, term: tree.Term, type_: CqlType) -> Compiled:
        """A term given to something of a known type."""
        name = text_of(term)
        slot = self.slot(term, name, type_)
        return Compiled(name, type_, lambda row, frame: slot_value(slot, frame))

    def slot(self, term: tree.Term, name: str, type_: CqlType) -> Slot:
        """The slot of a term of a known type."""
        spec = ColumnSpec(self.table.keyspace, self.table.name, name, type_)
        return prepare(term, spec, self.scope)

    def aggregate(self, aggregate: Aggregate) -> Evaluate:
        """Add an aggregate; its result."""
        index = len(self.aggregates)
        self.aggregates.append(aggregate)
        return lambda row, frame: frame.aggregates[index]

    # ---------------------------------------------------------------- parts of values

    def _element(self, operand: tree.Expression, key: tree.Expression) -> Compiled:
        whole = self.compile(operand)
        name = f"{whole.name}[{text_of(key)}]"
        slot, type_ = self._key_slot(whole, key)
        return Compiled(name, type_, _composed(whole.evaluate, element_of(whole.type, slot)))

    def _key_slot(self, whole: Compiled, key: tree.Expression) -> tuple[Slot, CqlType]:
        """The slot of a map's key or set's element, and the type of what is selected."""
        match whole.type:
            case MapType(key_type, value_type, _):
                return self.slot(key, f"key({whole.name})", key_type), value_type
            case SetType(element, _):
                return self.slot(key, f"value({whole.name})", element), element
            case ListType():
                raise InvalidRequest(
                    "Element selection is only allowed on sets and maps, but "
                    f"{whole.name} is a list"
                )
        raise InvalidRequest(
            f"Invalid element selection: {whole.name} is of type {whole.type} is not a collection"
        )

    def _slice(
        self, operand: tree.Expression, start: tree.Term | None, end: tree.Term | None
    ) -> Compiled:
        whole = self.compile(operand)
        if not isinstance(whole.type, MapType | SetType):
            raise InvalidRequest(
                "Slice selection is only allowed on sets and maps, but "
                f"{whole.name} is a {whole.type}"
            )
        bounds = [None if b is None else self._key_slot(whole, b)[0] for b in (start, end)]
        shown = ["" if b is None else text_of(b) for b in (start, end)]
        name = f"{whole.name}[{shown[0]}..{shown[1]}]"
        part = _slice_of(whole.type, bounds[0], bounds[1])
        return Compiled(name, whole.type, _composed(whole.evaluate, part))

    def _field(self, operand: tree.Expression, field: str) -> Compiled:
        whole = self.compile(operand)
        type_ = whole.type
        if not isinstance(type_, UserType):
            raise InvalidRequest(
                f"Invalid field selection: {whole.name} of type {type_} is not a user type"
            )
        if field not in type_.field_names:
            raise InvalidRequest(f"{whole.name} of type {type_} has no field {field}")
        index = type_.field_names.index(field)

        def part(value: bytes | None, frame: Frame) -> bytes | None:
            return None if value is None else unpack_tuple(type_, value)[index]

        evaluate = _composed(whole.evaluate, part)
        return Compiled(f"{whole.name}.{field}", type_.field_types[index], evaluate)

    # ---------------------------------------------------------------- write times

    def _times(self, function: str, operand: tree.Expression) -> Compiled:
        inner = operand
        while isinstance(inner, tree.Element | tree.ElementSlice | tree.Field):
            inner = inner.operand
        assert isinstance(inner, tree.Column), "write times are of columns"
        column = find_column(self.table, inner.name)
        if column.is_key:
            raise InvalidRequest(
                f"Cannot use selection function {function} on PRIMARY KEY part {column.name}"
            )
        index = self.fetch.index_of(column)
        self.fetch.needs_times = True
        name = f"{function}({text_of(operand)})"
        single = INT if function == "ttl" else BIGINT
        size = 4 if function == "ttl" else 8
        paths = self._paths(column, operand)
        many = column.type.is_multicell and (paths is None or paths.is_many)
        type_: CqlType = ListType(single) if many and function != "maxwritetime" else single

        def evaluate(row: FetchedRow, frame: Frame) -> bytes | None:
            source = row.ttls if function == "ttl" else row.times
            assert source is not None, "the assembler keeps times when they are asked for"
            found = source[index]
            if found is None:
                return None
            if not isinstance(found, dict):
                return _number(found, size)
            chosen = _ordered_times(column.type, found, paths, frame)
            if function == "maxwritetime":
                return _number(max(chosen), size) if chosen else None
            if many:
                return _packed([_number(time, size) for time in chosen])
            return _number(chosen[0], size) if chosen else None

        return Compiled(name, type_, evaluate)

    def _paths(self, column: Column, operand: tree.Expression) -> _Paths | None:
        """Which elements' times are meant; None is all of the column."""
        if not column.type.is_multicell:
            return None
        whole = self.column(column)
        match operand:
            case tree.Element(_, key):
                return _Paths(equal=self._key_slot(whole, key)[0])
            case tree.ElementSlice(_, start, end):
                return _Paths(
                    lower=None if start is None else self._key_slot(whole, start)[0],
                    upper=None if end is None else self._key_slot(whole, end)[0],
                    is_many=True,
                )
            case tree.Field(_, field):
                assert isinstance(column.type, UserType), "only user types have fields"
                if field not in column.type.field_names:
                    raise InvalidRequest(
                        f"{column.name} of type {column.type} has no field {field}"
                    )
                position = column.type.field_names.index(field)
                return _Paths(path=position.to_bytes(2, "big"))
        return None


@value_class
class _Paths:
    """Some elements of a collection: one by its key, one by its path, or those between bounds."""

    equal: Slot | None = None
    path: bytes | None = None
    lower: Slot | None = None
    upper: Slot | None = None
    is_many: bool = False


def _ordered_times(
    type_: CqlType, found: dict[bytes, Any], paths: _Paths | None, frame: Frame
) -> list[Any]:
    """The times of the chosen elements, in the collection's order."""
    if paths is not None and not paths.is_many:
        path = paths.path
        if paths.equal is not None:
            path = slot_value(paths.equal, frame)
        return [found[path]] if path in found else []
    elements: list[Any] = sorted(found.items(), key=lambda pair: pair[0])
    sort_elements(type_, elements)
    if paths is not None:
        inner = type_.key if isinstance(type_, MapType) else type_.element  # type: ignore[attr-defined]
        within = _within(inner, paths.lower, paths.upper, frame)
        elements = [(path, time) for path, time in elements if within(path)]
    return [time for _, time in elements]


def _number(value: int | None, size: int) -> bytes | None:
    return None if value is None else value.to_bytes(size, "big", signed=True)


def _packed(values: list[bytes | None]) -> bytes:
    """A list whose elements may be null, as only write times have it."""
    parts = [len(values).to_bytes(4, "big")]
    for value in values:
        parts.append(b"\xff\xff\xff\xff" if value is None else len(value).to_bytes(4, "big"))
        parts.append(value or b"")
    return b"".join(parts)


def _composed(evaluate: Evaluate, part: Part) -> Evaluate:
    return lambda row, frame: part(evaluate(row, frame), frame)


def element_of(type_: CqlType, slot: Slot) -> Part:
    """Selects the value of a map's key, or a set's element if it is there."""

    def part(value: bytes | None, frame: Frame) -> bytes | None:
        key = slot_value(slot, frame)
        if key is None:
            raise InvalidRequest("Invalid null value for element selection")
        if value is None:
            return None
        if isinstance(type_, MapType):
            pairs = unpack_map(value)
            return next((v for k, v in pairs if compare(type_.key, k, key) == 0), None)
        assert isinstance(type_, SetType), "elements are selected of maps and sets"
        inner = type_.element
        return next((v for v in unpack_list(value) if compare(inner, v, key) == 0), None)

    return part


def _within(
    type_: CqlType, lower: Slot | None, upper: Slot | None, frame: Frame
) -> Callable[[bytes], bool]:
    low = None if lower is None else slot_value(lower, frame)
    high = None if upper is None else slot_value(upper, frame)

    def within(item: bytes) -> bool:
        if low is not None and compare(type_, item, low) < 0:
            return False
        return high is None or compare(type_, item, high) <= 0

    return within


def _slice_of(type_: MapType | SetType, lower: Slot | None, upper: Slot | None) -> Part:
    """Selects what lies between two keys, both included."""

    def part(value: bytes | None, frame: Frame) -> bytes | None:
        if value is None:
            return None
        if isinstance(type_, MapType):
            within = _within(type_.key, lower, upper, frame)
            return pack_map([(k, v) for k, v in unpack_map(value) if within(k)])
        within = _within(type_.element, lower, upper, frame)
        return pack_collection([item for item in unpack_list(value) if within(item)])

    return part


_COUNT_ROWS = Aggregate(
    start=lambda: 0,
    arguments=(),
    add=lambda state, values: state + 1,
    finish=lambda state: state.to_bytes(8, "big"),
)
