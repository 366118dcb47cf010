"""Types are read from and written to CQL text without loss, and what may not exist is refused."""

from __future__ import annotations

import pytest

from cql.errors import InvalidRequest, SyntaxException
from cql.types.catalog import (
    INT,
    NATIVE_TYPES,
    TEXT,
    CqlType,
    ListType,
    MapType,
    SetType,
    UserType,
    VectorType,
    fixed_width,
    java_class,
    parse_type,
    quote_name,
    type_of_class,
)

PERSON = UserType("ks", "person", ("name", "tags"), (TEXT, SetType(TEXT)))


def find(name: str) -> UserType | None:
    return PERSON if name == "person" else None


def parse(text: str) -> CqlType:
    return parse_type(text, "ks", find)


@pytest.mark.parametrize(
    "text",
    [
        *(t.name for t in NATIVE_TYPES),
        "frozen<list<frozen<list<text>>>>",
        "map<text, frozen<map<text, text>>>",
        "frozen<tuple<frozen<tuple<int, int>>, frozen<person>>>",
        "vector<vector<float, 2>, 2>",
        "vector<frozen<list<int>>, 3>",
        "person",
        "set<frozen<person>>",
        "'org.apache.cassandra.db.marshal.DateType'",
    ],
)
def test_a_type_reads_back_from_its_own_text(text: str) -> None:
    assert str(parse(text)) == text


def test_spelling_is_free_in_case_and_blanks() -> None:
    assert parse(" Map < VARCHAR,INT > ") == MapType(TEXT, INT)
    assert parse("ks.person") == PERSON
    assert parse('ks."person"') == PERSON


def test_frozen_reaches_everything_inside() -> None:
    assert parse("frozen<list<list<int>>>") == ListType(ListType(INT, True), True)
    assert parse("frozen<person>") == UserType(
        "ks", "person", ("name", "tags"), (TEXT, SetType(TEXT, True)), True
    )
    assert parse("tuple<list<int>>").inner()[0] == ListType(INT, True)


def test_only_unfrozen_collections_and_user_types_have_many_cells() -> None:
    many = [
        t
        for t in ("list<int>", "person", "frozen<list<int>>", "tuple<int>", "int")
        if parse(t).is_multicell
    ]
    assert many == ["list<int>", "person"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "list<list<int>>",
            "Non-frozen collections are not allowed inside collections: list<list<int>>",
        ),
        ("set<person>", "Non-frozen UDTs are not allowed inside collections: set<person>"),
        ("set<duration>", "Durations are not allowed inside sets: set<duration>"),
        ("map<duration, int>", "Durations are not allowed as map keys: map<duration, int>"),
        ("list<counter>", "Counters are not allowed inside collections: list<counter>"),
        (
            "frozen<int>",
            "frozen<> is only allowed on collections, tuples, and user-defined types (got int)",
        ),
        ("vector<int, 0>", "vectors may only have positive dimensions; given 0"),
        ("nope", "Unknown type ks.nope"),
    ],
)
def test_what_may_not_exist_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        parse(text)
    assert refusal.value.message == message


@pytest.mark.parametrize(
    "text", ["", "list<int", "int>", "list<>", "vector<int>", "a;b", "'open", "1"]
)
def test_what_is_no_type_is_a_syntax_error(text: str) -> None:
    with pytest.raises(SyntaxException):
        parse(text)


def test_deep_nesting_is_refused_instead_of_overflowing() -> None:
    with pytest.raises(InvalidRequest):
        parse("frozen<list<" * 500 + "int" + ">>" * 500)


def test_class_names_are_those_of_the_protocol() -> None:
    marshal = "org.apache.cassandra.db.marshal."
    assert (
        java_class(VectorType(parse("float"), 3)) == f"{marshal}VectorType({marshal}FloatType , 3)"
    )
    assert (
        java_class(ListType(INT, True))
        == f"{marshal}FrozenType({marshal}ListType({marshal}Int32Type))"
    )
    assert (
        java_class(MapType(INT, TEXT)) == f"{marshal}MapType({marshal}Int32Type,{marshal}UTF8Type)"
    )
    for native in NATIVE_TYPES:
        assert type_of_class(java_class(native)) is native


def test_small_numbers_and_times_have_no_fixed_width_in_vectors() -> None:
    variable = [t.name for t in NATIVE_TYPES if fixed_width(t) is None]
    assert {"smallint", "tinyint", "date", "time", "text", "decimal"} <= set(variable)
    assert fixed_width(VectorType(INT, 3)) == 12


def test_names_are_quoted_only_when_they_must_be() -> None:
    assert [quote_name(n) for n in ("a_1", "A", "1a", "select", 'q"q')] == [
        "a_1",
        '"A"',
        '"1a"',
        '"select"',
        '"q""q"',
    ]
