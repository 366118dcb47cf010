"""Who this node is: host id, tokens, number of shards, and the key that signs paging states.

Made at the first start and kept in `node.json` of the data directory, replaced as a whole: written
beside, synced, renamed, directory synced, with a checksum over all fields. Everything else about a
node may change between two starts; of this only the number of shards does, by `node.resharding`.
"""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

from storage.checksum import crc32c
from storage.disk import OpenMode
from storage.errors import FileMissing
from storage.values import value_class

if TYPE_CHECKING:
    from node.config import Config
    from storage.disk import Disk

FILE_NAME = "node.json"
UNFINISHED_NAME = f"{FILE_NAME}.new"
FORMAT = 3
FORMAT_ADOPTING = 4
"""Like `FORMAT`, and the shards' directories are not yet in their places: `node.resharding`."""
UNCHECKED = {FORMAT: 1, FORMAT_ADOPTING: 2}
"""What these formats were before there was a checksum; such files are read too."""
NAMES = ("format", "host_id", "cluster_name", "shards", "tokens", "paging_key")
PAGING_KEY_BYTES = 32
TOKEN_MIN, TOKEN_MAX = -(1 << 63) + 1, (1 << 63) - 1


class IdentityMismatch(Exception):
    """The data directory belongs to a node that cannot be started like this; the text says why."""


class IdentityDamaged(IdentityMismatch):
    """Nobody can know any more whose data these are, unless a copy of the file is put back."""

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(
            f"{path} at offset {offset}: {reason}; put back a copy of this file, it changes only"
            " with the number of shards. Nothing else in the directory was touched"
        )
        self.path = path
        self.offset = offset


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
        await _refuse_data_of_nobody(disk, config.data_directory, path)
        identity = _new(config, random)
        await save(disk, config.data_directory, identity)
        return identity
    identity = _decode(content, path)
    _check_same(identity, config)
    return identity


async def _refuse_data_of_nobody(disk: Disk, directory: str, path: str) -> None:
    """A new identity is durable before there are data, so data without one have lost theirs."""
    for name in await disk.list(directory):
        if name == "schema" or name.removeprefix("shard-").isdecimal():
            raise IdentityDamaged(path, 0, f"the file is missing, although there is {name}")


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
    await forget_unfinished(disk, directory)
    beside, path = f"{directory}/{UNFINISHED_NAME}", f"{directory}/{FILE_NAME}"
    file = await disk.open(beside, OpenMode.CREATE)
    try:
        await file.write(0, _encode(identity))
        await file.sync()
    finally:
        await file.close()
    await disk.rename(beside, path)
    await disk.sync_directory(directory)


async def forget_unfinished(disk: Disk, directory: str) -> None:
    """Remove what is left of an identity that was not saved, because the node was stopped then."""
    if UNFINISHED_NAME in await disk.list(directory):
        await disk.remove(f"{directory}/{UNFINISHED_NAME}")


def _encode(identity: Identity) -> bytes:
    values = (
        FORMAT_ADOPTING if identity.is_adopting else FORMAT,
        str(identity.host_id),
        identity.cluster_name,
        identity.shards,
        [str(token) for token in identity.tokens],
        identity.paging_key.hex(),
    )
    fields = dict(zip(NAMES, values, strict=True))
    return json.dumps(fields | {"checksum": _checksum(fields)}, indent=1).encode()


def _checksum(fields: dict[str, object]) -> str:
    """Of the fields as values: how the file is set does not matter."""
    return f"{crc32c(json.dumps(fields, sort_keys=True).encode()):08x}"


def _decode(content: bytes, path: str) -> Identity:
    fields = _checked_fields(content, path)
    try:
        return Identity(
            UUID(fields["host_id"]),
            fields["cluster_name"],
            fields["shards"],
            tuple(int(token) for token in fields["tokens"]),
            bytes.fromhex(fields["paging_key"]),
            fields["format"] in (FORMAT_ADOPTING, UNCHECKED[FORMAT_ADOPTING]),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise IdentityDamaged(path, 0, str(error)) from None


def _checked_fields(content: bytes, path: str) -> dict[str, Any]:
    """The fields, all of them and no others, if their checksum is right."""
    try:
        fields = json.loads(content)
    except json.JSONDecodeError as error:
        raise IdentityDamaged(path, error.pos, error.msg) from None
    except UnicodeDecodeError as error:
        raise IdentityDamaged(path, error.start, "this is no text") from None
    if not isinstance(fields, dict):
        raise IdentityDamaged(path, 0, "there are no fields")
    checksum = fields.pop("checksum", None)
    version = fields.get("format")
    is_known = version in ((*UNCHECKED.values(),) if checksum is None else (*UNCHECKED,))
    if checksum is not None and checksum != _checksum(fields):
        raise IdentityDamaged(path, 0, "the checksum is wrong")
    if not is_known:
        raise IdentityMismatch(f"{path} has format {version}, this node knows {FORMAT}")
    if set(fields) != set(NAMES):
        raise IdentityDamaged(path, 0, "fields are missing, or there are others")
    return fields
