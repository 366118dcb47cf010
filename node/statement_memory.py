"""Remembers prepared statements over restarts, so that clients need not prepare them again.

Each shard keeps its own, in a log of the schema log's form: entries add statements, the snapshot
holds all that are still remembered. A statement is written behind the answer to its PREPARE, many
at once; one that a crash forgets is prepared again by its client, as any unknown one is.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from cluster.schema_log import SchemaLog
from cql.prepared import Remembered
from storage.errors import CorruptFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

    from storage.disk import Disk

STATEMENTS_MAX: Final = 10_000
TEXT_CHARACTERS_MAX: Final = 64 * 1024
"""Longer statements are not remembered."""
DAMAGED_SUFFIX: Final = ".damaged"
CHARACTERS_MAX: Final = 16 * 1024 * 1024
"""All texts together."""


class StatementMemory:
    """The statements of one shard that outlive it; the longest unprepared ones are forgotten."""

    def __init__(
        self, write_soon: Callable[[], None], characters_max: int = CHARACTERS_MAX
    ) -> None:
        """`write_soon` is called when there is something to write."""
        self._characters_max = min(characters_max, CHARACTERS_MAX)
        self._write_soon = write_soon
        self._by_id: OrderedDict[bytes, Remembered] = OrderedDict()
        self._characters = 0
        self._unwritten: list[Remembered] = []
        self._log: SchemaLog | None = None
        self._turn = asyncio.Lock()
        self.damage: CorruptFile | None = None
        """Why what an earlier life was told is forgotten."""

    async def open(self, disk: Disk, directory: str, random: Random) -> None:
        """Recall what an earlier life was told; a damaged file is put aside and forgotten."""
        try:
            self._log = await SchemaLog.open(disk, directory, random)
        except CorruptFile as damage:
            await disk.rename(damage.path, damage.path + DAMAGED_SUFFIX)
            await disk.sync_directory(directory)
            self.damage = damage
            self._log = await SchemaLog.open(disk, directory, random)
        for entry in self._log.after(-1):
            for statement in _decode(entry.data):
                self._keep(statement)

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, id: bytes) -> Remembered | None:  # noqa: A002 - the protocol's word
        """The statement with that id."""
        return self._by_id.get(id)

    def statements(self) -> Iterable[Remembered]:
        """All of them."""
        return tuple(self._by_id.values())

    def remember(self, statement: Remembered) -> None:
        """Keep a statement; `write` makes it last."""
        if len(statement.text) > TEXT_CHARACTERS_MAX or self._by_id.get(statement.id) == statement:
            return
        self._keep(statement)
        self._unwritten.append(statement)
        self._write_soon()

    @property
    def wants_write(self) -> bool:
        """Whether `write` has something to do that nobody does already."""
        return bool(self._unwritten) and not self._turn.locked() and self._log is not None

    async def write(self) -> None:
        """Make durable what was remembered so far."""
        async with self._turn:
            if not self._unwritten or self._log is None:
                return
            written, self._unwritten = self._unwritten, []
            await self._log.append(_encode(written))
            if self._log.wants_compaction:
                await self._log.compact(self._log.last_number, _encode(self._by_id.values()))

    async def close(self) -> None:
        """Write what is left, and give the file back."""
        await self.write()
        async with self._turn:
            if self._log is not None:
                await self._log.close()
                self._log = None

    def check(self) -> None:
        """Prove the bounds."""
        assert self._characters == sum(len(s.text) for s in self._by_id.values())
        assert len(self._by_id) <= STATEMENTS_MAX and self._characters <= self._characters_max

    def _keep(self, statement: Remembered) -> None:
        self._forget(statement.id)
        self._by_id[statement.id] = statement
        self._characters += len(statement.text)
        while len(self._by_id) > STATEMENTS_MAX or self._characters > self._characters_max:
            self._forget(next(iter(self._by_id)))

    def _forget(self, id_: bytes) -> None:
        gone = self._by_id.pop(id_, None)
        if gone is not None:
            self._characters -= len(gone.text)


def _encode(statements: Iterable[Remembered]) -> bytes:
    return json.dumps(
        [[s.id.hex(), s.text, s.keyspace, s.fingerprint.hex()] for s in statements]
    ).encode()


def _decode(data: bytes) -> list[Remembered]:
    if not data:
        return []
    return [
        Remembered(bytes.fromhex(id_), text, keyspace, bytes.fromhex(fingerprint))
        for id_, text, keyspace, fingerprint in json.loads(data)
    ]
