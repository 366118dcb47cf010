"""The constants of an SSTable's bytes, and how its integers and strings are put and got."""

from typing import Final

PAGE_BYTES: Final[int]
FRAME_HEADER_BYTES: Final[int]
FRAME_BYTES_MAX: Final[int]
NO_END: Final[bytes]
NEVER_S: Final[int]

class Output:
    """A growing run of bytes."""

    size: int
