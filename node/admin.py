"""Operator commands on a local socket of the data directory.

The socket `admin.sock` belongs to the user who runs the node and to nobody else. A connection
carries one request, one line of JSON `{"command": NAME, ...arguments}`. The answer is lines of
JSON: `{"row": {...}}` for each thing found, and at last `{"done": true}` or `{"error": TEXT}`.
A connection that ends without the last line means that the node ended: nobody knows what was done.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from cluster.errors import ClusterError
from cql.errors import CqlError
from node.all_shards import CommandFailed
from storage.errors import StorageError

NAME: Final = "admin.sock"
REQUEST_BYTES_MAX: Final = 64 * 1024
REQUEST_TIMEOUT_S: Final = 10.0
CONNECTIONS_MAX: Final = 8
_PATH_BYTES_MAX: Final = 100
"""Addresses of local sockets have little room; longer paths go through a descriptor."""

Arguments = Mapping[str, Any]
Row = dict[str, Any]
Command = Callable[[Arguments], AsyncIterator[Row]]

_log = logging.getLogger("pythia.admin")


class RequestRefused(Exception):
    """The request is none; the text says why."""


class Admin:
    """Answers the operator's commands, on the shard that may change the whole node."""

    def __init__(self, data_directory: str, commands: Mapping[str, Command]) -> None:
        self._directory = data_directory
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._connections = 0

    async def start(self) -> None:
        """Listen; what an earlier life left in our place is removed."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._directory}/{NAME}")
        place = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # On Linux the file gets the mode of its socket, so nobody else can be faster than us.
        os.fchmod(place.fileno(), 0o600)
        with _short_path(self._directory) as path:
            try:
                place.bind(path)
            except OSError as error:
                place.close()
                whole = f"{self._directory}/{NAME}"
                raise OSError(error.errno, error.strerror, whole) from None
        os.chmod(f"{self._directory}/{NAME}", 0o600)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=place, limit=REQUEST_BYTES_MAX
        )

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._directory}/{NAME}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            await self._answer(reader, writer)
        except ConnectionError:
            pass  # The operator has gone; what was begun was done.
        finally:
            self._connections -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        last: Row = {"done": True}
        try:
            if self._connections > CONNECTIONS_MAX:
                raise RequestRefused(f"{CONNECTIONS_MAX} commands are being answered already")
            command, arguments = await self._read(reader)
            async for row in command(arguments):
                writer.write(_line({"row": row}))
                await writer.drain()
        except (RequestRefused, CommandFailed, StorageError, ClusterError, CqlError) as error:
            last = {"error": str(error)}
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - this loop owns the operator's request
            _log.exception("a command failed")
            last = {"error": f"{type(error).__name__}: {error}"}
        writer.write(_line(last))
        await writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> tuple[Command, Arguments]:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                line = await reader.readline()
            request = json.loads(line)
            name = request.pop("command")
        except (ValueError, KeyError, AttributeError, TimeoutError):
            raise RequestRefused("one line of JSON with a command is expected") from None
        if name not in self._commands:
            raise RequestRefused(f"there is no command {name!r}")
        return self._commands[name], request


class NoNode(Exception):
    """No node answers in the data directory."""


def ask(data_directory: str, command: str, **arguments: Any) -> list[Row]:
    """The rows of a running node's answer; raises NoNode, or RequestRefused with its words."""
    rows: list[Row] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as place:
        try:
            with _short_path(data_directory) as path:
                place.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NoNode(data_directory) from None
        place.sendall(_line({"command": command, **arguments}))
        with place.makefile("rb") as lines:
            for line in lines:
                answer = json.loads(line)
                if "error" in answer:
                    raise RequestRefused(answer["error"])
                if "done" in answer:
                    return rows
                rows.append(answer["row"])
    raise RequestRefused("the node ended before it had answered")


@contextlib.contextmanager
def _short_path(directory: str) -> Any:
    """A path of the socket that fits an address."""
    path = f"{directory}/{NAME}"
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        yield path
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


def _line(value: Row) -> bytes:
    return json.dumps(value).encode() + b"\n"
