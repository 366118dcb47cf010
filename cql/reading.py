"""Runs a SELECT: slices to the coordinator, pages back, rows out, one page of them at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cql.aggregates import GroupedRows
from cql.assemble import Assembler, FetchedRow
from cql.bind import Binding, Slot
from cql.by_key import RowsByKey
from cql.errors import InvalidRequest, ProtocolError
from cql.filters import bind_filters, matches_all
from cql.paging import NO_LIMIT, PagingStates, Position
from cql.plan import SelectPlan
from cql.protocol.requests import UNSET
from cql.results import Rows
from cql.results_memory import PAGE_BYTES_MAX, Gathered, Results
from cql.schema import Table
from cql.selection import Frame
from cql.steps import Steps, drive
from storage.pace import others_first
from storage.slice import Pack, Page, PartitionRows, Slice
from storage.values import replace

INTERNAL_ROWS = 5_000
"""Rows read at a time when they are filtered, grouped or sorted above the engine."""

TURN_ROWS = 100
"""After so many of them others get their turn: each takes 2 to 5 us."""

PLAIN_TURN_ROWS = 200
"""The same for rows that are only copied, in 0.3 us if they are packed and else in 1 to 2 us."""

SCANNED_ROWS_MAX = 100_000
"""A paged query that filters ends its page, full or not, after looking at so many rows."""

SORTED_ROWS_MAX = 500_000
"""Rows that ORDER BY over several partitions may hold."""

ROW_BYTES = 400
"""About what a row that is kept for sorting takes beside its values."""

Read = Callable[[Table, Slice], "Page | Awaitable[Page]"]


@dataclass(slots=True)
class Run:
    """One execution of a SELECT: what is asked for, and how far it has come."""

    plan: SelectPlan
    binding: Binding
    read: Read
    targets: Sequence[Any]
    """Keys to read one by one, or the one range of keys."""
    ranges: tuple[tuple[bytes, bytes], ...]
    page_size: int
    remaining: int
    partition_limit: int
    query_id: bytes
    gathered: Gathered
    page_bytes: int
    """At which a page of the engine, and one of the client, ends."""
    target: int = 0
    resume_key: bytes = b""
    resume_clustering: bytes = b""
    resume_rows: int = 0
    scanned: int = 0
    kept_bytes: int = 0
    """Of rows that are kept for sorting."""
    assembler: Assembler = field(init=False)

    def __post_init__(self) -> None:
        self.assembler = assembler_of(self.plan, self.binding.wall_s)

    @property
    def is_done(self) -> bool:
        """Whether every target has been read to its end."""
        return self.target >= len(self.targets)

    @property
    def is_paged(self) -> bool:
        """Whether the client wants pages."""
        return self.page_size > 0

    @property
    def assembled_max(self) -> int:
        """At how many bytes a result ends; 0 is never."""
        return self.page_bytes if self.is_paged else 0

    @property
    def is_page_full(self) -> bool:
        """Whether the client's page takes no more rows."""
        assembler = self.assembler
        return self.is_paged and (
            assembler.row_count >= self.page_size or assembler.byte_count >= self.page_bytes
        )

    def room_for(self, page: Page, turn_rows: int) -> Awaitable[None] | None:
        """Wait for this before a page that takes several turns: others hold theirs meanwhile."""
        rows = sum(len(part) if isinstance(part, Pack) else len(part.rows) for part in page.parts)
        return self.gathered.enter(self.page_bytes) if rows >= turn_rows else None

    def resume_at(self, position: Position) -> None:
        """Go on where an earlier page ended."""
        self.remaining = position.remaining
        if not isinstance(self.targets[0], bytes):
            self.resume_key, self.resume_clustering = position.key, position.clustering
        elif position.key not in self.targets:
            raise ProtocolError("Invalid value for the paging state")
        else:
            self.target = self.targets.index(position.key)
            if position.clustering:
                self.resume_key, self.resume_clustering = position.key, position.clustering
            else:
                self.target += 1
        if position.clustering:
            self.resume_rows = position.in_partition

    def slice(self, row_limit: int, partition_limit: int) -> Slice:
        """The next rows of the target at hand."""
        plan = self.plan
        return Slice(
            plan.table_id,
            key=self.targets[self.target],
            ranges=self.ranges,
            static=plan.has_static,
            reverse=plan.is_reversed,
            columns=plan.columns,
            row_limit=row_limit,
            partition_limit=partition_limit,
            byte_limit=self.page_bytes,
            distinct=plan.is_distinct,
            resume_key=self.resume_key,
            resume_clustering=self.resume_clustering,
            resume_rows=self.resume_rows,
            bypass_cache=plan.bypass_cache,
        )

    def advance(self, page: Page) -> None:
        """Note how far `page` went."""
        if not page.more:
            self.target += 1
            self.resume_key = self.resume_clustering = b""
            self.resume_rows = 0
            return
        rows = 0
        if page.last_clustering and page.parts:
            rows = page.rows_at_position()
            if self.resume_key == page.last_key and self.resume_clustering:
                rows += self.resume_rows
        self.resume_rows = rows
        self.resume_key, self.resume_clustering = page.last_key, page.last_clustering

    def position_within(self, partition: PartitionRows, count: int, found: int) -> Position:
        """Where the rest begins after `count` rows of a partition, and `found` of a whole page."""
        given = count
        if partition.key == self.resume_key and self.resume_clustering:
            given += self.resume_rows
        after = self.position_after(partition.key, found)
        return replace(after, clustering=partition.clusterings[count - 1], in_partition=given)

    def position_in(self, pack: Pack, count: int, found: int) -> Position:
        """Where the rest begins after `count` rows of a pack, and `found` of a whole page."""
        last = count - 1
        after = self.position_after(pack.key(last), found)
        given = pack.rows_before(count)
        if not given:
            return after
        return replace(after, clustering=pack.clustering(last), in_partition=given)

    def position_after(self, key: bytes, found: int) -> Position:
        """Where the rest begins after a partition, and `found` rows of a page of the engine."""
        remaining = self.remaining - found if self.remaining < NO_LIMIT else NO_LIMIT
        return Position(key, b"", remaining)

    def position(self, last_key: bytes) -> Position:
        """Where the rest begins, between two pages of the engine."""
        if self.resume_key:
            return Position(
                self.resume_key, self.resume_clustering, self.remaining, self.resume_rows
            )
        return Position(last_key, b"", self.remaining)


