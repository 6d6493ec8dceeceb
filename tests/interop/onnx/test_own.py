"""To ONNX and back: a file that neocog wrote brings back all that the model had."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neocog as nc
from conformance_bounds import error_bound, within
from conformance_cases import real_case
from conformance_graphs import EACH, GRAPHS
from neocog.data.resize import ResizeRule
from neocog.errors import FormatError
from neocog.interop.onnx.write import onnx_bytes
from neocog.model.calibration import Calibration, CurvePoint
from neocog.model.modelfile import document_of
from neocog.model.network import Network
from neocog.model.origin import Origin
from neocog.model.scales import scales_to_json
from neocog.nn.blocks import Sequential
from neocog.nn.graph import IMAGE
from neocog.nn.layers import (
    GELU,
    Add,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    LayerScale,
    Linear,
    Multiply,
    PReLU,
    ReLU,
    Softmax,
)
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy
from neocog.nn.rewrite import fold_norms
from neocog.nn.scales import Scales, rounded_values
from neocog.nn.zoo import MODELS
from zoo_oracle import parameters_of

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

QUICK = ("article", "resnet20", "mobilenet_v3_small", "fast32")
CHOSEN = tuple(MODELS) if os.environ.get("NEOCOG_TEST_PROFILE") == "thorough" else QUICK
AS_LARGE_AS_MADE = ("alexnet", "vgg11", "vgg11_bn", "vgg16", "vgg16_bn")
"""Those whose last pooling smaller images do not divide into even windows: these are written, and not read."""

SHIFTED = "normalise/constant_2"  # what is added to images


def make(*layers: nc.Layer, **settings: Any) -> Network:
    layers = layers or (Conv2d(4, 3, bias=False), BatchNorm2d(0.25), ReLU(), Flatten(), Linear(3))
    network = Network(
        Sequential(*layers), (6, 5, 3), mean=(0.485, 0.456, 0.406), std=0.1, engine="reference", **settings
    )
    rng = np.random.default_rng(7)
    network.load_parameters(
        {name: value + rng.uniform(0.1, 0.6, value.shape) for name, value in network.parameters.items()}
    )
    return network


def back(content: bytes, folder: Path, **given: Any) -> nc.Model:
    path = folder / "net.onnx"
    path.write_bytes(content)
    return nc.from_onnx(path, engine="reference", **given)


def changed(content: bytes, change: Callable[[Any], None]) -> bytes:
    model = onnx.load_from_string(content)
    change(model)
    return model.SerializeToString()


def change_facts(**facts: object) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        (entry,) = (entry for entry in model.metadata_props if entry.key == "neocog")
        entry.value = json.dumps(json.loads(entry.value) | facts)

    return change


def change_array(name: str, factor: float) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        (array,) = (array for array in model.graph.initializer if array.name == name)
        values = onnx.numpy_helper.to_array(array) * np.float32(factor)
        array.CopyFrom(onnx.numpy_helper.from_array(values, name))

    return change


def same(found: Network, network: Network) -> None:
    """Fail unless two networks have the same layers, the same weights bit for bit, and the same in all that a model
    file holds beside them.
    """
    facts = [document_of(each) for each in (found, network)]
    kinds = [[node["layer"] for node in fact.pop("nodes")] for fact in facts]
    assert facts[0] == facts[1]
    assert kinds[0] == kinds[1]
    state = network.state_dict()
    assert list(found.state_dict()) == list(state)
    for name, value in found.state_dict().items():
        np.testing.assert_array_equal(value, state[name])


@pytest.mark.parametrize("form", ["uint8", "float"])
@pytest.mark.parametrize("views", ["plain", "flip", "flip-shift"])
def test_all_that_a_model_file_holds_comes_back(form: Any, views: Any, tmp_path: Path) -> None:
    network = make(views=views, class_names=["a", "b", "c, d"], resize=ResizeRule("short", "bicubic", side=8))
    network.calibration = Calibration(1.7, 4, (CurvePoint(0.5, 4, 3),))
    network.reject_below = 0.625
    network.origin = Origin("timm/some.net", "Apache-2.0", about="weights of a test")
    network.metrics = {"val_accuracy": 0.5}
    same(back(onnx_bytes(network, input=form), tmp_path), network)


def test_several_labels_with_their_thresholds_come_back(tmp_path: Path) -> None:
    network = make(loss=BinaryCrossEntropy(2.0), views="flip")
    network.thresholds = [0.25, 0.5, 0.75]
    same(back(onnx_bytes(network), tmp_path), network)


def test_a_softmax_that_is_a_layer_stays_one(tmp_path: Path) -> None:
    network = make(Flatten(), Linear(3), Softmax())
    same(back(onnx_bytes(network), tmp_path), network)


def test_what_is_given_counts_more_than_what_the_file_says(tmp_path: Path) -> None:
    network = make(class_names=["a", "b", "c"], views="flip")
    found = back(onnx_bytes(network), tmp_path, class_names=["x", "y", "z"])
    assert found.class_names == ("x", "y", "z")
    assert found.views == "flip"
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    np.testing.assert_allclose(found.logits(images), network.logits(images), rtol=1e-5, atol=1e-5)


def test_what_it_computes_with_is_the_callers(tmp_path: Path) -> None:
    content = onnx_bytes(make())
    assert back(content, tmp_path).precision == "float32"
    for given in ({}, {"resize": "crop"}):  # all of it, or its layers alone
        assert back(content, tmp_path, precision="bfloat16", **given).precision == "bfloat16"
    with pytest.raises(nc.SettingError, match=r"net\.onnx: int8 needs scales"):
        back(content, tmp_path, precision="int8")


def test_without_the_entry_a_file_is_read_as_its_graph_has_it(tmp_path: Path) -> None:
    network = make(class_names=["a", "b", "c"], views="flip")

    def forget(model: Any) -> None:
        del model.metadata_props[-1]

    found = back(changed(onnx_bytes(network), forget), tmp_path)
    assert found.class_names == ("a", "b", "c")
    assert found.graph.normalisation.mean == pytest.approx((0.485, 0.456, 0.406), rel=1e-6)
    assert found.views == "flip"


@pytest.mark.parametrize("fold", [False, True])
def test_a_quantised_model_comes_back_without_its_scales(fold: bool, tmp_path: Path) -> None:
    network = make(Conv2d(4, 3, bias=False), BatchNorm2d(0.25), ReLU(), GlobalAvgPool2d(), Linear(3))
    graph = fold_norms(network.graph).graph
    values = {graph.nodes[index].name: 0.5 for index in rounded_values(graph) if index != IMAGE}
    network.scales = Scales(0.25, values)
    content = onnx_bytes(network, fold=fold)
    before = changed(content, change_facts(scales=scales_to_json(network.scales)))  # as files had them once
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    for each in (content, before):
        found = back(each, tmp_path)
        assert found.scales is None
        np.testing.assert_allclose(found.logits(images), network.logits(images), rtol=1e-5, atol=1e-5)
    network.scales = None
    assert onnx_bytes(network, fold=fold) == content


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_array(SHIFTED, 1.01), "is of another network than the graph"),
        (change_facts(class_names=["a", "b"]), "the model is not consistent: class_names"),
        (change_facts(format=3), "a newer neocog wrote this file"),
        (change_facts(calibration=5), "calibration must be an object"),
        (change_facts(surprise=1), "unknown: 'surprise'"),
    ],
)
def test_metadata_of_another_network_are_refused(change: Callable[[Any], None], told: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        back(changed(onnx_bytes(make()), change), tmp_path)
    assert told in str(caught.value)
    assert "the metadata entry 'neocog'" in str(caught.value)


def test_metadata_that_are_no_json_are_refused(tmp_path: Path) -> None:
    def damage(model: Any) -> None:
        model.metadata_props[-1].value = "{" * 1000

    with pytest.raises(FormatError, match="is not valid JSON"):
        back(changed(onnx_bytes(make()), damage), tmp_path)


def test_views_are_what_the_graph_has_and_not_what_the_metadata_say(tmp_path: Path) -> None:
    content = changed(onnx_bytes(make(views="flip")), change_facts(views="flip-shift"))
    assert back(content, tmp_path).views == "flip"
    assert back(changed(onnx_bytes(make()), change_facts(views="flip")), tmp_path).views == "plain"


def test_other_views_than_ours_are_not_taken_for_ours(tmp_path: Path) -> None:
    def weigh(model: Any) -> None:
        (mean,) = (node for node in model.graph.node if node.name == "mean/Mul")
        change_array(mean.input[1], 0.5)(model)

    with pytest.raises(FormatError, match="not read"):
        back(changed(onnx_bytes(make(views="flip")), weigh), tmp_path)


WRITTEN_ONLY = (
    *("AdaptiveAvgPool2d(output_size=(3, 4))", "AdaptiveAvgPool2d(output_size=7)", "Maxout"),
    *("LocalResponseNorm(size=4,", "LocalResponseNorm(size=40,", "ChannelShuffle(groups=2) at the end"),
)
"""Layers that the reader has no operations for: windows of several sizes, and what ONNX has no operator for."""

FLAT = {f"{layer} on vectors" for layer in (PReLU(), GELU(), Softmax(), LayerScale(), Add(), Multiply())}
"""Likewise, of a flattened image in ONNX's order."""

