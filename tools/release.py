"""Make a release, and try it out: `python tools/release.py` leaves a checked wheel and sdist in dist/.

It needs the extra `release`, and Node.js 20 or newer where the page is older than its source. What it makes is checked
as a user would meet it: the wheel is made of the sdist, without Node.js; it is installed into an empty environment,
without a network; there it tells its version, trains, and saves a page. Uploading is left to a person.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = tuple(
    f"neocog/app/page/static/{name}" for name in ("app.css", "app.js", "index.html", "report.css", "report.js")
)
INSIDE = ("neocog/py.typed", "neocog/data/digits/digits.npz", "neocog/data/digits/LICENSE.txt", "neocog/__main__.py")
SDIST = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "web/package-lock.json", "tests/test_release.py")
NEVER = ("node_modules", "__pycache__", ".git/", ".venv")  # in neither
WITHOUT = "without its page"  # says hatch_build.py where it could not build it
LINK = "dependencies.pth"  # of the environment that tries a wheel out


class ReleaseError(Exception):
    """What must be mended before a release."""


def build(source: Path, folder: Path, target: str, path: str | None = None, *, page: bool = False) -> Path:
    """Build one target, "sdist" or "wheel", without fetching anything.

    Arguments:
        source: a checkout, or an sdist, unpacked.
        folder: where to put it.
        target: what to build.
        path: in which programs are found, npm above all (default: as here).
        page: whether the page inside must be as new as its source.

    Returns:
        The file.
    """
    before = set(folder.glob("*"))
    words = (sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder))
    told = _run(words, source, {} if path is None else {"PATH": path})
    made = set(folder.glob("*")) - before
    if len(made) != 1:
        raise ReleaseError(f"building the {target} made {len(made)} files, not one\n{told}")
    if page and WITHOUT in told:
        raise ReleaseError(told.strip())
    return made.pop()


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack an sdist, and return the folder that it held."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (found,) = folder.iterdir()
    return found


def names_of(made: Path) -> list[str]:
    """List the files of a wheel, or of an sdist, without the sdist's outer folder."""
    if made.suffix == ".whl":
        with zipfile.ZipFile(made) as wheel:
            return wheel.namelist()
    with tarfile.open(made) as sdist:
        return [name.partition("/")[2] for name in sdist.getnames()]


def complaints(made: Path, *, page: bool = True) -> list[str]:
    """List what a wheel, or an sdist, lacks or should not hold.

    Arguments:
        made: the file.
        page: whether the page must be inside.
    """
    wanted = [*INSIDE, *(PAGE if page else ())]
    names = names_of(made)
    if made.suffix == ".whl":
        allowed = ("neocog/", f"neocog-{version()}.dist-info/")
        odd = [name for name in names if not name.startswith(allowed)]
    else:
        wanted = [*(f"src/{name}" for name in wanted), *SDIST]
        odd = []
    odd += [name for name in names if any(part in name for part in NEVER)]
    lacks = [f"{made.name} lacks {name}" for name in wanted if name not in names]
    return lacks + [f"{made.name} should not hold {name}" for name in odd]


def version() -> str:
    """Return the version, which stands in pyproject.toml and nowhere else."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return found


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel into a fresh environment, without a network, and return that environment's Python.

    What it depends on comes from the environment that runs this.
    """
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    flags = ("--quiet", "--no-index", "--no-deps", "--disable-pip-version-check")
    _run((sys.executable, "-m", "pip", "--python", str(python), "install", *flags, str(wheel)), folder)
    (packages,) = folder.glob("lib/python3*/site-packages")
    here = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / LINK).write_text("\n".join(here), encoding="utf-8")
    return python


def try_out(python: Path, folder: Path, words: Iterable[str]) -> str:
    """Run the installed `python -m neocog WORDS` in an empty place, without Node.js, and return what it told."""
    elsewhere = {"PATH": str(python.parent), "NEOCOG_CACHE": str(folder / "cache"), "PYTHONPATH": ""}
    return _run((str(python), "-m", "neocog", *words), folder, elsewhere)


def _run(words: Iterable[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    words = list(words)
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ReleaseError(f"{' '.join(words)} failed\n{(done.stdout + done.stderr).strip()[-2000:]}")
    return done.stdout + done.stderr


def release(folder: Path) -> list[Path]:
    """Make and check everything.

    Arguments:
        folder: where the wheel and the sdist go; older ones in it are removed.

    Raises:
        ReleaseError: what must be mended first.
    """
    if f"## {version()}" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        raise ReleaseError(f'CHANGELOG.md has no section "## {version()}"')
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for old in folder.glob("neocog-*"):
        old.unlink()
    sdist = build(ROOT, folder, "sdist", page=True)
    wheel = build(unpack(sdist, work / "sdist"), folder, "wheel", path=os.devnull)
    found = complaints(sdist) + complaints(wheel)
    if found:
        raise ReleaseError("\n".join(found))
    print(_run((sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel)), folder).strip())
    python = install(wheel, work / "installed")
    told = try_out(python, work, ["--version"]).strip()
    if told != f"neocog {version()}":
        raise ReleaseError(f"the installed wheel calls itself {told!r}, not neocog {version()}")
    try_out(python, work, ["train", "digits", "--epochs", "1"])
    try_out(python, work, ["explain", "runs/digits", "--save", "page.html"])
    shutil.rmtree(work)
    return [sdist, wheel]


def main() -> None:
    """Make a release, and say what is left to do."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "dist", help="where to put it (default: dist)")
    try:
        made = release(parser.parse_args().folder.resolve())
    except ReleaseError as error:
        sys.exit(f"error: {error}")
    print(f"{made[0].name} and {made[1].name} are ready; upload them with: twine upload {' '.join(map(str, made))}")


if __name__ == "__main__":
    main()
