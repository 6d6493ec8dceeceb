"""`neocog quantise`, and --precision int8 of the verbs behind it."""

from __future__ import annotations

import base64
import json
import shutil
from functools import partial

import numpy as np
import pytest

import neocog as nc
from app.pictures import write_image, write_photos
from app.reports import facts_in
from neocog.app.cli.datasets import open_source
from neocog.data.identity import identities_in
from neocog.data.resize import ImageSize
from neocog.engines.profile import profile
from neocog.nn.graph import IMAGE
from neocog.nn.rewrite import fold_norms
from neocog.nn.scales import Scales, rounded_values
from neocog.standalone.web import web_of


@pytest.fixture
def picture(tmp_path):
    return write_image(tmp_path / "picture.png", 200)


@pytest.fixture(scope="module")
def prepared(trained_once, tmp_path_factory):
    """A model with scales; made once, nobody writes to it."""
    model = nc.load(trained_once[0] / "model.safetensors")
    path = tmp_path_factory.mktemp("int8") / "prepared.safetensors"
    height, width, channels = model.input_shape
    images = np.random.default_rng(0).integers(0, 256, (30, height, width, channels), np.uint8)
    model.quantise(images, (images, model.predict(images)), max_drop=100)
    model.save(path)
    return path


def test_a_model_is_prepared_and_both_accuracies_are_told(run, trained_once, tmp_path):
    folder, photos = trained_once
    out = tmp_path / "prepared.safetensors"
    done = run("quantise", folder, photos, "--max-drop", 100, "-o", out, "-q")
    assert done.code == 0, done.err
    assert "scales   from " in done.out
    assert "float32  accuracy " in done.out
    assert "int8     accuracy " in done.out
    assert f"neocog predict {out} IMAGE --precision int8" in done.out
    model, before = nc.load(out), nc.load(folder / "model.safetensors")
    assert model.scales is not None
    assert before.scales is None
    for name, value in before.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], value)
    told = run("info", out)
    assert f"prepared, with the scales of {len(model.scales.values)} layers (--precision int8)" in told.out
    assert json.loads(run("info", out, "--json").out)["scales"]["image"] == pytest.approx(model.scales.image)
    again = json.loads(run("quantise", out, photos, "--max-drop", 100, "--images", 4, "-o", out, "-q", "--json").out)
    assert again["scales_from"] == 4
    assert again["drop_points"] == pytest.approx(100 * (again["float32"] - again["int8"]))


def test_a_model_that_loses_too_much_is_left_as_it_was(run, trained, trained_once, monkeypatch):
    def useless(network, *_):
        graph = fold_norms(network.graph).graph
        names = [graph.nodes[value].name for value in rounded_values(graph) if value != IMAGE]
        return Scales(1e6, dict.fromkeys(names, 1e6))

    monkeypatch.setattr("neocog.train.quantise.find_scales", useless)
    content = (trained / "model.safetensors").read_bytes()
    done = run("quantise", trained, trained_once[1], "-q")
    assert done.code == 1
    assert "points of accuracy on" in done.err
    assert "at most 0.5 may be lost" in done.err
    assert "hint: allow more (--max-drop" in done.err
    assert "Traceback" not in done.err
    assert (trained / "model.safetensors").read_bytes() == content


def _folders(trained, places):
    """Write DATA/train and DATA/val of images by their numbers; the model knows images 0 to 11."""
    root = places / "folders"
    for part, numbers in {"train": trained[0], "val": trained[1]}.items():
        write_photos(root / part, len(numbers), numbers.start)
    return root


@pytest.mark.parametrize(
    ("train", "validation", "told"),
    [
        (range(20, 24), range(3), "the model learnt from all of these 6 images"),  # others' training, known images
        (range(4), range(10, 14), "of 4 other images"),  # 10 and 11 of each class are known
        (range(12, 14), range(14, 16), "of 4 other images"),
        (range(8), range(8, 12), "of 8 validation images"),  # what it was trained with
    ],
)
def test_images_that_a_model_learnt_from_do_not_tell_what_is_lost(run, prepared, tmp_path, train, validation, told):
    known = write_photos(tmp_path / "known", 12)
    model = nc.load(prepared)
    model.learnt_from = identities_in((open_source(str(known)).unsplit,))
    path, data = tmp_path / "a.safetensors", _folders((train, validation), tmp_path)
    model.save(path)
    done = run("quantise", path, data, "--max-drop", 100, "--engine", "reference", "-q")
    assert told in (done.out if told.startswith("of") else done.err)
    assert done.code == (0 if told.startswith("of") else 1)


def test_verbs_answer_in_int8(run, prepared, picture, trained_once):
    model = nc.load(prepared, precision="int8")
    wanted = float(model.predict_proba(picture).max())
    done = run("predict", prepared, picture, "--precision", "int8", "--json")
    assert json.loads(done.out)["probability"] == pytest.approx(wanted, abs=1e-6)
    done = run("evaluate", prepared, trained_once[1], "--split", "all", "-q", "--json", "--precision", "int8")
    told, part = json.loads(done.out), open_source(str(trained_once[1])).unsplit
    pictures, _ = part.read(np.arange(len(part)), ImageSize(*model.input_shape), model.resize)
    rounded = model.predict_proba(pictures)
    model.precision = "float32"
    plain = model.predict_proba(pictures)
    loss, other = (-np.log(given[np.arange(len(part)), part.labels]).mean() for given in (rounded, plain))
    assert loss != pytest.approx(other, rel=1e-5)
    assert told["loss"] == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize("verb", ["predict", "evaluate", "serve"])
