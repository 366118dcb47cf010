"""Partitions that lie in many blocks are dumped as if they lay in one."""

import json
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from cql.sstable_json import SSTableJson
from node.tool.dump import dump
from tests.storage.sstable.support import (
    Partition,
    file_of,
    key_of,
    layout,
    open_bytes,
    row_of,
    run,
)


def partitions(random: Random) -> list[Partition]:
    made: list[Partition] = []
    for number in range(20):
        clusterings = [b"c%04d" % (2 * i) for i in range(random.choice((0, 1, 60)))]
        places = sorted(random.sample(range(120), 6))
        pairs = zip(places[::2], places[1::2], strict=True)
        tombstones = [(b"c%04d" % a, b"c%04d" % b, 3 + b % 2, 7) for a, b in pairs]
        if number % 3 == 0:
            tombstones.append((b"c%04d" % places[-1], b"", 9, 9))
        rows = [row_of(5, b"v" * 20) for _ in clusterings]
        made.append((key_of(number), None, b"", tombstones, clusterings, rows))
    return made


async def shown(content: bytes) -> Any:
    table = await open_bytes(content)
    shape = SSTableJson(None, 0, raw_times=True)
    pieces = [piece async for piece in dump(table, shape, frozenset(), frozenset())]
    found = json.loads("".join(pieces))
    for partition in found:
        del partition["partition"]["position"]
        for row in partition["rows"]:
            row.pop("position", None)
    return found


@pytest.mark.parametrize("chunk_bytes", [1, 50, 300])
def test_where_blocks_end_is_not_seen(chunk_bytes: int, seed: int) -> None:
    made = partitions(Random(seed))
    whole = run(shown(file_of(made, layout(chunk_bytes=1 << 20))))
    assert run(shown(file_of(made, layout(chunk_bytes=chunk_bytes)))) == whole
    assert len(whole) == len(made)
    for partition, (_, _, _, tombstones, clusterings, _) in zip(whole, made, strict=True):
        kinds = [row["type"] for row in partition["rows"]]
        assert kinds.count("row") == len(clusterings)
        bounds = kinds.count("range_tombstone_bound") + 2 * kinds.count("range_tombstone_boundary")
        merged = sum(a[1] == b[0] and a[2:] == b[2:] for a, b in pairwise(tombstones))
        assert bounds == 2 * (len(tombstones) - merged)
        shown_at = [
            (row["clustering"], 1) if row["type"] == "row" else (_place(row), 0)
            for row in partition["rows"]
        ]
        # A row at a tombstone's start is inside of it, one at its end is behind it.
        inner = [place for place in shown_at if place[0]]
        assert inner == sorted(inner)


def _place(bound: Any) -> Any:
    side = "start" if "start" in bound else "end"
    return bound[side]["clustering"]
