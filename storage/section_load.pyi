"""What a read of sections misses, brought from the disk to its lookups without a coroutine."""

from asyncio import Future

from storage.block_cache import BlockCache
from storage.io_queue import IoQueue
from storage.section_read import SectionRead
from storage.sstable.fetch import Fetch

class SectionLoad:
    """The loads of one read. To the queue and to the disk it looks like a future."""

    def __init__(self, search: SectionRead, io: IoQueue, cache: BlockCache) -> None: ...
    def run(self, missing: Fetch) -> Future[None]:
        """A future that is done when no frame is missing; `missing` is the first that is."""
    def done(self) -> bool:
        """Never, as what was begun has to be ended, even if nobody waits for it any more."""
    def set_result(self, data: bytes | None) -> None:
        """It is our turn, or the disk has brought what was asked for."""
    def set_exception(self, error: BaseException) -> None:
        """The disk has failed."""
