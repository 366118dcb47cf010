"""Checks the face of every compiled module against the module itself."""

from __future__ import annotations

import sys
from pathlib import Path

from mypy.stubtest import parse_options, test_stubs

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("node", "cql", "cluster", "storage")
ALLOWED = Path(__file__).with_name("stubtest-allowed.txt")


def compiled_modules() -> list[str]:
    """Dotted names of all modules that are compiled."""
    found = (path for floor in FLOORS for path in (ROOT / floor).rglob("*.pyx"))
    return sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    modules = compiled_modules()
    options = ["--concise", "--allowlist", str(ALLOWED), "--ignore-unused-allowlist"]
    options += ["--mypy-config-file", str(ROOT / "pyproject.toml")]
    sys.exit(test_stubs(parse_options([*options, "--ignore-disjoint-bases", *modules])))
