"""IF: what must hold of the stored row for a conditional write to happen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cql.bind import Binding, Slot
from cql.errors import InvalidRequest
from cql.parser import tree
from cql.parser.tree import Operator
from cql.protocol.requests import UNSET
from cql.restrictions import find_column
from cql.results import ColumnSpec
from cql.schema import Column, Table
from cql.set_clause import field_index
from cql.terms import Scope, prepare
from cql.types.catalog import INT, CqlType, ListType, MapType, UserType
from cql.types.codec import unpack_list, unpack_map, unpack_tuple
from cql.types.ordering import compare
from storage.values import value_class

_ORDERED: dict[Operator, Callable[[int], bool]] = {
    Operator.LT: lambda order: order < 0,
    Operator.LTE: lambda order: order <= 0,
    Operator.GT: lambda order: order > 0,
    Operator.GTE: lambda order: order >= 0,
}


@value_class
class Test:
    """One comparison of a column, an element or a field with values.

    `type` is that of what is compared; `key` the slot of an element's key; `field` a field's index.
    `is_list_marker` says that IN has one marker for its whole list.
    """

    column: Column
    type: CqlType
    operator: Operator
    slots: tuple[Slot, ...]
    key: Slot | None = None
    field: int = -1
    is_list_marker: bool = False

    def holds(self, stored: bytes | None, binding: Binding) -> bool:
        """Whether the column's stored value passes."""
        current = self._part(stored, binding)
        if self.operator is Operator.IN:
            return any(self._equal(current, value) for value in self._listed(binding))
        value = self._value(self.slots[0], binding)
        if self.operator is Operator.EQ:
            return self._equal(current, value)
        if self.operator is Operator.NEQ:
            return not self._equal(current, value)
        if value is None:
            raise InvalidRequest(
                f'Invalid comparison with null for operator "{self.operator.value}"'
            )
        if current is None:
            return False
        return _ORDERED[self.operator](compare(self.type, current, value))

    def _equal(self, current: bytes | None, value: bytes | None) -> bool:
        if self.type.is_multicell and not isinstance(self.type, UserType):
            current = current or b"\x00\x00\x00\x00"
            value = value or b"\x00\x00\x00\x00"
        if current is None or value is None:
            return current is value
        return current == value or compare(self.type, current, value) == 0

    def _value(self, slot: Slot, binding: Binding) -> bytes | None:
        value = slot.resolve(binding)
        if value is UNSET:
            raise InvalidRequest("Invalid 'unset' value in condition")
        result: bytes | None = value
        return result

    def _listed(self, binding: Binding) -> list[bytes | None]:
        if not self.is_list_marker:
            return [self._value(slot, binding) for slot in self.slots]
        packed = self._value(self.slots[0], binding)
        if packed is None:
            raise InvalidRequest("Invalid null list in IN condition")
        return list(unpack_list(packed))

    def _part(self, stored: bytes | None, binding: Binding) -> bytes | None:
        """The element or field of the stored value that the condition is about."""
        if self.field >= 0:
            if stored is None:
                return None
            return unpack_tuple(self.column.type, stored)[self.field]
        if self.key is None:
            return stored
        key = self._value(self.key, binding)
        if isinstance(self.column.type, ListType):
            if key is None:
                raise InvalidRequest("Invalid null value for list element access")
            index = int.from_bytes(key, "big", signed=True)
            if index < 0:
                raise InvalidRequest(f"Invalid negative list index {index}")
            items = [] if stored is None else unpack_list(stored)
            return items[index] if index < len(items) else None
        if key is None:
            raise InvalidRequest("Invalid null value for map element access")
        entries = [] if stored is None else unpack_map(stored)
        return next((value for found, value in entries if found == key), None)


