"""Starts a node: the command line of `pythia`."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from node.config import ConfigError, build_config, parse_setting
from node.version import VERSION

if TYPE_CHECKING:
    from node.config import Config

EXIT_USAGE = 2
TOOLS = {
    "sstable": "show and check files of tables",
    "snapshot": "take, list, clear and restore snapshots",
    "nodetool": "ask a running node to flush, compact and tell what it does",
}
"""Commands of rooms in node/tool, which are loaded when they are asked for."""


def main(arguments: Sequence[str]) -> int:
    """Runs one command; returns the process's exit code."""
    if arguments and arguments[0] in TOOLS:
        tool = import_module(f"node.tool.{arguments[0]}")
        code: int = tool.main(arguments[1:])
        return code
    options = _parser().parse_args(arguments)
    if options.command is None:
        _parser().print_help()
        return EXIT_USAGE
    try:
        config = _config(options)
    except ConfigError as error:
        print(f"pythia: {error}", file=sys.stderr)
        return EXIT_USAGE
    return _start(config)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pythia", description="A distributed wide-column database that speaks CQL."
    )
    parser.add_argument("--version", action="version", version=f"pythia {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    start = commands.add_parser("start", help="run a node until SIGTERM or Ctrl-C")
    for name, purpose in TOOLS.items():
        commands.add_parser(name, help=purpose)  # Each reads its options by itself.
    add = start.add_argument
    add(
        "--dir",
        dest="data_directory",
        metavar="D",
        help="data directory, or memory:// (default: data)",
    )
    add("--io", metavar="HOW", help="uring, threads, buffered or auto (default: auto)")
    add(
        "--shards",
        metavar="N",
        help="number of shards (default: as many as the data have, else one per core)",
    )
    add("--memory", metavar="SIZE", help="memory of the node, such as 512MiB")
    add("--host", dest="rpc_address", metavar="A", help="address to listen on (default: 127.0.0.1)")
    add("--port", dest="native_transport_port", metavar="P", help="CQL port; 0 takes a free one")
    add("--shard-aware-port", dest="native_shard_aware_transport_port", metavar="P")
    add("--port-file", metavar="FILE", help="write `host port shard-aware-port` there when ready")
    add("--config", metavar="FILE", help="YAML with cassandra.yaml's names")
    add("--dev", action="store_true", default=None, help="one shard, for a laptop")
    add("--overprovisioned", action="store_true", default=None, help=_OVERPROVISIONED_HELP)
    add("--insecure-listen", action="store_true", default=None, help=_INSECURE_HELP)
    return parser


_OVERPROVISIONED_HELP = "shards are not pinned to cores, as other programs need them too"
_INSECURE_HELP = "allow an address that others can reach although there is no authentication"


def _config(options: argparse.Namespace) -> Config:
    """Command-line texts are checked by the same rules as the file's."""
    overrides: dict[str, object] = {
        "port_file": options.port_file,
        "dev": options.dev,
        "overprovisioned": options.overprovisioned,
        "insecure_listen": options.insecure_listen,
    }
    for name, key in (
        ("data_directory", "workdir"),
        ("io", "io"),
        ("shards", "shards"),
        ("rpc_address", "rpc_address"),
        ("native_transport_port", "native_transport_port"),
        ("native_shard_aware_transport_port", "native_shard_aware_transport_port"),
    ):
        given = getattr(options, name)
        overrides[name] = None if given is None else parse_setting(key, given)
    if options.memory is not None:
        overrides["memory_bytes"] = parse_setting("memory", options.memory)
    return build_config(overrides, options.config)


def _start(config: Config) -> int:
    # What loading makes stays; looking for garbage in it would cost a tenth of the start. The
    # supervisor turns collection on again.
    gc.disable()
    from node.start import start_node  # Loads the floors; `--version` need not.

    return start_node(config)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
