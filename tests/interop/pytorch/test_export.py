"""Networks go to PyTorch and back: the source that is written computes the same, and weights keep every bit."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neocog as nc
from conformance_graphs import EACH, GRAPHS
from neocog.data.resize import ResizeRule
from neocog.errors import EngineError, SettingError
from neocog.interop.pytorch.export import CLOSE, TorchNetwork, check
from neocog.model.origin import Origin
from neocog.nn.graph import Graph, Normalisation, trace
from neocog.nn.parameters import initial_parameters, variables_of
from neocog.nn.shapes import ImageShape
from neocog.nn.zoo import MODELS
from neocog.reference.network import forward

torch = pytest.importorskip("torch")

THOROUGH = os.environ.get("NEOCOG_TEST_PROFILE") == "thorough"
# Of each family one is tried each time, a small one; AlexNet and VGG have too many parameters for that.
QUICK = (
    *("airbench94", "article", "convnext_atto", "densenet121", "efficientnet_lite0", "fast32", "googlenet", "lenet5"),
    *("mobilenet_v1_x0_25", "mobilenet_v2", "mobilenet_v3_small", "photo", "repvgg_a0", "resnet20", "resnet50"),
    *("shufflenet_v2_x0_5", "squeezenet1_1", "vgg"),
)
CHOSEN = tuple(MODELS) if THOROUGH else QUICK


def drawn(graph: Graph) -> dict[str, np.ndarray]:
    """Draw parameters that hide nothing: running averages and all that starts at 0 or 1 are random too."""
    random = np.random.default_rng(0)
    values: dict[str, np.ndarray] = dict(initial_parameters(graph))
    for p in variables_of(graph):
        if p.variable.start is not None:
            positive = p.variable.name in ("weight", "running_var")
            value = random.uniform(0.5, 1.5, p.shape) if positive else random.normal(0.0, 0.1, p.shape)
            values[p.name] = value.astype(np.float32)
    return values


def module_of(made: TorchNetwork) -> Any:
    names: dict[str, Any] = {}
    exec(made.source, names)
    module = names["Network"]()
    module.load_state_dict(made.state_dict)  # strictly: no name is missing or left over
    return module.eval()


def answers_of(module: Any, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        answers = module(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))).numpy()
    return answers.transpose(0, 2, 3, 1) if answers.ndim == 4 else answers


@pytest.mark.parametrize("name", [*EACH, *GRAPHS])
def test_the_source_computes_what_the_reference_does(name: str) -> None:
    graph = (EACH | GRAPHS)[name]
    network = nc.Network(graph, (graph.input.height, graph.input.width, graph.input.channels), engine="reference")
    network.load_parameters(drawn(network.graph))
    values = {key: value.astype(np.float64) for key, value in network.parameters.items()}
    shape = (3, graph.input.height, graph.input.width, graph.input.channels)
    images = np.random.default_rng(1).random(shape)
    want = forward(network.graph, values, images).logits
    got = answers_of(module_of(network.to_pytorch()).double(), images)
    assert got.shape == want.shape
    # Hardswish and Hardsigmoid of PyTorch divide in single precision, whatever they are given
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize("name", CHOSEN)
def test_networks_of_the_zoo_go_to_pytorch_and_back(name: str) -> None:
    known = MODELS[name]
    side = min(64 if name in ("alexnet", "densenet121") else 32, known.image.height)
    shape = ImageShape(side, side, known.image.channels)
    network = nc.Network(known.make(7), shape, mean=0.4, std=0.3, engine="reference")
    network.load_parameters(drawn(network.graph))
    made = network.to_pytorch()
    images = np.random.default_rng(1).integers(0, 256, (1, side, side, shape.channels), np.uint8)
    want = network(images)
    assert np.abs(answers_of(module_of(made), images) - want).max() <= CLOSE * np.abs(want).max()
    again = nc.load_pytorch(made.state_dict, nc.Network(known.make(7), shape, seed=1, engine="reference"))
    assert again.parameters.keys() == network.parameters.keys()
    for key, value in network.parameters.items():
        assert again.parameters[key].tobytes() == value.tobytes(), key


def small() -> nc.Network:
    net = nc.Sequential(
        nc.Conv2d(4, 3, padding="same", stride=2), nc.BatchNorm2d(), nc.ReLU(), nc.Flatten(), nc.Linear(2)
    )
    network = nc.Network(net, (6, 6, 3), ["cat", 'a "dog" \\ {0}'], mean=(0.1, 0.2, 0.3), std=0.5, engine="reference")
    network.load_parameters(drawn(network.graph))
    return network


def test_pictures_of_bytes_and_of_floats_are_taken() -> None:
    network = small()
    module = module_of(network.to_pytorch())
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), np.uint8)
    for x in (images, images.astype(np.float32) / 255):
        np.testing.assert_allclose(answers_of(module, x), network(x), rtol=1e-4, atol=1e-5)


def test_the_files_run_without_neocog(tmp_path: Path) -> None:
    network = small()
    beside = network.to_pytorch().save(tmp_path / "net.py")
    assert beside == tmp_path / "weights.safetensors"
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 6), np.uint8)
    np.save(tmp_path / "x.npy", images)
    script = (
        "import sys; sys.modules['neocog'] = None\n"
        "import json, numpy, torch, safetensors.torch, net\n"
        "n = net.Network(); n.load_state_dict(safetensors.torch.load_file('weights.safetensors')); n.eval()\n"
        "print(json.dumps([net.CLASSES, n(torch.from_numpy(numpy.load('x.npy'))).tolist()]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    classes, answers = json.loads(done.stdout)
    assert classes == list(network.class_names)
    np.testing.assert_allclose(answers, network(images.transpose(0, 2, 3, 1)), rtol=1e-4, atol=1e-5)


def test_the_module_can_be_trained_further() -> None:
    module = module_of(small().to_pytorch()).train()
    before = module.state_dict()["1.running_mean"].clone()
    module(torch.rand(4, 3, 6, 6)).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    assert not torch.equal(module.state_dict()["1.running_mean"], before)


def test_a_frozen_normalization_stays_frozen() -> None:
    net = nc.Sequential(
        nc.Conv2d(2, 3), nc.BatchNorm2d(frozen=True), nc.Flatten(), nc.BatchNorm2d(frozen=True), nc.Linear(2)
    )
    network = nc.Network(net, (5, 5, 1), engine="reference")
    network.load_parameters(drawn(network.graph))
    images = np.random.default_rng(0).random((3, 5, 5, 1), np.float32)
    module = module_of(network.to_pytorch())
    np.testing.assert_allclose(answers_of(module, images), network(images), rtol=1e-4, atol=1e-5)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    np.testing.assert_allclose(answers_of(module.train(), images), network(images), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_what_the_module_leaves_to_its_user_is_said_at_its_top() -> None:
    network = small()
    network.resize = ResizeRule("short", side=8)
    network.origin = Origin('example.org/"""net\\', "MIT")
    text = ast.get_docstring(ast.parse(network.to_pytorch().source)) or ""
    assert "resize rule short=8" in text
    assert "licence: MIT" in text


