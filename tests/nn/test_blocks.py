import numpy as np
import pytest

from neocog.errors import SettingError, ShapeError
from neocog.nn.blocks import Concat, Residual, Sequential, SqueezeExcite
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import (
    Add,
    BatchNorm2d,
    Concatenate,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Hardsigmoid,
    Linear,
    Multiply,
    ReLU,
)
from neocog.nn.parameters import initial_parameters, parameters_of, variables_of
from neocog.nn.shapes import ImageShape, VectorShape
from neocog.nn.symbol import Input, Symbol
from neocog.reference.network import forward

BODY = Sequential(Conv2d(4, 3, stride=2, padding=1), BatchNorm2d(), ReLU(), Conv2d(4, 3, padding=1))
NET = Sequential(Conv2d(2, 1), Residual(BODY, shortcut=Conv2d(4, 1, stride=2)), GlobalAvgPool2d(), Linear(3))


def test_a_residual_is_wired_as_body_shortcut_and_add():
    graph = trace(NET, (8, 8, 3))
    assert [(node.name, node.inputs) for node in graph.nodes] == [
        ("0", (-1,)),
        ("1.body.0", (0,)),
        ("1.body.1", (1,)),
        ("1.body.2", (2,)),
        ("1.body.3", (3,)),
        ("1.shortcut", (0,)),
        ("1.add", (4, 5)),
        ("2", (6,)),
        ("3", (7,)),
    ]
    assert graph.output == VectorShape(3)
    assert graph.consumers(0) == (1, 5)
    assert graph.nodes[graph.feature_node].name == "2"


def test_a_residual_without_shortcut_adds_its_input():
    graph = trace(Sequential(Conv2d(2, 1), Residual(ReLU())), (4, 4, 1))
    assert graph.nodes[-1].inputs == (1, 0)


def test_branches_of_a_concat_share_their_input():
    graph = trace(Concat(Conv2d(2, 1), Sequential(Conv2d(3, 1), ReLU())), (4, 4, 1))
    assert [(node.name, node.inputs) for node in graph.nodes] == [
        ("0", (-1,)),
        ("1.0", (-1,)),
        ("1.1", (1,)),
        ("concat", (0, 2)),
    ]
    assert graph.output == ImageShape(4, 4, 5)
    assert graph.answer_shape == (4, 4, 5)


def test_squeeze_and_excitation_has_the_parts_and_names_of_torchvision():
    graph = trace(Sequential(Conv2d(24, 1), SqueezeExcite(4, gate=Hardsigmoid())), (6, 5, 3))
    assert [(node.name, node.inputs, str(node.output)) for node in graph.nodes[1:]] == [
        ("1.avgpool", (0,), "24 channels of 1 x 1 pixels"),
        ("1.fc1", (1,), "6 channels of 1 x 1 pixels"),
        ("1.activation", (2,), "6 channels of 1 x 1 pixels"),
        ("1.fc2", (3,), "24 channels of 1 x 1 pixels"),
        ("1.scale_activation", (4,), "24 channels of 1 x 1 pixels"),
        ("1.scale", (0, 5), "24 channels of 6 x 5 pixels"),
    ]
    assert graph.nodes[-2].layer == Hardsigmoid()


@pytest.mark.parametrize(
    ("block", "channels"), [(SqueezeExcite(), 1), (SqueezeExcite(2), 7), (SqueezeExcite(squeezed=9), 9)]
)
def test_squeezed_channels_are_a_share_of_all_or_a_number(block, channels):
    graph = trace(block, (4, 4, 15))
    assert graph.nodes[1].output == ImageShape(1, 1, channels)


def test_squeeze_and_excitation_weighs_each_map_by_a_function_of_all_means():
    graph = trace(SqueezeExcite(2), (5, 4, 6))
    rng = np.random.default_rng(0)
    stored = {p.name: rng.standard_normal(p.shape) for p in parameters_of(graph)}
    x = rng.standard_normal((3, 5, 4, 6))
    hidden = np.maximum(x.mean(axis=(1, 2)) @ stored["fc1.weight"][0, 0] + stored["fc1.bias"], 0)
    gate = 1 / (1 + np.exp(-(hidden @ stored["fc2.weight"][0, 0] + stored["fc2.bias"])))
    np.testing.assert_allclose(forward(graph, stored, x, None).logits, x * gate[:, None, None], rtol=1e-12)


def test_squeeze_and_excitation_refuses_what_is_no_layer_and_no_number():
    with pytest.raises(SettingError, match="SqueezeExcite: gate must be a layer"):
        SqueezeExcite(gate="sigmoid")
    with pytest.raises(SettingError, match="SqueezeExcite: reduction must be an integer of at least 1, got 0"):
        SqueezeExcite(0)
    with pytest.raises(ShapeError, match="SqueezeExcite needs an image"):
        trace(Sequential(Flatten(), SqueezeExcite()), (4, 4, 2))


@pytest.mark.parametrize("shapes", [((1, 1, 3), (4, 5, 3)), ((4, 5, 3), (1, 1, 3)), ((1, 1, 3), (4, 5, 3), (1, 1, 3))])
def test_a_pixel_stands_for_all_pixels(shapes):
    assert Add().output_shape(*(ImageShape(*shape) for shape in shapes)) == ImageShape(4, 5, 3)


@pytest.mark.parametrize("other", [(1, 1, 2), (1, 5, 3), (4, 1, 3)])
def test_what_is_neither_alike_nor_a_pixel_is_refused(other):
    with pytest.raises(ShapeError, match="needs inputs of one shape"):
        Multiply().output_shape(ImageShape(4, 5, 3), ImageShape(*other))


