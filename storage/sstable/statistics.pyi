"""What an SSTable's footer says of its contents, gathered while it is written."""

class Statistics:
    """Counts and bounds over rows and deletions."""

    partitions: int
    rows: int
    tombstones: int
    raw_bytes: int
    min_timestamp: int
    max_timestamp: int
    min_deletion_s: int
    max_deletion_s: int
    max_ttl_s: int
    first_key: bytes
    last_key: bytes
    min_clustering: bytes | None
    max_clustering: bytes
    def add_partition(
        self, key: bytes, deletion: tuple[int, int] | None, static_row: bytes
    ) -> None:
        """Counts a partition which begins, its deletion and its static row."""
    def add_rows(self, clusterings: list[bytes], rows: list[bytes]) -> None:
        """Counts ascending rows of the partition added last."""
    def add_tombstone(self, start: bytes, end: bytes, timestamp: int, deleted_at: int) -> None:
        """Counts a range tombstone of the partition added last."""
    def add_row(self, row: bytes) -> None:
        """Counts one row's marker, deletion and cells; CorruptData if it is no row."""
    def encode(self) -> bytes:
        """The payload of the statistics frame."""
    @staticmethod
    def decode(payload: bytes) -> Statistics:
        """The statistics of a payload whose checksum was right."""
    def may_cover(self, start: bytes, end: bytes) -> bool:
        """Whether anything in the file could lie in, or reach into, [start, end)."""
