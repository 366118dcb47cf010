"""The one package that a wheel installs; it carries the four floors privately.

Names such as `storage` must never reach a user's environment. A wheel therefore has the floors in
the folder `floors` of this package, and only the node's own processes put that folder first on
their path.
"""

from __future__ import annotations

import sys
from pathlib import Path


def floors_directory() -> Path:
    """Where the floors are: beside this file in a wheel, at the top of the tree in a checkout."""
    packed = Path(__file__).parent / "floors"
    return packed if packed.is_dir() else Path(__file__).resolve().parents[2]


def main() -> None:
    """The console command `pythia`."""
    sys.path.insert(0, str(floors_directory()))
    from node.__main__ import main as run

    sys.exit(run(sys.argv[1:]))
