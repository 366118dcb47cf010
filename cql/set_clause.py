"""SET and the columns of DELETE -> operations, and every refusal that the column asks for."""

from __future__ import annotations

from cql import operations
from cql.bind import SetCell
from cql.errors import InvalidRequest
from cql.operations import Operation
from cql.parser import tree
from cql.restrictions import find_column
from cql.results import ColumnSpec
from cql.schema import Column, Table
from cql.terms import Scope, prepare
from cql.types.catalog import INT, CqlType, ListType, MapType, SetType, UserType
from cql.wording import text_of


def set_column(column: Column, term: tree.Term, table: Table, scope: Scope) -> Operation:
    """`column = term`."""
    if column.type.is_counter:
        raise InvalidRequest(
            f"Cannot set the value of counter column {column.name} (counters can only be "
            "incremented/decremented, not set)"
        )
    slot = prepare(term, spec_of(column, table), scope)
    if column.type.is_multicell:
        return operations.SetCollection(column.id, column.name, column.type, slot)
    return SetCell(column.id, slot)


def spec_of(column: Column, table: Table) -> ColumnSpec:
    """The column as the receiver of a value."""
    return ColumnSpec(table.keyspace, table.name, column.name, column.type)


def operation_of(operation: tree.Operation, table: Table, scope: Scope) -> tuple[Column, Operation]:
    """The operation of one part of SET."""
    column = find_column(table, operation.column)
    if column.is_key:
        raise InvalidRequest(f"PRIMARY KEY part {column.name} found in SET part")
    planner = _SetPart(column, table, scope)
    match operation:
        case tree.SetColumn(_, value):
            return column, set_column(column, value, table, scope)
        case tree.AddTo(_, value):
            return column, planner.add(value)
        case tree.PrependTo(_, value):
            return column, planner.prepend(value)
        case tree.SubtractFrom(_, value):
            return column, planner.subtract(value)
        case tree.SetElement(_, key, value):
            return column, planner.set_element(key, value)
        case tree.SetField(_, field, value):
            return column, planner.set_field(field, value)


class _SetPart:
    """One column in SET."""

    def __init__(self, column: Column, table: Table, scope: Scope) -> None:
        self.column = column
        self.table = table
        self.scope = scope
        self.head = (column.id, column.name, column.type)

    def _spec(self, name: str, type_: CqlType) -> ColumnSpec:
        return ColumnSpec(self.table.keyspace, self.table.name, name, type_)

    def _refuse(self, shown: str, what: str) -> InvalidRequest:
        return InvalidRequest(f"Invalid operation ({shown}) for {what} column {self.column.name}")

    def _count(self, term: tree.Term, sign: int, shown: str) -> Operation:
        if not self.column.type.is_counter:
            frozen = self.column.type.is_collection
            raise self._refuse(shown, "frozen collection" if frozen else "non counter")
        slot = prepare(term, spec_of(self.column, self.table), self.scope)
        return operations.Count(*self.head, slot, sign)

    def add(self, term: tree.Term) -> Operation:
        """`c = c + term`."""
        name, type_ = self.column.name, self.column.type
        if not type_.is_collection or not type_.is_multicell:
            return self._count(term, 1, f"{name} = {name} + {text_of(term)}")
        slot = prepare(term, spec_of(self.column, self.table), self.scope)
        return operations.AddElements(*self.head, slot)

    def prepend(self, term: tree.Term) -> Operation:
        """`l = term + l`."""
        name, type_ = self.column.name, self.column.type
        shown = f"{name} = {text_of(term)} - {name}"
        if not isinstance(type_, ListType):
            raise self._refuse(shown, "non list")
        if not type_.is_multicell:
            raise self._refuse(shown, "frozen list")
        slot = prepare(term, spec_of(self.column, self.table), self.scope)
        return operations.PrependElements(*self.head, slot)

    def subtract(self, term: tree.Term) -> Operation:
        """`c = c - term`."""
        name, type_ = self.column.name, self.column.type
        if not type_.is_collection or not type_.is_multicell:
            return self._count(term, -1, f"{name} = {name} - {text_of(term)}")
        if isinstance(type_, MapType):
            if isinstance(term, tree.MapTerm):
                raise InvalidRequest(
                    f"The value for a map subtraction has to be a set, but was: '{text_of(term)}'"
                )
            spec = self._spec(name, SetType(type_.key, True))
            return operations.RemoveElements(*self.head, prepare(term, spec, self.scope))
        slot = prepare(term, spec_of(self.column, self.table), self.scope)
        if isinstance(type_, ListType):
            return operations.RemoveFromList(*self.head, slot)
        return operations.RemoveElements(*self.head, slot)

    def set_element(self, key: tree.Term, term: tree.Term) -> Operation:
        """`c[key] = term`."""
        name, type_ = self.column.name, self.column.type
        shown = f"{name}[{text_of(key)}] = {text_of(term)}"
        if not type_.is_collection:
            raise self._refuse(shown, "non collection")
        if not type_.is_multicell:
            raise self._refuse(shown, "frozen collection")
        if isinstance(type_, ListType):
            index = prepare(key, self._spec(f"idx({name})", INT), self.scope)
            value = prepare(term, self._spec(f"value({name})", type_.element), self.scope)
            return operations.SetListElement(*self.head, index, value)
        if not isinstance(type_, MapType):
            raise self._refuse(shown, "set")
        slot = prepare(key, self._spec(f"key({name})", type_.key), self.scope)
        value = prepare(term, self._spec(f"value({name})", type_.value), self.scope)
        return operations.SetMapElement(*self.head, slot, value)

    def set_field(self, field: str, term: tree.Term) -> Operation:
        """`u.field = term`."""
        name, type_ = self.column.name, self.column.type
        shown = f"{name}.{field} = {text_of(term)}"
        if not isinstance(type_, UserType):
            raise self._refuse(shown, "non-UDT")
        if not type_.is_multicell:
            raise self._refuse(shown, "frozen UDT")
        index = field_index(type_, field, name)
        spec = self._spec(f"{name}.{field}", type_.field_types[index])
        return operations.SetFieldValue(*self.head, index, prepare(term, spec, self.scope))


