"""PyTorch's weights come in under whichever names, and what does not fit is listed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neocog as nc
from interop.pytorch.foreign_names import RECORD, digest_of
from neocog.errors import SettingError, ShapeError
from neocog.interop.architectures import Architecture
from neocog.interop.pytorch.names import best_scheme, schemes
from neocog.nn.parameters import variables_of

NAMES = json.loads(RECORD.read_text())


@pytest.mark.parametrize("library", NAMES)
def test_the_names_of_a_network_are_those_that_the_library_gives(library: str) -> None:
    for name, digest in NAMES[library].items():
        found = schemes(Architecture.named(name).graph(10))
        assert digest in map(digest_of, found.values()), name


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", "mobilenet_v3_small", "convnext_atto", "densenet121", "resnet18"]
)
def test_every_scheme_gives_each_tensor_a_name_of_its_own(name: str) -> None:
    graph = Architecture.named(name).graph(10)
    own = [parameter.name for parameter in variables_of(graph)]
    for whose, names in schemes(graph).items():
        assert sorted(names.values()) == sorted(own), whose
        assert best_scheme(graph, list(names)) == best_scheme(graph, list(reversed(names)))
        assert best_scheme(graph, list(names))[1] == names


def small(classes: int = 10, seed: int = 0) -> nc.Model:
    return nc.Model(nc.zoo.resnet20(classes), (16, 16, 3), seed=seed, engine="reference")


def state_of(model: nc.Network) -> dict[str, Any]:
    """Return a state dict in which every value tells where it belongs."""
    random = np.random.default_rng(1)
    return {name: random.random(value.shape, np.float32) for name, value in model.state_dict().items()}


@pytest.mark.parametrize("prefix", ["", "module.", "model.module.", "_orig_mod."])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_weights_come_in_whatever_is_put_before_their_names(prefix: str, kind: type) -> None:
    model = small()
    state = state_of(model)
    more = {f"{prefix}bn1.num_batches_tracked": np.array(3)}
    assert (
        nc.load_pytorch({**{f"{prefix}{name}": value.astype(kind) for name, value in state.items()}, **more}, model)
        is model
    )
    for name, value in model.state_dict().items():
        assert (value == state[name].astype(kind)).all()
    assert model.origin is None
    assert model.learnt_from is None


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "efficientnet_lite0", "convnext_atto"])
@pytest.mark.parametrize("order", [1, -1])
def test_weights_come_in_under_other_names_in_any_order(name: str, order: int) -> None:
    model = nc.Network(Architecture.named(name).graph(3, (32, 32, 3)), (32, 32, 3), engine="reference")
    state = state_of(model)
    for names in schemes(model.graph).values():
        given = list({foreign: state[own] for foreign, own in names.items()}.items())[::order]
        model.load_parameters({key: np.zeros_like(value) for key, value in model.parameters.items()})
        nc.load_pytorch(dict(given), model)
        assert all((value == state[key]).all() for key, value in model.state_dict().items())


def test_a_convolution_over_all_of_an_image_is_a_linear() -> None:
    image = nc.Input((8, 8, 3))
    x = nc.AdaptiveAvgPool2d(7)(nc.Conv2d(2, 3)(image, name="features.0"), name="avgpool")
    linears = nc.Sequential(
        nc.Linear(5), nc.ReLU(), nc.Dropout(0.5), nc.Linear(5), nc.ReLU(), nc.Dropout(0.5), nc.Linear(3)
    )
    net = nc.Graph(image, linears(nc.Flatten()(x, name="flatten"), name="classifier"))  # VGG, but for its size
    model = nc.Network(net, (8, 8, 3), engine="reference")
    state = state_of(model)
    timm = next(names for whose, names in schemes(model.graph).items() if whose == "timm's")
    given = {foreign: state[own] for foreign, own in timm.items()}
    given["pre_logits.fc1.weight"] = given["pre_logits.fc1.weight"].reshape(5, 2, 7, 7)
    given["pre_logits.fc2.weight"] = given["pre_logits.fc2.weight"].reshape(5, 5, 1, 1)
    nc.load_pytorch(given, model)
    assert all((value == state[key]).all() for key, value in model.state_dict().items())


def test_the_last_layer_may_be_called_anything() -> None:
    model = small()
    state = state_of(model)
    nc.load_pytorch({name.replace("fc.", "head.output."): value for name, value in state.items()}, model)
    assert (model.state_dict()["fc.weight"] == state["fc.weight"]).all()
    with pytest.raises(ShapeError):  # but no other layer
        nc.load_pytorch({name.replace("conv1.", "stem.conv."): value for name, value in state.items()}, model)


def test_classifiers_on_the_way_are_left_out() -> None:
    model = nc.Network(nc.zoo.googlenet(3), (32, 32, 3), engine="reference")
    state = state_of(model)
    nc.load_pytorch({**state, "aux1.conv.conv.weight": np.zeros((128, 512, 1, 1)), "aux2.fc2.bias": np.zeros(3)}, model)
    assert (model.state_dict()["fc.weight"] == state["fc.weight"]).all()


def test_missing_and_unexpected_tensors_are_listed_in_a_table() -> None:
    model = small()
    state = state_of(model)
    before = {name: value.copy() for name, value in model.parameters.items()}
    del state["layer1.0.conv1.weight"]
    state["extra"] = np.zeros((2, 3), np.float32)
    state["layer3.2.bn2.bias"] = np.zeros(63, np.float32)
    with pytest.raises(ShapeError, match="the tensors are not those of the network") as caught:
        nc.load_pytorch(state, model)
    assert caught.value.details == (
        "missing     layer1.0.conv1.weight  16 x 16 x 3 x 3",
        "unexpected  extra                  2 x 3",
        "shape       layer3.2.bn2.bias      63, where 64 is needed",
    )
    assert all((model.parameters[name] == value).all() for name, value in before.items())


def test_a_long_table_is_cut() -> None:
    with pytest.raises(ShapeError) as caught:
        nc.load_pytorch({"a" * 5000: np.zeros(3)}, small())
    assert len(caught.value.details) == 41
    assert caught.value.details[-1].startswith("and ")
    assert max(map(len, caught.value.details)) < 150


def test_another_number_of_classes_is_said() -> None:
    with pytest.raises(ShapeError, match="of a network with 100 classes, this one has 10") as caught:
        nc.load_pytorch(state_of(small(100)), small())
    assert "make the network with 100 classes" in str(caught.value.hint)
    squeeze = nc.Network(nc.zoo.squeezenet1_1(7), (32, 32, 3), engine="reference")
    with pytest.raises(ShapeError, match="of a network with 9 classes, this one has 7"):
        nc.load_pytorch(state_of(nc.Network(nc.zoo.squeezenet1_1(9), (32, 32, 3), engine="reference")), squeeze)


def test_a_file_leaves_its_name_and_digest(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    model = small()
    state = state_of(model)
    save_file(state, tmp_path / "weights.safetensors")
    nc.load_pytorch(tmp_path / "weights.safetensors", model)
    assert model.origin is not None
    assert model.origin.source == "weights.safetensors"
    assert model.origin.sha256 == hashlib.sha256((tmp_path / "weights.safetensors").read_bytes()).hexdigest()
    again = small(seed=5)
    model.save(tmp_path / "own.safetensors")
    nc.load_pytorch(tmp_path / "own.safetensors", again)  # neocog's own is a file of weights too
    assert all((again.parameters[name] == value).all() for name, value in model.parameters.items())


def test_a_file_of_a_trained_model_is_read_though_it_says_what_it_learnt_from(tmp_path: Path) -> None:
    model = small()
    model.learnt_from = np.array([3, 5], np.uint64)
    model.save(tmp_path / "own.safetensors")
    assert nc.load_pytorch(tmp_path / "own.safetensors", small()).learnt_from is None


@pytest.mark.parametrize(
    ("source", "net", "message"),
    [
        ({}, nc.zoo.resnet20(), "net must be a network, got 'Graph'"),
        ([1], None, "weights must be a file or a state dict, got 'list'"),
        ({3: np.zeros(1)}, None, "names of tensors must be texts, got 3"),
    ],
)
def test_wrong_arguments_are_named(source: Any, net: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        nc.load_pytorch(source, small() if net is None else net)


def test_values_that_are_none_are_refused() -> None:
    model = small()
    state = state_of(model)
    state["fc.bias"] = np.full(10, np.nan, np.float32)
    with pytest.raises(SettingError, match="must be finite"):
        nc.load_pytorch(state, model)
    nc.load_pytorch(state, model, allow_nonfinite=True)
