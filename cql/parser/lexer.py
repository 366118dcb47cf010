"""Text to tokens: keywords, names, literals, signs, each with its place.

The lexer never fails by itself. A character that begins no token becomes an `ERROR` token whose
value is the message, and nothing follows it: a statement that goes wrong before that place is
reported for what went wrong first.
"""

from __future__ import annotations

import re
from typing import Final

EOF: Final = "EOF"
ERROR: Final = "ERROR"
IDENT: Final = "IDENT"
QUOTED_NAME: Final = "QUOTED_NAME"
EMPTY_QUOTED_NAME: Final = "EMPTY_QUOTED_NAME"
STRING: Final = "STRING_LITERAL"
INTEGER: Final = "INTEGER"
FLOAT: Final = "FLOAT"
DURATION: Final = "DURATION"
UUID: Final = "UUID"
HEX: Final = "HEXNUMBER"
BOOLEAN: Final = "BOOLEAN"
QMARK: Final = "QMARK"
RANGE: Final = "RANGE"
EXPR: Final = "'expr('"

_NATIVE_TYPES: Final = (
    "ascii bigint blob boolean counter date decimal double duration float inet int smallint "
    "text time timestamp timeuuid tinyint uuid varchar varint"
)
_BASIC_UNRESERVED: Final = (
    "access aggregate aggregates all ann as called cidrs cluster clustering compact contains "
    "custom datacenters default exists filtering finalfunc frozen function functions group "
    "hashed identity initcond input internals keys keyspaces language like list login map "
    "masked mbean mbeans nologin nosuperuser only options partition password per permission "
    "permissions replace returns role roles select_masked sfunc static storage stype "
    "superuser superusers tables trigger tuple type types unmask unset user users values "
    "vector"
)
_OTHER_UNRESERVED: Final = "cast count distinct json key maxwritetime ttl writetime"
_RESERVED: Final = (
    "add allow alter and apply asc authorize batch begin by create delete desc describe drop "
    "entries execute from full grant if in index insert into is limit materialized modify "
    "norecursive not null of on or order primary rename revoke select set schema to token "
    "truncate unlogged update use using view where with"
)
_RESERVED_SYNONYMS: Final = {
    "columnfamily": "K_COLUMNFAMILY",
    "table": "K_COLUMNFAMILY",
    "columnfamilies": "K_TABLES",
    "keyspace": "K_KEYSPACE",
    "nan": "K_POSITIVE_NAN",
    "infinity": "K_POSITIVE_INFINITY",
    "true": BOOLEAN,
    "false": BOOLEAN,
}


def _kinds(words: str) -> dict[str, str]:
    return {word: "K_" + word.upper() for word in words.split()}


KEYWORDS: Final[dict[str, str]] = {
    **_kinds(_NATIVE_TYPES),
    **_kinds(_BASIC_UNRESERVED),
    **_kinds(_OTHER_UNRESERVED),
    **_kinds(_RESERVED),
    **_RESERVED_SYNONYMS,
}
"""Word in lower case -> kind of token."""

NATIVE_TYPE_KINDS: Final = frozenset(_kinds(_NATIVE_TYPES).values())
BASIC_UNRESERVED: Final = frozenset(_kinds(_BASIC_UNRESERVED).values())
UNRESERVED_FUNCTION: Final = BASIC_UNRESERVED | NATIVE_TYPE_KINDS
UNRESERVED: Final = UNRESERVED_FUNCTION | frozenset(_kinds(_OTHER_UNRESERVED).values())
RESERVED_WORDS: Final = frozenset(
    word for word, kind in KEYWORDS.items() if kind not in UNRESERVED and kind != BOOLEAN
)

_UNIT: Final = "(?:[mM][oO]|[mM][sS]|[uUµ][sS]|[nN][sS]|[yYwWdDhHmMsS])"
_ISO_STAMP: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
_ISO_TIME: Final = r"T(?:\d+H(?:\d+M)?(?:\d+S)?|\d+M(?:\d+S)?|\d+S)"
_ISO_DATE: Final = r"(?:\d+Y(?:\d+M)?(?:\d+D)?|\d+M(?:\d+D)?|\d+D)"

_TOKEN: Final = re.compile(
    rf"""
    (?P<WS>[ \t\n\r]+)
  | (?P<UUID>[0-9a-fA-F]{{8}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{12}})
  | (?P<ISO>-?P(?:{_ISO_STAMP}|\d+W|{_ISO_TIME}|{_ISO_DATE}(?:{_ISO_TIME})?)(?![A-Za-z0-9_]))
  | (?P<EXPR>expr\()
  | (?P<WORD>[A-Za-z][A-Za-z0-9_]*)
  | (?P<QMARK>\?)
  | (?P<SIGN>\+=|-=|<=|>=|!=|[()\[\]{{}},;:=<>*+%]|/(?![/*]))
  | (?P<STRING>'[^']*(?:''[^']*)*')
  | (?P<COMMENT>(?:--|//)[^\n\r]*[\n\r]?|/\*.*?\*/)
  | (?P<HEX>0[xX][0-9a-fA-F]*)
  | (?P<DURATION>-?\d+{_UNIT}(?:\d+{_UNIT})*)
  | (?P<FLOAT>-?\d+(?:\.(?!\.)\d*(?:[eE][+-]?\d+)?|\.(?=\.\.)|[eE][+-]?\d+))
  | (?P<INTEGER>-?\d+)
  | (?P<NEGATIVE>-(?:[nN][aA][nN]|[iI][nN][fF][iI][nN][iI][tT][yY])(?![A-Za-z0-9_]))
  | (?P<RANGE>\.\.)
  | (?P<DOT>\.)
  | (?P<MINUS>-)
  | (?P<EMPTY>""(?!"))
  | (?P<QUOTED>"[^"]*(?:""[^"]*)*")
  | (?P<DOLLAR>\$\$.*?\$\$)
    """,
    re.VERBOSE | re.DOTALL,
)