def field_index(type_: UserType, field: str, column: str) -> int:
    """The position of a user type's field."""
    if field not in type_.field_names:
        raise InvalidRequest(f"UDT column {column} does not have a field named {field}")
    return type_.field_names.index(field)


def deletion_of(
    deletion: tree.Column | tree.Element | tree.Field, table: Table, scope: Scope
) -> tuple[Column, Operation]:
    """The operation of one column in DELETE."""
    operand = deletion if isinstance(deletion, tree.Column) else deletion.operand
    assert isinstance(operand, tree.Column), "DELETE names columns"
    column = find_column(table, operand.name)
    if column.is_key:
        raise InvalidRequest(
            f"Invalid identifier {column.name} for deletion (should not be a PRIMARY KEY part)"
        )
    head = (column.id, column.name, column.type)
    match deletion:
        case tree.Element(_, key):
            return column, _element_deletion(column, key, table, scope)
        case tree.Field(_, field):
            if not isinstance(column.type, UserType):
                raise InvalidRequest(f"Invalid deletion operation for non-UDT column {column.name}")
            if not column.type.is_multicell:
                raise InvalidRequest(
                    f"Frozen UDT column {column.name} does not support field deletions"
                )
            index = field_index(column.type, field, column.name)
            null = prepare(tree.Null(), spec_of(column, table), scope)
            return column, operations.SetFieldValue(*head, index, null)
        case _:
            return column, operations.DeleteColumn(*head)


def _element_deletion(column: Column, key: tree.Term, table: Table, scope: Scope) -> Operation:
    type_ = column.type
    if not type_.is_collection:
        raise InvalidRequest(f"Invalid deletion operation for non collection column {column.name}")
    if not type_.is_multicell:
        raise InvalidRequest(
            f"Invalid deletion operation for frozen collection column {column.name}"
        )
    head = (column.id, column.name, column.type)
    where = (table.keyspace, table.name)
    if isinstance(type_, ListType):
        spec = ColumnSpec(*where, f"idx({column.name})", INT)
        return operations.DeleteListElement(*head, prepare(key, spec, scope))
    if isinstance(type_, MapType):
        spec = ColumnSpec(*where, f"key({column.name})", type_.key)
    else:
        assert isinstance(type_, SetType), "the third kind of collection"
        spec = ColumnSpec(*where, f"value({column.name})", type_.element)
    return operations.DeleteElement(*head, prepare(key, spec, scope))
