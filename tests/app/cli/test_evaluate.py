"""`neocog evaluate`: figures, parts, classes matched by name."""

from __future__ import annotations

import json
import shutil

import pytest

import neocog as nc
from app.pictures import write_image, write_photos


def test_json_is_one_object_with_the_figures(run, trained_once):
    folder, photos = trained_once
    done = run("evaluate", folder / "model.safetensors", photos, "--json", "--quiet")
    assert done.code == 0, done.err
    assert done.err == ""
    told = json.loads(done.out)
    assert {"accuracy", "loss", "images", "per_class", "confusion", "model", "data", "split"} <= set(told)
    assert told["accuracy"] == 1.0
    assert told["split"] == "unseen"
    assert told["left_out"] == 24 - told["images"]
    assert told["learnt_from"] == 0
    assert told["images"] == sum(map(sum, told["confusion"])) == sum(c["images"] for c in told["per_class"].values())


def test_text_shows_accuracy_classes_and_confusions(run, trained_once):
    folder, photos = trained_once
    done = run("evaluate", folder, photos, "--split", "all")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("accuracy ")
    assert " of 24 images (95 %: 86.2 to 100.0), loss " in lines[0]
    assert lines[1] == "macro recall 100.00 % (95 %: 82.9 to 100.0)"
    assert lines[3].split() == ["class", "images", "recall", "95", "%", "precision", "F1"]
    assert lines[4].split()[:2] == ["bright", "12"]
    assert lines[-1].startswith("confused: ")


def images_of(run, *words) -> tuple[str, int]:
    done = run("evaluate", *words, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    return told["split"], told["images"]


@pytest.fixture(scope="module")
def spellings(trained_once, tmp_path_factory):
    """What the model was trained on, described in other ways; model and data."""
    folder, photos = trained_once
    root = tmp_path_factory.mktemp("spellings")
    moved = shutil.copytree(photos, root / "moved")
    (root / "link").symlink_to(photos)
    rows = [f"{path},{path.parent.name}" for path in photos.rglob("*.png")]
    (root / "absolute.csv").write_text("\n".join(["path,label", *rows]))
    rows = [f"moved/{path.relative_to(moved)},{path.parent.name}" for path in moved.rglob("*.png")]
    (root / "relative.csv").write_text("\n".join(["path,label", *rows]))
    alone = root / "alone.safetensors"
    shutil.copy(folder / "model.safetensors", alone)
    shutil.copytree(photos, root / "renamed")
    for number, path in enumerate(sorted((root / "renamed").rglob("*.png"))):
        path.rename(path.with_name(f"{number:03}-copy.png"))
    return {
        "in place": (folder, photos),
        "moved": (folder, moved),
        "through a link": (folder, root / "link"),
        "a table of the same files": (folder, root / "absolute.csv"),
        "a table of copies": (folder, root / "relative.csv"),
        "the model file alone": (alone, photos),
        "model and data moved": (alone, moved),
        "the last epoch's file": (folder / "last.safetensors", photos),
        "other file names": (folder, root / "renamed"),
    }


def held_out(folder) -> int:
    """How many images a training held out for its test."""
    return sum(row.endswith(",test") for row in (folder / "split.csv").read_text().splitlines())


SPELLINGS = (
    "in place",
    "moved",
    "through a link",
    "a table of the same files",
    "a table of copies",
    "the model file alone",
    "model and data moved",
    "the last epoch's file",
    "other file names",
)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_image_that_the_model_learnt_from_is_measured_on_however_the_data_is_described(run, spellings, spelling):
    model, data = spellings[spelling]
    unseen = held_out(spellings["in place"][0])
    assert 0 < unseen < 12
    assert images_of(run, model, data) == ("unseen", unseen)
    assert f"note: the model learnt from {24 - unseen} of these 24 images" in run("evaluate", model, data).err


def test_a_relative_path_from_another_folder_is_the_same_data(run, trained_once, monkeypatch):
    folder, photos = trained_once
    there = images_of(run, folder, photos)
    monkeypatch.chdir(photos.parent)
    assert images_of(run, "run", "photos") == there
    monkeypatch.chdir(photos)
    assert images_of(run, "../run", ".") == there


def test_other_images_in_a_folder_of_the_same_name_do_not_count_as_learnt_from(run, trained_once, tmp_path):
    folder, photos = trained_once
    other = write_photos(tmp_path / photos.name, per_class=5, first=500)
    assert images_of(run, folder, other) == ("all", 10)
    assert f"{photos.name} has no test part; all of its images" in run("evaluate", folder, other).err


def test_images_added_to_the_data_are_measured_with_those_held_out(run, trained_once, tmp_path):
    folder, photos = trained_once
    before = images_of(run, folder, photos)[1]
    more = shutil.copytree(photos, tmp_path / "more")
    write_photos(more, per_class=3, first=700)
    assert images_of(run, folder, more) == ("unseen", before + 6)


def test_a_test_part_of_training_images_is_told(run, trained_once, tmp_path):
    folder, photos = trained_once
    shutil.copytree(photos, tmp_path / "data/test")
    write_photos(tmp_path / "data/train", per_class=3, first=900)
    done = run("evaluate", folder, tmp_path / "data")
    assert done.code == 0
    assert " of 24 test images" in done.out
    assert "warning: the model learnt from 2" in done.err
    assert "this accuracy is too optimistic; list the duplicates with: neocog check DATA" in done.err
    quiet = run("evaluate", folder, tmp_path / "data", "--json", "-q")
    told = json.loads(quiet.out)
    assert (told["left_out"], told["learnt_from"]) == (0, 24 - held_out(folder))
    assert "warning: the model learnt from 2" in quiet.err
    shutil.rmtree(tmp_path / "data/train")
    assert "this accuracy is too optimistic; use other images" in run("evaluate", folder, tmp_path / "data").err
    done = run("evaluate", folder, photos, "--split", "all")
    assert "this accuracy is too optimistic; leave --split out to measure on the others" in done.err


def test_a_model_that_learnt_from_everything_is_not_measured_unless_asked_for(run, trained_once, tmp_path):
    folder, photos = trained_once
    trained = {row.split(",")[0] for row in (folder / "split.csv").read_text().splitlines() if row.endswith(",train")}
    for name in trained:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / name, tmp_path / "data" / name)
    done = run("evaluate", folder, tmp_path / "data")
    assert done.code == 1
    assert f"error: the model learnt from all of these {len(trained)} images" in done.err
    (tmp_path / "data/dark/x.png").write_text("no image")  # which nobody learnt from, and nobody can be measured on
    done = run("evaluate", folder, tmp_path / "data")
    assert f"error: the model learnt from all of these {len(trained)} images" in done.err
    (tmp_path / "data/dark/x.png").unlink()
    assert images_of(run, folder, tmp_path / "data", "--split", "all") == ("all", len(trained))