_SIGN_KINDS: Final = {
    sign: f"'{sign}'" for sign in ("+=", "-=", "<=", ">=", "!=", *"()[]{},;:=<>*+/%")
}
_SINGLE: Final = {sign: _SIGN_KINDS[sign] for sign in "()[]{},;:=*%"} | {
    "?": QMARK,
    **dict.fromkeys(" \t\n\r", ""),
}
"""Characters that are a token by themselves, whatever follows; blanks are none."""
_PLAIN: Final = {
    "UUID": UUID,
    "QMARK": QMARK,
    "HEX": HEX,
    "DURATION": DURATION,
    "ISO": DURATION,
    "FLOAT": FLOAT,
    "INTEGER": INTEGER,
    "RANGE": RANGE,
    "DOT": "'.'",
    "MINUS": "'-'",
    "EXPR": EXPR,
}


_BLANKS: Final = re.compile(r"[ \t\n\r]*")

TOKENS_MAX: Final = 500_000
"""Of one statement, comments included; so many take one to two seconds to parse."""

_TOO_MANY: Final = f"a statement has at most {TOKENS_MAX} words and signs"


def tokenize(text: str) -> tuple[list[str], list[str], list[int]]:
    """Kinds, values and offsets of the visible tokens; the last is EOF, or ERROR followed by EOF.

    Words keep their case, strings and quoted names come without their quotes.
    """
    kinds: list[str] = []
    values: list[str] = []
    starts: list[int] = []
    at = 0
    end = len(text)
    room = TOKENS_MAX
    match = _TOKEN.match
    blanks = _BLANKS.match
    keyword = KEYWORDS.get
    single = _SINGLE.get
    while at < end and len(kinds) < room:
        sign = text[at]
        kind = single(sign)
        if kind is not None:
            if kind:
                kinds.append(kind)
                values.append(sign)
                starts.append(at)
                at += 1
                continue
            at += 1
            if single(text[at : at + 1]) == "":
                # Of one blank there is no more to say; many are taken at once.
                found = blanks(text, at)
                assert found is not None, "no blank is a run of blanks too"
                at = found.end()
            continue
        found = match(text, at)
        if found is None:
            break
        group = found.lastgroup
        value = found.group()
        if group == "WORD":
            kind = keyword(value.lower(), IDENT)
        elif group == "COMMENT":
            at = found.end()
            room -= 1
            continue
        else:
            kind, value = _other(group or "", value)
        kinds.append(kind)
        values.append(value)
        starts.append(at)
        at = found.end()
    if at < len(text):
        kinds.append(ERROR)
        values.append(_error(text, at) if len(kinds) <= room else _TOO_MANY)
        starts.append(at)
    kinds.append(EOF)
    values.append("<EOF>")
    starts.append(len(text))
    return kinds, values, starts


def token_offsets(text: str, end: int) -> list[int]:
    """Offsets of all tokens up to the one at `end`, blanks and comments included: error messages
    count those too.
    """
    offsets = []
    at = 0
    while at <= end and (found := _TOKEN.match(text, at)):
        offsets.append(at)
        at = found.end()
    return offsets


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Line from 1 and column from 0."""
    before = text.rfind("\n", 0, offset)
    return text.count("\n", 0, offset) + 1, offset - before - 1


def _other(group: str, raw: str) -> tuple[str, str]:
    plain = _PLAIN.get(group)
    if plain is not None:
        return plain, raw
    if group == "SIGN":
        return _SIGN_KINDS[raw], raw
    if group == "STRING":
        return STRING, raw[1:-1].replace("''", "'")
    if group == "QUOTED":
        return QUOTED_NAME, raw[1:-1].replace('""', '"')
    if group == "DOLLAR":
        return STRING, raw[2:-2]
    if group == "EMPTY":
        return EMPTY_QUOTED_NAME, raw
    assert group == "NEGATIVE", "every group of the expression has a kind"
    return ("K_NEGATIVE_NAN" if len(raw) == len("-nan") else "K_NEGATIVE_INFINITY"), raw


_EXPECTED_AFTER: Final = {"!": "=", "$": "$"}
_CLOSED_BY: Final = {"'": "'", '"': '"', "$$": "$", "/*": "*"}


def _error(text: str, at: int) -> str:
    """What is wrong with the character at `at`, in the words drivers know."""
    for opened, closed in _CLOSED_BY.items():
        if text.startswith(opened, at):
            line, column = line_and_column(text, len(text))
            return f"line {line}:{column} mismatched character '<EOF>' expecting '{closed}'"
    sign = text[at]
    if sign in _EXPECTED_AFTER:
        line, column = line_and_column(text, at + 1)
        shown = _shown(text[at + 1 : at + 2])
        return (
            f"line {line}:{column} mismatched character {shown} expecting '{_EXPECTED_AFTER[sign]}'"
        )
    line, column = line_and_column(text, at)
    return f"line {line}:{column} no viable alternative at character {_shown(sign)}"


def _shown(character: str) -> str:
    named = {"": "<EOF>", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return f"'{named.get(character, character)}'"