def test_a_model_without_scales_is_refused_with_a_way_on(run, trained_once, picture, verb):
    folder, photos = trained_once
    rest = {"predict": [picture], "evaluate": [photos], "serve": ["--port", 0]}[verb]
    done = run(verb, folder, *rest, "--precision", "int8")
    assert done.code in (1, 2)
    assert "int8 needs scales, and this model has none" in done.err
    assert "hint: neocog quantise MODEL DATA" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("train", "DATA", "--precision", "int8"), "a training computes in float32 or bfloat16, not in int8"),
        (("lr-find", "DATA", "--precision", "int8"), "a training computes in float32 or bfloat16, not in int8"),
        (("explain", "MODEL", "--precision", "int8"), "neocog explain shows what a network computes in float32"),
        (("quantise", "MODEL", "DATA", "-o", "a.onnx"), "what is written is a model file of neocog"),
        (("quantise", "MODEL", "DATA", "--max-drop", "-1"), "must be 0 or more, got -1"),
        (("quantise", "MODEL", "nowhere", "--max-drop", "200"), "--max-drop must be at most 100, got 200"),
        (("quantise", "MODEL", "nowhere", "--engine", "torch"), "the torch engine does not compute in int8"),
        (("calibrate", "PREPARED", "DATA", "--precision", "int8"), "what is fitted is kept for the answers in float32"),
        (("push", "RUN", "a/b", "--precision", "int8", "--dry-run"), "a card tells figures of float32, not of int8"),
        (("export", "PREPARED", "--to", "onnx", "--precision", "int8"), "int8 is not for --to onnx"),
        (("export", "PREPARED", "--to", "pytorch", "--precision", "int8"), "int8 is not for --to pytorch"),
        (("export", "MODEL", "--to", "object", "--precision", "int8"), "int8 needs scales, and this model has none"),
        (("bench", "--precision", "int8"), "is of a model that was quantised"),
        (("quantise", "MODEL", "nowhere"), "nowhere"),
        (("quantize", "MODEL", "DATA"), "did you mean neocog quantise?"),
        (("predict", "PREPARED", "PICTURE", "--precision", "int8", "--engine", "torch"), "torch engine does not"),
    ],
)
def test_what_cannot_be_is_told(run, trained_once, prepared, picture, tmp_path, words, told):
    if "torch" in words:
        pytest.importorskip("torch")
    places = {
        "MODEL": trained_once[0],
        "DATA": trained_once[1],
        "PREPARED": prepared,
        "RUN": trained_once[0],
        "PICTURE": picture,
    }
    more = ("-o", tmp_path / "out.safetensors") if words[0] == "quantise" and "-o" not in words else ()
    done = run(*(places.get(word, word) for word in words), *more)
    assert done.code in (1, 2)
    assert told in done.err
    assert "Traceback" not in done.err


def test_an_object_in_int8_is_verified_as_its_readme_says(run, prepared, tmp_path):
    folder = tmp_path / "a.object"
    done = run("export", prepared, "--to", "object", "--precision", "int8", "-o", folder, "-q")
    assert done.code == 0, done.err
    assert json.loads((folder / "neocog.json").read_text())["precision"] == "int8"
    done = run("verify", folder, prepared, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["difference"] < 1e-5


def test_web_and_html_are_made_of_the_model_in_int8(run, prepared, tmp_path, monkeypatch):
    asked, web = [], web_of(nc.load(prepared, precision="int8"), "net")  # standalone/test_web.py runs such a module
    monkeypatch.setattr(
        "neocog.app.cli.export_web.web_of", lambda model, name: asked.append((model.precision, name)) or web
    )
    for kind, path in (("web", tmp_path / "a.web"), ("html", tmp_path / "a.html")):
        done = run("export", prepared, "--to", kind, "-o", path, "--precision", "int8", "--name", "net", "-q")
        assert done.code == 0, done.err
    assert asked == [("int8", "net")] * 2
    assert json.loads((tmp_path / "a.web" / "neocog.json").read_text())["precision"] == "int8"
    assert (tmp_path / "a.web" / "net.wasm").read_bytes() == web.module.content
    assert base64.b64encode(web.module.content).decode() in (tmp_path / "a.html").read_text()


def test_bench_profile_times_the_stages_of_int8(run, prepared, trained_once, monkeypatch):
    monkeypatch.setattr("neocog.engines.profile.profile", partial(profile, repeats=1))
    done = run("bench", "--profile", prepared, "-b", "4", "--precision", "int8", "-q", "--json")
    assert done.code == 0, done.err
    training, prediction = json.loads(done.out)["profiles"]
    assert (training["use"], prediction["use"]) == ("training", "prediction in int8")
    multiplying = [stage for stage in prediction["stages"] if stage["gflops"] is not None]
    layers = [node for node in nc.load(prepared).graph.nodes if isinstance(node.layer, nc.Conv2d | nc.Linear)]
    assert len(multiplying) == len(layers)
    refused = run("bench", "--profile", trained_once[0], "-b", "4", "--precision", "int8", "-q")
    assert refused.code in (1, 2)
    assert "int8 needs scales, and this model has none" in refused.err


def test_a_report_in_int8_has_the_figures_of_evaluate_in_int8(run, prepared, trained, trained_once, page, tmp_path):
    shutil.copy(prepared, trained / "model.safetensors")
    told = {}
    for precision in ("int8", "float32"):
        path = tmp_path / f"{precision}.html"
        words = ("--data", trained_once[1], "--precision", precision, "--quiet")
        done = run("report", trained, "-o", path, *words)
        assert done.code == 0, done.err
        told[precision] = facts_in(path)["result"]["evaluation"]
        done = run("evaluate", trained, trained_once[1], "--precision", precision, "--json", "--quiet")
        evaluated = json.loads(done.out)
        assert told[precision] == {key: evaluated[key] for key in told[precision]}
    assert told["int8"]["loss"] != told["float32"]["loss"]
