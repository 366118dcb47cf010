"""What is wrong with a client's request, each kind with the protocol's error code."""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AlreadyExists",
    "BadCredentials",
    "ConfigurationError",
    "CqlError",
    "FunctionFailure",
    "InvalidRequest",
    "IsBootstrapping",
    "Overloaded",
    "ProtocolError",
    "RateLimited",
    "ServerError",
    "SyntaxException",
    "TruncateError",
    "Unauthorized",
    "Unprepared",
]


class CqlError(Exception):
    """A refusal that the client sees with `code` and `message`."""

    code: ClassVar[int] = 0x0000

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ServerError(CqlError):
    """We failed, and not because of what the client sent."""

    code = 0x0000


class ProtocolError(CqlError):
    """The bytes of a message, or its place in the conversation, break the protocol."""

    code = 0x000A


class BadCredentials(CqlError):
    """Authentication failed, for whatever reason."""

    code = 0x0100


class Overloaded(CqlError):
    """The coordinator refuses the request for lack of room; nothing has happened."""

    code = 0x1001


class IsBootstrapping(CqlError):
    """The node does not serve reads yet."""

    code = 0x1002


class TruncateError(CqlError):
    """A TRUNCATE did not reach every replica."""

    code = 0x1003


class FunctionFailure(CqlError):
    """A function raised an error while it was evaluated."""

    code = 0x1400

    def __init__(
        self, keyspace: str, function: str, argument_types: tuple[str, ...], message: str
    ) -> None:
        super().__init__(message)
        self.keyspace = keyspace
        self.function = function
        self.argument_types = argument_types


class SyntaxException(CqlError):
    """The statement's text is not CQL."""

    code = 0x2000


class Unauthorized(CqlError):
    """The role lacks a permission that the statement needs."""

    code = 0x2100


class InvalidRequest(CqlError):
    """The statement is CQL, and cannot be done."""

    code = 0x2200


class ConfigurationError(CqlError):
    """An option of a schema statement has a name or value that is not allowed."""

    code = 0x2300


class AlreadyExists(CqlError):
    """The keyspace, or the table when `table` is not empty, is there already."""

    code = 0x2400

    def __init__(self, keyspace: str, table: str, message: str) -> None:
        super().__init__(message)
        self.keyspace = keyspace
        self.table = table


class Unprepared(CqlError):
    """No prepared statement has this id; the driver prepares again and retries."""

    code = 0x2500

    def __init__(self, id: bytes) -> None:  # noqa: A002 - the protocol's word
        super().__init__(
            f"Prepared query with ID {id.hex()} not found (either the query was not prepared on "
            "this host (maybe the host has been restarted?) or you have prepared too many queries "
            "and it has been evicted from the internal cache)"
        )
        self.id = id


class RateLimited(CqlError):
    """The partition's own rate limit is reached; `operation` is 0 for a read, 1 for a write."""

    code = 0xF000

    def __init__(self, operation: int, by_coordinator: bool, message: str) -> None:
        super().__init__(message)
        self.operation = operation
        self.by_coordinator = by_coordinator
