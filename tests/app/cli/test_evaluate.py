"""`neocog evaluate`: figures, parts, classes matched by name."""

from __future__ import annotations

import json
import shutil

import pytest

from app.pictures import write_image, write_photos


def test_json_is_one_object_with_the_figures(run, trained_once):
    folder, photos = trained_once
    done = run("evaluate", folder / "model.safetensors", photos, "--json", "--quiet")
    assert done.code == 0, done.err
    assert done.err == ""
    told = json.loads(done.out)
    assert {"accuracy", "loss", "images", "per_class", "confusion", "model", "data", "split"} <= set(told)
    assert told["accuracy"] == 1.0
    assert told["split"] == "test"
    assert told["images"] == sum(map(sum, told["confusion"])) == sum(c["images"] for c in told["per_class"].values())


def test_text_shows_accuracy_classes_and_confusions(run, trained_once):
    folder, photos = trained_once
    done = run("evaluate", folder, photos, "--split", "all")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("accuracy ")
    assert " of 24 all images, loss " in lines[0]
    assert lines[2].split() == ["class", "images", "accuracy"]
    assert lines[3].split()[:2] == ["bright", "12"]
    assert lines[-1].startswith("confused: ")


def images_of(run, *words) -> tuple[str, int]:
    done = run("evaluate", *words, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    return told["split"], told["images"]


def test_what_the_model_learnt_from_is_held_against_it(run, trained_once, tmp_path):
    folder, photos = trained_once
    part, held_out = images_of(run, folder, photos)
    assert part == "test"
    assert held_out < 24
    elsewhere = shutil.copytree(photos, tmp_path / "elsewhere")
    assert images_of(run, folder, elsewhere) == ("all", 24)
    assert "elsewhere sets no test part apart; all of its images" in run("evaluate", folder, elsewhere).err


def test_each_part_can_be_asked_for_and_together_they_are_all(run, trained_once):
    folder, photos = trained_once
    parts = [images_of(run, folder, photos, "--split", part) for part in ("train", "val", "test")]
    assert [name for name, _ in parts] == ["train", "validation", "test"]
    assert sum(images for _, images in parts) == 24


def test_parts_that_are_there_are_taken_as_they_are(run, trained_once, tmp_path):
    for part, count, first in (("train", 6, 0), ("test", 2, 50)):
        write_photos(tmp_path / "data" / part, per_class=count, first=first)
    assert images_of(run, trained_once[0], tmp_path / "data") == ("test", 4)
    assert images_of(run, trained_once[0], tmp_path / "data", "--split", "all") == ("train+test", 16)
    # as neocog train sees them: a validation part is carved out of the training part
    trains = images_of(run, trained_once[0], tmp_path / "data", "--split", "train")[1]
    vals = images_of(run, trained_once[0], tmp_path / "data", "--split", "val")[1]
    assert trains + vals == 12


def test_a_part_that_is_not_there_is_told(run, trained_once, tmp_path):
    write_photos(tmp_path / "data/train", per_class=3)
    write_photos(tmp_path / "data/val", per_class=3, first=50)
    done = run("evaluate", trained_once[0], tmp_path / "data", "--split", "test")
    assert done.code == 2
    assert done.err == "error: data has no test part, it has train, validation\n  hint: choose another with --split\n"


def test_a_test_part_alone_is_enough(run, trained_once, tmp_path):
    write_photos(tmp_path / "data/test", per_class=3)
    assert images_of(run, trained_once[0], tmp_path / "data") == ("test", 6)


def test_classes_are_matched_by_name(run, trained_once, tmp_path):
    write_photos(tmp_path / "data/test", per_class=3)
    # a class that the model knows and the data sorts to another place
    write_image(tmp_path / "data/test/a/1.png", 120)
    shutil.rmtree(tmp_path / "data/test/bright")
    done = run("evaluate", trained_once[0], tmp_path / "data")
    assert done.code == 1
    assert "error: the data has 1 class that the model does not know: a\n  the model knows: bright, dark" in done.err
    shutil.rmtree(tmp_path / "data/test/a")
    done = run("evaluate", trained_once[0], tmp_path / "data", "--json")
    assert json.loads(done.out)["accuracy"] == 1.0
    assert json.loads(done.out)["per_class"]["bright"] == {"accuracy": None, "images": 0}


def test_unreadable_images_are_skipped_and_strict_fails(run, trained_once, tmp_path):
    write_photos(tmp_path / "data", per_class=3)
    (tmp_path / "data/dark/x.png").write_text("no image")
    done = run("evaluate", trained_once[0], tmp_path / "data", "--json")
    assert done.code == 0
    assert "x.png" in done.err
    assert (json.loads(done.out)["images"], json.loads(done.out)["unreadable"]) == (6, 1)
    done = run("evaluate", trained_once[0], tmp_path / "data", "--json", "--strict")
    assert done.code == 1
    assert json.loads(done.out)["images"] == 6


def test_data_without_a_readable_image_is_told(run, trained_once, tmp_path):
    (tmp_path / "data/dark").mkdir(parents=True)
    (tmp_path / "data/dark/x.png").write_text("no image")
    done = run("evaluate", trained_once[0], tmp_path / "data")
    assert done.code == 1
    assert "there is no image that can be read" in done.err


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_engines_agree(run, trained_once, engine):
    done = run("evaluate", *trained_once, "--split", "all", "--json", "--engine", engine)
    assert json.loads(done.out)["accuracy"] == 1.0


def test_images_of_another_size_are_resized(run, trained_once, tmp_path):
    for name, value in (("bright", 200), ("dark", 40)):
        write_image(tmp_path / "data" / name / "1.png", value, side=33)
    assert images_of(run, trained_once[0], tmp_path / "data") == ("all", 2)


# -- refused models ---------------------------------------------------------------------------------------------------


def test_a_model_that_is_not_there_is_told(run, trained):
    done = run("evaluate", trained / "modle.safetensors", "digits")
    assert done.code == 2
    assert done.err == (
        f"error: there is no model {trained}/modle.safetensors\n  hint: did you mean {trained}/model.safetensors?\n"
    )


def test_the_latest_run_is_named_where_a_model_is_not_there(run, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    shutil.move(trained, tmp_path / "runs/first")
    done = run("evaluate", "zzz", "digits")
    assert done.err == "error: there is no model zzz\n  hint: the latest is runs/first\n"


def test_a_folder_without_a_model_is_told(run, photos):
    done = run("evaluate", photos, photos)
    assert done.code == 2
    assert "is a folder without model.safetensors, a model file or a run folder was needed" in done.err
    assert "hint: MODEL comes before DATA" in done.err


@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04" + bytes(100)])
def test_a_file_that_is_no_model_is_told(run, tmp_path, content):
    (tmp_path / "x.safetensors").write_bytes(content)
    done = run("evaluate", tmp_path / "x.safetensors", "digits")
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert "x.safetensors" in done.err


def test_a_truncated_model_is_told(run, trained):
    model = trained / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-10])
    done = run("evaluate", trained, "digits")
    assert done.code == 1
    assert "is truncated" in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "neocog evaluate needs MODEL"),
        (["x"], "neocog evaluate needs DATA"),
        (["x", "y", "--split", "tests"], "--split must be train, val, test or all, got 'tests'"),
        (["x", "y", "--batch-size", "none"], "--batch-size must be a whole number of 1 or more, got 'none'"),
        (["x", "y", "--jsn"], "neocog evaluate has no flag --jsn"),
    ],
)
def test_a_mistake_on_the_command_line_is_told(run, words, message):
    done = run("evaluate", *words)
    assert done.code == 2
    assert done.err.startswith(f"error: {message}")


def test_data_that_is_not_there_is_told(run, trained_once):
    done = run("evaluate", trained_once[0], "nowhere")
    assert done.code == 2
    assert "nowhere: there is no such file or folder" in done.err
