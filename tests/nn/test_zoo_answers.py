"""The networks of the zoo give what other people's renderings of them give with the same weights, layer by layer."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from neocog.nn.layers import BatchNorm2d, Conv2d, Linear
from neocog.nn.shapes import VectorShape
from neocog.reference.network import ForwardPass, forward
from zoo_oracle import NAMES, RECORD, answers_of, graph_of, images_of, parameters_of, twin_of

QUICK = ("resnet20", "mobilenet_v3_small", "shufflenet_v2_x0_5")
THOROUGH = os.environ.get("NEOCOG_TEST_PROFILE") == "thorough"
CHOSEN = NAMES if THOROUGH else QUICK
CLOSE = 1e-10  # of the largest value: both sides compute in float64, and add up in another order


def run_of(name: str) -> ForwardPass:
    graph = graph_of(name)
    values = {key: value.astype(np.float64) for key, value in parameters_of(graph).items()}
    return forward(graph, values, images_of(graph))


def check_close(got: np.ndarray, want: np.ndarray, what: str) -> None:
    error = np.abs(got - want).max() / np.abs(want).max()
    assert error < CLOSE, f"{what}: {error:.1e} of the largest value"


@pytest.mark.parametrize("name", CHOSEN)
def test_a_network_answers_as_it_is_recorded_of_others(name: str) -> None:
    check_close(run_of(name).logits, np.array(json.loads(RECORD.read_text())[name]), name)


@pytest.mark.parametrize("name", CHOSEN)
def test_each_layer_gives_what_that_of_another_rendering_gives(name: str) -> None:
    run = run_of(name)
    try:
        twin = twin_of(name, run.graph, parameters_of(run.graph))
    except ImportError as error:
        pytest.skip(f"{error.name} is not installed")
    answers, given = answers_of(twin, images_of(run.graph))
    check_close(run.logits, answers, name)
    for node, got in zip(run.graph.nodes, run.outputs, strict=True):
        if node.name not in given:
            assert not isinstance(node.layer, Conv2d | Linear | BatchNorm2d), node.title
            continue
        want = given[node.name]
        if not isinstance(node.output, VectorShape):
            want = want.transpose(0, 2, 3, 1)
        elif want.ndim == 4 and node.output.image is None:
            want = want[:, :, 0, 0]
        elif node.output.image is not None:
            image = node.output.image
            want = want.reshape(-1, image.channels, image.height, image.width).transpose(0, 2, 3, 1)
        check_close(got, want.reshape(got.shape), node.title)


def test_each_recorded_network_is_known() -> None:
    assert sorted(json.loads(RECORD.read_text())) == sorted(NAMES)
