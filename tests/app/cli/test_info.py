"""`neocog info`, `neocog check` and `neocog bench`."""

from __future__ import annotations

import json

import pytest

import neocog as nc
from app.pictures import write_image, write_photos
from neocog.data.resize import ResizeRule
from neocog.model.origin import Origin

# -- info -------------------------------------------------------------------------------------------------------------


def test_a_model_is_described(run, trained_once):
    done = run("info", trained_once[0])
    assert done.code == 0, done.err
    for text in ("16 x 16 pixels, RGB", "2: bright, dark", "val_accuracy", "test_accuracy", "mean", "Conv2d", "total:"):
        assert text in done.out


def test_a_model_is_described_to_programs(run, trained_once):
    file = trained_once[0] / "model.safetensors"
    told = json.loads(run("info", file, "--json").out)
    assert told["kind"] == "model"
    assert told["bytes"] == file.stat().st_size
    assert told["classes"] == ["bright", "dark"]
    assert told["input"]["height"] == 16
    assert told["parameters"] == sum(layer["parameters"] for layer in told["layers"])
    assert told["metrics"]["test_accuracy"] == 1.0


def test_preprocessing_and_origin_are_described(run, trained_once, tmp_path):
    model = nc.load(trained_once[0] / "model.safetensors")
    model.resize = ResizeRule.parse("crop=0.875,bicubic")
    model.origin = Origin("example.org/net", "BSD-3-Clause", "ab" * 32, "a small one")
    model.save(tmp_path / "m.safetensors")
    told = run("info", tmp_path / "m.safetensors").out
    for text in ("resized by crop=0.875,bicubic", "example.org/net", "ab" * 32, "a small one", "BSD-3-Clause"):
        assert text in told
    facts = json.loads(run("info", tmp_path / "m.safetensors", "--json").out)
    assert facts["input"]["resize"] == "crop=0.875,bicubic"
    assert facts["origin"]["licence"] == "BSD-3-Clause"


def test_a_checkpoint_is_described_as_a_model(run, trained_once):
    assert json.loads(run("info", trained_once[0] / "last.safetensors", "--json").out)["kind"] == "model"


def test_data_is_described(run, photos):
    done = run("info", photos)
    assert done.code == 0, done.err
    assert "image folder; split by content" in done.out
    assert "16 x 16, RGB; trained at 16 x 16" in done.out
    assert done.out.splitlines()[-1].split()[0] == "all"


def test_data_is_described_to_programs(run, tmp_path):
    write_photos(tmp_path / "data/train", per_class=3)
    write_photos(tmp_path / "data/val", per_class=2, first=50)
    write_image(tmp_path / "data/val/dark/x.png", 40, side=40)
    told = json.loads(run("info", tmp_path / "data", "--json").out)
    assert told["kind"] == "data"
    assert told["images"] == {"train": 6, "validation": 5}
    assert told["per_class"] == {"bright": {"train": 3, "validation": 2}, "dark": {"train": 3, "validation": 3}}
    assert told["channels"] == 3


def test_a_test_part_alone_is_described(run, tmp_path):
    write_photos(tmp_path / "data/test", per_class=2)
    assert json.loads(run("info", tmp_path / "data", "--json").out)["images"] == {"test": 4}


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("nowhere", 2, "nowhere: there is no such file or folder"),
        ("nowhere.safetensors", 2, "there is no model nowhere.safetensors"),
    ],
)
def test_what_is_not_there_is_told(run, tmp_path, monkeypatch, name, code, message):
    monkeypatch.chdir(tmp_path)
    done = run("info", name)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"error: {message}")


# -- check ------------------------------------------------------------------------------------------------------------


def test_sound_data_passes(run):
    done = run("check", "digits")
    assert done.code == 0
    assert "no problems found" in done.out


def test_damaged_data_fails(run, photos):
    (photos / "dark/x.png").write_text("no image")
    done = run("check", photos)
    assert done.code == 1
    assert "error: 1 file cannot be read" in done.out
    told = json.loads(run("check", photos, "--json").out)
    assert told["ok"] is False
    assert "unreadable" in [finding["code"] for finding in told["findings"]]


