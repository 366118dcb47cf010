"""What the parser gives: frozen values, one class per statement and per kind of expression.

The tree says what was written, not what it means: names are already folded to their case, but nothing has been looked up in a
schema, and types are kept as text. One set of expression classes serves terms, selectors and conditions; in a term no `Column`
occurs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Operator(Enum):
    """What stands between the two sides of a relation or a condition; the value is how it is written."""

    EQ = "="
    NEQ = "!="
    LT = "<"
    LTE = "<="
    GT = ">"
    GTE = ">="
    IN = "IN"
    NOT_IN = "NOT IN"
    CONTAINS = "CONTAINS"
    CONTAINS_KEY = "CONTAINS KEY"
    NOT_CONTAINS = "NOT CONTAINS"
    NOT_CONTAINS_KEY = "NOT CONTAINS KEY"
    LIKE = "LIKE"
    IS_NOT = "IS NOT"
    IS = "IS"


# ---------------------------------------------------------------- names


@dataclass(frozen=True, slots=True)
class QualifiedName:
    """A name of a table, type, index, function or view, with its keyspace where one was written."""

    keyspace: str | None
    name: str


# ---------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant. `kind` is string, integer, float, boolean, uuid, hex or duration; `text` is without quotes."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Null:
    """The word NULL."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A bind marker; `index` counts all markers of the whole statement, two uses of one name are two markers."""

    index: int
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ListTerm:
    """`[a, b]`: a list or a vector."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class SetTerm:
    """`{a, b}`. `{}` is a SetTerm too, although the receiver may be a map."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class MapTerm:
    """`{a: b}` with at least one entry, at least one key of which is not a plain name."""

    entries: tuple[tuple[Expression, Expression], ...]


@dataclass(frozen=True, slots=True)
class TupleTerm:
    """`(a, b)`. Around a selector, parentheses with one item may only group: `TupleTerm((a,))`."""

    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class UserTypeTerm:
    """`{field: value}`."""

    fields: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """`[ks.]name(args)`; `token(...)`, `count(x)`, `toJson(...)` come as ordinary calls."""

    keyspace: str | None
    name: str
    args: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class TypeHint:
    """`(type) term`."""

    type_text: str
    term: Expression


@dataclass(frozen=True, slots=True)
class Cast:
    """`CAST(operand AS type)`."""

    operand: Expression
    type_text: str


@dataclass(frozen=True, slots=True)
class Binary:
    """`left op right`, op one of + - * / %."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Negate:
    """`-operand`, where the operand is not a number literal."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Count:
    """`count(*)`, and `count(1)` which means the same."""


@dataclass(frozen=True, slots=True)
class Field:
    """`operand.field` of a user type."""

    operand: Expression
    field: str


@dataclass(frozen=True, slots=True)
class Element:
    """`operand[key]` of a map, set or list."""

    operand: Expression
    key: Expression


@dataclass(frozen=True, slots=True)
class ElementSlice:
    """`operand[start..end]`; a missing bound is None."""

    operand: Expression
    start: Expression | None
    end: Expression | None


@dataclass(frozen=True, slots=True)
class WritetimeOrTtl:
    """`writetime(x)`, `maxwritetime(x)` or `ttl(x)`; `function` is that name, `operand` a Column, Element, slice or Field."""

    function: str
    operand: Expression


Expression = (
    Literal
    | Null
    | Marker
    | ListTerm
    | SetTerm
    | MapTerm
    | TupleTerm
    | UserTypeTerm
    | FunctionCall
    | TypeHint
    | Cast
    | Binary
    | Negate
    | Column
    | Count
    | Field
    | Element
    | ElementSlice
    | WritetimeOrTtl
)

Term = Expression


@dataclass(frozen=True, slots=True)
class InList:
    """`(a, b, c)` after IN; `IN ?` is a Marker instead."""

    items: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Columns:
    """`(a, b)` on the left of a multi-column relation."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """`token(a, b)` on the left of a relation."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """One part of a WHERE clause. An Element's operand is a Column; after IN the value is an InList or a Marker."""

    target: Column | Element | Columns | Token
    operator: Operator
    value: Term | InList


@dataclass(frozen=True, slots=True)
class CustomExpression:
    """`expr(index, term)` in a WHERE clause."""

    index: QualifiedName
    term: Term


