"""How the tests are divided when several workers run them: by files, the long ones first.

A file stays on one worker, since its tests share nodes and other things that are costly to make.
The tests of `DIVIDED` share nothing and are long: each of them may go to another worker. Files of
`MEASURING` hold their breath while they look at times, memory or CPU: one worker runs all of them,
one after the other. What a worker has next to do is decided when it has nearly nothing left.
"""

from __future__ import annotations

from typing import Any

import pytest

DIVIDED = (
    "tests/sim/test_simulation.py",
    "tests/storage/test_crash_states.py",
    "tests/sim/test_model.py",
    "tests/torture/test_kill.py",
    "tests/torture/test_power_cut.py",
    "tests/storage/test_cache_model.py",
    "tests/torture/test_bit_rot.py",
    "tests/torture/test_bit_rot_of_small_files.py",
    "tests/storage/test_engine_crashes.py",
    "tests/storage/test_io_errors.py",
    "tests/storage/test_short_io.py",
)
MEASURING = (
    "tests/torture/test_resources.py",
    "tests/torture/test_pressure.py",
    "tests/torture/test_page_cache.py",
    "tests/driver/test_protocol_facts.py",
    "tests/driver/test_system_facts.py",
)
LONG = (
    *MEASURING,
    *DIVIDED,
    "tests/driver/test_nodetool.py",
    "tests/fuzz/test_fuzz_frames.py",
    "tests/fuzz/test_cql_text.py",
    "tests/driver/test_golden_cqlsh.py",
    "tests/storage/test_cache_plants.py",
    "tests/driver/test_shard_aware_driver.py",
    "tests/planted/test_planted.py",
    "tests/torture/test_disk_full.py",
    "tests/torture/test_start_and_stop.py",
)
"""What takes more than some 15 seconds begins first, so that no worker is alone at the end; what
measures has a simulation beside it, which takes one core and no disk."""


def is_worker(config: pytest.Config) -> bool:
    """Whether this process runs tests for a controller."""
    return hasattr(config, "workerinput")


def part(test: str) -> str:
    """The part of the run to which a test belongs, which one worker runs from end to end."""
    file = test.partition("::")[0]
    if file in MEASURING:
        return "measuring"
    return test if file in DIVIDED else file


def turn(test: str) -> int:
    """When a test is to begin; those of the same turn begin in their order."""
    file = test.partition("::")[0]
    return LONG.index(file) if file in LONG else len(LONG)


def scheduler(config: pytest.Config, log: Any) -> Any:
    """Hands the parts to the workers, in the order of the tests."""
    from xdist.scheduler import LoadScopeScheduling

    class Parts(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return part(nodeid)

    config.option.loadscopereorder = False
    return Parts(config, log)
