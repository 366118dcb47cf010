"""Statements on the schema and on roles, and DESCRIBE, as they were written."""

from __future__ import annotations

from cql.parser.expression_tree import (
    CustomExpression,
    QualifiedName,
    Relation,
    Selector,
    Term,
)
from storage.values import value_class

PropertyValue = str | tuple[tuple[str, str], ...]
"""A property is a text (of a constant or a word) or a map of texts, in the order written."""


@value_class
class Mask:
    """`MASKED WITH function(args)`; `MASKED WITH DEFAULT` is mask_default()."""

    function: QualifiedName
    args: tuple[Term, ...]


@value_class
class ColumnDefinition:
    """One column in CREATE TABLE or ALTER TABLE ADD."""

    name: str
    type_text: str
    is_static: bool = False
    mask: Mask | None = None


@value_class
class CreateKeyspace:
    """CREATE KEYSPACE."""

    name: str
    if_not_exists: bool
    properties: tuple[tuple[str, PropertyValue], ...]


@value_class
class AlterKeyspace:
    """ALTER KEYSPACE."""

    name: str
    if_exists: bool
    properties: tuple[tuple[str, PropertyValue], ...]


@value_class
class DropKeyspace:
    """DROP KEYSPACE."""

    name: str
    if_exists: bool


@value_class
class CreateTable:
    """CREATE TABLE. `primary_keys` has one (partition key, clustering) per PRIMARY KEY written,
    wherever it was written.
    """

    table: QualifiedName
    if_not_exists: bool
    columns: tuple[ColumnDefinition, ...]
    primary_keys: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    clustering_order: tuple[tuple[str, bool], ...] = ()
    """(column, descending)"""
    compact_storage: bool = False
    properties: tuple[tuple[str, PropertyValue], ...] = ()


@value_class
class AddColumns:
    """ALTER TABLE ... ADD."""

    columns: tuple[ColumnDefinition, ...]
    if_not_exists: bool = False


@value_class
class DropColumns:
    """ALTER TABLE ... DROP; `timestamp_us` as USING TIMESTAMP gave it."""

    columns: tuple[str, ...]
    if_exists: bool = False
    timestamp_us: int | None = None


@value_class
class RenameColumns:
    """ALTER TABLE ... RENAME a TO b AND ..."""

    renames: tuple[tuple[str, str], ...]
    if_exists: bool = False


@value_class
class AlterColumnType:
    """ALTER TABLE ... ALTER column TYPE type, which is always refused."""

    column: str
    type_text: str


@value_class
class MaskColumn:
    """ALTER TABLE ... ALTER column MASKED WITH ..., or DROP MASKED when `mask` is None."""

    column: str
    mask: Mask | None
    if_exists: bool = False


@value_class
class DropCompactStorage:
    """ALTER TABLE ... DROP COMPACT STORAGE."""


@value_class
class SetProperties:
    """ALTER TABLE ... WITH."""

    properties: tuple[tuple[str, PropertyValue], ...]


TableChange = (
    AddColumns
    | DropColumns
    | RenameColumns
    | AlterColumnType
    | MaskColumn
    | DropCompactStorage
    | SetProperties
)


@value_class
class AlterTable:
    """ALTER TABLE."""

    table: QualifiedName
    if_exists: bool
    change: TableChange


@value_class
class DropTable:
    """DROP TABLE."""

    table: QualifiedName
    if_exists: bool


@value_class
class CreateType:
    """CREATE TYPE."""

    name: QualifiedName
    if_not_exists: bool
    fields: tuple[tuple[str, str], ...]
    """(field, type text)"""


@value_class
class AddField:
    """ALTER TYPE ... ADD."""

    field: str
    type_text: str
    if_not_exists: bool = False


@value_class
class RenameFields:
    """ALTER TYPE ... RENAME a TO b AND ..."""

    renames: tuple[tuple[str, str], ...]
    if_exists: bool = False


@value_class
class AlterFieldType:
    """ALTER TYPE ... ALTER field TYPE type, which is always refused."""

    field: str
    type_text: str


@value_class
class AlterType:
    """ALTER TYPE."""

    name: QualifiedName
    if_exists: bool
    change: AddField | RenameFields | AlterFieldType


@value_class
class DropType:
    """DROP TYPE."""

    name: QualifiedName
    if_exists: bool


@value_class
class IndexTarget:
    """What an index is on; `kind` is simple, values, keys, entries or full."""

    column: str
    kind: str = "simple"


@value_class
class CreateIndex:
    """CREATE [CUSTOM] INDEX."""

    name: QualifiedName | None
    table: QualifiedName
    targets: tuple[IndexTarget, ...]
    if_not_exists: bool
    is_custom: bool
    using: str | None
    properties: tuple[tuple[str, PropertyValue], ...] = ()


@value_class
class DropIndex:
    """DROP INDEX."""

    name: QualifiedName
    if_exists: bool


@value_class
class CreateView:
    """CREATE MATERIALIZED VIEW; no selectors means `*`."""

    view: QualifiedName
    base: QualifiedName
    if_not_exists: bool
    selectors: tuple[Selector, ...]
    where: tuple[Relation | CustomExpression, ...]
    partition_key: tuple[str, ...]
    clustering: tuple[str, ...]
    clustering_order: tuple[tuple[str, bool], ...] = ()
    properties: tuple[tuple[str, PropertyValue], ...] = ()


