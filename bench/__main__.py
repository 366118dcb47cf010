"""Runs the micro benchmarks one after the other: `python -m bench [NAME ...]`.

The others start nodes and drivers and are run by name, such as `python -m bench.load.point`.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

MICRO = Path(__file__).with_name("micro")


def main(names: list[str]) -> int:
    """Runs the named benchmarks, or all of them."""
    known = sorted(path.stem for path in MICRO.glob("*.py"))
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"bench: no {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or known:
        print(f"--- {name}", flush=True)
        sys.argv[1:] = []
        runpy.run_module(f"bench.micro.{name}", run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
