"""Cassandra's own frames, byte for byte: outcomes are scripted, all else is real."""

from __future__ import annotations

import struct

import pytest

from cluster.consistency import Consistency
from cluster.errors import Unavailable
from cql.errors import AlreadyExists, InvalidRequest, SyntaxException, Unprepared
from cql.protocol.segment import decode_segment
from cql.results import (
    NO_METADATA_ID,
    VOID,
    ColumnSpec,
    Prepared,
    Rows,
    SetKeyspace,
    result_metadata_id,
)
from cql.types.catalog import (
    BOOLEAN,
    DURATION,
    FLOAT,
    INT,
    TEXT,
    ListType,
    MapType,
    SetType,
    UserType,
    VectorType,
)
from tests.harness.golden_frames import load, run_frames
from tests.harness.protocol_client import ScriptedExecutor, Wire, envelopes, unsegment

N = (ColumnSpec("vec", "ord_2", "n", INT),)
CK = (ColumnSpec("vec", "ord_2", "ck", INT),)
K = (ColumnSpec("vec", "one", "k", INT),)
KEY = (ColumnSpec("vec", "ord_2", "pk", INT), ColumnSpec("vec", "ord_2", "ck", INT))
UDT = UserType("vec", "u2", ("a", "b"), (INT, TEXT))
SHORT_ID = bytes.fromhex("1e63b812a12a0438be8cb37cadeb9609")
LONG_ID = bytes.fromhex("f42ef0d8665e063d73c64c90156d653a")
INSERT = "INSERT INTO ord_2 (pk, ck, n) VALUES (?, ?, ?)"
SELECT = "SELECT n FROM ord_2 WHERE pk = ? AND ck = ?"


def _i(*numbers: int) -> bytes:
    return b"".join(struct.pack(">ii", 4, number) for number in numbers)


def _golden(name: str, file: str = "frames.json") -> bytes:
    return next(case.response for case in load(file) if case.name == name)


def _tail(name: str, mark: bytes) -> bytes:
    """What follows the last `mark` of a golden response: content that is not ours to encode."""
    return _golden(name).rsplit(mark, 1)[1]


def _warning() -> str:
    body = _golden("PREPARE (with the warning that a USEd keyspace brings)")[9:]
    return body[4 : 4 + int.from_bytes(body[2:4], "big")].decode()


def _paged(options: object) -> Rows:
    first = _golden("QUERY paged: first page of 3")
    second = _golden("QUERY paged: second page")
    if options[1].paging_state is None:  # type: ignore[index]
        return Rows(CK, 3, first[-20:], first[25:43])
    return Rows(CK, 3, second[-24:], second[25:43])


def _unavailable(required: int = 3) -> Unavailable:
    return Unavailable(Consistency.THREE, required, 1)


def _insert(options: object) -> object:
    if options[1].consistency is Consistency.SERIAL:  # type: ignore[index]
        return InvalidRequest("You must use conditional updates for serializable writes")
    return VOID


def _execute(request: object) -> object:
    if len(request.options.values) == 1:  # type: ignore[attr-defined]
        return InvalidRequest("there were 2 markers(?) in CQL but 1 bound variables")
    return Rows(N, 1, _i(1), metadata_id=result_metadata_id(N))


def _prepared(statement_id: bytes, **more: object) -> Prepared:
    return Prepared(statement_id, result_metadata_id(N), KEY, (0,), N, **more)  # type: ignore[arg-type]


