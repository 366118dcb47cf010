"""What the parser gives: frozen values, one class per statement and per kind of expression.

The tree says what was written, not what it means: names are already folded to their case, but
nothing has been looked up in a schema, and types are kept as text. One set of expression classes
serves terms, selectors and conditions; in a term no `Column` occurs.
"""

from __future__ import annotations

from enum import Enum

from cql.parser.definition_tree import (
    AddColumns as AddColumns,
)
from cql.parser.definition_tree import (
    AddField as AddField,
)
from cql.parser.definition_tree import (
    AddIdentity as AddIdentity,
)
from cql.parser.definition_tree import (
    AlterColumnType as AlterColumnType,
)
from cql.parser.definition_tree import (
    AlterFieldType as AlterFieldType,
)
from cql.parser.definition_tree import (
    AlterKeyspace as AlterKeyspace,
)
from cql.parser.definition_tree import (
    AlterRole as AlterRole,
)
from cql.parser.definition_tree import (
    AlterTable as AlterTable,
)
from cql.parser.definition_tree import (
    AlterType as AlterType,
)
from cql.parser.definition_tree import (
    AlterView as AlterView,
)
from cql.parser.definition_tree import (
    ColumnDefinition as ColumnDefinition,
)
from cql.parser.definition_tree import (
    CreateAggregate as CreateAggregate,
)
from cql.parser.definition_tree import (
    CreateFunction as CreateFunction,
)
from cql.parser.definition_tree import (
    CreateIndex as CreateIndex,
)
from cql.parser.definition_tree import (
    CreateKeyspace as CreateKeyspace,
)
from cql.parser.definition_tree import (
    CreateRole as CreateRole,
)
from cql.parser.definition_tree import (
    CreateTable as CreateTable,
)
from cql.parser.definition_tree import (
    CreateTrigger as CreateTrigger,
)
from cql.parser.definition_tree import (
    CreateType as CreateType,
)
from cql.parser.definition_tree import (
    CreateView as CreateView,
)
from cql.parser.definition_tree import (
    Describe as Describe,
)
from cql.parser.definition_tree import (
    DropAggregate as DropAggregate,
)
from cql.parser.definition_tree import (
    DropColumns as DropColumns,
)
from cql.parser.definition_tree import (
    DropCompactStorage as DropCompactStorage,
)
from cql.parser.definition_tree import (
    DropFunction as DropFunction,
)
from cql.parser.definition_tree import (
    DropIdentity as DropIdentity,
)
from cql.parser.definition_tree import (
    DropIndex as DropIndex,
)
from cql.parser.definition_tree import (
    DropKeyspace as DropKeyspace,
)
from cql.parser.definition_tree import (
    DropRole as DropRole,
)
from cql.parser.definition_tree import (
    DropTable as DropTable,
)
from cql.parser.definition_tree import (
    DropTrigger as DropTrigger,
)
from cql.parser.definition_tree import (
    DropType as DropType,
)
from cql.parser.definition_tree import (
    DropView as DropView,
)
from cql.parser.definition_tree import (
    Grant as Grant,
)
from cql.parser.definition_tree import (
    GrantRole as GrantRole,
)
from cql.parser.definition_tree import (
    IndexTarget as IndexTarget,
)
from cql.parser.definition_tree import (
    ListPermissions as ListPermissions,
)
from cql.parser.definition_tree import (
    ListRoles as ListRoles,
)
from cql.parser.definition_tree import (
    ListSuperUsers as ListSuperUsers,
)
from cql.parser.definition_tree import (
    ListUsers as ListUsers,
)
from cql.parser.definition_tree import (
    Mask as Mask,
)
from cql.parser.definition_tree import (
    MaskColumn as MaskColumn,
)
from cql.parser.definition_tree import (
    PropertyValue as PropertyValue,
)
from cql.parser.definition_tree import (
    RenameColumns as RenameColumns,
)
from cql.parser.definition_tree import (
    RenameFields as RenameFields,
)
from cql.parser.definition_tree import (
    Resource as Resource,
)
from cql.parser.definition_tree import (
    Revoke as Revoke,
)
from cql.parser.definition_tree import (
    RevokeRole as RevokeRole,
)
from cql.parser.definition_tree import (
    RoleOptions as RoleOptions,
)
from cql.parser.definition_tree import (
    RoleStatement as RoleStatement,
)
from cql.parser.definition_tree import (
    SchemaStatement as SchemaStatement,
)
from cql.parser.definition_tree import (
    SetProperties as SetProperties,
)
from cql.parser.definition_tree import (
    TableChange as TableChange,
)
from cql.parser.expression_tree import (
    Binary as Binary,
)
from cql.parser.expression_tree import (
    Cast as Cast,
)
from cql.parser.expression_tree import (
    Column as Column,
)
from cql.parser.expression_tree import (
    Columns as Columns,
)
from cql.parser.expression_tree import (
    Condition as Condition,
)
from cql.parser.expression_tree import (
    Count as Count,
)
from cql.parser.expression_tree import (
    CustomExpression as CustomExpression,
)
from cql.parser.expression_tree import (
    Element as Element,
)
from cql.parser.expression_tree import (
    ElementSlice as ElementSlice,
)
from cql.parser.expression_tree import (
    Expression as Expression,
)
from cql.parser.expression_tree import (
    Field as Field,
)
from cql.parser.expression_tree import (
    FunctionCall as FunctionCall,
)
from cql.parser.expression_tree import (
    InList as InList,
)
from cql.parser.expression_tree import (
    ListTerm as ListTerm,
)
from cql.parser.expression_tree import (
    Literal as Literal,
)
from cql.parser.expression_tree import (
    MapTerm as MapTerm,
)
from cql.parser.expression_tree import (
    Marker as Marker,
)
from cql.parser.expression_tree import (
    Negate as Negate,
)
from cql.parser.expression_tree import (
    Null as Null,
)
from cql.parser.expression_tree import (
    Operator as Operator,
)
from cql.parser.expression_tree import (
    QualifiedName as QualifiedName,
)
from cql.parser.expression_tree import (
    Relation as Relation,
)
from cql.parser.expression_tree import (
    Selector as Selector,
)
from cql.parser.expression_tree import (
    SetTerm as SetTerm,
)
from cql.parser.expression_tree import (
    Term as Term,
)
from cql.parser.expression_tree import (
    Token as Token,
)
from cql.parser.expression_tree import (
    TupleTerm as TupleTerm,
)
from cql.parser.expression_tree import (
    TypeHint as TypeHint,
)
from cql.parser.expression_tree import (
    UserTypeTerm as UserTypeTerm,
)
from cql.parser.expression_tree import (
    WritetimeOrTtl as WritetimeOrTtl,
)
from storage.values import value_class


