"""SELECT -> SelectPlan."""

from __future__ import annotations

from cql.bind import Slot
from cql.errors import InvalidRequest
from cql.expressions import Expressions
from cql.parser import tree
from cql.plan import GroupKey, SelectPlan
from cql.restrictions import Restrictions, analyse, find_column
from cql.results import ColumnSpec, result_metadata_id
from cql.schema import Column, Table
from cql.select_json import json_expression
from cql.selection import Aggregate, Evaluate, Fetch, Selection, column_value
from cql.terms import Scope, prepare
from cql.types.catalog import INT, TEXT
from cql.write_planner import codec_of, plan_times

ORDER_NEEDS_KEY = (
    "ORDER BY is only supported when the partition key is restricted by an EQ or an IN."
)
ORDER_OF_KEY = (
    "Order by currently only supports the ordering of columns following their declared order in "
    "the PRIMARY KEY"
)
GROUP_OF_KEY = (
    "Group by currently only support groups of columns following their declared order in the "
    "PRIMARY KEY"
)


def plan_select(statement: tree.Select, scope: Scope) -> SelectPlan:
    """The plan of one SELECT."""
    table = scope.schema.get_table(statement.table.keyspace or scope.keyspace, statement.table.name)
    return _SelectPlanner(statement, table, scope).plan()


