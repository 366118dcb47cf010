from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from cql.protocol.events import Event
from cql.protocol.frame import Reply
from cql.protocol.requests import Request
from cql.results import Result, Rows, SchemaChange
from cql.types.catalog import CqlType

METADATA_KEPT_MAX: Final = 1024

def reply_to(
    result: Result,
    version: int,
    *,
    skip_metadata: bool = False,
    known_metadata_id: bytes | None = None,
    has_metadata_id: bool = False,
    marks_conditional: bool = False,
    payload: Mapping[str, bytes] | None = None,
) -> Reply: ...
def wrap(
    opcode: int,
    body: bytes,
    version: int,
    *,
    tracing_id: UUID | None = None,
    warnings: Sequence[str] = (),
    payload: Mapping[str, bytes] | None = None,
) -> Reply: ...
def rows_reply(request: Request, rows: Rows, version: int) -> Reply: ...
def encode_result(
    result: Result,
    version: int,
    *,
    skip_metadata: bool = False,
    known_metadata_id: bytes | None = None,
    has_metadata_id: bool = False,
    marks_conditional: bool = False,
) -> bytes: ...
def encode_type(cql_type: CqlType, version: int) -> bytes: ...
def encode_schema_change(change: SchemaChange, version: int) -> bytes: ...
def encode_event(event: Event, version: int) -> bytes: ...
def event_reply(event: Event, version: int) -> Reply: ...
def encode_supported(options: Mapping[str, Sequence[str]]) -> bytes: ...
def supported_reply(options: Mapping[str, Sequence[str]]) -> Reply: ...
def encode_string(text: str) -> bytes: ...
def encode_bytes(data: bytes | None) -> bytes: ...
def encode_short_bytes(data: bytes) -> bytes: ...
def encode_string_list(texts: Sequence[str]) -> bytes: ...
