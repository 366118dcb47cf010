"""Promises of RELIABILITY section 1 on a whole node, one by one."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable

import pytest

from node.config import Config
from tests.sim.client import Client, Failed
from tests.sim.loop import SimulatedLoop, simulate
from tests.sim.machine import DATA, Machine

KEYSPACE = (
    "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
)
TABLE = "CREATE TABLE ks.t (k int PRIMARY KEY, v int)"

Story = Callable[[Machine, list[Client]], Awaitable[None]]


def on_a_node(story: Story, shards: int = 2, mode: str = "periodic") -> Machine:
    """Tell a story on a node that has a table; give the node as it ended."""
    machines: list[Machine] = []

    async def main(loop: SimulatedLoop) -> None:
        config = Config(
            data_directory=DATA,
            shards=shards,
            memory_bytes=64 << 20,
            commitlog_sync=mode,
            commitlog_segment_bytes=1 << 17,
            commitlog_total_bytes=1 << 21,
        )
        machine = Machine(loop, config)
        machines.append(machine)
        await machine.switch_on()
        clients = [Client(machine, number, number) for number in range(shards)]
        await clients[-1].query(KEYSPACE)
        await clients[-1].query(TABLE)
        await story(machine, clients)

    simulate(main, 5)
    return machines[0]


@pytest.mark.parametrize("mode", ["periodic", "batch", "group"])
@pytest.mark.parametrize("asked", [0, 1])
def test_no_answer_leaves_before_its_record_is_where_the_mode_says(mode: str, asked: int) -> None:
    """Also when the owner is another shard, whose answer goes through the mesh."""

    async def story(machine: Machine, clients: list[Client]) -> None:
        for number in range(40):
            before = len(machine.disk.trace)
            await clients[asked].query(f"INSERT INTO ks.t (k, v) VALUES ({number}, 1)")
            calls = [operation for operation, _ in machine.disk.trace[before:]]
            assert "append" in calls, "the kernel has the record"
            assert mode == "periodic" or "sync" in calls[calls.index("append") :]

    on_a_node(story, mode=mode)


def test_a_schema_change_is_synced_and_on_all_shards_before_its_answer() -> None:
    async def story(machine: Machine, clients: list[Client]) -> None:
        before = len(machine.disk.trace)
        await clients[1].query("CREATE TABLE ks.other (k int PRIMARY KEY)")
        calls = machine.disk.trace[before:]
        assert any(call == "sync" and path.startswith("data/schema") for call, path in calls)
        machine.cut_power()
        await machine.switch_on()
        for client in clients:
            await client.query("SELECT * FROM ks.other")

    on_a_node(story)


def fail_once(machine: Machine, operation: str, path_part: str) -> None:
    """The next such call to the disk fails."""
    choose = machine.disk.faults.choose
    assert choose is not None
    left = [1]

    def fail(number: int, called: str, path: str) -> int:
        if left[0] and called == operation and path_part in path:
            left[0] = 0
            return errno.EIO
        return choose(number, called, path)

    machine.disk.faults.choose = fail


@pytest.mark.parametrize(
    ("operation", "path_part", "statement"),
    [
        ("sync", "data/schema", "CREATE TABLE ks.other (k int PRIMARY KEY)"),
        ("rename", "manifest.new", "TRUNCATE ks.t"),
        ("append", "commitlog", "INSERT INTO ks.t (k, v) VALUES (2, 2)"),
    ],
)
def test_a_shard_stops_when_nobody_knows_what_the_disk_holds(
    operation: str, path_part: str, statement: str
) -> None:
    """It is not answered as done, the shard comes back by itself, and what was there still is."""

    async def story(machine: Machine, clients: list[Client]) -> None:
        await clients[0].query("INSERT INTO ks.t (k, v) VALUES (1, 1)")
        await clients[0].query("INSERT INTO ks.t (k, v) VALUES (2, 1)")
        fail_once(machine, operation, path_part)
        with pytest.raises(Failed):
            await clients[0].query(statement)
        assert machine.failures, "the shard has stopped"
        await machine.wait_until_serving()
        if not statement.startswith("TRUNCATE"):
            rows = await clients[0].query("SELECT v FROM ks.t WHERE k = 1")
            assert rows.rows == [(b"\0\0\0\x01",)]

    on_a_node(story, shards=1)


def test_a_damaged_file_fails_reads_of_it_and_not_the_shard() -> None:
    async def story(machine: Machine, clients: list[Client]) -> None:
        for number in range(4):
            await clients[0].query(f"INSERT INTO ks.t (k, v) VALUES ({number}, 1)")
            await machine.in_shard(0, lambda shard: shard.engine.flush())
            if number == 0:
                (path,) = [path for path in machine.disk.paths() if path.endswith(".sst")]
                machine.disk.flip_bit(path, 200)
        await asyncio.sleep(10)
        assert machine.failures == [], "a compaction that finds damage ends only itself"
        await clients[0].query("INSERT INTO ks.t (k, v) VALUES (9, 1)")

    on_a_node(story, shards=1)


def insert(key: int, value: int) -> tuple[str, list[bytes | None]]:
    """A statement of a batch."""
    text = "INSERT INTO ks.t (k, v) VALUES (?, ?)"
    return text, [key.to_bytes(4, "big"), value.to_bytes(4, "big")]


async def values_of(client: Client, keys: range) -> set[int]:
    """The values that some keys have; 0 for none."""
    found = set()
    for key in keys:
        rows = (await client.query(f"SELECT v FROM ks.t WHERE k = {key}")).rows
        found.add(int.from_bytes(rows[0][0] or b"", "big") if rows else 0)
    return found


@pytest.mark.parametrize("mode", ["periodic", "batch", "group"])
@pytest.mark.parametrize("wait_s", [0.0, 0.9, 1.6, 4.0])
def test_a_power_cut_leaves_all_of_an_acknowledged_logged_batch(mode: str, wait_s: float) -> None:
    """Also when the entry of the batch log may be removed already."""
    keys = range(8)

    async def story(machine: Machine, clients: list[Client]) -> None:
        for value in range(1, 13):
            await clients[value % 2].batch([insert(key, value) for key in keys])
            await asyncio.sleep(wait_s)
            # A sync that nobody needs for the batch: one shard alone may have its part on disk.
            if value % 3:
                number = value % 3 - 1
                await machine.in_shard(number, lambda shard: shard.engine.sync())
            machine.cut_power()
            await machine.switch_on()
            await asyncio.sleep(3)
            assert await values_of(clients[0], keys) == {value}

    on_a_node(story, mode=mode)


def test_a_logged_batch_that_timed_out_is_finished_without_a_restart() -> None:
    keys = range(8)

    async def story(machine: Machine, clients: list[Client]) -> None:
        machine.mesh.slow[0, 1] = 30.0
        with pytest.raises(Failed):
            await clients[0].batch([insert(key, 1) for key in keys])
        machine.kill(1)
        machine.mesh.slow.clear()
        await machine.wait_until_serving()
        births = [life.process for life in machine.lives.values()]
        await asyncio.sleep(30)
        assert await values_of(clients[0], keys) == {1}
        assert births == [life.process for life in machine.lives.values()]

    on_a_node(story)


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_the_last_acknowledged_write_wins_when_the_clock_is_set(step_s: float) -> None:
    async def story(machine: Machine, clients: list[Client]) -> None:
        for value in range(1, 41):
            if value % 10 == 0:
                machine.wall_offset_s = 0.0 if machine.wall_offset_s else step_s
            if value % 7 == 0:
                machine.kill(value % 2)
                await machine.wait_until_serving()
            await clients[value // 2 % 2].query(f"INSERT INTO ks.t (k, v) VALUES (1, {value})")
            assert await values_of(clients[0], range(1, 2)) == {value}

    on_a_node(story)
