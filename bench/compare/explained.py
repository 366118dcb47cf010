"""The differences from Cassandra that are on purpose, or known and not yet done, each with why.

`docs/compatibility.md` lists the same for readers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.compare.script import Request


@dataclass(frozen=True)
class Explanation:
    """One difference: which requests show it, and what of the answer differs."""

    name: str
    reason: str
    statement: str = ""
    """A regular expression that is found in the request as printed."""
    difference: str = ""
    """A regular expression that is found in what differs, whole answers included."""
    is_irregular: bool = False
    """Cassandra does not always answer the same."""


EXPLANATIONS: tuple[Explanation, ...] = (
    # ------------------------------------------------------------ Cassandra fails, we answer
    Explanation(
        "a server error",
        "Cassandra answers a Java exception (code 0); we do what was asked or refuse with a reason",
        difference=r"^(kind: \"error\"\n +ours: \"[a-z ]+\"\n)?code: 0$.*java\.lang\.",
    ),
    Explanation(
        "after a server error",
        "the row that Cassandra failed to write or to read is there",
        statement=r"(collections:(148|152)|literals:(90|288)) ",
        difference="rows: ",
    ),
    Explanation(
        "a failed read",
        "Cassandra fails to read a table whose dropped column came back with another type",
        statement="altering:31 ",
        difference="code: 4864",
    ),
    Explanation(
        "a bound of null",
        "a clustering column compared with a bound null is refused; Cassandra reads it as no "
        "bound when reading, and fails when deleting",
        statement=r"c > \? \| int:\d null",
    ),
    Explanation(
        "frozen map taken for a set",
        "Cassandra compares a frozen map of a DESC clustering column as a set",
        statement="c CONTAINS KEY 2",
        difference="Cannot use CONTAINS KEY on non-map column c",
    ),
    Explanation(
        "infinite number literals",
        "1e400 is read as infinity; Cassandra fails to parse it",
        statement="1e400",
        difference="NumberFormatException",
    ),
    Explanation(
        "names of Java classes",
        "the message would name a Java exception",
        difference=r"message: .*(java\.nio\.charset|com\.fasterxml\.jackson)",
    ),
    Explanation(
        "numbers of JSON",
        "a number with a fraction is called BigDecimal, not Double",
        difference="but got a Double",
    ),
    # ------------------------------------------------------------ syntax errors
    Explanation(
        "context of a syntax error",
        "line, column and the wrong word agree; the text quoted around it is shorter or longer",
        difference=r"^message: \"(line -?\d+:-?\d+ [^(]*)\(.*\n +ours: \"\1\([^\n]*$",
    ),
    Explanation(
        "wording of a syntax error",
        "the same error, said of a neighbouring word or in the other of the parser's two phrases",
        statement=r"(altering:(50|86|87|88)|collections:91|literals:259|writes:89|words:\d+) ",
        difference=r"^message: \"line .*\n +ours: \"line [^\n]*$",
    ),
    Explanation(
        "a comment at the end",
        "a comment may end with the text; Cassandra wants a newline",
        statement="-- after",
    ),
    Explanation(
        "NOT IN",
        "a word of a later Cassandra: Invalid instead of a syntax error",
        statement=r"k NOT IN \(1\)",
    ),
    Explanation(
        "ScyllaDB's words",
        "USING TIMEOUT and BYPASS CACHE are understood, as ScyllaDB's drivers expect",
        statement="USING TIMEOUT|BYPASS CACHE",
    ),
    # ------------------------------------------------------------ definitions
    Explanation(
        "two faults",
        "the statement has two faults, and the other one is told first",
        statement=r"CREATE TABLE ",
        difference="already existing table",
    ),
    Explanation(
        "unknown types",
        "an unknown type is said to be unknown; Cassandra says that it is not frozen",
        difference=r"ours: \"Unknown type ",
    ),
    Explanation(
        "dropped columns",
        "a column that comes back never shows what was written before it was dropped, also when "
        "the drop was given an older timestamp; then dropped_columns forgets the old column",
        statement=r"altering:(31|33|37) ",
    ),
    Explanation(
        "RENAME IF EXISTS",
        "does nothing if the column does not exist; Cassandra refuses",
        statement="RENAME IF EXISTS nosuch",
    ),
    Explanation(
        "compact tables",
        "COMPACT STORAGE is refused",
        statement="WITH COMPACT STORAGE",
    ),
    Explanation(
        "triggers",
        "there are none; they would need a JVM",
        statement="CREATE TRIGGER",
    ),
    Explanation(
        "old ways to write properties",
        "sstable_compression '' turns compression off and obsolete properties are ignored with a "
        "warning, as older releases did",
        statement="'sstable_compression': ''|read_repair_chance = 0.1",
    ),
    Explanation(
        "columns of system_schema.tables",
        "allow_auto_snapshot, cdc and incremental_backups show the value in force; Cassandra's "
        "default storage mode leaves them null. Tables with old properties are there (see above)",
        statement=r"tables:(90|91|101) ",
        difference="rows: ",
    ),
    # ------------------------------------------------------------ values
    Explanation(
        "host names",
        "an inet is an address: no names are looked up, no short forms, no scopes",
        statement=r"'1\.2\.3'|'localhost'|literals:(124|293|375|376) ",
    ),
    Explanation(
        "bare values for tuples",
        "a value without parentheses is no tuple; Cassandra takes it for the first field",
        statement=r"literals:(258|271|273) ",
    ),
    Explanation(
        "values inside values",
        "another sentence for a nested literal of the wrong type",
        statement=r"literals:(229|262|267|272) ",
        difference=r"^message: [^\n]*\n[^\n]*$",
    ),
    Explanation(
        "hints of a wrong type",
        "another sentence for a hint that neither the value nor the column has",
        statement=r"\(text\) 1",
    ),
    Explanation(
        "markers inside collections",
        "bind markers may stand inside collection literals, and what they wrote is there",
        statement=r"\[\?, \?\]|\{\?: \?\}|conversation:(119|216) ",
    ),
    # ------------------------------------------------------------ prepared statements
    Explanation(
        "the warning about USE",
        "preparing an unqualified statement is not warned about",
        difference=r"^warnings: \[\"`USE <keyspace>`",
        is_irregular=True,
    ),
    Explanation(
        "routing by IN",
        "no key index is given for `k IN (?, ?)`: a driver would route by the last value alone",
        statement=r"k IN \(\?, \?\)",
        difference="key_indexes",
    ),
    Explanation(
        "routing of batches",
        "a prepared batch is routed by its first statement, Cassandra's by its last; with a "
        "timestamp marker Cassandra gives no index",
        statement=r"@prepare BEGIN BATCH",
        difference="key_indexes",
    ),
    Explanation(
        "names of markers",
        "a marker in a selection is named after its expression, not [selection]",
        statement=r"SELECT (\(int\) \?|token\(\?\))",
        difference=r"\[selection\]",
    ),
    Explanation(
        "null in IN",
        "another sentence for a null list, or a null in it",
        statement=r"k IN \? \| ",
        difference=r"^message: [^\n]*\n[^\n]*$",
    ),
    # ------------------------------------------------------------ SELECT
    Explanation(
        "literals in selections",
        "collection and tuple literals without a hint, and columns inside them, come later",
        difference='ours: "(Cannot infer type (for term|of argument) [\\[{(]|Invalid map literal)',
    ),
    Explanation(
        "old function names",
        "dateOf and unixTimestampOf are kept for old applications",
        statement="dateOf|unixTimestampOf",
    ),
    Explanation(
        "old names in results",
        "a function called by its old name heads its column with the new one",
        statement=r"toJson\(m\)",
    ),
    Explanation(
        "order of signatures",
        "lists of signatures have a fixed order; Cassandra's is by chance",
        difference=r"(known type signatures|matched by following signatures)",
    ),
    Explanation(
        "wrong arguments",
        "another sentence for a call that does not fit",
        statement=r"functions:(34|57|71|72) ",
        difference=r"^message: [^\n]*\n[^\n]*$",
    ),
    Explanation(
        "relations that are refused",
        "another sentence for a relation that both refuse",
        statement=r"selecting:(36|37|57|80|82|103|121|122) ",
        difference=r"^message: [^\n]*\n[^\n]*$",
    ),
    Explanation(
        "token and key together",
        "token(k) and k cannot be restricted together",
        statement="token.k. > 0 AND k = 1",
    ),
    Explanation(
        "the same order twice",
        "ORDER BY c, c is refused",
        statement="ORDER BY c, c",
    ),
    Explanation("vector search", "ORDER BY ... ANN OF comes later", statement="ANN OF"),
    Explanation("CONTAINS in IF", "comes later", statement="IF l CONTAINS"),
    Explanation(
        "the last page",
        "the page with the last row says that it is the last where Cassandra sends an empty one "
        "behind it (GROUP BY, ALLOW FILTERING, DESCRIBE)",
        statement=r"(paging:4[123]|system_tables:5[34]) @page [12]",
        difference="answers: ",
    ),
    # ------------------------------------------------------------ the system's tables
    Explanation(
        "what differs every time",
        "tokens and times are each server's own",
        statement=r"tokens, broadcast_address|writetime\(a\) FROM n WHERE k = 1",
    ),
    Explanation("release_version", "is our own", statement="release_version FROM system.local"),
    Explanation(
        "filtering system tables",
        "system tables are answers, not data: filtering them needs no ALLOW FILTERING, and nobody "
        "writes them",
        statement="WHERE rack = 'rack1'|DELETE FROM system_schema",
    ),
    Explanation(
        "comments of virtual tables",
        "are empty",
        statement="comment FROM system_virtual_schema",
    ),
    Explanation(
        "DESCRIBE CLUSTER",
        "names the configured snitch, and the ranges are each server's own",
        statement="DESCRIBE CLUSTER",
    ),
    Explanation(
        "order of DESC TABLES",
        "tables are listed by the name as it is written, quotes included",
        statement="DESC TABLES",
    ),
    Explanation(
        "quotes in a message",
        "a string is quoted as it was written",
        statement="it''s",
    ),
)

_used: set[str] = set()


def explanation_of(request: Request, found: Sequence[str]) -> Explanation | None:
    """The first explanation that fits a difference."""
    if not found:
        return None
    text = "\n".join(found)
    flags = re.DOTALL | re.MULTILINE
    for explanation in EXPLANATIONS:
        fits = re.search(explanation.statement, str(request))
        if fits and re.search(explanation.difference, text, flags):
            _used.add(explanation.name)
            return explanation
    return None


def unused() -> list[Explanation]:
    """The explanations that explained nothing."""
    return [e for e in EXPLANATIONS if e.name not in _used and not e.is_irregular]