def rows_by_key(plan: SelectPlan) -> RowsByKey | None:
    """The short way for a plan, if it may take it."""
    plain = plan.selection.outputs is not None and not plan.sorts_partitions
    if not plain or plan.restrictions.key.template is None or plan.table.is_virtual:
        return None
    if plan.limit is not None or plan.partition_limit is not None:
        return None
    clustering = plan.restrictions.clustering
    is_whole = clustering.is_whole
    question = Slice(
        plan.table_id,
        ranges=clustering.ranges_of_all if is_whole else (),
        static=plan.has_static,
        reverse=plan.is_reversed,
        columns=plan.columns,
        byte_limit=PAGE_BYTES_MAX,
        distinct=plan.is_distinct,
        bypass_cache=plan.bypass_cache,
    )
    return RowsByKey(
        question,
        plan.restrictions.key.template,
        None if is_whole else clustering.ranges,
        assembler_of(plan, 0),
        plan.result_columns,
        plan.metadata_id,
    )


def assembler_of(plan: SelectPlan, wall_s: int) -> Assembler:
    """A new assembler for the rows of a plan."""
    selection = plan.selection
    return Assembler(
        selection.layout,
        selection.outputs or (),
        len(plan.table.partition_key),
        plan.codec,
        plan.codec.is_lossy,
        plan.is_counter,
        selection.needs_times,
        wall_s,
    )