COMING_BACK = [name for name in GRAPHS | EACH if not name.startswith(WRITTEN_ONLY) and name not in FLAT]


@pytest.mark.parametrize("name", COMING_BACK)
def test_a_network_around_any_layer_comes_back_within_the_bounds_of_engines(name: str, tmp_path: Path) -> None:
    graph = (GRAPHS | EACH)[name]
    case = real_case(graph, 3, len(name) % 2, CrossEntropy())
    mean, std = graph.normalisation.mean, graph.normalisation.std
    network = Network(graph, graph.input, mean=mean, std=std, engine="reference")
    network.load_parameters(case.parameters)
    bounds = error_bound(case, training=False)
    assert within(back(onnx_bytes(network), tmp_path)(case.images), bounds.run.logits, bounds.of_logits)


@pytest.mark.parametrize("name", CHOSEN)
def test_a_known_network_comes_back(name: str, tmp_path: Path) -> None:
    """Weights bit for bit; logits within 1e-4, though layers that only training has are left out."""
    known = MODELS[name]
    side = known.image.height if name in AS_LARGE_AS_MADE else min(64, known.image.height)
    network = Network(known.make(10), (side, side, known.image.channels), mean=0.45, std=0.22)
    network.load_parameters(parameters_of(network.graph))
    found = back(onnx_bytes(network), tmp_path)
    found.engine = "native"
    state = network.state_dict()
    assert set(found.state_dict()) == set(state)
    for key, value in found.state_dict().items():
        np.testing.assert_array_equal(value, state[key])
    images = np.random.default_rng(1).integers(0, 256, (2, *network.input_shape), dtype=np.uint8)
    wanted = network.logits(images)
    assert np.abs(found.logits(images) - wanted).max() <= 1e-4 * np.abs(wanted).max()