@value_class
class Attributes:
    """What USING gave; each is an integer Literal or a Marker. A timeout is a duration Literal or a
    Marker.
    """

    timestamp: Term | None = None
    ttl: Term | None = None
    timeout: Term | None = None


@value_class
class Ordering:
    """One part of ORDER BY; with `ann` it is `column ANN OF term`."""

    column: str
    descending: bool = False
    ann: Term | None = None


@value_class
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


@value_class
class Insert:
    """INSERT ... VALUES."""

    table: QualifiedName
    columns: tuple[str, ...]
    values: tuple[Term, ...]
    if_not_exists: bool = False
    attributes: Attributes = Attributes()
    markers: tuple[str | None, ...] = ()


@value_class
class InsertJson:
    """INSERT ... JSON; `value` is a string Literal or a Marker."""

    table: QualifiedName
    value: Literal | Marker
    default_unset: bool = False
    if_not_exists: bool = False
    attributes: Attributes = Attributes()
    markers: tuple[str | None, ...] = ()


@value_class
class SetColumn:
    """`column = value`."""

    column: str
    value: Term


@value_class
class AddTo:
    """`column = column + value` and `column += value`: append, union, count."""

    column: str
    value: Term


@value_class
class PrependTo:
    """`column = value + column`."""

    column: str
    value: Term


@value_class
class SubtractFrom:
    """`column = column - value` and `column -= value`."""

    column: str
    value: Term


@value_class
class SetElement:
    """`column[key] = value`."""

    column: str
    key: Term
    value: Term


@value_class
class SetField:
    """`column.field = value`."""

    column: str
    field: str
    value: Term


Operation = SetColumn | AddTo | PrependTo | SubtractFrom | SetElement | SetField


@value_class
class Update:
    """UPDATE."""

    table: QualifiedName
    operations: tuple[Operation, ...]
    where: tuple[Relation | CustomExpression, ...]
    conditions: tuple[Condition, ...] = ()
    if_exists: bool = False
    attributes: Attributes = Attributes()
    markers: tuple[str | None, ...] = ()


@value_class
class Delete:
    """DELETE. A deletion is a Column, or an Element or Field whose operand is a Column; none means
    whole rows.
    """

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


@value_class
class Batch:
    """BEGIN BATCH ... APPLY BATCH; the markers of all parts are numbered through, and listed here
    only.
    """

    kind: BatchKind
    statements: tuple[Modification, ...]
    attributes: Attributes = Attributes()
    markers: tuple[str | None, ...] = ()


@value_class
class Truncate:
    """TRUNCATE [TABLE]."""

    table: QualifiedName
    attributes: Attributes = Attributes()


@value_class
class Use:
    """USE keyspace."""

    keyspace: str


DataStatement = Select | Insert | InsertJson | Update | Delete | Batch | Truncate | Use

Statement = DataStatement | SchemaStatement | RoleStatement | Describe
