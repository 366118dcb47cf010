"""The sub-options of `compaction` which all strategies have, and how texts are read.

The statement which set them was validated, so a value that does not parse is our mistake.
"""

import re
from collections.abc import Mapping
from typing import Final

from storage.values import value_class

MIB: Final = 1024 * 1024
DAY_S: Final = 86_400
PACKAGE: Final = "org.apache.cassandra.db.compaction."

_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgtp]?)(?:i?b)?\s*", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


@value_class
class CommonOptions:
    """What every strategy obeys."""

    is_enabled: bool = True
    min_threshold: int = 4
    max_threshold: int = 32
    tombstone_threshold: float = 0.2
    tombstone_interval_s: int = DAY_S
    is_unchecked: bool = False
    """Whether a file is rewritten for its tombstones although others overlap it."""

    @staticmethod
    def parse(given: Mapping[str, str]) -> "CommonOptions":
        """The options of a table; what is not given has the default."""
        default = CommonOptions()
        least = max(int(given.get("min_threshold", default.min_threshold)), 2)
        return CommonOptions(
            is_true(given.get("enabled", "true")),
            least,
            max(int(given.get("max_threshold", default.max_threshold)), least),
            float(given.get("tombstone_threshold", default.tombstone_threshold)),
            int(given.get("tombstone_compaction_interval", DAY_S)),
            is_true(given.get("unchecked_tombstone_compaction", "false")),
        )


def is_true(text: str) -> bool:
    """Whether a text says yes."""
    return text.lower() == "true"


def size_of(text: str) -> int:
    """The bytes of a size like `100MiB`, `1 GB` or `4096`; all units are binary."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text} is no size")
    return int(float(found.group(1)) * 1024 ** _POWERS[found.group(2).lower()])


def fraction_of(text: str) -> float:
    """The value of `0.25` or `25%`."""
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)
