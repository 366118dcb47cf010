"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70


def _load(name: str) -> ModuleType:
    """A neighbour in this folder; tests are imported one by one and share no package."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"house_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


tree = _load("tree")

WORLD = {
    "time": {"node"},
    "datetime": set(),
    "random": set(),
    "secrets": {"node"},
    "os": {"node", "storage/direct_disk", "storage/io_call", "storage/io_threads", "storage/uring"},
    "pathlib": {"node"},
    "socket": {"node"},
    "subprocess": set(),
    "threading": {"storage/direct_disk"},
    "tempfile": set(),
}
"""Modules that reach for the world, and the floors or rooms which may import them."""
UNSAFE = re.compile(
    r"^\s*(?:import|from) (?:pickle|marshal|shelve)\b|(?<![\w.])(?:eval|exec)\(|shell=True"
    r"|os\.(?:system|popen)\(|yaml\.load\(",
    re.MULTILINE,
)
"""Imports and calls, not words: `marshal` is also a part of the Java names of CQL types."""
MACHINE = re.compile(r"(?<![\w.])/(?:home|work|Users|root)/")
UNFINISHED = re.compile(r"\b(FIXME|TODO|XXX)\b")
WAITING = re.compile(r"create_task\(|ensure_future\(|asyncio\.timeout|call_later\(|wait_for\(")


HOT_ROOMS = (
    "node/connection",
    "node/dispatch",
    "cql/executor",
    "cql/bind",
    "cluster/coordinator",
    "storage/engine",
)
"""The rooms that every prepared statement on one partition passes."""


def _each(*suffixes: str) -> list[object]:
    return [pytest.param(source, id=source.name) for source in tree.sources(*suffixes)]


@pytest.mark.parametrize("source", _each(".py", ".pyx", ".pxd"))
def test_imports_point_down_and_through_doors(source: object) -> None:
    order = tree.FLOORS
    rooms = tree.listed_rooms()
    wrong = []
    for imported in source.imported_rooms():  # type: ignore[attr-defined]
        floor = imported.split("/")[0]
        if floor == source.floor:  # type: ignore[attr-defined]
            continue
        if order.index(floor) < order.index(source.floor):  # type: ignore[attr-defined]
            wrong.append(f"{imported} lies above")
        elif source.room != tree.JOINER and not _is_door(rooms, imported):  # type: ignore[attr-defined]
            wrong.append(f"{imported} is not a door")
    assert not wrong


def _is_door(rooms: dict[str, object], imported: str) -> bool:
    room = rooms.get(imported)
    return room is not None and bool(room.is_door)  # type: ignore[attr-defined]


@pytest.mark.parametrize("source", _each(".py", ".pyx", ".pxd"))
def test_files_are_short(source: object) -> None:
    assert source.text.count("\n") <= FILE_LINES_MAX  # type: ignore[attr-defined]


@pytest.mark.parametrize("source", _each(".py", ".pyx"))
def test_functions_are_short(source: object) -> None:
    text = source.text  # type: ignore[attr-defined]
    is_python = source.path.suffix == ".py"  # type: ignore[attr-defined]
    lengths = _python_functions(text) if is_python else _compiled_functions(text)
    assert [(name, n) for name, n in lengths if n > FUNCTION_LINES_MAX] == []


def _python_functions(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def _compiled_functions(text: str) -> Iterator[tuple[str, int]]:
    lines = text.splitlines()
    start = re.compile(r"^(\s*)(?:c?p?def|async def)\s+(?!class|enum|struct|extern|union)[^=]*\(")
    for number, line in enumerate(lines):
        match = start.match(line)
        if match is None:
            continue
        indent, last, is_open = len(match.group(1)), number, True
        for at in range(number + 1, len(lines)):
            body = lines[at]
            if body.strip() and len(body) - len(body.lstrip()) <= indent and not is_open:
                break
            is_open = is_open and not lines[at - 1].rstrip().endswith(":")
            last = at if body.strip() else last
        yield line.strip(), last - number + 1


@pytest.mark.parametrize("source", _each(".py", ".pyx"))
def test_only_the_named_rooms_reach_for_the_world(source: object) -> None:
    allowed_to = {source.room, source.floor}  # type: ignore[attr-defined]
    wrong = []
    pattern = re.compile(r"^(\s*)(?:from\s+(\w+)\s+import (.+)|import\s+(\w+)\s*)$", re.MULTILINE)
    for line in pattern.finditer(source.text):  # type: ignore[attr-defined]
        module = line.group(2) or line.group(4)
        allowed = WORLD.get(module)
        if allowed is None or allowed & allowed_to or _is_a_type_only(module, line.group(3) or ""):
            continue
        if not _stands_under_type_checking(source.text, line.start()):  # type: ignore[attr-defined]
            wrong.append(line.group(0).strip())
    assert wrong == []


def _is_a_type_only(module: str, names: str) -> bool:
    """`from random import Random` names the argument's type; so do the value types of datetime."""
    harmless = {"random": {"Random"}, "datetime": {"date", "datetime", "time", "timedelta", "UTC"}}
    listed = {name.strip() for name in names.strip("()").split(",") if name.strip()}
    return bool(listed) and listed <= harmless.get(module, set())


