"""SSTables go past the page cache: by their descriptors' flags, and by what the kernel holds."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
from pathlib import Path

import pytest

from storage.direct_disk import IoChoice, open_direct_disk, supports_direct
from storage.errors import IoUringRefused
from tests.harness.node_process import NodeProcess
from tests.harness.wire import WireClient, execute_frame, spread_key

ROWS, VALUE_BYTES = 20_000, 500


def _is_resident(path: Path) -> int:
    """How many pages of the file the kernel's page cache holds."""
    libc = ctypes.CDLL(None, use_errno=True)
    size = path.stat().st_size
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as view:
        pages = (ctypes.c_ubyte * (-(-size // mmap.PAGESIZE)))()
        start = ctypes.addressof(ctypes.c_char.from_buffer(view))
        if libc.mincore(ctypes.c_void_p(start), ctypes.c_size_t(size), pages):
            raise OSError(ctypes.get_errno(), "mincore")
        return sum(page & 1 for page in pages)


def _open_flags(pids: list[int], suffix: str) -> dict[str, int]:
    """The flags of the files whose names end so, as the processes have them open."""
    found = {}
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            name = os.readlink(descriptor)
            if name.endswith(suffix):
                text = Path(f"/proc/{pid}/fdinfo/{descriptor.name}").read_text()
                found[name] = int(text.split("flags:")[1].split()[0], 8)
    return found


def _write_and_read(client: WireClient) -> None:
    client.query(
        "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    client.query("CREATE TABLE k.t (key blob PRIMARY KEY, v blob)")
    chance = random.Random(1)
    insert = client.prepare("INSERT INTO k.t (key, v) VALUES (?, ?)")
    frames = [
        execute_frame(i % 1024, insert, [spread_key(i), chance.randbytes(VALUE_BYTES)])
        for i in range(ROWS)
    ]
    client.run_all(frames, 64)


def _require(io: str, directory: Path) -> None:
    if not supports_direct(str(directory)):
        pytest.skip("this file system has no O_DIRECT")
    try:
        open_direct_disk(str(directory), IoChoice(io)).stop()
    except IoUringRefused:
        pytest.skip("this kernel refuses io_uring")


@pytest.mark.parametrize("io", ["threads", "uring"])
def test_sstables_are_direct_and_leave_nothing_in_the_page_cache(io: str, tmp_path: Path) -> None:
    _require(io, tmp_path)
    node = NodeProcess(tmp_path / "data", options=("--memory", "64MiB", "--io", io))
    try:
        client = WireClient(node.start().address, node.port)
        _write_and_read(client)
        client.close()
        assert node.stop() == 0
        node.start()
        client = WireClient(node.address, node.port)
        assert sum(client.pages("SELECT * FROM k.t", 500)) == ROWS
        flags = _open_flags(node.shard_pids(), ".sst")
        client.close()
        assert flags, "the node has SSTables open"
        assert all(flag & os.O_DIRECT for flag in flags.values())
        assert {name: _is_resident(Path(name)) for name in flags} == dict.fromkeys(flags, 0)
        assert node.stop() == 0
    finally:
        node.close()