def test_shapes_that_do_not_fit_name_both_edges():
    with pytest.raises(ShapeError) as caught:
        trace(Sequential(Conv2d(2, 1), Residual(Conv2d(4, 1))), (4, 4, 1))
    assert str(caught.value).splitlines()[:3] == [
        "layer 1.add (Add) needs inputs of one shape, got 4 channels of 4 x 4 pixels and 2 channels of 4 x 4 pixels",
        "  input 1: layer 1.body (Conv2d) gives 4 channels of 4 x 4 pixels",
        "  input 2: layer 0 (Conv2d) gives 2 channels of 4 x 4 pixels",
    ]


def test_each_join_has_a_hint_of_its_own():
    x = Input((4, 4, 2))
    for join, hint in ((Add(), "bring the shortcut"), (Multiply(), "give what scales as many channels")):
        with pytest.raises(ShapeError, match="needs inputs of one shape") as caught:
            join(x, Conv2d(3, 1)(x))
        assert hint in caught.value.hint


def test_the_functional_form_makes_the_same_graph_as_blocks():
    x = Input((8, 8, 3))
    y = Conv2d(2, 1)(x)
    z = Conv2d(4, 3, stride=2, padding=1)(y)
    z = Conv2d(4, 3, padding=1)(ReLU()(BatchNorm2d()(z)))
    z = Add()(z, Conv2d(4, 1, stride=2)(y))
    graph = Graph(x, Linear(3)(GlobalAvgPool2d()(z)))
    assert [(node.layer, node.inputs, node.output) for node in graph.nodes] == [
        (node.layer, node.inputs, node.output) for node in trace(NET, (8, 8, 3)).nodes
    ]
    assert [node.name for node in graph.nodes] == [str(n) for n in range(9)]


def test_a_graph_is_a_block_at_another_size_too():
    x = Input((8, 8, 3))
    inner = Graph(x, Multiply()(Conv2d(3, 1)(x), x))
    assert trace(inner, (8, 8, 3)).nodes == inner.nodes
    graph = trace(Sequential(inner, Flatten()), (4, 4, 3))
    assert [(node.name, node.inputs) for node in graph.nodes] == [("0.0", (-1,)), ("0.1", (0, -1)), ("1", (1,))]
    assert graph.output.size == 48


def test_layers_may_be_named():
    x = Input((4, 4, 1))
    graph = Graph(x, ReLU()(Conv2d(2, 1)(x, name="stem")))
    assert [p.name for p in parameters_of(graph)] == ["stem.weight", "stem.bias"]
    with pytest.raises(SettingError, match="two layers are called 'a'"):
        Graph(x, ReLU()(ReLU()(x, name="a"), name="a"))


@pytest.mark.parametrize("name", ["", ".a", "a.", "..", "a/b", "a\nb", "\0", "\ud800", "a" * 1001, 3, b"a"])
def test_a_name_that_files_cannot_hold_is_refused_before_anything_is_trained(name):
    with pytest.raises(SettingError, match="ReLU: a name m") as caught:
        ReLU()(Input((4, 4, 1)), name=name)
    assert len(str(caught.value)) < 400


def test_an_input_that_nothing_depends_on_is_refused():
    x, other = Input((4, 4, 1)), Input((4, 4, 1))
    with pytest.raises(SettingError, match="the input is not used: ReLU does not depend on it"):
        Graph(x, Symbol(ReLU(), (), ImageShape(4, 4, 1)))  # no layer makes one that depends on nothing
    with pytest.raises(SettingError, match=r"input 2 of Add is another Input than the network's; a network has one"):
        Graph(x, Add()(x, other))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: Add()(x), "Add needs at least 2 inputs, got 1"),
        (lambda x: Conv2d(2)(x, x), "Conv2d takes 1 input, got 2"),
        (lambda x: Concatenate()(x, Flatten()(x)), "Concatenate needs images of one size, or vectors"),
        (lambda x: Linear(2)(x), "Linear needs a vector, got 1 channel of 4 x 4 pixels"),
    ],
)
def test_a_call_that_cannot_be_says_so_at_once(make, message):
    with pytest.raises(ShapeError, match=message) as caught:
        make(Input((4, 4, 1)))
    assert "input 1: the image gives 1 channel of 4 x 4 pixels" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Residual(ReLU), "Residual: body must be a layer"),
        (lambda: Concat(ReLU()), "at least 2 branches are needed, got 1"),
        (lambda: Concat(ReLU(), 3), "branch 1 must be a layer, got 3"),
        (lambda: ReLU()(3), "input 1 must come from Input or another layer, got 3"),
        (lambda: Graph(3, 4), "input must come from Input or a layer, got 3"),
    ],
)
def test_what_is_no_layer_is_refused(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_buffers_are_stored_but_not_learned():
    graph = trace(Sequential(Conv2d(2, 1), BatchNorm2d(affine=False)), (4, 4, 1))
    assert [p.name for p in parameters_of(graph)] == ["0.weight", "0.bias"]
    assert [p.name for p in variables_of(graph)] == ["0.weight", "0.bias", "1.running_mean", "1.running_var"]
    values = initial_parameters(graph)
    assert values["1.running_var"].tolist() == [1.0, 1.0]


def test_gamma_starts_at_one_and_the_last_layer_near_zero():
    values = initial_parameters(trace(NET, (8, 8, 3)))
    assert values["1.body.1.weight"].tolist() == [1.0] * 4
    assert abs(values["3.weight"]).max() < 0.1 * 4 * (2 / 7) ** 0.5  # four deviations, of which a tenth is left
