"""A term and the type it is for -> a slot: constant bytes, a bind marker, or a computation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cmp_to_key
from typing import Any

from cql import calls
from cql.bind import Binding, Slot
from cql.errors import InvalidRequest
from cql.parser import tree
from cql.protocol.requests import UNSET
from cql.results import ColumnSpec
from cql.schema import Schema
from cql.types.catalog import (
    CqlType,
    CustomType,
    ListType,
    MapType,
    NativeType,
    SetType,
    TupleType,
    UserType,
    VectorType,
    parse_type,
)
from cql.types.codec import pack_collection, pack_map, pack_tuple, pack_vector
from cql.types.ordering import compare
from cql.types.text import literal
from cql.wording import text_of
from storage.values import replace

_ACCEPTED = {
    "string": {"ascii", "text", "inet", "date", "time", "timestamp"},
    "integer": {
        *("bigint", "counter", "date", "decimal", "double", "float", "int"),
        *("smallint", "time", "timestamp", "tinyint", "varint"),
    },
    "uuid": {"uuid", "timeuuid"},
    "float": {"decimal", "double", "float"},
    "boolean": {"boolean"},
    "hex": {"blob"},
    "duration": {"duration"},
}
"""Which types a constant of each kind may be given to."""


@dataclass(slots=True)
class Scope:
    """What a statement's names mean while it is planned, and the bind markers met so far."""

    schema: Schema
    keyspace: str | None
    marker_names: tuple[str | None, ...] = ()
    bind_specs: dict[int, ColumnSpec] = field(default_factory=dict)

    def bind(self, marker: tree.Marker, receiver: ColumnSpec) -> Slot:
        """The slot of a marker which receives a value like `receiver`."""
        name = marker.name or receiver.name
        self.bind_specs[marker.index] = replace(receiver, name=name)
        return Slot.of_marker(receiver.type, marker.index)

    def parse_type(self, text: str) -> CqlType:
        """The type named in a cast or hint."""
        keyspace = self.keyspace or "system"
        found = self.schema.keyspaces.get(keyspace)
        types = {} if found is None else found.types
        return parse_type(text, keyspace, types.get)


def prepare(term: tree.Term, receiver: ColumnSpec, scope: Scope) -> Slot:
    """The slot of `term` as a value for `receiver`; InvalidRequest when it cannot be one."""
    match term:
        case tree.Marker():
            return scope.bind(term, receiver)
        case tree.Null():
            return Slot.of_constant(receiver.type, None)
        case tree.Literal():
            return _literal(term, receiver)
        case tree.ListTerm(items):
            return _list(items, receiver, scope)
        case tree.SetTerm(items):
            return _set(items, receiver, scope)
        case tree.MapTerm(entries):
            return _map(entries, receiver, scope)
        case tree.TupleTerm(items):
            return _tuple(items, receiver, scope)
        case tree.UserTypeTerm(fields):
            return _user_type(fields, receiver, scope)
        case tree.TypeHint(type_text, inner):
            return _hint(type_text, inner, receiver, scope)
        case tree.FunctionCall() | tree.Binary() | tree.Negate() | tree.Cast():
            return calls.prepare_term(term, receiver, scope)
    raise InvalidRequest(f"{text_of(term)} cannot be used as a value for {receiver.name}")


def accepts(term: tree.Term, type_: CqlType) -> bool:
    """Whether a term may be assigned to a type, judged by its shape alone."""
    match term:
        case tree.Literal(kind, _):
            return accepts_literal(kind, type_)
        case tree.ListTerm(items):
            if isinstance(type_, VectorType):
                return all(accepts(item, type_.element) for item in items)
            return isinstance(type_, ListType) and all(accepts(i, type_.element) for i in items)
        case tree.SetTerm(items):
            if isinstance(type_, MapType):
                return not items
            return isinstance(type_, SetType) and all(accepts(i, type_.element) for i in items)
        case tree.MapTerm(entries):
            return isinstance(type_, MapType) and all(
                accepts(k, type_.key) and accepts(v, type_.value) for k, v in entries
            )
        case tree.TupleTerm(items):
            return isinstance(type_, TupleType) and all(
                accepts(i, t) for i, t in zip(items, type_.elements, strict=False)
            )
        case tree.UserTypeTerm():
            return isinstance(type_, UserType | MapType)
    return True


