"""What can go wrong below the engine, as types that carry the numbers."""


class StorageError(Exception):
    """Base of everything storage raises on purpose."""


class CorruptData(StorageError):
    """Bytes which storage wrote are not what it wrote; nothing of them may be used."""


class Overloaded(StorageError):
    """A bound was reached before anything was done; definite, the client may try again."""


class CommitLogFailed(StorageError):
    """A log write or sync failed: what the disk holds is unknown, so the shard must stop."""


class DiskFull(StorageError):
    """The disk has no room for this; data already stored are unharmed."""
