"""Functions that hide data: mask_null, default, replace, inner, outer and hash."""

from __future__ import annotations

import hashlib
from typing import Final

from cql.errors import InvalidRequest
from cql.function import Context, Function, Values
from cql.types import catalog
from cql.types.catalog import CqlType, NativeType, TupleType, UserType, VectorType
from cql.types.codec import pack_collection, pack_tuple, pack_vector

MASKS: Final = (
    *("mask_null", "mask_default", "mask_replace", "mask_inner", "mask_outer", "mask_hash"),
)
PADDING: Final = "*"
_ALGORITHMS: Final = {
    "MD5": "md5",
    "SHA-1": "sha1",
    "SHA": "sha1",
    "SHA-224": "sha224",
    "SHA-256": "sha256",
    "SHA-384": "sha384",
    "SHA-512": "sha512",
    "SHA-512/256": "sha512_256",
    "SHA3-224": "sha3_224",
    "SHA3-256": "sha3_256",
    "SHA3-384": "sha3_384",
    "SHA3-512": "sha3_512",
}
_DEFAULTS: Final = {
    "ascii": b"****",
    "text": b"****",
    "blob": b"",
    "boolean": b"\0",
    "date": b"\x80\0\0\0",
    "decimal": bytes(5),
    "duration": bytes(3),
    "inet": bytes(4),
    "timeuuid": bytes(6) + b"\x10" + bytes(9),
    "uuid": bytes(16),
    "varint": b"\0",
}
_WIDTHS: Final = {"tinyint": 1, "smallint": 2, "int": 4, "float": 4}


def mask(name: str, kind: CqlType, argument_count: int) -> Function:
    """One of MASKS for a value of a type, with so many arguments in all."""
    wanted = {"mask_replace": (2,), "mask_hash": (1, 2), "mask_inner": (3, 4), "mask_outer": (3, 4)}
    if argument_count not in wanted.get(name, (1,)):
        raise InvalidRequest(f"Invalid number of arguments for function system.{name}")
    if name == "mask_hash":
        types = (kind, catalog.TEXT)[:argument_count]
        return Function(name, types, catalog.BLOB, _hash, is_strict=False)
    if name in ("mask_inner", "mask_outer"):
        return _partial(name, kind, argument_count)
    if name == "mask_replace":
        return Function(name, (kind, kind), kind, lambda context, v: v[1], is_strict=False)
    result = None if name == "mask_null" else default_of(kind)
    return Function(name, (kind,), kind, lambda context, v: result, is_strict=False)


def default_of(kind: CqlType) -> bytes:
    """What stands for any value of a type."""
    if isinstance(kind, NativeType):
        return _DEFAULTS.get(kind.name, bytes(_WIDTHS.get(kind.name, 8)))
    if kind.is_collection:
        return pack_collection([])
    if isinstance(kind, TupleType | UserType):
        return pack_tuple([default_of(part) for part in kind.inner()])
    if isinstance(kind, VectorType):
        return pack_vector(kind, [default_of(kind.element)] * kind.dimension)
    return b""


def _hash(context: Context, values: Values) -> bytes | None:
    name = values[1].decode() if len(values) > 1 and values[1] is not None else "SHA-256"
    algorithm = _ALGORITHMS.get(name.upper())
    if algorithm is None:
        raise InvalidRequest(f"Hash algorithm not found: {name}")
    return None if values[0] is None else hashlib.new(algorithm, values[0]).digest()


def _partial(name: str, kind: CqlType, argument_count: int) -> Function:
    if kind not in (catalog.TEXT, catalog.ASCII):
        raise InvalidRequest(
            f"Function system.{name} requires an argument of type [text|varchar|ascii], "
            f"but found argument of type {kind}"
        )
    is_inner = name == "mask_inner"

    def body(context: Context, values: Values) -> bytes | None:
        if values[0] is None:
            return None
        begin, end = (int.from_bytes(v or b"", "big", signed=True) for v in values[1:3])
        return _hide(values[0].decode(), begin, end, _padding(name, values), is_inner)

    types = (kind, catalog.INT, catalog.INT, catalog.TEXT)[:argument_count]
    return Function(name, types, kind, body, is_strict=False)


def _padding(name: str, values: Values) -> str:
    padding = values[3].decode() if len(values) > 3 and values[3] is not None else PADDING
    length = len(padding.encode("utf-16-be")) // 2
    if length != 1:
        raise InvalidRequest(
            f"The padding argument for function system.{name} should be single-character, "
            f"but '{padding}' has {length} characters."
        )
    return padding


def _hide(text: str, begin: int, end: int, padding: str, is_inner: bool) -> bytes:
    """Characters are counted as in Java, in units of UTF-16; half a pair becomes "?"."""
    raw = text.encode("utf-16-be")
    units = [raw[at : at + 2] for at in range(0, len(raw), 2)]
    last = len(units) - 1 - end
    cover = padding.encode("utf-16-be")
    shown = [cover if (begin <= at <= last) == is_inner else unit for at, unit in enumerate(units)]
    hidden = b"".join(shown).decode("utf-16-be", "surrogatepass")
    return hidden.encode("utf-8", "replace")
