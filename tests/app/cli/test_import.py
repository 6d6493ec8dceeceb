"""`neocog import`: weights from elsewhere become a model file that every verb takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import neocog as nc
from app.pictures import write_image
from neocog.interop.architectures import Architecture
from neocog.interop.preprocessing import IMAGENET_MEAN, NAMED
from neocog.interop.pytorch.names import EFFICIENTNET_PYTORCH, schemes

CLASSES = 3


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Write the weights of a resnet20 for three classes."""
    model = nc.Model(nc.zoo.resnet20(CLASSES), (32, 32, 3), seed=7, engine="reference")
    save_file(model.state_dict(), tmp_path / "weights.safetensors", {"license": "MIT"})
    return tmp_path / "weights.safetensors"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    (tmp_path / "labels.txt").write_text("cat\ndog\nzebra\n")
    return tmp_path / "labels.txt"


def test_weights_become_a_model(run: Any, weights: Path, labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"
    done = run("import", weights, "--model", "resnet20", "--labels", labels, "-o", out, "--source", "example.org/nets")
    assert done.code == 0, done.err
    assert f"neocog predict {out} IMAGE" in done.out
    model = nc.load(out)
    assert model.class_names == ("cat", "dog", "zebra")
    assert model.input_shape == (32, 32, 3)
    assert model.learnt_from is None
    assert (model.origin.source, model.origin.licence, model.origin.about) == ("example.org/nets", "MIT", "resnet20")
    own = nc.Model(nc.zoo.resnet20(CLASSES), (32, 32, 3), seed=7)
    assert all((own.parameters[name] == value).all() for name, value in model.parameters.items())
    write_image(tmp_path / "a.png", 200)
    answer = json.loads(run("predict", out, tmp_path / "a.png", "--jsonl").out)["top"][0]
    assert answer["class"] in model.class_names
    assert "example.org/nets" in run("info", out).out


@pytest.mark.parametrize(
    ("flags", "rule", "mean", "std"),
    [
        ([], "stretch", (0.0,), (1.0,)),
        (["--preprocessing", "torchvision"], "short=36", IMAGENET_MEAN, NAMED["torchvision"].std),
        (["--resize", "crop=0.9,bicubic", "--mean", "0.5", "--std", "0.25"], "crop=0.9,bicubic", (0.5,), (0.25,)),
        (["--mean", "51,102,153", "--std", "255", "--range", "255"], "stretch", (0.2, 0.4, 0.6), (1.0,)),
        (["--preprocessing", "lite", "--mean", "0"], "crop=0.875,bicubic", (0.0,), (128 / 255,)),
    ],
)
def test_preprocessing_is_said_by_flags(
    run: Any, weights: Path, tmp_path: Path, flags: list[str], rule: str, mean: Any, std: Any
) -> None:
    out = tmp_path / "net.safetensors"
    facts = json.loads(run("import", weights, "--model", "resnet20", "-o", out, *flags, "--json").out)
    assert facts["input"]["resize"] == rule
    model = nc.load(out)
    assert str(model.resize) == rule
    assert model.graph.normalisation.mean == pytest.approx(mean)
    assert model.graph.normalisation.std == pytest.approx(std)


def test_timms_config_says_it_all(run: Any, tmp_path: Path) -> None:
    model = nc.Model(nc.zoo.resnet18(CLASSES), (64, 64, 3), engine="reference")
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    pictures = {"input_size": [3, 64, 64], "crop_pct": 0.95, "mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}
    config = {"architecture": "resnet18", "num_classes": CLASSES, "pretrained_cfg": pictures}
    config["label_names"] = ["x", "y", "z"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    out = tmp_path / "net.safetensors"
    done = run("import", tmp_path / "model.safetensors", "--config", tmp_path / "config.json", "-o", out)
    assert done.code == 0, done.err
    found = nc.load(out)
    assert (found.input_shape, found.class_names, str(found.resize)) == (
        (64, 64, 3),
        ("x", "y", "z"),
        "short=67,bicubic",
    )
    other = run("import", tmp_path / "model.safetensors", "--config", tmp_path / "config.json", "--model", "resnet50")
    assert (other.code, other.out) == (2, "")
    assert f"--model resnet50 is another network than {tmp_path / 'config.json'} says: resnet18" in other.err


def test_other_labels_than_classes_are_refused(run: Any, weights: Path, labels: Path, tmp_path: Path) -> None:
    labels.write_text("cat\ndog\n")
    done = run("import", weights, "--model", "resnet20", "--labels", labels, "-o", tmp_path / "net.safetensors")
    assert done.code == 1
    assert "holds 2 names, and the network is for 3 classes" in done.err
    labels.write_text("background\ncat\ndog\ndog\n")
    run("import", weights, "--model", "resnet20", "--labels", labels, "-o", tmp_path / "net.safetensors")
    assert nc.load(tmp_path / "net.safetensors").class_names == ("cat", "dog", "dog (2)")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "weights need the name of their network"),
        (["--model", "resnet21"], 2, "no network is known as 'resnet21'"),
        (["--model", "resnet56"], 1, "the tensors are not those of the network"),
        (["--model", "resnet20", "--mean", "grey"], 2, "--mean must be numbers with commas between, got 'grey'"),
        (["--model", "resnet20", "--range", "255"], 2, "for pixels from 0 to 255 as they are: --mean 0 --std 1"),
        (["--model", "resnet20", "--range", "255", "--mean", "0"], 2, "both must be there"),
        (["--model", "resnet20", "--resize", "fold"], 2, "resize rule must be one of"),
        (["--model", "resnet20", "--labels", "nowhere.txt"], 1, "nowhere.txt cannot be read"),
        (["--model", "resnet20", "--config", "nowhere.json"], 1, "nowhere.json cannot be read"),
        (["--model", "resnet20", "--img-size", "2000000"], 2, "from 1 to 4096 pixels"),
    ],
)
def test_mistakes_are_told(run: Any, weights: Path, arguments: list[str], code: int, message: str) -> None:
    done = run("import", weights, *arguments, "-o", weights.with_name("net.safetensors"))
    assert message in done.err
    assert (done.code, done.out) == (code, "")


