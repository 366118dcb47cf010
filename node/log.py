"""What the node says: one line per event on standard error.

Every line names the shard it comes from. Lines of errors carry the trace once, where the error was
caught.
"""

from __future__ import annotations

import logging
import sys

FORMAT = "%(asctime)s %(levelname)-7s [%(shard)s] %(name)s: %(message)s"


def configure(level: str, shard: str) -> None:
    """Sends this process's log to standard error; `shard` is a number or `node`."""

    def label(record: logging.LogRecord) -> bool:
        record.shard = shard
        return True

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(label)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
