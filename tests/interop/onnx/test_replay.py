"""The replay finds files that answer otherwise, and accuses no file of what roundings do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neocog.errors import NeocogError
from neocog.interop.onnx import write
from neocog.interop.onnx.replay import LEAST, pictures_for, random_pictures, replay
from neocog.interop.onnx.write import onnx_bytes, to_onnx
from neocog.model.network import Network
from neocog.nn.blocks import Sequential
from neocog.nn.layers import BatchNorm2d, Conv2d, Flatten, Linear, ReLU

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

Change = Callable[[Any], None]


def make(*layers: Any) -> Network:
    layers = layers or (Conv2d(6, 3, bias=False), BatchNorm2d(), ReLU(), Conv2d(6, 3), ReLU(), Flatten(), Linear(3))
    network = Network(Sequential(*layers), (8, 8, 3), mean=0.4, std=0.2, engine="reference", views="flip")
    rng = np.random.default_rng(3)
    network.load_parameters(
        {name: value + rng.uniform(0.1, 0.5, value.shape) for name, value in network.parameters.items()}
    )
    return network


def checked(content: bytes, network: Network) -> None:
    replay(content, network, pictures_for(network, None, floating=False))


def array_of(model: Any, name: str) -> Any:
    return next(array for array in model.graph.initializer if array.name == name)


def change_array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Change:
    def apply(model: Any) -> None:
        array = array_of(model, name)
        array.CopyFrom(onnx.numpy_helper.from_array(change(onnx.numpy_helper.to_array(array)), name))

    return apply


def change_node(kind: str, change: Change) -> Change:
    def apply(model: Any) -> None:
        change(next(node for node in model.graph.node if node.op_type == kind))

    return apply


def _more_epsilon(node: Any) -> None:
    next(entry for entry in node.attribute if entry.name == "epsilon").f = 1e-3


def _become(kind: str) -> Change:
    def apply(node: Any) -> None:
        node.op_type = kind

    return apply


def _one_input(node: Any) -> None:
    del node.input[2:]


CHANGES: dict[str, Change] = {
    "a weight a thousandth larger": change_array("3.weight", lambda w: w * np.float32(1.001)),
    "one weight of a filter": change_array(
        "0.weight", lambda w: w + np.float32(0.01) * (np.arange(w.size) == 5).reshape(w.shape)
    ),
    "a running average": change_array("1.running_mean", lambda w: w + np.float32(0.001)),
    "filters in another order": change_array("0.weight", lambda w: np.ascontiguousarray(w[::-1])),
    "a Flatten in the other order": change_array(
        "6.weight", lambda w: np.ascontiguousarray(w.reshape(3, 6, 4, 4).transpose(0, 2, 3, 1)).reshape(3, 96)
    ),
    "an epsilon": change_node("BatchNormalization", _more_epsilon),
    "another activation": change_node("Relu", _become("Softplus")),
    "no bias": change_node("Gemm", _one_input),
    "another mean of the images": change_array("normalise/constant_2", lambda shift: shift * np.float32(1.002)),
    "other probabilities": change_node("Softmax", _become("Sigmoid")),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_answers_otherwise_is_found(name: str) -> None:
    network = make()
    model = onnx.load_from_string(onnx_bytes(network))
    CHANGES[name](model)
    if name == "other probabilities":
        del next(node for node in model.graph.node if node.op_type == "Sigmoid").attribute[:]
    with pytest.raises(NeocogError, match=r"^the file (answers otherwise|gives other probabilities)"):
        checked(model.SerializeToString(), network)


def test_a_file_that_answers_otherwise_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, path = make(), tmp_path / "net.onnx"
    to_onnx(network, path)
    good = path.read_bytes()
    right = onnx_bytes

    def wrong(network: Network, **settings: Any) -> bytes:
        model = onnx.load_from_string(right(network, **settings))
        CHANGES["no bias"](model)
        return model.SerializeToString()

    monkeypatch.setattr(write, "onnx_bytes", wrong)
    for target in (path, tmp_path / "new.onnx"):
        with pytest.raises(NeocogError, match="answers otherwise") as caught:
            to_onnx(network, target)
        assert "no file was written" in (caught.value.hint or "")
    assert sorted(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == good


def test_roundings_of_a_network_that_magnifies_them_are_no_fault_of_the_file() -> None:
    network = make(Conv2d(8, 3), ReLU(), Flatten(), Linear(8), Linear(2))
    values = {name: np.array(value) for name, value in network.parameters.items()}
    # All but one part in 10⁶ of what the last layer adds up is taken away again.
    values["3.weight"][:] = values["3.weight"][:, :1]
    values["3.weight"][:, 4:] *= np.float32(1 + 2.0**-20)
    values["4.weight"][:4], values["4.weight"][4:] = 1.0, -1.0
    values["3.bias"][:] = values["4.bias"][:] = 0.0
    network.load_parameters(values)
    network.engine = "native"
    checked(onnx_bytes(network), network)
    model = onnx.load_from_string(onnx_bytes(network))
    change_array("4.weight", lambda w: w * np.where(np.arange(8) < 4, 1.0, 1.01).astype(np.float32))(model)
    with pytest.raises(NeocogError, match="answers otherwise"):
        checked(model.SerializeToString(), network)


def test_what_onnx_runtime_cannot_open_is_said() -> None:
    with pytest.raises(NeocogError, match=r"ONNX Runtime \d.* cannot open what was written"):
        checked(b"no ONNX", make())


def test_random_pictures_are_many_varied_and_always_the_same() -> None:
    network = make()
    drawn = random_pictures(network, 20)
    assert drawn.dtype == np.uint8
    assert drawn.shape == (20, 8, 8, 3)
    np.testing.assert_array_equal(drawn, random_pictures(network, 20))
    assert drawn.min() < 30
    assert drawn.max() > 225
    assert len(np.unique(drawn.reshape(20, -1), axis=0)) == 20


def test_random_pictures_come_by_the_networks_own_way_of_resizing() -> None:
    network = make()
    padded = make()
    padded.resize = type(network.resize)("pad")
    assert (random_pictures(padded, 20) == 0).mean() > (random_pictures(network, 20) == 0).mean() + 0.05


def test_batches_are_of_several_sizes_and_a_hundred_images_in_all() -> None:
    network = make()
    sizes = [len(batch) for batch in pictures_for(network, None, floating=True)]
    assert sum(sizes) == LEAST
    done = replay(onnx_bytes(network, input="float"), network, pictures_for(network, None, floating=True))
    assert done.images == LEAST
    assert done.to_json() == {"images": LEAST, "difference": done.difference, "size": done.size}