@dataclass(frozen=True, slots=True)
class Condition:
    """One part of an IF clause. Element's and Field's operands are Columns; after IN the value is an InList or a Marker."""

    target: Column | Element | Field
    operator: Operator
    value: Term | InList


# ---------------------------------------------------------------- data statements


@dataclass(frozen=True, slots=True)
class Attributes:
    """What USING gave; each is an integer Literal or a Marker. A timeout is a duration Literal or a Marker."""

    timestamp: Term | None = None
    ttl: Term | None = None
    timeout: Term | None = None


@dataclass(frozen=True, slots=True)
class Selector:
    """One selected expression, with its alias."""

    expression: Expression
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Ordering:
    """One part of ORDER BY; with `ann` it is `column ANN OF term`."""

    column: str
    descending: bool = False
    ann: Term | None = None


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT. No selectors means `*`."""

    table: QualifiedName
    selectors: tuple[Selector, ...] = ()
    json: bool = False
    distinct: bool = False
    where: tuple[Relation | CustomExpression, ...] = ()
    group_by: tuple[Expression, ...] = ()
    order_by: tuple[Ordering, ...] = ()
    per_partition_limit: Term | None = None
    limit: Term | None = None
    allow_filtering: bool = False
    bypass_cache: bool = False
    attributes: Attributes = Attributes()
    markers: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Insert:
    """INSERT ... VALUES."""

    table: QualifiedName
    columns: tuple[str, ...]
    values: tuple[Term, ...]
    if_not_exists: bool = False
    attributes: Attributes = Attributes()
    markers: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class InsertJson:
    """INSERT ... JSON; `value` is a string Literal or a Marker."""

    table: QualifiedName
    value: Literal | Marker
    default_unset: bool = False
    if_not_exists: bool = False
    attributes: Attributes = Attributes()
    markers: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class SetColumn:
    """`column = value`."""

    column: str
    value: Term


@dataclass(frozen=True, slots=True)
class AddTo:
    """`column = column + value` and `column += value`: append, union, count."""

    column: str
    value: Term


@dataclass(frozen=True, slots=True)
class PrependTo:
    """`column = value + column`."""

    column: str
    value: Term


@dataclass(frozen=True, slots=True)
class SubtractFrom:
    """`column = column - value` and `column -= value`."""

    column: str
    value: Term


@dataclass(frozen=True, slots=True)
class SetElement:
    """`column[key] = value`."""

    column: str
    key: Term
    value: Term


@dataclass(frozen=True, slots=True)
class SetField:
    """`column.field = value`."""

    column: str
    field: str
    value: Term


Operation = SetColumn | AddTo | PrependTo | SubtractFrom | SetElement | SetField


@dataclass(frozen=True, slots=True)
class Update:
    """UPDATE."""

    table: QualifiedName
    operations: tuple[Operation, ...]
    where: tuple[Relation | CustomExpression, ...]
    conditions: tuple[Condition, ...] = ()
    if_exists: bool = False
    attributes: Attributes = Attributes()
    markers: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE. A deletion is a Column, or an Element or Field whose operand is a Column; none means whole rows."""

    table: QualifiedName
    deletions: tuple[Column | Element | Field, ...]
    where: tuple[Relation | CustomExpression, ...]
    conditions: tuple[Condition, ...] = ()
    if_exists: bool = False
    attributes: Attributes = Attributes()
    markers: tuple[str | None, ...] = ()


Modification = Insert | InsertJson | Update | Delete


class BatchKind(Enum):
    """The values are the wire codes of the BATCH message."""

    LOGGED = 0
    UNLOGGED = 1
    COUNTER = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """BEGIN BATCH ... APPLY BATCH; the markers of all parts are numbered through, and listed here only."""

    kind: BatchKind
    statements: tuple[Modification, ...]
    attributes: Attributes = Attributes()
    markers: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Truncate:
    """TRUNCATE [TABLE]."""

    table: QualifiedName
    attributes: Attributes = Attributes()


@dataclass(frozen=True, slots=True)
class Use:
    """USE keyspace."""

    keyspace: str


# ---------------------------------------------------------------- schema statements

PropertyValue = str | tuple[tuple[str, str], ...]
"""A property is a text (of a constant or a word) or a map of texts, in the order written."""


