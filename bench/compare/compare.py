"""Asks Apache Cassandra and Pythia the same and compares their answers, byte by byte.

    python -m bench.compare.compare [--file NAME] [--all]
                                     [--cassandra HOST:PORT] [--pythia HOST:PORT]

Without addresses both are started here, on free loopback ports, and stopped at the end. Every file
in `statements/` gets a keyspace of its own (named like the file) and fresh connections. A
difference is explained if `explained.py` names it with its reason. Exit code 0: every difference is
explained and every explanation is still needed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.compare.cassandra import Cassandra
from bench.compare.client import Answer, Client
from bench.compare.explained import Explanation, explanation_of, unused
from bench.compare.script import Request, read_script, run
from tests.harness.node_process import NodeProcess

Address = tuple[str, int]
STATEMENTS = Path(__file__).resolve().parent / "statements"
FACTS = ("kind", "code", "message", "columns", "flags", "rows", "warnings")


class Server:
    """One of the two, with a connection for each protocol version."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._clients: dict[int, Client] = {}

    def enter(self, keyspace: str) -> None:
        """An empty keyspace, in use on every connection to come."""
        self.leave()
        self.keyspace = keyspace
        client = self._client(4, use=False)
        client.query(f"DROP KEYSPACE IF EXISTS {keyspace}")
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        answer = client.query(f"CREATE KEYSPACE {keyspace} WITH replication = {replication}")
        assert answer["kind"] == "schema change", answer
        client.query(f"USE {keyspace}")

    def leave(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def ask(self, request: Request) -> list[Answer]:
        """The answers; a connection that breaks is an answer too."""
        try:
            return run(request, self._client(request.version))
        except (ConnectionError, TimeoutError, AssertionError) as error:
            self._clients.pop(request.version).close()
            return [{"kind": "broken", "message": str(error)}]

    def _client(self, version: int, *, use: bool = True) -> Client:
        if version not in self._clients:
            self._clients[version] = Client(*self.address, version)
            if use:
                self._clients[version].query(f"USE {self.keyspace}")
        return self._clients[version]


def differences(theirs: list[Answer], ours: list[Answer]) -> Iterator[str]:
    """What differs, one line each; nothing if the answers are equal."""
    if len(theirs) != len(ours):
        yield f"answers: {len(theirs)} and {len(ours)}"
    for their, our in zip(theirs, ours, strict=False):
        for fact in dict.fromkeys([*FACTS, *their, *our]):
            if their.get(fact) != our.get(fact):
                yield f"{fact}: {_short(their.get(fact))}\n{'':10}ours: {_short(our.get(fact))}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 700 else text[:700] + "..."


def compare(files: list[Path], cassandra: Address, pythia: Address, *, every: bool) -> int:
    """Runs all files; prints what differs; gives how many differences nobody explained."""
    equal = unexplained = 0
    explained: list[tuple[Request, Explanation]] = []
    servers = Server(cassandra), Server(pythia)
    for path in files:
        for server in servers:
            server.enter(path.stem)
        for request in read_script(path):
            found = list(differences(*(server.ask(request) for server in servers)))
            reason = explanation_of(request, found)
            if not found:
                equal += 1
            elif reason is not None:
                explained.append((request, reason))
            else:
                unexplained += 1
            if found and (reason is None or every):
                print(f"{'explained' if reason else 'DIFFERENT'} {request}")
                print("".join(f"    {line}\n" for line in found), end="", flush=True)
        for server in servers:
            server.leave()
    _report(equal, explained, unexplained)
    return unexplained


def _report(equal: int, explained: list[tuple[Request, Explanation]], unexplained: int) -> None:
    for reason in dict.fromkeys(reason for _, reason in explained):
        requests = [request for request, used in explained if used is reason]
        print(f"on purpose, {len(requests)} times, {reason.name}: {reason.reason}")
    total = equal + len(explained) + unexplained
    on_purpose = len(explained)
    print(f"{total} requests: {equal} equal, {on_purpose} on purpose, {unexplained} different")


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--file", action="append", help="only this file of statements/ (its stem)")
    parser.add_argument("--cassandra", type=_address, help="HOST:PORT of one that runs")
    parser.add_argument("--pythia", type=_address, help="HOST:PORT of one that runs")
    parser.add_argument("--all", action="store_true", help="show explained differences too")
    options = parser.parse_args()
    files = sorted(STATEMENTS.glob("*.cql"))
    chosen = [path for path in files if not options.file or path.stem in options.file]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cassandra, pythia = options.cassandra, options.pythia
        if cassandra is None:
            peer = Cassandra(folder / "cassandra")
            stack.callback(peer.stop)
            peer.start()
            cassandra = (peer.address, peer.port)
        if pythia is None:
            node = NodeProcess(folder / "pythia", shards=2)
            stack.callback(node.close)
            node.start()
            pythia = (node.address, node.port)
        unexplained = compare(chosen, cassandra, pythia, every=options.all)
    stale = unused() if chosen == files else []
    for explanation in stale:
        print(f"no longer needed: {explanation.name}")
    return 1 if unexplained or stale else 0


if __name__ == "__main__":
    sys.exit(main())
