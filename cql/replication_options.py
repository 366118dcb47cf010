"""`replication = {...}` of a keyspace: checked against the datacenters, and written out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from cql.errors import ConfigurationError, InvalidRequest

PACKAGE: Final = "org.apache.cassandra.locator."
CLASS: Final = "class"
FACTOR: Final = "replication_factor"
SIMPLE: Final = PACKAGE + "SimpleStrategy"
NETWORK: Final = PACKAGE + "NetworkTopologyStrategy"
LOCAL: Final = PACKAGE + "LocalStrategy"
EVERYWHERE: Final = PACKAGE + "EverywhereStrategy"


def build_replication(
    keyspace: str,
    given: Mapping[str, str],
    datacenters: Mapping[str, int],
    default_factor: int,
    previous: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The options to store: the full class name first, factors as text, one per datacenter where
    there is one each.

    `datacenters` gives the number of nodes by name; `previous` the options before an ALTER.
    """
    class_name = given.get(CLASS)
    if class_name is None:
        raise ConfigurationError("Missing replication strategy class")
    full = class_name if "." in class_name else PACKAGE + class_name
    rest = {key: value for key, value in given.items() if key != CLASS}
    if full == LOCAL:
        raise InvalidRequest(
            "Unable to use given strategy class: LocalStrategy is reserved for internal use."
        )
    if full == SIMPLE:
        options = _simple(keyspace, rest, default_factor)
    elif full == NETWORK:
        options = _network(keyspace, rest, datacenters, default_factor, previous)
    elif full == EVERYWHERE:
        _refuse_unknown(keyspace, full, rest)
        options = {}
    else:
        raise ConfigurationError(f"Unable to find replication strategy class '{full}'")
    return {CLASS: full, **options}


def warnings_of(
    keyspace: str, replication: Mapping[str, str], datacenters: Mapping[str, int]
) -> tuple[str, ...]:
    """More replicas wanted than there are nodes is allowed, and unwise."""
    if replication[CLASS] == SIMPLE:
        factor, nodes = int(replication[FACTOR]), sum(datacenters.values())
        if factor <= nodes:
            return ()
        return (
            f"Your replication factor {factor} for keyspace {keyspace} is higher than "
            f"the number of nodes {nodes}",
        )
    return tuple(
        f"Your replication factor {factor} for keyspace {keyspace} is higher than "
        f"the number of nodes {datacenters.get(name, 0)} for datacenter {name}"
        for name, factor in replication.items()
        if name != CLASS and int(factor) > datacenters.get(name, 0)
    )


def total_factor(replication: Mapping[str, str], nodes: int) -> int:
    """Number of replicas of every partition."""
    if replication[CLASS] == EVERYWHERE:
        return nodes
    return sum(int(factor) for name, factor in replication.items() if name != CLASS)


def _simple(keyspace: str, given: dict[str, str], default_factor: int) -> dict[str, str]:
    factor = _factor(given.pop(FACTOR, str(default_factor)))
    _refuse_unknown(keyspace, SIMPLE, given)
    return {FACTOR: factor}


def _network(
    keyspace: str,
    given: dict[str, str],
    datacenters: Mapping[str, int],
    default_factor: int,
    previous: Mapping[str, str] | None,
) -> dict[str, str]:
    """`replication_factor` is for every datacenter not named; an ALTER with it keeps what the
    others had.
    """
    everywhere = given.pop(FACTOR, None if given else str(default_factor))
    options = {name: _factor(text) for name, text in given.items()}
    if everywhere is not None:
        factor = _factor(everywhere)
        if previous is not None and previous.get(CLASS) == NETWORK:
            for name, text in previous.items():
                if name != CLASS:
                    options.setdefault(name, text)
        for name in sorted(datacenters):
            options.setdefault(name, factor)
    unknown = {name: text for name, text in options.items() if name not in datacenters}
    _refuse_unknown(keyspace, NETWORK, unknown)
    kept = {name: options[name] for name in sorted(options) if int(options[name]) > 0}
    if not kept:
        raise ConfigurationError("Configuration for at least one datacenter must be present")
    return kept


def _factor(text: str) -> str:
    if "/" in text:
        raise ConfigurationError(
            "Transient replication is disabled. Enable in cassandra.yaml to use."
        )
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise ConfigurationError(f'For input string: "{text}"')
    number = int(text)
    if number < 0:
        raise ConfigurationError(f"Replication factor must be non-negative, found {number}")
    return str(number)


def _refuse_unknown(keyspace: str, strategy: str, options: Mapping[str, str]) -> None:
    if options:
        names = ", ".join(options)
        raise ConfigurationError(
            f"Unrecognized strategy option {{{names}}} passed to {strategy.removeprefix(PACKAGE)} "
            f"for keyspace {keyspace}"
        )