def test_names_that_pytorchs_modules_cannot_have_are_refused() -> None:
    image = nc.Input((4, 4, 1))
    graph = nc.Graph(image, nc.Linear(2)(nc.Flatten()(image, name="flat"), name="forward"))
    network = nc.Network(graph, (4, 4, 1), engine="reference")
    with pytest.raises(SettingError, match="cannot be called so in PyTorch"):
        check(network, network.to_pytorch())
    x = nc.Conv2d(1, 1)(image, name="a.b")
    nested = nc.Graph(image, nc.Linear(2)(nc.Flatten()(nc.Conv2d(1, 1)(x, name="a"), name="flat"), name="fc"))
    with pytest.raises(SettingError, match="cannot be called so in PyTorch"):
        nc.Network(nested, (4, 4, 1), engine="reference").to_pytorch()


def test_answers_that_differ_are_found() -> None:
    network = small()
    made = network.to_pytorch()
    assert check(network, made) <= CLOSE
    wrong = TorchNetwork(made.state_dict, made.source.replace("nn.ReLU()", "nn.Tanh()"), made.weights)
    with pytest.raises(EngineError, match="PyTorch's answers differ by"):
        check(network, wrong)


def test_without_pytorch_weights_are_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neocog.interop.pytorch.export.find_spec", lambda name: None)
    state = small().to_pytorch().state_dict
    assert all(isinstance(value, np.ndarray) for value in state.values())
    assert state["1.num_batches_tracked"] == 0


def test_normalisation_is_part_of_the_module() -> None:
    graph = trace(nc.Sequential(nc.Flatten(), nc.Linear(2)), (2, 2, 1), Normalisation((0.5,), (0.25,)))
    network = nc.Network(graph, (2, 2, 1), mean=0.5, std=0.25, engine="reference")
    assert "MEAN, STD = [0.5], [0.25]" in network.to_pytorch().source
