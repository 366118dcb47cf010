"""What statements need and only the node can give, and statements prepared for every shard."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cluster.errors import ClusterError
from cluster.replication import Replication, strategy_of
from cql.errors import CqlError
from cql.results import Prepared, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cluster.deadlines import Deadlines
    from cluster.topology import Topology
    from cluster.transport import Siblings
    from cql.describe import Describer
    from cql.executor import Executor
    from cql.moment import Moment
    from cql.parser import tree
    from cql.protocol.requests import Batch, Execute, QueryOptions
    from cql.schema import Schema, SchemaHolder, Table
    from cql.system.tables import SystemTables
    from node.schema_service import SchemaService
    from node.session import Session
    from storage.slice import Page, Slice

KIND_PREPARE: Final = 65
"""The mesh message that lets a sibling prepare what a client prepared here."""
PREPARE_TIMEOUT_S: Final = 1.0


class StatementPorts:
    """The executor's ports on one shard."""

    def __init__(
        self,
        schema: SchemaService,
        tables: SystemTables,
        describer: Describer,
        topology: Topology,
        holder: SchemaHolder,
        refreshes: Mapping[tuple[str, str], Callable[[], Awaitable[None]]],
    ) -> None:
        """`refreshes` bring the rows of some virtual tables up to date, before each read."""
        self._refreshes = refreshes
        self.ddl = schema.execute
        self._tables = tables
        self._describer = describer
        self._topology = topology
        self._holder = holder
        self._replications: dict[str, Replication] = {}
        holder.subscribe(self._schema_changed)

    def replication(self, keyspace: str) -> Replication:
        """The replication of a keyspace in the current topology."""
        found = self._replications.get(keyspace)
        if found is None:
            options = self._holder.current.keyspaces[keyspace].replication
            found = self._replications[keyspace] = strategy_of(options, self._topology)
        return found

    def read_virtual(self, table: Table, wanted: Slice) -> Page | Awaitable[Page]:
        """The rows of a table that is an answer, not data."""
        refresh = self._refreshes.get((table.keyspace, table.name))
        if refresh is None:
            return self._tables.read(wanted)
        return self._read_refreshed(refresh, wanted)

    async def _read_refreshed(self, refresh: Callable[[], Awaitable[None]], wanted: Slice) -> Page:
        await refresh()
        return self._tables.read(wanted)

    def describe(
        self,
        statement: tree.Describe,
        schema: Schema,
        keyspace: str | None,
        page_size: int,
        paging_state: bytes | None,
    ) -> Result:
        """One page of the answer to DESCRIBE."""
        return self._describer.describe(statement, schema, keyspace, page_size, paging_state)

    def _schema_changed(self, _old: Schema, _new: Schema) -> None:
        self._replications.clear()


def range_ownership(
    holder: SchemaHolder, topology: Topology
) -> Callable[[str], Mapping[str, Sequence[str]]]:
    """What DESCRIBE CLUSTER says of a keyspace: which nodes have the range up to each token."""

    def owned(keyspace: str) -> Mapping[str, Sequence[str]]:
        replication = strategy_of(holder.current.keyspaces[keyspace].replication, topology)
        return {
            str(token): [f"{node.address}:{node.port}" for node in replication.replicas(token)]
            for place in topology.nodes
            for token in place.tokens
        }

    return owned


@dataclass(slots=True)
class _Preparing:
    """The session of a statement that a sibling's client prepared."""

    keyspace: str | None


class SharedExecutor:
    """The executor with one addition: what is prepared on one shard is prepared on all.

    Drivers prepare once per node, not once per connection; an EXECUTE on another shard should not
    have to learn that first. A sibling that cannot be told is no error: its clients prepare again.
    """

    def __init__(
        self,
        executor: Executor,
        siblings: Siblings,
        others: tuple[int, ...],
        deadlines: Deadlines,
        moment: Callable[[], Moment],
    ) -> None:
        self.query: Callable[[str, QueryOptions, Session, Moment], Any] = executor.query
        self.execute: Callable[[Execute, Session, Moment], Any] = executor.execute
        self.batch: Callable[[Batch, Session, Moment], Any] = executor.batch
        self._executor = executor
        self._siblings = siblings
        self._others = others
        self._deadlines = deadlines
        self._moment = moment
        siblings.register(KIND_PREPARE, self._answer_prepare)

    def prepare(
        self, text: str, keyspace: str | None, session: Session, moment: Moment
    ) -> Result | Awaitable[Result]:
        """Prepare here and on every sibling."""
        prepared = self._executor.prepare(text, keyspace, session, moment)
        if not self._others or not isinstance(prepared, Prepared):
            return prepared
        payload = json.dumps([text, keyspace or session.keyspace]).encode()
        return self._tell(prepared, payload)

    async def _tell(self, prepared: Prepared, payload: bytes) -> Result:
        until = self._deadlines.now() + PREPARE_TIMEOUT_S
        told = []
        for sibling in self._others:
            try:
                told.append(self._siblings.call(sibling, KIND_PREPARE, payload))
            except ClusterError:
                continue
        for answer in told:
            try:
                await self._deadlines.wait(answer, until)
            except ClusterError:
                continue
        return prepared

    def _answer_prepare(self, payload: bytes, source: int) -> bytes:
        text, keyspace = json.loads(payload)
        try:
            self._executor.prepare(text, keyspace, _Preparing(keyspace), self._moment())
        except CqlError:
            # The schema here is older or newer than there; the client of this shard will see which.
            return b"\x00"
        return b"\x01"