@dataclass(frozen=True, slots=True)
class Mask:
    """`MASKED WITH function(args)`; `MASKED WITH DEFAULT` is mask_default()."""

    function: QualifiedName
    args: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """One column in CREATE TABLE or ALTER TABLE ADD."""

    name: str
    type_text: str
    is_static: bool = False
    mask: Mask | None = None


@dataclass(frozen=True, slots=True)
class CreateKeyspace:
    """CREATE KEYSPACE."""

    name: str
    if_not_exists: bool
    properties: tuple[tuple[str, PropertyValue], ...]


@dataclass(frozen=True, slots=True)
class AlterKeyspace:
    """ALTER KEYSPACE."""

    name: str
    if_exists: bool
    properties: tuple[tuple[str, PropertyValue], ...]


@dataclass(frozen=True, slots=True)
class DropKeyspace:
    """DROP KEYSPACE."""

    name: str
    if_exists: bool


@dataclass(frozen=True, slots=True)
class CreateTable:
    """CREATE TABLE. `primary_keys` has one (partition key, clustering) per PRIMARY KEY written, wherever it was written."""

    table: QualifiedName
    if_not_exists: bool
    columns: tuple[ColumnDefinition, ...]
    primary_keys: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    clustering_order: tuple[tuple[str, bool], ...] = ()
    """(column, descending)"""
    compact_storage: bool = False
    properties: tuple[tuple[str, PropertyValue], ...] = ()


@dataclass(frozen=True, slots=True)
class AddColumns:
    """ALTER TABLE ... ADD."""

    columns: tuple[ColumnDefinition, ...]
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropColumns:
    """ALTER TABLE ... DROP; `timestamp_us` as USING TIMESTAMP gave it."""

    columns: tuple[str, ...]
    if_exists: bool = False
    timestamp_us: int | None = None


@dataclass(frozen=True, slots=True)
class RenameColumns:
    """ALTER TABLE ... RENAME a TO b AND ..."""

    renames: tuple[tuple[str, str], ...]
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class AlterColumnType:
    """ALTER TABLE ... ALTER column TYPE type, which is always refused."""

    column: str
    type_text: str


@dataclass(frozen=True, slots=True)
class MaskColumn:
    """ALTER TABLE ... ALTER column MASKED WITH ..., or DROP MASKED when `mask` is None."""

    column: str
    mask: Mask | None
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class DropCompactStorage:
    """ALTER TABLE ... DROP COMPACT STORAGE."""


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class AlterTable:
    """ALTER TABLE."""

    table: QualifiedName
    if_exists: bool
    change: TableChange


@dataclass(frozen=True, slots=True)
class DropTable:
    """DROP TABLE."""

    table: QualifiedName
    if_exists: bool


@dataclass(frozen=True, slots=True)
class CreateType:
    """CREATE TYPE."""

    name: QualifiedName
    if_not_exists: bool
    fields: tuple[tuple[str, str], ...]
    """(field, type text)"""


@dataclass(frozen=True, slots=True)
class AddField:
    """ALTER TYPE ... ADD."""

    field: str
    type_text: str
    if_not_exists: bool = False


@dataclass(frozen=True, slots=True)
class RenameFields:
    """ALTER TYPE ... RENAME a TO b AND ..."""

    renames: tuple[tuple[str, str], ...]
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class AlterFieldType:
    """ALTER TYPE ... ALTER field TYPE type, which is always refused."""

    field: str
    type_text: str


@dataclass(frozen=True, slots=True)
class AlterType:
    """ALTER TYPE."""

    name: QualifiedName
    if_exists: bool
    change: AddField | RenameFields | AlterFieldType


@dataclass(frozen=True, slots=True)
class DropType:
    """DROP TYPE."""

    name: QualifiedName
    if_exists: bool


@dataclass(frozen=True, slots=True)
class IndexTarget:
    """What an index is on; `kind` is simple, values, keys, entries or full."""

    column: str
    kind: str = "simple"


@dataclass(frozen=True, slots=True)
class CreateIndex:
    """CREATE [CUSTOM] INDEX."""

    name: QualifiedName | None
    table: QualifiedName
    targets: tuple[IndexTarget, ...]
    if_not_exists: bool
    is_custom: bool
    using: str | None
    properties: tuple[tuple[str, PropertyValue], ...] = ()


@dataclass(frozen=True, slots=True)
class DropIndex:
    """DROP INDEX."""

    name: QualifiedName
    if_exists: bool


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class AlterView:
    """ALTER MATERIALIZED VIEW."""

    view: QualifiedName
    if_exists: bool
    properties: tuple[tuple[str, PropertyValue], ...]


