"""The commands of `pythia`, run as an operator runs them."""

from __future__ import annotations

import subprocess
import sys

from tests.harness.node_process import ROOT

TIMEOUT_S = 100.0
PYTHIA = (sys.executable, "-m", "node")


def pythia(*arguments: str, code: int = 0) -> str:
    """Run a command, which must end with `code`; gives what it says, or else its complaint."""
    ran = subprocess.run(
        [*PYTHIA, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout or ran.stderr