class SelectRunner:
    """Runs SELECT plans."""

    def __init__(self, states: PagingStates, results: Results | None = None) -> None:
        self._states = states
        self._results = Results() if results is None else results

    def run(
        self,
        plan: SelectPlan,
        binding: Binding,
        read: Read,
        page_size: int,
        paging_state: bytes | None,
        query_id: bytes,
        first: Page | Awaitable[Page] | None = None,
    ) -> Rows | Awaitable[Rows]:
        """The rows, or one page of them, at once when nothing has to be waited for.

        `first` is the answer to the first slice, when it has been read already.
        """
        targets, ranges = self._wanted(plan, binding)
        limit = positive(plan.limit, binding)
        run = Run(
            plan,
            binding,
            read,
            targets,
            ranges,
            page_size,
            limit or NO_LIMIT,
            positive(plan.partition_limit, binding),
            query_id,
            Gathered(self._results),
            self._results.page_bytes_max,
        )
        if paging_state is not None and page_size > 0 and targets:
            run.resume_at(self._states.decode(query_id, paging_state))
        if plan.selection.outputs is not None and not plan.sorts_partitions:
            return drive(_releasing(run, self._plain(run, first)))
        if plan.sorts_partitions:
            self._check_sort(run)
            return drive(_releasing(run, self._sorted(run)))
        if plan.selection.is_aggregate or plan.group is not None:
            return drive(_releasing(run, self._grouped(run)))
        return drive(_releasing(run, self._computed(run)))

    def _wanted(
        self, plan: SelectPlan, binding: Binding
    ) -> tuple[Sequence[Any], tuple[tuple[bytes, bytes], ...]]:
        """The keys or key range, and the clustering ranges; no keys when nothing can match."""
        restrictions = plan.restrictions
        ranges = restrictions.clustering.ranges(binding)
        if restrictions.key.is_range:
            key_range = restrictions.key.key_range(binding)
            targets: Sequence[Any] = () if key_range is None else (key_range,)
        else:
            targets = restrictions.key.keys(binding)
        return (targets if ranges else ()), ranges

    def _check_sort(self, run: Run) -> None:
        if run.is_paged and len(run.targets) > 1 and run.remaining > run.page_size:
            raise InvalidRequest(
                "Cannot page queries with both ORDER BY and a IN restriction on the partition key; "
                "you must either remove the ORDER BY or the IN and sort client side, or disable "
                "paging for this query"
            )

    # ---------------------------------------------------------------- rows as they lie

    def _plain(self, run: Run, first: Page | Awaitable[Page] | None) -> Steps[Rows]:
        """Rows whose columns only have to be copied."""
        assembler = run.assembler
        key = b""
        turn_ends = PLAIN_TURN_ROWS
        while not run.is_done:
            before = assembler.row_count
            limit = run.remaining if run.remaining < NO_LIMIT else 0
            if run.is_paged:
                limit = min(run.page_size - before, run.remaining)
            resumed = run.resume_key
            if first is None:
                page = yield run.read(run.plan.table, run.slice(limit, run.partition_limit))
            else:
                page, first = (yield first), None
            if (waits := run.room_for(page, PLAIN_TURN_ROWS)) is not None:
                yield waits
            for partition in page.parts:
                if assembler.row_count and run.is_page_full:
                    # The rows are longer for the client than they are in storage.
                    return self._rows(run, run.position_after(key, assembler.row_count - before))
                if isinstance(partition, Pack):
                    count = yield from self._add_pack(run, partition)
                    if count < len(partition):
                        found = assembler.row_count - before
                        return self._rows(run, run.position_in(partition, count, found))
                    key = partition.key(count - 1)
                    turn_ends = assembler.row_count + PLAIN_TURN_ROWS
                    continue
                key = partition.key
                if partition.rows or key != resumed:
                    most = run.assembled_max
                    count = assembler.add_partition(partition, most, 0, PLAIN_TURN_ROWS)
                    if count < len(partition.rows):
                        count = yield from self._add_rest(run, partition, count)
                    if count < len(partition.rows):
                        found = assembler.row_count - before
                        return self._rows(run, run.position_within(partition, count, found))
                    if assembler.row_count >= turn_ends:
                        turn_ends = assembler.row_count + PLAIN_TURN_ROWS
                        yield others_first()
            if not page.more and isinstance(run.targets[0], bytes):
                key = run.targets[run.target]
            run.advance(page)
            if run.remaining < NO_LIMIT:
                run.remaining -= assembler.row_count - before
                if run.remaining <= 0:
                    return self._rows(run, None)
            if run.is_paged and not run.is_done and (page.more or run.is_page_full):
                return self._rows(run, run.position(key))
            if not run.is_done and run.gathered.grow(assembler.byte_count):
                yield others_first()
        return self._rows(run, None)

    def _add_pack(self, run: Run, pack: Pack) -> Steps[int]:
        """Append the rows of a pack; gives how many, fewer than all if the page is full."""
        before, taken = -1, 0
        while before < taken < len(pack):
            before = taken
            taken = run.assembler.add_pack(pack, run.assembled_max, before, PLAIN_TURN_ROWS)
            if taken == before + PLAIN_TURN_ROWS:
                yield others_first()
        return taken

    def _add_rest(self, run: Run, partition: PartitionRows, taken: int) -> Steps[int]:
        """Append what the first turn has left of a partition's rows; gives how many it has then,
        fewer than all if the page is full.
        """
        before = -1
        while before < taken < len(partition.rows):
            yield others_first()
            before = taken
            taken = run.assembler.add_partition(
                partition, run.assembled_max, before, PLAIN_TURN_ROWS
            )
        return taken

    # ---------------------------------------------------------------- rows as values

    def _batch(self, run: Run, row_limit: int) -> Steps[list[FetchedRow]]:
        """The next rows of the engine as values."""
        limit = run.partition_limit if self._engine_limits(run) else 0
        resumed = run.resume_key
        page = yield run.read(run.plan.table, run.slice(row_limit, limit))
        if (waits := run.room_for(page, TURN_ROWS)) is not None:
            yield waits
        rows: list[FetchedRow] = []
        turn_ends = TURN_ROWS
        for part in page.parts:
            if isinstance(part, PartitionRows) and not part.rows and part.key == resumed:
                continue
            count = len(part) if isinstance(part, Pack) else len(part.rows)
            for first in range(0, max(count, 1), TURN_ROWS):
                rows += run.assembler.fetch(part, first, TURN_ROWS)
                if len(rows) >= turn_ends:
                    turn_ends = len(rows) + TURN_ROWS
                    yield others_first()
        run.advance(page)
        run.scanned += len(rows)
        if not run.is_done:
            has_much = run.gathered.grow(run.assembler.byte_count + run.kept_bytes)
            if has_much or len(rows) >= TURN_ROWS:
                yield others_first()
        return rows

    def _engine_limits(self, run: Run) -> bool:
        """Whether every row the engine gives is a row of the result."""
        return not run.plan.restrictions.filters and run.plan.group is None

    def _computed(self, run: Run) -> Steps[Rows]:
        """Rows that are filtered, or whose columns are computed."""
        plan, assembler = run.plan, run.assembler
        frame = Frame(run.binding)
        expressions = plan.selection.expressions
        filters = bind_filters(plan.restrictions.filters, plan.filter_columns, run.binding)
        limits = _PartitionLimit(run)
        while not run.is_done:
            want = INTERNAL_ROWS
            if not filters and run.is_paged:
                want = min(run.page_size - assembler.row_count, run.remaining)
            batch = yield from self._batch(run, want)
            for i, row in enumerate(batch):
                if i % TURN_ROWS == TURN_ROWS - 1:
                    yield others_first()
                if filters and not matches_all(filters, row.values):
                    continue
                if not limits.takes(row):
                    continue
                assembler.add_values([evaluate(row, frame) for evaluate in expressions])
                run.remaining -= 1
                if run.remaining == 0:
                    return self._rows(run, None)
                if run.is_page_full:
                    if i + 1 == len(batch) and run.is_done:
                        return self._rows(run, None)
                    return self._rows(run, limits.position(row))
            if run.is_paged and run.scanned >= SCANNED_ROWS_MAX and batch and not run.is_done:
                return self._rows(run, limits.position(batch[-1]))
        return self._rows(run, None)

    def _sorted(self, run: Run) -> Steps[Rows]:
        """Rows of several partitions in clustering order."""
        plan = run.plan
        rows: list[FetchedRow] = []
        filters = bind_filters(plan.restrictions.filters, plan.filter_columns, run.binding)
        while not run.is_done:
            batch = yield from self._batch(run, INTERNAL_ROWS)
            for i, row in enumerate(batch):
                if i % TURN_ROWS == TURN_ROWS - 1:
                    yield others_first()
                if matches_all(filters, row.values):
                    rows.append(row)
                    run.kept_bytes += ROW_BYTES + sum(map(len, filter(None, row.values)))
            if len(rows) > SORTED_ROWS_MAX:
                raise InvalidRequest(
                    f"ORDER BY with IN on the partition key found more than {SORTED_ROWS_MAX} rows"
                )
        codec, count = plan.codec, plan.order_columns
        rows.sort(
            key=lambda row: codec.encode(codec.decode(row.clustering)[:count]),
            reverse=plan.is_reversed,
        )
        frame = Frame(run.binding)
        for row in rows[: min(run.remaining, len(rows))]:
            run.assembler.add_values(
                [evaluate(row, frame) for evaluate in plan.selection.expressions]
            )
        return self._rows(run, None)

    def _grouped(self, run: Run) -> Steps[Rows]:
        """Aggregates, over everything or for each group."""
        plan = run.plan
        filters = bind_filters(plan.restrictions.filters, plan.filter_columns, run.binding)
        groups = GroupedRows(
            plan.selection,
            plan.group,
            run.binding,
            run.partition_limit,
            (run.resume_key, run.resume_rows),
        )
        while not run.is_done:
            batch = yield from self._batch(run, INTERNAL_ROWS)
            for i, row in enumerate(batch):
                if i % TURN_ROWS == TURN_ROWS - 1:
                    yield others_first()
                if filters and not matches_all(filters, row.values):
                    continue
                before = groups.last_row
                shown = groups.add(row)
                if shown is None:
                    continue
                run.assembler.add_values(shown)
                run.remaining -= 1
                if run.remaining == 0:
                    return self._rows(run, None)
                if run.is_page_full:
                    assert before is not None, "a group that ended had a row"
                    position = Position(
                        before.key, before.clustering, run.remaining, groups.given_in(before.key)
                    )
                    return self._rows(run, position)
        last = groups.finish(len(plan.selection.layout))
        if last is not None:
            run.assembler.add_values(last)
        return self._rows(run, None)

    def _rows(self, run: Run, position: Position | None) -> Rows:
        """The answer: what has been assembled, and where the next page starts."""
        data, count = run.assembler.take()
        state = None if position is None else self._states.encode(run.query_id, position)
        plan = run.plan
        return Rows(
            plan.result_columns,
            count,
            data,
            state,
            plan.metadata_id,
            warnings=plan.warnings,
        )


