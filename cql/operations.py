"""What SET and the columns of DELETE do to a row: one class for each kind of change.

An operation adds its cells to a row that is being built (`apply`). Some must see what is stored
first (`needs_read`): they find the old elements of their column in `binding.found`.
"""

from __future__ import annotations

from typing import Any, Protocol

from cql.bind import Binding, Slot
from cql.errors import InvalidRequest
from cql.protocol.requests import UNSET
from cql.types.catalog import CqlType, ListType, MapType, SetType, UserType
from cql.types.codec import unpack_list, unpack_map, unpack_tuple
from storage.values import value_class

Elements = list[tuple[bytes, bytes]]


class Operation(Protocol):
    """What a row template needs of each of its changes."""

    @property
    def needs_read(self) -> bool:
        """Whether the stored elements must be read first."""

    def apply(self, builder: Any, binding: Binding) -> Any:
        """Add the change to the row that is being built."""


@value_class
class ColumnOperation:
    """A change of one column."""

    column_id: int
    name: str
    type: CqlType

    @property
    def needs_read(self) -> bool:
        """Whether the stored elements must be read first."""
        return False


def _add(builder: Any, binding: Binding, column_id: int, path: bytes, value: bytes) -> None:
    builder.element(column_id, binding.timestamp_us, path, value, binding.ttl, binding.expiry)


def _drop(builder: Any, binding: Binding, column_id: int, path: bytes) -> None:
    builder.element_tombstone(column_id, binding.timestamp_us, binding.wall_s, path)


def elements_of(type_: CqlType, value: bytes, binding: Binding) -> Elements:
    """A collection's value as cells: (path, value)."""
    match type_:
        case ListType():
            items = unpack_list(value)
            paths = binding.environment.list_paths(binding.moment, len(items))
            return list(zip(paths, items, strict=True))
        case SetType():
            return [(item, b"") for item in unpack_list(value)]
        case MapType():
            return list(unpack_map(value))
        case UserType():
            fields = unpack_tuple(type_, value)
            return [(i.to_bytes(2, "big"), v) for i, v in enumerate(fields) if v is not None]
    raise AssertionError(f"{type_} has no elements")


@value_class
class SetCollection(ColumnOperation):
    """`c = value`: what was there goes, and the new elements come just after."""

    slot: Slot

    def apply(self, builder: Any, binding: Binding) -> None:
        value = self.slot.resolve(binding)
        if value is UNSET:
            return
        builder.complex_deletion(self.column_id, binding.timestamp_us - 1, binding.wall_s)
        if value is None:
            return
        for path, item in elements_of(self.type, value, binding):
            _add(builder, binding, self.column_id, path, item)


@value_class
class DeleteColumn(ColumnOperation):
    """`DELETE c`."""

    def apply(self, builder: Any, binding: Binding) -> None:
        if self.type.is_multicell:
            builder.complex_deletion(self.column_id, binding.timestamp_us, binding.wall_s)
        else:
            builder.tombstone(self.column_id, binding.timestamp_us, binding.wall_s)


@value_class
class AddElements(ColumnOperation):
    """`c = c + value` of a collection."""

    slot: Slot

    def apply(self, builder: Any, binding: Binding) -> None:
        value = self.slot.resolve(binding)
        if value is UNSET or value is None:
            return
        for path, item in elements_of(self.type, value, binding):
            _add(builder, binding, self.column_id, path, item)


@value_class
class PrependElements(ColumnOperation):
    """`l = value + l`: paths from before every element's."""

    slot: Slot

    def apply(self, builder: Any, binding: Binding) -> None:
        value = self.slot.resolve(binding)
        if value is UNSET or value is None:
            return
        items = unpack_list(value)
        paths = binding.environment.list_paths_before(binding.moment, len(items))
        for path, item in zip(paths, items, strict=True):
            _add(builder, binding, self.column_id, path, item)


@value_class
class RemoveElements(ColumnOperation):
    """`s = s - {..}` and `m = m - {..}`: tombstones for what is named."""

    slot: Slot

    def apply(self, builder: Any, binding: Binding) -> None:
        value = self.slot.resolve(binding)
        if value is UNSET or value is None:
            return
        for path in unpack_list(value):
            _drop(builder, binding, self.column_id, path)


