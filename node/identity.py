"""Who this node is: host id, tokens, number of shards, and the key that signs paging states.

Made at the first start and kept in `node.json` of the data directory, replaced as a whole: written
beside, synced, renamed, directory synced. Everything else about a node may change between two
starts; of this only the number of shards does, by `node.resharding`.
"""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

from storage.disk import OpenMode
from storage.errors import FileMissing
from storage.values import value_class

if TYPE_CHECKING:
    from node.config import Config
    from storage.disk import Disk

FILE_NAME = "node.json"
FORMAT = 1
FORMAT_ADOPTING = 2
"""Like `FORMAT`, and the shards' directories are not yet in their places: `node.resharding`."""
PAGING_KEY_BYTES = 32
TOKEN_MIN, TOKEN_MAX = -(1 << 63) + 1, (1 << 63) - 1


class IdentityMismatch(Exception):
    """The data directory belongs to a node that cannot be started like this; the text says why."""


@value_class
class Identity:
    """What must be the same in every life of a node."""

    host_id: UUID
    cluster_name: str
    shards: int
    tokens: tuple[int, ...]
    paging_key: bytes
    is_adopting: bool = False
    """The directories of `shards` shards are whole and have yet to take the place of others."""


async def load_or_create(disk: Disk, config: Config, random: Random) -> Identity:
    """The identity kept in the data directory, or a new one that is durable when this returns."""
    path = f"{config.data_directory}/{FILE_NAME}"
    try:
        content = await _read(disk, path)
    except FileMissing:
        identity = _new(config, random)
        await save(disk, config.data_directory, identity)
        return identity
    identity = _decode(content, path)
    _check_same(identity, config)
    return identity


def _new(config: Config, random: Random) -> Identity:
    host_id = UUID(int=random.getrandbits(128), version=4)
    tokens = config.initial_token or tuple(
        random.randint(TOKEN_MIN, TOKEN_MAX) for _ in range(config.num_tokens)
    )
    key = random.randbytes(PAGING_KEY_BYTES)
    return Identity(host_id, config.cluster_name, config.shards, tuple(sorted(tokens)), key)


def _check_same(identity: Identity, config: Config) -> None:
    if identity.cluster_name != config.cluster_name:
        raise IdentityMismatch(
            f"the data belongs to cluster {identity.cluster_name!r}, not to {config.cluster_name!r}"
        )


async def _read(disk: Disk, path: str) -> bytes:
    size = await disk.size(path)
    file = await disk.open(path, OpenMode.READ)
    try:
        return await file.read(0, size)
    finally:
        await file.close()


async def save(disk: Disk, directory: str, identity: Identity) -> None:
    """Make an identity durable; after a crash either it is found or the one before."""
    beside, path = f"{directory}/{FILE_NAME}.new", f"{directory}/{FILE_NAME}"
    if f"{FILE_NAME}.new" in await disk.list(directory):
        await disk.remove(beside)
    file = await disk.open(beside, OpenMode.CREATE)
    try:
        await file.write(0, _encode(identity))
        await file.sync()
    finally:
        await file.close()
    await disk.rename(beside, path)
    await disk.sync_directory(directory)


def _encode(identity: Identity) -> bytes:
    return json.dumps(
        {
            "format": FORMAT_ADOPTING if identity.is_adopting else FORMAT,
            "host_id": str(identity.host_id),
            "cluster_name": identity.cluster_name,
            "shards": identity.shards,
            "tokens": [str(token) for token in identity.tokens],
            "paging_key": identity.paging_key.hex(),
        },
        indent=1,
    ).encode()


def _decode(content: bytes, path: str) -> Identity:
    try:
        fields = json.loads(content)
        if fields["format"] not in (FORMAT, FORMAT_ADOPTING):
            raise IdentityMismatch(
                f"{path} has format {fields['format']}, this node knows {FORMAT}"
            )
        return Identity(
            UUID(fields["host_id"]),
            fields["cluster_name"],
            fields["shards"],
            tuple(int(token) for token in fields["tokens"]),
            bytes.fromhex(fields["paging_key"]),
            fields["format"] == FORMAT_ADOPTING,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise IdentityMismatch(f"{path} is damaged: {error}") from None
