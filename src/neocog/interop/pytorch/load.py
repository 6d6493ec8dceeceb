"""Weights of PyTorch into a network: a state dict, or a file of one, under whichever names."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from neocog.errors import SettingError, ShapeError
from neocog.interop.pytorch.checkpoint import StateFile, open_state
from neocog.interop.pytorch.names import AUXILIARY, EFFICIENTNET_PYTORCH, best_scheme
from neocog.interop.pytorch.stored import StoredTensor
from neocog.model.json_values import shown_value
from neocog.model.network import Network
from neocog.model.origin import Origin
from neocog.model.statedict import COUNTER, LEARNT_FROM, as_array, plain_names
from neocog.nn.graph import Graph, Node
from neocog.nn.layers import Conv2d, Linear
from neocog.nn.limits import shown
from neocog.nn.parameters import Parameter, pytorch_shape, variables_of

Kind = TypeVar("Kind", bound=Network)

MOST_ROWS = 40
"""Tensors that a message lists."""

_LONGEST = 80  # characters of a tensor's name in a message


def load_pytorch(
    source: str | os.PathLike[str] | Mapping[str, Any] | StateFile, net: Kind, *, allow_nonfinite: bool = False
) -> Kind:
    """Return a network with the weights of a PyTorch state dict in place of its own.

    Nothing of a file is executed: safetensors and the .pt and .pth files of torch.save are read as data. Names may be
    the network's own (which are torchvision's or timm's, for networks of the zoo), the other library's, or those of a
    few more; what wrappers put before all of them ("module.", "model.") is left out. Tensors may be of any type;
    bfloat16 and the others become float32.

    Arguments:
        source: a path, or a mapping of names to tensors or arrays.
        net: the network, such as `nc.Model(nc.zoo.resnet18(1000), (224, 224, 3))`; its weights are replaced.
        allow_nonfinite: whether NaN and infinite values are taken, to look at what they do.

    Returns:
        `net`. Its `origin` names the file and its digest, or is None where there was no file.

    Raises:
        FormatError: the file is damaged, none of weights, or asks for something to be run.
        ShapeError: names or shapes are not those of the network; the message lists them in a table.
        SettingError: `net` is no network, or values are not finite.

    >>> import neocog as nc
    >>> model = nc.Model(nc.zoo.resnet20(10), (32, 32, 3))
    >>> state = {name: value + 1 for name, value in model.state_dict().items()}
    >>> nc.load_pytorch({f"module.{name}": value for name, value in state.items()}, model) is model
    True
    """
    if not isinstance(net, Network):
        raise SettingError(
            f"net must be a network, got {shown(type(net).__name__)}",
            hint="nc.load_pytorch(path, nc.Model(nc.zoo.resnet18(1000), (224, 224, 3)))",
        )
    file = source if isinstance(source, StateFile) else None
    if file is None and isinstance(source, str | os.PathLike):
        file = open_state(source)
    tensors: Mapping[str, Any] = file.tensors if file is not None else _mapping(source)
    where = f"{file.path}: " if file is not None else ""
    take_tensors(net, tensors, where, allow_nonfinite=allow_nonfinite)
    net.origin = None if file is None else Origin(Path(file.path).name, sha256=file.sha256)
    return net


def take_tensors(net: Network, tensors: Mapping[str, Any], where: str, *, allow_nonfinite: bool = False) -> None:
    """Put tensors into a network as `load_pytorch` does, and leave its origin as it is; messages begin with `where`."""
    state: dict[str, NDArray[np.generic]] = {}
    for parameter, (name, tensor) in _chosen(net, tensors, where).items():
        array = tensor.read() if isinstance(tensor, StoredTensor) else as_array(name, tensor)
        state[parameter.name] = array.reshape(pytorch_shape(parameter))
    net.load_state_dict(state, allow_nonfinite=allow_nonfinite)


def classes_in(file: StateFile, graph: Graph) -> int | None:
    """Return how many classes the weights in a file are for, of a network that has any number; None: not of this one.

    Arguments:
        file: its tensors.
        graph: the network for some number of classes.
    """
    wanted = {parameter.name: parameter for parameter in variables_of(graph)}
    last = [name for name in wanted if wanted[name].node.index == _last_layer(graph).index]
    plain = plain_names([name for name in file.tensors if not name.endswith(COUNTER)], wanted)
    _, renames = best_scheme(graph, plain.values())
    shapes = [file.tensors[name].shape for name, given in plain.items() if renames.get(given) in last]
    counts = {shape[0] for shape in shapes if shape}
    return counts.pop() if len(counts) == 1 else None


def pads_as_tensorflow(file: StateFile, graph: Graph) -> bool:
    """Whether weights have the names of efficientnet-pytorch, whose networks all pad as TensorFlow's do.

    Arguments:
        file: its tensors.
        graph: the network in any form.
    """
    plain = plain_names(file.tensors, [parameter.name for parameter in variables_of(graph)])
    return best_scheme(graph, plain.values())[0] == EFFICIENTNET_PYTORCH


def _mapping(source: Any) -> Mapping[str, Any]:
    if not isinstance(source, Mapping):
        hint = "pass its state_dict()" if hasattr(source, "state_dict") else "a path, or a mapping of names to tensors"
        raise SettingError(f"weights must be a file or a state dict, got {shown(type(source).__name__)}", hint=hint)
    wrong = next((name for name in source if not isinstance(name, str)), None)
    if wrong is not None:
        raise SettingError(f"names of tensors must be texts, got {shown(wrong)}")
    return source


def _chosen(net: Network, tensors: Mapping[str, Any], where: str) -> dict[Parameter, tuple[str, Any]]:
    """Return for each of the network's arrays the tensor that belongs there, with its name.

    Raises:
        ShapeError: one is missing or left over, or has another shape.
    """
    wanted = {parameter.name: parameter for parameter in variables_of(net.graph)}
    kept = [name for name in tensors if not name.endswith(COUNTER) and name != LEARNT_FROM]
    plain = plain_names(kept, wanted)
    given = {plain[name]: name for name in kept if not plain[name].startswith(AUXILIARY) or plain[name] in wanted}
    whose, renames = best_scheme(net.graph, given)
    rows = [("missing", name, _shape(pytorch_shape(wanted[own]))) for name, own in renames.items() if name not in given]
    rows += [("unexpected", plain, _shape_of(tensors[name])) for plain, name in given.items() if plain not in renames]
    found = {wanted[own]: (given[name], tensors[given[name]]) for name, own in renames.items() if name in given}
    wrong = {parameter: tensor for parameter, (_, tensor) in found.items() if not _fits(parameter, tensor)}
    rows += [
        ("shape", found[parameter][0], f"{_shape_of(tensor)}, where {_shape(pytorch_shape(parameter))} is needed")
        for parameter, tensor in wrong.items()
    ]
    if not rows:
        return found
    classes = _other_classes(net, wrong) if len(rows) == len(wrong) else None
    if classes is not None:
        raise ShapeError(
            f"{where}the weights are of a network with {classes:,} classes, this one has {net.graph.classes:,}",
            details=_table(rows),
            hint=f"make the network with {classes:,} classes, and replace its last layer to train it for others",
        )
    known = "" if whose == "its own" else f", under {whose} names"
    raise ShapeError(
        f"{where}the tensors are not those of the network{known}",
        details=_table(rows),
        hint="is it the same network, as wide, with the same normalization? neocog models lists those known",
    )


def _fits(parameter: Parameter, tensor: Any) -> bool:
    """Whether a tensor has a parameter's shape, or is the same as a convolution over all that a Linear sees, or as a
    Linear in place of a 1 × 1 convolution.
    """
    want, have = pytorch_shape(parameter), tuple(tensor.shape)
    if want == have:
        return True
    layer = parameter.node.layer
    if isinstance(layer, Linear) and len(have) == 4 and len(want) == 2:
        return bool(have[0] == want[0] and math.prod(have[1:]) == want[1])
    return isinstance(layer, Conv2d) and len(have) == 2 and want == (*have, 1, 1)


def _other_classes(net: Network, wrong: Mapping[Parameter, Any]) -> int | None:
    """Return how many classes weights are for, where all that does not fit is the last layer's number of them."""
    nodes = {parameter.node.index for parameter in wrong}
    counts = {tuple(tensor.shape)[:1] for tensor in wrong.values()}
    same = all(tuple(tensor.shape)[1:] == pytorch_shape(parameter)[1:] for parameter, tensor in wrong.items())
    if nodes != {_last_layer(net.graph).index} or len(counts) != 1 or not same:
        return None
    (count,) = counts
    return int(count[0]) if count else None


def _last_layer(graph: Graph) -> Node:
    return next(node for node in reversed(graph.nodes) if isinstance(node.layer, Linear | Conv2d))


def _table(rows: list[tuple[str, str, str]]) -> tuple[str, ...]:
    """Return rows as lines whose columns stand below each other."""
    cut = [(what, shown_value(name)[1:-1] if len(name) > _LONGEST else name, size) for what, name, size in rows]
    shown_rows = cut[:MOST_ROWS]
    widths = [max(len(row[column]) for row in shown_rows) for column in (0, 1)]
    lines = [f"{what:<{widths[0]}}  {name:<{widths[1]}}  {size}" for what, name, size in shown_rows]
    return (*lines, f"and {len(rows) - MOST_ROWS:,} more") if len(rows) > MOST_ROWS else tuple(lines)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _shape_of(tensor: Any) -> str:
    shape = getattr(tensor, "shape", None)
    return _shape(tuple(shape)) if shape is not None else shown(type(tensor).__name__)