def test_a_model_that_does_not_say_what_it_learnt_from_is_measured_with_a_warning(run, trained_once, tmp_path):
    folder, photos = trained_once
    model = nc.load(folder / "model.safetensors")
    model.load_state_dict(model.state_dict())
    model.save(tmp_path / "foreign.safetensors")
    done = run("evaluate", tmp_path / "foreign.safetensors", photos)
    assert "warning: the model file does not say what it learnt from" in done.err
    assert " of 24 images" in done.out
    quiet = run("evaluate", tmp_path / "foreign.safetensors", photos, "-q", "--json")
    assert "warning: the model file does not say what it learnt from" in quiet.err
    assert json.loads(quiet.out)["learnt_from"] is None


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
    assert done.err == "error: data has no test part; it has train, validation\n  hint: choose another with --split\n"


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
    bright = json.loads(done.out)["per_class"]["bright"]
    assert (bright["accuracy"], bright["images"]) == (None, 0)


def test_unreadable_images_are_skipped_and_strict_fails(run, trained_once, tmp_path):
    write_photos(tmp_path / "data", per_class=3, first=50)
    (tmp_path / "data/dark/x.png").write_text("no image")
    done = run("evaluate", trained_once[0], tmp_path / "data", "--json")
    assert done.code == 0
    assert "x.png" in done.err
    assert (json.loads(done.out)["images"], json.loads(done.out)["unreadable"]) == (6, 1)
    done = run("evaluate", trained_once[0], tmp_path / "data", "--json", "--strict")
    assert done.code == 1
    assert json.loads(done.out)["images"] == 6


def test_what_the_data_leaves_out_is_told(run, trained_once, tmp_path):
    photos = write_photos(tmp_path / "data", per_class=3, first=50)
    (photos / "dark/notes.txt").write_text("no image")
    (photos / "dark/photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    done = run("evaluate", trained_once[0], photos)
    assert "note: dark/notes.txt ignored: no image file" in done.err
    assert "1 picture left out, in formats that are not read (HEIC 1): dark/photo.heic" in done.err
    assert "ignored" not in run("evaluate", trained_once[0], photos, "-q").err


def test_data_without_a_readable_image_is_told(run, trained_once, tmp_path):
    (tmp_path / "data/dark").mkdir(parents=True)
    (tmp_path / "data/dark/x.png").write_text("no image")
    done = run("evaluate", trained_once[0], tmp_path / "data")
    assert done.code == 1
    assert "no image can be read" in done.err


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
    assert "is neither a model file nor a run folder (it has no model.safetensors)" in done.err
    assert "hint: MODEL comes first, as in: neocog evaluate runs/NAME DATA; neocog train" in done.err


def test_a_folder_without_a_model_is_told_by_the_words_of_each_verb(run, photos):
    for words, hint in [
        (("predict", photos, "a.jpg"), "MODEL comes first, as in: neocog predict runs/NAME SOURCE...; neocog train"),
        (("bench", "--profile", photos), "neocog train DATA makes one"),
    ]:
        done = run(*words)
        assert done.code == 2
        assert f"hint: {hint}" in done.err


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
