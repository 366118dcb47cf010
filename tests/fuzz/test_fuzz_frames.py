"""The quick share of the frame fuzzer."""

from __future__ import annotations

from tests.fuzz.fuzz_frames import QUICK_COUNT, fuzz


def test_mutated_frames_neither_crash_nor_hang_nor_fill_memory() -> None:
    tally = fuzz(QUICK_COUNT, seed=0)
    assert tally.inputs == QUICK_COUNT, tally
    assert tally.requests > QUICK_COUNT // 10, tally
    assert {0, 2, 6, 8} <= tally.opcodes, tally
