"""What happened to a traced request, as rows of system_traces that live for a day.

Rows are written after the answer, through the statements that any client could send; a client asks
for the session until it has a duration.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from cluster.consistency import Consistency
from cql.environment import Environment
from cql.protocol import requests
from cql.types.catalog import INET, INT, TEXT, TIMESTAMP, MapType
from cql.types.codec import encode

if TYPE_CHECKING:
    from random import Random

    from cql.executor import Executor
    from cql.moment import Moment
    from node.session import Session

TTL_S: Final = 86_400
TEXT_CHARACTERS_MAX: Final = 1000
"""Longer statements are cut."""

_SESSION: Final = (
    "INSERT INTO system_traces.sessions (session_id, client, command, coordinator, "
    "coordinator_port, duration, parameters, request, started_at) "
    f"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TTL {TTL_S}"
)
_EVENT: Final = (
    "INSERT INTO system_traces.events (session_id, event_id, activity, source, source_port, "
    f"source_elapsed, thread) VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL {TTL_S}"
)
_STRINGS: Final = MapType(TEXT, TEXT, True)
_REQUESTS: Final = {
    requests.Query: "Execute CQL3 query",
    requests.Execute: "Execute CQL3 prepared query",
    requests.Batch: "Execute batch of CQL3 queries",
    requests.Prepare: "Preparing CQL3 query",
}

_log = logging.getLogger("pythia.tracing")


class Trace:
    """The trace of one request."""

    __slots__ = ("_begun", "_events", "_tracer", "id", "parameters", "request", "session")

    def __init__(
        self,
        tracer: Tracer,
        id: UUID,  # noqa: A002 - the word of the table
        request: requests.Request,
        session: Session,
        moment: Moment,
    ) -> None:
        self.id = id
        self.request = _REQUESTS[type(request)]
        self.parameters = _parameters(request)
        self.session = session
        self._tracer = tracer
        self._begun = moment
        self._events: list[tuple[Moment, str]] = []

    def note(self, activity: str) -> None:
        """Something happened now."""
        self._events.append((self._tracer.moment(), activity))

    def finish(self) -> None:
        """The answer is there: the trace is written."""
        self.note("Request complete")
        self._tracer.write(self, self._begun, self._events)


class Tracer:
    """Traces of one shard's requests."""

    def __init__(
        self,
        executor: Executor,
        moment: Callable[[], Moment],
        random: Random,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        address: str,
        port: int,
        thread: str,
    ) -> None:
        self.moment = moment
        self._executor = executor
        self._environment = Environment(random)
        self._spawn = spawn
        self._source = encode(INET, ipaddress.ip_address(address))
        self._port = encode(INT, port)
        self._thread = thread.encode()

    def begin(self, request: requests.Request, session: Session, moment: Moment) -> Trace:
        """Begins the trace of a request that was just read."""
        trace = Trace(
            self, UUID(bytes=self._environment.timeuuid(moment)), request, session, moment
        )
        query = trace.parameters.get("query")
        trace.note(f"Parsing {query}" if query else trace.request)
        return trace

    def write(self, trace: Trace, begun: Moment, events: list[tuple[Moment, str]]) -> None:
        """Writes a trace later; a trace that cannot be written is logged and lost."""
        self._spawn(self._write(trace, begun, events))

    async def _write(self, trace: Trace, begun: Moment, events: list[tuple[Moment, str]]) -> None:
        try:
            for moment, activity in events:
                await self._insert(_EVENT, self._event_values(trace, begun, moment, activity))
            duration = _elapsed_us(begun, events[-1][0])
            await self._insert(_SESSION, self._session_values(trace, begun, duration))
        except Exception as error:  # noqa: BLE001 - this loop owns the trace
            _log.warning("trace %s is not complete: %s", trace.id, error)

    async def _insert(self, text: str, values: list[Any]) -> None:
        options = requests.QueryOptions(Consistency.ANY, values)
        answer = self._executor.query(text, options, _NO_SESSION, self.moment())
        if isinstance(answer, Awaitable):
            await answer

    def _event_values(
        self, trace: Trace, begun: Moment, moment: Moment, activity: str
    ) -> list[Any]:
        return [
            trace.id.bytes,
            self._environment.timeuuid(moment),
            activity.encode(),
            self._source,
            self._port,
            encode(INT, _elapsed_us(begun, moment)),
            self._thread,
        ]

    def _session_values(self, trace: Trace, begun: Moment, duration_us: int) -> list[Any]:
        client = trace.session.address
        return [
            trace.id.bytes,
            encode(INET, ipaddress.ip_address(client)) if client else None,
            b"QUERY",
            self._source,
            self._port,
            encode(INT, duration_us),
            encode(_STRINGS, trace.parameters),
            trace.request.encode(),
            encode(TIMESTAMP, begun.timestamp_us // 1000),
        ]


class _NoSession:
    """The session of statements that the node itself sends."""

    keyspace: str | None = None


_NO_SESSION: Final = _NoSession()


def _elapsed_us(begun: Moment, moment: Moment) -> int:
    return max(1, round((moment.now - begun.now) * 1e6))


def _parameters(request: requests.Request) -> dict[str, str]:
    """What is worth keeping of a request, as texts."""
    parameters: dict[str, str] = {}
    text = getattr(request, "text", None)
    if text is not None:
        parameters["query"] = text[:TEXT_CHARACTERS_MAX]
    options = getattr(request, "options", None)
    if isinstance(options, requests.QueryOptions):
        parameters["consistency_level"] = Consistency(options.consistency).name
        parameters["serial_consistency_level"] = Consistency(options.serial_consistency).name
        if options.page_size > 0:
            parameters["page_size"] = str(options.page_size)
    return parameters
