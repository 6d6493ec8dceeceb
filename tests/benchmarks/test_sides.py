"""Every side computes the same network, on one with every layer; those that are not installed are skipped."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks.networks import NETWORKS, Network
from benchmarks.sides import HOMES, INFERENCE_SIDES, TRAINING_SIDES, Mode, agreeing_calls, make_task
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape
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


def test_no_convolution_of_the_mixed_network_fits_winograd() -> None:
    mixed = NETWORKS["mixed"]
    for node in trace(mixed.net, mixed.input_shape).nodes:
        if isinstance(node.layer, Conv2d) and isinstance(node.input, ImageShape):
            assert not fits_winograd(node.layer.window_over(node.input))