@value_class
class AlterView:
    """ALTER MATERIALIZED VIEW."""

    view: QualifiedName
    if_exists: bool
    properties: tuple[tuple[str, PropertyValue], ...]


@value_class
class DropView:
    """DROP MATERIALIZED VIEW."""

    view: QualifiedName
    if_exists: bool


@value_class
class CreateFunction:
    """CREATE FUNCTION."""

    name: QualifiedName
    or_replace: bool
    if_not_exists: bool
    args: tuple[tuple[str, str], ...]
    """(name, type text)"""
    called_on_null: bool
    returns: str
    language: str
    body: str


@value_class
class DropFunction:
    """DROP FUNCTION; `arg_types` None when no parentheses were written."""

    name: QualifiedName
    if_exists: bool
    arg_types: tuple[str, ...] | None


@value_class
class CreateAggregate:
    """CREATE AGGREGATE."""

    name: QualifiedName
    or_replace: bool
    if_not_exists: bool
    arg_types: tuple[str, ...]
    state_function: str
    state_type: str
    final_function: str | None
    initial: Term | None


@value_class
class DropAggregate:
    """DROP AGGREGATE; `arg_types` None when no parentheses were written."""

    name: QualifiedName
    if_exists: bool
    arg_types: tuple[str, ...] | None


@value_class
class CreateTrigger:
    """CREATE TRIGGER."""

    name: str
    table: QualifiedName
    if_not_exists: bool
    using: str


@value_class
class DropTrigger:
    """DROP TRIGGER."""

    name: str
    table: QualifiedName
    if_exists: bool


# ---------------------------------------------------------------- roles and permissions


@value_class
class RoleOptions:
    """What WITH gave for a role; None is "not said". Datacenters and CIDR groups: () is "all"."""

    password: str | None = None
    hashed_password: str | None = None
    superuser: bool | None = None
    login: bool | None = None
    options: tuple[tuple[str, str], ...] | None = None
    datacenters: tuple[str, ...] | None = None
    cidr_groups: tuple[str, ...] | None = None


@value_class
class CreateRole:
    """CREATE ROLE and CREATE USER."""

    name: str
    if_not_exists: bool
    options: RoleOptions


@value_class
class AlterRole:
    """ALTER ROLE and ALTER USER."""

    name: str
    if_exists: bool
    options: RoleOptions


@value_class
class DropRole:
    """DROP ROLE and DROP USER."""

    name: str
    if_exists: bool


@value_class
class GrantRole:
    """GRANT role TO grantee."""

    role: str
    grantee: str


@value_class
class RevokeRole:
    """REVOKE role FROM revokee."""

    role: str
    revokee: str


@value_class
class Resource:
    """What a permission is on. `kind`: all keyspaces, keyspace, table, all tables, all roles, role,
    all functions, all functions in keyspace, function, all mbeans, mbean, mbeans.
    """

    kind: str
    keyspace: str | None = None
    name: str | None = None
    arg_types: tuple[str, ...] = ()


@value_class
class Grant:
    """GRANT permissions ON resource TO role; no permissions means ALL."""

    permissions: tuple[str, ...]
    resource: Resource
    grantee: str


@value_class
class Revoke:
    """REVOKE permissions ON resource FROM role; no permissions means ALL."""

    permissions: tuple[str, ...]
    resource: Resource
    revokee: str


@value_class
class ListRoles:
    """LIST ROLES [OF role] [NORECURSIVE]."""

    of: str | None = None
    recursive: bool = True


@value_class
class ListUsers:
    """LIST USERS."""


@value_class
class ListSuperUsers:
    """LIST SUPERUSERS."""


@value_class
class ListPermissions:
    """LIST permissions [ON resource] [OF role] [NORECURSIVE]; no permissions means ALL."""

    permissions: tuple[str, ...]
    resource: Resource | None = None
    of: str | None = None
    recursive: bool = True


@value_class
class AddIdentity:
    """ADD IDENTITY identity TO ROLE role."""

    identity: str
    role: str
    if_not_exists: bool


@value_class
class DropIdentity:
    """DROP IDENTITY identity."""

    identity: str
    if_exists: bool


# ---------------------------------------------------------------- describe


@value_class
class Describe:
    """DESCRIBE. `kind`: cluster, schema, full schema, keyspaces, keyspace, only keyspace, tables,
    table, index, view, types, type, functions, function, aggregates, aggregate or generic.
    """

    kind: str
    keyspace: str | None = None
    name: str | None = None
    with_internals: bool = False


SchemaStatement = (
    CreateKeyspace
    | AlterKeyspace
    | DropKeyspace
    | CreateTable
    | AlterTable
    | DropTable
    | CreateType
    | AlterType
    | DropType
    | CreateIndex
    | DropIndex
    | CreateView
    | AlterView
    | DropView
    | CreateFunction
    | DropFunction
    | CreateAggregate
    | DropAggregate
    | CreateTrigger
    | DropTrigger
)

RoleStatement = (
    CreateRole
    | AlterRole
    | DropRole
    | GrantRole
    | RevokeRole
    | Grant
    | Revoke
    | ListRoles
    | ListUsers
    | ListSuperUsers
    | ListPermissions
    | AddIdentity
    | DropIdentity
)
