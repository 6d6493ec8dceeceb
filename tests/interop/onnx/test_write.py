"""Networks as ONNX files: what goes in, what comes out, what the file says of itself, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import neocog as nc
from neocog.data.resize import ResizeRule
from neocog.errors import DataError, NeocogError, NeocogWarning, SettingError, ShapeError
from neocog.interop.onnx import write
from neocog.interop.onnx.write import onnx_bytes, to_onnx
from neocog.model.calibration import Calibration, CurvePoint
from neocog.model.network import Network
from neocog.model.origin import Origin
from neocog.nn.blocks import Sequential
from neocog.nn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from neocog.nn.losses import BinaryCrossEntropy

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

BLOCK = (Conv2d(6, 3, padding=1, bias=False), BatchNorm2d(), ReLU(), MaxPool2d(2), Conv2d(8, 3), ReLU(), Dropout(0.5))
NAMES = ["Apfel", "Birne, grün", "梅"]
ONE_ULP = {"rtol": 2e-6, "atol": 1e-7}  # of probabilities: softmax and sigmoid in float32, on logits that part by less


def make(*layers: nc.Layer, shape: tuple[int, int, int] = (9, 7, 3), **settings: object) -> Network:
    """Return a network whose parameters hide nothing: normalizations and biases are random too."""
    layers = layers or (*BLOCK, Flatten(), Linear(3))
    given = {"mean": (0.4, 0.5, 0.3), "std": (0.2, 0.3, 0.25), "engine": "reference", **settings}
    if shape[2] != 3:
        given |= {"mean": 0.4, "std": 0.2}
    network = Network(Sequential(*layers), shape, **given)
    rng = np.random.default_rng(7)
    values = {
        name: value + rng.uniform(0.1, 0.6, value.shape).astype(np.float32)
        for name, value in network.parameters.items()
    }
    network.load_parameters(values)
    return network


def tempered(network: Network, temperature: float) -> Network:
    network.calibration = Calibration(temperature, 4, (CurvePoint(0.5, 4, 3),))
    return network


def pictures(network: Network, count: int = 5) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, *network.input_shape), dtype=np.uint8)


def answers(content: bytes, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return tuple(session.run(["probabilities", "logits"], {"images": images}))


def check_answers(network: Network, **settings: object) -> None:
    images = pictures(network)
    content = onnx_bytes(network, **settings)
    as_floats = images.astype(np.float32) / np.float32(255)
    feed = as_floats.transpose(0, 3, 1, 2) if settings.get("input") == "float" else images
    for count in (5, 1):
        probabilities, logits = answers(content, np.ascontiguousarray(feed[:count]))
        np.testing.assert_allclose(logits, network.logits(images[:count]), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(probabilities, network.predict_proba(images[:count]), **ONE_ULP)


def properties(content: bytes) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}


@pytest.mark.parametrize("form", ["uint8", "float"])
@pytest.mark.parametrize("views", ["plain", "flip", "flip-shift"])
@pytest.mark.parametrize("opset", [17, onnx.defs.onnx_opset_version()])
def test_a_file_answers_pictures_as_the_network_does(form: str, views: str, opset: int) -> None:
    check_answers(tempered(make(views=views), 1.7), input=form, opset=opset)


@pytest.mark.parametrize("shape", [(5, 5, 1), (4, 6, 4), (3, 3, 2)])
def test_images_of_any_number_of_channels(shape: tuple[int, int, int]) -> None:
    check_answers(make(Conv2d(3, 2), ReLU(), GlobalAvgPool2d(), Linear(3), shape=shape))


def test_nothing_is_normalised_where_the_network_does_not() -> None:
    network = make(mean=0.0, std=1.0)
    check_answers(network)
    check_answers(network, input="float")
    kinds = [node.op_type for node in onnx.load_from_string(onnx_bytes(network, input="float")).graph.node]
    assert kinds[0] == "Conv"


def test_several_labels_have_a_sigmoid_each_whatever_the_temperature() -> None:
    check_answers(make(loss=BinaryCrossEntropy(), views="flip"))


def test_a_network_that_ends_in_an_image_answers_pixel_by_pixel_with_channels_last() -> None:
    network = make(Conv2d(4, 3, padding=1), ReLU(), Conv2d(2, 1))
    check_answers(network)
    check_answers(network, input="float")


def test_weights_are_those_of_the_network_bit_for_bit_and_by_pytorchs_names() -> None:
    network = make()
    arrays = {
        array.name: onnx.numpy_helper.to_array(array)
        for array in onnx.load_from_string(onnx_bytes(network)).graph.initializer
    }
    state = network.state_dict()
    assert len(state) == 9
    for name, value in state.items():
        np.testing.assert_array_equal(arrays[name], value)


def test_normalizations_stay_unless_they_are_to_be_folded() -> None:
    network = make()
    for fold, expected in ((False, 1), (True, 0)):
        content = onnx_bytes(network, fold=fold)
        kinds = [node.op_type for node in onnx.load_from_string(content).graph.node]
        assert kinds.count("BatchNormalization") == expected
        assert "Dropout" not in kinds
    check_answers(network, fold=True)


def test_operations_bear_the_names_of_their_layers() -> None:
    graph = onnx.load_from_string(onnx_bytes(make())).graph
    names = [node.name for node in graph.node]
    assert names[4:8] == ["0", "1", "2", "3"]
    assert len(set(names)) == len(names)


def test_the_same_network_gives_the_same_bytes() -> None:
    assert onnx_bytes(make()) == onnx_bytes(make())


def test_a_file_says_what_it_is() -> None:
    network = make(class_names=NAMES, resize=ResizeRule("crop", "bicubic", part=0.875))
    network.reject_below = 0.625
    network.origin = Origin("timm/some.net", "Apache-2.0", about="weights of a test")
    found = properties(onnx_bytes(network))
    assert json.loads(found["class_names"]) == NAMES
    assert found["license"] == "Apache-2.0"
    assert found["source"] == "timm/some.net"
    assert "uint8 (N, 9, 7, 3), from 0 to 255; channels: red, green, blue" in found["preprocessing"]
    assert "resized by crop=0.875,bicubic" in found["preprocessing"]
    assert "where that is below 0.625, the answer is unknown" in found["answers"]
    whole = json.loads(found["neocog"])
    assert whole["input"]["mean"] == [0.4, 0.5, 0.3]
    assert whole["origin"]["about"] == "weights of a test"
    assert whole["reject_below"] == 0.625
    assert "nodes" not in whole
    plain = properties(onnx_bytes(make(), input="float"))
    assert {"license", "source"}.isdisjoint(plain)
    assert "float32 (N, 3, 9, 7), from 0 to 1" in plain["preprocessing"]
    assert "unknown" not in plain["answers"]


def test_a_file_says_above_what_a_label_is_given() -> None:
    network = make(loss=BinaryCrossEntropy())
    assert "above: 0.5, 0.5, 0.5." in properties(onnx_bytes(network))["answers"]
    network.thresholds = [0.25, 0.5, 0.75]
    assert "above: 0.25, 0.5, 0.75." in properties(onnx_bytes(network))["answers"]


def test_the_number_of_images_is_free_and_all_else_is_said() -> None:
    graph = onnx.load_from_string(onnx_bytes(make())).graph
    sides = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert sides == {"images": ["N", 9, 7, 3], "probabilities": ["N", 3], "logits": ["N", 3]}


def test_to_onnx_replays_and_writes(tmp_path: Path) -> None:
    network, path = make(views="flip"), tmp_path / "net.onnx"
    done = to_onnx(network, path)
    assert done is not None
    assert done.images == 100
    assert 0 < done.difference < 1e-5 * done.size
    assert path.read_bytes() == onnx_bytes(network)
    assert network.to_onnx(path, input="float", opset=20, fold=True) is not None
    assert path.read_bytes() == onnx_bytes(network, input="float", opset=20, fold=True)
    assert nc.to_onnx is to_onnx


@pytest.mark.parametrize(
    ("argument", "value"), [("input", "int8"), ("input", None), ("opset", 16), ("opset", 99), ("opset", True)]
)
def test_what_is_out_of_range_is_refused(argument: str, value: object) -> None:
    with pytest.raises(SettingError, match=f"^{argument} must be "):
        onnx_bytes(make(), **{argument: value})


def test_weights_that_no_onnx_file_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "MOST_BYTES", 1000)
    with pytest.raises(NeocogError, match=r"at most 1,000 bytes of weights, this network has \d,\d+"):
        onnx_bytes(make())


def test_images_of_the_user_are_replayed_and_random_ones_up_to_a_hundred(tmp_path: Path) -> None:
    network, path = make(), tmp_path / "net.onnx"
    asked: list[np.ndarray] = []
    plain = network.logits
    network.logits = lambda images: asked.append(images) or plain(images)  # type: ignore[assignment]
    mine = pictures(network, 3)
    done = to_onnx(network, path, images=mine)
    assert done is not None
    assert done.images == 100
    seen = np.concatenate(asked)
    np.testing.assert_array_equal(seen[:3], mine)
    assert len(seen) == 100
    many = to_onnx(network, path, images=np.repeat(mine, 40, axis=0))
    assert many is not None
    assert many.images == 120


def test_images_that_the_file_does_not_take_are_refused(tmp_path: Path) -> None:
    network, path = make(), tmp_path / "net.onnx"
    with pytest.raises(DataError, match="must be uint8 for a file that takes uint8"):
        to_onnx(network, path, images=np.zeros((2, 9, 7, 3), np.float32))
    with pytest.raises(ShapeError, match="images must have the shape"):
        to_onnx(network, path, images=np.zeros((2, 9, 8, 3), np.uint8))
    assert not path.exists()
    done = to_onnx(network, path, input="float", images=np.full((2, 9, 7, 3), 0.5, np.float32))
    assert done is not None


def test_without_onnx_runtime_a_warning_says_that_nothing_was_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    path = tmp_path / "net.onnx"
    with pytest.raises(NeocogError, match="needs the package onnxruntime"):
        to_onnx(make(), path, strict=True)
    assert not path.exists()
    with pytest.warns(NeocogWarning, match="nothing was replayed"):
        assert to_onnx(make(), path) is None
    assert path.exists()


def test_without_onnx_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(NeocogError, match="writing ONNX needs the package onnx") as caught:
        onnx_bytes(make())
    assert caught.value.hint == "pip install 'neocog[onnx]'"


def test_openvino_reads_the_file_and_answers_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")  # it would send statistics
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    network = tempered(make(views="flip-shift"), 0.8)
    images = pictures(network)
    core = openvino.Core()
    for opset in (17, 21):
        model = core.read_model(onnx_bytes(network, opset=opset))
        found = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([images])
        np.testing.assert_allclose(found["logits"], network.logits(images), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found["probabilities"], network.predict_proba(images), rtol=1e-5, atol=1e-6)