def test_a_model_file_is_not_called_as_if_it_were_an_onnx_file(run: Any, weights: Path, tmp_path: Path) -> None:
    done = run("import", weights, "--model", "resnet20", "-o", tmp_path / "net.onnx")
    assert (done.code, done.out) == (2, "")
    assert f"name it {tmp_path / 'net.safetensors'}" in done.err
    assert not (tmp_path / "net.onnx").exists()


def test_weights_are_not_written_over(run: Any, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = weights.read_bytes()
    assert "is there already" in run("import", weights, "--model", "resnet20", "-o", weights).err
    assert weights.read_bytes() == before
    monkeypatch.chdir(weights.parent)
    assert run("import", weights, "--model", "resnet20").code == 0
    assert "resnet20.safetensors is there already" in run("import", weights, "--model", "resnet20").err


def test_an_onnx_file_becomes_a_model(run: Any, labels: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    model = nc.Model(
        nc.Sequential(nc.Conv2d(2, 3), nc.ReLU(), nc.Flatten(), nc.Linear(3)), (8, 8, 3), engine="reference"
    )
    model.to_onnx(tmp_path / "net.onnx", input="float")
    out = tmp_path / "net.safetensors"
    done = run("import", tmp_path / "net.onnx", "--labels", labels, "-o", out, "--license", "CC0-1.0")
    assert done.code == 0, done.err
    found = nc.load(out)
    assert found.class_names == ("cat", "dog", "zebra")
    assert found.origin.licence == "CC0-1.0"
    x = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    np.testing.assert_allclose(found(x), model(x), rtol=1e-4, atol=1e-6)
    assert "--model is for weights" in run("import", tmp_path / "net.onnx", "--model", "resnet20", "-o", out).err
    labels.write_text("background\ncrane\ncat\ncrane\n")  # as the labels of ImageNet lie about
    assert run("import", tmp_path / "net.onnx", "--labels", labels, "-o", out).code == 0
    assert nc.load(out).class_names == ("crane", "cat", "crane (2)")
    labels.write_text("cat\ndog\n")
    assert "holds 2 names, and the network is for 3" in run("import", tmp_path / "net.onnx", "--labels", labels).err


def test_names_of_efficientnet_pytorch_say_that_padding_is_tensorflows(run: Any, tmp_path: Path) -> None:
    graph = Architecture.named("efficientnet_lite0").graph(CLASSES, (32, 32, 3))
    model = nc.Model(graph, (32, 32, 3), engine="reference")
    own = {own: name for name, own in schemes(graph)[EFFICIENTNET_PYTORCH].items()}
    save_file({own[name]: value for name, value in model.state_dict().items()}, tmp_path / "weights.safetensors")
    words = ("--model", "efficientnet_lite0", "--img-size", "32", "-o", tmp_path / "net.safetensors")
    done = run("import", tmp_path / "weights.safetensors", *words)
    assert done.code == 0, done.err
    got = nc.load(tmp_path / "net.safetensors", engine="reference")
    want = Architecture.named("tf_efficientnet_lite0").graph(CLASSES, (32, 32, 3))
    assert [node.layer for node in got.graph.nodes] == [node.layer for node in want.nodes]
    assert [node.layer for node in got.graph.nodes] != [node.layer for node in graph.nodes]
