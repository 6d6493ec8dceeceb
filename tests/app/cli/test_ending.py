"""How a training ends that is not left alone: by signals, by kills, by a second one in the same folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import neocog as nc
from app.pictures import write_photos
from neocog.errors import NeocogError
from neocog.model.writing import write_atomically
from neocog.train.runfolder import RunFolder

PATIENCE = 120.0  # seconds until something that should have come is given up
ENDLESS = ("--epochs", "100000", "--quiet", "--threads", "1")


def until(holds: Callable[[], object]) -> None:
    """Wait for something that happens in another process."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@contextlib.contextmanager
def started(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run `neocog WORDS` as a process of its own."""
    command = [sys.executable, "-c", "from neocog.app.start import main; main()", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGTERM, 143, "error: ended by SIGTERM; the finished epochs are saved in "),
        (signal.SIGHUP, 129, "error: ended by SIGHUP; the finished epochs are saved in "),
        (signal.SIGINT, 130, "error: interrupted; the finished epochs are saved in "),
    ],
)
def test_a_signal_ends_a_training_like_an_interrupt(tmp_path, number, code, said) -> None:
    run = tmp_path / "run"
    with started("train", "digits", *ENDLESS, "-o", run) as process:
        until((run / "last.safetensors").exists)
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert err.startswith(said)
    assert f"hint: continue with: neocog train digits --resume {run}" in err
    checkpoint = RunFolder(run).load_last()
    assert len(checkpoint.history) >= 1
    assert leftovers(run) == []


def test_a_signal_before_the_first_epoch_leaves_nothing(tmp_path) -> None:
    photos = write_photos(tmp_path / "photos", per_class=40)
    run = tmp_path / "run"
    with started("train", photos, *ENDLESS, "-b", "1", "--img-size", "512", "-o", run) as process:
        until((run / "config.json").exists)
        process.terminate()
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert "ended by SIGTERM before the first epoch was finished; nothing is kept" in err
    assert not run.exists()


def test_twenty_kills_leave_nothing_behind_after_the_next_start(tmp_path) -> None:
    run = tmp_path / "run"
    with started("train", "digits", *ENDLESS, "-o", run):
        until((run / "last.safetensors").exists)
    for kill in range(20):
        before = (run / "last.safetensors").stat().st_mtime_ns
        with started("train", "--resume", run, *ENDLESS) as process:
            until(lambda before=before: (run / "last.safetensors").stat().st_mtime_ns != before)
            time.sleep(0.003 * kill)  # so that kills meet different moments of an epoch
            process.kill()
            process.wait(PATIENCE)
        (run / f".model.safetensors.{process.pid}-0123abcd.tmp").write_bytes(b"half a file")  # one that surely was left
    epochs = len(RunFolder(run).load_last().history)
    with started("train", "--resume", run, "--epochs", str(epochs + 1), "--quiet", "--no-report") as process:
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert leftovers(run) == []
    assert sorted(path.name for path in run.iterdir()) == [
        "config.json",
        "filters.safetensors",
        "history.csv",
        "last.safetensors",
        "model.safetensors",
        "split.csv",
        "starts.json",
    ]


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".") or path.suffix == ".tmp"]


# -- two trainings in one folder --------------------------------------------------------------------------------------


def test_a_second_training_in_a_folder_is_refused_by_name(run, tmp_path) -> None:
    folder = tmp_path / "run"
    with started("train", "digits", *ENDLESS, "-o", folder) as first:
        until((folder / "config.json").exists)
        done = run("train", "digits", "--epochs", "1", "-o", folder, "--seed", "7")
        assert done.code == 1
        assert f"error: another training writes to {folder} at this moment" in done.err
        until((folder / "last.safetensors").exists)
        for words in (("train", "--resume", folder), ("train", "digits", "-o", folder, "--overwrite")):
            done = run(*words)
            assert done.code == 1
            assert f"error: another training writes to {folder} at this moment" in done.err
        assert first.poll() is None
        assert json.loads((folder / "config.json").read_text())["seed"] == 0


def test_a_lock_vanishes_with_its_process(run, tmp_path) -> None:
    folder = tmp_path / "run"
    with started("train", "digits", *ENDLESS, "-o", folder) as first:
        until((folder / "last.safetensors").exists)
        first.kill()
        first.wait(PATIENCE)
    assert run("train", "digits", "--epochs", "1", "-o", folder, "--overwrite", "-q").code == 0


def test_a_folder_may_be_locked_again_by_who_holds_it(tmp_path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        with folder.locked():
            pass
        with pytest.raises(NeocogError, match="another training writes to"), RunFolder(tmp_path / "run").locked():
            pass
    with RunFolder(tmp_path / "run").locked():
        pass


def test_a_forked_child_does_not_keep_the_folder_locked(tmp_path) -> None:
    with RunFolder(tmp_path / "run").locked():
        ready, done = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            os.write(ready[1], b"x")
            os.read(done[0], 1)  # outlives the lock
            os._exit(0)
        os.read(ready[0], 1)
    with RunFolder(tmp_path / "run").locked():
        pass
    os.write(done[1], b"x")
    assert os.waitpid(child, 0)[1] == 0


def test_a_file_system_without_locks_does_not_stop_a_training(tmp_path, monkeypatch) -> None:
    def no_locks(handle: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with RunFolder(tmp_path / "run").locked():
        pass


def test_fit_locks_the_folder_that_it_writes_to(tmp_path) -> None:
    from neocog.train.fit import fit
    from neocog.train.source import ArraySource

    model = nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(2)), (2, 2, 1), engine="reference")
    source = ArraySource(np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 1, 0, 1]))
    with (
        RunFolder(tmp_path / "run").locked(),
        pytest.raises(NeocogError, match="another training writes to"),
    ):
        fit(model, source, epochs=1, folder=RunFolder(tmp_path / "run"), verbose=0)
    assert list((tmp_path / "run").iterdir()) == []
    fit(model, source, epochs=1, folder=RunFolder(tmp_path / "run"), verbose=0)
    assert (tmp_path / "run/last.safetensors").exists()


def test_only_what_writing_left_is_removed(tmp_path) -> None:
    folder = RunFolder(tmp_path / "run")
    mine = folder.path / ".notes.tmp"
    mine.write_text("of the user")
    (folder.path / ".last.safetensors.4242-0a1b2c3d.tmp").write_bytes(b"half")
    write_atomically(folder.config, b"{}")
    with folder.locked():
        assert sorted(path.name for path in folder.path.iterdir()) == [".notes.tmp", "config.json"]


# -- going on from another folder -------------------------------------------------------------------------------------


@pytest.fixture
def begun(run, tmp_path, monkeypatch) -> Path:
    """A folder with photos and a run that named them by a relative path."""
    (tmp_path / "home").mkdir()
    write_photos(tmp_path / "home/photos")
    monkeypatch.chdir(tmp_path / "home")
    assert run("train", "photos", "--epochs", "2", "-b", "8", "-q").code == 0
    return tmp_path / "home"


def test_a_run_says_where_its_images_lie_whatever_folder_it_is_read_from(begun) -> None:
    config = json.loads((begun / "runs/photos/config.json").read_text())
    assert config["data"] == str(begun / "photos")


def test_a_training_goes_on_from_another_folder_with_its_own_images(run, begun, tmp_path, monkeypatch) -> None:
    other = write_photos(tmp_path / "elsewhere/photos", per_class=3, first=800)  # of the same name
    monkeypatch.chdir(other.parent)
    done = run("train", "--resume", begun / "runs/photos", "--epochs", "3")
    assert done.code == 0, done.err
    assert "the images are not those" not in done.err
    assert len(RunFolder(begun / "runs/photos").load_last().history) == 3


def test_a_training_does_not_go_on_with_other_images_in_the_same_place(run, begun) -> None:
    (begun / "photos").rename(begun / "old")
    write_photos(begun / "photos", per_class=12, first=800)
    done = run("train", "--resume", begun / "runs/photos", "--epochs", "3")
    assert done.code == 1
    assert "error: these are not the images that " in done.err
    assert "hint: name the folder where they lie now: neocog train DATA --resume RUN" in done.err
    done = run("train", begun / "old", "--resume", begun / "runs/photos", "--epochs", "3")
    assert done.code == 0, done.err
    assert json.loads((begun / "runs/photos/config.json").read_text())["data"] == str(begun / "old")
    assert RunFolder(begun / "runs/photos").load_last().config["data"] == str(begun / "old")


def test_a_training_whose_images_are_gone_says_that_data_can_be_named(run, begun) -> None:
    (begun / "photos").rename(begun / "old")
    done = run("train", "--resume", begun / "runs/photos")
    assert done.code == 2
    assert f"error: {begun / 'photos'}, which runs/photos" not in done.err  # the run was named by its whole path
    assert f"error: {begun / 'photos'}, which {begun / 'runs/photos'} was trained on, is not there any more" in done.err
    assert "hint: name the folder where its images lie now: neocog train DATA --resume RUN" in done.err


def test_a_training_that_goes_on_with_some_other_images_warns(run, begun) -> None:
    (begun / "photos/bright/3.png").unlink()
    write_photos(begun / "photos", per_class=2, first=900)
    done = run("train", "--resume", begun / "runs/photos", "--epochs", "3")
    assert done.code == 0, done.err
    assert "warning: the images have changed since this training began" in done.err
    assert " are new" in done.err


def test_a_folder_whose_name_is_no_text_is_trained_on_and_found_again(run, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    photos = write_photos(tmp_path / os.fsdecode(b"caf\xe9"))
    assert run("train", photos, "--epochs", "2", "-b", "8", "-o", "run").code == 0
    assert json.loads(Path("run/config.json").read_text())["data"].endswith("/caf%E9")
    done = run("train", "--resume", "run", "--epochs", "3")
    assert done.code == 0, done.err
    assert "have changed" not in done.err
    assert "unseen images" in run("evaluate", "run", photos).out
