"""No timestamp is made twice, whatever happens to the process, the machine and its clock."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from node.ceiling import MARGIN_US, RECORDS_MAX, STEP_US, Ceiling
from node.clock import Clock
from storage.memory_disk import MemoryDisk
from tests.sim.disk import SimulatedDisk

DIRECTORY = "data/shard-0"


class Life:
    """A clock under its ceiling, on a machine whose wall clock the test sets."""

    def __init__(self, ceiling: Ceiling) -> None:
        self.wall_us = 0
        self.ceiling = ceiling
        self.clock = Clock(time_ns=lambda: self.wall_us * 1000)
        self.clock.keep_after(ceiling.found_us)
        self.clock.keep_under(ceiling.pass_to)

    @classmethod
    async def begin(cls, disk: SimulatedDisk | MemoryDisk, boot: bytes = b"one") -> Life:
        ceiling = await Ceiling.open(disk, DIRECTORY, boot)
        await ceiling.begin()
        return cls(ceiling)

    def make(self, wall_us: int) -> int:
        self.wall_us = wall_us
        return self.clock.next_timestamp_us()


def test_a_killed_shard_makes_no_timestamp_again_when_the_clock_went_back() -> None:
    async def scenario() -> None:
        disk = SimulatedDisk(Random(1))
        made = [(await Life.begin(disk)).make(50_000_000)]
        for wall_us in (49_000_000, 1, 60_000_000, 59_999_000):
            disk = disk.restart(power_cut=False)
            life = await Life.begin(disk)
            made += [life.make(wall_us), life.make(wall_us + 5 * STEP_US), life.make(wall_us)]
        assert made == sorted(set(made))

    asyncio.run(scenario())


def test_a_clock_that_is_right_is_at_most_one_step_ahead_after_a_kill() -> None:
    async def scenario() -> None:
        disk = SimulatedDisk(Random(1))
        before = (await Life.begin(disk)).make(50_000_000)
        after = (await Life.begin(disk.restart(power_cut=False))).make(50_000_001)
        assert before < after <= before + STEP_US + 1

    asyncio.run(scenario())


def test_a_step_back_in_one_life_is_harmless() -> None:
    async def scenario() -> None:
        life = await Life.begin(MemoryDisk())
        made = [life.make(wall_us) for wall_us in (9_000_000, 10, 9_000_000, 8_999_999)]
        assert made == sorted(set(made))

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(40))
def test_power_cuts_and_clock_steps_repeat_no_timestamp(seed: int) -> None:
    async def scenario() -> None:
        random = Random(seed)
        disk, wall_us, highest, synced_us = SimulatedDisk(random), 10**15, 0, 0
        for boot in range(6):
            life = await Life.begin(disk, b"%d" % boot)
            for _ in range(random.randint(1, 200)):
                wall_us += random.randint(1, 400_000)
                made = life.make(wall_us)
                assert made > highest, "a timestamp came twice, or went back"
                highest = made
                if wall_us - synced_us > MARGIN_US // 5 and life.ceiling.wants_sync:
                    await life.ceiling.sync()
                    synced_us = wall_us
            wall_us -= random.choice((0, 10_000_000, 3_600_000_000))
            synced_us = min(synced_us, wall_us)
            disk = disk.restart(power_cut=True)

    asyncio.run(scenario())


def test_the_file_stays_small_and_its_newest_record_is_never_overwritten() -> None:
    async def scenario() -> None:
        disk = SimulatedDisk(Random(1))
        life = await Life.begin(disk)
        for number in range(5 * RECORDS_MAX):
            last = life.make((number + 1) * 2 * STEP_US)
            if number % 3 == 0:
                await life.ceiling.sync()
        assert len(disk.content(f"{DIRECTORY}/clock")) < 200_000
        again = await Life.begin(disk.restart(power_cut=False))
        assert again.make(1) > last

    asyncio.run(scenario())


def test_a_damaged_record_is_not_believed() -> None:
    async def scenario() -> None:
        disk = SimulatedDisk(Random(1))
        life = await Life.begin(disk)
        life.make(5_000_000)
        disk.overwrite(f"{DIRECTORY}/clock", 4, b"\xff\xff")
        again = await Life.begin(disk.restart(power_cut=False))
        assert again.ceiling.found_us == 0
        damage = again.ceiling.damage
        assert damage is not None and (damage.path, damage.offset) == (f"{DIRECTORY}/clock", 0)

    asyncio.run(scenario())


def test_damage_is_told_once_and_the_ceiling_is_taken_for_lost() -> None:
    async def scenario() -> None:
        disk = SimulatedDisk(Random(1))
        life = await Life.begin(disk)
        for number in range(1, 30):
            last = life.make(number * 10 * STEP_US)
        assert life.ceiling.damage is None
        disk.flip_bit(f"{DIRECTORY}/clock", 8 * 32 * 20 + 100)
        again = await Life.begin(disk.restart(power_cut=False))
        assert again.ceiling.damage is not None and again.ceiling.damage.offset == 32 * 20
        assert again.ceiling.found_us == last + STEP_US + MARGIN_US
        third = await Life.begin(disk.restart(power_cut=False))
        fourth = await Life.begin(disk.restart(power_cut=False))
        assert third.ceiling.damage is not None and fourth.ceiling.damage is not None
        # What was begun has mended the file.
        disk = disk.restart(power_cut=False)
        await Life.begin(disk)
        assert (await Life.begin(disk.restart(power_cut=True))).ceiling.damage is None

    asyncio.run(scenario())
