"""`pythia nodetool`: asks the running node for what Cassandra's tool of that name asks for."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from node.admin import NoNode, RequestRefused, ask
from node.tool.columns import aligned

EXIT_FAILED, EXIT_USAGE = 1, 2
MIB = 1 << 20

Options = argparse.Namespace
Rows = list[dict[str, Any]]


def main(arguments: Sequence[str]) -> int:
    """Runs one verb; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        command, request = options.request(options)
        rows = ask(options.dir, command, **request)
    except RequestRefused as error:
        print(f"pythia: {error}", file=sys.stderr)
        return EXIT_FAILED
    except NoNode:
        print(f"pythia: no node runs in {options.dir}", file=sys.stderr)
        return EXIT_FAILED
    except _WrongUse as error:
        print(f"pythia: {error}", file=sys.stderr)
        return EXIT_USAGE
    if options.json:
        print(json.dumps(rows))
    else:
        options.show(rows, options)
    return 0


class _WrongUse(Exception):
    """Options that do not go together."""


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dir", metavar="D", default="data", help="data directory (default: data)")
    common.add_argument("--json", action="store_true", help="print what the node says as JSON")
    parser = argparse.ArgumentParser(
        prog="pythia nodetool", description="Asks a running node; verbs are those of nodetool."
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(
        name: str, purpose: str, request: Callable[..., Any], show: Callable[..., None]
    ) -> Any:
        added = verbs.add_parser(name, help=purpose, description=purpose, parents=[common])
        added.set_defaults(request=request, show=show)
        return added

    for name, purpose, command in (
        ("flush", "write what is in memory to files", "flush"),
        ("garbagecollect", "rewrite files to remove what is deleted", "garbagecollect"),
        ("invalidaterowcache", "empty the row cache", "invalidaterowcache"),
    ):
        _tables(verb(name, purpose, _named(command), _nothing))
    compact = verb("compact", "merge files now, all of a table into one", _compact, _nothing)
    compact.add_argument("--user-defined", action="store_true", help="merge the FILEs named")
    compact.add_argument("-st", "--start-token", type=int, help="files from this token on")
    compact.add_argument("-et", "--end-token", type=int, help="files up to this token")
    compact.add_argument("--partition", metavar="KEY", help="files that may have this partition")
    compact.add_argument("names", nargs="*", metavar="KEYSPACE [TABLE ...] | FILE ...")
    forced = verb(
        "forcecompact", "merge files of partitions, and purge young tombstones", _forced, _nothing
    )
    for name in ("keyspace", "table"):
        forced.add_argument(name)
    forced.add_argument("keys", nargs="+", metavar="KEY", help="components with : between them")
    stop = verb("stop", "end compactions that run, undone", _stop, _nothing)
    stop.add_argument("-id", "--compaction-id", type=UUID, metavar="ID", help="only this one")
    stop.add_argument("type", nargs="?", choices=["COMPACTION"], help="there is no other kind")
    stats = verb("compactionstats", "what runs and what waits", _named("compactionstats"), _stats)
    stats.add_argument("-H", "--human-readable", action="store_true")
    verb("compactionhistory", "the last compactions", _named("compactionhistory"), _history)
    replay = verb("replaybatchlog", "finish logged batches now", _replay, _show_batches)
    replay.add_argument(
        "--forget-damaged", action="store_true", help="remove those that nobody can read any more"
    )
    _add_switches(verb)
    return parser


def _add_switches(verb: Callable[..., Any]) -> None:
    """The verbs that show and change how compactions begin and how fast they are."""
    for name, on in (("enableautocompaction", True), ("disableautocompaction", False)):
        purpose = f"{name.removesuffix('autocompaction')} compactions by themselves"
        _tables(verb(name, purpose, _auto(on), _nothing))
    status = verb("statusautocompaction", "whether tables are compacted", _auto(None), _show_auto)
    status.add_argument("-a", "--all", action="store_true", help="show each table")
    _tables(status)
    verb(
        "getcompactionthroughput",
        "the rate that compactions keep to",
        _named("compactionthroughput"),
        lambda rows, _: print(f"Current compaction throughput: {_mebibytes(rows)} MB/s"),
    )
    rate = verb("setcompactionthroughput", "set it until the node ends", _set_rate, _nothing)
    rate.add_argument("value", type=int, metavar="MB/S", help="of all shards; 0 is no limit")
    verb(
        "getconcurrentcompactors",
        "compactions that a shard runs at once",
        _named("concurrentcompactors"),
        lambda rows, _: print(
            f"Current concurrent compactors in the system is: \n{rows[0]['compactors']}"
        ),
    )
    count = verb("setconcurrentcompactors", "set it until the node ends", _set_count, _nothing)
    count.add_argument("value", type=int, metavar="N")


def _tables(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "names", nargs="*", metavar="KEYSPACE [TABLE ...]", help="default: the users' tables"
    )


# What is asked.


def _chosen(names: Sequence[str]) -> dict[str, Any]:
    """A keyspace and tables of it, as the node wants them named."""
    keyspace, tables = names[:1], names[1:]
    return {"tables": [f"{keyspace[0]}.{table}" for table in tables] or list(keyspace)}


def _named(command: str) -> Callable[[Options], tuple[str, dict[str, Any]]]:
    return lambda options: (command, _chosen(getattr(options, "names", ())))


def _compact(options: Options) -> tuple[str, dict[str, Any]]:
    is_bounded = options.start_token is not None or options.end_token is not None
    if options.user_defined + is_bounded + (options.partition is not None) > 1:
        raise _WrongUse("one of --user-defined, --partition and tokens is enough")
    if options.user_defined:
        if not options.names:
            raise _WrongUse("--user-defined needs FILEs")
        return "compact", {"files": options.names}
    request = _chosen(options.names)
    for name, value in (
        ("first_token", options.start_token),
        ("last_token", options.end_token),
        ("partition", options.partition),
    ):
        if value is not None:
            request[name] = value
    return "compact", request


def _forced(options: Options) -> tuple[str, dict[str, Any]]:
    tables = [f"{options.keyspace}.{options.table}"]
    return "forcecompact", {"tables": tables, "keys": options.keys}


def _stop(options: Options) -> tuple[str, dict[str, Any]]:
    return "stop", {} if options.compaction_id is None else {"id": str(options.compaction_id)}


def _replay(options: Options) -> tuple[str, dict[str, Any]]:
    return "replaybatchlog", {"forget_damaged": options.forget_damaged}


def _auto(on: bool | None) -> Callable[[Options], tuple[str, dict[str, Any]]]:
    given = {} if on is None else {"on": on}
    return lambda options: ("autocompaction", _chosen(options.names) | given)


def _set_rate(options: Options) -> tuple[str, dict[str, Any]]:
    return "compactionthroughput", {"value": options.value * MIB}


def _set_count(options: Options) -> tuple[str, dict[str, Any]]:
    return "concurrentcompactors", {"value": options.value}


# What is shown.


def _nothing(_rows: Rows, _options: Options) -> None:
    """It was done: that is what the exit code says."""


def _show_batches(rows: Rows, _options: Options) -> None:
    damaged = sum(row["damaged"] for row in rows)
    removed = sum(row["removed"] for row in rows)
    if removed:
        print(f"{removed} damaged batches were removed: not all of their rows may be there")
    elif damaged:
        print(f"{damaged} batches are damaged and stay; --forget-damaged removes them")


def _mebibytes(rows: Rows) -> int:
    rate: int = rows[0]["bytes_per_s"]
    return round(rate / MIB)


def _show_auto(rows: Rows, options: Options) -> None:
    words = {True: "running", False: "not running"}
    if options.all:
        named = [(*row["table"].split("."), words[row["running"]]) for row in rows]
        print(*aligned([("Keyspace", "Table", "Status"), *named]), sep="\n")
        return
    found = {row["running"] for row in rows}
    print("partially running" if len(found) > 1 else words[found.pop() if found else True])


def _stats(rows: Rows, options: Options) -> None:
    pending = {row["table"]: row["pending"] for row in rows if "pending" in row}
    running = [row for row in rows if "id" in row]
    print(f"pending tasks: {sum(pending.values())}")
    for name, count in pending.items():
        print(f"- {name}: {count}")
    print()
    if not running:
        return
    size = _human if options.human_readable else str
    titles = (
        "id",
        "compaction type",
        "keyspace",
        "table",
        "completed",
        "total",
        "unit",
        "progress",
    )
    lines = [titles]
    for row in running:
        done, total = row["completed"], row["total"]
        sizes = (size(done), size(total), "bytes", f"{done / max(total, 1) * 100:.2f}%")
        lines.append((row["id"], "Compaction", *row["table"].split("."), *sizes))
    print(*aligned(lines), sep="\n")


def _history(rows: Rows, _options: Options) -> None:
    print("Compaction History: ")
    if not rows:
        print("There is no compaction history")
        return
    names = ("id", "keyspace_name", "columnfamily_name", "compacted_at", "bytes_in", "bytes_out")
    lines: list[tuple[str, ...]] = [(*names, "rows_merged")]
    for row in rows:
        ended = datetime.fromtimestamp(row["ended_s"]).isoformat()
        sizes = (str(row["bytes_in"]), str(row["bytes_out"]))
        merged = "{" + ", ".join(f"{files}:{count}" for files, count in row["merged"]) + "}"
        lines.append((row["id"], *row["table"].split("."), ended, *sizes, merged))
    print(*aligned(lines), sep="\n")


def _human(size: int) -> str:
    value, unit = float(size), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{size} bytes" if unit == "bytes" else f"{value:.2f} {unit}"
