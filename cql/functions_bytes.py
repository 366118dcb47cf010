"""Functions on bytes as they are: blob conversions, token, uuid, JSON."""

from __future__ import annotations

from cluster.token import token_of
from cql.errors import FunctionFailure, InvalidRequest
from cql.function import Context, Function, Values
from cql.types import catalog
from cql.types.catalog import CqlType
from cql.types.codec import pack_key, validate
from cql.types.text import decode_json, from_json, to_json


def functions() -> list[Function]:
    """The functions of this room with fixed types."""
    found = [Function("uuid", (), catalog.UUID, _uuid, is_pure=False)]
    names = dict(catalog.NATIVE_BY_NAME)
    for name, kind in names.items():
        if kind == catalog.BLOB:
            continue
        found += [
            Function(spelling, (kind,), catalog.BLOB, _same, is_strict=False)
            for spelling in (f"{name}_as_blob", f"{name}asblob")
        ]
        found += [_from_blob(s, name, kind) for s in (f"blob_as_{name}", f"blobas{name}")]
    return found


def _uuid(context: Context, values: Values) -> bytes:
    return context.random.uuid()


def _same(context: Context, values: Values) -> bytes | None:
    return values[0]


def _from_blob(spelling: str, name: str, kind: CqlType) -> Function:
    def body(context: Context, values: Values) -> bytes | None:
        value = values[0]
        if value is not None:
            try:
                validate(kind, value)
            except InvalidRequest:
                raise InvalidRequest(
                    f"In call to function system.{spelling}, value 0x{value.hex()} is not a valid "
                    f"binary representation for type {name}"
                ) from None
        return value

    return Function(spelling, (catalog.BLOB,), kind, body, is_strict=False)


def token_function(types: tuple[CqlType, ...]) -> Function:
    """token(...) of a partition key of these types."""

    def body(context: Context, values: Values) -> bytes | None:
        components = [value for value in values if value is not None]
        if len(components) < len(values):
            return None
        return token_of(pack_key(components)).to_bytes(8, "big", signed=True)

    return Function("token", types, catalog.BIGINT, body, is_strict=False)


def to_json_function(kind: CqlType) -> Function:
    """to_json(value)."""

    def body(context: Context, values: Values) -> bytes:
        return to_json(kind, values[0]).encode()

    return Function("to_json", (kind,), catalog.TEXT, body, is_strict=False)


def from_json_function(name: str, receiver: CqlType | None) -> Function:
    """from_json(text) where a value of the receiver's type is wanted."""
    if receiver is None:
        raise InvalidRequest(
            f"{name}() cannot be used in the selection clause of a SELECT statement"
        )

    def body(context: Context, values: Values) -> bytes | None:
        assert values[0] is not None, "from_json is strict"
        try:
            found = decode_json(values[0].decode())
            return None if found is None else from_json(receiver, found)
        except InvalidRequest as refusal:
            text = f"execution of 'system.{name}[text]' failed: {refusal.message}"
            raise FunctionFailure("system", name, ("text",), text) from None

    return Function(name, (catalog.TEXT,), receiver, body)
