"""Compiles every .pyx of the four floors, and lays a wheel out so that it holds one package.

In the tree and in an editable install the floors stay at the top level. In a wheel they are the
folder `pythiadb/floors`, which only the node's own processes put on their path (see node/launcher).
"""

import os
import shutil
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
FLOORS = ("node", "cql", "cluster", "storage")
PRIVATE = Path("pythiadb", "floors")
IN_TREE = ROOT / "build" / "in-tree"
IS_DEBUG = os.environ.get("PYTHIA_DEBUG") == "1"
DIRECTIVES = {
    "language_level": "3",
    "boundscheck": True,
    "wraparound": False,
    "cdivision": True,
    "nonecheck": IS_DEBUG,
}
# What Python itself was compiled with often includes -g: a quarter of the compiler's time.
OPTIMISE = ["-O1", "-g"] if IS_DEBUG else ["-O2", "-g0"]
SHARED = "storage._cyutility"
"""Cython's own code for views on memory, once, on the lowest floor, and not in every module."""

if not Path(sysconfig.get_path("include"), "Python.h").exists():
    raise SystemExit("Python's C headers are missing: install python3-dev.")
COMPILER = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
if shutil.which(COMPILER.split()[0]) is None:
    raise SystemExit("A C compiler is missing: install gcc.")


def extensions() -> list[Extension]:
    """One extension module for each .pyx, named after its path, and one for what they share."""
    from Cython.Build import cythonize

    # The long ones first, so that no core is alone with one of them at the end.
    found = (p for floor in FLOORS for p in (ROOT / floor).rglob("*.pyx"))
    sources = sorted(found, key=lambda p: (-p.stat().st_size, p))
    modules = [_extension(source.relative_to(ROOT)) for source in sources]
    return cythonize(
        [*modules, _extension(Path(*SHARED.split(".")).with_suffix(".c"))],
        compiler_directives=DIRECTIVES,
        shared_utility_qualified_name=SHARED,
        nthreads=os.cpu_count() or 1,
        force=IS_DEBUG,
    )


def _extension(source: Path) -> Extension:
    return Extension(
        ".".join(source.with_suffix("").parts),
        [str(source)],
        define_macros=[("PYTHIA_DEBUG", str(int(IS_DEBUG)))],
        extra_compile_args=[*OPTIMISE, "-Wno-unreachable-code"],
    )


class BuildExtensions(build_ext):
    """Puts compiled modules into the private folder, except in place, and uses every core."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        self.stays_in_tree = bool(self.inplace) or self.editable_mode
        if self.stays_in_tree:
            # One place for both ways, so that an editable install compiles for `make build` too.
            self.build_lib, self.build_temp = str(IN_TREE / "lib"), str(IN_TREE / "temp")
        super().run()

    def get_ext_fullpath(self, ext_name: str) -> str:
        path = Path(super().get_ext_fullpath(ext_name))
        if self.stays_in_tree:
            return str(path)
        return str(Path(self.build_lib) / PRIVATE / path.relative_to(self.build_lib))


class BuildModules(build_py):
    """Copies the floors' Python modules into the private folder."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for floor in FLOORS:
            for source in sorted((ROOT / floor).rglob("*.py")):
                target = Path(self.build_lib) / PRIVATE / source.relative_to(ROOT)
                self.mkpath(str(target.parent))
                self.copy_file(str(source), str(target))


setup(
    packages=["pythiadb"],
    package_dir={"pythiadb": "node/launcher"},
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildExtensions, "build_py": BuildModules},
)