@dataclass(frozen=True, slots=True)
class DropView:
    """DROP MATERIALIZED VIEW."""

    view: QualifiedName
    if_exists: bool


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class DropFunction:
    """DROP FUNCTION; `arg_types` None when no parentheses were written."""

    name: QualifiedName
    if_exists: bool
    arg_types: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class DropAggregate:
    """DROP AGGREGATE; `arg_types` None when no parentheses were written."""

    name: QualifiedName
    if_exists: bool
    arg_types: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class CreateTrigger:
    """CREATE TRIGGER."""

    name: str
    table: QualifiedName
    if_not_exists: bool
    using: str


@dataclass(frozen=True, slots=True)
class DropTrigger:
    """DROP TRIGGER."""

    name: str
    table: QualifiedName
    if_exists: bool


# ---------------------------------------------------------------- roles and permissions


@dataclass(frozen=True, slots=True)
class RoleOptions:
    """What WITH gave for a role; None is "not said". Datacenters and CIDR groups: () is "all"."""

    password: str | None = None
    hashed_password: str | None = None
    superuser: bool | None = None
    login: bool | None = None
    options: tuple[tuple[str, str], ...] | None = None
    datacenters: tuple[str, ...] | None = None
    cidr_groups: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class CreateRole:
    """CREATE ROLE and CREATE USER."""

    name: str
    if_not_exists: bool
    options: RoleOptions


@dataclass(frozen=True, slots=True)
class AlterRole:
    """ALTER ROLE and ALTER USER."""

    name: str
    if_exists: bool
    options: RoleOptions


@dataclass(frozen=True, slots=True)
class DropRole:
    """DROP ROLE and DROP USER."""

    name: str
    if_exists: bool


@dataclass(frozen=True, slots=True)
class GrantRole:
    """GRANT role TO grantee."""

    role: str
    grantee: str


@dataclass(frozen=True, slots=True)
class RevokeRole:
    """REVOKE role FROM revokee."""

    role: str
    revokee: str


@dataclass(frozen=True, slots=True)
class Resource:
    """What a permission is on. `kind`: all keyspaces, keyspace, table, all tables, all roles, role, all functions,
    all functions in keyspace, function, all mbeans, mbean, mbeans."""

    kind: str
    keyspace: str | None = None
    name: str | None = None
    arg_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """GRANT permissions ON resource TO role; no permissions means ALL."""

    permissions: tuple[str, ...]
    resource: Resource
    grantee: str


@dataclass(frozen=True, slots=True)
class Revoke:
    """REVOKE permissions ON resource FROM role; no permissions means ALL."""

    permissions: tuple[str, ...]
    resource: Resource
    revokee: str


@dataclass(frozen=True, slots=True)
class ListRoles:
    """LIST ROLES [OF role] [NORECURSIVE]."""

    of: str | None = None
    recursive: bool = True


@dataclass(frozen=True, slots=True)
class ListUsers:
    """LIST USERS."""


@dataclass(frozen=True, slots=True)
class ListSuperUsers:
    """LIST SUPERUSERS."""


@dataclass(frozen=True, slots=True)
class ListPermissions:
    """LIST permissions [ON resource] [OF role] [NORECURSIVE]; no permissions means ALL."""

    permissions: tuple[str, ...]
    resource: Resource | None = None
    of: str | None = None
    recursive: bool = True


@dataclass(frozen=True, slots=True)
class AddIdentity:
    """ADD IDENTITY identity TO ROLE role."""

    identity: str
    role: str
    if_not_exists: bool


@dataclass(frozen=True, slots=True)
class DropIdentity:
    """DROP IDENTITY identity."""

    identity: str
    if_exists: bool


# ---------------------------------------------------------------- describe


@dataclass(frozen=True, slots=True)
class Describe:
    """DESCRIBE. `kind`: cluster, schema, full schema, keyspaces, keyspace, only keyspace, tables, table, index, view, types, type,
    functions, function, aggregates, aggregate or generic."""

    kind: str
    keyspace: str | None = None
    name: str | None = None
    with_internals: bool = False


DataStatement = Select | Insert | InsertJson | Update | Delete | Batch | Truncate | Use

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

Statement = DataStatement | SchemaStatement | RoleStatement | Describe
