"""CREATE, ALTER and DROP TABLE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from cql.ddl_common import (
    NOTHING_TO_DO,
    DdlEnvironment,
    DdlOutcome,
    get_keyspace,
    keyspace_of,
    read_type,
    refuse_system,
    without_user_types,
)
from cql.errors import AlreadyExists, ConfigurationError, InvalidRequest
from cql.guardrails import (
    check_column_count,
    check_column_ids,
    check_column_name,
    check_table_name,
)
from cql.parser import tree
from cql.results import SchemaChange
from cql.schema import (
    FIRST_COLUMN_ID,
    Column,
    ColumnKind,
    DroppedColumn,
    Keyspace,
    Schema,
    Table,
    drop_table,
    make_table,
    put_table,
)
from cql.table_options import TableOptions
from cql.table_properties import ID, build_options, checked, read_options, table_id_of
from cql.types.catalog import (
    ASCII,
    BIGINT,
    BLOB,
    DECIMAL,
    DURATION,
    INET,
    TEXT,
    TIMESTAMP,
    TIMEUUID,
    VARINT,
    CqlType,
    UserType,
    quote_name,
)
from cql.types.catalog import UUID as UUID_TYPE
from storage.values import replace

_STATIC_NEEDS_CLUSTERING: Final = (
    "Static columns are only useful (and thus allowed) if the table has at least one "
    "clustering column"
)
_NO_MASKS: Final = (
    "Cannot mask columns because dynamic data masking is not enabled. You can enable it with the "
    "dynamic_data_masking_enabled property on cassandra.yaml"
)
_NO_COMPACT_TABLES: Final = (
    "Guardrail compact_tables violated: Creation of new COMPACT STORAGE tables is not allowed"
)
_SAME_BYTES: Final[dict[CqlType, frozenset[CqlType]]] = {
    TEXT: frozenset((ASCII,)),
    BLOB: frozenset((ASCII, TEXT, VARINT, DECIMAL, INET)),
    BIGINT: frozenset((TIMESTAMP,)),
    TIMESTAMP: frozenset((BIGINT,)),
    UUID_TYPE: frozenset((TIMEUUID,)),
}
"""New type -> old types whose values it can read: a dropped name may come back so."""


# ---------------------------------------------------------------- create


def create_table(
    statement: tree.CreateTable,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    """CREATE TABLE."""
    name = statement.table.name
    _check_written(statement)
    keyspace_name = keyspace_of(statement.table, session_keyspace)
    refuse_system(keyspace_name, "CREATE")
    keyspace = get_keyspace(schema, keyspace_name)
    properties = dict(statement.properties)
    read, warnings = read_options(properties)
    if name in keyspace.tables:
        if statement.if_not_exists:
            return NOTHING_TO_DO
        raise AlreadyExists(
            keyspace_name,
            name,
            f'Cannot add already existing table "{name}" to keyspace "{keyspace_name}"',
        )
    options = checked(read)
    types = {
        definition.name: read_type(definition.type_text, keyspace)
        for definition in statement.columns
    }
    _check_types(types)
    _check_primary_key(statement, types)
    _check_clustering_order(statement)
    _check_values(statement, types, options)
    check_table_name(keyspace_name, name)
    check_column_count(name, len(types))
    table = make_table(
        keyspace_name,
        name,
        _new_id(schema, environment, table_id_of(properties)),
        _columns_of(statement, types),
        options,
        FIRST_COLUMN_ID + len(types),
    )
    change = SchemaChange("CREATED", "TABLE", keyspace_name, name)
    return DdlOutcome((put_table(table),), change, warnings)


def _check_written(statement: tree.CreateTable) -> None:
    """What is wrong with the statement itself, whatever the schema is."""
    name = statement.table.name
    seen = set()
    for definition in statement.columns:
        if definition.name in seen:
            raise InvalidRequest(
                f"Duplicate column '{definition.name}' declaration for table '{name}'"
            )
        seen.add(definition.name)
        check_column_name(definition.name)
        if definition.mask is not None:
            raise InvalidRequest(_NO_MASKS)
    if len(statement.primary_keys) > 1:
        raise InvalidRequest(
            f"Multiple PRIMARY KEY specified for table '{name}' (exactly one required)"
        )
    if not statement.primary_keys:
        raise InvalidRequest(f"No PRIMARY KEY specifed for table '{name}' (exactly one required)")
    ordered = set()
    for column, _ in statement.clustering_order:
        if column in ordered:
            raise InvalidRequest(
                f"Duplicate column '{column}' in CLUSTERING ORDER BY clause for table '{name}'"
            )
        ordered.add(column)
    if statement.compact_storage:
        raise InvalidRequest(_NO_COMPACT_TABLES)


def _check_types(types: Mapping[str, CqlType]) -> None:
    for cql_type in types.values():
        if _has_multicell_fields(cql_type):
            raise InvalidRequest(
                "Non-frozen UDTs with nested non-frozen collections are not supported"
            )


def _has_multicell_fields(cql_type: CqlType) -> bool:
    if not isinstance(cql_type, UserType) or not cql_type.is_multicell:
        return False
    return any(part.is_multicell for part in cql_type.field_types)


def _check_primary_key(statement: tree.CreateTable, types: Mapping[str, CqlType]) -> None:
    table = statement.table.name
    partition, clustering = statement.primary_keys[0]
    static = {definition.name for definition in statement.columns if definition.is_static}
    seen = set()
    for name in partition + clustering:
        cql_type = types.get(name)
        if cql_type is None:
            raise InvalidRequest(
                f"Unknown column '{name}' referenced in PRIMARY KEY for table '{table}'"
            )
        if name in seen:
            raise InvalidRequest(
                f"Duplicate column '{name}' in PRIMARY KEY clause for table '{table}'"
            )
        seen.add(name)
        _check_key_type(name, cql_type)
        if name in static:
            raise InvalidRequest(f"Static column '{name}' cannot be part of the PRIMARY KEY")


def _check_key_type(name: str, cql_type: CqlType) -> None:
    if cql_type.is_multicell:
        what = "collection" if cql_type.is_collection else "user-defined"
        shown = str(cql_type)
        if isinstance(cql_type, UserType):
            shown = f'"{cql_type.keyspace}.{cql_type.name}"'
        raise InvalidRequest(
            f"Invalid non-frozen {what} type {shown} for PRIMARY KEY column '{name}'"
        )
    if cql_type.is_counter:
        raise InvalidRequest(f"counter type is not supported for PRIMARY KEY column '{name}'")
    if _mentions_duration(cql_type):
        raise InvalidRequest(f"duration type is not supported for PRIMARY KEY column '{name}'")


def _mentions_duration(cql_type: CqlType) -> bool:
    return cql_type == DURATION or any(map(_mentions_duration, cql_type.inner()))


def _check_clustering_order(statement: tree.CreateTable) -> None:
    clustering = statement.primary_keys[0][1]
    order = [name for name, _ in statement.clustering_order]
    strangers = [name for name in order if name not in clustering]
    if strangers:
        raise InvalidRequest(
            "Only clustering key columns can be defined in CLUSTERING ORDER directive: "
            f"[{', '.join(strangers)}] are not clustering columns"
        )
    for name, expected in zip(order, clustering, strict=False):
        if name == expected:
            continue
        if expected in order:
            raise InvalidRequest(
                "The order of columns in the CLUSTERING ORDER directive must match that of the "
                f"clustering columns ({expected} must appear before {name})"
            )
        raise InvalidRequest(f"Missing CLUSTERING ORDER for column {expected}")


def _check_values(
    statement: tree.CreateTable, types: Mapping[str, CqlType], options: TableOptions
) -> None:
    partition, clustering = statement.primary_keys[0]
    if not clustering and any(definition.is_static for definition in statement.columns):
        raise InvalidRequest(_STATIC_NEEDS_CLUSTERING)
    values = [cql_type for name, cql_type in types.items() if name not in partition + clustering]
    counters = [cql_type for cql_type in values if cql_type.is_counter]
    if counters and len(counters) < len(values):
        raise InvalidRequest("Cannot mix counter and non counter columns in the same table")
    if counters and options.default_time_to_live > 0:
        raise InvalidRequest("Cannot set default_time_to_live on a table with counters")


def _columns_of(statement: tree.CreateTable, types: Mapping[str, CqlType]) -> list[Column]:
    partition, clustering = statement.primary_keys[0]
    descending = {name for name, is_descending in statement.clustering_order if is_descending}
    columns = []
    for column_id, definition in enumerate(statement.columns, FIRST_COLUMN_ID):
        name = definition.name
        kind: ColumnKind = "static" if definition.is_static else "regular"
        position = -1
        if name in partition:
            kind, position = "partition_key", partition.index(name)
        elif name in clustering:
            kind, position = "clustering", clustering.index(name)
        is_reversed = kind == "clustering" and name in descending
        columns.append(Column(name, types[name], kind, position, column_id, is_reversed))
    return columns


def _new_id(schema: Schema, environment: DdlEnvironment, wanted: UUID | None) -> UUID:
    """The id that was asked for, or one by chance; no other table has it."""
    taken = {table.id for table in schema.tables()}
    if wanted is not None:
        if wanted in taken:
            raise ConfigurationError(f"A table with id {wanted} exists already")
        return wanted
    while (chosen := environment.new_table_id()) in taken:
        pass
    return chosen


# ---------------------------------------------------------------- alter


def alter_table(
    statement: tree.AlterTable,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    """ALTER TABLE."""
    keyspace_name = keyspace_of(statement.table, session_keyspace)
    name = statement.table.name
    refuse_system(keyspace_name, "ALTER", name)
    table = schema.find_table(keyspace_name, name)
    if table is None:
        if statement.if_exists:
            return NOTHING_TO_DO
        raise InvalidRequest(f"Table '{keyspace_name}.{name}' doesn't exist")
    keyspace = get_keyspace(schema, keyspace_name)
    changed, warnings = _changed(table, statement.change, keyspace, environment)
    change = SchemaChange("UPDATED", "TABLE", keyspace_name, name)
    if changed == table:
        return DdlOutcome((), None, warnings)
    return DdlOutcome((put_table(changed),), change, warnings)


def _changed(
    table: Table, change: tree.TableChange, keyspace: Keyspace, environment: DdlEnvironment
) -> tuple[Table, tuple[str, ...]]:
    if isinstance(change, tree.AddColumns):
        return _with_columns(table, change, keyspace), ()
    if isinstance(change, tree.DropColumns):
        when = change.timestamp_us
        at = environment.timestamp_us if when is None else when
        return _without_columns(table, change, at), ()
    if isinstance(change, tree.RenameColumns):
        return _renamed(table, change), ()
    if isinstance(change, tree.SetProperties):
        return _with_properties(table, change)
    if isinstance(change, tree.AlterColumnType):
        raise InvalidRequest("Altering column types is no longer supported")
    if isinstance(change, tree.DropCompactStorage):
        raise InvalidRequest("DROP COMPACT STORAGE is disabled. Enable in cassandra.yaml to use.")
    raise InvalidRequest(_NO_MASKS)


def _with_columns(table: Table, change: tree.AddColumns, keyspace: Keyspace) -> Table:
    for definition in change.columns:
        cql_type = read_type(definition.type_text, keyspace)
        if definition.name in table.columns:
            if change.if_not_exists:
                continue
            raise InvalidRequest(f"Column with name '{definition.name}' already exists")
        _check_new_column(table, definition, cql_type)
        kind: ColumnKind = "static" if definition.is_static else "regular"
        column = Column(definition.name, cql_type, kind, -1, table.next_column_id)
        check_column_count(table.name, len(table.columns) + 1)
        check_column_ids(table.name, table.next_column_id)
        table = _rebuilt(
            table,
            (*table.all_columns, column),
            next_column_id=table.next_column_id + 1,
            dropped=tuple(d for d in table.dropped if d.name != column.name),
        )
    return table


def _check_new_column(table: Table, definition: tree.ColumnDefinition, cql_type: CqlType) -> None:
    name = definition.name
    check_column_name(name)
    if definition.mask is not None:
        raise InvalidRequest(_NO_MASKS)
    if definition.is_static and not table.clustering:
        raise InvalidRequest(_STATIC_NEEDS_CLUSTERING)
    if _has_multicell_fields(cql_type):
        raise InvalidRequest(
            "Non-frozen UDTs with nested non-frozen collections are not supported "
            f"for column {name}"
        )
    has_values = bool(table.regular or table.static)
    if cql_type.is_counter and has_values and not table.is_counter:
        raise ConfigurationError(
            f'{table.full_name}: Cannot have a counter column ("{name}") in a non counter table'
        )
    if table.is_counter and not cql_type.is_counter:
        raise ConfigurationError(
            f'{table.full_name}: Cannot have a non counter column ("{name}") in a counter table'
        )
    for dropped in table.dropped:
        if dropped.name == name:
            _check_return(table, dropped, definition, cql_type)


def _check_return(
    table: Table, dropped: DroppedColumn, definition: tree.ColumnDefinition, cql_type: CqlType
) -> None:
    """A dropped name comes back only as what it was: other nodes may still have its old data."""
    name = definition.name
    if table.is_counter or dropped.type.is_counter:
        raise InvalidRequest(f"Cannot re-add previously dropped counter column {name}")
    plain = without_user_types(cql_type)
    if plain != dropped.type and dropped.type not in _SAME_BYTES.get(cql_type, ()):
        raise InvalidRequest(
            f"Cannot add a column '{name}' of type {cql_type}, incompatible with "
            f"previously dropped column '{name}' of type {dropped.type}"
        )
    kind = "static" if definition.is_static else "regular"
    if kind != dropped.kind:
        raise InvalidRequest(
            f"Cannot re-add previously dropped column '{name}' of kind {kind.upper()}, "
            f"incompatible with previous kind {dropped.kind.upper()}"
        )


def _without_columns(table: Table, change: tree.DropColumns, at_us: int) -> Table:
    for name in change.columns:
        column = table.columns.get(name)
        if column is None:
            if change.if_exists:
                continue
            raise InvalidRequest(f"Column {name} was not found in table '{table.full_name}'")
        if column.is_key:
            raise InvalidRequest(f"Cannot drop PRIMARY KEY column {name}")
        if isinstance(column.type, UserType) and column.type.is_multicell:
            raise InvalidRequest(f"Cannot drop non-frozen column {name} of user type {column.type}")
        gone = DroppedColumn(name, without_user_types(column.type), column.kind, at_us)
        table = _rebuilt(
            table,
            tuple(c for c in table.all_columns if c.name != name),
            dropped=(*(d for d in table.dropped if d.name != name), gone),
        )
    return table


def _renamed(table: Table, change: tree.RenameColumns) -> Table:
    for old, new in change.renames:
        column = table.columns.get(old)
        if column is None:
            if change.if_exists:
                continue
            raise InvalidRequest(
                f"Undefined column name {quote_name(old)} in table {table.full_name}"
            )
        if not column.is_key:
            raise InvalidRequest(f"Cannot rename non PRIMARY KEY column {old}")
        if new in table.columns:
            raise InvalidRequest(
                f"Cannot rename column {old} to {new} in table '{table.full_name}'; "
                "another column with that name already exists"
            )
        check_column_name(new)
        columns = [replace(c, name=new) if c.name == old else c for c in table.all_columns]
        table = _rebuilt(table, tuple(columns))
    return table


def _with_properties(table: Table, change: tree.SetProperties) -> tuple[Table, tuple[str, ...]]:
    properties = dict(change.properties)
    if ID in properties:
        raise ConfigurationError("Cannot alter table id.")
    options, warnings = build_options(properties, table.options)
    if table.is_counter and options.default_time_to_live > 0:
        raise InvalidRequest("Cannot set default_time_to_live on a table with counters")
    return replace(table, options=options), warnings


def _rebuilt(
    table: Table,
    columns: tuple[Column, ...],
    *,
    next_column_id: int | None = None,
    dropped: tuple[DroppedColumn, ...] | None = None,
) -> Table:
    return make_table(
        table.keyspace,
        table.name,
        table.id,
        columns,
        table.options,
        table.next_column_id if next_column_id is None else next_column_id,
        table.dropped if dropped is None else dropped,
    )


# ---------------------------------------------------------------- drop


def execute_drop_table(
    statement: tree.DropTable,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    """DROP TABLE."""
    keyspace_name = keyspace_of(statement.table, session_keyspace)
    refuse_system(keyspace_name, "DROP")
    name = statement.table.name
    table = schema.find_table(keyspace_name, name)
    if table is None:
        if statement.if_exists:
            return NOTHING_TO_DO
        raise InvalidRequest(f"Table '{keyspace_name}.{name}' doesn't exist")
    change = SchemaChange("DROPPED", "TABLE", keyspace_name, name)
    return DdlOutcome((drop_table(table),), change)
