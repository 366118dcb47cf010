"""A node with little memory under everything that costs memory, several kinds at once.

Each bout is one client's bad behaviour, drawn anew until the time is over; meanwhile others are
answered, all processes of the node together hold less than `--memory`, and no shard dies.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from lz4.block import compress

from tests.harness.node_process import NodeProcess
from tests.harness.wire import HEADER, OP_QUERY, ServerError, WireClient
from tests.torture.test_resources import (
    MEMORY_MIB,
    OVERLOADED,
    _answers,
    _can_go_on_asking,
    _check,
    _connect,
    _fill,
    _page_frame,
    _pss_kib,
    _query_frame,
    _start,
)

QUICK_S, LONG_S = 8.0, 20 * 60.0
AT_ONCE = 3
WIDE_MIB = 24
ANSWERED_S_MAX = 20.0
"""For others; longer where the machine has more to do than it has cores."""

BOUT_S_MAX = 60.0

REFUSALS = {0, OVERLOADED, 0x1100, 0x1200}
"""An answer, Overloaded, or a timeout of a write or a read: nothing else is said under pressure."""

LZ4_STARTUP = struct.pack(">H", 2) + b"".join(
    struct.pack(">H", len(word)) + word
    for word in (b"CQL_VERSION", b"3.0.0", b"COMPRESSION", b"lz4")
)
COMPRESSED = 1
BOMB_BYTES = 15 << 20


def idle_connections(node: NodeProcess, rng: random.Random, stack: ExitStack) -> None:
    places = _connect(node, rng.randint(100, 600), stack)
    for place in places[::50]:
        place.sendall(_query_frame("SELECT key FROM system.local"))
    for place in places[::50]:
        assert set(_answers(place, 1)) <= REFUSALS


def a_flood_of_requests(node: NodeProcess, rng: random.Random, stack: ExitStack) -> None:
    count = rng.randint(10, 50)
    frames = b"".join(
        _query_frame(f"SELECT v FROM k.wide WHERE k = 1 AND c = {i}", i) for i in range(count)
    )
    places = _connect(node, rng.randint(20, 150), stack)
    for place in places:
        place.sendall(frames)
    for place in places:
        assert set(_answers(place, count)) <= REFUSALS


def frames_that_do_not_come(node: NodeProcess, rng: random.Random, stack: ExitStack) -> None:
    places = _connect(node, rng.randint(20, 200), stack)
    for place in places:
        size = rng.choice((1 << 20, 6 << 20, 15 << 20, 300 << 20))
        place.sendall(HEADER.pack(4, 0, 0, OP_QUERY, size) + b"\0" * rng.randint(0, 5_000))
    time.sleep(rng.random())


def clients_that_never_read(node: NodeProcess, rng: random.Random, stack: ExitStack) -> None:
    frames = _page_frame("SELECT v FROM k.wide WHERE k = 1", 100, None) * 40
    places = _connect(node, rng.randint(10, 40), stack)
    for place in places:
        place.setblocking(False)
    for _ in range(10):
        places = [place for place in places if _can_go_on_asking(place, frames)]
        time.sleep(0.1)


def bombs(node: NodeProcess, rng: random.Random, stack: ExitStack) -> None:
    """Small compressed bodies that become large ones."""
    text = b"SELECT key FROM system.local" + b" " * rng.randint(1 << 20, BOMB_BYTES)
    plain = struct.pack(">i", len(text)) + text + struct.pack(">HB", 1, 0)
    body = struct.pack(">i", len(plain)) + compress(plain, store_size=False)
    frame = HEADER.pack(4, COMPRESSED, 0, OP_QUERY, len(body)) + body
    startup = HEADER.pack(4, 0, 0, 1, len(LZ4_STARTUP)) + LZ4_STARTUP
    places = [stack.enter_context(socket.socket()) for _ in range(rng.randint(5, 40))]
    for place in places:
        place.connect((node.address, node.port))
        place.sendall(startup)
    for place in places:
        assert len(place.recv(9)) == 9
        place.sendall(frame)
    for place in places:
        place.settimeout(ANSWERED_S_MAX)
        assert place.recv(1 << 16)


def large_writes(node: NodeProcess, rng: random.Random, stack: ExitStack) -> None:
    client = stack.enter_context(closing(WireClient(node.address, node.port)))
    for _ in range(8):
        key, value = rng.randrange(20), b"%02x" % rng.randrange(256) * (256 << 10)
        try:
            client.query(f"INSERT INTO k.small (k, v) VALUES ({key}, 0x{value.decode()})")
        except ServerError as error:
            assert error.code in REFUSALS, error


def large_results(node: NodeProcess, rng: random.Random, stack: ExitStack) -> None:
    client = stack.enter_context(closing(WireClient(node.address, node.port)))
    wanted = rng.choice(("v", "k, c, v", None))
    try:
        if wanted is None:
            client.query("SELECT count(*) FROM k.wide")
            return
        for _ in client.pages(f"SELECT {wanted} FROM k.wide", rng.choice((100, 1_000, 5_000))):
            pass
    except ServerError as error:
        assert error.code in REFUSALS, error


Bout = Callable[[NodeProcess, random.Random, ExitStack], None]
BOUTS: tuple[Bout, ...] = (
    idle_connections,
    a_flood_of_requests,
    frames_that_do_not_come,
    clients_that_never_read,
    bombs,
    large_writes,
    large_results,
)


class Pressure:
    """Threads that misbehave until a moment, and what went wrong in them."""

    def __init__(self, node: NodeProcess, seed: int, until: float) -> None:
        self.node = node
        self.until = until
        self.failures: list[BaseException] = []
        self.done: Counter[str] = Counter()
        self.threads = [
            threading.Thread(target=self._run, args=(random.Random(seed + number),), daemon=True)
            for number in range(AT_ONCE)
        ]

    def _run(self, rng: random.Random) -> None:
        while time.monotonic() < self.until and not self.failures:
            bout = rng.choice(BOUTS)
            try:
                with ExitStack() as stack:
                    bout(self.node, rng, stack)
            except OSError:
                self.done[f"{bout.__name__}, cut off"] += 1  # The node may close a connection.
            except BaseException as failure:
                self.failures.append(failure)
            else:
                self.done[bout.__name__] += 1


def test_everything_at_once_is_survived_and_others_are_answered(
    tmp_path: Path, seed: int, request: pytest.FixtureRequest, proven: Callable[[str, int], None]
) -> None:
    seconds = LONG_S if request.config.getoption("--long") else QUICK_S
    settings = tmp_path / "settings.yaml"
    settings.write_text("native_transport_stalled_timeout: 3s\n")
    with ExitStack() as stack:
        node = _start(tmp_path, MEMORY_MIB, "--config", str(settings))
        stack.callback(node.close)
        pids = node.shard_pids()
        _fill(node, 1, WIDE_MIB)
        pressure = Pressure(node, seed, time.monotonic() + seconds)
        for thread in pressure.threads:
            thread.start()
        try:
            asked, refused, most = _watch(node, pressure)
        finally:
            pressure.until = 0.0
            for thread in pressure.threads:
                thread.join(BOUT_S_MAX * crowd())
        print(dict(pressure.done), f"{most >> 10} MiB at most, {refused} of {asked} refused")
        assert not any(thread.is_alive() for thread in pressure.threads), "a bout does not end"
        if pressure.failures:
            raise pressure.failures[0]
        assert refused < asked, "others are answered"
        _check(node, pids)
        proven("resources, seconds", int(seconds))
        proven("resources, bouts", pressure.done.total())


def _watch(node: NodeProcess, pressure: Pressure) -> tuple[int, int, int]:
    """Asks until the time is over: how often, how often in vain; and the most memory, in KiB."""
    asked = refused = most = 0
    while time.monotonic() < pressure.until and not pressure.failures:
        began = time.monotonic()
        asked += 1
        try:
            with closing(WireClient(node.address, node.port)) as client:
                client.query("SELECT v FROM k.wide WHERE k = 1 AND c = 7")
        except ServerError as error:
            assert error.code in REFUSALS, error
            refused += 1
        assert time.monotonic() - began < ANSWERED_S_MAX * crowd()
        most = max(most, _pss_kib(node))
        assert most < MEMORY_MIB * 1024
        time.sleep(0.2)
    return asked, refused, most


def crowd() -> float:
    """How much longer than on an idle machine things may take."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
