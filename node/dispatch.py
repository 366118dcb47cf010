"""The life of a request on one screen: opcode to handler, result or exception to reply."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias
from uuid import UUID

import storage.errors
from cql.errors import BadCredentials, CqlError, ProtocolError
from cql.moment import Moment
from cql.protocol import requests
from cql.protocol.faults import encode_fault, is_expected
from cql.protocol.frame import (
    FLAG_TRACING,
    OP_AUTH_RESPONSE,
    OP_AUTH_SUCCESS,
    OP_AUTHENTICATE,
    OP_ERROR,
    OP_OPTIONS,
    OP_READY,
    OP_STARTUP,
    OPCODE_NAMES,
    Frame,
    Reply,
)
from cql.protocol.replies import (
    encode_bytes,
    encode_string,
    reply_to,
    rows_reply,
    supported_reply,
)
from cql.protocol.requests import parse_request
from cql.results import VOID, Result, Rows, SetKeyspace, traced
from node.session import Session, Stage
from storage.later import Later

__all__ = ["Authenticator", "Dispatch", "Executor", "Trace", "error_reply"]

_log = logging.getLogger("pythia.dispatch")

Answer: TypeAlias = Result | Awaitable[Result]
Handled: TypeAlias = Reply | Awaitable[Reply]
Supported: TypeAlias = Callable[[Session], Mapping[str, Sequence[str]]]

READY_REPLY: Final = Reply(OP_READY)
VOID_REPLY: Final = reply_to(VOID, 4)
CQL_VERSION_MIN: Final = (2, 99)


class Executor(Protocol):
    """What runs statements; each answers now, or later if it must wait."""

    def query(
        self, text: str, options: requests.QueryOptions, session: Session, moment: Moment
    ) -> Answer: ...

    def prepare(
        self, text: str, keyspace: str | None, session: Session, moment: Moment
    ) -> Answer: ...

    def execute(self, request: requests.Execute, session: Session, moment: Moment) -> Answer: ...

    def batch(self, request: requests.Batch, session: Session, moment: Moment) -> Answer: ...


class Trace(Protocol):
    """The trace of one request; `id` goes into its reply."""

    id: UUID

    def finish(self) -> None:
        """The answer is there; says so once."""
        ...


BeginTrace: TypeAlias = Callable[[requests.Request, Session, Moment], Trace]


class Authenticator(Protocol):
    """Who may come in. `class_name` is what drivers choose their credentials by."""

    class_name: str

    def authenticate(self, token: bytes, session: Session) -> Awaitable[str]:
        """Gives the role that the SASL token proves; raises BadCredentials."""
        ...


class Dispatch:
    """Turns every frame into exactly one reply, now or later; never raises.

    `stop` is called with an error after which the shard must not go on.
    """

    def __init__(
        self,
        executor: Executor,
        supported: Supported,
        *,
        authenticator: Authenticator | None = None,
        begin_trace: BeginTrace | None = None,
        stop: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._executor = executor
        self._supported = supported
        self._authenticator = authenticator
        self._begin_trace = begin_trace
        self._stop = stop
        self._handlers: dict[type[Any], Callable[[Any, Session, Moment], Answer | Handled]] = {
            requests.Execute: executor.execute,
            requests.Query: self._query,
            requests.Batch: executor.batch,
            requests.Prepare: self._prepare,
            requests.Options: self._options,
            requests.Register: self._register,
        }

    def handle(self, frame: Frame, session: Session, moment: Moment) -> Handled:
        """Hot path: when the executor answers at once, no task, future or timer is made."""
        try:
            if session.stage is not Stage.READY:
                return self._handle_early(frame, session, moment)
            request = parse_request(
                frame.opcode,
                frame.body,
                frame.version,
                frame.flags,
                has_metadata_id=session.has_metadata_id,
            )
            handler = self._handlers.get(type(request))
            if handler is None:
                raise _out_of_place(frame.opcode, session.stage)
            if frame.flags & FLAG_TRACING and self._begin_trace is not None:
                return self._handle_traced(handler, request, frame, session, moment)
            result = handler(request, session, moment)
            if result is VOID:
                return VOID_REPLY
            if type(result) is Rows:
                return rows_reply(request, result, frame.version)
            if isinstance(result, Result):
                return self._reply(request, result, version=frame.version, session=session)
            if isinstance(result, Reply):
                return result
            if isinstance(result, Later):
                return result.then(
                    partial(self._reply, request, version=frame.version, session=session)
                ).then(None, partial(self._refuse_later, frame.version, session))
            return self._reply_later(request, result, frame.version, session, None)
        except Exception as error:  # noqa: BLE001 - this loop owns the request
            return self._refuse(error, frame.version, session)

    # What follows an answer.

    def _reply(
        self, request: requests.Request, result: Result, *, version: int, session: Session
    ) -> Reply:
        """The reply that carries a result to a request."""
        if type(result) is Rows:
            return rows_reply(request, result, version)
        if type(result) is SetKeyspace:
            session.keyspace = result.keyspace
        return reply_to(
            result,
            version,
            has_metadata_id=session.has_metadata_id,
            marks_conditional=session.marks_conditional,
        )

    async def _reply_later(
        self,
        request: requests.Request,
        answer: Awaitable[Any],
        version: int,
        session: Session,
        trace: Trace | None,
    ) -> Reply:
        """Waits for an answer; the reply overtakes those that still wait."""
        try:
            result = await answer
            if type(result) is Reply:
                return result
            if trace is not None:
                result = traced(result, trace.id)
            return self._reply(request, result, version=version, session=session)
        except Exception as error:  # noqa: BLE001 - this loop owns the request
            return self._refuse(error, version, session)
        finally:
            if trace is not None:
                trace.finish()

    def _handle_traced(
        self,
        handler: Callable[[Any, Session, Moment], Any],
        request: requests.Request,
        frame: Frame,
        session: Session,
        moment: Moment,
    ) -> Handled:
        """As `handle`, under a trace whose id goes into the reply; statements only."""
        assert self._begin_trace is not None, "asked only when there is tracing"
        if type(request) in (requests.Options, requests.Register):
            return handler(request, session, moment)  # type: ignore[no-any-return]
        trace = self._begin_trace(request, session, moment)
        try:
            result = handler(request, session, moment)
        except Exception:
            trace.finish()
            raise
        if not isinstance(result, Result):
            return self._reply_later(request, result, frame.version, session, trace)
        trace.finish()
        result = traced(result, trace.id)
        return self._reply(request, result, version=frame.version, session=session)

    def _refuse(self, error: Exception, version: int, session: Session) -> Reply:
        """The ERROR for an exception; one that nobody planned for is logged, once."""
        if not is_expected(error):
            _log.error("a request failed: %s", error, exc_info=error)
        if isinstance(error, storage.errors.CommitLogFailed) and self._stop is not None:
            self._stop(error)
        return error_reply(error, version, knows_rate_limit=session.knows_rate_limit)

    def _refuse_later(self, version: int, session: Session, error: BaseException) -> Reply:
        if not isinstance(error, Exception):
            raise error  # Who asked has given up.
        return self._refuse(error, version, session)

    # One handler per message.

    def _query(self, request: requests.Query, session: Session, moment: Moment) -> Answer:
        return self._executor.query(request.text, request.options, session, moment)

    def _prepare(self, request: requests.Prepare, session: Session, moment: Moment) -> Answer:
        return self._executor.prepare(request.text, request.keyspace, session, moment)

    def _options(self, _request: requests.Options, session: Session, _moment: Moment) -> Reply:
        return supported_reply(self._supported(session))

    def _register(self, request: requests.Register, session: Session, _moment: Moment) -> Reply:
        session.registered |= frozenset(request.events)
        return READY_REPLY

    # Before the connection is ready.

    def _handle_early(self, frame: Frame, session: Session, moment: Moment) -> Handled:
        """OPTIONS, STARTUP and AUTH_RESPONSE, each in its place; anything else is the end."""
        if not _is_in_place(frame.opcode, session.stage):
            error = _out_of_place(frame.opcode, session.stage)
            return error_reply(error, frame.version, closes=True)
        request = parse_request(frame.opcode, frame.body, frame.version, frame.flags)
        if isinstance(request, requests.Startup):
            return self._startup(request, frame.version, session)
        if isinstance(request, requests.AuthResponse):
            return self._authenticate(request, frame.version, session)
        assert isinstance(request, requests.Options), "no other opcode is in place"
        return self._options(request, session, moment)

    def _startup(self, request: requests.Startup, version: int, session: Session) -> Reply:
        _check_startup(request.options, version)
        session.start(version, request.options)
        if self._authenticator is None:
            session.stage = Stage.READY
            return READY_REPLY
        session.stage = Stage.AUTHENTICATING
        return Reply(OP_AUTHENTICATE, encode_string(self._authenticator.class_name))

    async def _authenticate(
        self, request: requests.AuthResponse, version: int, session: Session
    ) -> Reply:
        assert self._authenticator is not None, "asked only after AUTHENTICATE"
        try:
            session.role = await self._authenticator.authenticate(request.token or b"", session)
        except BadCredentials as error:
            return error_reply(error, version, closes=True)
        except Exception as error:  # noqa: BLE001 - this loop owns the request
            return self._refuse(error, version, session)
        session.stage = Stage.READY
        return Reply(OP_AUTH_SUCCESS, encode_bytes(None))


def error_reply(
    error: BaseException, version: int, *, knows_rate_limit: bool = False, closes: bool = False
) -> Reply:
    """The ERROR frame for an exception."""
    body = encode_fault(error, version, knows_rate_limit=knows_rate_limit)
    return Reply(OP_ERROR, body, closes=closes)


def _is_in_place(opcode: int, stage: Stage) -> bool:
    if opcode == OP_OPTIONS:
        return True
    return opcode == (OP_STARTUP if stage is Stage.NEW else OP_AUTH_RESPONSE)


def _out_of_place(opcode: int, stage: Stage) -> CqlError:
    """What is wrong with a message that cannot come at this stage."""
    name = OPCODE_NAMES.get(opcode)
    if name is None:
        return ProtocolError(f"Unknown opcode {opcode}")
    if stage is Stage.NEW:
        return ProtocolError(f"Unexpected message {name}, expecting STARTUP or OPTIONS")
    if stage is Stage.AUTHENTICATING:
        return ProtocolError(f"Unexpected message {name}, expecting SASL_RESPONSE")
    return ProtocolError(f"Unexpected message {name}, the connection is already initialized")


def _check_startup(options: Mapping[str, str], version: int) -> None:
    """Raises ProtocolError unless we can talk as the client proposes."""
    cql_version = options.get("CQL_VERSION")
    if cql_version is None:
        raise ProtocolError("Missing value CQL_VERSION in STARTUP message")
    if _numbers_of(cql_version) < CQL_VERSION_MIN:
        raise ProtocolError(
            f"CQL version {cql_version} is not supported by the binary protocol "
            "(supported version are >= 3.0.0)"
        )
    compression = options.get("COMPRESSION")
    if compression is None or compression.lower() == "lz4":
        return
    if compression.lower() != "snappy":
        raise ProtocolError(f"Unknown compression algorithm: {compression}")
    if version >= 5:
        raise ProtocolError("Snappy compression is not supported in protocol V5")
    raise ProtocolError("This instance does not support Snappy compression")


def _numbers_of(cql_version: str) -> tuple[int, ...]:
    """The numbers of a dotted version; raises ProtocolError when it has none."""
    parts = cql_version.split("-", 1)[0].split(".")
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise ProtocolError(f"Invalid CQL_VERSION {cql_version} in STARTUP message")
    return tuple(int(part) for part in parts)
