from typing import Final

from cql.errors import CqlError
from cql.protocol.room import Room

VERSION_MIN: Final = 3
VERSION_MAX: Final = 5
VERSION_NAMES: Final[str]
FRAME_BYTES_MAX: Final[int]
FIRST_FRAME_BYTES_MAX: Final = 100_000
STARTUP_FRAME_BYTES_MAX: Final[int]
NO_ROOM: Final[str]

OP_ERROR: Final = 0x00
OP_STARTUP: Final = 0x01
OP_READY: Final = 0x02
OP_AUTHENTICATE: Final = 0x03
OP_OPTIONS: Final = 0x05
OP_SUPPORTED: Final = 0x06
OP_QUERY: Final = 0x07
OP_RESULT: Final = 0x08
OP_PREPARE: Final = 0x09
OP_EXECUTE: Final = 0x0A
OP_REGISTER: Final = 0x0B
OP_EVENT: Final = 0x0C
OP_BATCH: Final = 0x0D
OP_AUTH_CHALLENGE: Final = 0x0E
OP_AUTH_RESPONSE: Final = 0x0F
OP_AUTH_SUCCESS: Final = 0x10

FLAG_COMPRESSED: Final = 0x01
FLAG_TRACING: Final = 0x02
FLAG_PAYLOAD: Final = 0x04
FLAG_WARNING: Final = 0x08
FLAG_USE_BETA: Final = 0x10

OPCODE_NAMES: Final[dict[int, str]]

class BadFrame(Exception):
    error: CqlError
    version: int
    stream: int
    is_fatal: bool
    flags: int
    def __init__(
        self, error: CqlError, version: int, stream: int, *, is_fatal: bool, flags: int = 0
    ) -> None: ...

class Frame:
    @property
    def version(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def stream(self) -> int: ...
    @property
    def opcode(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    def __init__(
        self, version: int, opcode: int, body: bytes = b"", *, stream: int = 0, flags: int = 0
    ) -> None: ...

class Reply:
    @property
    def opcode(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def rest(self) -> bytes | None: ...
    @property
    def closes(self) -> bool: ...
    def __init__(
        self,
        opcode: int,
        body: bytes = b"",
        *,
        rest: bytes | None = None,
        flags: int = 0,
        closes: bool = False,
    ) -> None: ...

class FrameReader:
    frame_bytes_max: int
    is_open: bool
    def __init__(self, frame_bytes_max: int = ..., room: Room | None = ...) -> None: ...
    def receive(self, data: bytes | bytearray | memoryview) -> None: ...
    def agree(self, version: int, *, packs: bool) -> None: ...
    @property
    def kept_bytes(self) -> int: ...
    def next_frame(self) -> Frame | None: ...

class FrameWriter:
    def agree(self, version: int, *, packs: bool) -> None: ...
    def add(self, version: int, stream: int, reply: Reply) -> None: ...
    @property
    def waiting_bytes(self) -> int: ...
    def take(self, most: int = ...) -> bytearray | bytes | None: ...

def version_name(version: int) -> str: ...
def decompress_body(body: bytes, bytes_max: int) -> bytes: ...
def compress_body(body: bytes) -> bytes: ...
