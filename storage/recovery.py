"""From a directory to tables: the manifest's files, then the log over them.

Replay leaves out what the manifest says is flushed; the rest is applied again, which changes
nothing that was there already. It ends with everything flushed, so that the old log is needed no
more. A crash at any moment leaves a directory from which the same comes out.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from storage.errors import (
    CorruptCommitLog,
    CorruptFile,
    CorruptManifest,
    DiskError,
    FileMissing,
    SchemaIncomplete,
)
from storage.flush import write_log_run, write_memtable
from storage.layout import TABLE_ID_BYTES, Layout
from storage.log_replay import refuse_damage
from storage.log_run import LogRun
from storage.manifest import LiveSSTable
from storage.pace import Pace
from storage.replay import Replay, Target
from storage.sstable.output import file_name, generation_of
from storage.sstable.reader import SSTable, open_sstable
from storage.store import Store
from storage.table import Table, Unreadable

SYSTEM_PREFIX: Final = "system"
"""What the program itself needs is in keyspaces whose names begin so; nobody drops it."""

Spill = tuple[Table, SSTable]


@dataclass(slots=True)
class RecoveryReport:
    """What was found."""

    tables: int = 0
    sstables: int = 0
    garbage_files: int = 0
    """Files which no manifest names: flushes and compactions that did not end."""

    dropped_tables: int = 0
    """Tables of which something was left when a drop was interrupted."""

    damaged: tuple[CorruptFile, ...] = ()
    """Files that could not be opened; reads of their tables fail."""

    log_damage: tuple[CorruptCommitLog, ...] = ()
    """Where the log was damaged and the replay went on behind it, as the policy wants."""

    replayed: int = 0
    """Mutations applied from the log."""

    skipped: int = 0
    """Mutations in the log which were flushed, or whose table is gone."""


async def recover(
    store: Store,
    tables: dict[bytes, Table],
    layouts: Sequence[Layout],
    schema_number: int | None = None,
) -> RecoveryReport:
    """Fill `tables` from the store's directory, which is ours, and start the log.

    `schema_number` says that the layouts are all tables that there are after so many entries of the
    schema log: then what is left of others is removed.
    """
    report = RecoveryReport()
    await store.disk.make_directory(store.directory)
    has_manifest = await store.manifest.load()
    if schema_number is not None and not store.is_shut:
        await _finish_drops(store, layouts, schema_number, report)
    directories = set(await store.disk.list(store.directory))
    live: defaultdict[bytes, list[LiveSSTable]] = defaultdict(list)
    for file in store.manifest.state.sstables:
        live[file.table_id].append(file)
    for layout in layouts:
        table = tables[layout.table_id] = store.new_table(layout)
        table.has_directory = table.directory.rpartition("/")[2] in directories
        if table.has_directory or layout.table_id in live:
            files = live[layout.table_id]
            await _open_files(store, table, files, report, has_manifest=has_manifest)
    report.tables = len(tables)
    await _complete_manifest(store, tables.values(), is_new=not has_manifest)
    spills, last = await _replay(store, tables, report)
    store.points.reach("recovery.replayed")
    if store.is_shut:
        # The log stays as it is: the next start replays it again.
        if spills:
            await _adopt(store, spills, {})
        return report
    await store.log.start(last)
    if spills:
        await _adopt(store, spills, {table.layout.table_id: last for table, _ in spills})
    await store.log.discard_replayed()
    store.points.reach("recovery.done")
    return report


async def _finish_drops(
    store: Store, layouts: Sequence[Layout], schema_number: int, report: RecoveryReport
) -> None:
    """Remove what a crash left of dropped tables.

    Only if the manifest knows under which schema it was written, and ours goes as far: then it has
    the making of every table that the manifest names, so one that is not there was dropped.
    """
    manifest = store.manifest
    obeyed = manifest.state.schema_number
    if schema_number < obeyed:
        raise SchemaIncomplete(store.directory, obeyed, schema_number)
    manifest.schema_number = schema_number
    if not obeyed:
        return
    present = {layout.table_id.hex() for layout in layouts}
    names = await store.disk.list(store.directory)
    id_at = -2 * TABLE_ID_BYTES
    left = [name for name in names if _may_be_dropped(name) and name[id_at:] not in present]
    staying = present | {name[id_at:] for name in names if name not in left}
    known = {live.table_id for live in manifest.state.sstables} | {*manifest.state.flushed}
    forgotten = sorted(table_id for table_id in known if table_id.hex() not in staying)
    if forgotten:
        await manifest.change(forget=forgotten)
        store.points.reach("recovery.forgotten")
    for name in left:
        path = f"{store.directory}/{name}"
        with contextlib.suppress(DiskError):  # What cannot go now goes at another start.
            for file in await store.disk.list(path):
                await store.disk.remove(f"{path}/{file}")
            await store.disk.remove(path)
            report.dropped_tables += 1
    if left:
        await store.disk.sync_directory(store.directory)


def _may_be_dropped(name: str) -> bool:
    """Whether this is the name of the directory of a table that is not the program's own."""
    table, _, table_id = name.rpartition("-")
    is_table = bool(table) and len(table_id) == 2 * TABLE_ID_BYTES
    return is_table and not table.startswith(SYSTEM_PREFIX)


