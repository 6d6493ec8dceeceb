"""--precision of the verbs, and what is told of it."""

from __future__ import annotations

import json

import pytest

import neocog as nc
from app.pictures import write_image
from neocog.app.serve.served import locations_of
from neocog.engines.precision import has_instructions
from neocog.interop.onnx.write import to_onnx
from neocog.model.network import Network

HAS_INSTRUCTIONS = has_instructions  # before conftest.py puts another one in its place
pytestmark = pytest.mark.filterwarnings("ignore:bfloat16 is slower")


@pytest.fixture
def picture(tmp_path):
    return write_image(tmp_path / "a.png", 90)


def test_predict_computes_with_what_it_is_told(run, trained_once, picture):
    wanted, got = {}, {}
    for precision in ("float32", "bfloat16"):
        model = nc.load(trained_once[0] / "model.safetensors", precision=precision)
        wanted[precision] = float(model.predict_proba(picture).max())
        done = run("predict", trained_once[0], picture, "--precision", precision, "--json")
        got[precision] = json.loads(done.out)["probability"]
    assert got == wanted
    assert got["float32"] == json.loads(run("predict", trained_once[0], picture, "--json").out)["probability"]
    assert abs(got["float32"] - got["bfloat16"]) < 0.02


def test_evaluate_and_calibrate_take_it_too(run, trained_once, photos, tmp_path):
    losses = {
        precision: json.loads(run("evaluate", trained_once[0], photos, "--json", "-q", "--precision", precision).out)[
            "loss"
        ]
        for precision in ("float32", "bfloat16")
    }
    assert losses["float32"] != losses["bfloat16"]
    assert abs(losses["float32"] - losses["bfloat16"]) < 0.02
    out = tmp_path / "calibrated.safetensors"
    done = run("calibrate", trained_once[0], photos, "-o", out, "--precision", "bfloat16", "--json", "-q")
    assert done.code == 0, done.err


def test_a_note_says_what_auto_would_do_where_it_does_anything(run, trained_once, picture, monkeypatch):
    told = "--precision auto would multiply in bfloat16, which this processor has instructions for (AMX)"
    monkeypatch.setattr("neocog.engines.precision.has_instructions", HAS_INSTRUCTIONS)
    monkeypatch.setattr("neocog.jit.host.has_tiles", lambda target: False)
    assert told not in run("predict", trained_once[0], picture).err
    monkeypatch.setattr("neocog.jit.host.has_tiles", lambda target: True)
    # Who computes with float32 asks the system for nothing.
    monkeypatch.setattr("neocog.jit.host._tiles_permitted", lambda: pytest.fail("asked for tile registers"))
    assert told in run("predict", trained_once[0], picture).err
    assert told not in run("predict", trained_once[0], picture, "-q").err
    assert told not in run("predict", trained_once[0], picture, "--engine", "reference").err


def test_what_is_no_precision_is_refused(run, trained_once, picture):
    done = run("predict", trained_once[0], picture, "--precision", "float16")
    assert done.code == 2
    assert "float32" in done.err
    assert "bfloat16" in done.err
    for given, guess in {
        "bf16": "bfloat16",
        "float16": "bfloat16",
        "fp-64": None,
        "float64": None,
        "flot32": "float32",
    }.items():
        told = run("predict", trained_once[0], picture, "--precision", given).err
        assert (f"did you mean {guess}?" in told) if guess else ("did you mean" not in told)
    for verb in ("train", "lr-find"):
        told = run(verb, trained_once[1], "--precision", "bf16").err
        assert "--precision must be float32, bfloat16 or auto, got 'bf16'" in told
        assert "did you mean bfloat16?" in told
    for verb, words in {"train": "[float32|bfloat16|auto]", "export": "[float32|int8|auto]"}.items():
        assert words in run(verb, "--help").out
    done = run("predict", trained_once[0], picture, "--precision", "bfloat16", "--engine", "reference")
    assert done.code != 0
    assert "the reference engine computes with float64, not with bfloat16" in done.err


