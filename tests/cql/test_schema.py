"""Tests cql/schema."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cql.errors import InvalidRequest
from cql.schema import (
    Column,
    ColumnKind,
    DroppedColumn,
    Keyspace,
    Schema,
    SchemaHolder,
    Table,
    decode_ops,
    drop_keyspace,
    drop_table,
    drop_type,
    encode_ops,
    layout_of,
    make_table,
    put_keyspace,
    put_table,
    put_type,
    sorted_types,
)
from cql.table_options import DEFAULT_OPTIONS, TableOptions
from cql.types.catalog import (
    BIGINT,
    COUNTER,
    INT,
    TEXT,
    CqlType,
    ListType,
    MapType,
    SetType,
    TupleType,
    UserType,
)
from storage.values import replace

KEYSPACE = Keyspace("k", {"class": "org.apache.cassandra.locator.SimpleStrategy"})
NAMES = st.sampled_from(["a", "b", "c", "Ä b", 'q"', "select", "x1"])


def simple_table(name: str = "t", value: CqlType = TEXT, number: int = 1) -> Table:
    columns = [Column("p", INT, "partition_key", 0, 1), Column("v", value, "regular", -1, 2)]
    return make_table("k", name, UUID(int=number), columns, DEFAULT_OPTIONS, 3)


def schema_with(*tables: Table, types: tuple[UserType, ...] = ()) -> Schema:
    ops = [put_keyspace(KEYSPACE), *map(put_type, types), *map(put_table, tables)]
    return Schema({}).apply(ops)


def types(users: tuple[UserType, ...] = ()) -> st.SearchStrategy[CqlType]:
    """Types of all shapes that a column may have."""
    flat = [INT, TEXT, BIGINT, *(user.frozen() for user in users)]
    nested: list[CqlType] = [ListType(TupleType((INT, SetType(TEXT).frozen()))).frozen()]
    inner = [*flat, *nested]
    outer = [*map(ListType, inner), *map(SetType, inner), *(MapType(INT, t) for t in inner)]
    return st.sampled_from([*inner, *outer, *(t.frozen() for t in outer)])


@st.composite
def tables(draw: st.DrawFn, users: tuple[UserType, ...] = ()) -> Table:
    """Any table of keyspace k."""
    names = draw(st.lists(NAMES, min_size=1, unique=True))
    columns: list[Column] = []
    positions = {"partition_key": 0, "clustering": 0}
    for column_id, name in enumerate(names, 1):
        kind: ColumnKind = "partition_key"
        if column_id > 1:
            kind = draw(st.sampled_from(["partition_key", "clustering", "regular", "static"]))
        position = positions.get(kind, -1)
        if kind in positions:
            positions[kind] += 1
        cql_type = INT if position >= 0 else draw(types(users))
        is_reversed = kind == "clustering" and draw(st.booleans())
        columns.append(Column(name, cql_type, kind, position, column_id, is_reversed))
    options = replace(
        DEFAULT_OPTIONS,
        comment=draw(st.text(max_size=5)),
        gc_grace_seconds=draw(st.integers(0, 9)),
        caching=draw(st.sampled_from([DEFAULT_OPTIONS.caching, (("keys", "NONE"),)])),
    )
    dropped = draw(
        st.lists(st.builds(DroppedColumn, NAMES, types(), st.just("regular"), st.just(5)))
    )
    return make_table(
        "k",
        draw(st.sampled_from(["t", "u"])),
        UUID(int=draw(st.integers(1, 3))),
        columns,
        options,
        len(columns) + 1,
        tuple(dropped),
    )


USER_TYPES = (
    UserType("k", "inner", ("f", "G"), (INT, TEXT)),
    UserType("k", "Outer", ("i",), (UserType("k", "inner", ("f", "G"), (INT, TEXT)).frozen(),)),
)


@given(st.lists(tables(USER_TYPES), max_size=4))
@settings(max_examples=60)
def test_operations_survive_their_encoding(made: list[Table]) -> None:
    ops = [put_keyspace(KEYSPACE), *map(put_type, USER_TYPES), *map(put_table, made)]
    assert decode_ops(encode_ops(ops)) == ops
    schema = Schema({}).apply(ops)
    for table in schema.tables():
        table.check()
    for table in {table.name: table for table in made}.values():
        assert schema.find_table("k", table.name) == table


@given(st.lists(tables(USER_TYPES), max_size=4))
@settings(max_examples=40)
def test_equal_content_has_an_equal_version_however_it_came(made: list[Table]) -> None:
    ops = [put_keyspace(KEYSPACE), *map(put_type, USER_TYPES), *map(put_table, made)]
    schema = Schema({}).apply(ops)
    assert schema.apply(ops).version == schema.version
    assert Schema({}).apply(schema.ops()).version == schema.version
    assert schema.apply([put_table(simple_table("other"))]).version != schema.version


@given(st.binary())
def test_bytes_that_are_no_operations_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_ops(data)


def test_the_time_of_a_drop_does_not_change_the_version() -> None:
    early = replace(simple_table(), dropped=(DroppedColumn("x", INT, "regular", 1),))
    late = replace(simple_table(), dropped=(DroppedColumn("x", INT, "regular", 2),))
    assert schema_with(early).version == schema_with(late).version
    assert schema_with(early).version != schema_with(simple_table()).version


def test_unknown_tables_are_named_as_cassandra_does() -> None:
    schema = schema_with(simple_table())
    assert schema.get_table("k", "t") == simple_table()
    for keyspace, message in [
        ("k", "table x does not exist"),
        ("z", "keyspace z does not exist"),
        (None, "No keyspace has been specified"),
    ]:
        with pytest.raises(InvalidRequest, match=message):
            schema.get_table(keyspace, "x")


def test_dropping_a_table_needs_its_id() -> None:
    schema = schema_with(simple_table(number=2))
    assert schema.apply([drop_table(simple_table(number=1))]).find_table("k", "t") is not None
    assert schema.apply([drop_table(simple_table(number=2))]).find_table("k", "t") is None


def test_operations_on_what_is_gone_do_nothing() -> None:
    empty = Schema({})
    table = simple_table()
    ops = [put_table(table), drop_table(table), put_type(USER_TYPES[0]), drop_type("k", "x")]
    assert empty.apply([*ops, drop_keyspace("k")]).version == empty.version


def test_tables_follow_their_user_types() -> None:
    user_type = USER_TYPES[0]
    schema = schema_with(simple_table(value=user_type.frozen()), types=USER_TYPES)
    wider = replace(user_type, field_names=("f", "G", "h"), field_types=(INT, TEXT, INT))
    after = schema.apply([put_type(wider)])
    column_type = after.get_table("k", "t").columns["v"].type
    assert column_type == wider.frozen()
    outer = after.find_type("k", "Outer")
    assert outer is not None and outer.field_types == (wider.frozen(),)


def test_types_come_after_what_they_are_made_of() -> None:
    keyspace = schema_with(types=USER_TYPES).keyspaces["k"]
    assert [found.name for found in sorted_types(keyspace)] == ["inner", "Outer"]


def test_replacing_a_keyspace_keeps_its_tables() -> None:
    schema = schema_with(simple_table())
    altered = schema.apply([put_keyspace(replace(KEYSPACE, durable_writes=False))])
    assert altered.find_table("k", "t") is not None
    assert not altered.keyspaces["k"].durable_writes


def test_listeners_hear_of_each_replacement() -> None:
    holder = SchemaHolder(Schema({}))
    heard: list[tuple[Schema, Schema]] = []
    holder.subscribe(lambda old, new: heard.append((old, new)))
    before, after = holder.current, schema_with()
    holder.replace(after)
    assert heard == [(before, after)]
    assert holder.current is after


def test_a_layout_tells_what_storage_must_know() -> None:
    columns = [
        Column("p", INT, "partition_key", 0, 1),
        Column("c", INT, "clustering", 0, 2),
        Column("s", INT, "static", -1, 3),
        Column("v", INT, "regular", -1, 5),
    ]
    options = TableOptions(gc_grace_seconds=7, compression=(("enabled", "false"),), row_cache=False)
    layout = layout_of(make_table("k", "t", UUID(int=9), columns, options, 6))
    assert layout.table_id == UUID(int=9).bytes
    assert layout.name == "k.t"
    assert layout.live_columns == {0, 3, 5}
    assert (layout.has_clustering, layout.has_static, layout.counter) == (True, True, False)
    assert (layout.gc_grace_s, layout.compression, layout.caching_rows) == (7, "none", False)
    assert layout_of(simple_table(value=COUNTER)).counter
    assert layout_of(simple_table()).live_columns == {2}


def test_options_keep_only_what_differs_from_the_defaults() -> None:
    options = replace(DEFAULT_OPTIONS, comment="x", compression=(("enabled", "false"),))
    assert set(options.to_json()) == {"comment", "compression"}
    assert TableOptions.from_json({**options.to_json(), "of a later version": 1}) == options
