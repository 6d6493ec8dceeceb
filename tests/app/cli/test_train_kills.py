"""A training that is killed, at whatever moment, and started again ends with the files of one that never was."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from app.pictures import write_photos
from neocog.train.runfolder import RunFolder

THOROUGH = os.environ.get("NEOCOG_TEST_PROFILE") == "thorough"
KILLS = 20 if THOROUGH else 3
SAME_FILES = ("model.safetensors", "filters.safetensors", "split.csv", "config.json")
SOME = (9, 30)  # file operations before which a training is killed, unless it is before each
CLOCK = ("seconds", "images_per_second")  # columns of a history that no two trainings share

RESNET = ("--model", "resnet20", "--img-size", "16", "--batch-size", "8", "--epochs", "6", "--ema", "0.9")
CHANGED = ("--augment", "flip,crop=2,affine=10,jitter,erase,mixup")
CAREFUL = ("--optimizer", "sgd", "--momentum", "0.9", "--lookahead", "2", "--clip-norm", "1")
SMALL = ("--model", "lenet5", "--batch-size", "8", "--epochs", "3", "--ema", "0.9")

AFTER_SOME_FILES = """
import os, signal, sys
left, folder = int(sys.argv[1]), sys.argv[2]

def count(event, given):
    global left
    if event in ("open", "os.rename", "os.remove", "os.mkdir") and str(given[0]).startswith(folder):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
from neocog.app.start import main
sys.argv[1:] = sys.argv[3:]
main()
"""
"""Runs neocog, and kills it before the n-th time that it opens, renames, removes or makes something in a folder."""


def words_of(photos: Path, folder: Path, flags: tuple[str, ...]) -> list[str]:
    """Return how a training is begun in a folder, or goes on there."""
    on = ("--resume", folder) if (folder / "last.safetensors").exists() else (*flags, "-o", folder)
    return ["train", str(photos), *map(str, on), "--threads", "2", "--quiet"]


def started(words: list[str], script: str = "from neocog.app.start import main; main()", *given: str):
    return subprocess.Popen([sys.executable, "-c", script, *given, *words], stdout=subprocess.DEVNULL)


def check_same(whole: Path, killed: Path) -> None:
    """Hold the files of a training that was killed to those of one that was not: bit by bit, but for times."""
    assert {path.name for path in killed.iterdir()} == {path.name for path in whole.iterdir()}
    for name in SAME_FILES:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    folders = RunFolder(whole), RunFolder(killed)
    one, other = (folder.load_last() for folder in folders)
    assert (one.step, one.settings) == (other.step, other.settings)
    for mine, theirs in ((one.model.parameters, other.model.parameters), (one.memory, other.memory)):
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            assert value.tobytes() == theirs[name].tobytes(), name
    histories = [[{k: v for k, v in row.items() if k not in CLOCK} for row in f.read_history()] for f in folders]
    assert histories[0] == histories[1]
    assert len(histories[0]) == len(one.history.epochs) == len(other.history.epochs)


def test_a_training_that_is_killed_at_any_moment_ends_with_the_same_bits(tmp_path):
    photos, whole = write_photos(tmp_path / "photos"), tmp_path / "whole"
    flags = (*RESNET, *CAREFUL, *CHANGED)
    assert started(words_of(photos, whole, flags)).wait() == 0  # compiles, too
    began = time.monotonic()
    assert started(words_of(photos, tmp_path / "0", flags)).wait() == 0
    seconds = time.monotonic() - began
    check_same(whole, tmp_path / "0")

    moments, killed, number, epochs = random.Random(5), [], 1, set()
    while len(killed) < KILLS or (tmp_path / str(number)).exists():
        folder = tmp_path / str(number)
        process = started(words_of(photos, folder, flags))
        moment = moments.uniform(0, seconds) if len(killed) < KILLS else None
        try:
            code = process.wait(moment)
        except subprocess.TimeoutExpired:
            process.kill()
            assert process.wait() == -signal.SIGKILL
            killed.append(moment)
            epochs.add(len(RunFolder(folder).read_history()))
            continue
        assert code == 0
        check_same(whole, folder)
        number += 1
    assert len(epochs) > 1  # kills at different places


def test_a_training_that_is_killed_between_any_two_file_operations_ends_with_the_same_bits(tmp_path):
    photos, whole = write_photos(tmp_path / "photos"), tmp_path / "whole"
    assert started(words_of(photos, whole, SMALL)).wait() == 0
    killed = 0
    for number in range(1, 1000) if THOROUGH else SOME:
        folder = tmp_path / str(number)
        code = started(words_of(photos, folder, SMALL), AFTER_SOME_FILES, str(number), str(folder)).wait()
        if code == 0:
            break  # it did not open so many files
        assert code == -signal.SIGKILL
        killed += 1
        assert started(words_of(photos, folder, SMALL)).wait() == 0
        check_same(whole, folder)
    assert killed > 20 or killed == len(SOME)
