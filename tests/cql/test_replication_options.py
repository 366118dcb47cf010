"""Tests cql/replication_options."""

from __future__ import annotations

import pytest

from cql.errors import ConfigurationError, CqlError, InvalidRequest
from cql.replication_options import (
    EVERYWHERE,
    NETWORK,
    SIMPLE,
    build_replication,
    total_factor,
    warnings_of,
)

DATACENTERS = {"dc1": 3, "dc2": 1}


def built(given: dict[str, str], previous: dict[str, str] | None = None) -> dict[str, str]:
    return build_replication("k", given, DATACENTERS, 1, previous)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"class": "SimpleStrategy"}, {"class": SIMPLE, "replication_factor": "1"}),
        (
            {"class": SIMPLE, "replication_factor": "03"},
            {"class": SIMPLE, "replication_factor": "3"},
        ),
        (
            {"class": "NetworkTopologyStrategy", "replication_factor": "2"},
            {"class": NETWORK, "dc1": "2", "dc2": "2"},
        ),
        (
            {"class": NETWORK, "replication_factor": "2", "dc2": "1"},
            {"class": NETWORK, "dc1": "2", "dc2": "1"},
        ),
        ({"class": NETWORK, "dc2": "1"}, {"class": NETWORK, "dc2": "1"}),
        ({"class": NETWORK, "dc1": "0", "dc2": "1"}, {"class": NETWORK, "dc2": "1"}),
        ({"class": NETWORK}, {"class": NETWORK, "dc1": "1", "dc2": "1"}),
        ({"class": "EverywhereStrategy"}, {"class": EVERYWHERE}),
    ],
)
def test_options_are_written_out(given: dict[str, str], expected: dict[str, str]) -> None:
    assert built(given) == expected


def test_a_factor_for_all_keeps_what_datacenters_had() -> None:
    previous = {"class": NETWORK, "dc1": "3"}
    after = built({"class": NETWORK, "replication_factor": "1"}, previous)
    assert after == {"class": NETWORK, "dc1": "3", "dc2": "1"}


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({}, ConfigurationError, "Missing replication strategy class"),
        (
            {"class": "X"},
            ConfigurationError,
            "Unable to find replication strategy class 'org.apache.cassandra.locator.X'",
        ),
        (
            {"class": "LocalStrategy"},
            InvalidRequest,
            "Unable to use given strategy class: LocalStrategy is reserved for internal use.",
        ),
        (
            {"class": "NetworkTopologyStrategy", "nosuchdc": "1"},
            ConfigurationError,
            "Unrecognized strategy option {nosuchdc} passed to NetworkTopologyStrategy "
            "for keyspace k",
        ),
        (
            {"class": "SimpleStrategy", "dc1": "1"},
            ConfigurationError,
            "Unrecognized strategy option {dc1} passed to SimpleStrategy for keyspace k",
        ),
        (
            {"class": "SimpleStrategy", "replication_factor": "x"},
            ConfigurationError,
            'For input string: "x"',
        ),
        (
            {"class": "SimpleStrategy", "replication_factor": "-1"},
            ConfigurationError,
            "Replication factor must be non-negative, found -1",
        ),
    ],
)
def test_wrong_options_are_refused(
    given: dict[str, str], kind: type[CqlError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        built(given)
    assert caught.value.message == message


def test_more_replicas_than_nodes_is_a_warning() -> None:
    assert warnings_of("k", {"class": SIMPLE, "replication_factor": "4"}, DATACENTERS) == ()
    assert warnings_of("k", {"class": SIMPLE, "replication_factor": "5"}, DATACENTERS) == (
        "Your replication factor 5 for keyspace k is higher than the number of nodes 4",
    )
    assert warnings_of("k", {"class": NETWORK, "dc1": "3", "dc2": "2"}, DATACENTERS) == (
        "Your replication factor 2 for keyspace k is higher than the number of nodes 1 "
        "for datacenter dc2",
    )


def test_replicas_of_all_datacenters_count() -> None:
    assert total_factor({"class": NETWORK, "dc1": "3", "dc2": "2"}, 4) == 5
    assert total_factor({"class": EVERYWHERE}, 4) == 4
