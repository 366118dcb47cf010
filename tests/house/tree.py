"""What the house rules look at: the source files of the floors and the rooms that
docs/architecture.md lists.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("node", "cql", "cluster", "storage")
"""From the top; a module imports from its own floor or from one that stands later in this list."""

JOINER = "node/shard"
"""Joins the floors and their ports, so it may open any room."""
LAUNCHER = "node/launcher/__init__"
"""The package that a wheel installs; the one init file that is a room."""
BUILT_BY_THE_JOINER = {"storage/engine", "cluster/coordinator", "cql/executor"}
"""Doors that floors above know through a Protocol of their own, so that only the joiner imports."""

_ROOM_LINE = re.compile(r"- (?P<marks>[★▢]*) ?`(?P<room>[a-z_/0-9]+)` (?P<purpose>.+)\Z")
_IMPORT = re.compile(
    r"^\s*(?:from\s+([\w.]+)\s+c?import\s+(\([^)]*\)|[^\n]*)|c?import\s+([\w.]+))", re.MULTILINE
)


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

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    def imported_rooms(self) -> Iterator[str]:
        """Rooms of our floors that this file imports or cimports, wherever in the file."""
        for line in _IMPORT.finditer(self.text):
            module = (line.group(1) or line.group(3)).replace(".", "/")
            if module.split("/")[0] not in FLOORS:
                continue
            if (ROOT / module / "__init__.py").exists():  # `from cql.protocol import requests`
                for name in re.findall(r"\w+", re.sub(r"#.*|\bas\s+\w+", "", line.group(2) or "")):
                    yield f"{module}/{name}"
            else:
                yield module


@dataclass(frozen=True)
class Room:
    """One line of docs/architecture.md."""

    name: str
    purpose: str
    is_door: bool
    is_compiled: bool


@cache
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


def is_room_line(line: str) -> bool:
    """Whether a line of docs/architecture.md lists a room."""
    return _ROOM_LINE.match(line) is not None


@cache
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


@cache
def users_of_rooms() -> dict[str, set[str]]:
    """For each room, the rooms of other floors that import it; `node/shard` may open any."""
    users: dict[str, set[str]] = {}
    for source in sources(".py", ".pyx", ".pxd"):
        for imported in source.imported_rooms():
            if imported.split("/")[0] != source.floor and source.room != JOINER:
                users.setdefault(imported, set()).add(source.room)
    return users


def rooms_to_list() -> list[Source]:
    """Every source file that needs a line in docs/architecture.md."""
    return [
        source
        for source in sources(".py", ".pyx")
        if source.path.stem != "__init__" or source.room == LAUNCHER
    ]


def room_line(source: Source, is_door: bool) -> str:
    """The line of docs/architecture.md for a room."""
    marks = ("▢" if is_door else "") + ("★" if source.path.suffix == ".pyx" else "")
    return f"- {marks + ' ' if marks else ''}`{source.room}` {first_docstring_line(source)}"


def first_docstring_line(source: Source) -> str:
    """The line that says what a room is for; empty if there is none."""
    if source.path.suffix == ".py":
        return (ast.get_docstring(ast.parse(source.text)) or "").partition("\n")[0]
    match = re.search(r'"""(.*?)(?:"""|$)', source.text, re.MULTILINE)
    return match.group(1).strip() if match else ""
