"""The fully connected end: terms that add up, indices that go both ways."""

from __future__ import annotations

import numpy as np
import pytest

import neocog as nc
from explain.networks import NETWORKS, make_image, make_model
from neocog.explain.output import flatten_places, flattened_image, terms_of
from neocog.explain.trace import trace
from neocog.nn.shapes import ImageShape


@pytest.mark.parametrize("name", NETWORKS)
def test_terms_and_bias_add_up_to_every_output(name: str) -> None:
    model = make_model(name)
    traced = trace(model, make_image(model))
    for node in traced.graph.nodes:
        if not isinstance(node.layer, nc.Linear):
            continue
        for output in range(0, node.output.size, 7):
            seen = terms_of(traced, node.index, output)
            assert seen.products.sum() + seen.bias == pytest.approx(seen.total, rel=1e-9, abs=1e-12)
            sizes = np.abs(seen.products[seen.order])
            assert (np.diff(sizes) <= 0).all()
            assert sorted(seen.order) == list(range(len(seen.input)))


def test_flattened_places_go_both_ways_for_all_entries() -> None:
    shape = ImageShape(3, 4, 5)
    x = np.arange(shape.size).reshape(3, 4, 5)
    places = flatten_places(shape)
    np.testing.assert_array_equal(x[tuple(places.T)], np.arange(shape.size))


def test_a_linear_knows_the_maps_that_it_reads_through_what_moves_nothing() -> None:
    model = make_model("nested")
    assert flattened_image(model.graph, 6) == ImageShape(3, 4, 4)
    assert flattened_image(model.graph, 8) is None


def test_each_term_reads_the_place_that_it_names() -> None:
    model = make_model("colour")
    traced = trace(model, make_image(model))
    seen = terms_of(traced, 4, 2)
    assert seen.image is not None
    np.testing.assert_array_equal(traced.output(2)[tuple(flatten_places(seen.image).T)], seen.input)
