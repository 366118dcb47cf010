"""The log's mutations, handed to their tables as they lie in its bytes."""

from typing import final

from storage.log_run import LogRun
from storage.memtable import Memtable
from storage.record import RecordBatch

@final
class Target:
    """Where the mutations of one table go, and which of them do not."""

    run: LogRun | None
    memtable: Memtable | None
    def __init__(self, into: LogRun | Memtable, flushed: int) -> None: ...

@final
class Replay:
    """Hands out what a log holds, and counts."""

    replayed: int
    skipped: int
    def aim(self, targets: dict[bytes, Target]) -> None:
        """From now on mutations go to these targets, by table id."""

    def apply(self, batch: RecordBatch) -> int:
        """Hands out the records in their order; gives by how many bytes memory has grown.

        CorruptData from a record that is no mutation; those before it were handed out.
        """
