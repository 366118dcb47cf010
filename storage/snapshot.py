"""One table's files under second names in another directory, and the table made of them again.

A snapshot is hard links: it costs no copy, and it keeps the disk space of its files after the table
has given them up. `link_files` leaves the directory durable with all names in it; which directories
are snapshots, and which only the beginning of one, is for the caller to remember.

`restore_files` is a truncation that ends with files: one change of the manifest takes the table
from what it held to what the snapshot holds, so a crash leaves the one or the other. Files which
the table still has stay as they are; others are linked back. A file whose number another file has
taken meanwhile is copied under a new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from storage.disk import Disk, OpenMode
from storage.errors import CorruptData, CorruptFile
from storage.sstable.footer import Footer
from storage.sstable.format import PAGE_BYTES
from storage.sstable.output import file_name
from storage.sstable.reader import SSTable, open_sstable
from storage.store import Store
from storage.table import Table
from storage.upkeep import Upkeep
from storage.values import replace

COPY_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """One SSTable of a snapshot; its name is that of its number."""

    number: int
    size: int
    level: int
    identity: bytes
    """What the checksums of all its frames cover: no other file has it."""

    @property
    def name(self) -> str:
        """Its name in the snapshot's directory."""
        return file_name(self.number)


async def link_files(store: Store, table: Table, directory: str) -> list[SnapshotFile]:
    """Link the files which the table has now; without any, the directory is not made.

    Raises the reason if the table has a file that cannot be read: it would be missing.
    """
    for unreadable in table.unreadable:
        raise unreadable.damage
    files = [file.acquire() for file in table.sstables]
    try:
        if files:
            await store.disk.make_directory(directory)
        for file in files:
            name = file_name(file.generation)
            await store.disk.link(file.path, f"{directory}/{name}")
            store.points.reach("snapshot.linked")
        if files:
            await store.disk.sync_directory(directory)
    finally:
        await store.release(files)
    return [
        SnapshotFile(file.generation, file.file_bytes, file.level, file.footer.identity)
        for file in files
    ]


async def restore_files(
    store: Store, upkeep: Upkeep, table: Table, directory: str, files: Sequence[SnapshotFile]
) -> None:
    """Let the table hold exactly the snapshot's files, and what is applied from now on.

    Raises `CorruptFile` and changes nothing if one of them is not what the snapshot says.
    """
    async with table.change:
        present = {file.footer.identity: file for file in table.sstables}
        opened: list[SSTable] = []
        try:
            await store.make_table_directory(table)
            for file in files:
                if file.identity in present:
                    continue
                # One by one, so that a failure gives back those which are open.
                sstable = await _bring(store, table, directory, file)
                opened.append(sstable)
            await store.disk.sync_directory(table.directory)
        except Exception:
            await store.retire(opened)
            raise
        store.points.reach("restore.linked")
        kept = [present[file.identity] for file in files if file.identity in present]
        levels = {file.identity: file.level for file in files}
        for sstable in kept:
            sstable.level = levels[sstable.footer.identity]
        await upkeep.replace_all(table, [*kept, *opened])


async def _bring(store: Store, table: Table, directory: str, file: SnapshotFile) -> SSTable:
    """A file of the snapshot, durable and open in the table's directory."""
    source = f"{directory}/{file.name}"
    is_free = (
        file.number not in store.manifest.numbers()
        and file.name not in await store.disk.list(table.directory)
    )
    if is_free:
        store.manifest.reserve(file.number)
        number = file.number
        target = f"{table.directory}/{file.name}"
        await store.disk.link(source, target)
    else:
        number = store.manifest.take_number()
        target = f"{table.directory}/{file_name(number)}"
        await _copy(store.disk, source, target, number)
    try:
        sstable = await open_sstable(store.disk, target, table.layout.table_id, number, file.level)
    except Exception:
        await store.disk.remove(target)
        raise
    if (sstable.footer.identity, sstable.file_bytes) != (file.identity, file.size):
        await store.retire([sstable])
        raise CorruptFile(source, 0, "this is not the file which the snapshot's manifest names")
    return sstable


async def _copy(disk: Disk, source: str, target: str, number: int) -> None:
    """Copy an SSTable, so that its footer tells the other number."""
    size = await disk.size(source)
    read = await disk.open(source, OpenMode.READ)
    try:
        written = await disk.open(target, OpenMode.CREATE)
        try:
            end = size - PAGE_BYTES
            for offset in range(0, end, COPY_BYTES):
                piece = await read.read(offset, min(COPY_BYTES, end - offset))
                await written.write(offset, piece)
            try:
                footer = Footer.decode(await read.read(max(end, 0), PAGE_BYTES))
            except CorruptData as error:
                raise CorruptFile(source, max(end, 0), str(error)) from error
            page = replace(footer, generation=number).encode()
            await written.write(end, page)
            await written.sync()
        finally:
            await written.close()
    except Exception:
        await disk.remove(target)
        raise
    finally:
        await read.close()
