"""What operators ask of a running node's files and caches: each shard does it to its own.

A request goes from shard 0 to all shards. Compactions that were asked for end with the answer; on
each shard one table follows the other.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final

from node.all_shards import AllShards, Request
from node.node_wide_facts import compaction_uuid

if TYPE_CHECKING:
    from cluster.coordinator import Coordinator
    from cluster.deadlines import Deadlines
    from cluster.transport import Siblings
    from storage.compactor import CompactionProgress
    from storage.engine import Engine
    from storage.sstable.reader import SSTable

KIND_MAINTENANCE: Final = 68
"""The mesh message that asks a shard to do something to its storage."""
TIMEOUT_S: Final = 7 * 86_400.0
"""Merging all files of a large table takes long; a shard that dies answers for itself."""
BATCHES_TIMEOUT_S: Final = 60.0
"""For sending again what logged batches have left; what other shards do not take stays."""
_PLACE_PARTS: Final = 4
"""`shard-N/tables/TABLE/FILE`: what of a path tells files of a node apart."""

MIB: Final = 1 << 20


class Maintenance:
    """One shard's part, and on shard 0 the way to all parts."""

    def __init__(
        self,
        shard: int,
        shards: int,
        engine: Engine,
        siblings: Siblings,
        deadlines: Deadlines,
        wall_s: Callable[[], int],
        coordinator: Coordinator,
    ) -> None:
        self._shard = shard
        self._shards = shards
        self._engine = engine
        self._wall_s = wall_s
        self._coordinator = coordinator
        self._deadlines = deadlines
        self._parts: dict[str, Callable[[Request], Any]] = {
            "flush": self._flush,
            "compact": self._compact,
            "forget rows": self._forget_rows,
            "auto": self._set_auto,
            "auto status": self._auto_status,
            "rate": self._rate,
            "compactors": self._compactors,
            "stats": self._stats,
            "history": self._history,
            "stop": self._stop,
            "replay batches": self._replay_batches,
        }
        self.everywhere = AllShards(
            shard, shards, siblings, deadlines, KIND_MAINTENANCE, TIMEOUT_S, self._perform
        )

    async def _perform(self, request: Request) -> Any:
        found = self._parts[request["do"]](request)
        return await found if isawaitable(found) else found

    async def _flush(self, request: Request) -> None:
        for table_id in _tables(request):
            await self._engine.flush(table_id)

    async def _compact(self, request: Request) -> list[str]:
        """Everything, or the files of some places, tokens or keys; gives the places found."""
        found: list[str] = []
        forced = [bytes.fromhex(key) for key in request.get("forced", ())]
        for table_id in _tables(request):
            if "places" not in request:
                await self._engine.flush(table_id)
            await self._engine.compact(
                table_id,
                self._wall_s(),
                chosen=_choice(request, found),
                forced=forced,
                is_grouped=request.get("grouped", False),
            )
        return found

    def _set_auto(self, request: Request) -> None:
        disabled = self._engine.compactor.limits.disabled
        for table_id in _tables(request):
            (disabled.discard if request["on"] else disabled.add)(table_id)

    def _auto_status(self, request: Request) -> list[bool]:
        disabled = self._engine.compactor.limits.disabled
        return [table_id not in disabled for table_id in _tables(request)]

    def _rate(self, request: Request) -> int:
        """The node's rate in bytes a second, of which each shard has its part."""
        limits = self._engine.compactor.limits
        if "value" in request:
            limits.bytes_per_s = -(-request["value"] // self._shards)
        return limits.bytes_per_s * self._shards

    def _compactors(self, request: Request) -> int:
        limits = self._engine.compactor.limits
        if "value" in request:
            limits.compactions_max = request["value"]
        return limits.compactions_max

    def _stats(self, _request: Request) -> dict[str, Any]:
        compactor = self._engine.compactor
        running = [
            {
                "id": self._id_of(shown),
                "table": shown.table,
                "completed": shown.bytes_done,
                "total": shown.bytes_total,
            }
            for shown in compactor.progress()
        ]
        return {"pending": compactor.pending(self._wall_s()), "running": running}

    def _history(self, _request: Request) -> list[dict[str, Any]]:
        return [
            {
                "id": str(compaction_uuid(done.ended_s, self._shard, done.number)),
                "table": done.table,
                "ended_s": done.ended_s,
                "bytes_in": done.bytes_in,
                "bytes_out": done.bytes_out,
                "merged": done.partitions_merged,
            }
            for done in self._engine.statistics().compaction_history
        ]

    def _stop(self, request: Request) -> int:
        wanted = request.get("id")
        return self._engine.compactor.stop_some(
            lambda shown: wanted is None or self._id_of(shown) == wanted
        )

    def _id_of(self, shown: CompactionProgress) -> str:
        return str(compaction_uuid(shown.began_s, self._shard, shown.number))

    async def _replay_batches(self, request: Request) -> dict[str, int]:
        until = self._deadlines.now() + BATCHES_TIMEOUT_S
        damaged = await self._coordinator.replay_batches(until)
        removed = 0
        if request["forgets"]:
            removed = await self._coordinator.forget_damaged_batches()
        return {"damaged": damaged, "removed": removed}

    async def _forget_rows(self, request: Request) -> None:
        for table_id in _tables(request):
            await self._engine.forget_rows(table_id)


def _tables(request: Request) -> list[bytes]:
    return [bytes.fromhex(table_id) for table_id in request["tables"]]


def place_of(path: str) -> str:
    """What is left of a path when the data directory may be named in several ways."""
    return "/".join(path.split("/")[-_PLACE_PARTS:])


def _choice(request: Request, found: list[str]) -> Callable[[SSTable], bool] | None:
    if "places" in request:

        def is_there(file: SSTable) -> bool:
            place = place_of(file.path)
            if place in request["places"]:
                found.append(place)
            return place in request["places"]

        return is_there
    if "first" in request:
        first, last = bytes.fromhex(request["first"]), bytes.fromhex(request["last"])

        def is_near(file: SSTable) -> bool:
            facts = file.statistics
            return facts.last_key >= first and (not last or facts.first_key < last)

        return is_near
    return None
