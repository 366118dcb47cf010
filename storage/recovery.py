"""From a directory to tables: the manifest's files, then the log over them.

Replay leaves out what the manifest says is flushed; the rest is applied again, which changes
nothing that was there already. It ends with everything flushed, so that the old log is needed no
more. A crash at any moment leaves a directory from which the same comes out.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from storage.errors import CorruptFile, CorruptManifest
from storage.flush import flush_pace, write_memtable
from storage.group import split_record
from storage.layout import Layout
from storage.manifest import LiveSSTable
from storage.mutation import Mutation
from storage.sstable.output import file_name, generation_of
from storage.sstable.reader import SSTable, open_sstable
from storage.store import Store
from storage.table import Table

Spill = tuple[Table, SSTable]


@dataclass(slots=True)
class RecoveryReport:
    """What was found."""

    tables: int = 0
    sstables: int = 0
    garbage_files: int = 0
    """Files which no manifest names: flushes and compactions that did not end."""

    damaged: tuple[CorruptFile, ...] = ()
    """Files that could not be opened; reads of their tables fail."""

    replayed: int = 0
    """Mutations applied from the log."""

    skipped: int = 0
    """Mutations in the log which were flushed, or whose table is gone."""


async def recover(
    store: Store, tables: dict[bytes, Table], layouts: Sequence[Layout]
) -> RecoveryReport:
    """Fill `tables` from the store's directory, which is ours, and start the log."""
    report = RecoveryReport()
    await store.disk.make_directory(store.directory)
    has_manifest = await store.manifest.load()
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
    if not has_manifest:
        await store.manifest.change()
    spills, last = await _replay(store, tables, report)
    store.points.reach("recovery.replayed")
    await store.log.start(last)
    if spills:
        await _adopt(store, spills, last)
    await store.log.discard_replayed()
    store.points.reach("recovery.done")
    return report


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
        if generation is None or generation in live:
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
            opened = await open_sstable(
                store.disk, path, table.layout.table_id, generation, file.level
            )
        except CorruptFile as error:
            table.damage = error
            report.damaged += (error,)
        else:
            table.add_sstable(opened)
            report.sstables += 1


async def _replay(
    store: Store, tables: dict[bytes, Table], report: RecoveryReport
) -> tuple[list[Spill], int]:
    """Apply the log's mutations and write them to files; gives these and the last position."""
    flushed = store.manifest.state.flushed
    spills: list[Spill] = []
    last = max(flushed.values(), default=0)
    async for batch in store.log.replay():
        for position, record in batch:
            last = max(last, position)
            for data in split_record(record):
                mutation = Mutation(data)
                table = tables.get(mutation.table_id)
                if table is None or position <= flushed.get(mutation.table_id, 0):
                    report.skipped += 1
                else:
                    store.memory.used += table.apply(mutation)
                    report.replayed += 1
        if store.memory.used >= store.memory.limit // 2:
            spills += await _spill(store, tables.values())
    return spills + await _spill(store, tables.values()), last


async def _spill(store: Store, tables: Iterable[Table]) -> list[Spill]:
    """Write all memtables to files, of which nobody knows yet."""
    spills = []
    for table in tables:
        if len(table.memtable):
            memtable = table.take_memtable()
            spills.append((table, await write_memtable(store, table, memtable, flush_pace(store))))
            store.charge([memtable], -1)
    return spills


async def _adopt(store: Store, spills: Sequence[Spill], last: int) -> None:
    """Make the written files part of their tables, all in one step.

    The log from which they come is durable by now, or a power cut could keep what was logged later
    and lose what was logged before.
    """
    await store.manifest.change(
        add=[store.live(table, file) for table, file in spills],
        flushed={table.layout.table_id: last for table, _ in spills},
    )
    store.points.reach("recovery.recorded")
    for table, file in spills:
        table.add_sstable(file)
