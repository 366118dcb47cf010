"""Functions give the values, types, titles and refusals of a real node."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cql.environment import Environment
from cql.errors import CqlError, InvalidRequest
from cql.functions import Argument, Context, find_cast, find_function, find_operation
from cql.moment import Moment
from cql.types import catalog
from cql.types.catalog import CqlType, NativeType, UserType, parse_type
from cql.types.codec import decode, encode
from cql.types.text import decode_json, from_json
from tests.model.evaluate import Evaluator
from tests.model.terms import term_of, value_of
from tests.model.values import encodable

GOLDEN = Path(__file__).parents[1] / "golden"
FUNCTIONS: dict[str, Any] = json.loads((GOLDEN / "functions.json").read_text())
CASTS: list[dict[str, Any]] = json.loads((GOLDEN / "casts.json").read_text())["data"]
PAIR = UserType("ks", "pair", ("a", "b"), (catalog.INT, catalog.TEXT))
COLUMNS = {
    "k": "int",
    "c_list": "list<int>",
    "c_map": "map<text, int>",
    "c_set": "set<text>",
    "c_udt": "pair",
    "c_vec": "vector<float, 3>",
}
ELSEWHERE = {
    r"writetime|maxwritetime|ttl": "a pseudo-function of the selection",
    r"c_(map|set)\[.*|c_udt\..*": "a part of a value, taken by the selection",
    r"\(\w+\) .*|'x'|1|\[1, 2\]|\(1, 'a'\)": "a term in the selection clause, typed by the planner",
}
OTHERWISE = {
    "dateOf(c_timeuuid)": "kept for old programs",
    "unixTimestampOf(c_timeuuid)": "kept for old programs",
    "min(c_timeuuid)": "Cassandra gives a legacy class for the type, we give timeuuid",
}
MOMENT = Moment(0.0, 1_700_000_000_123_456, 1_700_000_000)


def parse(text: str) -> CqlType:
    return parse_type(text, "ks", lambda name: PAIR if name == "pair" else None)


def golden_row() -> dict[str, tuple[CqlType, bytes | None]]:
    """The row that the golden selectors were asked of."""
    text = FUNCTIONS["note"].split("The row: ")[1]
    row: dict[str, tuple[CqlType, bytes | None]] = {}
    for column, value in decode_json(text).items():
        cql_type = parse(COLUMNS.get(column, column.removeprefix("c_")))
        row[column] = (cql_type, from_json(cql_type, value))
    return row


def context() -> Context:
    return Context(MOMENT, Environment(Random(7)))


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    return Evaluator(golden_row(), context())


def is_elsewhere(expression: str) -> bool:
    return any(re.match(rf"(?:{pattern})(?:\(|\Z)", expression) for pattern in ELSEWHERE)


@pytest.mark.parametrize(
    "row",
    [row for row in FUNCTIONS["data"] if not is_elsewhere(row["expr"])],
    ids=lambda row: row["expr"],
)
def test_selectors_give_what_a_real_node_gives(row: dict[str, Any], evaluator: Evaluator) -> None:
    if "error" in row:
        if row["expr"] in OTHERWISE:
            evaluator.select(row["expr"])
            return
        with pytest.raises(CqlError) as refusal:
            evaluator.select(row["expr"])
        shown = re.sub(
            r"\(known type signatures: .*\)", "(known type signatures...)", str(refusal.value)
        )
        assert f"0x{refusal.value.code:04x} {shown}" == row["error"]
        return
    result = evaluator.select(row["expr"])
    assert result.title == row["name"]
    if row["expr"] not in OTHERWISE:
        wanted = row["type"][0] if isinstance(row["type"], list) else row["type"]
        assert result.type.type_id == wanted
    found = None if result.value is None else result.value.hex()
    counted = re.match(r"\((\d+) bytes\)", row["hex"] or "")
    if counted is not None:
        assert result.value is not None and len(result.value) == int(counted[1])
    else:
        assert found == row["hex"]


def test_nothing_is_left_out_without_a_reason() -> None:
    left = [row["expr"] for row in FUNCTIONS["data"] if is_elsewhere(row["expr"])]
    assert len(left) == 21, left


def cast_answer(row: dict[str, Any]) -> str:
    source = parse(row["from"])
    try:
        cast = find_cast(Argument(f"c_{row['from']}", source), row["to"])
        value = value_of(source, term_of(row["value"]))
        if cast is None:
            return "" if value is None else value.hex()
        result = cast.call(context(), [value])
        return "null" if result is None else result.hex()
    except CqlError as refusal:
        shown = re.sub(r"\(known type signatures: .*\)", "(known type signatures...)", str(refusal))
        return in_one_order(f"0x{refusal.code:04x} {shown}")


def in_one_order(refusal: str) -> str:
    """Cassandra lists signatures in the order of its hashes."""
    return (
        " ".join(sorted(re.split(r"(?<=\w), |[()]* ", refusal))) if "Ambig" in refusal else refusal
    )


def test_casts_give_what_a_real_node_gives() -> None:
    wrong = []
    for row in CASTS:
        found = cast_answer(row)
        wanted = in_one_order(row["error"]) if "error" in row else row["hex"]
        if found != wanted:
            wrong.append((row["from"], row["value"], row["to"], wanted, found))
    assert wrong == []
    assert len(CASTS) == 751


NUMERIC = ["tinyint", "smallint", "int", "bigint", "varint", "decimal", "float", "double"]


@given(st.data())
def test_arithmetic_gives_a_number_of_the_promised_type_or_a_typed_error(
    data: st.DataObject,
) -> None:
    left, right = (parse(data.draw(st.sampled_from(NUMERIC))) for _ in range(2))
    function = find_operation(data.draw(st.sampled_from("+-*/%")), left, right)
    values = [data.draw(encodable(left)), data.draw(encodable(right))]
    try:
        result = function.call(context(), values)
    except CqlError:
        return
    assert (result is None) == (b"" in values)
    if result is not None:
        decode(function.return_type, result)


@given(st.data())
def test_functions_of_one_number_give_a_number_or_a_typed_error(data: st.DataObject) -> None:
    cql_type = parse(data.draw(st.sampled_from(NUMERIC)))
    name = data.draw(
        st.sampled_from(["abs", "exp", "log", "log10", "round", "sum", "avg", "min", "max"])
    )
    function = find_function(None, name, [cql_type])
    value = data.draw(encodable(cql_type))
    try:
        if function.aggregate is not None:
            state = function.aggregate.add(function.aggregate.start(), [value])
            result = function.aggregate.finish(state)
        else:
            result = function.call(context(), [value])
    except CqlError:
        return
    if result is not None:
        decode(function.return_type, result)


@given(st.data())
def test_casts_give_a_value_of_their_type_or_a_typed_error(data: st.DataObject) -> None:
    source = data.draw(st.sampled_from(catalog.NATIVE_TYPES))
    target = data.draw(st.sampled_from(catalog.NATIVE_TYPES))
    try:
        cast = find_cast(source, str(target))
        if cast is not None:
            result = cast.call(context(), [data.draw(encodable(source))])
            if result is not None:
                decode(target, result)
    except CqlError:
        return


def total(name: str, cql_type: NativeType, values: list[object]) -> object:
    aggregate = find_function(None, name, [cql_type]).aggregate
    assert aggregate is not None
    state = aggregate.start()
    for value in values:
        state = aggregate.add(state, [None if value is None else encode(cql_type, value)])
    result = aggregate.finish(state)
    return (
        None if result is None else decode(parse("bigint") if name == "count" else cql_type, result)
    )


def test_aggregates_leave_nulls_out() -> None:
    assert total("count", catalog.INT, [1, None, 3]) == 2
    assert total("sum", catalog.INT, [1, None, 3]) == 4
    assert total("avg", catalog.INT, [1, None, 4]) == 2
    assert total("min", catalog.INT, [5, None, -3]) == -3
    assert total("max", catalog.TEXT, ["a", None, "b"]) == "b"


def test_aggregates_of_no_rows_are_zero_or_null() -> None:
    assert [total(name, catalog.INT, []) for name in ("count", "sum", "avg", "min", "max")] == [
        *(0, 0, 0),
        *(None, None),
    ]


def test_sums_wrap_at_the_width_of_their_type() -> None:
    assert total("sum", catalog.INT, [2**31 - 1, 1]) == -(2**31)
    assert total("sum", catalog.TINYINT, [127, 127]) == -2
    assert total("avg", catalog.INT, [2**31 - 1, 2**31 - 1]) == 2**31 - 1
    assert total("avg", catalog.INT, [-1, -2]) == -1


def test_functions_of_the_present_come_from_the_moment_given() -> None:
    def now(name: str) -> object:
        function = find_function(None, name, [])
        return decode(function.return_type, function.call(context(), []) or b"")

    assert now("current_timestamp") == 1_700_000_000_123
    assert now("current_date") == 19_675
    assert now("current_time") == (22 * 3600 + 13 * 60 + 20) * 10**9 + 123_456_000
    assert find_function(None, "now", []).call(context(), []) == find_function(
        None, "current_timeuuid", []
    ).call(context(), [])


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("nosuch", [], "Unknown function 'nosuch'"),
        (
            "uuid",
            ["int"],
            "Invalid number of arguments in call to function system.uuid: "
            "0 required but 1 provided",
        ),
        (
            "map_keys",
            ["int"],
            "Function system.map_keys requires a map argument, but found argument int of type int",
        ),
        ("mask_inner", ["text"], "Invalid number of arguments for function system.mask_inner"),
    ],
)
def test_calls_that_do_not_fit_are_refused(name: str, arguments: list[str], message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        find_function(None, name, [parse(argument) for argument in arguments])
    assert refusal.value.message == message


def test_a_marker_among_overloads_is_ambiguous() -> None:
    marker = Argument("?")
    with pytest.raises(InvalidRequest, match="Ambiguous '\\+' operation with args int and \\?"):
        find_operation("+", catalog.INT, marker)
    with pytest.raises(InvalidRequest, match="Ambiguous call to function abs"):
        find_function(None, "abs", [marker])


def test_what_json_a_text_holds_becomes_the_type_wanted() -> None:
    function = find_function(None, "from_json", [catalog.TEXT], parse("list<int>"))
    assert function.call(context(), [b"[1, 2]"]) == encode(parse("list<int>"), [1, 2])
    assert function.call(context(), [b"null"]) is None
    with pytest.raises(CqlError) as failure:
        function.call(context(), [b"["])
    assert failure.value.code == 0x1400
    with pytest.raises(InvalidRequest, match="cannot be used in the selection clause"):
        find_function(None, "from_json", [catalog.TEXT])