def accepts_literal(kind: str, type_: CqlType) -> bool:
    """Whether a constant of that kind may be given to the type."""
    if isinstance(type_, CustomType):
        return True
    return isinstance(type_, NativeType) and type_.name in _ACCEPTED[kind]


def _literal(term: tree.Literal, receiver: ColumnSpec) -> Slot:
    if not accepts_literal(term.kind, receiver.type):
        raise InvalidRequest(
            f"Invalid {term.kind.upper()} constant ({term.text}) "
            f'for "{receiver.name}" of type {receiver.type}'
        )
    return Slot.of_constant(receiver.type, literal(receiver.type, term.kind, term.text))


def _hint(type_text: str, inner: tree.Term, receiver: ColumnSpec, scope: Scope) -> Slot:
    type_ = scope.parse_type(type_text)
    if type_.frozen() != receiver.type.frozen() or isinstance(inner, tree.Column):
        raise InvalidRequest(
            f"Cannot assign value {text_of(tree.TypeHint(type_text, inner))} "
            f"to {receiver.name} of type {receiver.type}"
        )
    return prepare(inner, replace(receiver, type=type_), scope)


def combine(type_: CqlType, slots: Sequence[Slot], pack: Callable[[list[Any]], bytes]) -> Slot:
    """The slot of a value made of the values of `slots`; a constant when they all are."""
    if all(slot.is_constant for slot in slots):
        return Slot.of_constant(type_, pack([slot.constant for slot in slots]))
    parts = tuple(slots)

    def compute(binding: Binding) -> bytes:
        return pack([slot.resolve(binding) for slot in parts])

    return Slot.of_expression(type_, compute)


def _element(value: Any) -> bytes:
    """An element of a collection, which can be neither null nor unset."""
    if value is None:
        raise InvalidRequest("null is not supported inside collections")
    if value is UNSET:
        raise InvalidRequest("unset value is not supported inside collections")
    result: bytes = value
    return result


def _part(term: tree.Term, receiver: ColumnSpec, name: str, type_: CqlType, scope: Scope) -> Slot:
    part = ColumnSpec(receiver.keyspace, receiver.table, name, type_)
    return prepare(term, part, scope)


def _elements(
    kind: str, items: tuple[tree.Term, ...], receiver: ColumnSpec, element: CqlType, scope: Scope
) -> list[Slot]:
    """The slots of the values in a list, set or vector, all of one type."""
    for item in items:
        if not accepts(item, element):
            raise InvalidRequest(
                f"Invalid {kind} literal for {receiver.name}: "
                f"value {text_of(item)} is not of type {element}"
            )
    name = f"value({receiver.name})"
    return [_part(item, receiver, name, element, scope) for item in items]


def _list(items: tuple[tree.Term, ...], receiver: ColumnSpec, scope: Scope) -> Slot:
    type_ = receiver.type
    if isinstance(type_, VectorType):
        return _vector(items, receiver, type_, scope)
    if not isinstance(type_, ListType):
        raise InvalidRequest(
            f"Unexpected receiver type '{type_}'; only list and vector are expected"
        )
    slots = _elements("list", items, receiver, type_.element, scope)
    return combine(type_, slots, lambda values: pack_collection([_element(v) for v in values]))


def _vector(
    items: tuple[tree.Term, ...], receiver: ColumnSpec, type_: VectorType, scope: Scope
) -> Slot:
    if len(items) != type_.dimension:
        raise InvalidRequest(
            f"Invalid vector literal for {receiver.name} of type {type_}; "
            f"expected {type_.dimension} elements, but given {len(items)}"
        )
    slots = _elements("vector", items, receiver, type_.element, scope)
    return combine(type_, slots, lambda values: pack_vector(type_, [_element(v) for v in values]))


def _set(items: tuple[tree.Term, ...], receiver: ColumnSpec, scope: Scope) -> Slot:
    type_ = receiver.type
    if isinstance(type_, MapType) and not items:
        return Slot.of_constant(type_, pack_map([]))
    if not isinstance(type_, SetType):
        raise InvalidRequest(f"Invalid set literal for {receiver.name} of type {type_}")
    slots = _elements("set", items, receiver, type_.element, scope)
    element = type_.element

    def pack(values: list[Any]) -> bytes:
        return pack_collection(sorted_values(element, [_element(v) for v in values]))

    return combine(type_, slots, pack)