def _stands_under_type_checking(text: str, position: int) -> bool:
    before = text[:position].rstrip().splitlines()
    while before and (before[-1].startswith((" ", "\t")) or not before[-1].strip()):
        before.pop()
    return bool(before) and before[-1].startswith("if TYPE_CHECKING")


@pytest.mark.parametrize("source", _each(".py", ".pyx", ".pxd", ".pyi"))
def test_nothing_unsafe_unfinished_or_local_is_in_the_tree(source: object) -> None:
    text = source.text  # type: ignore[attr-defined]
    assert not UNSAFE.search(text)
    assert not UNFINISHED.search(text)
    assert not MACHINE.search(text)


@pytest.mark.parametrize("source", _each(".py", ".pyx"))
def test_the_hot_path_starts_no_task_and_no_timer(source: object) -> None:
    hot = _hot_lines(source.text)  # type: ignore[attr-defined]
    assert [line for line in hot if WAITING.search(line)] == []


@pytest.mark.parametrize("room", HOT_ROOMS)
def test_a_room_of_the_hot_path_marks_it(room: str) -> None:
    (source,) = (s for s in tree.sources(".py", ".pyx") if s.room == room)
    assert any(True for _ in _hot_lines(source.text))


def _hot_lines(text: str) -> Iterator[str]:
    """Lines from `# Hot path` to `# End of the hot path` or the end of the file, and those of a
    function whose docstring begins with "Hot path".
    """
    in_section, function_indent = False, -1
    for line in text.splitlines():
        bare = line.strip()
        indent = len(line) - len(line.lstrip())
        if bare.startswith("# Hot path"):
            in_section = True
        elif bare.startswith("# End of the hot path"):
            in_section = False
        elif bare.startswith('"""Hot path'):
            function_indent = indent
        elif bare and indent < function_indent:
            function_indent = -1
        if in_section or function_indent >= 0:
            yield bare


# The launcher is the package that a wheel installs, and this file is its room.
INITS = [s for s in tree.sources(".py") if "__init__" in s.name and s.room != tree.LAUNCHER]


@pytest.mark.parametrize("source", INITS, ids=lambda source: source.name)
def test_an_init_file_holds_a_docstring_and_nothing_else(source: object) -> None:
    body = ast.parse(source.text).body  # type: ignore[attr-defined]
    assert len(body) == 1 and isinstance(body[0], ast.Expr)


@pytest.mark.parametrize("source", _each(".py", ".pyx"))
def test_a_room_stands_in_the_architecture_with_its_purpose(source: object) -> None:
    name = source.room  # type: ignore[attr-defined]
    if name.endswith("__init__") and name != tree.LAUNCHER:
        return
    listed = tree.listed_rooms()
    assert name in listed, "docs/architecture.md does not list this room"
    assert listed[name].purpose == tree.first_docstring_line(source)
    assert listed[name].is_compiled == (source.path.suffix == ".pyx")  # type: ignore[attr-defined]


def test_the_architecture_lists_only_rooms_that_exist() -> None:
    existing = {source.room for source in tree.sources(".py", ".pyx")}
    assert [name for name in tree.listed_rooms() if name not in existing] == []


def test_every_door_is_used_by_another_floor() -> None:
    users = tree.users_of_rooms()
    doors = {name for name, room in tree.listed_rooms().items() if room.is_door}
    assert sorted(doors - users.keys() - tree.BUILT_BY_THE_JOINER) == []


@pytest.mark.parametrize("source", _each(".pyx"))
def test_a_compiled_room_has_its_struct_and_its_face(source: object) -> None:
    missing = [s for s in (".pxd", ".pyi") if not source.path.with_suffix(s).exists()]  # type: ignore[attr-defined]
    assert missing == []


@pytest.mark.parametrize("source", _each(".pyx", ".pxd"))
def test_every_c_function_says_how_it_fails(source: object) -> None:
    wrong = []
    for match in _C_SIGNATURE.finditer(source.text):  # type: ignore[attr-defined]
        result, after = match.group("result"), match.group("after")
        if _is_a_c_value(result) and not re.search(r"\b(noexcept|except)\b", after):
            wrong.append(match.group(0).strip())
    assert wrong == []


_C_SIGNATURE = re.compile(
    r"^ *cp?def +(?:inline +)?(?!class\b|enum\b|struct\b|extern\b|union\b)"
    r"(?P<result>[^\n(=#]*?)[ *&]\w+"
    r"\((?P<arguments>[^()]*(?:\([^()]*\)[^()]*)*)\)(?P<after>[^\n]*)$",
    re.MULTILINE,
)
_OBJECTS = {"", "object", "bytes", "list", "dict", "tuple", "str", "set", "bytearray", "type"}


def _is_a_c_value(result: str) -> bool:
    """A function that returns an object fails by exception anyway; any other must say except or
    noexcept. A class of ours has a name in capitals, perhaps after an underscore.
    """
    words = result.replace("const ", "").split()
    name = words[-1] if words else ""
    return name not in _OBJECTS and not name.lstrip("_")[:1].isupper()


def test_decisions_have_numbers_of_their_own() -> None:
    pages = sorted((tree.ROOT / "docs/decisions").glob("*.md"))
    assert pages
    assert [page.name[:4] for page in pages] == [f"{n:04}" for n in range(1, len(pages) + 1)]
    assert all(page.read_text().startswith(f"# {page.name[:4]} ") for page in pages)
