"""Python values to wire bytes, for the rows of system tables."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from uuid import UUID

from cql.types.codec import pack_collection, pack_map

_INT = struct.Struct(">i")
_BIGINT = struct.Struct(">q")
_DOUBLE = struct.Struct(">d")

TRUE = b"\x01"
FALSE = b"\x00"


def text(value: str) -> bytes:
    """text"""
    return value.encode()


def text_or_null(value: str | None) -> bytes | None:
    """text, where None is null"""
    return None if value is None else value.encode()


def boolean(value: bool) -> bytes:
    """boolean"""
    return TRUE if value else FALSE


def integer(value: int) -> bytes:
    """int"""
    return _INT.pack(value)


def bigint(value: int) -> bytes:
    """bigint and timestamp"""
    return _BIGINT.pack(value)


def double(value: float) -> bytes:
    """double"""
    return _DOUBLE.pack(value)


def uuid(value: UUID) -> bytes:
    """uuid and timeuuid"""
    return value.bytes


def inet(value: str) -> bytes:
    """inet"""
    return ip_address(value).packed


def text_list(values: Iterable[str]) -> bytes:
    """list<text>, in the order given"""
    return pack_collection([value.encode() for value in values])


def text_set(values: Iterable[str]) -> bytes:
    """set<text>, in order"""
    return pack_collection(sorted(value.encode() for value in values))


def text_map(values: Mapping[str, str] | Iterable[tuple[str, str]]) -> bytes:
    """map<text, text>, in order"""
    pairs = values.items() if isinstance(values, Mapping) else values
    return pack_map(sorted((key.encode(), value.encode()) for key, value in pairs))
