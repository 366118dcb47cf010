"""A frame's bytes, as they were read, to its payload: checked first, decompressed after that."""

def open_frame(
    identity: bytes,
    offset: int,
    kind: int,
    data: bytes | memoryview,
    start: int = 0,
    size: int = -1,
) -> bytes:
    """The payload of the frame of `kind` that the file has at `offset`; CorruptData if it has none.

    The frame is the `size` bytes of `data` from `start`, as far as they are there; -1 is all.
    """