@value_class
class Conditions:
    """The IF of one statement: a row that must (not) exist, or tests of columns.

    `columns` are those shown when the conditions fail: None is all of the table.
    """

    must_exist: bool = False
    must_not_exist: bool = False
    tests: tuple[Test, ...] = ()

    @staticmethod
    def not_exists(table: Table) -> Conditions:
        """IF NOT EXISTS."""
        return Conditions(must_not_exist=True)

    @property
    def columns(self) -> tuple[Column, ...] | None:
        """The columns named, regular ones first, each once; None when the row itself is meant."""
        if not self.tests:
            return None
        named = dict.fromkeys(t.column for t in self.tests if t.column.kind == "regular")
        named |= dict.fromkeys(t.column for t in self.tests if t.column.kind == "static")
        return tuple(named)

    @property
    def on_regular_columns(self) -> bool:
        """Whether a regular column is tested."""
        return any(test.column.kind == "regular" for test in self.tests)

    @property
    def on_static_columns(self) -> bool:
        """Whether a static column is tested."""
        return any(test.column.kind == "static" for test in self.tests)

    def hold(self, exists: bool, values: dict[str, Any], binding: Binding) -> bool:
        """Whether they hold of a row: does it exist, and its values by column name."""
        if self.must_not_exist:
            return not exists
        if self.must_exist:
            return exists
        return all(test.holds(values.get(test.column.name), binding) for test in self.tests)


def plan_conditions(
    statement: tree.Update | tree.Delete, table: Table, scope: Scope
) -> Conditions | None:
    """The conditions of an UPDATE or DELETE; None when it has no IF."""
    if not statement.if_exists and not statement.conditions:
        return None
    if table.is_counter:
        raise InvalidRequest("Conditions on counters are not supported")
    if statement.if_exists:
        return Conditions(must_exist=True)
    return Conditions(tests=tuple(_test(c, table, scope) for c in statement.conditions))


def _test(condition: tree.Condition, table: Table, scope: Scope) -> Test:
    target = condition.target
    operand = target if isinstance(target, tree.Column) else target.operand
    assert isinstance(operand, tree.Column), "a condition is about a column"
    column = find_column(table, operand.name)
    if column.is_key:
        raise InvalidRequest(f"PRIMARY KEY column '{column.name}' cannot have IF conditions")
    if condition.operator not in {Operator.EQ, Operator.NEQ, Operator.IN, *_ORDERED}:
        raise InvalidRequest(f"{condition.operator.value} conditions are not supported yet")
    type_, key, field, name = column.type, None, -1, column.name
    where = (table.keyspace, table.name)
    if isinstance(target, tree.Element):
        if isinstance(type_, ListType):
            key = prepare(target.key, ColumnSpec(*where, f"idx({name})", INT), scope)
            type_ = type_.element
        elif isinstance(type_, MapType):
            key = prepare(target.key, ColumnSpec(*where, f"key({name})", type_.key), scope)
            type_ = type_.value
        else:
            raise InvalidRequest(f"Invalid element access syntax for non-collection column {name}")
        name = f"value({column.name})"
    elif isinstance(target, tree.Field):
        if not isinstance(type_, UserType):
            raise InvalidRequest(f"Cannot delete field {target.field} from non-UDT column {name}")
        if target.field not in type_.field_names:
            raise InvalidRequest(f"Unknown field {target.field} for column {name}")
        field = field_index(type_, target.field, name)
        name, type_ = f"{name}.{target.field}", type_.field_types[field]
    slots, is_list = _slots(condition, ColumnSpec(*where, name, type_), scope)
    return Test(column, type_, condition.operator, slots, key, field, is_list)


def _slots(
    condition: tree.Condition, spec: ColumnSpec, scope: Scope
) -> tuple[tuple[Slot, ...], bool]:
    value = condition.value
    if isinstance(value, tree.InList):
        return tuple(prepare(item, spec, scope) for item in value.items), False
    if condition.operator is not Operator.IN:
        return (prepare(value, spec, scope),), False
    listed = ColumnSpec(
        spec.keyspace, spec.table, f"in({spec.name})", ListType(spec.type.frozen(), True)
    )
    return (prepare(value, listed, scope),), True


def merged_columns(parts: Sequence[Conditions]) -> tuple[Column, ...] | None:
    """The columns that several statements' conditions name; None when one is about whole rows."""
    named: dict[Column, None] = {}
    for conditions in parts:
        columns = conditions.columns
        if columns is None:
            return None
        named |= dict.fromkeys(columns)
    return tuple(named)