def test_data_that_is_not_there_cannot_be_checked(run):
    assert run("check", "nowhere").code == 2


# -- bench ------------------------------------------------------------------------------------------------------------


def test_bench_prints_what_was_measured(run, monkeypatch):
    from neocog.engines import bench

    report = bench.BenchReport(
        "cpu", 16, 1, 100.0, (), (), (bench.NetworkRate("article", "training", 64, 1.0, 2.0, 0.5),)
    )
    asked = []

    def measure(threads=None, quick=False, progress=None, precision=None):
        asked.append((threads, quick))
        progress("measuring")
        return report

    monkeypatch.setattr(bench, "run_bench", measure)
    done = run("bench", "--quick", "--threads", "1")
    assert (done.code, done.err, done.out) == (0, "measuring\n", report.to_text() + "\n")
    done = run("bench", "--json", "--quiet")
    assert done.err == ""
    assert json.loads(done.out)["networks"][0]["images_per_second"] == 2.0
    assert asked == [(1, True), (None, False)]


# -- what was left out, and what was meant ----------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["check", "info", "train"])
def test_one_folder_too_deep_is_told_with_the_folder_that_is_meant(run, tmp_path, verb):
    write_photos(tmp_path / "data/2023/", per_class=2)
    write_photos(tmp_path / "data/2024/", per_class=2, first=50)
    write_photos(tmp_path / "zip/photos", per_class=2)
    done = run(verb, tmp_path / "data")
    assert (done.code, done.out) == (1, "")
    assert "2023, 2024 hold folders of the same names (bright, dark): those look like the classes" in done.err
    assert f"hint: did you mean {tmp_path}/data/2023, or {tmp_path}/data/2024?" in done.err
    assert f"hint: did you mean {tmp_path}/zip/photos?" in run(verb, tmp_path / "zip").err


@pytest.mark.parametrize("verb", ["check", "info"])
def test_what_is_left_out_of_data_is_counted_and_named(run, photos, verb):
    (photos / "dark/x.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (photos / "dark/y\x1b.txt").write_text("")
    (photos / "metadata.csv").write_text("camera,date\n")
    (photos / "empty").mkdir()
    out = run(verb, photos).out
    assert "1 picture left out, in formats that are not read (HEIC 1): dark/x.heic" in out
    assert "dark/y\\x1b.txt ignored: no image file" in out
    assert "metadata.csv labels no images (columns 'camera', 'date'), and is ignored" in out
    assert "empty" in out


def test_names_of_classes_do_not_act_on_the_terminal(run, tmp_path):
    write_photos(tmp_path / "data", per_class=2)
    (tmp_path / "data/dark").rename(tmp_path / "data/da\x1b[2J\nrk\u202e")
    done = run("info", tmp_path / "data")
    assert done.out.splitlines()[-2].split()[0] == "da\\x1b[2J\\nrk\\u202e"


@pytest.mark.parametrize("location", ["~nosuch/x", "~nosuch", "\udce9/x", 5000 * "x", 300 * "x/"])
@pytest.mark.parametrize("verb", ["check", "info", "train"])
def test_a_location_that_cannot_be_is_told(run, tmp_path, monkeypatch, verb, location):
    monkeypatch.chdir(tmp_path)
    done = run(verb, location)
    assert done.code in (1, 2)
    assert "no such file or folder" in done.err


def test_what_a_model_learnt_from_is_counted(run, trained, tmp_path):
    images = sum(not row.endswith(",test") for row in (trained / "split.csv").read_text().splitlines()[1:])
    assert f"learnt from  {images} images, known by their content" in run("info", trained).out
    assert json.loads(run("info", trained, "--json").out)["learnt_from"] == images
    model = nc.load(trained / "model.safetensors")
    model.load_state_dict(model.state_dict())
    model.save(tmp_path / "foreign.safetensors")
    assert "learnt from  images that the file does not name" in run("info", tmp_path / "foreign.safetensors").out
    assert json.loads(run("info", tmp_path / "foreign.safetensors", "--json").out)["learnt_from"] is None
