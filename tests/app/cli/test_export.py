"""`neocog export`: what it writes, what it says of it, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import neocog as nc
from app.pictures import write_image, write_photos
from neocog.app.cli.export import FORMATS
from neocog.data.decode import decode_image
from neocog.data.resize import ImageSize
from neocog.interop.onnx import replay

pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def test_a_file_beside_the_model_names_pictures_as_neocog_predict_does(run, trained_once, tmp_path) -> None:
    done = run("export", trained_once[0], "--to", "onnx", "--output", tmp_path / "net.onnx")
    assert done.code == 0, done.err
    wrote, replayed = done.out.splitlines()
    assert wrote.startswith(f"wrote     {tmp_path / 'net.onnx'} (")
    assert wrote.endswith(" bytes), opset 17, uint8 input")
    assert replayed.startswith("replayed  100 images by ONNX Runtime; logits differ by at most ")
    write_image(tmp_path / "a.png", 200)
    model = nc.load(trained_once[0] / "model.safetensors")
    picture = decode_image(tmp_path / "a.png", ImageSize(*model.input_shape), model.resize)[None]
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (probabilities,) = session.run(["probabilities"], {"images": picture})
    names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
    (found,) = json.loads(run("predict", trained_once[0], tmp_path / "a.png", "--top", "2", "--jsonl").out)["top"][:1]
    assert names[int(probabilities.argmax())] == found["class"]
    assert float(probabilities.max()) == pytest.approx(found["probability"], rel=1e-5)


def test_the_file_lies_beside_the_model_or_in_a_folder_that_is_named(run, trained, tmp_path) -> None:
    assert run("export", trained, "--to=onnx").code == 0
    assert (trained / "model.onnx").is_file()
    assert run("export", trained / "model.safetensors", "to=onnx", "-o", tmp_path).code == 0
    assert (tmp_path / "model.onnx").read_bytes() == (trained / "model.onnx").read_bytes()


def test_verbs_take_the_file_and_say_what_they_say_of_the_model(run, trained_once, tmp_path) -> None:
    folder, photos = trained_once
    assert run("export", folder, "--to", "onnx", "-o", tmp_path / "net.onnx").code == 0
    told = [
        json.loads(run("evaluate", file, photos, "--split", "all", "--json").out)
        for file in (tmp_path / "net.onnx", folder)
    ]
    for key in ("accuracy", "confusion", "classes", "images"):
        assert told[0][key] == told[1][key]
    assert told[0]["loss"] == pytest.approx(told[1]["loss"], rel=1e-5)
    same = run("export", tmp_path / "net.onnx", "--to", "onnx")
    assert same.code == 2
    assert "is the model itself" in same.err
    again = run("export", tmp_path / "net.onnx", "--to", "onnx", "-o", tmp_path / "again.onnx")
    assert again.code == 0, again.err


def test_json_says_what_was_written_and_compared(run, trained_once, tmp_path) -> None:
    path = tmp_path / "net.onnx"
    done = run("export", trained_once[0], "--to", "onnx", "-o", path, "--input", "float", "--opset", "21", "--json")
    told = json.loads(done.out)
    assert told["file"] == str(path)
    assert told["bytes"] == path.stat().st_size
    assert (told["input"], told["opset"]) == ("float", 21)
    assert told["replayed"]["images"] == 100
    assert 0 <= told["replayed"]["difference"] < 1e-4 * told["replayed"]["size"]
    assert onnxruntime.InferenceSession(path).get_inputs()[0].type == "tensor(float)"


def test_images_of_data_are_answered_and_those_that_cannot_be_read_are_told(run, trained_once, tmp_path) -> None:
    photos = write_photos(tmp_path / "photos")
    (photos / "dark" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    asked: list[np.ndarray] = []
    words = ("export", trained_once[0], "--to", "onnx", "-o", tmp_path / "net.onnx", "--data", photos)
    with pytest.MonkeyPatch.context() as patch:
        plain = replay.in_pieces
        patch.setattr(replay, "in_pieces", lambda *given: asked.append(given[2]) or plain(*given))
        done = run(*words)
    assert done.code == 0, done.err
    files = len(list(photos.rglob("*.png")))
    assert len(asked[0]) == files - 1
    assert "1 image cannot be read and is skipped" in done.err
    assert f"replayed  {max(100, files - 1)} images" in done.out
    (tmp_path / "net.onnx").unlink()
    strict = run(*words, "--strict")
    assert strict.code == 1
    assert "--strict allows none" in strict.err
    assert not (tmp_path / "net.onnx").exists()


def test_a_file_that_no_export_wrote_is_left_as_it_is(run, trained_once, tmp_path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"mine")
    done = run("export", trained_once[0], "--to", "onnx", "-o", path)
    assert done.code == 2
    assert f"{path} is there already, and was not written by an export" in done.err
    assert "name another file with --output" in done.err
    assert path.read_bytes() == b"mine"


def test_more_images_than_a_hundred_are_answered_where_they_are_asked_for(run, trained_once, tmp_path) -> None:
    np.savez(tmp_path / "many.npz", x_test=np.zeros((150, 12, 12), np.uint8), y_test=np.zeros(150, int))
    words = ("export", trained_once[0], "--to", "onnx", "-o", tmp_path / "net.onnx", "--data", tmp_path / "many.npz")
    assert "replayed  100 images" in run(*words).out
    assert "replayed  130 images" in run(*words, "--images", "130").out
    assert "replayed  150 images" in run(*words, "--images", "1000").out


def test_what_the_graph_leaves_to_its_user_is_told(run, trained, tmp_path) -> None:
    model = nc.load(trained / "model.safetensors")
    model.reject_below = 0.75
    model.save(trained / "model.safetensors")
    done = run("export", trained, "--to", "onnx")
    assert "note: answers below 0.75 are unknown" in done.err
    assert run("export", trained, "--to", "onnx", "--quiet").err == ""


def test_without_onnx_runtime_that_is_told_or_with_strict_an_error(run, trained, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    strict = run("export", trained, "--to", "onnx", "--strict")
    assert strict.code == 1
    assert "hint: pip install 'neocog[onnx]'" in strict.err
    assert not (trained / "model.onnx").exists()
    done = run("export", trained, "--to", "onnx")
    assert done.code == 0
    assert "nothing was replayed, since ONNX Runtime is not installed" in done.err
    assert "replayed" not in done.out
    assert json.loads(run("export", trained, "--to", "onnx", "--json").out)["replayed"] is None


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 2, "neocog export needs --to"),
        (("--to", "onx"), 2, "did you mean onnx?"),
        (("--to", "onnx", "--input", "bytes"), 2, "--input must be uint8 or float, got 'bytes'"),
        (("--to", "onnx", "--opset", "99"), 2, "opset must be a whole number from 17 to "),
        (("--to", "onnx", "--images", "99"), 2, "--images must be 100 or more, got 99"),
        (("--to", "onnx", "--data", "nowhere"), 2, "nowhere"),
        (("--to", "onnx", "-o", "no/such/net.onnx"), 1, "cannot be written: there is no folder"),
    ],
)
def test_mistakes_are_said(run, trained_once, words: tuple[str, ...], code: int, told: str) -> None:
    done = run("export", trained_once[0], *words)
    assert done.code == code
    assert told in done.err
    assert "Traceback" not in done.err


def test_a_flag_of_another_format_is_refused(run, trained_once, monkeypatch) -> None:
    plain = type(FORMATS["onnx"])(FORMATS["onnx"].module, ".txt")
    monkeypatch.setitem(FORMATS, "onnx", plain)
    done = run("export", trained_once[0], "--to", "onnx", "--fold")
    assert done.code == 2
    assert "--fold is not for --to onnx" in done.err


def test_every_format_has_a_module_that_writes_it() -> None:
    for form in FORMATS.values():
        path = Path(nc.__file__).parent.joinpath(*form.module.split(".")[1:]).with_suffix(".py")
        assert "def write(" in path.read_text()
