"""A partition's key from the text that operators write: components with colons between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cql.errors import InvalidRequest
from cql.types.codec import pack_key
from cql.types.text import from_text

if TYPE_CHECKING:
    from cql.schema import Table


def key_from_text(table: Table, text: str) -> bytes:
    """The serialized key, as `cluster.token.decorate` takes it; raises InvalidRequest."""
    columns = table.partition_key
    if len(columns) == 1:
        return from_text(columns[0].type, text)
    texts = text.split(":")
    if len(texts) != len(columns):
        raise InvalidRequest(
            f"'{text}' is no key of {table.full_name}, which has {len(columns)} components"
        )
    return pack_key([from_text(c.type, part) for c, part in zip(columns, texts, strict=True)])
