"""A network for PyTorch: its state dict, and the source of a module that takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from neocog.engines.base import Array
from neocog.errors import EngineError, SettingError
from neocog.interop.pytorch.source import network_source
from neocog.model.network import Network
from neocog.model.statedict import COUNTER
from neocog.model.writing import write_atomically
from neocog.nn.layers import BatchNorm2d
from neocog.nn.shapes import ImageShape
from neocog.text import printable

CLOSE = 1e-4
"""Of the largest logit: how far PyTorch's may be from the network's own."""

_FORMAT = b'"format":"pt"'

WEIGHTS_MARK = b'"written_by":"neocog export"'
"""What the beginning of a file of weights holds that was written beside a module."""

UNMARKED_WEIGHTS = b'{"__metadata__":{%b}' % _FORMAT
"""The same of files from before they had a mark, and of some that others write."""

_IMAGES = 4  # that PyTorch is asked about


@dataclass(frozen=True, slots=True)
class TorchNetwork:
    """A network as PyTorch takes it.

    Arguments:
        state_dict: name → tensor of PyTorch where that is installed, else array, in its layout; `num_batches_tracked`
            of normalizations too, which is 0.
        source: a Python file with the class `Network`.
        weights: what the source says that its file of weights is called.
    """

    state_dict: Mapping[str, Any]
    source: str
    weights: str

    def save(self, path: str | Path) -> Path:
        """Write the source to `path`, and the weights beside it; return where these are.

        Raises:
            NeocogError: a file cannot be written.
        """
        from safetensors.numpy import save

        path = Path(path)
        beside = path.with_name(self.weights)
        arrays = {name: np.ascontiguousarray(np.asarray(value)) for name, value in self.state_dict.items()}
        content = save(arrays, {"format": "pt", "written_by": "neocog export"})
        # safetensors writes the two in any order; the same weights shall be the same bytes
        one, other = b",".join((WEIGHTS_MARK, _FORMAT)), b",".join((_FORMAT, WEIGHTS_MARK))
        write_atomically(beside, content.replace(one, other, 1))
        write_atomically(path, self.source.encode())
        return beside


def to_pytorch(network: Network, *, weights: str = "weights.safetensors") -> TorchNetwork:
    """Return a network's weights and the source of a plain nn.Module that answers as it does, without neocog.

    Normalizations stay what they are, with their running averages, so that the module can be trained further. What is
    done to pictures before, `views`, temperature and thresholds are no part of it; the text at its top says them.

    Arguments:
        network: the network.
        weights: what the file of weights will be called, for the text at the top of the source.

    Raises:
        SettingError: a layer has the name of what layers before it lie in.

    >>> import neocog as nc
    >>> model = nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(2)), (2, 2, 1))
    >>> "nn.Linear(4, 2, bias=True)" in to_pytorch(model).source
    True
    """
    state: dict[str, Any] = dict(network.state_dict())
    for node in network.graph.nodes:
        if isinstance(node.layer, BatchNorm2d):
            state[f"{node.name}{COUNTER}"] = np.array(0, np.int64)
    if find_spec("torch") is not None:
        torch = import_module("torch")
        state = {name: torch.from_numpy(value.copy()) for name, value in state.items()}
    source = network_source(network.graph, network.class_names, _about(network, weights))
    return TorchNetwork(state, source, weights)


def check(network: Network, made: TorchNetwork) -> float:
    """Let PyTorch answer random images with what was made; return how far it is from the network's own answers, of the
    largest logit.

    Raises:
        EngineError: it is further than `CLOSE`.
        SettingError: a layer has a name that PyTorch's modules cannot have.
    """
    torch = import_module("torch")
    names: dict[str, Any] = {}
    exec(compile(made.source, "<network>", "exec"), names)  # our own text
    try:
        module = names["Network"]()
    except KeyError as error:  # PyTorch's modules have attributes of their own, such as "forward"
        raise SettingError(
            f"a layer cannot be called so in PyTorch: {error.args[0]}", hint="give it another name"
        ) from None
    module.load_state_dict(made.state_dict)
    x = np.random.default_rng(0).integers(0, 256, (_IMAGES, *network.input_shape), np.uint8)
    with torch.no_grad():
        got: Array = module.eval()(torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))).numpy()
    if isinstance(network.graph.output, ImageShape):
        got = got.transpose(0, 2, 3, 1)
    want = network(x)
    off = float(np.abs(got - want).max() / max(1e-30, np.abs(want).max()))
    if not off <= CLOSE:
        raise EngineError(
            f"PyTorch's answers differ by {off:.1e} of the largest, at most {CLOSE:.0e} are allowed",
            hint="nothing was written; please tell us of this network",
        )
    return off


def _about(network: Network, weights: str) -> list[str]:
    lines = [
        "It needs PyTorch alone:",
        "",
        f"    net = Network()  # the weights: safetensors.torch.load_file({weights!r})",
        "    net.load_state_dict(weights)",
        "    net.eval()",
        "",
        f"A picture becomes an image by the resize rule {network.resize}; its channels are {network.color_order}.",
    ]
    if network.temperature != 1:
        lines.append(f"Probabilities are the softmax of the logits divided by {network.temperature!r}.")
    if network.loss.several_labels:
        lines.append("An image may have several labels: the probability of each is the sigmoid of its logit.")
    if network.views != "plain":
        lines.append(f"neocog answers with the mean over several views of an image ({network.views}), this does not.")
    origin = network.origin
    if origin is not None:
        lines.append(printable(f"It began with {origin.source}, licence: {origin.licence or 'not known'}."))
    return lines
