"""`neocog train` interrupted, resumed, and beside an earlier training."""

from __future__ import annotations

import json
import shlex

import pytest

import neocog as nc
from app.pictures import write_image, write_photos
from neocog.train.runfolder import RunFolder
from neocog.train.trainer import Trainer

QUICK = ("--epochs", "2", "--batch-size", "8")


@pytest.fixture
def interrupted(monkeypatch):
    """Ctrl-C as soon as the checkpoint of the given epoch is written."""

    def after(epochs: int) -> None:
        save = RunFolder.save_last

        def save_and_stop(folder, checkpoint):
            save(folder, checkpoint)
            if len(checkpoint.history) == epochs:
                raise KeyboardInterrupt

        monkeypatch.setattr(RunFolder, "save_last", save_and_stop)

    yield after
    monkeypatch.undo()


def test_an_interrupted_training_says_how_to_go_on_and_ends_as_if_nothing_had_been(
    run, photos, tmp_path, interrupted, monkeypatch
):
    flags = ("--epochs", "4", "--batch-size", "8", "--seed", "3")
    run("train", photos, *flags, "-o", tmp_path / "whole")
    interrupted(2)
    done = run("train", photos, *flags, "-o", tmp_path / "cut")
    assert done.code == 130
    assert done.out == ""
    hint = f"neocog train {photos} --resume {tmp_path / 'cut'}"
    assert done.err.endswith(
        f"interrupted; the finished epochs are saved in {tmp_path / 'cut'}\n  hint: continue with: {hint}\n"
    )
    monkeypatch.undo()
    done = run(*shlex.split(hint)[1:])
    assert done.code == 0, done.err
    assert "epoch 3/4" in done.err
    assert "epoch 2/4" not in done.err
    for name in ("model.safetensors", "split.csv", "config.json"):
        same = [(tmp_path / which / name).read_bytes() for which in ("whole", "cut")]
        assert same[0] == same[1]


def test_an_interruption_before_the_first_epoch_leaves_nothing(run, photos, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "begin", interrupt)
    done = run("train", photos, *QUICK, "-o", tmp_path / "out")
    assert done.code == 130
    assert "error: interrupted before the first epoch was finished; nothing is kept" in done.err
    assert not (tmp_path / "out").exists()


def test_a_resumed_training_finds_its_data_and_may_go_on_for_longer(run, photos, tmp_path):
    run("train", photos, *QUICK, "-o", tmp_path / "out")
    done = run("train", "--resume", tmp_path / "out", "--epochs", "3", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["epochs"] == 3
    assert run("train", "--resume", tmp_path / "out/last.safetensors", "--epochs", "4").code == 0


def test_a_training_that_is_done_says_that_nothing_is_left(run, photos, tmp_path):
    assert run("train", photos, *QUICK, "-o", tmp_path / "out").code == 0
    for more in ((), ("--epochs", "1")):
        done = run("train", "--resume", tmp_path / "out", *more)
        assert done.code == 0
        assert "all planned epochs are done already" in done.err


def test_a_training_goes_on_learning_from_all_that_it_saw(run, photos, tmp_path):
    out = tmp_path / "out"
    assert run("train", photos, *QUICK, "-o", out).code == 0
    before = nc.load(out / "last.safetensors").learnt_from
    rows = [row.rpartition(",") for row in (out / "split.csv").read_text().splitlines()[1:]]
    assert len(before) == sum(part != "test" for _, _, part in rows)
    assert run("train", "--resume", out, "--epochs", "5").code == 0
    assert (nc.load(out / "model.safetensors").learnt_from == before).all()


def test_a_folder_of_a_training_killed_in_its_first_epoch_is_used_again(run, photos, trained):
    for name in ("model.safetensors", "last.safetensors", "history.csv"):
        (trained / name).unlink()
    assert run("train", photos, *QUICK, "-o", trained).code == 0


def test_the_old_training_stays_until_the_new_one_has_an_epoch(run, photos, trained, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    monkeypatch.setattr(Trainer, "begin", interrupt)
    done = run("train", photos, *QUICK, "-o", trained, "--overwrite")
    assert done.code == 130
    assert "the training before it is kept" in done.err
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


def test_resuming_with_other_images_is_told(run, photos, tmp_path):
    run("train", photos, *QUICK, "-o", tmp_path / "out")
    write_photos(photos, per_class=5, first=500)
    done = run("train", photos, "--resume", tmp_path / "out", "--epochs", "3")
    assert done.code == 0
    assert "warning: the images have changed since this training began" in done.err


def test_resuming_with_other_classes_is_refused(run, photos, tmp_path):
    run("train", photos, *QUICK, "-o", tmp_path / "out")
    write_image(photos / "grey/1.png", 120)
    done = run("train", photos, "--resume", tmp_path / "out")
    assert done.code == 1
    assert "the classes are not those that" in done.err
    assert "  trained on: bright, dark\n  found: bright, dark, grey" in done.err


def test_what_a_training_began_with_cannot_be_changed_on_the_way(run, photos, tmp_path):
    run("train", photos, *QUICK, "-o", tmp_path / "out")
    done = run("train", photos, "--resume", tmp_path / "out", "--lr", "0.1")
    assert done.code == 2
    assert done.err.startswith("error: --lr cannot be changed with --resume")


def test_resuming_what_is_no_training_is_refused(run, photos, tmp_path):
    done = run("train", photos, "--resume", tmp_path / "nowhere")
    assert done.code == 2
    assert "nowhere cannot be resumed: it has no last.safetensors" in done.err
    assert not (tmp_path / "nowhere").exists()


def test_resuming_from_a_damaged_checkpoint_is_one_message(run, photos, tmp_path):
    run("train", photos, *QUICK, "-o", tmp_path / "out")
    last = tmp_path / "out/last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    done = run("train", photos, "--resume", tmp_path / "out")
    assert done.code == 1
    assert "last.safetensors is truncated" in done.err
    assert last.exists()