def sorted_values(type_: CqlType, values: list[bytes]) -> list[bytes]:
    """The values in the type's order, equal ones once."""

    def order(a: bytes, b: bytes) -> int:
        return compare(type_, a, b)

    ordered = sorted(values, key=cmp_to_key(order))
    return [
        value
        for i, value in enumerate(ordered)
        if i == 0 or compare(type_, ordered[i - 1], value) != 0
    ]


def _map(
    entries: tuple[tuple[tree.Term, tree.Term], ...], receiver: ColumnSpec, scope: Scope
) -> Slot:
    type_ = receiver.type
    if not isinstance(type_, MapType):
        raise InvalidRequest(f"Invalid map literal for {receiver.name} of type {type_}")
    for key, value in entries:
        for what, term, part in (("key", key, type_.key), ("value", value, type_.value)):
            if not accepts(term, part):
                raise InvalidRequest(
                    f"Invalid map literal for {receiver.name}: "
                    f"{what} {text_of(term)} is not of type {part}"
                )
    slots = []
    for key, value in entries:
        slots.append(_part(key, receiver, f"key({receiver.name})", type_.key, scope))
        slots.append(_part(value, receiver, f"value({receiver.name})", type_.value, scope))
    key_type = type_.key

    def pack(values: list[Any]) -> bytes:
        pairs = {_element(k): _element(v) for k, v in zip(values[::2], values[1::2], strict=True)}
        return pack_map([(k, pairs[k]) for k in sorted_values(key_type, list(pairs))])

    return combine(type_, slots, pack)


def pack_fields(values: Sequence[Any]) -> bytes:
    """The bytes of a tuple or user type; None is a null field."""
    for number, value in enumerate(values):
        if value is UNSET:
            raise InvalidRequest(f"Invalid unset value for tuple field number {number}")
    return pack_tuple(values)


def _pack_user_type(values: Sequence[Any]) -> bytes:
    """The bytes of a user type whose literal may leave fields out; an unset field is null too."""
    return pack_tuple([None if value is UNSET else value for value in values])


def _tuple(items: tuple[tree.Term, ...], receiver: ColumnSpec, scope: Scope) -> Slot:
    type_ = receiver.type
    if not isinstance(type_, TupleType):
        if len(items) == 1:
            return prepare(items[0], receiver, scope)
        raise InvalidRequest(f"Invalid tuple type literal for {receiver.name} of type {type_}")
    if len(items) > len(type_.elements):
        raise InvalidRequest(
            f"Invalid tuple literal for {receiver.name}: too many elements. "
            f"Type {type_} expects {len(type_.elements)} but got {len(items)}"
        )
    slots = []
    for i, (item, part) in enumerate(zip(items, type_.elements, strict=False)):
        if not accepts(item, part):
            raise InvalidRequest(
                f"Invalid tuple literal for {receiver.name}: component {i} is not of type {part}"
            )
        slots.append(_part(item, receiver, f"{receiver.name}[{i}]", part, scope))
    return combine(type_, slots, pack_fields)


def _user_type(
    fields: tuple[tuple[str, tree.Term], ...], receiver: ColumnSpec, scope: Scope
) -> Slot:
    type_ = receiver.type
    if isinstance(type_, MapType):
        entries: list[tuple[tree.Term, tree.Term]] = [
            (tree.Literal("string", name), value) for name, value in fields
        ]
        return _map(tuple(entries), receiver, scope)
    if not isinstance(type_, UserType):
        raise InvalidRequest(f"Invalid user type literal for {receiver.name} of type {type_}")
    given = dict(fields)
    for name in given:
        if name not in type_.field_names:
            raise InvalidRequest(
                f"Unknown field '{name}' in value of user defined type {type_.name}"
            )
    slots = []
    for name, part in zip(type_.field_names, type_.field_types, strict=True):
        term = given.get(name, tree.Null())
        if not accepts(term, part):
            raise InvalidRequest(
                f"Invalid user type literal for {receiver.name}: field {name} is not of type {part}"
            )
        slots.append(_part(term, receiver, f"{receiver.name}.{name}", part, scope))
    return combine(type_, slots, _pack_user_type)
