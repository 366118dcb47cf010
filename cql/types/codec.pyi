from typing import Final, NamedTuple

from cql.types.catalog import CqlType
from cql.types.parts import (
    pack_collection as pack_collection,
    pack_map as pack_map,
    unpack_list as unpack_list,
    unpack_map as unpack_map,
    pack_tuple as pack_tuple,
    unpack_tuple as unpack_tuple,
    pack_vector as pack_vector,
    unpack_vector as unpack_vector,
    pack_key as pack_key,
    unpack_key as unpack_key,
)

class Empty:
    def __bool__(self) -> bool: ...

EMPTY: Final[Empty]

class Duration(NamedTuple):
    months: int
    days: int
    nanoseconds: int

def validate(cql_type: CqlType, value: bytes) -> int: ...
def encode(cql_type: CqlType, value: object) -> bytes: ...
def decode(cql_type: CqlType, value: bytes) -> object: ...
def encode_duration(months: int, days: int, nanoseconds: int) -> bytes: ...
def decode_duration(value: bytes) -> Duration: ...
def encode_decimal(unscaled: int, scale: int) -> bytes: ...
def decode_decimal(value: bytes) -> tuple[int, int]: ...
def encode_varint(value: int) -> bytes: ...
def decode_varint(value: bytes) -> int: ...
