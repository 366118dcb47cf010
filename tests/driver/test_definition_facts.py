"""What docs/features.md promises of keyspaces, tables, types and their options (D and O rows)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from cassandra import ConsistencyLevel, InvalidRequest, Unavailable
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import ConfigurationException
from cassandra.query import SimpleStatement

from tests.harness.node_process import NodeProcess

SIMPLE = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
STRATEGY = "org.apache.cassandra.locator."
OPTIONS = [
    ("comment", "'new'", "new"),
    ("default_time_to_live", "630720000", 630720000),
    ("gc_grace_seconds", "7", 7),
    ("bloom_filter_fp_chance", "0.2", 0.2),
    ("crc_check_chance", "0.5", 0.5),
    ("min_index_interval", "64", 64),
    ("max_index_interval", "4096", 4096),
    ("memtable_flush_period_in_ms", "60000", 60000),
    ("read_repair", "'NONE'", "NONE"),
    ("speculative_retry", "'50ms'", "50ms"),
    ("additional_write_policy", "'NEVER'", "NEVER"),
    ("caching", "{'keys': 'NONE', 'rows_per_partition': '10'}",
     {"keys": "NONE", "rows_per_partition": "10"}),
    ("compression", "{'class': 'ZstdCompressor', 'chunk_length_in_kb': '64'}",
     {"class": "org.apache.cassandra.io.compress.ZstdCompressor", "chunk_length_in_kb": "64"}),
    ("compression", "{}", {"enabled": "false"}),
    ("compression", "{'enabled': false}", {"enabled": "false"}),
    ("compression", "{'sstable_compression': ''}", {"enabled": "false"}),
    ("compaction", "{'class': 'LeveledCompactionStrategy', 'sstable_size_in_mb': '10'}",
     {"class": "org.apache.cassandra.db.compaction.LeveledCompactionStrategy",
      "sstable_size_in_mb": "10"}),
]  # fmt: skip
COMPACTION = {
    "enabled": "true",
    "min_threshold": "5",
    "max_threshold": "33",
    "tombstone_threshold": "0.3",
    "tombstone_compaction_interval": "100",
    "unchecked_tombstone_compaction": "true",
    "log_all": "true",
    "only_purge_repaired_tombstones": "true",
    "provide_overlapping_tombstones": "row",
}


@pytest.fixture
def other(session: Any) -> Iterator[str]:
    """The name of a keyspace that the test may create; it is gone afterwards."""
    name = f"{session.keyspace}_other"
    yield name
    session.execute(f"DROP KEYSPACE IF EXISTS {name}")


def replication(session: Any, keyspace: str) -> dict[str, str]:
    found = session.execute(
        "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s", (keyspace,)
    )
    return dict(found.one()[0])


def option(session: Any, name: str) -> Any:
    found = session.execute(
        f"SELECT {name} FROM system_schema.tables WHERE keyspace_name = %s AND table_name = 't'",
        (session.keyspace,),
    ).one()[0]
    return found if isinstance(found, (str, int, float)) else dict(found)


def warnings_of(session: Any, text: str) -> str:
    future = session.execute_async(text)
    future.result()
    return " ".join(future.warnings or ())


@pytest.mark.parametrize("name", ["SimpleStrategy", STRATEGY + "SimpleStrategy"])
@pytest.mark.parametrize("factor", ["1", "'1'"])
def test_a_strategy_may_be_short_or_whole_and_its_factor_a_text(
    session: Any, other: str, name: str, factor: str
) -> None:
    options = f"{{'class': '{name}', 'replication_factor': {factor}}}"
    session.execute(f"CREATE KEYSPACE {other} WITH replication = {options}")
    session.execute(f"CREATE KEYSPACE IF NOT EXISTS {other} WITH replication = {options}")
    assert replication(session, other) == {
        "class": STRATEGY + "SimpleStrategy",
        "replication_factor": "1",
    }


def test_a_higher_factor_than_nodes_can_be_had_and_says_what_is_missing(
    session: Any, other: str
) -> None:
    session.execute(
        f"CREATE KEYSPACE {other} WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 3}"
    )
    session.execute(f"CREATE TABLE {other}.t (k int PRIMARY KEY)")
    session.execute(f"INSERT INTO {other}.t (k) VALUES (1)")
    quorum = SimpleStatement(
        f"INSERT INTO {other}.t (k) VALUES (2)", consistency_level=ConsistencyLevel.QUORUM
    )
    with pytest.raises((Unavailable, NoHostAvailable)) as caught:
        session.execute(quorum)
    (refused,) = getattr(caught.value, "errors", {None: caught.value}).values()
    assert (refused.required_replicas, refused.alive_replicas) == (2, 1)


def test_a_factor_for_all_datacenters_becomes_one_for_each(session: Any, other: str) -> None:
    session.execute(
        f"CREATE KEYSPACE {other} WITH replication = "
        "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
    )
    assert replication(session, other) == {
        "class": STRATEGY + "NetworkTopologyStrategy",
        "datacenter1": "1",
    }


@pytest.mark.parametrize("name", ["EverywhereStrategy", STRATEGY + "EverywhereStrategy"])
def test_a_keyspace_may_be_everywhere(session: Any, other: str, name: str) -> None:
    session.execute(f"CREATE KEYSPACE {other} WITH replication = {{'class': '{name}'}}")
    assert replication(session, other) == {"class": STRATEGY + "EverywhereStrategy"}
    session.execute(f"CREATE TABLE {other}.t (k int PRIMARY KEY)")
    for key, level in enumerate((ConsistencyLevel.ALL, ConsistencyLevel.QUORUM)):
        insert = f"INSERT INTO {other}.t (k) VALUES ({key})"
        session.execute(SimpleStatement(insert, consistency_level=level))
    assert len(session.execute(f"SELECT * FROM {other}.t").all()) == 2
    made = session.execute(f"DESCRIBE KEYSPACE {other}").one().create_statement
    session.execute(f"DROP KEYSPACE {other}")
    session.execute(made)
    assert replication(session, other) == {"class": STRATEGY + "EverywhereStrategy"}


@pytest.mark.parametrize(
    "options",
    [
        "{'class': 'EverywhereStrategy', 'replication_factor': 1}",
        "{'class': 'NetworkTopologyStrategy', 'nowhere': 1}",
        "{'class': 'LocalStrategy'}",
        "{'class': 'NoSuchStrategy', 'replication_factor': 1}",
        "{'class': 'SimpleStrategy', 'replication_factor': 'x'}",
    ],
)
def test_a_wrong_replication_is_refused(session: Any, other: str, options: str) -> None:
    with pytest.raises((ConfigurationException, InvalidRequest)):
        session.execute(f"CREATE KEYSPACE {other} WITH replication = {options}")


def test_an_altered_replication_is_seen_at_once_and_warns_to_repair(
    session: Any, other: str
) -> None:
    session.execute(f"CREATE KEYSPACE {other} WITH replication = {SIMPLE}")
    more = SIMPLE.replace("1", "2")
    said = warnings_of(session, f"ALTER KEYSPACE {other} WITH replication = {more}")
    assert "When increasing replication factor you need to run a full (-full) repair" in said
    assert replication(session, other)["replication_factor"] == "2"
    session.execute(f"ALTER KEYSPACE IF EXISTS {other}_no WITH durable_writes = false")


def test_a_connection_outlives_the_keyspace_it_is_in(node: Any, session: Any, other: str) -> None:
    session.execute(f"CREATE KEYSPACE {other} WITH replication = {SIMPLE}")
    cluster = node.cluster()
    inside = cluster.connect(other)
    inside.execute("CREATE TABLE t (k int PRIMARY KEY)")
    inside.execute(f"DROP KEYSPACE {other}")
    with pytest.raises(InvalidRequest, match="does not exist"):
        inside.execute("SELECT * FROM t")
    assert inside.execute("SELECT key FROM system.local").one().key == "local"
    inside.execute(f"USE {session.keyspace}")
    cluster.shutdown()


@pytest.mark.parametrize(
    "columns",
    [
        "k int PRIMARY KEY, s int STATIC",
        "k list<int> PRIMARY KEY",
        "k int, c map<int, int>, PRIMARY KEY (k, c)",
        "k int, c int, d int, PRIMARY KEY (k, c, d)) WITH CLUSTERING ORDER BY (d ASC, c ASC",
        "k int, c int, PRIMARY KEY (k, c)) WITH CLUSTERING ORDER BY (nosuch ASC",
        "k int PRIMARY KEY, n counter, v int",
        "k int PRIMARY KEY, d duration, PRIMARY KEY (d)",
        "k duration PRIMARY KEY",
    ],
)
def test_a_table_that_cannot_be_is_refused(session: Any, columns: str) -> None:
    with pytest.raises(InvalidRequest):
        session.execute(f"CREATE TABLE t ({columns})")


def test_all_ways_to_write_a_primary_key(session: Any) -> None:
    session.execute("CREATE COLUMNFAMILY t1 (k int PRIMARY KEY)")
    session.execute("CREATE TABLE t2 (k int, PRIMARY KEY (k))")
    session.execute("CREATE TABLE t3 (k int, c int, s int STATIC, PRIMARY KEY ((k), c),)")
    session.execute("CREATE TABLE IF NOT EXISTS t3 (k int PRIMARY KEY)")
    session.execute("CREATE TABLE t4 (k int, l int, c int, PRIMARY KEY ((k, l), c))")


def test_a_descending_column_turns_the_order_of_rows(session: Any) -> None:
    session.execute(
        "CREATE TABLE t (k int, c int, d int, PRIMARY KEY (k, c, d)) "
        "WITH CLUSTERING ORDER BY (c DESC, d ASC)"
    )
    for c in (1, 2):
        for d in (1, 2):
            session.execute("INSERT INTO t (k, c, d) VALUES (1, %s, %s)", (c, d))
    order = [(2, 1), (2, 2), (1, 1), (1, 2)]
    assert [tuple(row) for row in session.execute("SELECT c, d FROM t WHERE k = 1")] == order
    turned = session.execute("SELECT c, d FROM t WHERE k = 1 ORDER BY c ASC, d DESC")
    assert [tuple(row) for row in turned] == order[::-1]


def test_a_dropped_name_comes_back_only_with_a_type_that_fits(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v int, w list<int>)")
    session.execute("ALTER TABLE t ADD (a int, b text)")
    session.execute("ALTER TABLE t ADD IF NOT EXISTS a int")
    session.execute("ALTER TABLE t DROP (v, w)")
    session.execute("ALTER TABLE t DROP IF EXISTS v")
    with pytest.raises(InvalidRequest, match="incompatible with previously dropped column 'v'"):
        session.execute("ALTER TABLE t ADD v text")
    with pytest.raises(InvalidRequest, match="incompatible with previously dropped column 'w'"):
        session.execute("ALTER TABLE t ADD w set<int>")
    session.execute("ALTER TABLE t ADD v int")


def test_what_was_written_before_a_drop_never_comes_back(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v int)")
    session.execute("INSERT INTO t (k, v) VALUES (1, 1)")
    session.execute("ALTER TABLE t DROP v")
    found = session.execute(
        "SELECT column_name, type FROM system_schema.dropped_columns WHERE keyspace_name = %s",
        (session.keyspace,),
    )
    assert [tuple(row) for row in found] == [("v", "int")]
    session.execute("ALTER TABLE t ADD v int")
    assert tuple(session.execute("SELECT k, v FROM t").one()) == (1, None)
    session.execute("INSERT INTO t (k, v) VALUES (1, 2)")
    assert session.execute("SELECT v FROM t").one().v == 2


@pytest.mark.parametrize(
    ("name", "value", "shown"), OPTIONS, ids=[f"{n}={v[:22]}" for n, v, _ in OPTIONS]
)
def test_an_option_is_changed_on_a_living_table_and_shown(
    session: Any, name: str, value: str, shown: Any
) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v int)")
    session.execute("INSERT INTO t (k, v) VALUES (1, 1)")
    session.execute(f"ALTER TABLE t WITH {name} = {value}")
    got = option(session, name)
    assert got == shown or (isinstance(shown, dict) and shown.items() <= got.items())
    made = session.execute("DESCRIBE TABLE t").one().create_statement
    assert f" {name} = " in made
    session.execute("INSERT INTO t (k, v) VALUES (2, 1)")
    assert len(session.execute("SELECT * FROM t").all()) == 2
    session.execute("DROP TABLE t")
    session.execute(made)
    assert option(session, name) == got


@pytest.mark.parametrize("key", COMPACTION)
def test_an_option_of_all_compactions_is_kept(session: Any, key: str) -> None:
    compaction = f"{{'class': 'SizeTieredCompactionStrategy', '{key}': '{COMPACTION[key]}'}}"
    session.execute(f"CREATE TABLE t (k int PRIMARY KEY) WITH compaction = {compaction}")
    assert option(session, "compaction")[key] == COMPACTION[key]


@pytest.mark.parametrize("class_name", ["LZ4", "Snappy", "Deflate", "Zstd", "Noop"])
def test_a_compressor_of_cassandra_may_be_named(session: Any, class_name: str) -> None:
    compression = f"{{'class': '{class_name}Compressor'}}"
    session.execute(f"CREATE TABLE t (k int PRIMARY KEY) WITH compression = {compression}")
    assert option(session, "compression")["class"].endswith(f".{class_name}Compressor")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("compaction = {'class': 'SizeTieredCompactionStrategy', 'nosuch': 1}", "nosuch"),
        ("compression = {'class': 'LZ4Compressor', 'nosuch': 1}", "nosuch"),
        ("default_time_to_live = 630720001", "default_time_to_live"),
        ("gc_grace_seconds = -1", "gc_grace_seconds"),
        ("caching = {'keys': 'SOME'}", "SOME"),
        ("bloom_filter_fp_chance = 0", "bloom_filter_fp_chance"),
        ("read_repair = 'MAYBE'", "MAYBE"),
    ],
)
def test_a_wrong_option_is_refused_by_name(session: Any, options: str, named: str) -> None:
    with pytest.raises((ConfigurationException, InvalidRequest), match=named):
        session.execute(f"CREATE TABLE t (k int PRIMARY KEY) WITH {options}")


def test_a_time_to_live_of_the_table_yields_to_the_statements(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v int) WITH default_time_to_live = 1000")
    session.execute("INSERT INTO t (k, v) VALUES (1, 1)")
    session.execute("INSERT INTO t (k, v) VALUES (2, 1) USING TTL 10")
    session.execute("INSERT INTO t (k, v) VALUES (3, 1) USING TTL 0")
    found = dict(tuple(row) for row in session.execute("SELECT k, ttl(v) FROM t"))
    assert 10 < found[1] <= 1000 and 0 < found[2] <= 10 and found[3] is None


@pytest.mark.parametrize(
    "options",
    [
        "read_repair_chance = 0.1",
        "dclocal_read_repair_chance = 0.1",
        "index_interval = 128",
        "replicate_on_write = true",
        "populate_io_cache_on_flush = true",
    ],
)
def test_an_option_of_old_releases_is_ignored_with_a_warning(session: Any, options: str) -> None:
    said = warnings_of(session, f"CREATE TABLE t (k int PRIMARY KEY) WITH {options}")
    assert options.split()[0] in said
    assert option(session, "read_repair_chance") == 0.0
    assert option(session, "dclocal_read_repair_chance") == 0.0


def test_a_flush_period_is_obeyed(session: Any, node: NodeProcess) -> None:
    session.execute(
        "CREATE TABLE t (k int PRIMARY KEY, v int) WITH memtable_flush_period_in_ms = 1000"
    )
    session.execute("INSERT INTO t (k, v) VALUES (1, 1)")
    until = time.monotonic() + 30
    while not list(node.directory.glob(f"shard-*/tables/{session.keyspace}.t-*/*.sst")):
        assert time.monotonic() < until, "the memtable is flushed soon after its period"
        time.sleep(0.05)
    assert session.execute("SELECT v FROM t").one().v == 1


def test_truncate_empties_and_drop_forgets(session: Any) -> None:
    session.execute("CREATE TABLE t (k int PRIMARY KEY)")
    for text in ("TRUNCATE t", "TRUNCATE TABLE t"):
        session.execute("INSERT INTO t (k) VALUES (1)")
        session.execute(text)
        assert session.execute("SELECT * FROM t").all() == []
    session.execute("DROP TABLE t")
    session.execute("DROP TABLE IF EXISTS t")
    with pytest.raises(InvalidRequest, match="does not exist"):
        session.execute("SELECT * FROM t")


def test_a_field_that_a_type_gets_is_null_in_older_values(session: Any) -> None:
    session.execute("CREATE TYPE u (a int, b int)")
    session.execute("CREATE TABLE t (k int PRIMARY KEY, f frozen<u>, v u)")
    session.execute("INSERT INTO t (k, f, v) VALUES (1, {a: 1, b: 2}, {a: 3, b: 4})")
    session.execute("ALTER TYPE u ADD c text")
    session.execute("ALTER TYPE u RENAME a TO aa AND b TO bb")
    found = session.execute("SELECT f.aa, f.bb, f.c, v.aa, v.bb, v.c FROM t").one()
    assert tuple(found) == (1, 2, None, 3, 4, None)
    with pytest.raises(InvalidRequest, match="Cannot drop user type"):
        session.execute("DROP TYPE u")
    session.execute("DROP TABLE t")
    session.execute("DROP TYPE u")


def test_names_are_bounded_and_plain(session: Any) -> None:
    with pytest.raises(InvalidRequest, match="must not be more than 48 characters long"):
        session.execute(f"CREATE KEYSPACE {'k' * 49} WITH replication = {SIMPLE}")
    session.execute(f"CREATE TABLE {'t' * 100} (k int PRIMARY KEY)")
    for name in ("t" * 223, '"a-b"', '"ä"'):
        with pytest.raises((InvalidRequest, ConfigurationException)):
            session.execute(f"CREATE TABLE {name} (k int PRIMARY KEY)")
