"""Parameters: names, initial values, and PyTorch's layout."""

import numpy as np
import pytest
from hypothesis import given

from conformance_networks import networks
from neocog.errors import SettingError, ShapeError
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import BatchNorm2d, Conv2d, Flatten, Linear, PReLU, ReLU
from neocog.nn.parameters import (
    check_parameters,
    from_pytorch,
    initial_parameters,
    parameters_of,
    pytorch_shape,
    to_pytorch,
    variables_of,
)

NET = Sequential(Conv2d(4, (2, 3)), Sequential(ReLU(), Conv2d(5, 1, bias=False)), Flatten(), ReLU(), Linear(6))
GRAPH = trace(NET, (5, 6, 3))


def test_names_and_shapes_follow_the_layers():
    assert [(p.name, p.shape, p.is_vector) for p in parameters_of(GRAPH)] == [
        ("0.weight", (2, 3, 3, 4), False),
        ("0.bias", (4,), True),
        ("1.1.weight", (1, 1, 4, 5), False),
        ("4.weight", (4 * 4 * 5, 6), False),
        ("4.bias", (6,), True),
    ]


def test_pytorch_shapes():
    assert [pytorch_shape(p) for p in parameters_of(GRAPH)] == [(4, 3, 2, 3), (4,), (5, 4, 1, 1), (6, 80), (6,)]


def test_columns_behind_a_flatten_go_to_channel_row_column_order():
    parameter = parameters_of(GRAPH)[3]
    value = np.arange(480.0).reshape(80, 6)
    theirs = to_pytorch(parameter, value).reshape(6, 5, 4, 4)
    for row, column, channel in np.ndindex(4, 4, 5):
        assert (theirs[:, channel, row, column] == value[(row * 4 + column) * 5 + channel]).all()


def test_what_belongs_to_single_values_behind_a_flatten_goes_there_too():
    graph = trace(Sequential(Flatten(), BatchNorm2d(), PReLU(), Linear(8)), (2, 2, 2))
    for parameter in variables_of(graph):
        if parameter.is_vector:
            theirs = to_pytorch(parameter, np.arange(8.0))
            moved = list(range(8)) if parameter.node.name == "3" else [0, 2, 4, 6, 1, 3, 5, 7]
            assert theirs.tolist() == moved, parameter.name
            assert from_pytorch(parameter, theirs).tolist() == list(range(8))


def test_filters_go_to_output_input_row_column_order():
    value = np.arange(72.0).reshape(2, 3, 3, 4)
    theirs = to_pytorch(parameters_of(GRAPH)[0], value)
    for r, s, c, k in np.ndindex(value.shape):
        assert theirs[k, c, r, s] == value[r, s, c, k]


@given(networks())
def test_the_way_to_pytorch_and_back_changes_nothing(graph):
    for parameter, value in zip(parameters_of(graph), initial_parameters(graph).values(), strict=True):
        theirs = to_pytorch(parameter, value)
        assert theirs.shape == pytorch_shape(parameter)
        back = from_pytorch(parameter, theirs)
        assert back.shape == parameter.shape
        assert (back == value).all()


def test_a_tensor_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"parameter 0.weight must have the shape \(4, 3, 2, 3\), got \(2, 3, 3, 4\)"):
        from_pytorch(parameters_of(GRAPH)[0], np.zeros((2, 3, 3, 4)))


def test_parameters_of_another_network_are_refused():
    values = dict(initial_parameters(GRAPH))
    values["5.weight"] = values.pop("4.weight")
    with pytest.raises(ShapeError) as caught:
        check_parameters(GRAPH, values)
    assert str(caught.value) == (
        "the parameters must be those of the network\n  missing: 4.weight\n  unknown: 5.weight"
    )
    values = initial_parameters(GRAPH) | {"4.bias": np.zeros(7, np.float32)}
    with pytest.raises(ShapeError, match=r"parameter 4.bias must have the shape \(6,\), got \(7,\)"):
        check_parameters(GRAPH, values)
    check_parameters(GRAPH, initial_parameters(GRAPH))


@pytest.mark.parametrize(("initialisation", "variance"), [("he", 2 / (25 * 40)), ("glorot", 2 / (25 * 140))])
def test_initial_weights_have_the_stated_variance_and_biases_are_zero(initialisation, variance):
    graph = trace(Sequential(Conv2d(100, 5), Flatten()), (5, 5, 40))
    values = initial_parameters(graph, 3, initialisation)
    assert values["0.weight"].dtype == np.float32
    # The variance of 100,000 normal values strays by 2·sqrt(2 / 100,000), 0.9 %, in one of twenty draws.
    assert values["0.weight"].var() == pytest.approx(variance, rel=0.02)
    assert not values["0.bias"].any()


@pytest.mark.parametrize(("initialisation", "variance"), [("he", 2 / (25 * 10)), ("glorot", 2 / (25 * 60))])
def test_filters_of_groups_start_by_what_they_see(initialisation, variance):
    graph = trace(Sequential(Conv2d(200, 5, groups=4), Flatten()), (5, 5, 40))
    assert initial_parameters(graph, 3, initialisation)["0.weight"].var() == pytest.approx(variance, rel=0.03)


def test_a_seed_stands_for_its_values_and_layers_do_not_move_each_other():
    again = initial_parameters(GRAPH)
    assert all((again[name] == value).all() for name, value in initial_parameters(GRAPH).items())
    assert (initial_parameters(GRAPH, 1)["0.weight"] != again["0.weight"]).any()
    longer = trace(Sequential(*NET.layers, ReLU(), Linear(2)), (5, 6, 3))
    assert (initial_parameters(longer)["1.1.weight"] == again["1.1.weight"]).all()


def test_an_unknown_initialisation_is_refused():
    with pytest.raises(SettingError, match='initialisation must be "he" or "glorot", got \'uniform\''):
        initial_parameters(GRAPH, 0, "uniform")
