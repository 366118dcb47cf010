"""Prepared statements outlive the process, while they are what their clients know."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from cql.errors import Unprepared
from cql.parser.grammar import parse
from cql.planner import plan
from cql.prepared import PreparedStatement, PreparedStatements, Remembered
from cql.schema import Schema
from cql.system.tables import system_keyspaces
from node.statement_memory import STATEMENTS_MAX, TEXT_CHARACTERS_MAX, StatementMemory
from storage.values import replace
from tests.sim.disk import SimulatedDisk

SCHEMA = Schema(system_keyspaces())
TEXT = "SELECT key, rack FROM system.local WHERE key = ?"
DIRECTORY = "data/shard-0/prepared"


async def _memory(disk: SimulatedDisk) -> StatementMemory:
    memory = StatementMemory(lambda: None)
    await memory.open(disk, DIRECTORY, Random(1))
    return memory


def _statement(id_: bytes = b"id", text: str = TEXT) -> PreparedStatement:
    return PreparedStatement(id_, text, None, plan(parse(TEXT), SCHEMA, None))


def test_a_statement_is_planned_again_after_a_restart() -> None:
    async def scenario() -> None:
        disk = SimulatedDisk(Random(1))
        memory = await _memory(disk)
        PreparedStatements(memory=memory).put(_statement())
        await memory.write()
        again = PreparedStatements(memory=await _memory(disk.restart(power_cut=True)))
        found = again.get(b"id", SCHEMA)
        assert (found.text, found.plan.bind_specs) == (TEXT, _statement().plan.bind_specs)

    asyncio.run(scenario())


def test_a_statement_whose_columns_are_others_now_is_unprepared() -> None:
    async def scenario() -> None:
        memory = await _memory(SimulatedDisk(Random(1)))
        PreparedStatements(memory=memory).put(_statement())
        known = memory.find(b"id")
        assert known is not None
        memory.remember(replace(known, fingerprint=b"another"))
        with pytest.raises(Unprepared):
            PreparedStatements(memory=memory).get(b"id", SCHEMA)

    asyncio.run(scenario())


def test_a_statement_about_a_table_that_is_gone_is_unprepared() -> None:
    async def scenario() -> None:
        memory = await _memory(SimulatedDisk(Random(1)))
        memory.remember(Remembered(b"id", "SELECT a FROM ks.gone", None, b""))
        with pytest.raises(Unprepared):
            PreparedStatements(memory=memory).get(b"id", SCHEMA)

    asyncio.run(scenario())


def test_the_oldest_statement_is_forgotten_and_long_ones_are_not_kept() -> None:
    async def scenario() -> None:
        memory = await _memory(SimulatedDisk(Random(1)))
        memory.remember(Remembered(b"long", "x" * (TEXT_CHARACTERS_MAX + 1), None, b""))
        assert len(memory) == 0
        for number in range(STATEMENTS_MAX + 1):
            memory.remember(Remembered(b"%d" % number, "x", None, b""))
        assert len(memory) == STATEMENTS_MAX and memory.find(b"0") is None
        memory.check()

    asyncio.run(scenario())


def test_what_is_remembered_twice_is_written_once() -> None:
    async def scenario() -> None:
        memory = await _memory(SimulatedDisk(Random(1)))
        statement = Remembered(b"id", "x", None, b"")
        memory.remember(statement)
        await memory.write()
        memory.remember(statement)
        assert not memory.wants_write
        await memory.close()

    asyncio.run(scenario())


def test_a_damaged_file_is_told_put_aside_and_begun_anew() -> None:
    async def scenario() -> None:
        disk = SimulatedDisk(Random(1))
        memory = await _memory(disk)
        memory.remember(Remembered(b"one", TEXT, None, b"f"))
        await memory.close()
        (path,) = (path for path in disk.paths() if path.startswith(DIRECTORY))
        disk.flip_bit(path, 8 * 60)
        disk = disk.restart(power_cut=False)
        again = await _memory(disk)
        assert again.damage is not None and again.damage.path == path
        assert len(again) == 0 and f"{path}.damaged" in disk.paths()
        again.remember(Remembered(b"two", TEXT, None, b"f"))
        await again.close()
        third = await _memory(disk.restart(power_cut=True))
        assert third.damage is None and [s.id for s in third.statements()] == [b"two"]

    asyncio.run(scenario())
