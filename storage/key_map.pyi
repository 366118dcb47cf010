"""Keys to objects, in as many dicts as it takes for none of them to grow in one long step."""

from collections.abc import Iterator
from typing import final

@final
class KeyMap:
    """Decorated keys to objects."""

    def __len__(self) -> int: ...
    def __contains__(self, key: bytes, /) -> bool: ...
    def __getitem__(self, key: bytes, /) -> object: ...
    def __setitem__(self, key: bytes, value: object, /) -> None: ...
    def __delitem__(self, key: bytes, /) -> None: ...
    def items(self) -> Iterator[tuple[bytes, object]]:
        """All entries, in no order that means anything."""

    def popitem(self) -> tuple[bytes, object]:
        """Some entry, which goes; KeyError if there is none."""

    def check(self) -> None:
        """Asserts the invariants; slow."""
