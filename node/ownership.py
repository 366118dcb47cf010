"""Which keys belong to which shard, as storage asks when it divides files."""

from dataclasses import dataclass

from cluster.token import key_token, owned_until, position, shard_of
from storage.sstable.reader import NO_KEY


def owned_keys_until(key: bytes, shards: int) -> bytes:
    """The first key above that may be another shard's."""
    until = owned_until(key_token(key), shards)
    return NO_KEY if until is None else position(until)


@dataclass(frozen=True, slots=True)
class OwnedKeys:
    """The keys of one shard."""

    shard: int
    shards: int

    def is_mine(self, key: bytes) -> bool:
        """Whether the partition of `key` belongs to the shard."""
        return shard_of(key_token(key), self.shards) == self.shard

    def until(self, key: bytes) -> bytes:
        """See `owned_keys_until`."""
        return owned_keys_until(key, self.shards)
