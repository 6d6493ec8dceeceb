"""Maps of a few filters, computed fast, are the reference's."""

from __future__ import annotations

import numpy as np
import pytest

import neocog as nc
from explain.networks import NETWORKS, make_model
from explain.test_patches import convolutions
from neocog.explain.quick import quick_maps, quick_slopes
from neocog.explain.response import run_to
from neocog.explain.subject import exact_parameters
from neocog.nn.answer import answer_path
from neocog.reference.network import backward


def test_quick_maps_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(1)
    odd = nc.Sequential(nc.MaxPool2d(2), nc.Conv2d(5, 3), nc.ReLU(), nc.Dropout(), nc.MaxPool2d(2), nc.Conv2d(5, 2))
    odd = nc.Sequential(*odd.layers, nc.Flatten(), nc.ReLU())
    models = [*map(make_model, NETWORKS), nc.Model(odd, (14, 15, 2), mean=0.5, engine="reference")]
    for model in models:
        layers = convolutions(model)
        if layers:
            images = rng.random((3, *model.input_shape))
            wanted = {
                layer: (rng.integers(model.graph.nodes[layer].output.channels, size=7), rng.integers(3, size=7))
                for layer in layers
            }
            parameters = exact_parameters(model)
            run = run_to(model.graph, parameters, images, len(model.graph.nodes) - 1)
            for layer, maps in quick_maps(model.graph, parameters, images, wanted).items():
                filters, places = wanted[layer]
                path = [at for at in answer_path(model.graph, layer) if model.graph.nodes[at].layer != nc.ReLU()]
                np.testing.assert_allclose(maps, run.outputs[path[-1]][places, :, :, filters], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "without convolutions"])
def test_quick_slopes_are_those_of_the_reference(name: str) -> None:
    model = make_model(name)
    rng = np.random.default_rng(4)
    parameters, images = exact_parameters(model), rng.random((2, *model.input_shape))
    for last in {
        convolutions(model)[0],
        convolutions(model)[-1],
        answer_path(model.graph, convolutions(model)[-1])[-1],
    }:
        run = run_to(model.graph, parameters, images, last)
        dy = rng.normal(size=run.outputs[last].shape)
        output, pixels = quick_slopes(model.graph, parameters, images, last, lambda given, dy=dy: dy)
        want = backward(model.graph, parameters, run, dy, start=last, image=True).image
        np.testing.assert_allclose(output, run.outputs[last], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(pixels, want, rtol=1e-9, atol=1e-11)


def test_quick_maps_leave_values_alone_that_another_layer_still_reads() -> None:
    """A ReLU may write over what it reads only where nothing else does, a Dropout between them or not."""
    x = nc.Input((6, 6, 2))
    first = nc.Conv2d(3, 3)(x)
    rectified = nc.ReLU()(nc.Dropout()(first))
    pooled = nc.MaxPool2d(2)(nc.ReLU()(first))
    last = nc.Conv2d(4, 2)(nc.Concat(nc.Conv2d(2, 3), nc.MaxPool2d(3, 1))(nc.Add()(first, rectified)))
    head = nc.Linear(2)(nc.Concatenate()(nc.Flatten()(last), nc.Flatten()(nc.Conv2d(2, 1)(pooled))))
    model = nc.Model(nc.Graph(x, head), (6, 6, 2), engine="reference")
    parameters, images = exact_parameters(model), np.random.default_rng(2).random((3, 6, 6, 2))
    layers = convolutions(model)
    assert len(layers) == 4
    run = run_to(model.graph, parameters, images, len(model.graph.nodes) - 1)
    wanted = {layer: (np.array([1, 0, 1]), np.array([0, 1, 2])) for layer in layers}
    for layer, maps in quick_maps(model.graph, parameters, images, wanted).items():
        np.testing.assert_allclose(maps, run.outputs[layer][[0, 1, 2], :, :, [1, 0, 1]], rtol=1e-12, atol=1e-14)
