"""Branches of convolutions become one convolution, which gives the same answers."""

import numpy as np
import pytest

import neocog as nc
from neocog.nn.branches import fold_branches
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import Add, BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from neocog.nn.parameters import initial_parameters
from neocog.reference.network import forward

ROUNDING = 2.0**-24


def norm(*layers):
    return nc.Sequential(*layers, BatchNorm2d())


def added(*branches):
    """Return a network that adds branches of the image up; None is the image itself."""

    def over(image):
        x = nc.Input(image)
        return Graph(x, Add()(*(x if branch is None else branch(x) for branch in branches)))

    return over


def drawn(graph, seed=0):
    random = np.random.default_rng(seed)
    values = initial_parameters(graph, seed)
    for name, value in values.items():
        if value.ndim == 1:
            positive = name.endswith(("weight", "running_var"))
            values[name] = (
                random.uniform(0.5, 1.5, value.shape) if positive else random.normal(size=value.shape)
            ).astype(np.float32)
    return values


def exact(graph, values, images):
    return forward(graph, {name: value.astype(np.float64) for name, value in values.items()}, images).logits


FOLDING = {
    "RepVGG": added(norm(Conv2d(4, 3, padding=1, bias=False)), norm(Conv2d(4, 1, bias=False)), BatchNorm2d()),
    "RepVGG of stride 2": added(norm(Conv2d(6, 3, stride=2, padding=1, bias=False)), norm(Conv2d(6, 1, stride=2))),
    "without normalizations": added(Conv2d(4, 3, padding=1), Conv2d(4, 1), None),
    "the same": added(Conv2d(5, 3, padding="same"), Conv2d(5, 5, padding=2)),
    "crossed": added(Conv2d(4, (1, 5), padding=(0, 2)), Conv2d(4, (3, 1), padding=(1, 0), bias=False), None),
    "depthwise": added(
        norm(Conv2d(4, 3, padding=1, groups=4)), Conv2d(4, 5, padding=2, groups=4, bias=False), BatchNorm2d()
    ),
    "in groups": added(norm(Conv2d(4, 3, padding=1, groups=2)), Conv2d(4, 1, groups=2), None),
    "the image": added(None, norm(Conv2d(4, 3, padding=1))),
    "nested": lambda image: nc.Residual(nc.Residual(nc.Residual(Conv2d(4, 3, padding=1)), shortcut=norm(Conv2d(4, 1)))),
}


@pytest.mark.parametrize("name", FOLDING)
@pytest.mark.parametrize("size", [(7, 6), (8, 9), (1, 2)])
def test_one_convolution_stands_for_all_branches(name, size):
    image = (*size, 4)
    graph = trace(FOLDING[name](image), image)
    values = drawn(graph)
    plain, folded = fold_branches(graph, values)
    assert [type(node.layer) for node in plain.nodes] == [Conv2d]
    images = np.random.default_rng(1).random((3, *image), np.float32)
    # The weights were worked out in float64 and rounded once: their error is a share of what each product is in size.
    sizes = exact(plain, {name: np.abs(value) for name, value in folded.items()}, images)
    assert (np.abs(exact(plain, folded, images) - exact(graph, values, images)) <= ROUNDING * 1.01 * sizes).all()


APART = {
    "an activation": added(Conv2d(4, 3, padding=1), nc.Sequential(Conv2d(4, 1), ReLU())),
    "windows beside their pixels": added(Conv2d(4, 3, padding=(0, 1)), Conv2d(4, 3, padding=(0, 1))),
    "a dilation": added(Conv2d(4, 3, padding=2, dilation=2), Conv2d(4, 1)),
    "other groups": added(Conv2d(4, 3, padding=1, groups=2), Conv2d(4, 1)),
    "padding on one side": added(Conv2d(4, 3, padding=((0, 2), (1, 1))), Conv2d(4, 1)),
    "no convolution": added(BatchNorm2d(), None),
    "a pooling": added(Conv2d(4, 3, padding=1), MaxPool2d(3, 1, 1)),
    "different values": lambda image: nc.Residual(
        nc.Sequential(Conv2d(4, 1), ReLU(), Conv2d(4, 3, padding=1)), Conv2d(4, 1)
    ),
}


@pytest.mark.parametrize("name", APART)
def test_what_one_convolution_cannot_do_stays(name):
    image = (8, 6, 4)
    graph = trace(APART[name](image), image)
    plain, _ = fold_branches(graph, drawn(graph))
    assert [type(node.layer) for node in plain.nodes] == [type(node.layer) for node in graph.nodes]
    assert [node.inputs for node in plain.nodes] == [node.inputs for node in graph.nodes]


def test_what_others_read_too_stays():
    x = nc.Input((8, 6, 4))
    y = Conv2d(4, 3, padding=1)(x)
    graph = Graph(x, Add()(Add()(y, Conv2d(4, 1)(x)), ReLU()(y)))
    plain, _ = fold_branches(graph, initial_parameters(graph))
    assert len(plain.nodes) == len(graph.nodes)


def test_a_normalization_that_nothing_takes_in_stays_as_it_is():
    graph = trace(nc.Sequential(BatchNorm2d(), FOLDING["RepVGG"]((8, 8, 4)), ReLU(), BatchNorm2d()), (8, 8, 4))
    values = drawn(graph)
    plain, folded = fold_branches(graph, values)
    assert [type(node.layer) for node in plain.nodes] == [BatchNorm2d, Conv2d, ReLU, BatchNorm2d]
    for name in ("0.running_var", "0.weight", "3.running_mean", "3.bias"):
        np.testing.assert_array_equal(folded[name], values[name])


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_a_folded_model_answers_alike_and_is_saved(tmp_path, engine):
    block = FOLDING["RepVGG"]((9, 9, 4))
    net = nc.Sequential(Conv2d(4, 3, bias=False), BatchNorm2d(), ReLU(), block, ReLU(), GlobalAvgPool2d(), Linear(3))
    model = nc.Model(net, (11, 11, 3), ["a", "b", "c"], mean=0.4, std=0.2, engine=engine)
    model.load_parameters(drawn(model.graph))
    model.metrics["val_accuracy"] = 0.5
    plain = model.folded()
    images = np.random.default_rng(2).random((5, 11, 11, 3), np.float32)
    answers = model(images)
    np.testing.assert_allclose(plain(images), answers, rtol=0, atol=1e-5 * np.abs(answers).max())
    assert (plain.class_names, plain.metrics, plain.learnt_from) == (
        model.class_names,
        model.metrics,
        model.learnt_from,
    )
    plain.save(tmp_path / "plain.safetensors")
    loaded = nc.load(tmp_path / "plain.safetensors", engine=engine)
    np.testing.assert_array_equal(loaded(images), plain(images))
    assert len(loaded.graph.nodes) == 6


def test_repvgg_becomes_plain():
    graph = trace(nc.zoo.repvgg_a0(1000), (32, 32, 3))
    plain, values = fold_branches(graph, drawn(graph))
    assert {type(node.layer) for node in plain.nodes} == {Conv2d, ReLU, GlobalAvgPool2d, Linear}
    assert sum(isinstance(node.layer, Conv2d) for node in plain.nodes) == 22
    assert sum(value.size for value in values.values()) == 8_309_384  # 8.31 M, table 4 of the paper