@value_class
class RemoveFromList(ColumnOperation):
    """`l = l - [..]`: every stored element with one of the values."""

    slot: Slot

    @property
    def needs_read(self) -> bool:
        return True

    def apply(self, builder: Any, binding: Binding) -> None:
        value = self.slot.resolve(binding)
        if value is UNSET or value is None:
            return
        unwanted = set(unpack_list(value))
        for path, item in stored_elements(binding, self.column_id) or ():
            if item in unwanted:
                _drop(builder, binding, self.column_id, path)


def stored_elements(binding: Binding, column_id: int) -> Elements | None:
    """What was read of the column before the write, in the list's order."""
    assert binding.found is not None, "the row is read before an operation that needs it"
    return binding.found.get(column_id)


def _listed(binding: Binding, operation: ColumnOperation, index: int, doing: str) -> bytes:
    """The path of a list's element by its index."""
    stored = stored_elements(binding, operation.column_id)
    if not stored:
        raise InvalidRequest(doing)
    if not 0 <= index < len(stored):
        raise InvalidRequest(f"List index {index} out of bound, list has size {len(stored)}")
    return stored[index][0]


def _index(slot: Slot, binding: Binding) -> int:
    value = slot.resolve(binding)
    if value is None:
        raise InvalidRequest("Invalid null value for list index")
    if value is UNSET:
        raise InvalidRequest("Invalid unset value for list index")
    return int.from_bytes(value, "big", signed=True)


@value_class
class SetListElement(ColumnOperation):
    """`l[i] = value`."""

    index: Slot
    slot: Slot

    @property
    def needs_read(self) -> bool:
        return True

    def apply(self, builder: Any, binding: Binding) -> None:
        value = self.slot.resolve(binding)
        if value is UNSET:
            return
        index = _index(self.index, binding)
        path = _listed(binding, self, index, "Attempted to set an element on a list which is null")
        if value is None:
            _drop(builder, binding, self.column_id, path)
        else:
            _add(builder, binding, self.column_id, path, value)


@value_class
class DeleteListElement(ColumnOperation):
    """`DELETE l[i]`."""

    index: Slot

    @property
    def needs_read(self) -> bool:
        return True

    def apply(self, builder: Any, binding: Binding) -> None:
        index = _index(self.index, binding)
        path = _listed(
            binding, self, index, "Attempted to delete an element from a list which is null"
        )
        _drop(builder, binding, self.column_id, path)


def _path(slot: Slot, binding: Binding, what: str) -> bytes:
    value = slot.resolve(binding)
    if value is None:
        raise InvalidRequest(f"Invalid null {what}")
    if value is UNSET:
        raise InvalidRequest(f"Invalid unset {what}")
    result: bytes = value
    return result


@value_class
class SetMapElement(ColumnOperation):
    """`m[k] = value`."""

    key: Slot
    slot: Slot

    def apply(self, builder: Any, binding: Binding) -> None:
        path = _path(self.key, binding, "map key")
        value = self.slot.resolve(binding)
        if value is None:
            _drop(builder, binding, self.column_id, path)
        elif value is not UNSET:
            _add(builder, binding, self.column_id, path, value)


@value_class
class DeleteElement(ColumnOperation):
    """`DELETE m[k]` and `DELETE s[v]`."""

    key: Slot

    def apply(self, builder: Any, binding: Binding) -> None:
        _drop(builder, binding, self.column_id, _path(self.key, binding, "map key"))


@value_class
class SetFieldValue(ColumnOperation):
    """`u.f = value`; null and DELETE u.f drop the field."""

    field_index: int
    slot: Slot

    def apply(self, builder: Any, binding: Binding) -> None:
        value = self.slot.resolve(binding)
        path = self.field_index.to_bytes(2, "big")
        if value is None:
            _drop(builder, binding, self.column_id, path)
        elif value is not UNSET:
            _add(builder, binding, self.column_id, path, value)


@value_class
class Count(ColumnOperation):
    """`c = c + n`: a difference that the counter's owner adds up."""

    slot: Slot
    sign: int

    def apply(self, builder: Any, binding: Binding) -> None:
        value = self.slot.resolve(binding)
        if value is UNSET:
            return
        if value is None:
            what = "increment" if self.sign > 0 else "decrement"
            if self.slot.is_constant:
                what = "increment/decrement"
            raise InvalidRequest(f"Invalid null value for counter {what}")
        given = int.from_bytes(value, "big", signed=True)
        delta = self.sign * given
        if not -(1 << 63) <= delta < 1 << 63:
            raise InvalidRequest(
                f"The negation of {given} overflows supported counter precision (signed 8 bytes "
                "integer)"
            )
        builder.cell(self.column_id, binding.timestamp_us, delta.to_bytes(8, "big", signed=True))