class _SelectPlanner:
    """One SELECT on its way to a plan."""

    def __init__(self, statement: tree.Select, table: Table, scope: Scope) -> None:
        self.statement = statement
        self.table = table
        self.scope = scope
        self.fetch = Fetch(table)
        self.aggregates: list[Aggregate] = []
        self.order_columns = 0

    def plan(self) -> SelectPlan:
        statement, table = self.statement, self.table
        specs, expressions, columns = self._select()
        restrictions = analyse(
            table,
            statement.where,
            self.scope,
            codec_of(table),
            allow_filtering=statement.allow_filtering or table.is_virtual,
        )
        if statement.distinct:
            self._check_distinct(restrictions)
        self._check_static(restrictions)
        group = self._group(restrictions)
        is_reversed = self._order(restrictions)
        sorts = bool(statement.order_by) and restrictions.has_key_in
        plain = not (self.aggregates or group or restrictions.filters or sorts)
        selection = self._selection(specs, expressions, columns if plain else None, restrictions)
        times = plan_times(statement.attributes, table, self.scope)
        limit = self._limit(statement.limit, "[limit]")
        partition_limit = self._limit(statement.per_partition_limit, "[per_partition_limit]")
        self._check_partition_limit(partition_limit is not None, group)
        template = restrictions.key.template
        slots = template.slots if template else ()
        bind_specs = tuple(spec for _, spec in sorted(self.scope.bind_specs.items()))
        return SelectPlan(
            bind_specs=bind_specs,
            pk_indices=tuple(s.index for s in slots) if all(s.is_marker for s in slots) else (),
            result_columns=selection.specs,
            metadata_id=result_metadata_id(selection.specs),
            tables=frozenset({(table.keyspace, table.name)}),
            warnings=self._warnings(restrictions, group),
            table=table,
            table_id=table.id.bytes,
            codec=codec_of(table),
            restrictions=restrictions,
            selection=selection,
            filter_columns=tuple(self.fetch.index_of(f.column) for f in restrictions.filters),
            is_distinct=statement.distinct,
            is_reversed=is_reversed,
            sorts_partitions=sorts,
            order_columns=self.order_columns,
            has_static=bool(table.static),
            is_counter=table.is_counter,
            limit=limit,
            partition_limit=partition_limit,
            group=group,
            columns=self._cell_ids(),
            bypass_cache=statement.bypass_cache,
            timeout=times.timeout,
        )

    # ---------------------------------------------------------------- selectors

    def _select(
        self,
    ) -> tuple[list[ColumnSpec], list[Evaluate], list[Column] | None]:
        """Result columns, how to compute them, and the columns when that is all they are."""
        table = self.table
        if not self.statement.selectors:
            columns = list(table.all_columns)
            specs = [ColumnSpec(table.keyspace, table.name, c.name, c.type) for c in columns]
            return specs, [column_value(self.fetch.index_of(c)) for c in columns], columns
        specs, expressions, plain = [], [], True
        named: list[Column] = []
        compiler = Expressions(self.fetch, self.aggregates, self.scope)
        for selector in self.statement.selectors:
            shown = selector.expression
            if isinstance(shown, tree.TupleTerm) and len(shown.items) == 1:
                shown = shown.items[0]
            if isinstance(shown, tree.Column):
                column = find_column(table, shown.name)
                named.append(column)
                name, type_ = column.name, column.type
                expressions.append(column_value(self.fetch.index_of(column)))
            else:
                plain = False
                compiled = compiler.compile(shown)
                name, type_ = compiled.name, compiled.type
                expressions.append(compiled.evaluate)
            name = selector.alias or name
            specs.append(ColumnSpec(table.keyspace, table.name, name, type_))
        return specs, expressions, named if plain else None

    def _selection(
        self,
        specs: list[ColumnSpec],
        expressions: list[Evaluate],
        columns: list[Column] | None,
        restrictions: Restrictions,
    ) -> Selection:
        outputs = None
        if columns is not None and not self.statement.json:
            outputs = tuple(self.fetch.index_of(column) for column in columns)
        for condition in restrictions.filters:
            self.fetch.index_of(condition.column)
        if self.statement.json:
            expressions = [json_expression(specs, expressions)]
            specs = [ColumnSpec(self.table.keyspace, self.table.name, "[json]", TEXT)]
        return Selection(
            tuple(specs),
            self.fetch.layout(),
            outputs,
            tuple(expressions),
            tuple(self.aggregates),
            self.fetch.needs_times,
        )

    def _cell_ids(self) -> frozenset[int]:
        ids = self.fetch.cell_ids()
        lossy = bool(self.table.clustering) and codec_of(self.table).is_lossy
        return ids | {0} if lossy else ids

    # ---------------------------------------------------------------- the other clauses

    def _limit(self, term: tree.Term | None, name: str) -> Slot | None:
        if term is None:
            return None
        return prepare(
            term, ColumnSpec(self.table.keyspace, self.table.name, name, INT), self.scope
        )

    def _check_partition_limit(self, given: bool, group: GroupKey | None) -> None:
        if not given:
            return
        if self.statement.distinct:
            raise InvalidRequest("PER PARTITION LIMIT is not allowed with SELECT DISTINCT queries")
        if self.aggregates and group is None:
            raise InvalidRequest("PER PARTITION LIMIT is not allowed with aggregate queries.")

    def _check_distinct(self, restrictions: Restrictions) -> None:
        others = [f.column for f in restrictions.filters]
        if not restrictions.clustering.is_whole or any(
            c.kind in ("clustering", "regular") for c in others
        ):
            raise InvalidRequest(
                "SELECT DISTINCT with WHERE clause only supports restriction by partition key "
                "and/or static columns."
            )
        for column in self.fetch.columns:
            if column.kind not in ("partition_key", "static"):
                raise InvalidRequest(
                    "SELECT DISTINCT queries must only request partition key columns and/or "
                    f"static columns (not {column.name})"
                )
        if not restrictions.key.is_range:
            return
        for column in self.table.partition_key:
            if column not in self.fetch.columns:
                raise InvalidRequest(
                    "SELECT DISTINCT queries must request all the partition key columns "
                    f"(missing {column.name})"
                )

    def _check_static(self, restrictions: Restrictions) -> None:
        kinds = {column.kind for column in self.fetch.columns}
        only_static = "static" in kinds and kinds <= {"static", "partition_key"}
        if only_static and self.statement.selectors and not restrictions.clustering.is_whole:
            raise InvalidRequest(
                "Cannot restrict clustering columns when selecting only static columns"
            )

    def _order(self, restrictions: Restrictions) -> bool:
        """Whether rows are read backwards; InvalidRequest for an order that rows do not have."""
        orderings = self.statement.order_by
        if not orderings:
            return False
        if any(ordering.ann is not None for ordering in orderings):
            raise InvalidRequest("ORDER BY ... ANN OF is not supported yet")
        if restrictions.key.is_range:
            raise InvalidRequest(ORDER_NEEDS_KEY)
        position, directions = 0, set()
        for ordering in orderings:
            column = find_column(self.table, ordering.column)
            if column.kind != "clustering":
                raise InvalidRequest(
                    "Order by is currently only supported on the clustered columns of the PRIMARY "
                    f"KEY, got {column.name}"
                )
            while position != column.position:
                if position > column.position or (
                    self.table.clustering[position].name not in restrictions.eq_columns
                ):
                    raise InvalidRequest(ORDER_OF_KEY)
                position += 1
            position += 1
            directions.add(ordering.descending != column.reversed)
        if len(directions) > 1:
            raise InvalidRequest("Unsupported order by relation")
        self.order_columns = position
        return directions.pop()

    def _group(self, restrictions: Restrictions) -> GroupKey | None:
        if not self.statement.group_by:
            return None
        key = self.table.partition_key + self.table.clustering
        position = 0
        for expression in self.statement.group_by:
            if not isinstance(expression, tree.Column):
                raise InvalidRequest("GROUP BY a function is not supported yet")
            column = find_column(self.table, expression.name)
            if not column.is_key:
                raise InvalidRequest(
                    "Group by is currently only supported on the columns of the PRIMARY KEY, got "
                    f"{column.name}"
                )
            while position < len(key) and key[position] != column:
                if key[position].name not in restrictions.eq_columns:
                    raise InvalidRequest(GROUP_OF_KEY)
                position += 1
            if position == len(key):
                raise InvalidRequest(GROUP_OF_KEY)
            position += 1
        if position < len(self.table.partition_key):
            raise InvalidRequest("Group by is not supported on only a part of the partition key")
        clustering = key[len(self.table.partition_key) : position]
        if clustering and self.statement.distinct:
            raise InvalidRequest(
                "Grouping on clustering columns is not allowed for SELECT DISTINCT queries"
            )
        return GroupKey(tuple(self.fetch.index_of(column) for column in clustering))

    def _warnings(self, restrictions: Restrictions, group: GroupKey | None) -> tuple[str, ...]:
        if not self.aggregates and group is None:
            return ()
        if restrictions.key.is_range:
            return ("Aggregation query used without partition key",)
        if restrictions.has_key_in:
            return ("Aggregation query used on multiple partition keys (IN restriction)",)
        return ()
