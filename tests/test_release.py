"""A release installs and works where there is neither a network nor Node.js."""

from __future__ import annotations

import importlib.util
import os
import sys
import zipfile
from pathlib import Path

import pytest

from tools import release

pytest.importorskip("hatchling", reason="hatchling builds what is tested here")
pytest.importorskip("pip", reason="pip installs it")

REQUIRED = os.environ.get("NEOCOG_BROWSER_TESTS") == "required"
NOWHERE = os.devnull  # a PATH in which there is no npm


@pytest.fixture(scope="module")
def built() -> bool:
    """Whether this checkout holds a built page, as it must where browser tests must run."""
    found = all((release.ROOT / "src" / name).is_file() for name in release.PAGE)
    assert found or not REQUIRED
    return found


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of this checkout, with the page that is there."""
    return release.build(release.ROOT, tmp_path_factory.mktemp("sdist"), "sdist", path=NOWHERE)


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the sdist makes elsewhere."""
    unpacked = release.unpack(sdist, tmp_path_factory.mktemp("unpacked"))
    return release.build(unpacked, tmp_path_factory.mktemp("wheel"), "wheel", path=NOWHERE)


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment into which the wheel was installed."""
    return release.install(wheel, tmp_path_factory.mktemp("installed"))


def test_the_wheel_and_the_sdist_hold_what_they_must_and_no_more(sdist: Path, wheel: Path, built: bool) -> None:
    assert release.complaints(sdist, page=built) == []
    assert release.complaints(wheel, page=built) == []
    assert sdist.name == f"neocog-{release.version()}.tar.gz"
    assert wheel.name == f"neocog-{release.version()}-py3-none-any.whl"


def test_what_should_not_be_in_a_wheel_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "neocog-0-py3-none-any.whl", "w") as made:
        for name in (*release.INSIDE, "tests/conftest.py", "neocog/node_modules/x.js"):
            made.writestr(name, "")
    told = release.complaints(tmp_path / "neocog-0-py3-none-any.whl")
    assert [line.partition(".whl ")[2] for line in told] == [
        *(f"lacks {name}" for name in release.PAGE),
        "should not hold tests/conftest.py",
        "should not hold neocog/node_modules/x.js",
    ]


def test_twine_finds_nothing_wrong(sdist: Path, wheel: Path) -> None:
    if importlib.util.find_spec("twine") is None:
        pytest.skip("twine is not installed: the extra `release`")
    words = (sys.executable, "-m", "twine", "check", "--strict", str(sdist), str(wheel))
    assert release._run(words, sdist.parent).count("PASSED") == 2


def test_the_installed_wheel_tells_its_version(python: Path, tmp_path: Path) -> None:
    assert release.try_out(python, tmp_path, ["--version"]) == f"neocog {release.version()}\n"
    script = release._run((str(python.parent / "neocog"), "--version"), tmp_path, {"PYTHONPATH": ""})
    assert script == f"neocog {release.version()}\n"


def test_the_installed_wheel_is_what_runs(python: Path, tmp_path: Path) -> None:
    asked = "import neocog; print(neocog.__file__, neocog.__version__)"
    told = release._run((str(python), "-c", asked), tmp_path, {"PYTHONPATH": ""})
    place, version = told.split()
    assert Path(place).is_relative_to(python.parents[1])
    assert version == release.version()


def test_the_installed_wheel_trains_and_saves_a_page(python: Path, tmp_path: Path, built: bool) -> None:
    told = release.try_out(python, tmp_path, ["train", "digits", "--epochs", "1"])
    assert "of 359 test images" in told
    assert (tmp_path / "runs" / "digits" / "model.safetensors").is_file()
    if built:
        release.try_out(python, tmp_path, ["explain", "--lesson", "--save", "page.html"])
        assert (tmp_path / "page.html").stat().st_size > 100_000
