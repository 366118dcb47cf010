"""SELECT JSON: the values of a row as one JSON text."""

from __future__ import annotations

import json
from collections.abc import Sequence

from cql.assemble import FetchedRow
from cql.results import ColumnSpec
from cql.selection import Evaluate, Frame
from cql.types.text import to_json


def json_expression(specs: Sequence[ColumnSpec], expressions: Sequence[Evaluate]) -> Evaluate:
    """The expression that shows all columns as one object, in their order."""
    names = [json.dumps(_shown_name(spec.name), ensure_ascii=False) for spec in specs]
    parts = tuple(zip(names, [spec.type for spec in specs], expressions, strict=True))

    def evaluate(row: FetchedRow, frame: Frame) -> bytes:
        shown = []
        for name, type_, expression in parts:
            value = expression(row, frame)
            shown.append(f"{name}: {'null' if value is None else to_json(type_, value)}")
        return ("{" + ", ".join(shown) + "}").encode()

    return evaluate


def _shown_name(name: str) -> str:
    """Names with capitals keep quotes of their own, so that they can be inserted again."""
    return f'"{name}"' if name != name.lower() else name
