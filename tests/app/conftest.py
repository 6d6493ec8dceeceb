"""What the tests of the faces share: a way to run the command line in this process, tiny data, a trained model."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.pictures import write_photos
from neocog.app.cli.main import main
from neocog.errors import NeocogError

SHARED_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def no_page(monkeypatch) -> None:
    """The reports of most trainings in tests are left out, as where Node.js was not there when neocog was installed."""

    def page_file(name: str) -> str:
        raise NeocogError("the page is not part of this installation")

    for module in ("report.write", "cli.report"):
        monkeypatch.setattr(f"neocog.app.{module}.page_file", page_file)


@pytest.fixture(autouse=True)
def nothing_pretrained(monkeypatch) -> None:
    """Trainings in tests begin with random weights, whatever networks this machine has."""
    monkeypatch.setattr("neocog.app.cli.pretrained.backbones_at_hand", list)


@pytest.fixture(autouse=True)
def no_note_of_tiles(monkeypatch) -> None:
    """What verbs tell does not hang on the machine: nothing is said of --precision, also where there is AMX."""
    monkeypatch.setattr("neocog.engines.precision.has_instructions", lambda: False)


@pytest.fixture
def page(monkeypatch, no_page) -> None:
    """Files in place of the built report's."""
    for module in ("report.write", "cli.report"):
        monkeypatch.setattr(
            f"neocog.app.{module}.page_file", {"report.js": "'use script'", "report.css": "p{}"}.__getitem__
        )


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of class folders, without parts."""
    return write_photos(tmp_path / "photos")


@pytest.fixture
def run(capfd) -> Callable[..., Done]:
    """Run `neocog WORDS` in this process, as the console script does."""

    def run_words(*words: str | Path) -> Done:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        text = capfd.readouterr()
        assert "Traceback" not in text.err
        assert "neocog itself failed" not in text.err
        return Done(int(ended.value.code or 0), text.out, text.err)

    return run_words


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory) -> tuple[Path, Path]:
    """A run folder and the data that it was trained on; not to be written to."""
    root = tmp_path_factory.mktemp("trained")
    photos = write_photos(root / "photos")
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as ended:
        main(["train", str(photos), "--epochs", "12", "--batch-size", "8", "-o", str(root / "run"), "--quiet"])
    assert ended.value.code == 0
    return root / "run", photos


@pytest.fixture
def trained(trained_once, tmp_path) -> Path:
    """A copy of the run folder, to be written to."""
    return Path(shutil.copytree(trained_once[0], tmp_path / "run"))


@pytest.fixture
def shared_data() -> Path:
    """The folder of public data sets, or a skip."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the public data sets are not in ../shared/data")
    return SHARED_DATA
