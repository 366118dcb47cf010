"""Schema statements: decided on shard 0 one after the other, obeyed by every shard.

A statement goes as text to shard 0, is checked there against the newest schema, becomes an entry of
the schema log, and is answered when every living shard obeys it. An entry carries the operations
and what changed, so that each shard tells its own clients.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from cluster.errors import ClusterError
from cluster.schema_sync import LOG_SHARD, Replicator
from cql import errors
from cql.ddl import execute_ddl
from cql.ddl_common import DdlEnvironment
from cql.parser.grammar import parse
from cql.results import Result, SchemaChange, Void
from cql.schema import Op, Schema, SchemaHolder, decode_ops, encode_ops, layout_of, put_type
from node.all_shards import CommandFailed
from storage.errors import StorageError

if TYPE_CHECKING:
    from random import Random

    from cluster.deadlines import Deadlines
    from cluster.schema_log import Entry, SchemaLog
    from cluster.transport import Siblings
    from cql.moment import Moment
    from cql.schema import Table
    from storage.layout import Layout

KIND_STATEMENT: Final = 64
"""The mesh message that carries a schema statement to shard 0."""
TIMEOUT_S: Final = 10.0

_ERRORS: Final = {
    error.__name__: error
    for error in (
        errors.ConfigurationError,
        errors.InvalidRequest,
        errors.ServerError,
        errors.SyntaxException,
        errors.Unauthorized,
    )
}


class Tables(Protocol):
    """What storage offers for tables that come, change and go."""

    def note_schema(self, number: int) -> None: ...

    def set_layout(self, layout: Layout) -> None: ...

    async def drop_table(self, table_id: bytes) -> None: ...


class SchemaFollower:
    """Obeys the entries of the schema log on one shard.

    Until `serve_tables`, entries only change the schema: storage is opened with what it says then.
    """

    def __init__(
        self,
        holder: SchemaHolder,
        tables: Tables,
        announce: Callable[[SchemaChange], None],
    ) -> None:
        self._base = holder.current
        self._holder = holder
        self._tables = tables
        self._announce = announce
        self._opened: asyncio.Event | None = None
        self.number = 0
        """Of the last entry that is obeyed."""

    def freeze(self) -> list[Layout]:
        """The layouts to open storage with; entries wait from here on until `serve_tables`."""
        self._opened = asyncio.Event()
        return [layout_of(t) for t in self._holder.current.tables() if not t.is_virtual]

    def serve_tables(self) -> None:
        """Storage is open: from now on entries change its tables too."""
        assert self._opened is not None, "storage is opened with frozen layouts"
        self._opened.set()

    async def obey(self, entries: Sequence[Entry]) -> None:
        """Let consecutive entries take effect as one step; the schema shows it on return."""
        if self._opened is not None:
            await self._opened.wait()
        old = self._holder.current
        new, changes = _schema_after(self._base, old, entries)
        self.number = max([self.number, *(entry.number for entry in entries)])
        if self._opened is not None:
            self._tables.note_schema(self.number)
            self._set_layouts(old, new)
        self._holder.replace(new)
        if self._opened is not None:
            await self._drop(old, new)
        for change in changes:
            self._announce(change)

    def _set_layouts(self, old: Schema, new: Schema) -> None:
        for table in new.tables():
            if not table.is_virtual and old.find_table(table.keyspace, table.name) is not table:
                self._tables.set_layout(layout_of(table))

    async def _drop(self, old: Schema, new: Schema) -> None:
        # Of thousands of tables few have changed: only those are worth a look at their ids.
        changed = [t for t in old.tables() if new.find_table(t.keyspace, t.name) is not t]
        for table in changed:
            successor = new.find_table(table.keyspace, table.name)
            if successor is None or successor.id != table.id:
                await self._tables.drop_table(table.id.bytes)


class SchemaService:
    """Runs schema statements for the clients of one shard."""

    def __init__(
        self,
        shard: int,
        holder: SchemaHolder,
        replicator: Replicator,
        log: SchemaLog | None,
        siblings: Siblings,
        deadlines: Deadlines,
        datacenters: Mapping[str, int],
        random: Random,
        next_timestamp_us: Callable[[], int],
        has_failed: Callable[[BaseException], None],
    ) -> None:
        self._is_owner = shard == LOG_SHARD
        self._holder = holder
        self._replicator = replicator
        self._log = log
        self._siblings = siblings
        self._deadlines = deadlines
        self._datacenters = datacenters
        self._random = random
        self._next_timestamp_us = next_timestamp_us
        self._has_failed = has_failed
        self._turn = asyncio.Lock()
        self.before_drop: Callable[[Sequence[Table]], Awaitable[None]] | None = None
        """Awaited before a statement drops tables; without it, or when it ends, they go."""
        if self._is_owner:
            siblings.register(KIND_STATEMENT, self._answer_statement)

    async def execute(self, text: str, keyspace: str | None, moment: Moment) -> Result:
        """Run a statement; on return every living shard obeys it. Raises CqlError, ClusterError."""
        if self._is_owner:
            return await self._decide(text, keyspace)
        payload = json.dumps([text, keyspace]).encode()
        asked = self._siblings.call(LOG_SHARD, KIND_STATEMENT, payload)
        return _decode_answer(await self._deadlines.wait(asked, moment.now + 2 * TIMEOUT_S))

    async def _decide(self, text: str, keyspace: str | None) -> Result:
        async with self._turn:
            await self._replicator.settle()
            environment = DdlEnvironment(self._random, self._next_timestamp_us(), self._datacenters)
            statement = parse(text)
            outcome = execute_ddl(statement, self._holder.current, keyspace, environment)  # type: ignore[arg-type]
            if not outcome.ops:
                return Void(warnings=outcome.warnings)
            await self._keep_rows_of_dropped(outcome.ops)
            await self._keep(_encode_entry(outcome.change, encode_ops(outcome.ops)))
        change = outcome.change
        if change is None:
            return Void(warnings=outcome.warnings)
        return SchemaChange(
            change.change,
            change.target,
            change.keyspace,
            change.name,
            change.argument_types,
            warnings=outcome.warnings,
        )

    async def bring_back(self, ops: Sequence[Op]) -> None:
        """Make the keyspaces, types and tables which these operations make and which are not there.

        On shard 0. Raises InvalidRequest if a type or a table is there which is another.
        """
        async with self._turn:
            await self._replicator.settle()
            for op in ops:
                change = missing_element(self._holder.current, op)
                if change is not None:
                    await self._keep(_encode_entry(change, encode_ops([op])))

    async def _keep_rows_of_dropped(self, ops: Sequence[Op]) -> None:
        if self.before_drop is None or not any(op["do"].startswith("drop ") for op in ops):
            return
        before = self._holder.current
        kept = {table.id for table in before.apply(ops).tables()}
        dropped = [table for table in before.tables() if table.id not in kept]
        try:
            await self.before_drop(dropped)
        except (CommandFailed, StorageError, ClusterError) as error:
            raise errors.ServerError(
                f"Nothing was dropped, no snapshot was taken: {error}"
            ) from None

    async def _keep(self, entry: bytes) -> None:
        """Make an entry durable and let all obey it; after a failed sync the shard must stop."""
        assert self._log is not None, "decisions are made where the log is"
        try:
            await self._replicator.propose(entry, self._deadlines.now() + TIMEOUT_S)
            if self._log.wants_compaction:
                snapshot = _encode_entry(None, encode_ops(self._holder.current.ops()))
                await self._replicator.compact(snapshot)
        except StorageError as error:
            if self._log.is_broken:
                self._has_failed(error)
            raise

    def _answer_statement(self, payload: bytes, source: int) -> Awaitable[bytes]:
        text, keyspace = json.loads(payload)
        return self._decide_for_sibling(text, keyspace)

    async def _decide_for_sibling(self, text: str, keyspace: str | None) -> bytes:
        try:
            return _encode_result(await self._decide(text, keyspace))
        except errors.CqlError as error:
            return _encode_error(error)


def schema_of(base: Schema, entries: Sequence[Entry]) -> Schema:
    """The schema after the entries of a log, from its beginning."""
    schema, _ = _schema_after(base, base, entries)
    return schema


def missing_element(schema: Schema, op: Op) -> SchemaChange | None:
    """What an operation that makes something would make; None if that is there already."""
    name = op["name"]
    if op["do"] == "put keyspace":
        if name in schema.keyspaces:
            return None
        return SchemaChange("CREATED", "KEYSPACE", name)
    keyspace = op["keyspace"]
    if op["do"] == "put type":
        present = schema.find_type(keyspace, name)
        if present is None:
            return SchemaChange("CREATED", "TYPE", keyspace, name)
        if put_type(present)["fields"][: len(op["fields"])] != op["fields"]:
            raise errors.InvalidRequest(f"type {keyspace}.{name} has other fields now")
        return None
    assert op["do"] == "put table", "only what makes something can be missing"
    table = schema.find_table(keyspace, name)
    if table is None:
        return SchemaChange("CREATED", "TABLE", keyspace, name)
    if str(table.id) != op["id"]:
        raise errors.InvalidRequest(f"table {keyspace}.{name} is another one now")
    return None


def _schema_after(
    base: Schema, schema: Schema, entries: Sequence[Entry]
) -> tuple[Schema, list[SchemaChange]]:
    """The schema after consecutive entries, and what they say has changed."""
    ops: list[Op] = []
    changes: list[SchemaChange] = []
    for entry in entries:
        change, more = _decode_entry(entry.data)
        if entry.is_snapshot:
            schema, ops = base, []
        ops += more
        if change is not None:
            changes.append(change)
    return schema.apply(ops), changes


def _encode_entry(change: SchemaChange | None, ops: bytes) -> bytes:
    """One line that says what changed, then the operations."""
    return json.dumps(_change_fields(change)).encode() + b"\n" + ops


def _decode_entry(data: bytes) -> tuple[SchemaChange | None, list[dict[str, object]]]:
    if not data:
        return None, []
    line, _, ops = data.partition(b"\n")
    return _change_from(json.loads(line)), decode_ops(ops)


def _change_fields(change: SchemaChange | None) -> list[str] | None:
    if change is None:
        return None
    return [change.change, change.target, change.keyspace, change.name]


def _change_from(fields: list[str] | None) -> SchemaChange | None:
    if fields is None:
        return None
    change, target, keyspace, name = fields
    return SchemaChange(change, target, keyspace, name)


def _encode_result(result: Result) -> bytes:
    change = result if isinstance(result, SchemaChange) else None
    return json.dumps({"change": _change_fields(change), "warnings": result.warnings}).encode()


def _encode_error(error: errors.CqlError) -> bytes:
    kind = type(error).__name__
    fields = {"error": kind, "message": error.message}
    if isinstance(error, errors.AlreadyExists):
        fields |= {"keyspace": error.keyspace, "table": error.table}
    return json.dumps(fields).encode()


def _decode_answer(answer: bytes) -> Result:
    """The result that shard 0 gave; raises the error that it raised."""
    fields = json.loads(answer)
    if "error" not in fields:
        warnings = tuple(fields["warnings"])
        change = fields["change"]
        return SchemaChange(*change, warnings=warnings) if change else Void(warnings=warnings)
    if fields["error"] == errors.AlreadyExists.__name__:
        raise errors.AlreadyExists(fields["keyspace"], fields["table"], fields["message"])
    raise _ERRORS.get(fields["error"], errors.ServerError)(fields["message"])
