"""INSERT JSON: one text -> the values of all columns."""

from __future__ import annotations

from typing import Any

from cql.bind import Binding, Slot
from cql.errors import InvalidRequest
from cql.parser import tree
from cql.protocol.requests import UNSET
from cql.results import ColumnSpec
from cql.schema import Column, Table
from cql.terms import Scope, prepare
from cql.types.catalog import TEXT
from cql.types.text import decode_json, from_json


def json_slots(statement: tree.InsertJson, table: Table, scope: Scope) -> dict[str, Slot]:
    """A slot for every column of the table, read from the statement's text."""
    text = prepare(statement.value, ColumnSpec(table.keyspace, table.name, "[json]", TEXT), scope)
    reader = _JsonRow(table, text, statement.default_unset)
    if text.is_constant:
        reader.parse(text.constant)
    return {column.name: reader.slot(column) for column in table.all_columns}


class _JsonRow:
    """Parses the text once per execution and hands out its values."""

    def __init__(self, table: Table, text: Slot, default_unset: bool) -> None:
        self._table = table
        self._text = text
        self._missing: Any = UNSET if default_unset else None

    def slot(self, column: Column) -> Slot:
        """The slot of one column."""

        def compute(binding: Binding) -> Any:
            if binding.json is None:
                binding.json = self.parse(self._text.resolve(binding))
            return binding.json[column.name]

        return Slot.of_expression(column.type, compute)

    def parse(self, text: Any) -> dict[str, Any]:
        """The values by column; InvalidRequest with Cassandra's words for what is wrong."""
        if text is None or text is UNSET:
            raise InvalidRequest("Got null for INSERT JSON values")
        shown = text.decode(errors="replace")
        try:
            parsed = decode_json(shown)
        except InvalidRequest as error:
            raise InvalidRequest(
                f"Could not decode JSON string as a map: {error.message}. (String was: {shown})"
            ) from error
        if not isinstance(parsed, dict):
            raise InvalidRequest(
                "Got null for INSERT JSON values"
                if parsed is None
                else ("Could not decode JSON string as a map: not a JSON object")
            )
        given = {_column_name(name): value for name, value in parsed.items()}
        values = {c.name: self._value(c, given) for c in self._table.all_columns}
        unknown = [name for name in given if name not in values]
        if unknown:
            raise InvalidRequest(f"JSON values map contains unrecognized column: {unknown[0]}")
        return values

    def _value(self, column: Column, given: dict[str, Any]) -> Any:
        if column.name not in given:
            return self._missing
        value = given[column.name]
        if value is None:
            return None
        try:
            return from_json(column.type, value)
        except InvalidRequest as error:
            raise InvalidRequest(
                f"Error decoding JSON value for {column.name}: {error.message}"
            ) from error


def _column_name(name: str) -> str:
    """JSON names are case-insensitive unless they carry their own quotes."""
    if len(name) >= 2 and name[0] == name[-1] == '"':
        return name[1:-1].replace('""', '"')
    return name.lower()
