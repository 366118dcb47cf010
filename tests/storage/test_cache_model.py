"""The engine with its row cache against the obvious model, with reads in flight on a slow disk."""

from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from storage import fill, pace
from storage.slice import Slice
from tests.model.encoding import TABLE_ID
from tests.model.table import CellWrite
from tests.storage.cache_machine import (
    FEW,
    KEY,
    CacheMachine,
    ContentMachine,
    FlightMachine,
    FlushMachine,
    PurgingCacheMachine,
    SmallCacheMachine,
    WarmthMachine,
    narrow,
)

MACHINES: Final = (
    CacheMachine,
    FlushMachine,
    FlightMachine,
    WarmthMachine,
    ContentMachine,
    SmallCacheMachine,
    PurgingCacheMachine,
)
QUICK: Final = 20
LONG: Final = 1_000


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushes rest after every partition, and after a few rows of one."""
    monkeypatch.setattr(pace, "SLICE_BYTES", 1)
    monkeypatch.setattr(fill, "ABSORB_ROWS", 2)


@pytest.mark.parametrize("machine", [*MACHINES, *map(narrow, MACHINES)])
def test_the_cache_gives_what_the_files_would(
    machine: type[CacheMachine], request: pytest.FixtureRequest
) -> None:
    is_long = request.config.getoption("--long")
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=LONG if is_long else QUICK,
            stateful_step_count=25,
            deadline=None,
            # A failure is shown as it was found: to make it smaller takes minutes.
            phases=[Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_what_another_read_has_cached_meanwhile_is_not_read_again(reverse: bool) -> None:
    machine = CacheMachine()
    machine.begin(chunk_bytes=1, read_bytes=1 << 30, is_empty=False)
    machine.put([CellWrite(KEY, FEW[1], 1, None, 3, b"b")])
    machine.runner.run(machine.engine.flush())
    machine.read_now(Slice(TABLE_ID, key=KEY, ranges=((FEW[1], FEW[2]),)))
    ranges = ((b"\x01", FEW[3]),)
    wanted = Slice(TABLE_ID, key=KEY, ranges=ranges, reverse=reverse)
    for _ in range(2):
        machine.take_off(machine.pages(wanted), wanted)
    late = machine.flights.pop()
    gate = machine.gated.gates.pop(late.task)
    machine.land()
    machine.flights, machine.gated.gates[late.task] = [late], gate
    machine.land()
    machine.teardown()
