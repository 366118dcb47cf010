"""Tests of cql/protocol/faults."""

from __future__ import annotations

import struct

import pytest

import cluster.errors
import cql.errors
import storage.errors
from cluster.consistency import Consistency
from cluster.errors import FailureReason
from cql.protocol.faults import encode_fault, is_expected
from tests.harness.protocol_client import short_bytes, string

QUORUM = Consistency.QUORUM
FAILURES = {"10.0.0.1": FailureReason.TIMEOUT, "::1": FailureReason.UNKNOWN}
TWO = struct.pack(">HII", 4, 1, 2)
MAP = b"\4\x0a\0\0\1\0\2" + b"\x10" + bytes(15) + b"\1\0\0"
WRITE_TIMEOUT = cluster.errors.WriteTimeout(QUORUM, 1, 2, "SIMPLE")
CAS_TIMEOUT = cluster.errors.WriteTimeout(QUORUM, 1, 2, "CAS", contentions=3)
READ_FAILURE = cluster.errors.ReadFailure(QUORUM, 1, 2, True, FAILURES)
WRITE_FAILURE = cluster.errors.WriteFailure(QUORUM, 1, 2, "BATCH", FAILURES)
UNKNOWN_CAS = cluster.errors.CasWriteUnknown(QUORUM, 1, 2)
FUNCTION = cql.errors.FunctionFailure("k", "f", ("int",), "boom")
RATE = cql.errors.RateLimited(1, True, "slow down")


@pytest.mark.parametrize(
    ("error", "version", "code", "body"),
    [
        (cql.errors.SyntaxException("x"), 4, 0x2000, b""),
        (cql.errors.Unauthorized("x"), 4, 0x2100, b""),
        (cql.errors.InvalidRequest("x"), 4, 0x2200, b""),
        (cql.errors.ConfigurationError("x"), 4, 0x2300, b""),
        (cql.errors.ProtocolError("x"), 4, 0x000A, b""),
        (cql.errors.BadCredentials("x"), 4, 0x0100, b""),
        (cql.errors.Overloaded("x"), 4, 0x1001, b""),
        (cql.errors.IsBootstrapping("x"), 4, 0x1002, b""),
        (cql.errors.AlreadyExists("k", "t", "x"), 4, 0x2400, string("k") + string("t")),
        (cql.errors.AlreadyExists("k", "", "x"), 4, 0x2400, string("k") + string("")),
        (cql.errors.Unprepared(b"id"), 4, 0x2500, short_bytes(b"id")),
        (FUNCTION, 4, 0x1400, string("k") + string("f") + b"\0\1" + string("int")),
        (FUNCTION, 3, 0x2200, b""),
        (RATE, 4, 0x2300, b""),
        (cluster.errors.Unavailable(QUORUM, 1, 2), 4, 0x1000, TWO),
        (cluster.errors.Overloaded("x"), 4, 0x1001, b""),
        (cluster.errors.TruncateFailed("x"), 4, 0x1003, b""),
        (WRITE_TIMEOUT, 5, 0x1100, TWO + string("SIMPLE")),
        (CAS_TIMEOUT, 4, 0x1100, TWO + string("CAS")),
        (CAS_TIMEOUT, 5, 0x1100, TWO + string("CAS") + b"\0\3"),
        (cluster.errors.ReadTimeout(QUORUM, 1, 2, True), 4, 0x1200, TWO + b"\1"),
        (READ_FAILURE, 3, 0x1200, TWO + b"\1"),
        (READ_FAILURE, 4, 0x1300, TWO + struct.pack(">I", 2) + b"\1"),
        (READ_FAILURE, 5, 0x1300, TWO + struct.pack(">I", 2) + MAP + b"\1"),
        (WRITE_FAILURE, 3, 0x1100, TWO + string("BATCH")),
        (WRITE_FAILURE, 4, 0x1500, TWO + struct.pack(">I", 2) + string("BATCH")),
        (WRITE_FAILURE, 5, 0x1500, TWO + struct.pack(">I", 2) + MAP + string("BATCH")),
        (UNKNOWN_CAS, 4, 0x1100, TWO + string("CAS")),
        (UNKNOWN_CAS, 5, 0x1700, TWO),
        (storage.errors.OverBudget("memtables", 1, 2, 3), 4, 0x1001, b""),
        (storage.errors.DiskFull(28, "write", "x"), 4, 0x0000, b""),
    ],
)
def test_every_error_has_its_code_and_its_numbers(
    error: Exception, version: int, code: int, body: bytes
) -> None:
    head = code.to_bytes(4, "big") + string(str(error))
    assert encode_fault(error, version) == head + body
    assert is_expected(error)


def test_a_rate_limit_has_its_own_code_for_those_who_asked() -> None:
    body = encode_fault(RATE, 4, knows_rate_limit=True)
    assert body == (0xF000).to_bytes(4, "big") + string("slow down") + b"\1\1"


def test_a_mistake_of_ours_tells_the_client_nothing_of_the_inside() -> None:
    body = encode_fault(KeyError("secret"), 4)
    assert body[:4] == bytes(4)
    assert b"secret" not in body
    assert not is_expected(KeyError("x"))


def test_all_errors_of_the_floors_are_expected() -> None:
    for module in (cql.errors, cluster.errors, storage.errors):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, Exception):
                assert is_expected(kind.__new__(kind)), kind


def test_an_error_can_be_encoded_whatever_its_text() -> None:
    error = cql.errors.InvalidRequest("\ud800" + "x" * 70_000)
    assert encode_fault(error, 4)[4:6] == b"\xff\xff"