async def _complete_manifest(store: Store, tables: Iterable[Table], *, is_new: bool) -> None:
    """Make the manifest, or tell it the keys of files which an earlier version did not note."""
    if store.is_shut:
        return
    known = [store.live(table, file) for table in tables for file in table.sstables]
    noted = set(store.manifest.state.sstables)
    learnt = [live for live in known if live not in noted]
    if is_new or learnt:
        await store.manifest.change(add=learnt, remove=[live.number for live in learnt])


async def _open_files(
    store: Store,
    table: Table,
    files: Sequence[LiveSSTable],
    report: RecoveryReport,
    *,
    has_manifest: bool,
) -> None:
    live = {file.number: file for file in files}
    for name in await store.disk.list(table.directory) if table.has_directory else ():
        generation = generation_of(name)
        if generation is None or generation in live or store.is_shut:
            continue
        path = f"{table.directory}/{name}"
        if not has_manifest:
            # The first start makes the manifest before there can be any file.
            raise CorruptManifest(path, 0, "there are SSTables, but no manifest that names them")
        await store.disk.remove(path)
        report.garbage_files += 1
    for generation, file in live.items():
        path = f"{table.directory}/{file_name(generation)}"
        try:
            opened = await _open(store, path, file)
        except CorruptFile as error:
            table.unreadable += (Unreadable(file, error),)
            report.damaged += (error,)
        else:
            table.add_sstable(opened)
            report.sstables += 1


async def _open(store: Store, path: str, file: LiveSSTable) -> SSTable:
    """Open a file that the manifest names; `CorruptFile` if it is not there as it should be."""
    try:
        return await open_sstable(store.disk, path, file.table_id, file.number, file.level)
    except FileMissing as error:
        raise CorruptFile(path, 0, "the file is missing") from error
    except DiskError as error:
        if not store.answers_without_damaged:
            raise
        raise CorruptFile(path, 0, str(error)) from error


async def _replay(
    store: Store, tables: dict[bytes, Table], report: RecoveryReport
) -> tuple[list[Spill], int]:
    """Apply the log's mutations and write them to files; gives these and the last position."""
    flushed = store.manifest.state.flushed
    spills: list[Spill] = []
    last = max(flushed.values(), default=0)

    # Without a log what was replayed stays in memory, if it fits: the disk may take nothing.
    room = store.memory.limit if store.is_shut else store.memory.limit // 2

    def skip(damage: CorruptCommitLog) -> None:
        report.log_damage += (damage,)

    on_damage = skip if store.skips_log_damage else refuse_damage
    replay = Replay()
    replay.aim(targets := _targets(store, tables))
    async for batch in store.log.replay(on_damage):
        store.memory.used += replay.apply(batch)
        last = max(last, batch.last)
        if store.memory.used >= room:
            replay.aim({})
            spills += await _spill(store, tables, targets)
            replay.aim(targets := _targets(store, tables))
    replay.aim({})
    report.replayed, report.skipped = replay.replayed, replay.skipped
    if not store.is_shut:
        spills += await _spill(store, tables, targets)
    return spills, last


def _targets(store: Store, tables: dict[bytes, Table]) -> dict[bytes, Target]:
    """Where mutations go: to be sorted and written, or where reads find them if none are."""
    flushed = store.manifest.state.flushed
    return {
        table_id: Target(
            table.memtable
            if store.is_shut
            else LogRun(table.layout.has_clustering, table.layout.has_static),
            flushed.get(table_id, 0),
        )
        for table_id, table in tables.items()
    }


async def _spill(
    store: Store, tables: dict[bytes, Table], targets: dict[bytes, Target]
) -> list[Spill]:
    """Write all that the targets hold to files, of which nobody knows yet; uses them up."""
    spills = []
    while targets:
        table_id, target = targets.popitem()
        table, run, pace = tables[table_id], target.run, Pace()  # Nobody else wants the loop.
        if run is not None and len(run):
            spills.append((table, await write_log_run(store, table, run, pace)))
            store.memory.used -= run.memory_bytes
        elif len(table.memtable):
            memtable = table.take_memtable()
            spills.append((table, await write_memtable(store, table, memtable, pace)))
            store.charge([memtable], -1)
    return spills


async def _adopt(store: Store, spills: Sequence[Spill], flushed: dict[bytes, int]) -> None:
    """Make the written files part of their tables, all in one step.

    The log from which they come is durable by now, or a power cut could keep what was logged later
    and lose what was logged before.
    """
    await store.manifest.change(
        add=[store.live(table, file) for table, file in spills],
        flushed=flushed,
    )
    store.points.reach("recovery.recorded")
    for table, file in spills:
        table.add_sstable(file)