def test_a_served_model_computes_with_what_the_server_was_told(trained_once, picture):
    answers = {}
    for precision in ("float32", "bfloat16"):
        (place,) = locations_of((trained_once[0],), precision)
        network = place.open(1).network
        assert network.precision == precision
        answers[precision] = network.predict_proba(picture)
    model = nc.load(trained_once[0] / "model.safetensors", precision="bfloat16")
    assert (answers["bfloat16"] == model.predict_proba(picture)).all()
    assert (answers["float32"] != answers["bfloat16"]).any()


def test_a_training_computes_with_what_it_is_told_and_its_model_says_so(run, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("neocog.engines.precision.has_instructions", HAS_INSTRUCTIONS)
    monkeypatch.setattr("neocog.jit.host.has_tiles", lambda target: True)
    of_float32 = run("train", photos, "--epochs", "1", "-b", "8", "-o", tmp_path / "plain", "--model", "lenet5")
    assert of_float32.code == 0, of_float32.err
    assert "--precision auto would multiply in bfloat16" in of_float32.err
    monkeypatch.undo()
    of_half = run(
        *("train", photos, "--epochs", "1", "-b", "8", "-o", tmp_path / "half", "--model", "lenet5"),
        *("--precision", "bfloat16"),
    )
    assert of_half.code == 0, of_half.err
    assert "--precision auto" not in of_half.err
    assert json.loads((tmp_path / "half" / "config.json").read_text())["precision"] == "bfloat16"
    plain, half = (nc.load(tmp_path / name / "model.safetensors") for name in ("plain", "half"))
    assert any((plain.parameters[name] != value).any() for name, value in half.parameters.items())
    assert "trained in" in run("info", tmp_path / "half").out
    refused = run("train", "--resume", tmp_path / "half", "--epochs", "2", "--precision", "float32")
    assert refused.code != 0
    assert "--precision cannot be changed with --resume" in refused.err
    assert run("train", "--resume", tmp_path / "half", "--epochs", "2", "-q").code == 0
    assert nc.load(tmp_path / "half" / "model.safetensors").trained_in == "bfloat16"


@pytest.mark.parametrize("kind", ["onnx", "pytorch", "object", "web", "html"])
def test_what_is_exported_knows_float32_alone_and_says_why(run, trained_once, tmp_path, kind):
    done = run("export", trained_once[0], "--to", kind, "-o", tmp_path / "out", "--precision", "bfloat16")
    assert done.code == 2
    assert f"--precision bfloat16 is not for --to {kind}: " in done.err
    assert not (tmp_path / "out").exists()


def test_an_exported_file_is_replayed_in_float32_whatever_its_model_answers_in(
    run, trained_once, tmp_path, monkeypatch
):
    pytest.importorskip("onnxruntime")
    told = run("export", trained_once[0], "--to", "onnx", "-o", tmp_path / "one.onnx", "--precision", "auto")
    assert "note: --precision auto is float32 here: an ONNX file holds float32" in told.err
    model = nc.load(trained_once[0] / "model.safetensors")
    plain = to_onnx(model, tmp_path / "two.onnx")
    model.precision = "bfloat16"
    logits, meanwhile = Network.logits, set()

    def watched(network, *given):
        meanwhile.add(model.precision)  # which another thread may answer in
        return logits(network, *given)

    monkeypatch.setattr(Network, "logits", watched)
    assert to_onnx(model, tmp_path / "three.onnx") == plain
    assert meanwhile == {"bfloat16"}
    assert model.precision == "bfloat16"


def test_the_card_of_a_pushed_model_says_what_its_answers_were_computed_in(run, trained_once):
    told = "These answers were computed in bfloat16."
    arguments = ("push", trained_once[0], "a/b", "--dry-run", "-q", "--precision")
    assert told in run(*arguments, "bfloat16").out
    assert told not in run(*arguments, "float32").out
