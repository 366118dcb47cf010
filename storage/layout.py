"""What storage must know of a table, told by the floor that owns the schema.

Invariants: a layout is a value. A schema change that storage must see is a new layout with the
same `table_id`; ids of dropped columns are absent from `live_columns` and never come back.
"""

from storage.values import value_class

TABLE_ID_BYTES = 16
GC_GRACE_S_DEFAULT = 864_000
CHUNK_BYTES_DEFAULT = 16 * 1024
BLOOM_FP_CHANCE_DEFAULT = 0.01


@value_class
class Layout:
    """One table as storage sees it: bytes, ids and options, no types."""

    table_id: bytes
    name: str
    """`keyspace.table`, for messages and metrics only; files are named by `table_id`."""

    live_columns: frozenset[int]
    """Ids of the regular and static columns that exist; cells of others are dropped when read."""

    has_clustering: bool
    """Whether rows have clustering columns; without, the single row has clustering b""."""

    has_static: bool
    """Whether clustering b"" is the static row."""

    counter: bool = False
    gc_grace_s: int = GC_GRACE_S_DEFAULT
    compression: str = "lz4"
    """Name of the block compressor; `storage.sstable.compressors` has the names."""

    chunk_bytes: int = CHUNK_BYTES_DEFAULT
    """Uncompressed size at which a block of an SSTable is closed."""

    bloom_fp_chance: float = BLOOM_FP_CHANCE_DEFAULT
    compaction: tuple[tuple[str, str], ...] = ()
    """The compaction options as the statement gave them, "class" included."""

    compression_options: tuple[tuple[str, str], ...] = ()
    """The sub-options of compression as the statement gave them."""

    caching_rows: bool = True
    memtable_flush_period_ms: int = 0
    """Flush at least this often; 0 is never because of age."""

    def __post_init__(self) -> None:
        assert len(self.table_id) == TABLE_ID_BYTES, "a table id has 16 bytes"
        assert 0 not in self.live_columns or self.has_clustering, (
            "column 0 holds raw clustering values, so it needs clustering columns"
        )
        assert self.gc_grace_s >= 0, "the grace time of tombstones is not negative"
        assert self.chunk_bytes > 0, "a block holds at least a byte"
        assert 0.0 < self.bloom_fp_chance <= 1.0, "a false positive rate is in (0, 1]"
