"""What `pythia nodetool` asks for: shard 0 finds out what is meant, then all shards do it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from cluster.token import TOKEN_MAX, TOKEN_MIN, decorate, key_range
from cql.key_text import key_from_text
from node.all_shards import CommandFailed
from node.chosen_tables import chosen_tables
from node.config import COMPACTORS_MAX
from node.maintenance import place_of

if TYPE_CHECKING:
    from cql.schema import SchemaHolder, Table
    from node.admin import Arguments, Command, Row
    from node.maintenance import Maintenance

RATE_BYTES_MAX: Final = 1 << 40


class MaintenanceCommands:
    """Shard 0's answers to `pythia nodetool`."""

    def __init__(self, maintenance: Maintenance, holder: SchemaHolder) -> None:
        self._ask = maintenance.everywhere.ask
        self._holder = holder

    def commands(self) -> Mapping[str, Command]:
        """By name, as the admin socket wants them."""
        return {
            "flush": self._flush,
            "compact": self._compact,
            "garbagecollect": self._garbagecollect,
            "forcecompact": self._forcecompact,
            "stop": self._stop,
            "compactionhistory": self._compactionhistory,
            "compactionstats": self._compactionstats,
            "autocompaction": self._autocompaction,
            "compactionthroughput": self._compactionthroughput,
            "concurrentcompactors": self._concurrentcompactors,
            "invalidaterowcache": self._invalidaterowcache,
            "replaybatchlog": self._replaybatchlog,
        }

    async def _flush(self, arguments: Arguments) -> AsyncIterator[Row]:
        tables = self._tables(arguments)
        await self._ask({"do": "flush", "tables": _ids(tables)})
        for table in tables:
            yield {"table": table.full_name}

    async def _compact(self, arguments: Arguments) -> AsyncIterator[Row]:
        """`tables`, and of these `files`, or what lies near tokens or a partition."""
        tables = self._tables(arguments)
        request: dict[str, Any] = {"do": "compact", "tables": _ids(tables)}
        if "files" in arguments:
            places = {place_of(path): path for path in map(str, arguments["files"])}
            found = await self._ask(request | {"places": sorted(places)})
            for place in places.keys() - {place for part in found for place in part}:
                raise CommandFailed(
                    f"{places[place]} is no file of a table; nothing was done to it"
                )
            return
        if "partition" in arguments:
            for table in tables:
                key = _key_of(table, str(arguments["partition"]))
                bounds = {"first": key.hex(), "last": (key + b"\0").hex()}
                await self._ask({"do": "compact", "tables": _ids([table])} | bounds)
                yield {"table": table.full_name}
            return
        if "first_token" in arguments or "last_token" in arguments:
            request |= _bounds(arguments)
        await self._ask(request)
        for table in tables:
            yield {"table": table.full_name}

    async def _garbagecollect(self, arguments: Arguments) -> AsyncIterator[Row]:
        tables = self._tables(arguments)
        await self._ask({"do": "compact", "tables": _ids(tables), "grouped": True})
        for table in tables:
            yield {"table": table.full_name}

    async def _forcecompact(self, arguments: Arguments) -> AsyncIterator[Row]:
        (table,) = self._tables(arguments)
        keys = [_key_of(table, str(text)).hex() for text in arguments["keys"]]
        await self._ask({"do": "compact", "tables": _ids([table]), "forced": keys})
        yield {"table": table.full_name}

    async def _stop(self, arguments: Arguments) -> AsyncIterator[Row]:
        request: dict[str, Any] = {"do": "stop"}
        if "id" in arguments:
            request["id"] = str(arguments["id"]).lower()
        stopped = sum(await self._ask(request))
        if "id" in arguments and not stopped:
            raise CommandFailed(f"there is no compaction {arguments['id']}")
        yield {"stopped": stopped}

    async def _compactionstats(self, _arguments: Arguments) -> AsyncIterator[Row]:
        parts = await self._ask({"do": "stats"})
        pending: dict[str, int] = {}
        for part in parts:
            for name, count in part["pending"].items():
                pending[name] = pending.get(name, 0) + count
        for name, count in sorted(pending.items()):
            yield {"table": name, "pending": count}
        for part in parts:
            for running in part["running"]:
                yield running

    async def _compactionhistory(self, _arguments: Arguments) -> AsyncIterator[Row]:
        rows = [row for part in await self._ask({"do": "history"}) for row in part]
        for row in sorted(rows, key=lambda row: -row["ended_s"]):
            yield row

    async def _replaybatchlog(self, arguments: Arguments) -> AsyncIterator[Row]:
        forgets = bool(arguments.get("forget_damaged", False))
        parts = await self._ask({"do": "replay batches", "forgets": forgets})
        for shard, part in enumerate(parts):
            yield {"shard": shard, **part}

    async def _autocompaction(self, arguments: Arguments) -> AsyncIterator[Row]:
        """`on` says what shall be; without it, what is."""
        tables = self._tables(arguments)
        if "on" in arguments:
            on = bool(arguments["on"])
            await self._ask({"do": "auto", "tables": _ids(tables), "on": on})
        parts = await self._ask({"do": "auto status", "tables": _ids(tables)})
        for place, table in enumerate(tables):
            yield {"table": table.full_name, "running": all(part[place] for part in parts)}

    async def _compactionthroughput(self, arguments: Arguments) -> AsyncIterator[Row]:
        parts = await self._ask({"do": "rate"} | _value(arguments, RATE_BYTES_MAX, 0))
        yield {"bytes_per_s": max(parts)}

    async def _concurrentcompactors(self, arguments: Arguments) -> AsyncIterator[Row]:
        parts = await self._ask({"do": "compactors"} | _value(arguments, COMPACTORS_MAX, 1))
        yield {"compactors": max(parts)}

    async def _invalidaterowcache(self, arguments: Arguments) -> AsyncIterator[Row]:
        tables = self._tables(arguments)
        await self._ask({"do": "forget rows", "tables": _ids(tables)})
        for table in tables:
            yield {"table": table.full_name}

    def _tables(self, arguments: Arguments) -> list[Table]:
        return chosen_tables(self._holder.current, [str(n) for n in arguments.get("tables", ())])


def _ids(tables: list[Table]) -> list[str]:
    return [table.id.hex for table in tables]


def _value(arguments: Arguments, most: int, least: int) -> dict[str, int]:
    if "value" not in arguments:
        return {}
    value = arguments["value"]
    if not isinstance(value, int) or not least <= value <= most:
        raise CommandFailed(f"{value!r} is not allowed; from {least} to {most} is")
    return {"value": value}


def _bounds(arguments: Arguments) -> dict[str, str]:
    """The keys of tokens from the first to the last, both of them included."""
    first = int(arguments.get("first_token", TOKEN_MIN))
    last = int(arguments.get("last_token", TOKEN_MAX))
    bounds = key_range(first, last) if first >= TOKEN_MIN and last <= TOKEN_MAX else None
    if bounds is None:
        raise CommandFailed(f"there are no tokens from {first} to {last}")
    return {"first": bounds[0].hex(), "last": bounds[1].hex()}


def _key_of(table: Table, text: str) -> bytes:
    """The decorated key of a partition."""
    return decorate(key_from_text(table, text))
