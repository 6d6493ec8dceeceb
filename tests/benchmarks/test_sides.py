"""Every side computes the same network, on one with every layer; those that are not installed are skipped."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks import sides, speed
from benchmarks.figures import HALF, ROUNDED
from benchmarks.networks import NETWORKS, Network
from benchmarks.options import Options
from benchmarks.rounds import Call, DisagreementError
from benchmarks.sides import HOMES, INFERENCE_SIDES, TRAINING_SIDES, Mode, Task, agreeing_calls, make_task
from neocog.nn.blocks import Concat, Residual, Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    BatchNorm2d,
    ChannelShuffle,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Hardsigmoid,
    Layer,
    LayerNorm2d,
    LayerScale,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    Multiply,
    PixelShuffle,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Slice,
    Softmax,
    Tanh,
    Upsample,
)
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input
from neocog.plan.algorithm import fits_winograd

LAYERS = (
    Conv2d(4, 3, padding="same", stride=2),  # one pixel more after than before
    ReLU(),
    MaxPool2d(3, stride=2, padding=1),
    Conv2d(8, (1, 3), dilation=(1, 2), padding=(0, 2), bias=False),
    AvgPool2d(2, padding=1),
    Flatten(),
    Linear(6),
    ReLU(),
    Linear(3),
)
EVERYTHING = Network("everything", Sequential(*LAYERS), (18, 14, 3), 5, "every layer")
POINTWISE = (
    ReLU(),
    ReLU6(),
    LeakyReLU(0.2),
    PReLU(),
    LayerScale(0.5),
    ELU(0.7),
    SiLU(),
    GELU(),
    GELU("tanh"),
    Hardsigmoid(),
    Sigmoid(),
    Tanh(),
    Softmax(),
    Maxout(2),
    LayerNorm2d(),
    LayerNorm2d(0.1, affine=False),
    GroupNorm(4),
    GroupNorm(2, 0.1, affine=False),
    LocalResponseNorm(5, 0.5, 0.75, 2.0),
    LocalResponseNorm(4, 1.0, 0.5),
)
POOLINGS = (
    *(AvgPool2d(3, 2, 1, ceil_mode=True), AvgPool2d(3, 3, 1, ceil_mode=True, count_include_pad=False)),
    *(MaxPool2d(2, 3, 1, ceil_mode=True), AdaptiveAvgPool2d((3, 5)), AdaptiveAvgPool2d(1)),
)


def branched() -> Graph:
    """Return a network with every join, normalization and activation, on images and on vectors."""
    image = x = Input((10, 8, 3))
    for layer in (Conv2d(8, 3, padding=1, bias=False), BatchNorm2d()):
        x = layer(x)
    x = Residual(Sequential(ReLU(), Conv2d(8, 3, padding=1), BatchNorm2d(affine=False), SiLU()))(x)
    x = Conv2d(6, 3, stride=2)(Concat(*POINTWISE)(x))
    x = Conv2d(6, 1)(Concatenate()(x, *(Sequential(pooling, AdaptiveAvgPool2d((4, 3)))(x) for pooling in POOLINGS)))
    x = Add()(x, Multiply()(x, Sigmoid()(x)), Tanh()(x))
    y = Concat(Sequential(Flatten(), PReLU(), LayerScale(0.7)), GlobalAvgPool2d(), Sequential(Flatten(), Maxout(4)))(x)
    return Graph(image, Linear(5)(BatchNorm2d()(Concat(Linear(7), Sequential(Linear(6), LayerNorm2d(), Softmax()))(y))))


def enlarged() -> Graph:
    """Return a network that cuts, shuffles and enlarges."""
    image = Input((6, 5, 3))
    left, right = Conv2d(12, 3, padding=1)(image).split(2)
    x = ChannelShuffle(5)(Concat(Sequential(), Slice(1, -1))(Add()(left, ReLU()(right))))
    x = PixelShuffle(2)(Conv2d(16, 1)(x))
    x = Upsample((3, 2), "bilinear")(Upsample((1, 2))(x))
    x = ConvTranspose2d(5, (3, 2), (2, 1), (1, 0), (1, 0))(x)
    return Graph(image, Linear(4)(Flatten()(Conv2d(3, 5, stride=4)(x))[..., 2:-1]))


ENLARGED = Network("enlarged", enlarged(), (6, 5, 3), 4, "everything that moves values")
BRANCHED = Network("branched", branched(), (10, 8, 3), 6, "every join")
LIBRARIES = {
    "PyTorch": ("torch",),
    "PyTorch channels_last": ("torch",),
    "JAX": ("jax",),
    "ONNX Runtime": ("onnx", "onnxruntime"),
    "OpenVINO": ("onnx", "openvino"),
}  # torch.compile would run a C++ compiler for half a minute


@pytest.mark.parametrize("mode", ["training", "inference"])
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_peer_computes_what_neocog_computes(name: str, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")  # OpenVINO would send statistics
    if mode == "training" and name not in TRAINING_SIDES:
        pytest.skip("it does not train")
    for library in LIBRARIES[name]:
        pytest.importorskip(library)
    calls, skipped = agreeing_calls(mode, ["neocog", name], make_task(EVERYTHING, 1))
    assert not skipped
    assert list(calls) == ["neocog", name]


@pytest.mark.parametrize("mode", ["training", "inference"])
@pytest.mark.parametrize("name", ["PyTorch channels_last", "JAX", "ONNX Runtime", "OpenVINO", "OpenVINO as it comes"])
def test_peers_compute_the_same_on_graphs(name: str, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    if mode == "training" and name not in TRAINING_SIDES:
        pytest.skip("it does not train")
    for library in ("torch", *LIBRARIES.get(name, LIBRARIES["OpenVINO"])):
        pytest.importorskip(library)
    calls, skipped = agreeing_calls(mode, ["PyTorch", name], make_task(BRANCHED, 1))
    assert not skipped
    assert list(calls) == ["PyTorch", name]


@pytest.mark.parametrize("name", ["PyTorch channels_last", "ONNX Runtime", "OpenVINO"])
def test_peers_compute_the_same_where_values_move(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    for library in ("torch", *LIBRARIES[name]):
        pytest.importorskip(library)
    calls, skipped = agreeing_calls("inference", ["neocog", name], make_task(ENLARGED, 2))
    assert not skipped
    assert list(calls) == ["neocog", name]


def test_pytorchs_relus_overwrite_what_no_gradient_and_no_other_layer_needs() -> None:
    pytest.importorskip("torch")
    from benchmarks.sides.pytorch import overwrites

    def overwriting(*layers: Layer) -> list[bool]:
        graph = trace(Sequential(*layers), (8, 8, 3))
        return [overwrites(graph, node) for node in graph.nodes if isinstance(node.layer, ReLU)]

    assert overwriting(Conv2d(3, 1), ReLU(), Conv2d(3, 1), BatchNorm2d(), ReLU()) == [True, True]
    assert overwriting(Residual(Conv2d(3, 1)), ReLU()) == [True]
    assert overwriting(Conv2d(3, 1), Residual(ReLU())) == [False]  # the shortcut needs it too
    assert overwriting(Sigmoid(), ReLU()) == [False]  # a sigmoid's gradient is computed from what it gave
    assert overwriting(ReLU()) == [False]  # the images


def test_a_task_hides_no_fault_behind_initial_values() -> None:
    task = make_task(BRANCHED, 1)
    for name, value in task.parameters.items():
        if name.rsplit(".")[-1].startswith("running"):
            assert np.ptp(value) > 0.1
    plain = make_task(EVERYTHING, 1)
    assert np.std(plain.parameters["8.weight"]) > 0.2  # Glorot's deviation is 0.47


def test_onnx_leaves_dropout_out() -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from benchmarks.onnxmodel import export

    task = make_task(EVERYTHING, 1)
    dropping = trace(Sequential(*LAYERS, Dropout(0.5)), EVERYTHING.input_shape)
    logits = [
        onnxruntime.InferenceSession(export(graph, task.parameters, 5)).run(None, {"images": task.channels_first})[0]
        for graph in (task.graph, dropping)
    ]
    np.testing.assert_array_equal(*logits)


def test_a_peer_that_is_not_installed_is_skipped_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.delitem(sys.modules, "benchmarks.sides.openvino", raising=False)
    calls, skipped = agreeing_calls("inference", ["neocog", "OpenVINO"], make_task(EVERYTHING, 1))
    assert list(calls) == ["neocog"]
    assert skipped == {"OpenVINO": "openvino is not installed"}


def test_every_side_has_a_home() -> None:
    assert set(TRAINING_SIDES) | set(INFERENCE_SIDES) == set(HOMES)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_draws_no_random_numbers(name: str) -> None:
    graph = trace(NETWORKS[name].net, NETWORKS[name].input_shape)
    assert not any(isinstance(node.layer, Dropout) for node in graph.nodes)


def test_the_mixed_network_leaves_little_to_winograd() -> None:
    mixed = NETWORKS["mixed"]
    for node in trace(mixed.net, mixed.input_shape).nodes:
        if isinstance(node.layer, Conv2d) and isinstance(node.input, ImageShape):
            window = node.layer.window_over(node.input)
            assert window.vertical.stride == 2 or not fits_winograd(window)  # 25 products in place of 36, at best


def test_a_rounded_side_that_disagrees_is_left_out_and_another_side_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(name: str, mode: Mode, task: Task) -> Call:
        return lambda: np.full(3, 0.0 if name in ("neocog", "OpenVINO") else 5.0)

    monkeypatch.setattr(sides, "make_call", answers)
    calls, skipped = agreeing_calls("inference", ["neocog", "OpenVINO", ROUNDED], make_task(EVERYTHING, 1))
    assert list(calls) == ["neocog", "OpenVINO"]
    assert "computes something else" in skipped[ROUNDED]
    with pytest.raises(DisagreementError, match="PyTorch computes something else"):
        agreeing_calls("inference", ["neocog", "PyTorch"], make_task(EVERYTHING, 1))


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_sides_that_round_to_bfloat16_agree_within_what_that_costs(mode: Mode) -> None:
    pytest.importorskip("torch")
    net = Sequential(Conv2d(16, 3, padding=1), ReLU(), Conv2d(16, 3, padding=1), Flatten(), Linear(4))
    task = make_task(Network("small", net, (8, 8, 3), 4, "of two convolutions"), 1)
    calls, skipped = agreeing_calls(mode, ["neocog", "neocog bfloat16", "PyTorch autocast"], task)
    assert not skipped
    exact, *rounded = (call() for call in calls.values())
    assert all(np.any(answer != exact) for answer in rounded)


@pytest.mark.parametrize("tiles", [True, False])
def test_bfloat16_is_measured_where_there_are_tiles(monkeypatch: pytest.MonkeyPatch, tiles: bool) -> None:
    monkeypatch.setattr(speed, "would_gain", lambda: tiles)
    for known in (INFERENCE_SIDES, TRAINING_SIDES):
        assert set(known) - set(speed.with_half(known, Options())) == (set() if tiles else set(HALF))
        assert speed.with_half(known, Options(bfloat16=True)) == known