def _script() -> dict[object, object]:
    ks = (ColumnSpec("system_schema", "keyspaces", "keyspace_name", TEXT),)
    one = (*K, ColumnSpec("vec", "one", "n_int", INT), ColumnSpec("vec", "one", "c_text", TEXT))
    text = "héllo 世界 😀".encode()
    one_rows = Rows(one, 1, _i(0) + b"\xff" * 4 + struct.pack(">i", len(text)) + text)
    cas = (ColumnSpec("vec", "ord_2", "[applied]", BOOLEAN), *KEY, *N)
    types = (ListType(INT), SetType(TEXT), MapType(TEXT, INT), UDT, VectorType(FLOAT, 3), DURATION)
    names = ("c_list", "c_set", "c_map", "c_udt", "c_vec", "c_duration")
    fn = tuple(ColumnSpec("vec", "fn", name, t) for name, t in zip(names, types, strict=True))
    syntax = SyntaxException("line 1:0 no viable alternative at input 'SELEC' ([SELEC])")
    columns = (*KEY, *N)
    return {
        "SELEC": syntax,
        "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = 'vec'": Rows(
            ks, 1, struct.pack(">i", 3) + b"vec"
        ),
        "USE vec": SetKeyspace("vec"),
        "SELECT k, n_int, c_text FROM one WHERE k = 0": one_rows,
        "SELECT k, n_int, c_text FROM vec.one WHERE k = 0": one_rows,
        "SELECT k FROM one WHERE k = 0": Rows(K, 1, _i(0)),
        "SELECT k FROM vec.one WHERE k = 0": Rows(K, 1, _i(0)),
        "SELECT k FROM vec.one WHERE k = 1": Rows(K, 1, _i(1)),
        "SELECT k FROM one WHERE k = 99": Rows(K, 0, b""),
        SELECT: Rows(N, 1, _i(1)),
        "SELECT n FROM ord_2 WHERE pk = :p AND ck = :c": Rows(N, 1, _i(1)),
        "SELECT ck FROM ord_2 WHERE pk = 0": _paged,
        ("prepare", SELECT): _prepared(SHORT_ID, warnings=(_warning(),)),
        ("prepare", "SELECT n FROM vec.ord_2 WHERE pk = ? AND ck = ?"): _prepared(LONG_ID),
        SHORT_ID: _execute,
        LONG_ID: _execute,
        b"\x01" * 16: Unprepared(b"\x01" * 16),
        ("prepare", INSERT): Prepared(
            bytes.fromhex("1733267f6eabf059b71999d1350f519a"), NO_METADATA_ID, columns, (0,)
        ),
        ("prepare", INSERT + " IF NOT EXISTS"): Prepared(
            bytes.fromhex("a237aec888d2206a98ba670febf19a61"),
            NO_METADATA_ID,
            columns,
            (0,),
            is_conditional=True,
        ),
        ("prepare", "SELECT nope FROM ord_2"): InvalidRequest(
            "Undefined column name nope in table vec.ord_2"
        ),
        ("SELECT * FROM one",): InvalidRequest(
            "Invalid statement in batch: only UPDATE, INSERT and DELETE statements are allowed."
        ),
        "INSERT INTO ord_2 (pk, ck, n) VALUES (5, 1, 9) IF NOT EXISTS": Rows(
            cas, 1, struct.pack(">ib", 1, 0) + _i(5, 1, 1), is_conditional=True
        ),
        "CREATE TABLE one (k int PRIMARY KEY)": AlreadyExists(
            "vec", "one", 'Cannot add already existing table "one" to keyspace "vec"'
        ),
        "SELECT * FROM one WHERE k = 1": _unavailable(),
        "SELECT * FROM vec.one WHERE k = 1": _unavailable(),
        "INSERT INTO ord_2 (pk, ck, n) VALUES (5, 1, 9)": _insert,
        "SELECT c_list, c_set, c_map, c_udt, c_vec, c_duration FROM fn WHERE k = 1": Rows(
            fn, 1, _tail("QUERY types: collections, tuple, UDT", b"DurationType")[4:]
        ),
    }


@pytest.mark.parametrize("file", ["frames.json", "frames_v5.json"])
def test_every_golden_frame_is_answered_byte_for_byte(file: str) -> None:
    assert run_frames(lambda: Wire(ScriptedExecutor(_script())), file) == []


def test_replies_to_envelopes_of_one_segment_share_a_segment() -> None:
    wire = Wire(ScriptedExecutor(_script())).start(5)
    case = next(case for case in load("frames_v5.json") if case.name.startswith("two envelopes"))
    data = wire.send(case.request)
    segment = decode_segment(data)
    assert segment is not None
    assert segment[2] == len(data)
    assert [answer.stream for answer in envelopes(unsegment(data))] == [0, 1]
