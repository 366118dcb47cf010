"""Which nodes hold a token, and how many of them must answer."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.consistency import Consistency, quorum
from cluster.replication import ReplicationError, strategy_of
from cluster.ring import TOKEN_MAX, TOKEN_MIN, Ring
from cluster.topology import Node, Topology, single_node

Shape = list[tuple[str, str, list[int]]]


def ring_of(shape: Shape) -> Topology:
    """Nodes 1, 2, 3... with datacenter, rack and tokens."""
    nodes = tuple(
        Node(UUID(int=number), f"10.0.0.{number}", 7000, dc, rack, tuple(sorted(tokens)), 2)
        for number, (dc, rack, tokens) in enumerate(shape, 1)
    )
    return Topology(1, nodes[0], nodes)


def numbers(nodes: tuple[Node, ...]) -> list[int]:
    return [node.host_id.int for node in nodes]


def simple(factor: int) -> dict[str, str]:
    return {"class": "SimpleStrategy", "replication_factor": str(factor)}


THREE = ring_of([("dc1", "r1", [0, 300]), ("dc1", "r1", [100]), ("dc1", "r1", [200])])
TWO_DCS = ring_of(
    [
        ("dc1", "r1", [0]),
        ("dc1", "r1", [10]),
        ("dc1", "r2", [20]),
        ("dc2", "r1", [5]),
        ("dc2", "r1", [15]),
    ]
)


def test_a_token_belongs_to_the_first_node_token_that_is_not_smaller() -> None:
    ring = Ring(THREE)
    expected = {TOKEN_MIN: 1, 0: 1, 1: 2, 100: 2, 101: 3, 200: 3, 201: 1, 300: 1, 301: 1}
    expected[TOKEN_MAX] = 1
    assert {token: ring.primary(token).host_id.int for token in expected} == expected


def test_simple_strategy_takes_the_next_nodes_once_each() -> None:
    assert numbers(strategy_of(simple(2), THREE).replicas(50)) == [2, 3]
    assert numbers(strategy_of(simple(2), THREE).replicas(250)) == [1, 2]
    assert numbers(strategy_of(simple(5), THREE).replicas(50)) == [2, 3, 1]


def test_network_topology_strategy_prefers_racks_it_has_not_used() -> None:
    options = {"class": "NetworkTopologyStrategy", "dc1": "2", "dc2": "1"}
    replication = strategy_of(options, TWO_DCS)
    # From token 0 on: 1 (r1), 4 (dc2), 2 shares the rack of 1 and is passed over, 3 (r2).
    assert numbers(replication.replicas(0)) == [1, 4, 3]
    everywhere = strategy_of({"class": "NetworkTopologyStrategy", "dc1": "3"}, TWO_DCS)
    assert numbers(everywhere.replicas(0)) == [1, 2, 3]
    assert replication.factor() == 3
    assert (replication.factor("dc1"), replication.factor("dc3")) == (2, 0)


def test_everywhere_strategy_takes_every_node_of_every_datacenter() -> None:
    replication = strategy_of({"class": "EverywhereStrategy"}, TWO_DCS)
    assert numbers(replication.replicas(12)) == [5, 3, 1, 4, 2]
    assert (replication.factor(), replication.factor("dc1"), replication.factor("dc3")) == (5, 3, 0)
    assert replication.block_for(Consistency.QUORUM) == 3
    assert replication.block_for(Consistency.ALL) == 5


def test_levels_count_from_the_factor() -> None:
    replication = strategy_of(
        {"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", "dc1": "3", "dc2": "5"},
        TWO_DCS,
    )
    expected = {
        Consistency.ANY: 1,
        Consistency.ONE: 1,
        Consistency.TWO: 2,
        Consistency.THREE: 3,
        Consistency.QUORUM: 5,
        Consistency.ALL: 8,
        Consistency.LOCAL_QUORUM: 2,
        Consistency.EACH_QUORUM: 5,
        Consistency.SERIAL: 5,
        Consistency.LOCAL_SERIAL: 2,
        Consistency.LOCAL_ONE: 1,
        Consistency.NODE_LOCAL: 1,
    }
    assert {level: replication.block_for(level) for level in Consistency} == expected
    flat = strategy_of(simple(3), TWO_DCS)
    assert flat.block_for(Consistency.LOCAL_QUORUM) == 2
    assert flat.block_for(Consistency.EACH_QUORUM) == 2


def test_the_owner_alone_satisfies_levels_only_on_a_single_node() -> None:
    assert strategy_of(simple(1), THREE).local_levels == frozenset()
    alone = single_node(THREE.local)
    levels = strategy_of(simple(1), alone).local_levels
    assert {Consistency.ONE, Consistency.QUORUM, Consistency.ALL} <= levels
    assert not {Consistency.SERIAL, Consistency.LOCAL_SERIAL, Consistency.TWO} & levels
    assert Consistency.QUORUM not in strategy_of(simple(3), alone).local_levels
    elsewhere = {"class": "NetworkTopologyStrategy", "dc9": "1"}
    assert strategy_of(elsewhere, alone).local_levels == frozenset()


@pytest.mark.parametrize(
    "options",
    [{}, {"class": "NoStrategy"}, simple(-1), {"class": "SimpleStrategy"}, simple(10**6)],
)
def test_options_that_describe_nothing_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ReplicationError):
        strategy_of(options, THREE)


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    count = draw(st.integers(1, 9))
    tokens = draw(st.lists(st.integers(-1000, 1000), unique=True, min_size=count, max_size=40))
    return ring_of(
        [
            (
                draw(st.sampled_from(["dc1", "dc2"])),
                draw(st.sampled_from(["r1", "r2", "r3"])),
                tokens[number::count],
            )
            for number in range(count)
        ]
    )


@given(topologies(), st.integers(1, 4), st.integers(-1100, 1100))
def test_replicas_are_distinct_and_as_many_as_there_can_be(
    topology: Topology, factor: int, token: int
) -> None:
    names = topology.datacenters()
    options = {"class": "NetworkTopologyStrategy"} | {dc: str(factor) for dc in names}
    replicas = strategy_of(options, topology).replicas(token)
    assert len(set(numbers(replicas))) == len(replicas)
    for dc in names:
        nodes = topology.nodes_of(dc)
        chosen = [node for node in replicas if node.dc == dc]
        assert len(chosen) == min(factor, len(nodes))
        racks = {node.rack for node in nodes}
        assert len({node.rack for node in chosen}) == min(len(racks), len(chosen))


@given(topologies(), st.integers(TOKEN_MIN + 1, TOKEN_MAX))
def test_every_token_lies_in_one_range_of_its_owner(topology: Topology, token: int) -> None:
    ring = Ring(topology)
    holding = [node for held, node in ring.ranges() if held.contains(token)]
    assert holding == [ring.primary(token)]


@given(st.integers(0, 100))
def test_two_quorums_meet(replicas: int) -> None:
    assert 2 * quorum(replicas) > replicas
