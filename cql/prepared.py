"""Prepared statements: id -> plan, bounded, and dropped when their schema changes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Protocol

from cql.errors import CqlError, Unprepared
from cql.parser.grammar import parse
from cql.plan import Plan, SelectPlan
from cql.planner import plan as plan_statement
from cql.schema import Schema
from cql.types.catalog import java_class
from storage.values import value_class

STATEMENTS_MAX = 10_000
STATEMENTS_BYTES_MAX = 128 << 20
PLAN_BYTES = 8 * 1024
"""About what a statement takes beside its text."""

RECENT_MAX = 256
RECENT_CHARACTERS_MAX = 2_048


@value_class
class PreparedStatement:
    """One statement as it was prepared, with the keyspace it was prepared in."""

    id: bytes
    text: str
    keyspace: str | None
    plan: Plan


@value_class
class Remembered:
    """What is left of a prepared statement without its plan.

    The fingerprint stands for all that its client knows of it: what to bind, and the result's
    columns. While a plan has the same one, the client need not prepare again.
    """

    id: bytes
    text: str
    keyspace: str | None
    fingerprint: bytes


class Memory(Protocol):
    """Where prepared statements outlive their plans, and perhaps the process."""

    def find(self, id: bytes) -> Remembered | None:  # noqa: A002 - the protocol's word
        """The statement with that id."""

    def remember(self, statement: Remembered) -> None:
        """Keep it."""


class NoMemory:
    """Remembers nothing."""

    def find(self, id: bytes) -> Remembered | None:  # noqa: A002 - the protocol's word
        """There is nothing."""
        return None

    def remember(self, statement: Remembered) -> None:
        """See `Memory`."""


def fingerprint_of(plan: Plan) -> bytes:
    """A digest of what a client knows of a statement from its PREPARE."""
    columns = [*plan.bind_specs, *(plan.result_columns if isinstance(plan, SelectPlan) else ())]
    known = [(c.keyspace, c.table, c.name, java_class(c.type)) for c in columns]
    content = repr((len(plan.bind_specs), tuple(plan.pk_indices), known))
    return hashlib.md5(content.encode(), usedforsecurity=False).digest()


def statement_id(text: str, keyspace: str | None) -> bytes:
    """The id of a statement, equal on every node; the keyspace counts when names depend on it."""
    return hashlib.md5(((keyspace or "") + text).encode(), usedforsecurity=False).digest()


class PreparedStatements:
    """The statements of one shard. The least recently used one goes when there are too many."""

    def __init__(
        self,
        statements_max: int = STATEMENTS_MAX,
        memory: Memory | None = None,
        bytes_max: int = STATEMENTS_BYTES_MAX,
    ) -> None:
        assert statements_max > 0 and bytes_max > 0, "a prepared statement has to fit"
        self._bytes_max = bytes_max
        self._bytes = 0
        self._memory: Memory = NoMemory() if memory is None else memory
        self._max = statements_max
        self._by_id: OrderedDict[bytes, PreparedStatement] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def statements(self) -> tuple[PreparedStatement, ...]:
        """Every statement, the least recently used first."""
        return tuple(self._by_id.values())

    def find(self, id: bytes) -> PreparedStatement | None:  # noqa: A002 - the protocol's word
        """The statement with that id, now the most recently used."""
        found = self._by_id.get(id)
        if found is not None:
            self._by_id.move_to_end(id)
        return found

    def get(self, id: bytes, schema: Schema) -> PreparedStatement:  # noqa: A002 - as above
        """The statement with that id, planned anew if only its text is left; Unprepared when it is
        not here.
        """
        found = self.find(id) or self._recall(id, schema)
        if found is None:
            raise Unprepared(id)
        return found

    def put(self, statement: PreparedStatement) -> None:
        """Keep a statement, and remember it."""
        self._keep(statement)
        self._memory.remember(
            Remembered(
                statement.id, statement.text, statement.keyspace, fingerprint_of(statement.plan)
            )
        )

    def _keep(self, statement: PreparedStatement) -> None:
        self._forget(statement.id)
        self._by_id[statement.id] = statement
        self._bytes += _bytes_of(statement)
        while len(self._by_id) > 1 and (
            len(self._by_id) > self._max or self._bytes > self._bytes_max
        ):
            self._forget(next(iter(self._by_id)))
            self.evicted += 1

    def _forget(self, id_: bytes) -> None:
        gone = self._by_id.pop(id_, None)
        if gone is not None:
            self._bytes -= _bytes_of(gone)

    def _recall(self, id_: bytes, schema: Schema) -> PreparedStatement | None:
        """Plan a remembered statement, unless it is no longer what its clients know."""
        remembered = self._memory.find(id_)
        if remembered is None:
            return None
        try:
            plan = plan_statement(parse(remembered.text), schema, remembered.keyspace)
        except CqlError:
            return None  # Its client prepares again, and is told why that fails.
        if fingerprint_of(plan) != remembered.fingerprint:
            return None
        statement = PreparedStatement(id_, remembered.text, remembered.keyspace, plan)
        self._keep(statement)
        return statement

    def schema_changed(self, old: Schema, new: Schema) -> None:
        """Forget the statements about tables that are no longer what they were."""
        stale = [
            statement.id
            for statement in self._by_id.values()
            if any(
                old.find_table(*name) is not new.find_table(*name) for name in statement.plan.tables
            )
        ]
        for id_ in stale:
            self._forget(id_)


def _bytes_of(statement: PreparedStatement) -> int:
    """About what a statement takes: its text, its tree and its plan."""
    return PLAN_BYTES + 8 * len(statement.text)


class RecentPlans:
    """Plans of short statements that came as text: clients often send the same one again."""

    def __init__(self) -> None:
        self._plans: OrderedDict[tuple[str, str | None], Plan] = OrderedDict()
        self._schema: Schema | None = None

    def plan(self, text: str, keyspace: str | None, schema: Schema) -> Plan:
        """The plan of `text` under this schema; raises what parsing and planning raise."""
        if schema is not self._schema:
            self._plans.clear()
            self._schema = schema
        name = (text, keyspace)
        found = self._plans.get(name)
        if found is None:
            found = plan_statement(parse(text), schema, keyspace)
            if len(text) <= RECENT_CHARACTERS_MAX:
                self._plans[name] = found
                if len(self._plans) > RECENT_MAX:
                    self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(name)
        return found
