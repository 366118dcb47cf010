"""The answer to OPTIONS: what it tells whom."""

from __future__ import annotations

from uuid import UUID

import pytest

from node.supported import Seat, supported

HOST_ID = UUID(int=7)
AWARE = "SCYLLA_SHARD_AWARE_PORT"


@pytest.mark.parametrize(
    ("client", "gateway", "is_told"),
    [
        ("10.0.0.5", None, True),
        ("10.0.0.5", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.1", False),
    ],
)
def test_a_client_that_comes_through_the_gateway_hears_of_no_shard_aware_port(
    client: str, gateway: str | None, is_told: bool
) -> None:
    told = supported(Seat(1, 3, HOST_ID, 19042, gateway), client)
    assert (told.get(AWARE) == ("19042",)) == is_told
    assert (told["SCYLLA_SHARD"], told["SCYLLA_NR_SHARDS"]) == (("1",), ("3",))


def test_without_a_shard_aware_port_there_is_none_to_tell_of() -> None:
    assert AWARE not in supported(Seat(0, 1, HOST_ID, None, None), "127.0.0.1")
