"""Schema statements: tree and schema in, operations and what changed out.

Nothing here has an effect: the caller persists the operations and applies them on every shard. All
checks are made against the schema given, so statements must be executed one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from cql import ddl_tables
from cql.ddl_common import (
    NOTHING_TO_DO,
    DdlEnvironment,
    DdlOutcome,
    get_keyspace,
    keyspace_of,
    read_type,
    refuse_system,
)
from cql.errors import (
    AlreadyExists,
    InvalidRequest,
    SyntaxException,
    Unauthorized,
)
from cql.guardrails import check_field_count, check_keyspace_name
from cql.parser import tree
from cql.replication_options import build_replication, total_factor, warnings_of
from cql.results import SchemaChange
from cql.schema import (
    LOCAL_KEYSPACES,
    REPLICATED_SYSTEM_KEYSPACES,
    VIRTUAL_KEYSPACES,
    Keyspace,
    Schema,
    drop_keyspace,
    drop_type,
    put_keyspace,
    put_type,
)
from cql.table_properties import boolean_of
from cql.types.catalog import CqlType, UserType
from storage.values import replace

Statement = tree.SchemaStatement | tree.RoleStatement
KEYSPACE_PROPERTIES: Final = frozenset(("replication", "durable_writes"))
REPAIR_NEEDED: Final = (
    "When increasing replication factor you need to run a full (-full) repair "
    "to distribute the data."
)
NOT_LOGGED_IN: Final = "You have to be logged in and not anonymous to perform this request"


def execute_ddl(
    statement: Statement,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    """What the statement does to the schema.

    Raises the CqlError that the client shall see. An outcome without operations is a statement that
    had nothing to do because of IF EXISTS or IF NOT EXISTS.
    """
    if isinstance(statement, tree.RoleStatement):
        raise Unauthorized(NOT_LOGGED_IN)
    execute = _EXECUTE[type(statement)]
    return execute(statement, schema, session_keyspace, environment)


# ---------------------------------------------------------------- keyspaces


def _create_keyspace(
    statement: tree.CreateKeyspace,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    name = statement.name
    properties = _keyspace_properties(statement.properties)
    if name in LOCAL_KEYSPACES:
        raise InvalidRequest(f"System keyspace '{name}' is not user-modifiable")
    refuse_system(name, "CREATE")
    if "replication" not in properties:
        raise InvalidRequest("Missing mandatory option 'replication'")
    if name in schema.keyspaces:
        if statement.if_not_exists:
            return NOTHING_TO_DO
        raise AlreadyExists(name, "", f'Cannot add existing keyspace "{name}"')
    check_keyspace_name(name)
    replication = build_replication(
        name,
        _replication(properties),
        environment.datacenters,
        environment.default_replication_factor,
    )
    keyspace = Keyspace(name, replication, _durable_writes(properties, True))
    warnings = warnings_of(name, replication, environment.datacenters)
    change = SchemaChange("CREATED", "KEYSPACE", name)
    return DdlOutcome((put_keyspace(keyspace),), change, warnings)


def _alter_keyspace(
    statement: tree.AlterKeyspace,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    name = statement.name
    properties = _keyspace_properties(statement.properties)
    if name not in REPLICATED_SYSTEM_KEYSPACES:
        refuse_system(name, "ALTER")
    keyspace = schema.keyspaces.get(name)
    if keyspace is None:
        if statement.if_exists:
            return NOTHING_TO_DO
        raise InvalidRequest(f"Keyspace '{name}' doesn't exist")
    replication: Mapping[str, str] = keyspace.replication
    warnings: tuple[str, ...] = ()
    if "replication" in properties:
        replication = build_replication(
            name,
            _replication(properties),
            environment.datacenters,
            environment.default_replication_factor,
            keyspace.replication,
        )
        warnings = warnings_of(name, replication, environment.datacenters)
        nodes = sum(environment.datacenters.values())
        if total_factor(replication, nodes) > total_factor(keyspace.replication, nodes):
            warnings += (REPAIR_NEEDED,)
    altered = replace(
        keyspace,
        replication=replication,
        durable_writes=_durable_writes(properties, keyspace.durable_writes),
    )
    if altered == keyspace:
        return DdlOutcome(warnings=warnings)
    change = SchemaChange("UPDATED", "KEYSPACE", name)
    return DdlOutcome((put_keyspace(altered),), change, warnings)


def _drop_keyspace(
    statement: tree.DropKeyspace,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    name = statement.name
    if name in VIRTUAL_KEYSPACES:
        raise Unauthorized(f"{name} keyspace is not user-modifiable.")
    refuse_system(name, "DROP")
    if name not in schema.keyspaces:
        if statement.if_exists:
            return NOTHING_TO_DO
        raise InvalidRequest(f"Keyspace '{name}' doesn't exist")
    return DdlOutcome((drop_keyspace(name),), SchemaChange("DROPPED", "KEYSPACE", name))


def _keyspace_properties(
    given: Iterable[tuple[str, tree.PropertyValue]],
) -> dict[str, tree.PropertyValue]:
    for name, _ in given:
        if name not in KEYSPACE_PROPERTIES:
            raise SyntaxException(f"Unknown property '{name}'")
    return dict(given)


def _replication(properties: Mapping[str, tree.PropertyValue]) -> dict[str, str]:
    value = properties["replication"]
    if isinstance(value, str):
        raise SyntaxException("Invalid value for property 'replication'. It should be a map.")
    return dict(value)


def _durable_writes(properties: Mapping[str, tree.PropertyValue], default: bool) -> bool:
    value = properties.get("durable_writes")
    if value is None:
        return default
    if not isinstance(value, str):
        raise SyntaxException("Invalid value for property 'durable_writes'. It should be a string")
    return boolean_of("durable_writes", value)


# ---------------------------------------------------------------- user types


def _create_type(
    statement: tree.CreateType,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    keyspace_name = keyspace_of(statement.name, session_keyspace)
    name = statement.name.name
    refuse_system(keyspace_name, "CREATE")
    keyspace = get_keyspace(schema, keyspace_name)
    if name in keyspace.types:
        if statement.if_not_exists:
            return NOTHING_TO_DO
        raise InvalidRequest(f"A user type with name '{name}' already exists")
    seen = set()
    for field, _ in statement.fields:
        if field in seen:
            raise InvalidRequest(f"Duplicate field name '{field}' in type '{name}'")
        seen.add(field)
    check_field_count(name, len(statement.fields))
    types = tuple(read_type(text, keyspace) for _, text in statement.fields)
    for cql_type in types:
        if cql_type.is_counter:
            raise InvalidRequest("A user type cannot contain counters")
        if isinstance(cql_type, UserType) and cql_type.is_multicell:
            raise InvalidRequest("A user type cannot contain non-frozen UDTs")
    user_type = UserType(keyspace_name, name, tuple(f for f, _ in statement.fields), types)
    change = SchemaChange("CREATED", "TYPE", keyspace_name, name)
    return DdlOutcome((put_type(user_type),), change)


def _alter_type(
    statement: tree.AlterType,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    keyspace_name = keyspace_of(statement.name, session_keyspace)
    name = statement.name.name
    refuse_system(keyspace_name, "ALTER")
    user_type = schema.find_type(keyspace_name, name)
    if user_type is None:
        if statement.if_exists:
            return NOTHING_TO_DO
        raise InvalidRequest(f"Type {keyspace_name}.{name} doesn't exist")
    keyspace = get_keyspace(schema, keyspace_name)
    change = statement.change
    if isinstance(change, tree.AlterFieldType):
        raise InvalidRequest("Altering field types is no longer supported")
    if isinstance(change, tree.AddField):
        altered = _with_field(user_type, change, keyspace)
    else:
        altered = _with_renamed_fields(user_type, change)
    if altered == user_type:
        return NOTHING_TO_DO
    return DdlOutcome((put_type(altered),), SchemaChange("UPDATED", "TYPE", keyspace_name, name))


def _with_field(user_type: UserType, change: tree.AddField, keyspace: Keyspace) -> UserType:
    shown = f"{user_type.keyspace}.{user_type.name}"
    if change.field in user_type.field_names:
        if change.if_not_exists:
            return user_type
        raise InvalidRequest(
            f"Cannot add field {change.field} to type {shown}: "
            f"a field with name {change.field} already exists"
        )
    cql_type = read_type(change.type_text, keyspace)
    if isinstance(cql_type, UserType) and cql_type.is_multicell:
        raise InvalidRequest("A user type cannot contain non-frozen UDTs")
    adding = f"Cannot add new field {change.field} of type {_shown(cql_type)} to user type {shown}"
    if cql_type.names_user_type(keyspace.name, user_type.name):
        raise InvalidRequest(f"{adding} as it would create a circular reference")
    users = [
        table.full_name
        for table in keyspace.tables.values()
        if any(c.type.names_user_type(keyspace.name, user_type.name) for c in table.partition_key)
    ]
    if users:
        raise InvalidRequest(
            f"{adding} as the type is being used in partition key by the following tables: "
            f"{', '.join(users)}"
        )
    if cql_type.is_counter:
        raise InvalidRequest("A user type cannot contain counters")
    check_field_count(user_type.name, len(user_type.field_names) + 1)
    return replace(
        user_type,
        field_names=(*user_type.field_names, change.field),
        field_types=(*user_type.field_types, cql_type),
    )


def _shown(cql_type: CqlType) -> str:
    if isinstance(cql_type, UserType):
        return f"frozen<{cql_type.keyspace}.{cql_type.name}>"
    return str(cql_type)


def _with_renamed_fields(user_type: UserType, change: tree.RenameFields) -> UserType:
    shown = f"{user_type.keyspace}.{user_type.name}"
    names = list(user_type.field_names)
    for old, new in change.renames:
        if old in user_type.field_names:
            names[user_type.field_names.index(old)] = new
        elif not change.if_exists:
            raise InvalidRequest(f"Unkown field {old} in user type {shown}")
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest(f"Duplicate field name {name} in type {user_type.keyspace}")
    return replace(user_type, field_names=tuple(names))


def _drop_type(
    statement: tree.DropType,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    keyspace_name = keyspace_of(statement.name, session_keyspace)
    name = statement.name.name
    refuse_system(keyspace_name, "DROP")
    if schema.find_type(keyspace_name, name) is None:
        if statement.if_exists:
            return NOTHING_TO_DO
        raise InvalidRequest(f"Type '{keyspace_name}.{name}' doesn't exist")
    keyspace = get_keyspace(schema, keyspace_name)
    refusal = f"Cannot drop user type '{keyspace_name}.{name}' as it is still used by"
    types = [
        other.name
        for other in keyspace.types.values()
        if any(part.names_user_type(keyspace_name, name) for part in other.field_types)
    ]
    if types:
        raise InvalidRequest(f"{refusal} user types {', '.join(types)}")
    tables = [
        table.name
        for table in keyspace.tables.values()
        if any(column.type.names_user_type(keyspace_name, name) for column in table.all_columns)
    ]
    if tables:
        raise InvalidRequest(f"{refusal} tables {', '.join(tables)}")
    change = SchemaChange("DROPPED", "TYPE", keyspace_name, name)
    return DdlOutcome((drop_type(keyspace_name, name),), change)


# ---------------------------------------------------------------- what does not exist yet


def _create_index(
    statement: tree.CreateIndex,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    keyspace_name = keyspace_of(statement.table, session_keyspace)
    refuse_system(keyspace_name, "ALTER")
    table = schema.find_table(keyspace_name, statement.table.name)
    if table is None:
        raise InvalidRequest(f"Table '{keyspace_name}.{statement.table.name}' doesn't exist")
    for target in statement.targets:
        column = table.columns.get(target.column)
        if column is None:
            raise InvalidRequest(
                f"Undefined column name {target.column} in table {table.full_name}"
            )
        if column.kind == "partition_key" and len(table.partition_key) == 1:
            raise InvalidRequest(
                f"Cannot create secondary index on the only partition key column {column.name}"
            )
    raise InvalidRequest("CREATE INDEX is not supported yet")


def _refused(message: str) -> Callable[..., DdlOutcome]:
    def refuse(
        statement: Any,
        schema: Schema,
        session_keyspace: str | None,
        environment: DdlEnvironment,
    ) -> DdlOutcome:
        raise InvalidRequest(message)

    return refuse


def _drop_nothing(
    statement: tree.DropIndex | tree.DropFunction | tree.DropAggregate,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    """There are no such things yet, so none of them exists."""
    if statement.if_exists:
        return NOTHING_TO_DO
    keyspace = keyspace_of(statement.name, session_keyspace)
    raise InvalidRequest(_ABSENT[type(statement)].format(f"{keyspace}.{statement.name.name}"))


_ABSENT: Final[dict[type, str]] = {
    tree.DropIndex: "Index '{}' doesn't exist'",
    tree.DropFunction: "Function '{}' doesn't exist",
    tree.DropAggregate: "Aggregate '{}' doesn't exist",
}


def _drop_view(
    statement: tree.DropView,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    if statement.if_exists:
        return NOTHING_TO_DO
    keyspace = keyspace_of(statement.view, session_keyspace)
    raise InvalidRequest(f"Materialized view '{keyspace}.{statement.view.name}' doesn't exist")


def _drop_trigger(
    statement: tree.DropTrigger,
    schema: Schema,
    session_keyspace: str | None,
    environment: DdlEnvironment,
) -> DdlOutcome:
    if statement.if_exists:
        return NOTHING_TO_DO
    keyspace = keyspace_of(statement.table, session_keyspace)
    raise InvalidRequest(
        f"Trigger '{statement.name}' on '{keyspace}.{statement.table.name}' doesn't exist"
    )


_NO_VIEWS: Final = _refused("Materialized views are disabled. Enable in cassandra.yaml to use.")
_NO_FUNCTIONS: Final = _refused(
    "User-defined functions are disabled in cassandra.yaml - "
    "set user_defined_functions_enabled=true to enable"
)

_EXECUTE: Final[dict[type, Callable[[Any, Schema, str | None, DdlEnvironment], DdlOutcome]]] = {
    tree.CreateKeyspace: _create_keyspace,
    tree.AlterKeyspace: _alter_keyspace,
    tree.DropKeyspace: _drop_keyspace,
    tree.CreateTable: ddl_tables.create_table,
    tree.AlterTable: ddl_tables.alter_table,
    tree.DropTable: ddl_tables.execute_drop_table,
    tree.CreateType: _create_type,
    tree.AlterType: _alter_type,
    tree.DropType: _drop_type,
    tree.CreateIndex: _create_index,
    tree.DropIndex: _drop_nothing,
    tree.CreateView: _NO_VIEWS,
    tree.AlterView: _NO_VIEWS,
    tree.DropView: _drop_view,
    tree.CreateFunction: _NO_FUNCTIONS,
    tree.DropFunction: _drop_nothing,
    tree.CreateAggregate: _NO_FUNCTIONS,
    tree.DropAggregate: _drop_nothing,
    tree.CreateTrigger: _refused("CREATE TRIGGER is not supported yet"),
    tree.DropTrigger: _drop_trigger,
}
