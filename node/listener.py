"""Opens the listening sockets and steers connections to shards in the kernel.

There is one socket for each shard and port, all bound to one address with SO_REUSEPORT; the
supervisor opens them once, in the order of the shards, and keeps them for its whole life, so that a
socket's place in the reuseport group is its shard's number. A classic BPF program on the group
chooses the place of each new connection: on the shard-aware port `source port % shards`, exactly;
on the ordinary port at random, which spreads evenly whatever the clients' ports are. (A free port
of a client is always odd or always even on Linux, so that the source port itself would leave half
of the shards empty.)

Where the kernel has no such program (macOS), `can_steer` is false: there is one socket for all
shards and no shard-aware port.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys

from storage.values import value_class

BACKLOG = 4096

_SO_ATTACH_REUSEPORT_CBPF = 51
_LOAD_BYTE, _LOAD_WORD = 0x30, 0x20  # BPF_LD | BPF_ABS with BPF_B and BPF_W
_LOAD_HALF_INDEXED = 0x48  # BPF_LD | BPF_IND | BPF_H
_LOAD_X_IP_HEADER = 0xB1  # BPF_LDX | BPF_MSH | BPF_B: X = 4 * (byte & 15)
_LOAD_X_CONSTANT = 0x01
_MODULO, _AND, _JUMP, _JUMP_IF_EQUAL, _RETURN_A = 0x94, 0x54, 0x05, 0x15, 0x16
_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF
_ANCILLARY_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM
_IPV6_HEADER_BYTES = 40


@value_class
class Listeners:
    """The sockets of a node; index i of each tuple belongs to shard i."""

    address: str
    port: int
    ordinary: tuple[socket.socket, ...]
    shard_aware_port: int | None
    shard_aware: tuple[socket.socket, ...]

    def of_shard(self, shard: int) -> tuple[socket.socket, ...]:
        """The sockets on which a shard accepts, ordinary one first."""
        aware = (self.shard_aware[shard],) if self.shard_aware else ()
        return (self.ordinary[shard], *aware)

    def every(self) -> tuple[socket.socket, ...]:
        """All sockets, for closing."""
        return self.ordinary + self.shard_aware


def can_steer() -> bool:
    """True if this kernel lets a program choose the socket of a connection."""
    return sys.platform == "linux"


def open_listeners(address: str, port: int, shard_aware_port: int, shards: int) -> Listeners:
    """Opens all sockets; port 0 takes a free one. Raises OSError if an address is in use.

    The shard-aware port is left out when it cannot be exact or when the ordinary port was taken at
    random and no free port is left for it.
    """
    exact = can_steer()
    ordinary = _open_group(address, port, shards, _random_program(shards) if exact else None)
    chosen = int(ordinary[0].getsockname()[1])
    aware: tuple[socket.socket, ...] = ()
    if exact and shard_aware_port:
        wanted = 0 if not port else shard_aware_port
        aware = _open_group(address, wanted, shards, _source_port_program(shards))
    aware_port = int(aware[0].getsockname()[1]) if aware else None
    return Listeners(address, chosen, ordinary, aware_port, aware)


def _open_group(
    address: str, port: int, shards: int, program: bytes | None
) -> tuple[socket.socket, ...]:
    """`shards` listening sockets on one port; the first gets a free port when `port` is 0."""
    _refuse_foreign_group(address, port)
    first = _bind(address, port)
    if not port:
        port = int(first.getsockname()[1])
    sockets = [first] + [_bind(address, port) for _ in range(shards - 1)]
    for place in sockets:
        place.listen(BACKLOG)
    if program is not None and shards > 1:
        _attach(first, program)
    return tuple(sockets)


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    place = socket.socket(family, socket.SOCK_STREAM)
    try:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        place.bind((address, port))
    except OSError:
        place.close()
        raise
    place.setblocking(False)
    return place


def _refuse_foreign_group(address: str, port: int) -> None:
    """SO_REUSEPORT would let two nodes of one user share a port without a word; a probe without it
    fails.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))


def _attach(member: socket.socket, program: bytes) -> None:
    """Gives the reuseport group of `member` its program (struct sock_fprog: length, pointer)."""
    buffer = ctypes.create_string_buffer(program)
    fprog = struct.pack("HP", len(program) // 8, ctypes.addressof(buffer))
    member.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, fprog)


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, operand)


def _random_program(shards: int) -> bytes:
    """A = random % shards."""
    return b"".join(
        (
            _instruction(_LOAD_WORD, _ANCILLARY_RANDOM),
            _instruction(_MODULO, shards),
            _instruction(_RETURN_A, 0),
        )
    )


def _source_port_program(shards: int) -> bytes:
    """A = source port % shards, of TCP over IPv4 (any header length) or IPv6 (no extension
    headers).
    """
    return b"".join(
        (
            _instruction(_LOAD_BYTE, _NETWORK_HEADER),
            _instruction(_AND, 0xF0),
            _instruction(_JUMP_IF_EQUAL, 0x60, if_true=2),
            _instruction(_LOAD_X_IP_HEADER, _NETWORK_HEADER),
            _instruction(_JUMP, 1),
            _instruction(_LOAD_X_CONSTANT, _IPV6_HEADER_BYTES),
            _instruction(_LOAD_HALF_INDEXED, _NETWORK_HEADER),
            _instruction(_MODULO, shards),
            _instruction(_RETURN_A, 0),
        )
    )


def default_gateway() -> str | None:
    """The address that connections through a container's published port come from, if any."""
    try:
        with open("/proc/net/route") as routes:
            lines = [line.split() for line in routes.readlines()[1:]]
    except OSError:
        return None
    for fields in lines:
        if len(fields) > 2 and fields[1] == "00000000":
            return socket.inet_ntoa(struct.pack("<I", int(fields[2], 16)))
    return None


def is_in_use(error: OSError) -> bool:
    """True if a listening socket could not be had because somebody else has the port."""
    return error.errno == errno.EADDRINUSE
