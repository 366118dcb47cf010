"""The door of this floor: runs statements, prepared or not, and batches.

Answers come at once when everything below answers at once; only then is a coroutine made when
something has to be waited for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random
from typing import Any, Protocol, TypeAlias

from cluster.consistency import Consistency
from cluster.replication import Replication
from cql.batching import BatchGuard
from cql.bind import Binding, Slot
from cql.by_key import RowsByKey
from cql.conditional import ConditionalWrite, Part
from cql.environment import Environment
from cql.errors import InvalidRequest, Unauthorized
from cql.moment import Moment
from cql.paging import PagingStates
from cql.parser import tree
from cql.parser.grammar import parse
from cql.plan import (
    NO_TIMES,
    BatchPlan,
    DescribePlan,
    Plan,
    RolePlan,
    SchemaPlan,
    SelectPlan,
    TimeSlots,
    TruncatePlan,
    UsePlan,
    WritePlan,
)
from cql.planner import plan as plan_statement
from cql.prepared import PreparedStatement, PreparedStatements, RecentPlans, statement_id
from cql.protocol.requests import UNSET, Batch, Execute, QueryOptions
from cql.reading import SelectRunner
from cql.results import NO_METADATA_ID, VOID, Prepared, Result, SetKeyspace, Void
from cql.results_memory import Results
from cql.rows import Rows
from cql.schema import Schema, SchemaHolder, Table
from cql.steps import Steps, drive
from cql.types.codec import decode_duration
from cql.write_planner import check_batch
from cql.writing import (
    mutations_after_reading,
    mutations_of,
    set_times,
)
from storage.later import Later
from storage.mutation import Mutation, merge_mutations
from storage.slice import Page, Slice
from storage.values import replace, value_class

Answer: TypeAlias = "Result | Awaitable[Result]"

NOT_LOGGED_IN = "You have to be logged in and not anonymous to perform this request"
ONLY_CONDITIONAL = "You must use conditional updates for serializable writes"
SERIAL_LEVELS = (Consistency.SERIAL, Consistency.LOCAL_SERIAL)


class Session(Protocol):
    """What this floor must know of a connection."""

    keyspace: str | None


class Coordinator(Protocol):
    """The door of the cluster floor, as far as it is used here."""

    def write(
        self,
        mutation: Mutation,
        replication: Replication,
        level: Consistency,
        deadline: float,
        kind: str = ...,
    ) -> Awaitable[None] | None: ...

    def count(
        self, increments: Mutation, replication: Replication, level: Consistency, deadline: float
    ) -> Awaitable[None] | None: ...

    def write_batch(
        self,
        mutations: list[Mutation],
        replication_of: Callable[[Mutation], Replication],
        level: Consistency,
        deadline: float,
        logged: bool,
    ) -> Awaitable[None] | None: ...

    def read(
        self,
        wanted: Slice,
        replication: Replication,
        level: Consistency,
        wall_s: int,
        deadline: float,
    ) -> Page | Awaitable[Page]: ...

    def cas(
        self,
        wanted: Slice,
        replication: Replication,
        serial_level: Consistency,
        level: Consistency,
        deadline: float,
        wall_s: int,
        decide: Callable[[Page], Mutation | None],
    ) -> Awaitable[tuple[bool, Page]]: ...

    def truncate(self, table_id: bytes, name: str, deadline: float) -> Awaitable[None]: ...


class Ports(Protocol):
    """What statements need and only the node can give."""

    def ddl(self, text: str, keyspace: str | None, moment: Moment) -> Awaitable[Result | None]:
        """Run a schema statement; done on every shard before it answers."""

    def replication(self, keyspace: str) -> Replication:
        """The replication of a keyspace in the current topology."""

    def read_virtual(self, table: Table, wanted: Slice) -> Page | Awaitable[Page]:
        """The rows of a table that is an answer, not data."""

    def describe(
        self,
        statement: tree.Describe,
        schema: Schema,
        keyspace: str | None,
        page_size: int,
        paging_state: bytes | None,
    ) -> Result:
        """One page of the answer to DESCRIBE."""


@value_class
class Timeouts:
    """Seconds that each kind of request may take, unless USING TIMEOUT says otherwise."""

    read: float = 5.0
    range: float = 10.0
    write: float = 2.0
    counter: float = 5.0
    cas: float = 1.8
    truncate: float = 60.0


DEFAULT_TIMEOUTS = Timeouts()
DEFAULT_GUARD = BatchGuard()


class Executor:
    """Runs the statements of one shard."""

    def __init__(
        self,
        schema_holder: SchemaHolder,
        prepared: PreparedStatements,
        coordinator: Coordinator,
        ports: Ports,
        *,
        chance: Random,
        paging_key: bytes,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        guard: BatchGuard = DEFAULT_GUARD,
        results: Results | None = None,
    ) -> None:
        self._holder = schema_holder
        self._prepared = prepared
        self._coordinator = coordinator
        self._ports = ports
        self._timeouts = timeouts
        self._guard = guard
        self._environment = Environment(chance)
        self._recent = RecentPlans()
        self._results = Results() if results is None else results
        self._selects = SelectRunner(PagingStates(paging_key), self._results)
        schema_holder.subscribe(prepared.schema_changed)

    # ---------------------------------------------------------------- requests

    def query(self, text: str, options: QueryOptions, session: Session, moment: Moment) -> Answer:
        """Run a statement from its text."""
        keyspace = options.keyspace or session.keyspace
        plan = self._recent.plan(text, keyspace, self._holder.current)
        values = ordered_values(plan, options, "Invalid amount of bind variables")
        if isinstance(plan, SchemaPlan):
            return self._schema(text, keyspace, moment)
        if isinstance(plan, DescribePlan):
            return self._describe(plan, keyspace, options)
        return self._run(plan, values, options, moment, statement_id(text, keyspace))

    def prepare(self, text: str, keyspace: str | None, session: Session, moment: Moment) -> Answer:
        """Plan a statement and keep it."""
        keyspace = keyspace or session.keyspace
        statement = parse(text)
        id_ = statement_id(text, None if is_qualified(statement) else keyspace)
        plan = plan_statement(statement, self._holder.current, keyspace)
        self._prepared.put(PreparedStatement(id_, text, keyspace, plan))
        is_select = isinstance(plan, SelectPlan)
        return Prepared(
            id_,
            plan.metadata_id if isinstance(plan, SelectPlan) else NO_METADATA_ID,
            plan.bind_specs,
            plan.pk_indices,
            plan.result_columns if is_select else (),
            plan.is_conditional,
            warnings=plan.warnings if not is_select else (),
        )

    def execute(self, request: Execute, session: Session, moment: Moment) -> Answer:
        """Hot path: run a prepared statement."""
        statement = self._prepared.get(request.id, self._holder.current)
        plan, options = statement.plan, request.options
        values = options.values
        if values is None or options.names is not None or len(values) != len(plan.bind_specs):
            values = ordered_values(plan, options, _WRONG_COUNT)
        if type(plan) is WritePlan:
            return self._write(plan, values, options, moment)
        if type(plan) is SelectPlan:
            return self._select(plan, values, options, moment, statement.id)
        if isinstance(plan, SchemaPlan):
            return self._schema(statement.text, statement.keyspace, moment)
        if isinstance(plan, DescribePlan):
            return self._describe(plan, statement.keyspace, options)
        return self._run(plan, values, options, moment, statement.id)

    def batch(self, request: Batch, session: Session, moment: Moment) -> Answer:
        """Run a BATCH message: statements by text or id, each with its values."""
        keyspace = request.options.keyspace or session.keyspace
        parts: list[tuple[WritePlan, list[Any]]] = []
        for query, values in request.parts:
            if isinstance(query, bytes):
                plan = self._prepared.get(query, self._holder.current).plan
            else:
                plan = self._recent.plan(query, keyspace, self._holder.current)
            if not isinstance(plan, WritePlan):
                raise InvalidRequest(
                    "Invalid statement in batch: only UPDATE, INSERT and DELETE statements are "
                    "allowed."
                )
            if len(values) != len(plan.bind_specs):
                raise InvalidRequest(
                    f"There were {len(plan.bind_specs)} markers(?) in CQL but {len(values)} bound "
                    "variables"
                )
            parts.append((plan, values))
        kind = tree.BatchKind(request.kind)
        check_batch(kind, [plan for plan, _ in parts], TimeSlots())
        return self._batch(kind, parts, TimeSlots(), request.options, moment)

    # ---------------------------------------------------------------- kinds of plans

    def _run(
        self,
        plan: Plan,
        values: list[Any],
        options: QueryOptions,
        moment: Moment,
        query_id: bytes,
    ) -> Answer:
        if type(plan) is WritePlan:
            return self._write(plan, values, options, moment)
        if type(plan) is SelectPlan:
            return self._select(plan, values, options, moment, query_id)
        if type(plan) is BatchPlan:
            parts = [(part, values) for part in plan.parts]
            return self._batch(plan.kind, parts, plan.times, options, moment)
        if type(plan) is UsePlan:
            return SetKeyspace(plan.keyspace)
        if type(plan) is TruncatePlan:
            return self._truncate(plan, values, options, moment)
        assert type(plan) is RolePlan, "every other plan is run before"
        raise Unauthorized(NOT_LOGGED_IN)

    def _binding(self, values: list[Any], options: QueryOptions, moment: Moment) -> Binding:
        timestamp = options.timestamp
        now = options.now_in_seconds
        return Binding(
            values,
            moment.timestamp_us if timestamp is None else timestamp,
            moment.wall_s if now is None else now,
            moment,
            self._environment,
        )

    def _deadline(
        self, slot: Slot | None, binding: Binding, moment: Moment, seconds: float
    ) -> float:
        """When the request is too late: USING TIMEOUT, or the usual time."""
        if slot is None:
            return moment.now + seconds
        value = slot.resolve(binding)
        if value is None or value is UNSET:
            return moment.now + seconds
        duration = decode_duration(value)
        if duration.months or duration.days < 0 or duration.nanoseconds < 0:
            raise InvalidRequest("Timeout values cannot be expressed in days/months or be negative")
        return moment.now + duration.days * 86400 + duration.nanoseconds / 1e9

    def _select(
        self,
        plan: SelectPlan,
        values: list[Any],
        options: QueryOptions,
        moment: Moment,
        query_id: bytes,
    ) -> Answer:
        binding = self._binding(values, options, moment)
        level = options.consistency
        if level is Consistency.ANY:
            raise InvalidRequest("ANY ConsistencyLevel is only supported for writes")
        by_key = plan.by_key
        is_range = by_key is None and plan.restrictions.key.is_range
        usual = self._timeouts.range if is_range else self._timeouts.read
        deadline = self._deadline(plan.timeout, binding, moment, usual)
        if is_range and level in SERIAL_LEVELS:
            raise InvalidRequest(
                "SERIAL/LOCAL_SERIAL consistency may only be requested for one partition at a time"
            )
        if by_key is not None and options.paging_state is None:
            wanted = by_key.slice(binding, options.page_size)
            if wanted is None:
                return by_key.rows(None)
            replication = self._ports.replication(plan.table.keyspace)
            answer = self._coordinator.read(wanted, replication, level, binding.wall_s, deadline)
            if not isinstance(answer, Page):
                go_on = partial(self._rows_from, plan, by_key, binding, options, deadline, query_id)
                return answer.then(go_on) if isinstance(answer, Later) else _after(answer, go_on)
            return self._rows_from(plan, by_key, binding, options, deadline, query_id, answer)
        return self._run_select(plan, binding, options, deadline, query_id)

    def _rows_of(self, page: Page, by_key: RowsByKey, options: QueryOptions) -> Rows | None:
        """The answer, if this page is all of it and has room in a reply."""
        if page.more or not by_key.is_quick(page):
            return None
        rows = by_key.rows(page)
        if options.page_size <= 0 or len(rows.data) <= self._results.page_bytes_max:
            return rows
        return None

    def _rows_from(
        self,
        plan: SelectPlan,
        by_key: RowsByKey,
        binding: Binding,
        options: QueryOptions,
        deadline: float,
        query_id: bytes,
        page: Page,
    ) -> Rows | Awaitable[Rows]:
        """The short way from the first page to the answer, which mostly has all of it."""
        rows = self._rows_of(page, by_key, options)
        if rows is not None:
            return rows
        return self._run_select(plan, binding, options, deadline, query_id, page)

    def _run_select(
        self,
        plan: SelectPlan,
        binding: Binding,
        options: QueryOptions,
        deadline: float,
        query_id: bytes,
        first: Page | None = None,
    ) -> Rows | Awaitable[Rows]:
        """The long way; `first` is the answer to the first slice, if there is one already."""
        reader = self._reader(plan.table, options.consistency, binding, deadline)
        page_size, state = options.page_size, options.paging_state
        return self._selects.run(plan, binding, reader, page_size, state, query_id, first)

    def _reader(
        self, table: Table, level: Consistency, binding: Binding, deadline: float
    ) -> Callable[[Table, Slice], Page | Awaitable[Page]]:
        """How the rows of a table are read in this request."""
        if table.is_virtual:
            return self._ports.read_virtual
        replication = self._ports.replication(table.keyspace)
        wall_s, read = binding.wall_s, self._coordinator.read
        return lambda _, wanted: read(wanted, replication, level, wall_s, deadline)

    def _write(
        self, plan: WritePlan, values: list[Any], options: QueryOptions, moment: Moment
    ) -> Answer:
        """One modification. The hot path ends in the first return: keep it one call stack."""
        level = options.consistency
        binding = self._binding(values, options, moment)
        times = plan.times
        if times is NO_TIMES:
            binding.ttl = plan.default_ttl
            deadline = moment.now + self._timeouts.write
        else:
            set_times(plan, times, binding)
            deadline = self._deadline(times.timeout, binding, moment, self._timeouts.write)
        if plan.one is not None:
            if level in SERIAL_LEVELS:
                raise InvalidRequest(ONLY_CONDITIONAL)
            mutation = plan.one.bind(binding)
            replication = self._ports.replication(plan.table.keyspace)
            written = self._coordinator.write(mutation, replication, level, deadline)
            return VOID if written is None else _void_after(written)
        if plan.conditions is not None:
            return self._conditional([Part(plan, binding)], options, moment, in_batch=False)
        check_write_level(level)
        return drive(self._write_steps(plan, binding, level, moment))

    def _write_steps(
        self, plan: WritePlan, binding: Binding, level: Consistency, moment: Moment
    ) -> Steps[Result]:
        """Modifications of several partitions, of counters, and those that must read first."""
        usual = self._timeouts.counter if plan.is_counter else self._timeouts.write
        deadline = self._deadline(plan.times.timeout, binding, moment, usual)
        replication = self._ports.replication(plan.table.keyspace)
        if plan.is_counter:
            binding.timestamp_us = moment.timestamp_us
        if plan.needs_read:
            read = self._reader(plan.table, _read_level(level), binding, deadline)
            mutations = yield from mutations_after_reading(plan, binding, read)
        else:
            mutations = mutations_of(plan, binding)
        if len(mutations) > 1 and not plan.is_counter:
            yield self._coordinator.write_batch(
                mutations, lambda _: replication, level, deadline, False
            )
            return VOID
        for mutation in mutations:
            if plan.is_counter and not plan.deletes_rows:
                yield self._coordinator.count(mutation, replication, level, deadline)
            else:
                yield self._coordinator.write(mutation, replication, level, deadline)
        return VOID

    def _conditional(
        self, parts: Sequence[Part], options: QueryOptions, moment: Moment, *, in_batch: bool
    ) -> Answer:
        level = options.consistency
        serial = options.serial_consistency
        if not serial.is_serial:
            raise InvalidRequest(
                "Invalid consistency for conditional update. Must be one of SERIAL or LOCAL_SERIAL"
            )
        write = ConditionalWrite(parts, in_batch=in_batch)
        binding = parts[0].binding
        deadline = self._deadline(parts[0].plan.times.timeout, binding, moment, self._timeouts.cas)
        wanted = write.slice()
        replication = self._ports.replication(write.table.keyspace)
        commit = Consistency.ONE if level.is_serial else level

        def steps() -> Steps[Result]:
            applied, page = yield self._coordinator.cas(
                wanted, replication, serial, commit, deadline, binding.wall_s, write.decide
            )
            return write.result(applied, page)

        return drive(steps())

    def _batch(
        self,
        kind: tree.BatchKind,
        parts: Sequence[tuple[WritePlan, list[Any]]],
        times: TimeSlots,
        options: QueryOptions,
        moment: Moment,
    ) -> Answer:
        bound = []
        for plan, values in parts:
            binding = self._binding(values, options, moment)
            set_times(plan, _merged(times, plan.times), binding)
            bound.append(Part(plan, binding))
        if not bound:
            return VOID
        if any(part.plan.conditions is not None for part in bound):
            return self._conditional(bound, options, moment, in_batch=True)
        level = options.consistency
        check_write_level(level)
        return drive(self._batch_steps(kind, bound, times, level, moment))

    def _batch_steps(
        self,
        kind: tree.BatchKind,
        parts: Sequence[Part],
        times: TimeSlots,
        level: Consistency,
        moment: Moment,
    ) -> Steps[Result]:
        counts = kind is tree.BatchKind.COUNTER or parts[0].plan.is_counter
        usual = self._timeouts.counter if counts else self._timeouts.write
        deadline = self._deadline(times.timeout, parts[0].binding, moment, usual)
        mutations: list[Mutation] = []
        keyspaces: dict[bytes, str] = {}
        for part in parts:
            plan = part.plan
            keyspaces[plan.table_id] = plan.table.keyspace
            if plan.needs_read:
                read = self._reader(plan.table, _read_level(level), part.binding, deadline)
                mutations += yield from mutations_after_reading(plan, part.binding, read)
            else:
                mutations += mutations_of(plan, part.binding)
        if not counts:
            # Increments of one counter add up; merged they would overwrite each other.
            mutations = merge_mutations(mutations)
        warnings = self._guard.check(kind, mutations, [part.plan for part in parts])
        replication = self._ports.replication

        def replication_of(mutation: Mutation) -> Replication:
            return replication(keyspaces[mutation.table_id])

        if counts:
            for mutation in mutations:
                yield self._coordinator.count(mutation, replication_of(mutation), level, deadline)
        else:
            logged = kind is tree.BatchKind.LOGGED
            yield self._coordinator.write_batch(mutations, replication_of, level, deadline, logged)
        return Void(warnings=warnings) if warnings else VOID

    def _truncate(
        self, plan: TruncatePlan, values: list[Any], options: QueryOptions, moment: Moment
    ) -> Answer:
        binding = self._binding(values, options, moment)
        deadline = self._deadline(plan.timeout, binding, moment, self._timeouts.truncate)

        def steps() -> Steps[Result]:
            table = plan.table
            yield self._coordinator.truncate(table.id.bytes, table.full_name, deadline)
            return VOID

        return drive(steps())

    def _describe(self, plan: DescribePlan, keyspace: str | None, options: QueryOptions) -> Result:
        page = options.page_size, options.paging_state
        return self._ports.describe(plan.statement, self._holder.current, keyspace, *page)

    def _schema(self, text: str, keyspace: str | None, moment: Moment) -> Answer:
        def steps() -> Steps[Result]:
            result = yield self._ports.ddl(text, keyspace, moment)
            return VOID if result is None else result

        return drive(steps())


_WRONG_COUNT = "there were {wanted} markers(?) in CQL but {given} bound variables"


async def _after(page: Awaitable[Page], go_on: Callable[[Page], Rows | Awaitable[Rows]]) -> Rows:
    rows = go_on(await page)
    return rows if isinstance(rows, Rows) else await rows


async def _void_after(written: Awaitable[None]) -> Result:
    await written
    return VOID


def _merged(batch: TimeSlots, part: TimeSlots) -> TimeSlots:
    return part if batch.timestamp is None else replace(part, timestamp=batch.timestamp)


def _read_level(level: Consistency) -> Consistency:
    """The level at which a write reads what it must know first."""
    return Consistency.ONE if level is Consistency.ANY else level


def check_write_level(level: Consistency) -> None:
    """Refuse levels that plain writes do not have."""
    if level.is_serial:
        raise InvalidRequest(ONLY_CONDITIONAL)


def is_qualified(statement: tree.Statement) -> bool:
    """Whether the statement means the same in every keyspace."""
    if isinstance(statement, tree.Batch):
        return all(part.table.keyspace is not None for part in statement.statements)
    table = getattr(statement, "table", None)
    if isinstance(statement, tree.SchemaStatement):
        return False
    return isinstance(table, tree.QualifiedName) and table.keyspace is not None


def ordered_values(plan: Plan, options: QueryOptions, wrong_count: str) -> list[Any]:
    """The values in the order of the markers; InvalidRequest when their number is wrong."""
    values: list[Any] = list(options.values or ())
    if options.names is not None:
        by_name = dict(zip(options.names, values, strict=True))
        names = [spec.name for spec in plan.bind_specs]
        values = [by_name[name] for name in names if name in by_name]
    if len(values) != len(plan.bind_specs):
        raise InvalidRequest(wrong_count.format(wanted=len(plan.bind_specs), given=len(values)))
    return values


__all__ = ["Answer", "Coordinator", "Executor", "Ports", "Session", "Timeouts"]
