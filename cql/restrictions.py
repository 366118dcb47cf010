"""WHERE -> partition keys or a token range, clustering ranges, and what is left to filter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.token import decorate
from cql.bind import Binding, KeyTemplate, Slot, key_value, partition_key
from cql.clustering import Choice, ClusteringRanges, Slice
from cql.errors import InvalidRequest
from cql.parser import tree
from cql.parser.tree import Operator
from cql.protocol.requests import UNSET
from cql.results import ColumnSpec
from cql.schema import Column, Table
from cql.terms import Scope, prepare
from cql.types.catalog import (
    BIGINT,
    CqlType,
    ListType,
    MapType,
    TupleType,
    UserType,
    quote_name,
)
from cql.types.codec import unpack_list, unpack_tuple
from cql.types.ordering import ClusteringCodec
from cql.wording import relation_text, text_of
from storage.values import value_class

FILTERING_REFUSED = (
    "Cannot execute this query as it might involve data filtering and thus may have unpredictable "
    "performance. If you want to execute this query despite the performance unpredictability, use "
    "ALLOW FILTERING"
)
IN_PRODUCT_MAX = 10_000

_SLICES = {Operator.LT, Operator.LTE, Operator.GT, Operator.GTE}
_CONTAINS = {Operator.CONTAINS, Operator.CONTAINS_KEY}
_LOWER = {Operator.GT, Operator.GTE}
_INCLUSIVE = {Operator.GTE, Operator.LTE}


@value_class
class Filter:
    """A condition that only looking at the row can answer.

    `slots` are its values: one, or those of an IN list. `key` is the map key of `m[k] = v`.
    """

    column: Column
    operator: Operator
    slots: tuple[Slot, ...]
    key: Slot | None = None


@dataclass(slots=True)
class Restricted:
    """All that WHERE says about one column, or about a tuple of clustering columns."""

    columns: tuple[Column, ...]
    choice: Choice | None = None
    is_in: bool = False
    lower: tuple[Slice, bool] | None = None
    upper: tuple[Slice, bool] | None = None
    filters: list[Filter] = field(default_factory=list)

    @property
    def is_slice(self) -> bool:
        """Whether an inequality restricts the columns."""
        return self.lower is not None or self.upper is not None

    @property
    def names(self) -> str:
        """The columns for a message."""
        return ", ".join(column.name for column in self.columns)


@value_class
class TokenBound:
    """One side of a token() range."""

    slot: Slot
    inclusive: bool


@value_class
class KeyRestriction:
    """Which partitions are wanted: a template for one key, choices per component, or a range."""

    template: KeyTemplate | None = None
    choices: tuple[Choice, ...] | None = None
    lower: TokenBound | None = None
    upper: TokenBound | None = None
    order: ClusteringCodec | None = None
    """Puts the keys of an IN into the order of their values."""

    @property
    def is_range(self) -> bool:
        """Whether partitions are found by scanning tokens."""
        return self.template is None and self.choices is None

    def keys(self, binding: Binding) -> list[bytes]:
        """The decorated keys in the order of their values, each once."""
        if self.template is not None:
            return [self.template.bind(binding)]
        assert self.choices is not None and self.order is not None, "a range has no list of keys"
        parts: list[list[bytes]] = [[]]
        for choice in self.choices:
            values = [values[0] for values in choice(binding)]
            if len(parts) * len(values) > IN_PRODUCT_MAX:
                raise InvalidRequest("The query selects too many partitions with IN restrictions")
            parts = [[*head, value] for head in parts for value in values]
        keys = {(self.order.encode(part), decorate(partition_key(part))) for part in parts}
        return list(dict.fromkeys(key for _, key in sorted(keys)))

    def key_range(self, binding: Binding) -> tuple[bytes, bytes] | None:
        """The half-open range of decorated keys; None when nothing can be in it."""
        lower = _token_of(self.lower, binding)
        upper = _token_of(self.upper, binding)
        start = 0 if lower is None else lower + (1 << 63)
        if self.lower is not None and not self.lower.inclusive:
            start += 1
        if upper is None or upper == -(1 << 63):
            return (_position(start), b"") if start < 1 << 64 else None
        end = upper + (1 << 63)
        if self.upper is not None and self.upper.inclusive:
            end += 1
        if start >= end:
            return None
        return _position(start), b"" if end >= 1 << 64 else _position(end)


def _position(token: int) -> bytes:
    return b"" if token == 0 else token.to_bytes(8, "big")


def _token_of(bound: TokenBound | None, binding: Binding) -> int | None:
    if bound is None:
        return None
    value = bound.slot.resolve(binding)
    if value is None:
        raise InvalidRequest("Invalid null token value")
    if value is UNSET:
        raise InvalidRequest("Invalid unset token value")
    return int.from_bytes(value, "big", signed=True)


@value_class
class Restrictions:
    """What WHERE asks for, ready to be bound."""

    key: KeyRestriction
    clustering: ClusteringRanges
    filters: tuple[Filter, ...]
    key_columns: frozenset[str]
    """Names of the partition key columns restricted by EQ or IN."""
    eq_columns: frozenset[str]
    """Names of all columns restricted by EQ to one value."""
    has_key_in: bool


def analyse(
    table: Table,
    where: Sequence[tree.Relation | tree.CustomExpression],
    scope: Scope,
    codec: ClusteringCodec,
    *,
    allow_filtering: bool,
) -> Restrictions:
    """The restrictions of a SELECT; InvalidRequest when they need a filter nobody allowed."""
    reader = _Reader(table, scope, allow_filtering)
    reader.read(where)
    return reader.restrictions(codec)


def analyse_for_write(
    table: Table,
    where: Sequence[tree.Relation | tree.CustomExpression],
    scope: Scope,
    codec: ClusteringCodec,
    statement: str,
) -> Restrictions:
    """The restrictions of an UPDATE or DELETE: whole partition keys, and no filters."""
    reader = _Reader(table, scope, allow_filtering=False)
    reader.read(where)
    if reader.token_bounds or reader.has_token:
        raise InvalidRequest(
            f"The token function cannot be used in WHERE clauses for {statement} statements"
        )
    missing = [c.name for c in table.partition_key if c.name not in reader.by_column]
    if missing:
        raise InvalidRequest(f"Some partition key parts are missing: {', '.join(missing)}")
    if any(reader.by_column[c.name].is_slice for c in table.partition_key):
        raise InvalidRequest(
            "Only EQ and IN relation are supported on the partition key (unless you use the "
            f"token() function) for {statement} statements"
        )
    others = [n for n in reader.by_column if not table.columns[n].is_key]
    if others:
        raise InvalidRequest(
            f"Non PRIMARY KEY columns found in where clause: {', '.join(sorted(others))} "
        )
    return reader.restrictions(codec)


class _Reader:
    """Collects relations column by column, then joins them."""

    def __init__(self, table: Table, scope: Scope, allow_filtering: bool) -> None:
        self.table = table
        self.scope = scope
        self.allow_filtering = allow_filtering
        self.by_column: dict[str, Restricted] = {}
        self.has_token = False
        self.token_bounds: dict[str, TokenBound] = {}

    def read(self, where: Iterable[tree.Relation | tree.CustomExpression]) -> None:
        """Take in every relation in its order."""
        for relation in where:
            if isinstance(relation, tree.CustomExpression):
                raise InvalidRequest("Custom index expressions are not supported yet")
            match relation.target:
                case tree.Token(names):
                    self._token(names, relation)
                case tree.Columns(names):
                    self._tuple(names, relation)
                case tree.Element(tree.Column(name), key):
                    self._map_entry(self._column(name), key, relation)
                case tree.Column(name):
                    self._single(self._column(name), relation)
                case _:
                    raise InvalidRequest(f"Unsupported relation: {relation_text(relation)}")

    def _column(self, name: str) -> Column:
        return find_column(self.table, name)

    def _spec(self, name: str, type_: CqlType) -> ColumnSpec:
        return ColumnSpec(self.table.keyspace, self.table.name, name, type_)

    # ---------------------------------------------------------------- token()

    def _token(self, names: tuple[str, ...], relation: tree.Relation) -> None:
        columns = [self._column(name) for name in names]
        keys = self.table.partition_key
        if len(columns) != len(keys) and all(c in keys for c in columns):
            raise InvalidRequest(
                "The token() function must be applied to all partition key components or none of "
                "them"
            )
        if tuple(columns) != keys:
            order = ", ".join(column.name for column in keys)
            raise InvalidRequest(
                f"The token function arguments must be in the partition key order: {order}"
            )
        if isinstance(relation.value, tree.InList) or relation.operator not in (
            _SLICES | {Operator.EQ}
        ):
            raise InvalidRequest(
                f"{relation.operator.value} cannot be used with the token function"
            )
        name = names[0] if len(names) == 1 else "partition key token"
        slot = prepare(relation.value, self._spec("partition key token", BIGINT), self.scope)
        self.has_token = True
        inclusive = relation.operator in _INCLUSIVE or relation.operator is Operator.EQ
        sides = []
        if relation.operator in _LOWER or relation.operator is Operator.EQ:
            sides.append("start")
        if relation.operator not in _LOWER:
            sides.append("end")
        for side in sides:
            if side in self.token_bounds:
                raise InvalidRequest(
                    f"More than one restriction was found for the {side} bound on {name}"
                )
            self.token_bounds[side] = TokenBound(slot, inclusive)

    # ---------------------------------------------------------------- single columns

    def _single(self, column: Column, relation: tree.Relation) -> None:
        operator = relation.operator
        self._check_operator(column, relation)
        if operator in _CONTAINS:
            self._add_filter(column, Filter(column, operator, (self._contained(column, relation),)))
        elif operator is Operator.IN:
            self._single_in(column, relation)
        elif operator is Operator.EQ:
            slot = prepare(_term(relation), self._spec(column.name, column.type), self.scope)
            self._equal((column,), _one_value(column, slot), is_in=False, slots=(slot,))
        else:
            slot = prepare(_term(relation), self._spec(column.name, column.type), self.scope)
            self._inequality((column,), operator, _bound((column,), (slot,)), (slot,))

    def _check_operator(self, column: Column, relation: tree.Relation) -> None:
        operator, type_ = relation.operator, column.type
        if operator is Operator.LIKE:
            raise InvalidRequest(
                "LIKE restriction is only supported on properly indexed columns. "
                f"{relation_text(relation)} is not valid."
            )
        if operator not in _SLICES | _CONTAINS | {Operator.EQ, Operator.IN}:
            raise InvalidRequest(
                f'Unsupported "{operator.value}" relation: {relation_text(relation)}'
            )
        if operator is Operator.CONTAINS_KEY and not isinstance(type_, MapType):
            raise InvalidRequest(f"Cannot use CONTAINS KEY on non-map column {column.name}")
        if operator is Operator.CONTAINS and not type_.is_collection:
            raise InvalidRequest(f"Cannot use CONTAINS on non-collection column {column.name}")
        if type_.is_multicell and operator not in _CONTAINS:
            if isinstance(type_, UserType):
                raise InvalidRequest(
                    f"Non-frozen UDT column '{column.name}' ({type_}) cannot be restricted by any "
                    "relation"
                )
            raise InvalidRequest(
                f"Collection column '{column.name}' ({type_}) cannot be restricted by a "
                f"'{operator.value}' relation"
            )
        if operator in _SLICES and str(type_) == "duration":
            raise InvalidRequest("Slice restrictions are not supported on duration columns")

    def _contained(self, column: Column, relation: tree.Relation) -> Slot:
        type_: Any = column.type
        if isinstance(type_, MapType):
            of_key = relation.operator is Operator.CONTAINS_KEY
            inner, name = (type_.key, "key") if of_key else (type_.value, "value")
        else:
            inner, name = type_.element, "value"
        return prepare(_term(relation), self._spec(f"{name}({column.name})", inner), self.scope)

    def _map_entry(self, column: Column, key: tree.Term, relation: tree.Relation) -> None:
        type_ = column.type
        if isinstance(type_, ListType):
            raise InvalidRequest(
                f"Indexes on list entries ({column.name}[index] = value) are not supported."
            )
        if not isinstance(type_, MapType):
            raise InvalidRequest(f"Column {column.name} cannot be used as a map")
        if not type_.is_multicell:
            raise InvalidRequest(
                f"Map-entry equality predicates on frozen map column {column.name} are not "
                "supported"
            )
        if relation.operator is not Operator.EQ:
            raise InvalidRequest("Only EQ relations are supported on map entries")
        key_slot = prepare(key, self._spec(f"key({column.name})", type_.key), self.scope)
        spec = self._spec(f"value({column.name})", type_.value)
        slot = prepare(_term(relation), spec, self.scope)
        self._add_filter(column, Filter(column, Operator.EQ, (slot,), key_slot))

    def _add_filter(self, column: Column, condition: Filter) -> None:
        found = self.by_column.setdefault(column.name, Restricted((column,)))
        found.filters.append(condition)

    def _single_in(self, column: Column, relation: tree.Relation) -> None:
        value = relation.value
        if isinstance(value, tree.InList):
            spec = self._spec(column.name, column.type)
            slots = tuple(prepare(item, spec, self.scope) for item in value.items)
            choice = _some_values(column, slots)
            if len(slots) == 1:
                self._equal((column,), _one_value(column, slots[0]), is_in=False, slots=slots)
                return
        else:
            spec = self._spec(f"in({column.name})", ListType(column.type, True))
            slots = (prepare(value, spec, self.scope),)
            choice = _listed_values(column, slots[0])
        self._equal((column,), choice, is_in=True, slots=slots)

    # ---------------------------------------------------------------- tuples of columns

    def _tuple(self, names: tuple[str, ...], relation: tree.Relation) -> None:
        columns = tuple(self._column(name) for name in names)
        self._check_tuple(columns)
        known = self.by_column.get(names[0])
        joins = known is not None and len(known.columns) > 1
        alone = _without_parentheses(relation) if len(names) == 1 and not joins else None
        if alone is not None:
            self._single(columns[0], alone)
            return
        operator, value = relation.operator, relation.value
        joined = f"({','.join(names)})"
        type_ = TupleType(tuple(column.type for column in columns))
        if operator is Operator.IN:
            self._tuple_in(columns, joined, type_, value)
            return
        if operator not in _SLICES | {Operator.EQ}:
            raise InvalidRequest(
                f'Unsupported "{operator.value}" relation: {relation_text(relation)}'
            )
        assert not isinstance(value, tree.InList), "only IN has a list"
        bound = self._tuple_value(columns, joined, type_, value)
        if operator is Operator.EQ:
            self._equal(columns, lambda binding: [bound(binding)], is_in=False, slots=())
        else:
            self._inequality(columns, operator, bound, ())

    def _check_tuple(self, columns: tuple[Column, ...]) -> None:
        previous = -1
        for column in columns:
            if column.kind != "clustering":
                raise InvalidRequest(
                    "Multi-column relations can only be applied to clustering columns but was "
                    f"applied to: {column.name}"
                )
            if columns.count(column) > 1:
                names = ", ".join(c.name for c in columns)
                raise InvalidRequest(
                    f'Column "{column.name}" appeared twice in a relation: ({names})'
                )
            if previous != -1 and column.position != previous + 1:
                names = ", ".join(c.name for c in columns)
                if column.position > previous:
                    raise InvalidRequest(
                        "Clustering columns may not be skipped in multi-column relations. They "
                        f"should appear in the PRIMARY KEY order. Got ({names})"
                    )
                raise InvalidRequest(
                    "Clustering columns must appear in the PRIMARY KEY order in multi-column "
                    f"relations: ({names})"
                )
            previous = column.position

    def _tuple_value(
        self, columns: tuple[Column, ...], joined: str, type_: TupleType, term: tree.Term
    ) -> Slice:
        if isinstance(term, tree.TupleTerm):
            if len(term.items) != len(columns):
                raise InvalidRequest(
                    f"Expected {len(columns)} elements in value tuple, but got {len(term.items)}: "
                    f"{text_of(term)}"
                )
            slots = tuple(
                prepare(item, self._spec(column.name, column.type), self.scope)
                for item, column in zip(term.items, columns, strict=True)
            )
            return _bound(columns, slots)
        slot = prepare(term, self._spec(joined, type_), self.scope)
        return _tuple_bound(columns, slot)

    def _tuple_in(
        self, columns: tuple[Column, ...], joined: str, type_: TupleType, value: Any
    ) -> None:
        if isinstance(value, tree.InList):
            bounds = [self._tuple_value(columns, joined, type_, item) for item in value.items]
            self._equal(
                columns, lambda b: [bound(b) for bound in bounds], is_in=len(bounds) > 1, slots=()
            )
            return
        slot = prepare(value, self._spec(f"in{joined}", ListType(type_, True)), self.scope)

        def listed(binding: Binding) -> list[tuple[bytes, ...]]:
            return [
                _unpacked(columns, item) for item in unpack_list(key_value(slot, binding, joined))
            ]

        self._equal(columns, listed, is_in=True, slots=())

    # ---------------------------------------------------------------- joining

    def _merge_target(
        self, columns: tuple[Column, ...], *, is_in: bool, equal: bool, is_tuple: bool = False
    ) -> Restricted:
        """The entry of the columns, after refusing what may not be joined."""
        names = ", ".join(column.name for column in columns)
        for column in columns:
            found = self.by_column.get(column.name)
            if found is None:
                continue
            if found.choice is not None or equal:
                what = "a IN" if (found.is_in or is_in) else "an Equal"
                raise InvalidRequest(
                    f"{names} cannot be restricted by more than one relation if it includes {what}"
                )
            are_tuples = is_tuple and len(found.columns) > 1
            if found.columns != columns and found.is_slice and not are_tuples:
                raise InvalidRequest(
                    f'Column "{column.name}" cannot be restricted by both a tuple notation '
                    "inequality and a single column inequality"
                )
            return found
        entry = Restricted(columns)
        for column in columns:
            self.by_column[column.name] = entry
        return entry

    def _equal(
        self, columns: tuple[Column, ...], choice: Choice, *, is_in: bool, slots: tuple[Slot, ...]
    ) -> None:
        entry = self._merge_target(columns, is_in=is_in, equal=True)
        self._check_after_slice(columns, is_slice=False)
        entry.choice = choice
        entry.is_in = is_in
        if len(columns) == 1 and slots:
            operator = Operator.IN if is_in else Operator.EQ
            entry.filters.append(Filter(columns[0], operator, slots))

    def _inequality(
        self,
        columns: tuple[Column, ...],
        operator: Operator,
        bound: Slice,
        slots: tuple[Slot, ...],
    ) -> None:
        entry = self._merge_target(columns, is_in=False, equal=False, is_tuple=not slots)
        self._check_after_slice(columns, is_slice=True)
        side = (bound, operator in _INCLUSIVE)
        if operator in _LOWER:
            if entry.lower is not None:
                raise InvalidRequest(
                    f"More than one restriction was found for the start bound on {entry.names}"
                )
            entry.lower = side
        else:
            if entry.upper is not None:
                raise InvalidRequest(
                    f"More than one restriction was found for the end bound on {entry.names}"
                )
            entry.upper = side
        if slots and len(columns) == 1:
            entry.filters.append(Filter(columns[0], operator, slots))

    def _check_after_slice(self, columns: tuple[Column, ...], *, is_slice: bool) -> None:
        """Without filtering, nothing may follow an inequality in the clustering order."""
        first = columns[0]
        if first.kind != "clustering" or self.allow_filtering:
            return
        for column in self.table.clustering:
            other = self.by_column.get(column.name)
            if other is None or other.columns == columns:
                continue
            if other.is_slice and first.position > other.columns[0].position:
                raise InvalidRequest(
                    f'Clustering column "{first.name}" cannot be restricted (preceding column '
                    f'"{other.columns[0].name}" is restricted by a non-EQ relation)'
                )
            if is_slice and other.columns[0].position > first.position:
                raise InvalidRequest(
                    f'PRIMARY KEY column "{column.name}" cannot be restricted (preceding column '
                    f'"{first.name}" is restricted by a non-EQ relation)'
                )

    def restrictions(self, codec: ClusteringCodec) -> Restrictions:
        """Everything joined: what the engine can seek, and what must be filtered."""
        filters: list[Filter] = []
        key = self._key(filters)
        clustering = self._clustering(codec, filters)
        for name, entry in self.by_column.items():
            if not self.table.columns[name].is_key:
                filters += entry.filters
        seeks_clustering = any(c.name in self.by_column for c in self.table.clustering)
        if (filters or (key.is_range and seeks_clustering)) and not self.allow_filtering:
            raise InvalidRequest(FILTERING_REFUSED)
        keys = self.table.partition_key
        entries = self.by_column
        return Restrictions(
            key,
            clustering,
            tuple(filters),
            frozenset(c.name for c in keys if c.name in entries and entries[c.name].choice),
            frozenset(n for n, e in entries.items() if e.choice is not None and not e.is_in),
            any(entries[c.name].is_in for c in keys if c.name in entries),
        )

    def _key(self, filters: list[Filter]) -> KeyRestriction:
        columns = self.table.partition_key
        entries = [self.by_column.get(column.name) for column in columns]
        if self.has_token:
            both = [c.name for c, e in zip(columns, entries, strict=True) if e is not None]
            if both:
                raise InvalidRequest(
                    f'Columns "{", ".join(both)}" cannot be restricted by both a normal relation '
                    "and a token relation"
                )
            bounds = self.token_bounds
            return KeyRestriction(lower=bounds.get("start"), upper=bounds.get("end"))
        given = [entry for entry in entries if entry is not None]
        if len(given) == len(columns) and all(e.choice and not _contains(e) for e in given):
            choices = tuple(entry.choice for entry in given if entry.choice)
            if any(entry.is_in for entry in given):
                order = ClusteringCodec([column.type for column in columns])
                return KeyRestriction(choices=choices, order=order)
            slots = tuple(entry.filters[0].slots[0] for entry in given)
            return KeyRestriction(KeyTemplate(slots, tuple(c.name for c in columns)))
        for entry in given:
            filters += entry.filters
        if given and not self.allow_filtering:
            raise InvalidRequest(FILTERING_REFUSED)
        return KeyRestriction()

    def _clustering(self, codec: ClusteringCodec, filters: list[Filter]) -> ClusteringRanges:
        columns = self.table.clustering
        ranges = ClusteringRanges(columns, codec, bool(self.table.static))
        position, seekable = 0, True
        while position < len(columns):
            column = columns[position]
            entry = self.by_column.get(column.name)
            if entry is None:
                seekable = False
                position += 1
                continue
            if not seekable or _contains(entry):
                self._refuse_gap(position)
                if not entry.filters:
                    raise InvalidRequest("Multi-column relations after a gap are not supported yet")
                filters += entry.filters
                seekable = False
            elif entry.choice is not None and not entry.is_in and entry.filters:
                ranges.add_slot(column, entry.filters[0].slots[0])
            elif entry.choice is not None:
                ranges.add_choice(len(entry.columns), entry.choice)
            else:
                ranges.set_slice(entry.columns, entry.lower, entry.upper)
                seekable = False
            position += len(entry.columns) if entry.columns[0] is column else 1
        return ranges.finish()

    def _refuse_gap(self, position: int) -> None:
        if self.allow_filtering:
            return
        columns = self.table.clustering
        for before in columns[:position]:
            if before.name not in self.by_column:
                raise InvalidRequest(
                    f'PRIMARY KEY column "{columns[position].name}" cannot be restricted as '
                    f'preceding column "{before.name}" is not restricted'
                )


def _contains(entry: Restricted) -> bool:
    return any(f.operator in _CONTAINS or f.key is not None for f in entry.filters)


def find_column(table: Table, name: str) -> Column:
    """The column that a statement names."""
    column = table.columns.get(name)
    if column is None:
        raise InvalidRequest(f"Undefined column name {quote_name(name)} in table {table.full_name}")
    return column


def _without_parentheses(relation: tree.Relation) -> tree.Relation | None:
    """`(c) = (1)` as `c = 1`; None when the other side is not written out."""
    assert isinstance(relation.target, tree.Columns), "it has a tuple of columns"
    target = tree.Column(relation.target.names[0])
    match relation.value:
        case tree.TupleTerm((item,)):
            return tree.Relation(target, relation.operator, item)
        case tree.InList(items):
            inner = [
                i.items[0] for i in items if isinstance(i, tree.TupleTerm) and len(i.items) == 1
            ]
            if len(inner) == len(items):
                return tree.Relation(target, relation.operator, tree.InList(tuple(inner)))
    return None


def _term(relation: tree.Relation) -> tree.Term:
    assert not isinstance(relation.value, tree.InList), "only IN has a list"
    return relation.value


def _one_value(column: Column, slot: Slot) -> Choice:
    return lambda binding: [(key_value(slot, binding, column.name),)]


def _some_values(column: Column, slots: tuple[Slot, ...]) -> Choice:
    return lambda binding: [(key_value(slot, binding, column.name),) for slot in slots]


def _listed_values(column: Column, slot: Slot) -> Choice:
    def values(binding: Binding) -> list[tuple[bytes, ...]]:
        return [(value,) for value in unpack_list(key_value(slot, binding, column.name))]

    return values


def _bound(columns: tuple[Column, ...], slots: tuple[Slot, ...]) -> Slice:
    def values(binding: Binding) -> tuple[bytes, ...]:
        return tuple(
            key_value(slot, binding, column.name)
            for slot, column in zip(slots, columns, strict=True)
        )

    return values


def _tuple_bound(columns: tuple[Column, ...], slot: Slot) -> Slice:
    names = ", ".join(column.name for column in columns)
    return lambda binding: _unpacked(columns, key_value(slot, binding, names))


def _unpacked(columns: tuple[Column, ...], value: bytes) -> tuple[bytes, ...]:
    """The components of a tuple value, one for each column."""
    parts = []
    type_ = TupleType(tuple(column.type for column in columns))
    for column, part in zip(columns, unpack_tuple(type_, value), strict=True):
        if part is None:
            raise InvalidRequest(f"Invalid null value in condition for column {column.name}")
        parts.append(part)
    return tuple(parts)
