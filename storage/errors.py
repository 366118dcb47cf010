"""What can go wrong below: the disk, the log, the memory and the data, as types.

Every error says whether it is *definite*: the operation has not happened and never will. An
indefinite one may have happened, now or later, and its caller must not answer as if it had not.
"""

import errno


class StorageError(Exception):
    """The root of everything the storage floor raises on purpose."""

    is_definite = False


class Overloaded(StorageError):
    """A limit was reached before anything was changed; the client may try again later."""

    is_definite = True


class OverBudget(Overloaded):
    """Memory was asked for that its account does not have."""

    def __init__(self, account: str, wanted: int, used: int, limit: int) -> None:
        super().__init__(
            f"{account}: {wanted} bytes wanted, {used} of {limit} bytes are in use already"
        )
        self.account = account
        self.wanted = wanted
        self.used = used
        self.limit = limit


class DiskNearlyFull(Overloaded):
    """Writes are refused before the disk is full, so that what was accepted finds its place."""


class LogShut(Overloaded):
    """The commit log has failed in an earlier life, and this one only answers reads."""


class DiskError(StorageError):
    """The file layer refused a call; `errno` is the system's number for the reason."""

    def __init__(self, number: int, operation: str, path: str) -> None:
        name = errno.errorcode.get(number, str(number))
        super().__init__(f"{operation} {path}: {name}")
        self.errno = number
        self.operation = operation
        self.path = path


class FileMissing(DiskError):
    """ENOENT: there is no such file or directory."""

    is_definite = True


class FileAlreadyExists(DiskError):
    """EEXIST: a file that must be new is there already."""

    is_definite = True


class DirectoryLocked(DiskError):
    """Another process holds the lock of the directory."""

    is_definite = True


class DiskFull(DiskError):
    """ENOSPC or EDQUOT: there is no room left."""


class DiskReadOnly(DiskError):
    """EROFS: the file system has become read-only, mostly after an I/O error of its own."""


class TooManyOpenFiles(DiskError):
    """EMFILE or ENFILE: no descriptor is left."""

    is_definite = True


class IoUringRefused(DiskError):
    """The kernel, or whoever confines this process, does not allow io_uring."""

    is_definite = True


_BY_ERRNO: dict[int, type[DiskError]] = {
    errno.ENOENT: FileMissing,
    errno.EEXIST: FileAlreadyExists,
    errno.ENOSPC: DiskFull,
    errno.EDQUOT: DiskFull,
    errno.EROFS: DiskReadOnly,
    errno.EMFILE: TooManyOpenFiles,
    errno.ENFILE: TooManyOpenFiles,
}


def disk_error(number: int, operation: str, path: str) -> DiskError:
    """Give the error type that stands for an errno."""
    return _BY_ERRNO.get(number, DiskError)(number, operation, path)


class CompactionRefused(StorageError):
    """A compaction that somebody asked for was not made; the files are as they were."""

    is_definite = True


class RestoreRefused(StorageError):
    """There is no room for what a snapshot holds; tables hold what they held."""


class CorruptData(StorageError):
    """Bytes which storage wrote are not what it wrote; nothing of them may be used."""


class CompressorMissing(StorageError):
    """Data were compressed by something that is not installed here."""

    is_definite = True


class CorruptFile(CorruptData):
    """Corrupt data with its place: the file, the offset, and what is wrong there."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(f"{path} at offset {offset}: {reason}")
        self.path = path
        self.offset = offset
        self.reason = reason


class CorruptCommitLog(CorruptFile):
    """A commit log is damaged before its end."""


class CorruptManifest(CorruptFile):
    """The list of live SSTables cannot be trusted."""


class SchemaIncomplete(StorageError):
    """The schema does not go as far as the one under which files were written: it lost entries."""

    is_definite = True

    def __init__(self, path: str, obeyed: int, known: int) -> None:
        super().__init__(
            f"{path} was written under entry {obeyed} of the schema log, which now ends with entry"
            f" {known}: put back the directory `schema` that belongs to these data"
        )


class CommitLogFailed(StorageError):
    """A log write or sync failed: what the disk holds is unknown, so the shard must stop."""


class ManifestFailed(StorageError):
    """A change of the manifest failed half way; only a restart shows which state holds."""


class UnknownTable(StorageError):
    """No table has this id: it was dropped, or its creation has not come here yet."""

    is_definite = True

    def __init__(self, table_id: bytes) -> None:
        super().__init__(f"no table has the id {table_id.hex()}")
        self.table_id = table_id
