"""A node with little memory under many connections, floods, slow readers and large partitions.

Each test ends with the same look: all processes of the node together hold less than `--memory`,
and the node answers. PSS counts a page that several processes share once.
"""

from __future__ import annotations

import os
import resource
import select
import socket
import statistics
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.load.idle import memory_kib
from bench.load.point import cpu_seconds
from tests.harness.node_process import NodeProcess
from tests.harness.wire import HEADER, OP_QUERY, ServerError, WireClient, execute_frame

MEMORY_MIB = 256
STALLED_S = 3
OVERLOADED = 0x1001
OP_OPTIONS = 5
STARTUP = HEADER.pack(4, 0, 0, 1, 22) + struct.pack(">HH", 1, 11) + b"CQL_VERSION\0\x053.0.0"
READY_BYTES = 9
KEYSPACE = (
    "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
)
ROW_BYTES = 8_000


def _is_long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node of one shard with a table that has a wide partition."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    node = _start(tmp_path_factory.mktemp("resources"), MEMORY_MIB)
    yield node
    node.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _start(folder: Path, memory_mib: int, *options: str) -> NodeProcess:
    """A node of one shard with two empty tables."""
    memory = ("--memory", f"{memory_mib}MiB")
    node = NodeProcess(folder / "data", options=(*memory, *options)).start()
    client = WireClient(node.address, node.port)
    client.query(KEYSPACE)
    client.query("CREATE TABLE k.wide (k int, c int, v blob, PRIMARY KEY (k, c))")
    client.query("CREATE TABLE k.small (k int PRIMARY KEY, v blob)")
    client.close()
    return node


def _pss_kib(node: NodeProcess) -> int:
    return sum(memory_kib(pid)[1] for pid in (node.pid, *node.shard_pids()))


def _anonymous_kib(node: NodeProcess) -> int:
    """What no file backs: a change is the node's own, whoever else maps the same libraries."""
    found = [
        int(line.split()[1])
        for pid in (node.pid, *node.shard_pids())
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        if line.startswith("Pss_Anon:")
    ]
    assert len(found) == 1 + node.shards
    return sum(found)


def _check(node: NodeProcess, pids: list[int]) -> None:
    """The node keeps its limit, answers, and is the one that was there before."""
    client = WireClient(node.address, node.port)
    client.query("INSERT INTO k.small (k, v) VALUES (1, 0x01)")
    assert client.rows("SELECT v FROM k.small WHERE k = 1") == [(b"\x01",)]
    client.close()
    assert node.shard_pids() == pids, "no shard died"
    assert _pss_kib(node) < MEMORY_MIB * 1024


def _connect(node: NodeProcess, count: int, stack: ExitStack) -> list[socket.socket]:
    """Connections that have started up; the kernel keeps little of what they do not read."""
    places = [stack.enter_context(socket.socket()) for _ in range(count)]
    for place in places:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        place.connect((node.address, node.port))
        place.sendall(STARTUP)
    for place in places:
        assert place.recv(READY_BYTES)[4] == 2
    return places


def _query_frame(text: str, stream: int = 0, padding: int = 0) -> bytes:
    body = struct.pack(">i", len(text) + padding) + text.encode() + b" " * padding
    body += struct.pack(">HB", 1, 0)
    return HEADER.pack(4, 0, stream, OP_QUERY, len(body)) + body


def _fill(node: NodeProcess, key: int, mebibytes: int, row_bytes: int = ROW_BYTES) -> int:
    """Gives a partition so many bytes, in rows of 8 KB; how many rows that are."""
    client = WireClient(node.address, node.port)
    insert = client.prepare("INSERT INTO k.wide (k, c, v) VALUES (?, ?, ?)")
    rows = mebibytes * (1 << 20) // row_bytes
    for first in range(0, rows, 32):
        frames = [
            execute_frame(
                0, insert, [struct.pack(">i", key), struct.pack(">i", c), os.urandom(row_bytes)]
            )
            for c in range(first, min(rows, first + 32))
        ]
        while frames:
            client.send(b"".join(frames))
            answers: list[tuple[int, int, bytes]] = []
            while len(answers) < len(frames):
                answers += client.receive()
            refused = [body for _, opcode, body in answers if opcode == 0]
            assert all(ServerError(body).code == OVERLOADED for body in refused), refused
            frames = frames if refused else []
    client.close()
    return rows


def test_thousands_of_idle_connections_cost_less_than_four_kibibytes_each(
    node: NodeProcess,
) -> None:
    pids = node.shard_pids()
    count = 2_000
    with ExitStack() as stack:
        _connect(node, 50, stack)  # What is made once for all is made.
        before = _anonymous_kib(node)
        places = _connect(node, count, stack)
        each = (_anonymous_kib(node) - before) / count
        print(f"an idle connection costs {each:.2f} KiB")
        assert each < 4
        for place in places[::100]:
            place.sendall(_query_frame("SELECT key FROM system.local"))
        for place in places[::100]:
            assert place.recv(4096)[4] == 8
        _check(node, pids)


