"""Compiles every .pyx below the four floors."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

ROOT = Path(__file__).parent
FLOORS = ("node", "cql", "cluster", "storage")
DIRECTIVES = {
    "language_level": "3",
    "boundscheck": True,
    "wraparound": False,
    "cdivision": True,
    "embedsignature": False,
    "freethreading_compatible": False,
}


def extensions() -> list[Extension]:
    """One extension module for each .pyx, named after its path."""
    sources = sorted(p for floor in FLOORS for p in (ROOT / floor).rglob("*.pyx"))
    return [
        Extension(
            ".".join(source.relative_to(ROOT).with_suffix("").parts),
            [str(source.relative_to(ROOT))],
            extra_compile_args=["-O2", "-Wno-unreachable-code"],
        )
        for source in sources
    ]


setup(ext_modules=cythonize(extensions(), compiler_directives=DIRECTIVES))
