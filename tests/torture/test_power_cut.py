"""Power cuts on real file systems: a loop volume is shut down under load, then mounted again.

The shut-down makes the file system forget all that it had not made durable, as a power cut does; of
an honest disk, that is. Needs root, loop devices and the tools of the file system.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.ledger import Ledger, make_table, read_all, write_until_it_dies
from tests.harness.node_process import NodeProcess
from tests.harness.wire import ServerError, WireClient

VOLUME_BYTES = 400 << 20
LOAD_S_MAX = 0.4
CUTS_QUICK, CUTS_LONG = 20, 200
"""Of each file system."""
# _IOR('X', 125, __u32), which ext4 and XFS share; the argument says that no journal is written.
SHUTDOWN, WITHOUT_JOURNAL = 0x8004587D, struct.pack("I", 2)


class Volume:
    """A file system in a file, mounted on a directory."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._image = folder / f"{kind}.img"
        self.directory = folder / kind
        self.directory.mkdir()
        with self._image.open("wb") as image:
            image.truncate(VOLUME_BYTES)
        subprocess.run([f"mkfs.{kind}", "-q", str(self._image)], check=True)

    def mount(self) -> None:
        """Lets the file system recover, and serves it."""
        subprocess.run(["mount", "-o", "loop", self._image, self.directory], check=True)

    def unmount(self) -> None:
        """Takes it away; changes nothing on it after a cut."""
        subprocess.run(["umount", self.directory], check=True)

    def cut(self) -> None:
        """The power is gone."""
        directory = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, SHUTDOWN, WITHOUT_JOURNAL)
        finally:
            os.close(directory)


@pytest.fixture(params=["ext4", "xfs"])
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Volume]:
    kind = request.param
    if os.geteuid() != 0:
        pytest.skip("power cuts need root, to mount volumes")
    if shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"mkfs.{kind} is not installed")
    made = Volume(tmp_path, kind)
    try:
        made.mount()
    except subprocess.CalledProcessError:
        pytest.skip(f"this machine mounts no {kind} from a file")
    yield made
    with suppress(subprocess.CalledProcessError):
        made.unmount()


def test_a_power_cut_takes_nothing_that_batch_mode_acknowledged(
    volume: Volume,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    seed: int,
    proven: Callable[[str, int], None],
) -> None:
    cuts = CUTS_LONG if request.config.getoption("--long") else CUTS_QUICK
    config = tmp_path / "batch.yaml"
    config.write_text("commitlog_sync: batch\n")
    options = ("--config", str(config))
    node = NodeProcess(volume.directory / "data", shards=2, options=options)
    rng, ledger = random.Random(seed), Ledger()
    node.log = tmp_path / "node.log"
    try:
        node.start()
        make_table(node)
        for _ in range(cuts):
            _cut_under_load(volume, node, ledger, rng)
            volume.unmount()
            volume.mount()
            node.start()
            ledger.check(read_all(node))
            proven("power cut", 1)
        assert ledger.acknowledged
        assert node.stop() == 0
    finally:
        node.close()


def _cut_under_load(volume: Volume, node: NodeProcess, ledger: Ledger, rng: random.Random) -> None:
    """Ends with the volume gone and the node killed."""
    cutter = threading.Timer(rng.random() * LOAD_S_MAX, volume.cut)
    cutter.start()
    with suppress(OSError, ServerError):
        write_until_it_dies(WireClient(node.address, node.port), ledger, rng)
    cutter.join()
    node.kill()
