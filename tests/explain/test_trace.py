"""What every layer gave, and what is wrong with it."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

import neocog as nc
from explain.networks import NETWORKS, make_image, make_model
from neocog.explain.subject import layer_node
from neocog.explain.trace import activation, activations, problems, trace, zero_channels


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_layer_gives_the_models_logits(name: str) -> None:
    model = make_model(name)
    image = make_image(model)
    traced = trace(model, image)
    np.testing.assert_allclose(traced.logits, model(image[None])[0], rtol=1e-6, atol=1e-6)
    assert traced.probabilities.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", ["grey", "colour", "stride and dilation", "overlapping pools", "nested"])
def test_every_layer_equals_the_compiled_engines_up_to_rounding(name: str) -> None:
    """The compiled engine fuses layers, so each is compared as the end of a network that is cut behind it."""
    model = make_model(name)
    image = make_image(model)
    traced = trace(model, image)
    for node in traced.graph.nodes:
        if not isinstance(node.output, type(traced.graph.input)):
            continue
        layers = [n.layer for n in traced.graph.nodes[: node.index + 1]]
        norm = traced.graph.normalisation
        cut = nc.Model(nc.Sequential(*layers, nc.Flatten()), model.input_shape, mean=norm.mean, std=norm.std)
        names = [n.name for n in cut.graph.nodes]
        values = {}
        for n, own in zip(traced.graph.nodes, names, strict=False):
            for kind in ("weight", "bias"):
                if f"{n.name}.{kind}" in model.parameters and n.index <= node.index:
                    values[f"{own}.{kind}"] = model.parameters[f"{n.name}.{kind}"]
        cut.load_parameters(values)
        engine = cut(image[None])[0].reshape(traced.output(node.index).shape)
        scale = np.abs(engine).max()
        assert np.abs(engine - traced.output(node.index)).max() <= 1e-5 * scale, node.title


def test_layers_are_found_by_index_and_by_name() -> None:
    model = make_model("nested")
    image = make_image(model)
    assert layer_node(model, "1.0") is layer_node(model, 2)
    assert layer_node(model, -1).index == 9 - 1
    np.testing.assert_array_equal(activation(model, image, "1.0"), activations(model, image)["1.0"])


def test_a_layer_that_is_not_there_is_refused_with_those_that_are() -> None:
    model = make_model("nested")
    with pytest.raises(nc.SettingError, match=r"there is no layer '7\.7'") as refused:
        layer_node(model, "7.7")
    assert "1.0 (Conv2d)" in str(refused.value)
    number = next(node.index for node in model.graph.nodes if node.name == "1.1")
    with pytest.raises(
        nc.SettingError, match=r"layer 1\.1 must be a Conv2d, it is a MaxPool2d"
    ):  # its name, not its number
        layer_node(model, number, nc.Conv2d)


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros((9, 9, 1)), nc.ShapeError),
        (np.zeros((2, 28, 28, 1)), nc.ShapeError),
        (np.full((28, 28, 1), 255.0), nc.DataError),
        (np.full((28, 28, 1), np.nan), nc.DataError),
        (np.zeros((28, 28, 1), np.int64), nc.DataError),
    ],
)
def test_an_image_that_does_not_fit_is_refused(image: np.ndarray, error: type[Exception]) -> None:
    with pytest.raises(error):
        trace(make_model("grey"), image)


@pytest.mark.parametrize(("value", "message"), [(-0.42, "down to -0.42"), (2.8, "up to 2.8")])
def test_an_image_that_is_normalised_already_is_refused_where_the_network_does_it(value: float, message: str) -> None:
    net = nc.Sequential(nc.Conv2d(2, 3), nc.ReLU(), nc.Flatten(), nc.Linear(2))
    image = np.full((6, 6, 1), 0.5)
    image[1, 2] = value
    with pytest.raises(nc.DataError, match=f"since this model normalises them by itself, got values {message}"):
        trace(nc.Model(net, (6, 6, 1), mean=0.13, std=0.31), image)
    assert trace(nc.Model(net, (6, 6, 1)), image).image[1, 2, 0] == value


@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_pictures_are_explained_as_they_are_predicted(tmp_path, resize: str) -> None:
    net = nc.Sequential(nc.Conv2d(2, 3), nc.ReLU(), nc.Flatten(), nc.Linear(2))
    model = nc.Model(net, (6, 7, 3), resize=resize, engine="reference")
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)).save(path)
    want = model(path)[0]
    with Image.open(path) as image:
        for picture in (str(path), path, path.read_bytes(), io.BytesIO(path.read_bytes()), image, [path]):
            np.testing.assert_allclose(trace(model, picture).logits, want, rtol=1e-5, atol=1e-5)
        explained = nc.explain.window(model, image, 0, 1, 2, 3)
        assert explained.total == pytest.approx(float(trace(model, path).output(0)[2, 3, 1]))
        assert nc.explain.gradients(model, path, 0) is not None


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((2, 6, 7, 3), r"pass one image of the batch, such as images\[0\]"),
        ((3, 6, 7), r"pass image\.transpose\(1, 2, 0\)"),
        ((1, 3, 6, 7), r"pass image\.transpose\(0, 2, 3, 1\)"),
        ((40, 30, 3), r"Pillow image is brought to the shape \(6, 7, 3\), an array is not: pass Image\.fromarray"),
        ((6, 7), "Pillow image"),
    ],
)
def test_the_hint_about_an_array_of_another_shape_is_right(shape: tuple[int, ...], hint: str) -> None:
    model = nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(2)), (6, 7, 3), engine="reference")
    with pytest.raises(nc.ShapeError, match=r"the image must have the shape \(6, 7, 3\), got") as caught:
        trace(model, np.zeros(shape, np.uint8))
    assert re.search(hint, caught.value.hint)


@pytest.mark.parametrize("value", [-0.42, 2.8, 255.0, np.nan])
@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_values_are_refused_in_the_words_of_predict(value: float, mean: float) -> None:
    model = nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(2)), (6, 6, 1), mean=mean, engine="reference")
    image = np.full((6, 6, 1), 0.5)
    image[1, 2] = value
    told = []
    for ask in (lambda: trace(model, image), lambda: model.predict(image[None])):
        try:
            ask()
        except nc.DataError as error:
            told.append(str(error))
    assert len(set(told)) <= 1
    assert len(told) == (0 if not mean and abs(value) < 30 else 2)


def test_what_explanations_feed_a_normalising_network_is_never_refused() -> None:
    net = nc.Sequential(nc.Conv2d(2, 3), nc.ReLU(), nc.Flatten(), nc.Linear(2))
    image = np.random.default_rng(0).random((6, 6, 1))
    for mean in (0.13, -1.5, 3.0):  # whatever somebody took it to be
        model = nc.Model(net, (6, 6, 1), mean=mean, std=0.31, engine="reference")
        for baseline in ("black", "mean", "white"):
            assert nc.explain.occlusion(model, image, 0, baseline=baseline).map.size
        found = nc.explain.maximise(model, 0, 0, steps=8)
        assert model(found.image[None]).shape == (1, 2)
        assert nc.explain.shift(model, image, 2, -1, layer=0, filter=0).map.size
        assert nc.explain.downsample(model, image, 2).probabilities.size


def test_a_network_too_large_to_be_kept_whole_is_refused_before_memory_is_taken() -> None:
    net = nc.Sequential(nc.Conv2d(32, 1), nc.MaxPool2d(64), nc.Flatten(), nc.Linear(2))
    with pytest.raises(nc.SettingError, match="gives 537,133,058 values for an image, at most 268,435,456"):
        trace(nc.Model(net, (4096, 4096, 1)), np.zeros((4096, 4096, 1), np.uint8))


def test_nan_weights_are_told_with_their_layer_and_filters() -> None:
    model = make_model("article")
    values = {name: np.array(value) for name, value in model.parameters.items()}
    values["3.weight"][0, 0, 0, [4, 7]] = np.nan
    model.load_parameters(values, allow_nonfinite=True)
    found = problems(trace(model, make_image(model)))
    assert [(p.layer, p.kind, p.channels) for p in found] == [(3, "nan", (4, 7))]
    assert "layer 3 (Conv2d) has 2 NaN values in its weight" in found[0].text


def test_what_one_image_does_not_move_is_no_problem_but_a_layer_that_stops_everything_is() -> None:
    model = make_model("article")
    values = {name: np.array(value) for name, value in model.parameters.items()}
    values["0.bias"][:-1] = -100.0
    model.load_parameters(values)
    traced = trace(model, make_image(model))
    assert len(zero_channels(traced.output(1))) >= model.graph.nodes[1].output.channels - 1
    assert problems(traced) == ()
    values["0.bias"][:] = -100.0
    model.load_parameters(values)
    assert problems(trace(model, make_image(model)))[0].kind == "constant"


def test_sums_that_overflow_are_told_where_they_begin() -> None:
    model = make_model("without convolutions")
    values = {name: np.array(value) for name, value in model.parameters.items()}
    values["1.bias"][0] = np.inf
    model.load_parameters(values, allow_nonfinite=True)
    found = problems(trace(model, make_image(model)))
    assert [(p.layer, p.kind) for p in found] == [(1, "infinite")]
