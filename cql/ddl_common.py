"""What all schema statements share: their surroundings, their outcome, names and types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from uuid import UUID

from cql.errors import InvalidRequest, Unauthorized
from cql.parser.tree import QualifiedName
from cql.results import SchemaChange
from cql.schema import (
    LOCAL_KEYSPACES,
    REPLICATED_SYSTEM_KEYSPACES,
    VIRTUAL_KEYSPACES,
    Keyspace,
    Op,
    Schema,
)
from cql.types.catalog import (
    CqlType,
    ListType,
    MapType,
    SetType,
    TupleType,
    UserType,
    VectorType,
    parse_type,
)
from storage.values import replace, value_class

if TYPE_CHECKING:
    from random import Random

NO_KEYSPACE: Final = (
    "No keyspace has been specified. USE a keyspace, or explicitly specify keyspace.tablename"
)


@value_class
class DdlEnvironment:
    """What a schema statement depends on besides the schema.

    `random` gives the ids of new tables, `timestamp_us` is the time of the statement,
    `datacenters` the number of nodes of each datacenter.
    """

    random: Random
    timestamp_us: int
    datacenters: Mapping[str, int]
    default_replication_factor: int = 1

    def new_table_id(self) -> UUID:
        """An id that no table had before."""
        return UUID(int=self.random.getrandbits(128), version=4)


@value_class
class DdlOutcome:
    """Operations to apply; `change` is None, and there are none, if nothing had to be done."""

    ops: tuple[Op, ...] = ()
    change: SchemaChange | None = None
    warnings: tuple[str, ...] = ()


NOTHING_TO_DO: Final = DdlOutcome()


def keyspace_of(name: QualifiedName, session_keyspace: str | None) -> str:
    """The keyspace that a name belongs to; InvalidRequest if neither it nor the session has one."""
    keyspace = name.keyspace or session_keyspace
    if keyspace is None:
        raise InvalidRequest(NO_KEYSPACE)
    return keyspace


def get_keyspace(schema: Schema, name: str) -> Keyspace:
    """The keyspace; InvalidRequest if there is none."""
    found = schema.keyspaces.get(name)
    if found is None:
        raise InvalidRequest(f"Keyspace '{name}' doesn't exist")
    return found


def refuse_system(keyspace: str, verb: str, table: str = "") -> None:
    """Keyspaces of the system, and their tables, are not altered by users."""
    if keyspace in LOCAL_KEYSPACES:
        raise Unauthorized(f"{keyspace} keyspace is not user-modifiable.")
    if keyspace in VIRTUAL_KEYSPACES:
        raise InvalidRequest(f"Virtual keyspace '{keyspace}' is not user-modifiable")
    if keyspace in REPLICATED_SYSTEM_KEYSPACES:
        what = f"table {keyspace}.{table}" if table else f"keyspace {keyspace}"
        raise Unauthorized(f"Cannot {verb} <{what}>")


def read_type(text: str, keyspace: Keyspace) -> CqlType:
    """The type, or Cassandra's complaint about it."""
    return parse_type(text, keyspace.name, keyspace.find_type)


def without_user_types(cql_type: CqlType) -> CqlType:
    """The same shape with tuples in place of user types, so that it outlives them."""
    if isinstance(cql_type, UserType):
        return TupleType(tuple(without_user_types(part.frozen()) for part in cql_type.field_types))
    return _rebuilt(cql_type)


def _rebuilt(cql_type: CqlType) -> CqlType:
    if isinstance(cql_type, ListType | SetType | VectorType):
        return replace(cql_type, element=without_user_types(cql_type.element))
    if isinstance(cql_type, MapType):
        return replace(
            cql_type,
            key=without_user_types(cql_type.key),
            value=without_user_types(cql_type.value),
        )
    if isinstance(cql_type, TupleType):
        return TupleType(tuple(without_user_types(part) for part in cql_type.elements))
    return cql_type
