"""Models and run folders from anywhere: every verb that reads one answers with an error, and none fails itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.pictures import write_image
from json_mutation import assembled, deep, taken_apart
from neocog.model.files import tensor_bytes
from neocog.model.modelfile import document_of
from neocog.train.model import load

HUGE = 10**4000


def layer_of(document: dict[str, Any], number: int, **changes: object) -> None:
    document["nodes"][number]["layer"].update(changes)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "huge padding": lambda d: layer_of(d, 0, padding=HUGE),
    "huge input": lambda d: d["input"].update(height=65536, width=65536),
    "very many layers": lambda d: d.update(nodes=d["nodes"][:1] * 5000),
    "nested layers": lambda d: d.update(nodes=deep(150)),
    "a cycle": lambda d: d["nodes"][0].update(inputs=[1]),
    "very many classes": lambda d: d.update(class_names=[str(n) for n in range(300_000)]),
    "deep JSON": lambda d: d.update(metrics={"a": "@deep@"}),
    "5000 digits": lambda d: d["input"].update(height="@5000 digits@"),
    "infinity": lambda d: d["input"].update(mean=["@1e999@"]),
    "NaN": lambda d: d["metrics"].update(loss=float("nan")),
    "half a character": lambda d: d["metrics"].update({"\ud800": 1}),
    "metrics of lists": lambda d: d.update(metrics={"loss": [[1]]}),
    "every key wrong": lambda d: [d.update({f"\x1b[2J{key}": d.pop(key)}) for key in list(d) if key != "format"],
}


@pytest.fixture(params=CHANGES)
def hostile(request, trained) -> Path:
    """A run folder whose files ask for what they must not."""
    for name in ("model.safetensors", "last.safetensors"):
        header, document, body = taken_apart((trained / name).read_bytes())
        CHANGES[request.param](document)
        (trained / name).write_bytes(assembled(header, document, body))
    return trained


def verbs(folder: Path, photos: Path) -> list[tuple[object, ...]]:
    image = next(photos.rglob("*.png"))
    page = folder / "page.html"
    return [
        ("info", folder),
        ("info", folder / "last.safetensors", "--json"),
        ("predict", folder, image),
        ("evaluate", folder, photos),
        ("explain", folder, image, "--save", page),
        ("train", photos, "--resume", folder),
        ("bench", "--profile", folder),
    ]


def test_every_verb_refuses_a_hostile_model_in_a_few_lines(run, hostile, trained_once):
    for words in verbs(hostile, trained_once[1]):
        done = run(*words)
        assert done.code == 1, words
        assert done.out == ""
        assert done.err.startswith(f"error: {hostile}")
        assert len(done.err) < 3000
        assert "\x1b" not in done.err


@pytest.mark.parametrize("kind", ["fifo", "zero", "empty", "sparse", "folder"])
def test_every_verb_refuses_what_is_no_model_file(run, trained, trained_once, kind):
    for name in ("model.safetensors", "last.safetensors"):
        path = trained / name
        path.unlink()
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "zero":
            path.symlink_to("/dev/zero")
        elif kind == "folder":
            path.mkdir()
        else:
            path.touch()
            os.truncate(path, (1 << 40) if kind == "sparse" else 0)
    for words in verbs(trained / "model.safetensors", trained_once[1]):
        if kind != "folder":
            assert run(*words).code in (1, 2), words
    done = run("train", trained_once[1], "--resume", trained)
    assert done.code in (1, 2)


@pytest.mark.parametrize("text", ['{"data": ' + "[" * 5000, '{"data": ' + "1" * 5000 + "}", "[]", '"x"', "{}", None])
def test_a_config_that_says_nothing_stops_no_verb(run, trained, photos, text):
    config = trained / "config.json"
    config.unlink()
    os.mkfifo(config) if text is None else config.write_text(text)
    assert run("evaluate", trained, photos, "--quiet").code == 0
    done = run("train", photos, "-o", trained, "--epochs", "1", "--quiet")
    assert done.code == 2
    assert "already holds a training run" in done.err


def test_a_model_with_nan_weights_is_described_but_answers_nothing(run, trained, trained_once):
    path = trained / "model.safetensors"
    model = load(path)
    state = model.state_dict()
    state["0.weight"][0] = np.nan
    path.write_bytes(tensor_bytes(document_of(model), state))
    assert run("info", path).code == 0
    done = run("predict", path, next(trained_once[1].rglob("*.png")))
    assert done.code == 1
    assert "the weights must be finite numbers\n  0.weight: " in done.err
    assert run("evaluate", path, trained_once[1]).code == 1


def test_a_large_input_is_predicted_image_by_image(run, tmp_path, monkeypatch):
    import neocog as nc
    from neocog.app import prediction

    net = nc.Sequential(nc.MaxPool2d(2048), nc.Flatten(), nc.Linear(2))
    nc.Model(net, (2048, 2048, 1), ["a", "b"]).save(tmp_path / "m.safetensors")
    paths = [write_image(tmp_path / f"{n}.png", 60 * n) for n in range(3)]
    asked = []
    stack = np.stack
    monkeypatch.setattr(prediction.np, "stack", lambda images: asked.append(len(images)) or stack(images))
    assert run("predict", tmp_path / "m.safetensors", *paths).code == 0
    assert asked == [1, 1, 1]
