"""The one table from exceptions of every floor to the protocol's error codes and bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

import cluster.errors
import cql.errors
import storage.errors
from cluster.errors import FailureReason
from cql.protocol.replies import (
    encode_short_bytes,
    encode_string,
    encode_string_list,
)

__all__ = ["encode_fault", "is_expected"]

SERVER_ERROR: Final = 0x0000
UNAVAILABLE: Final = 0x1000
OVERLOADED: Final = 0x1001
TRUNCATE_ERROR: Final = 0x1003
WRITE_TIMEOUT: Final = 0x1100
READ_TIMEOUT: Final = 0x1200
READ_FAILURE: Final = 0x1300
FUNCTION_FAILURE: Final = 0x1400
WRITE_FAILURE: Final = 0x1500
CAS_WRITE_UNKNOWN: Final = 0x1700
INVALID: Final = 0x2200
CONFIGURATION_ERROR: Final = 0x2300
RATE_LIMITED: Final = 0xF000

Fault: TypeAlias = tuple[int, bytes]
"""An error code and what follows its message."""

Encoder: TypeAlias = Callable[[Any, int], Fault]


def encode_fault(error: BaseException, version: int, *, knows_rate_limit: bool = False) -> bytes:
    """The message of an ERROR: code, text, and the numbers which drivers act on."""
    if isinstance(error, cql.errors.RateLimited) and not knows_rate_limit:
        code, body = CONFIGURATION_ERROR, b""
    else:
        code, body = _encoder_of(error)(error, version)
    return code.to_bytes(4, "big") + encode_string(_text_of(error)) + body


def is_expected(error: BaseException) -> bool:
    """True for what a client or the world can cause; anything else is our mistake."""
    return _encoder_of(error) is not _server_error


def _encoder_of(error: BaseException) -> Encoder:
    for kind in type(error).__mro__:
        if kind in _ENCODERS:
            return _ENCODERS[kind]
    return _server_error


def _text_of(error: BaseException) -> str:
    """What the client reads: our own errors' words, and no inner detail of a mistake."""
    if is_expected(error):
        return str(error)
    return f"{type(error).__name__}: an internal error, see the server's log"


def _server_error(_error: BaseException, _version: int) -> Fault:
    return SERVER_ERROR, b""


def _plain(code: int) -> Encoder:
    return lambda _error, _version: (code, b"")


def _by_its_code(error: cql.errors.CqlError, _version: int) -> Fault:
    return error.code, b""


def _already_exists(error: cql.errors.AlreadyExists, _version: int) -> Fault:
    return error.code, encode_string(error.keyspace) + encode_string(error.table)


def _unprepared(error: cql.errors.Unprepared, _version: int) -> Fault:
    return error.code, encode_short_bytes(error.id)


def _function_failure(error: cql.errors.FunctionFailure, version: int) -> Fault:
    if version < 4:
        return INVALID, b""
    names = encode_string(error.keyspace) + encode_string(error.function)
    return FUNCTION_FAILURE, names + encode_string_list(error.argument_types)


def _rate_limited(error: cql.errors.RateLimited, _version: int) -> Fault:
    return RATE_LIMITED, bytes([error.operation, error.by_coordinator])


def _unavailable(error: cluster.errors.Unavailable, _version: int) -> Fault:
    return UNAVAILABLE, _numbers(error.level, error.required, error.alive)


def _write_timeout(error: cluster.errors.WriteTimeout, version: int) -> Fault:
    body = _numbers(error.level, error.received, error.block_for) + encode_string(error.write_type)
    if version >= 5 and error.write_type == cluster.errors.WriteType.CAS:
        body += error.contentions.to_bytes(2, "big")
    return WRITE_TIMEOUT, body


def _cas_write_unknown(error: cluster.errors.CasWriteUnknown, version: int) -> Fault:
    if version < 5:
        return _write_timeout(error, version)
    return CAS_WRITE_UNKNOWN, _numbers(error.level, error.received, error.block_for)


def _read_timeout(error: cluster.errors.ReadTimeout, _version: int) -> Fault:
    numbers = _numbers(error.level, error.received, error.block_for)
    return READ_TIMEOUT, numbers + bytes([error.data_present])


def _read_failure(error: cluster.errors.ReadFailure, version: int) -> Fault:
    numbers = _numbers(error.level, error.received, error.block_for)
    if version < 4:
        return READ_TIMEOUT, numbers + bytes([error.data_present])
    return READ_FAILURE, numbers + _failures(error.failures, version) + bytes([error.data_present])


def _write_failure(error: cluster.errors.WriteFailure, version: int) -> Fault:
    numbers = _numbers(error.level, error.received, error.block_for)
    if version < 4:
        return WRITE_TIMEOUT, numbers + encode_string(error.write_type)
    return WRITE_FAILURE, (
        numbers + _failures(error.failures, version) + encode_string(error.write_type)
    )


def _numbers(level: int, first: int, second: int) -> bytes:
    return level.to_bytes(2, "big") + first.to_bytes(4, "big") + second.to_bytes(4, "big")


def _failures(failures: Mapping[str, FailureReason], version: int) -> bytes:
    """How many replicas failed; from v5 on also which and why, without a port."""
    body = len(failures).to_bytes(4, "big")
    if version >= 5:
        for host, reason in failures.items():
            address = _packed_address(host)
            body += bytes([len(address)]) + address + reason.to_bytes(2, "big")
    return body


def _packed_address(host: str) -> bytes:
    try:
        return ip_address(host).packed
    except ValueError:
        return bytes(4)


_ENCODERS: dict[type[BaseException], Encoder] = {
    cql.errors.CqlError: _by_its_code,
    cql.errors.AlreadyExists: _already_exists,
    cql.errors.Unprepared: _unprepared,
    cql.errors.FunctionFailure: _function_failure,
    cql.errors.RateLimited: _rate_limited,
    cluster.errors.ClusterError: _plain(SERVER_ERROR),
    cluster.errors.Unavailable: _unavailable,
    cluster.errors.Overloaded: _plain(OVERLOADED),
    cluster.errors.TruncateFailed: _plain(TRUNCATE_ERROR),
    cluster.errors.WriteTimeout: _write_timeout,
    cluster.errors.CasWriteUnknown: _cas_write_unknown,
    cluster.errors.ReadTimeout: _read_timeout,
    cluster.errors.ReadFailure: _read_failure,
    cluster.errors.WriteFailure: _write_failure,
    storage.errors.StorageError: _plain(SERVER_ERROR),
    storage.errors.Overloaded: _plain(OVERLOADED),
}
