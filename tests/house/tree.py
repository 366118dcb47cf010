"""What the house rules look at: the source files of the floors and the rooms that
docs/architecture.md lists.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("node", "cql", "cluster", "storage")
"""From the top; a module imports from its own floor or from one that stands later in this list."""

_ROOM_LINE = re.compile(r"- (?P<marks>[★▢]*) ?`(?P<room>[a-z_/0-9]+)` (?P<purpose>.+)\Z")
_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """One source file of a floor."""

    path: Path

    @property
    def name(self) -> str:
        """Path from the root, for messages."""
        return str(self.path.relative_to(ROOT))

    @property
    def floor(self) -> str:
        return self.path.relative_to(ROOT).parts[0]

    @property
    def room(self) -> str:
        """`storage/sstable/block` for storage/sstable/block.pyx."""
        return str(self.path.relative_to(ROOT).with_suffix(""))

    @property
    def text(self) -> str:
        return self.path.read_text()

    def imported_rooms(self) -> Iterator[str]:
        """Rooms of our floors that this file imports or cimports, wherever in the file."""
        for line in _IMPORT.finditer(self.text):
            module = line.group(1) or line.group(2)
            if module.split(".")[0] in FLOORS:
                yield module.replace(".", "/")


@dataclass(frozen=True)
class Room:
    """One line of docs/architecture.md."""

    name: str
    purpose: str
    is_door: bool
    is_compiled: bool


def sources(*suffixes: str) -> list[Source]:
    """All source files of the floors with these endings."""
    found = (path for floor in FLOORS for path in (ROOT / floor).rglob("*"))
    return sorted(
        (
            Source(path)
            for path in found
            if path.suffix in suffixes and "__pycache__" not in path.parts
        ),
        key=lambda source: source.name,
    )


def listed_rooms() -> dict[str, Room]:
    """The rooms of docs/architecture.md by name."""
    rooms = {}
    for line in (ROOT / "docs/architecture.md").read_text().splitlines():
        match = _ROOM_LINE.match(line)
        if match:
            marks = match.group("marks")
            name = match.group("room")
            rooms[name] = Room(name, match.group("purpose"), "▢" in marks, "★" in marks)
    return rooms


def first_docstring_line(source: Source) -> str:
    """The line that says what a room is for; empty if there is none."""
    if source.path.suffix == ".py":
        return (ast.get_docstring(ast.parse(source.text)) or "").partition("\n")[0]
    match = re.search(r'"""(.*?)(?:"""|$)', source.text, re.MULTILINE)
    return match.group(1).strip() if match else ""