def _releasing(run: Run, steps: Steps[Rows]) -> Steps[Rows]:
    """The same steps; in the end nothing is gathered any more."""
    try:
        return (yield from steps)
    finally:
        run.gathered.release()


class _PartitionLimit:
    """Counts the rows given of each partition, for PER PARTITION LIMIT and the next page."""

    def __init__(self, run: Run) -> None:
        self._limit = run.partition_limit
        self._key = run.resume_key
        self._given = run.resume_rows
        self._remaining = run

    def takes(self, row: FetchedRow) -> bool:
        """Whether the row is still within its partition's limit; counts it."""
        if row.key != self._key:
            self._key, self._given = row.key, 0
        if self._limit and self._given >= self._limit:
            return False
        self._given += 1
        return True

    def position(self, row: FetchedRow) -> Position:
        """Right after `row`."""
        given = self._given if row.key == self._key else 0
        return Position(row.key, row.clustering, self._remaining.remaining, given)


def positive(slot: Slot | None, binding: Binding) -> int:
    """The value of a LIMIT; 0 when there is none."""
    if slot is None:
        return 0
    value = slot.resolve(binding)
    if value is UNSET:
        return 0
    if value is None:
        raise InvalidRequest("Invalid null value of limit")
    limit = int.from_bytes(value, "big", signed=True)
    if limit <= 0:
        raise InvalidRequest("LIMIT must be strictly positive")
    return limit
