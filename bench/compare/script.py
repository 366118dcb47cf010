"""Statement files: what to ask, one request a line, and how to ask it.

A line is a statement of its own, sent as QUERY, or begins with how else to ask:

    @page N STATEMENT                   all pages of N rows
    @prepare STATEMENT                  PREPARE alone
    @execute STATEMENT | VALUE ...      PREPARE, then EXECUTE
    @execute-page N STATEMENT | VALUE ...
    @skip STATEMENT | VALUE ...         PREPARE, then EXECUTE without metadata
    @values STATEMENT | VALUE ...       QUERY with values
    @named STATEMENT | NAME=VALUE ...   QUERY with named values
    @batch KIND | STATEMENT ; VALUE ... | ...
                                        BATCH; a statement that begins with `!` is prepared
    @shape STATEMENT                    QUERY whose values always differ: only lengths count

`# protocol 5` on a line of its own chooses the version for what follows; other lines with # say
what comes next. A VALUE is TYPE:TEXT (int bigint text blob double boolean), null or unset. `\\n`
in a statement is a newline.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.compare.client import Answer, Client, Options, Value

PAGES_MAX = 200


@dataclass(frozen=True)
class Request:
    """One line of a statement file."""

    file: str
    line: int
    version: int
    how: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.how and self.how + ' '}{self.text}"


def read_script(path: Path) -> Iterator[Request]:
    """The requests of a file, in order."""
    version = 4
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("# protocol "):
            version = int(line.split()[2])
        elif line.strip() and not line.startswith("#"):
            how, text = line.split(" ", 1) if line.startswith("@") else ("", line)
            yield Request(path.stem, number, version, how, text.replace("\\n", "\n"))


def run(request: Request, client: Client) -> list[Answer]:
    """Asks one server; gives every answer that came."""
    return HOW[request.how](client, request.text)


def _query(client: Client, text: str) -> list[Answer]:
    return [client.query(text)]


def _shape(client: Client, text: str) -> list[Answer]:
    answer = client.query(text)
    if "rows" in answer:
        answer["rows"] = [[v if v is None else len(v) for v in row] for row in answer["rows"]]
    return [answer]


def _page(client: Client, text: str) -> list[Answer]:
    size, text = text.split(" ", 1)
    return _pages(lambda options: client.query(text, options), client, Options(page_size=int(size)))


def _pages(ask: Callable[[Options], Answer], client: Client, options: Options) -> list[Answer]:
    answers = [ask(options)]
    while client.paging_state is not None and len(answers) < PAGES_MAX:
        options.paging_state = client.paging_state
        answers.append(ask(options))
    return answers


def _prepare(client: Client, text: str) -> list[Answer]:
    return [client.prepare(text)]


def _execute(client: Client, text: str, **options: Any) -> list[Answer]:
    text, values = _split(text)
    prepared = client.prepare(text)
    if "id" not in prepared:
        return [prepared]
    wanted = Options(values=values, **options)
    return [prepared, *_pages(lambda asked: client.execute(prepared, asked), client, wanted)]


def _execute_page(client: Client, text: str) -> list[Answer]:
    size, text = text.split(" ", 1)
    return _execute(client, text, page_size=int(size))


def _skip(client: Client, text: str) -> list[Answer]:
    return _execute(client, text, skip_metadata=True)


def _values(client: Client, text: str) -> list[Answer]:
    text, values = _split(text)
    return [client.query(text, Options(values=values))]


def _named(client: Client, text: str) -> list[Answer]:
    text, _, rest = text.rpartition(" |")
    pairs = [word.split("=", 1) for word in rest.split()]
    values = [value_of(value) for _, value in pairs]
    return [client.query(text, Options(values=values, names=[name for name, _ in pairs]))]


def _batch(client: Client, text: str) -> list[Answer]:
    kind, *parts = text.removesuffix(" |").split(" | ")
    statements: list[tuple[str | bytes, list[Value]]] = []
    for part in parts:
        statement, _, rest = part.partition(" ; ")
        values = [value_of(word) for word in rest.split()]
        if statement.startswith("!"):
            prepared = client.prepare(statement[1:])
            if "id" not in prepared:
                return [prepared]
            statements.append((bytes.fromhex(prepared["id"]), values))
        else:
            statements.append((statement, values))
    return [client.batch(int(kind), statements)]


HOW: dict[str, Callable[[Client, str], list[Answer]]] = {
    "": _query,
    "@shape": _shape,
    "@page": _page,
    "@prepare": _prepare,
    "@execute": _execute,
    "@execute-page": _execute_page,
    "@skip": _skip,
    "@values": _values,
    "@named": _named,
    "@batch": _batch,
}


def _split(text: str) -> tuple[str, list[Value]]:
    text, _, rest = text.rpartition(" |")
    return text, [value_of(word) for word in rest.split()]


def value_of(word: str) -> Value:
    """A bound value from its notation."""
    if word in ("null", "unset"):
        return None if word == "null" else "unset"
    kind, _, text = word.partition(":")
    match kind:
        case "int":
            return struct.pack(">i", int(text))
        case "bigint":
            return struct.pack(">q", int(text))
        case "double":
            return struct.pack(">d", float(text))
        case "boolean":
            return bytes([text == "true"])
        case "blob":
            return bytes.fromhex(text)
        case "text":
            return text.encode()
    raise ValueError(f"{word!r} is no value")
