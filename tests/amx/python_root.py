"""The folder that becomes the emulated machine's where Python runs in it: the interpreter, packages, neocog and tests.

Programs were compiled here, for the processor that the machine said it has, since LLVM takes minutes in there.
"""

from __future__ import annotations

import compileall
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from pathlib import Path
from unittest.mock import patch

import numpy as np

from amx import cases, checks
from jit.test_tiles import RUN
from neocog.engines.native import NativeEngine
from neocog.jit import host
from neocog.jit.cache import ObjectCache
from neocog.jit.executable import Executable
from neocog.jit.team import _loaded
from neocog.nn.parameters import initial_parameters
from neocog.target.processor import Target

HERE = Path(__file__).resolve().parent
TESTS, SOURCES = HERE.parent, HERE.parents[1]
LEFT_OUT = (
    *("test", "tests", "idlelib", "tkinter", "ensurepip", "site-packages", "dist-packages", "lib2to3", "turtledemo"),
    *("config-*", "*.opt-?.pyc", "*.a", "static", "node_modules"),
)
FOLDERS = ("amx", "jit", "conformance", "rounding")  # of the tests
SETTINGS = {
    "PATH": "/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONPATH": "/packages:/neocog/src:/neocog/tests",
    "NEOCOG_CACHE": "/cache",
    "OPENBLAS_NUM_THREADS": "1",
}


def make_root(root: Path, command: list[str], objects: Path | None = None) -> None:
    """Fill a folder with what runs a command of Python, and with objects that were compiled ahead."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    python = Path(os.path.realpath(sys.executable))
    _copy(python, root)
    _copy(Path(os.__file__).parent, root)
    for package in _loaded_packages():
        _copy(package, root, to=Path("/packages") / package.name)
    _copy(SOURCES / "src" / "neocog", root, to=Path("/neocog/src/neocog"))
    _copy(SOURCES / "pyproject.toml", root, to=Path("/neocog/pyproject.toml"))
    for name in (*FOLDERS, *(path.name for path in TESTS.glob("*.py"))):
        _copy(TESTS / name, root, to=Path("/neocog/tests") / name)
    for found in _libraries([python, *(path for path in root.rglob("*.so*") if path.is_file())]):
        if not found.is_relative_to(root):
            _copy(found, root)
    for path in root.rglob("libllvm*.so"):
        subprocess.run(["strip", "--strip-unneeded", path], check=True)
    for name in ("neocog", "packages"):
        compileall.compile_dir(root / name, quiet=1, stripdir=str(root))
    if objects is not None:
        _copy(objects, root, to=Path("/cache"))
        (root / "cache").chmod(0o700)
    (root / "settings").write_text("".join(f"{name}={value}\n" for name, value in SETTINGS.items()))
    (root / "command").write_text("\n".join(command))
    (root / "init").write_text(f"#!{python}\n{(HERE / 'first.py').read_text()}")
    (root / "init").chmod(0o700)


def _copy(place: Path, root: Path, *, to: Path | None = None) -> None:
    """Copy a file or a folder into the image's, under its own path unless told another, with its times."""
    there = root / (to or place).relative_to("/")
    there.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        shutil.copytree(place, there, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    else:
        shutil.copy2(place, there)


def _libraries(files: list[Path]) -> set[Path]:
    """Return the shared libraries that files load, by the paths under which they are looked for."""
    told = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False).stdout
    return {Path(found) for found in re.findall(r"(/\S+) \(0x", told)}


def _loaded_packages() -> set[Path]:
    """Return the folders and files of installed packages that this process has loaded, with what lies beside them."""
    found = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and "." not in name and ("site-packages" in file or "dist-packages" in file):
            place = Path(file).parent if Path(file).name == "__init__.py" else Path(file)
            found |= {place, *place.parent.glob(f"{place.name}.libs")}
    return found


# --- programs ---------------------------------------------------------------------------------------------------------


def compile_ahead(target: Target, folder: Path) -> None:
    """Compile what the checks run, for a processor, and keep it in a folder."""
    with _for_another_processor(target, folder):
        with_tiles = host.with_tiles(target)
        for name in checks.COMPUTED:
            _case(name, with_tiles)
        _case(checks.NETWORK, target)
        for count in (1, 3, checks.COUNT):
            engine = NativeEngine(with_tiles, precision="bfloat16")
            images = np.zeros((count, 9, 12, 3), np.float32)
            engine.predictor(cases.TAILS, initial_parameters(cases.TAILS), 1).logits(images)
        _loaded(target, ObjectCache())  # what all teams use
        with redirect_stdout(io.StringIO()):  # it would say that bits are the same, and has compared none
            exec(f"import sys\n{RUN}", {})


def _case(name: str, target: Target) -> None:
    with suppress(AssertionError):  # one holds its answer to an oracle, and there is no answer
        cases.networks()[name](target, 1)


@contextmanager
def _for_another_processor(target: Target, folder: Path) -> Iterator[None]:
    """Have programs be compiled and kept, and none run."""
    with ExitStack() as stack:
        for each in (
            patch.dict(os.environ, NEOCOG_CACHE=str(folder)),
            patch.object(host, "host_target", lambda: target),
            patch.object(host, "_tiles_permitted", lambda: True),
            patch("neocog.jit.executable.check_tiles", lambda target: None),
            patch.object(Executable, "run", lambda self, team: None),
            patch.object(Executable, "prepare", lambda self: None),
        ):
            stack.enter_context(each)
        yield


def digests(target: Target) -> dict[str, str]:
    """Return what vectors of this machine compute, with the plans for another processor."""
    from amx.programs import VECTORS

    here = Target(
        target.triple, VECTORS.cpu, VECTORS.features, target.lanes, target.registers, target.fma, target.level1,
        target.level2, byte_tiles=True,
    )  # fmt: skip
    return {name: cases.digest(cases.networks()[name](here, 1)) for name in checks.COMPUTED}
