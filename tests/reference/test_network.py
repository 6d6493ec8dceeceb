"""Whole networks: gradients against finite differences, and what a run remembers."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from conformance_cases import examples, real_case
from conformance_drawn import graphs
from conformance_graphs import EACH, GRAPHS
from conformance_networks import LANDMARKS, networks
from finite_differences import slope
from neocog.errors import ShapeError
from neocog.nn.blocks import Sequential
from neocog.nn.graph import IMAGE, Normalisation, trace
from neocog.nn.layers import AvgPool2d, BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, PReLU, ReLU
from neocog.nn.losses import CrossEntropy, MeanSquaredError
from neocog.nn.parameters import initial_parameters, parameters_of
from neocog.reference import loss
from neocog.reference.network import Draw, backward, forward, normalise
from neocog.reference.normalization import batch_statistics
from rounding.functions import SHAPES

LOSSES = (CrossEntropy(), CrossEntropy(0.1), MeanSquaredError())


def pieces(graph, run):
    """Return what makes a network piecewise smooth: between which kinks each value lies, and who wins."""
    found = [choice for choice in run.choices if choice is not None]
    for node in graph.nodes:
        kinks = [0.0] if isinstance(node.layer, PReLU) else []
        if type(node.layer) in SHAPES:
            kinks = sorted(SHAPES[type(node.layer)](node.layer).kinks)
        found.append(np.digitize(run.input(node.index), kinks, right=True))
    return found


def is_steep(graph, run):
    """Tell whether a BatchNorm2d divides by so little that finite differences see its curvature."""
    norms = [node for node in graph.nodes if isinstance(node.layer, BatchNorm2d)]
    spread = [batch_statistics(run.input(node.index)).variance + node.layer.epsilon for node in norms]
    return any((variance < 0.02).any() for variance in spread)


def check_gradients(graph, case_loss, seed):
    """Compare each parameter's gradient, and the images', with finite differences along one random direction each."""
    case = real_case(graph, 2, seed, case_loss)
    rng = np.random.default_rng(seed)
    values = {name: value.astype(np.float64) for name, value in case.parameters.items()}
    values["images"] = case.images / 255 if case.images.dtype == np.uint8 else case.images.astype(np.float64)

    def run_with(name, value):
        changed = values | {name: value}
        return forward(graph, {n: v for n, v in changed.items() if n != "images"}, changed["images"], Draw(seed, 1))

    run = run_with("images", values["images"])
    assume(not is_steep(graph, run))
    d_logits = loss.backward(case_loss, run.logits, case.targets)
    parameters = {name: value for name, value in values.items() if name != "images"}
    found = backward(graph, parameters, run, d_logits, image=True)
    gradients = found.parameters | {"images": found.image}
    assert set(gradients) == {"images", *(parameter.name for parameter in parameters_of(graph))}
    step = 1e-5
    for name, value in ((name, values[name]) for name in gradients):
        direction = rng.standard_normal(value.shape)
        direction /= max(1.0, np.abs(direction).max())
        for end in (value + step * direction, value - step * direction):
            pairs = zip(pieces(graph, run_with(name, end)), pieces(graph, run), strict=True)
            assume(all((one == other).all() for one, other in pairs))  # no kink lies between
        expected = slope(
            lambda v, name=name: loss.forward(case_loss, run_with(name, v).logits, case.targets), value, direction, step
        )
        size = np.abs(gradients[name] * direction).sum() + 1e-3
        assert (gradients[name] * direction).sum() == pytest.approx(expected, rel=1e-6, abs=1e-6 * size), name


@given(networks(), st.sampled_from(LOSSES), st.integers(0, 2**32 - 1))
def test_gradients_of_any_network_agree_with_finite_differences(graph, case_loss, seed):
    check_gradients(graph, case_loss, seed)


@given(graphs(), st.sampled_from(LOSSES), st.integers(0, 2**32 - 1))
def test_gradients_of_any_graph_agree_with_finite_differences(graph, case_loss, seed):
    check_gradients(graph, case_loss, seed)


@examples(0.1)
@pytest.mark.parametrize("name", GRAPHS | EACH)
@given(st.integers(0, 2**32 - 1))
def test_gradients_of_every_layer_agree_with_finite_differences(name, seed):
    check_gradients((GRAPHS | EACH)[name], LOSSES[1 + seed % 2], seed)


@examples(0.1)
@pytest.mark.parametrize("name", LANDMARKS)
@given(st.integers(0, 2**32 - 1))
def test_gradients_of_the_landmarks_agree_with_finite_differences(name, seed):
    check_gradients(LANDMARKS[name], CrossEntropy(), seed)


def test_a_run_keeps_every_activation():
    graph = trace(Sequential(Conv2d(2, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(3)), (6, 6, 1))
    parameters = initial_parameters(graph)
    images = np.random.default_rng(0).random((4, 6, 6, 1))
    run = forward(graph, parameters, images)
    shapes = [(4, 4, 4, 2), (4, 4, 4, 2), (4, 2, 2, 2), (4, 8), (4, 3)]
    assert [output.shape for output in run.outputs] == shapes
    assert run.logits is run.outputs[-1]
    assert run.input(0) is run.image
    assert run.input(3) is run.outputs[2]
    assert [choice is None for choice in run.choices] == [True, True, False, True, True]


def test_a_backward_pass_keeps_the_gradient_of_every_activation():
    graph = trace(Sequential(ReLU(), Conv2d(2, 3), ReLU(), Flatten(), Linear(3)), (6, 6, 1))
    parameters = initial_parameters(graph)
    run = forward(graph, parameters, np.random.default_rng(0).random((4, 6, 6, 1)))
    found = backward(graph, parameters, run, np.ones((4, 3)))
    assert sorted(found.outputs) == [1, 2, 3, 4]  # layer 0 has no parameters, and nothing before it has any
    assert found.image is None
    assert sorted(backward(graph, parameters, run, np.ones((4, 3)), image=True).outputs) == [IMAGE, 0, 1, 2, 3, 4]


def test_a_backward_pass_may_start_at_any_layer():
    graph = trace(Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(3)), (6, 6, 1))
    parameters = initial_parameters(graph)
    run = forward(graph, parameters, np.random.default_rng(0).random((1, 6, 6, 1)))
    found = backward(graph, parameters, run, np.ones((1, 4, 4, 2)), start=0, image=True)
    assert sorted(found.parameters) == ["0.bias", "0.weight"]
    assert found.image.shape == (1, 6, 6, 1)
    assert found.image[0, 0, 0, 0] == pytest.approx(parameters["0.weight"][0, 0, 0].sum())


def test_uint8_images_run_from_0_to_1_and_are_then_normalised():
    graph = trace(Sequential(Flatten()), (1, 1, 2), Normalisation((0.5, 0.0), (0.25, 2.0)))
    values = normalise(graph, np.array([[[[255, 51]]]], np.uint8), np.dtype(np.float64))
    assert values.ravel().tolist() == pytest.approx([2.0, 0.1])
    floats = normalise(graph, np.array([[[[1.0, 0.2]]]]), np.dtype(np.float64))
    assert floats.ravel().tolist() == pytest.approx([2.0, 0.1])


def test_padding_is_zero_after_normalisation():
    graph = trace(Sequential(Conv2d(1, 3, padding=1, bias=False), Flatten()), (1, 1, 1), Normalisation((0.5,)))
    run = forward(graph, {"0.weight": np.ones((3, 3, 1, 1))}, np.full((1, 1, 1, 1), 0.75))
    assert run.logits.item() == 0.25


def test_dropout_drops_only_with_a_draw():
    graph = trace(Sequential(Dropout(0.5), Flatten()), (8, 8, 1))
    images = np.ones((2, 8, 8, 1))
    assert (forward(graph, {}, images).logits == 1).all()
    drawn = forward(graph, {}, images, Draw(0, 1)).logits
    assert set(drawn.ravel()) == {0.0, 2.0}
    assert (forward(graph, {}, images, Draw(0, 2)).logits != drawn).any()
    assert (forward(graph, {}, images, Draw(0, 1)).logits == drawn).all()


def test_images_of_another_size_are_refused():
    graph = trace(Sequential(Flatten()), (2, 2, 1))
    with pytest.raises(ShapeError, match=r"images must be \(N, height, width, channels\) of 1 channel of 2 x 2 pixels"):
        forward(graph, {}, np.ones((1, 2, 3, 1)))


def test_a_layer_that_is_unknown_is_named():
    class Odd(Layer):
        __slots__ = ()

    graph = trace(Sequential(Odd(), Flatten()), (2, 2, 1))
    with pytest.raises(ShapeError, match=r"layer 0 \(Odd\) is unknown to the reference"):
        forward(graph, {}, np.ones((1, 2, 2, 1)))


def test_dtype_of_the_parameters_decides():
    layers = (Conv2d(2, 2), ReLU(), Dropout(0.2), MaxPool2d(2, 1), AvgPool2d(2, 1), Flatten(), Linear(3))
    graph = trace(Sequential(*layers), (5, 5, 1), Normalisation((0.1,), (0.3,)))
    images = np.zeros((1, 5, 5, 1), np.uint8)
    parameters = initial_parameters(graph)
    run = forward(graph, parameters, images, Draw(0, 1))
    assert {output.dtype for output in run.outputs} == {np.dtype(np.float32)}
    gradient = loss.backward(CrossEntropy(), run.logits, np.zeros(1, int))
    found = backward(graph, parameters, run, gradient, image=True)
    assert {value.dtype for value in (*found.parameters.values(), found.image)} == {np.dtype(np.float32)}
