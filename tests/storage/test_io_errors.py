"""Each call to the disk fails once: nothing acknowledged is lost, no answer wrong, nothing hangs.

A run of writes, flushes, compactions and reads is repeated with an error at another call each time:
EIO, ENOSPC, EROFS, EMFILE, or a write that stops half way. Afterwards the machine is started anew,
after a kill or a power cut, on a disk that works.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from random import Random

import pytest

from storage.disk import Disk
from storage.engine import Engine
from storage.errors import CorruptFile, DiskError, StorageError
from storage.slice import Page, Slice
from tests.sim.disk import Faults, SimulatedDisk
from tests.storage.test_engine_crashes import CONFIG, KEPT, layout_of, mutation_of, table_of

ERRNOS = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EMFILE)
CALLS_MAX = 2_000
QUICK_STEP = 11
"""Each quick run fails every eleventh call, the seed says with which it begins."""

TURNS, WRITES_A_TURN = 14, 6


class Node:
    """One life of a shard: what it was told to write, and what it has acknowledged."""

    def __init__(self, directory: str = "/shard-0") -> None:
        self.directory = directory
        self.begun = 0
        self.acknowledged: set[int] = set()
        self.synced: set[int] = set()
        self.refused = 0
        """Writes whose clients were told that they failed."""
        self.engine: Engine | None = None
        self.failure: BaseException | None = None
        self.damage: list[CorruptFile] = []

    # The engine's listener.

    def work_is_due(self) -> None:
        pass

    def has_failed(self, error: BaseException) -> None:
        self.failure = self.failure or error

    def has_found_damage(self, damage: CorruptFile | DiskError) -> None:
        if isinstance(damage, CorruptFile):
            self.damage.append(damage)

    def tell(self, message: str) -> None:
        pass

    async def live(self, disk: Disk, ends_well: bool) -> None:
        """Until the work is done, or storage has said that it can go on no more.

        A life that does not end well leaves its last writes to the log.
        """
        engine = self.engine = Engine(disk, self.directory, 0, CONFIG, listener=self)
        try:
            await engine.open([layout_of(KEPT)])
            for turn in range(TURNS):
                await self._turn(engine, turn)
                if self.failure is not None:
                    break
            if ends_well or self.failure is not None:
                await engine.stop(flush=self.failure is None)
        except StorageError as error:
            self.failure = self.failure or error

    async def _turn(self, engine: Engine, turn: int) -> None:
        written = []
        for _ in range(WRITES_A_TURN):
            while table_of(self.begun) != KEPT:
                self.begun += 1
            number, self.begun = self.begun, self.begun + 1
            try:
                waited = engine.apply(mutation_of(number))
                if waited is not None:
                    await waited
            except StorageError:
                self.refused += 1
                continue
            written.append(number)
        engine.end_of_turn()  # It raises before any answer has left.
        self.acknowledged.update(written)
        engine.tick(float(turn))
        if turn % 4 == 3:
            await self._try(engine.sync())
            self.synced |= self.acknowledged if self.failure is None else set()
        for job in engine.background(turn):
            await self._try(job)
        if turn % 6 == 5:
            await self._try(engine.compact(KEPT, turn))
        await self._read(engine)

    async def _try(self, work: object) -> None:
        """Background work may fail; what it was to do is then done later, or storage has failed."""
        try:
            await work  # type: ignore[misc]
        except StorageError:
            return

    async def _read(self, engine: Engine) -> None:
        """A read fails, or gives everything that was acknowledged."""
        try:
            found = await numbers_in(engine)
        except StorageError:
            return
        assert self.acknowledged <= found, f"{self.acknowledged - found} are missing in a read"


async def numbers_in(engine: Engine) -> set[int]:
    """The writes that a read of everything finds."""
    answer = engine.read(Slice(KEPT), 0)
    page = answer if isinstance(answer, Page) else await answer
    return {int(c[1:]) for partition in page.partitions for c in partition.clusterings}


async def check(random: Random, number: int, error: int, power_cut: bool) -> bool:
    """One run with an error at a call, and the restart; whether there was such a call."""
    return await check_all(random, {number: error}, power_cut) >= number


async def check_all(random: Random, errors: dict[int, int], power_cut: bool) -> int:
    """One run with errors at some calls, and the restart; how many calls there were."""
    disk = SimulatedDisk(random, Faults(errnos=errors))
    node = Node()
    async with asyncio.timeout(60):
        await node.live(disk, ends_well=random.random() < 0.3)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()  # What the process would have done if it had lived on.
    where = ", ".join(
        f"{errno.errorcode[error]} at call {number}: {disk.trace[number - 1 : number]}"
        for number, error in errors.items()
    )
    assert not node.damage, f"{where} was taken for damage"
    healthy = disk.restart(power_cut=power_cut)
    engine = Engine(healthy, "/shard-0", 0, CONFIG)
    report = await engine.open([layout_of(KEPT)])
    assert not report.damaged, where
    found = await numbers_in(engine)
    promised = node.synced if power_cut else node.acknowledged
    assert promised <= found, f"{where}: {sorted(promised - found)} are lost"
    assert all(table_of(n) == KEPT and n < node.begun for n in found), where
    await engine.stop()
    return disk.calls


@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("error", ERRNOS, ids=lambda error: errno.errorcode[error])
def test_an_error_at_any_call_loses_nothing_acknowledged(
    seed: int,
    error: int,
    power_cut: bool,
    request: pytest.FixtureRequest,
    proven: Callable[[str, int], None],
) -> None:
    step = 1 if request.config.getoption("--long") else QUICK_STEP

    async def test() -> int:
        random = Random(seed)
        for failed, number in enumerate(range(1 + seed % step, CALLS_MAX, step)):
            if not await check(random, number, error, power_cut):
                return failed
        raise AssertionError("the run does not end")

    failed = asyncio.run(test())
    proven("I/O errors", failed)
    assert failed > 100 // step


def site_of(call: tuple[str, str]) -> tuple[str, str]:
    """What a call is for: the operation, and the kind of file."""
    operation, path = call
    name = path.rpartition("/")[2]
    kinds = ("commitlog", "manifest", ".sst", "hot_keys", "tables", "shard-0")
    return operation, next((kind for kind in kinds if kind in name), "table's directory")


@pytest.mark.parametrize("error", ERRNOS, ids=lambda error: errno.errorcode[error])
def test_an_error_at_each_call_site_loses_nothing_acknowledged(
    seed: int, error: int, proven: Callable[[str, int], None]
) -> None:
    """Every operation on every kind of file fails once, at one of its calls."""

    async def test() -> int:
        random = Random(seed)
        healthy = SimulatedDisk(random)
        await Node().live(healthy, ends_well=True)
        calls: dict[tuple[str, str], list[int]] = {}
        for number, call in enumerate(healthy.trace, start=1):
            calls.setdefault(site_of(call), []).append(number)
        for site in sorted(calls):
            await check(random, random.choice(calls[site]), error, random.random() < 0.5)
        return len(calls)

    sites = asyncio.run(test())
    proven("I/O errors", sites)
    assert sites > 20


ROUNDS_QUICK, ROUNDS_LONG = 20, 500


def test_errors_at_random_lose_nothing_acknowledged(
    seed: int, request: pytest.FixtureRequest, proven: Callable[[str, int], None]
) -> None:
    """Several calls of a life fail, with any errno."""
    rounds = ROUNDS_LONG if request.config.getoption("--long") else ROUNDS_QUICK

    async def test() -> None:
        random = Random(seed)
        for _ in range(rounds):
            numbers = random.sample(range(5, 300), random.randint(2, 6))
            errors = {number: random.choice(ERRNOS) for number in numbers}
            await check_all(random, errors, random.random() < 0.5)

    asyncio.run(test())
    proven("I/O errors", rounds)