def test_ten_thousand_requests_in_flight_are_all_answered(node: NodeProcess) -> None:
    pids = node.shard_pids()
    frames = b"".join(
        _query_frame(f"SELECT v FROM k.wide WHERE k = {i} AND c = 1", i) for i in range(50)
    )
    with ExitStack() as stack:
        places = _connect(node, 200, stack)
        for place in places:
            place.sendall(frames)
        answers = [_answers(place, 50) for place in places]
        codes = [code for each in answers for code in each]
        assert len(codes) == 10_000
        assert set(codes) <= {0, OVERLOADED}
        _check(node, pids)


def _answers(place: socket.socket, count: int) -> list[int]:
    """The error codes of so many replies; 0 for those that are none."""
    buffer, codes = bytearray(), []
    place.settimeout(60)
    while len(codes) < count:
        while len(buffer) < 9 or len(buffer) < 9 + int.from_bytes(buffer[5:9], "big"):
            data = place.recv(1 << 18)
            assert data, "the node closed the connection"
            buffer += data
        size = 9 + int.from_bytes(buffer[5:9], "big")
        codes.append(int.from_bytes(buffer[9:13], "big") if buffer[4] == 0 else 0)
        del buffer[:size]
    return codes


def test_frames_that_are_announced_and_do_not_come_leave_room_for_others(
    node: NodeProcess,
) -> None:
    pids = node.shard_pids()
    with ExitStack() as stack:
        places = _connect(node, 300, stack)
        for i, place in enumerate(places):
            size = (6 << 20) if i % 2 else (300 << 20)
            place.sendall(HEADER.pack(4, 0, i, OP_QUERY, size) + b"\0" * 9)
        answered = _readable(places, 149)
        refusals = {_answers(place, 1)[0] for place in answered}
        # Too big ever, or too much for now.
        assert refusals == {0x2200, OVERLOADED}
        _check(node, pids)
        # Those who were refused send what they announced, and go on.
        place = next(p for i, p in enumerate(places) if i % 2 and p in answered)
        place.sendall(b"\0" * ((6 << 20) - 9) + _query_frame("SELECT key FROM system.local"))
        assert _answers(place, 1) == [0]
        _check(node, pids)


def _readable(places: list[socket.socket], at_least: int) -> list[socket.socket]:
    """Those that have been answered, once there are so many."""
    poll = select.poll()
    by_number = {place.fileno(): place for place in places}
    for number in by_number:
        poll.register(number, select.POLLIN)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = [by_number[number] for number, _ in poll.poll(100)]
        if len(found) >= at_least:
            return found
    raise AssertionError("not enough of them were answered")


def test_pages_that_take_many_turns_are_made_a_few_at_a_time(tmp_path: Path) -> None:
    """Each of 400 requests wants a megabyte in 250 rows, and all clients read what comes."""
    with ExitStack() as stack:
        node = _start(tmp_path, MEMORY_MIB)
        stack.callback(node.close)
        pids = node.shard_pids()
        assert _fill(node, 1, 2, 4_000) > 250
        places = _connect(node, 20, stack)
        frames = _page_frame("SELECT v FROM k.wide WHERE k = 1", 250, None) * 20
        for place in places:
            place.sendall(frames)
        with ThreadPoolExecutor(len(places)) as readers:
            answers = [readers.submit(_answers, place, 20) for place in places]
            most = 0
            while not all(answer.done() for answer in answers):
                most = max(most, _pss_kib(node))
        codes = {code for answer in answers for code in answer.result()}
        assert codes <= {0, OVERLOADED}
        assert most < MEMORY_MIB * 1024
        _check(node, pids)


def test_clients_that_never_read_are_bounded_and_cut_off_while_others_are_served(
    tmp_path: Path,
) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"native_transport_stalled_timeout: {STALLED_S}s\n")
    with ExitStack() as stack:
        node = _start(tmp_path, MEMORY_MIB, "--config", str(settings))
        stack.callback(node.close)
        pids = node.shard_pids()
        _fill(node, 1, 4)
        places = _connect(node, 40, stack)
        other = WireClient(node.address, node.port)
        stack.callback(other.close)
        frames = _page_frame("SELECT v FROM k.wide WHERE k = 1", 100, None) * 40
        for place in places:
            place.setblocking(False)
        began = time.monotonic()
        while places and time.monotonic() < began + 30 + STALLED_S:
            places = [place for place in places if _can_go_on_asking(place, frames)]
            asked = time.monotonic()
            other.query("SELECT key FROM system.local")
            assert time.monotonic() - asked < 5
            assert _pss_kib(node) < MEMORY_MIB * 1024
            select.select([], [], [], 0.1)
        assert not places
        assert time.monotonic() - began >= STALLED_S, "nobody is cut off before the limit"
        _check(node, pids)


def test_a_node_with_little_memory_answers_shorter_pages_instead_of_none(tmp_path: Path) -> None:
    with ExitStack() as stack:
        node = _start(tmp_path, 64)
        stack.callback(node.close)
        rows = _fill(node, 1, 8)
        client = WireClient(node.address, node.port)
        stack.callback(client.close)
        pages = []
        for query in ("SELECT v FROM k.wide WHERE k = 1", "SELECT k, c, v FROM k.wide"):
            counts = list(client.pages(query, 5_000))
            assert sum(counts) == rows
            pages.append(len(counts))
        assert min(pages) > 20, "a page is less than a part of the room for replies"
        assert _pss_kib(node) < 64 * 1024


