"""Receptive fields against brute force: which pixels a cell's gradient reaches when all weights are above 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from conformance_networks import LANDMARKS, networks
from explain.networks import make_model
from neocog.errors import SettingError
from neocog.explain.receptive import Field, field_or_whole, receptive_field, receptive_fields
from neocog.explain.response import run_to
from neocog.explain.subject import exact_parameters
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import Add, AvgPool2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from neocog.nn.parameters import parameters_of
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input
from neocog.reference.network import backward, forward


def smooth(layer: Layer) -> Layer:
    """Return a layer whose gradient reaches everything that it sees: the mean stands for the largest value."""
    if isinstance(layer, Sequential):
        return Sequential(*map(smooth, layer.layers))
    if isinstance(layer, MaxPool2d):
        return AvgPool2d(layer.window, layer.stride, layer.padding)
    return replace(layer, bias=False) if isinstance(layer, Conv2d | Linear) else layer


def seen(graph: Graph, index: int, row: int, column: int) -> tuple[int, int, int, int] | None:
    """Return first and last row, first and last column of the pixels that reach a cell; None if none does."""
    parameters = {p.name: np.ones(p.shape) for p in parameters_of(graph)}
    run = run_to(graph, parameters, np.ones((1, graph.input.height, graph.input.width, graph.input.channels)), index)
    ones = np.zeros_like(run.outputs[-1])
    ones[0, row, column, 0] = 1
    pixels = backward(graph, parameters, run, ones, start=index, image=True).image[0].any(axis=-1)
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    return (rows[0], rows[-1], columns[0], columns[-1]) if len(rows) else None


def check(graph: Graph) -> None:
    """Compare corners and the centre of every layer's maps with brute force."""
    graph = trace(smooth(graph.net), graph.input)
    for node in graph.nodes:
        if not isinstance(node.output, ImageShape):
            break
        field = receptive_field(graph, node.index)
        for row in {0, node.output.height // 2, node.output.height - 1}:
            for column in {0, node.output.width // 2, node.output.width - 1}:
                top, left, height, width = field.box(row, column)
                found = seen(graph, node.index, row, column)
                if found is None:  # nothing but padding
                    continue
                assert top <= found[0] <= found[1] < top + height
                assert left <= found[2] <= found[3] < left + width
                if top >= 0 and left >= 0 and top + height <= graph.input.height and left + width <= graph.input.width:
                    assert found == (top, top + height - 1, left, left + width - 1)


@given(networks())
def test_the_field_of_any_network_is_what_brute_force_finds(graph: Graph) -> None:
    check(graph)


@pytest.mark.parametrize("name", LANDMARKS)
def test_the_field_of_the_landmarks_is_what_brute_force_finds(name: str) -> None:
    check(LANDMARKS[name])


@pytest.mark.parametrize("name", ["residual", "branches"])
def test_the_field_of_branches_and_joins_is_what_spoilt_pixels_reach(name: str) -> None:
    """A pixel that is no number makes everything that looks at it no number."""
    model = make_model(name)
    graph, parameters = model.graph, exact_parameters(model)
    sides = graph.input.height, graph.input.width
    images = np.full((sides[0] * sides[1], *sides, graph.input.channels), 0.5)
    for place, image in enumerate(images):
        image[divmod(place, sides[1])] = np.nan
    with np.errstate(invalid="ignore"):
        run = forward(graph, parameters, images)
    whole = 0
    for node, field in zip(graph.nodes, receptive_fields(graph), strict=True):
        if not isinstance(node.output, ImageShape):
            assert field is None
            continue
        assert field == receptive_field(graph, node.index)
        reached = np.isnan(run.outputs[node.index]).any(axis=-1).reshape(*sides, node.output.height, node.output.width)
        for row, column in np.ndindex(node.output.height, node.output.width):
            rows, columns = np.nonzero(reached[:, :, row, column])
            top, left, height, width = field.box(row, column)
            assert top <= rows.min() <= rows.max() < top + height
            assert left <= columns.min() <= columns.max() < left + width
            if top >= 0 and left >= 0 and top + height <= sides[0] and left + width <= sides[1]:
                whole += 1
                assert (rows.min(), rows.max(), columns.min(), columns.max()) == (
                    top,
                    top + height - 1,
                    left,
                    left + width - 1,
                )
    assert whole > 100


def test_paths_with_different_strides_have_no_field_in_common() -> None:
    x = Input((9, 9, 1))
    slow, fast = Conv2d(2, 5)(x), Conv2d(2, 1, stride=2)(x)
    graph = Graph(x, ReLU()(Add()(slow, fast, name="join")))
    for layer in (2, 3):
        with pytest.raises(SettingError, match=r"layer join \(Add\) is where paths with different strides meet"):
            receptive_field(graph, layer)
    assert receptive_fields(graph)[2:] == (None, None)
    assert receptive_field(graph, 1) == Field((1, 1), (2, 2), (0, 0))


def test_where_there_is_no_field_the_whole_image_stands_for_it() -> None:
    x = Input((9, 7, 1))
    graph = Graph(x, Add()(Conv2d(2, (5, 1))(x), Conv2d(2, 1, stride=(2, 1))(x)))
    assert field_or_whole(graph, 2).box(3, 1) == (0, 0, 9, 7)
    assert field_or_whole(graph, 0) == receptive_field(graph, 0)


def test_the_stride_of_a_single_cell_does_not_matter() -> None:
    x = Input((5, 5, 1))
    graph = Graph(x, Add()(Conv2d(2, 5)(x), Conv2d(2, 5, stride=3)(x)))
    assert receptive_field(graph, 2) == Field((5, 5), (3, 3), (0, 0))


def test_sizes_strides_and_starts_of_a_known_network() -> None:
    layers = (Conv2d(2, 3, padding=1), ReLU(), MaxPool2d(2), Conv2d(2, (3, 5), stride=(1, 2), dilation=2), Dropout())
    graph = trace(Sequential(*layers, Flatten()), (20, 32, 1))
    assert receptive_field(graph, 0) == Field((3, 3), (1, 1), (-1, -1))
    assert receptive_field(graph, 1) == receptive_field(graph, 0)
    assert receptive_field(graph, 2) == Field((4, 4), (2, 2), (-1, -1))
    assert receptive_field(graph, 3) == Field((12, 20), (2, 4), (-1, -1))
    assert receptive_field(graph, 4).box(1, 2) == (1, 7, 12, 20)


def test_a_vector_has_no_field() -> None:
    graph = trace(Sequential(Conv2d(2, 3), Flatten(), Linear(2)), (6, 6, 1))
    with pytest.raises(SettingError, match=r"layer 1 \(Flatten\) gives a vector of 32 values: it has no receptive"):
        receptive_field(graph, 1)
    with pytest.raises(SettingError, match="layer_index must be a whole number from 0 to 2, got 7"):
        receptive_field(graph, 7)