def _can_go_on_asking(place: socket.socket, frames: bytes) -> bool:
    """Asks for more without reading; false once the connection has ended."""
    try:
        place.send(frames)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


def _beat(place: socket.socket) -> float:
    """How many seconds an OPTIONS takes."""
    began = time.perf_counter()
    place.sendall(HEADER.pack(4, 0, 1, OP_OPTIONS, 0))
    assert place.recv(4096)[4] == 6
    return time.perf_counter() - began


def test_heartbeats_are_answered_at_once_during_a_full_scan(node: NodeProcess) -> None:
    """Before the table has a partition that no request can count in its time."""
    pids = node.shard_pids()
    _fill(node, 3, 24)
    times = []
    with ExitStack() as stack:
        (heartbeat,) = _connect(node, 1, stack)
        scanner = WireClient(node.address, node.port)
        stack.callback(scanner.close)
        while len(times) < 50:
            scanner.send(_query_frame("SELECT count(*) FROM k.wide"))
            while not select.select([scanner.fileno()], [], [], 0)[0]:
                times.append(_beat(heartbeat))
            ((_, opcode, body),) = scanner.receive()
            assert opcode == 8, ServerError(body)
    times.sort()
    print(f"{len(times)} OPTIONS: median {statistics.median(times) * 1000:.2f} ms, ", end="")
    print(f"at most {times[-1] * 1000:.2f} ms")
    assert statistics.median(times) < 0.005 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    _check(node, pids)


def test_a_large_partition_is_read_in_pages_and_others_are_served_meanwhile(
    node: NodeProcess, request: pytest.FixtureRequest
) -> None:
    pids = node.shard_pids()
    rows = _fill(node, 2, 1024 if _is_long(request) else 96)
    times: list[float] = []
    seen = 0
    with ExitStack() as stack:
        (heartbeat,) = _connect(node, 1, stack)
        reader = WireClient(node.address, node.port)
        stack.callback(reader.close)
        state: bytes | None = None
        while True:
            reader.send(_page_frame("SELECT v FROM k.wide WHERE k = 2", 500, state))
            times.append(_beat(heartbeat))
            ((_, opcode, body),) = reader.receive()
            assert opcode == 8, ServerError(body)
            found, state = _page(body)
            seen += found
            if state is None:
                break
        assert seen == rows
        assert _pss_kib(node) < MEMORY_MIB * 1024
        # Without pages it is more than the node may hold.
        with pytest.raises(ServerError, match="read it in pages"):
            reader.query("SELECT v FROM k.wide WHERE k = 2")
    print(f"OPTIONS during the read: median {statistics.median(times) * 1000:.2f} ms")
    _check(node, pids)


def _page_frame(text: str, page_size: int, state: bytes | None) -> bytes:
    flags = 0x02 | 0x04 | (0x08 if state is not None else 0)
    body = struct.pack(">i", len(text)) + text.encode() + struct.pack(">HBi", 1, flags, page_size)
    if state is not None:
        body += struct.pack(">i", len(state)) + state
    return HEADER.pack(4, 0, 0, OP_QUERY, len(body)) + body


def _page(body: bytes) -> tuple[int, bytes | None]:
    """Rows of a page without metadata, and where the next one begins."""
    _, flags, _ = struct.unpack_from(">iii", body)
    position, state = 12, None
    if flags & 2:
        (size,) = struct.unpack_from(">i", body, position)
        state = body[position + 4 : position + 4 + size]
        position += 4 + size
    return struct.unpack_from(">i", body, position)[0], state


def test_a_node_without_descriptors_neither_spins_nor_stays_so(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "data", options=("--memory", f"{MEMORY_MIB}MiB")).start()
    try:
        (shard,) = pids = node.shard_pids()
        client = WireClient(node.address, node.port)
        client.query(KEYSPACE)
        client.query("CREATE TABLE k.small (k int PRIMARY KEY, v blob)")
        used = len(os.listdir(f"/proc/{shard}/fd"))
        limits = resource.prlimit(shard, resource.RLIMIT_NOFILE)
        assert limits[0] == limits[1], "the node takes all that it may have"
        resource.prlimit(shard, resource.RLIMIT_NOFILE, (used + 20, limits[1]))
        with ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(socket.create_connection((node.address, node.port)))
            before, began = cpu_seconds([shard]), time.monotonic()
            while time.monotonic() - began < 2:
                client.query("SELECT key FROM system.local")
                select.select([], [], [], 0.05)
            busy = (cpu_seconds([shard]) - before) / (time.monotonic() - began)
            assert busy < 0.5, f"{busy:.0%} of a core for nothing"
        client.close()
        resource.prlimit(shard, resource.RLIMIT_NOFILE, limits)
        _check(node, pids)
    finally:
        node.close()
