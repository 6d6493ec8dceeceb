"""What others call the tensors of a network: torchvision, timm, and a few besides.

Networks of the zoo have torchvision's names, or timm's where torchvision has no such network. The other library's
follow from a network's structure: which layer is a block's depthwise convolution says what it is called, and nothing is
written down network by network. A scheme either fits whole or does not count; a tensor is never matched by its shape,
and by what is left over only where that is the last layer, whose name each library chooses anew.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from neocog.nn.graph import Graph, Node
from neocog.nn.layer import channels_of
from neocog.nn.layers import BatchNorm2d, Conv2d, LayerScale, Linear
from neocog.nn.parameters import variables_of
from neocog.nn.window import pair

Renames = Mapping[str, str]
"""A name from elsewhere → the network's."""

AUXILIARY = ("aux1.", "aux2.")
"""Prefixes of GoogLeNet's classifiers on the way, which only help a training along."""

EFFICIENTNET_PYTORCH = "efficientnet-pytorch's"

_FINAL = ("weight", "bias")


@dataclass(slots=True)
class _Block:
    """A depthwise convolution with the 1 × 1 convolutions around it."""

    expand: Node | None
    depthwise: Node
    squeeze: list[Node] = field(default_factory=list)
    project: Node | None = None


@dataclass(slots=True)
class _Mobile:
    """A network of such blocks: what comes before and behind them too."""

    stem: Node
    blocks: list[_Block]
    head: Node | None
    linears: list[Node]

    def stages(self) -> Iterator[tuple[int, int, _Block]]:
        """Yield blocks with the number of their stage, and their place in it: a stage is as wide at its end as its
        blocks are.
        """
        stage, place, wide = -1, 0, 0
        for block in self.blocks:
            assert block.project is not None
            channels = channels_of(block.project.output)
            stage, place = (stage, place + 1) if channels == wide else (stage + 1, 0)
            wide = channels
            yield stage, place, block


def schemes(graph: Graph) -> dict[str, Renames]:
    """Return all ways in which the tensors of a network may be called: whose they are → names.

    The first is the network's own.
    """
    own = [parameter.name for parameter in variables_of(graph)]
    found: dict[str, Renames] = {"its own": {name: name for name in own}}
    scales = {node.name for node in graph.nodes if isinstance(node.layer, LayerScale)}
    layers = {
        "timm's": _timm(graph),
        EFFICIENTNET_PYTORCH: _efficientnet_pytorch(graph),
        "the CIFAR ResNets'": _shortcuts(graph),
        "torchvision's first": _old_densenet(graph),
    }
    for whose, renamed in layers.items():
        if renamed:
            found[whose] = {_tensor(name, renamed, scales): name for name in own}
    return found


def best_scheme(graph: Graph, names: Collection[str]) -> tuple[str, Renames]:
    """Return the way that fits some names best, with the last layer's own name where that alone is another."""
    given = set(names)
    found = []
    for whose, renames in schemes(graph).items():
        renames = _with_last(graph, renames, given)
        found.append((len(given ^ set(renames)), whose, renames))
    _, whose, renames = min(found, key=lambda entry: entry[0])
    return whose, renames


def _tensor(name: str, renamed: Mapping[str, str], scales: Collection[str]) -> str:
    layer, _, variable = name.rpartition(".")
    if layer not in renamed:
        return name
    # timm calls the factors of a LayerScale as the layer itself
    return renamed[layer] if layer in scales else f"{renamed[layer]}.{variable}"


def _with_last(graph: Graph, renames: Renames, given: set[str]) -> Renames:
    """Return names with the last layer's as it is given, where nothing else could be meant."""
    missing, left = [name for name in renames if name not in given], given - set(renames)
    last = next((node for node in reversed(graph.nodes) if isinstance(node.layer, Linear | Conv2d)), None)
    own = [] if last is None else [f"{last.name}.{variable}" for variable in _FINAL]
    layers = {name.rpartition(".")[0] for name in left}
    if len(layers) != 1 or len(left) != len(missing) or not {renames[name] for name in missing} <= set(own):
        return renames
    (layer,) = layers
    changed = {f"{layer}.{renames[name].rpartition('.')[2]}": renames[name] for name in missing}
    if set(changed) != left:
        return renames
    return {**{name: own for name, own in renames.items() if name in given}, **changed}


# -- schemes: the name of a layer → what it is called elsewhere ------------------------------------------------------


def _timm(graph: Graph) -> dict[str, str]:
    mobile = _mobile(graph)
    if mobile is None:
        found = {node.name: node.name for node in graph.nodes if isinstance(node.layer, LayerScale)}
        linears = [node for node in graph.nodes if isinstance(node.layer, Linear)]
        if len(linears) == 3 and linears[0].name == "classifier.0":  # VGG, whose first two are convolutions there
            found |= dict(zip((n.name for n in linears), ("pre_logits.fc1", "pre_logits.fc2", "head.fc"), strict=True))
        return found
    names = _Names(graph)
    names.add(mobile.stem, "conv_stem", "bn1")
    last = 0
    for stage, place, block in mobile.stages():
        name, last = f"blocks.{stage}.{place}", stage
        words: list[tuple[str, Node | None]] = [("conv_pw", block.expand)] if block.expand is not None else []
        words += [("conv_dw", block.depthwise), ("conv_pwl" if words else "conv_pw", block.project)]
        for number, (word, node) in enumerate(words, 1):
            names.add(node, f"{name}.{word}", f"{name}.bn{number}")
        for word, node in zip(("se.conv_reduce", "se.conv_expand"), block.squeeze, strict=False):
            names.add(node, f"{name}.{word}")
    *before, classifier = mobile.linears
    names.add(classifier, "classifier")
    if (
        before
    ):  # MobileNetV3, where what is our head belongs to the blocks, and the Linear before the last is a convolution
        names.add(mobile.head, f"blocks.{last + 1}.0.conv", f"blocks.{last + 1}.0.bn1")
        names.add(before[0], "conv_head")
    else:
        names.add(mobile.head, "conv_head", "bn2")
    return names.found


def _efficientnet_pytorch(graph: Graph) -> dict[str, str]:
    mobile = _mobile(graph)
    if mobile is None or len(mobile.linears) > 1:
        return {}
    names = _Names(graph)
    names.add(mobile.stem, "_conv_stem", "_bn0")
    for number, block in enumerate(mobile.blocks):
        name = f"_blocks.{number}"
        names.add(block.expand, f"{name}._expand_conv", f"{name}._bn0")
        names.add(block.depthwise, f"{name}._depthwise_conv", f"{name}._bn1")
        for word, node in zip(("_se_reduce", "_se_expand"), block.squeeze, strict=False):
            names.add(node, f"{name}.{word}")
        names.add(block.project, f"{name}._project_conv", f"{name}._bn2")
    names.add(mobile.head, "_conv_head", "_bn1")
    names.add(mobile.linears[0], "_fc")
    return names.found


def _shortcuts(graph: Graph) -> dict[str, str]:
    """Return the names of ResNets whose authors call a shortcut so."""
    downsample = [node.name for node in graph.nodes if ".downsample." in node.name]
    found = {name: name.replace(".downsample.", ".shortcut.") for name in downsample}
    return {**found, "fc": "linear"} if found and graph.nodes[-1].name == "fc" else {}


def _old_densenet(graph: Graph) -> dict[str, str]:
    """Return the names of torchvision's first DenseNet, whose published weights still have them ("norm.1")."""
    pattern = re.compile(r"(.*\.denselayer\d+\.(?:norm|conv))(\d)")
    found = {node.name: pattern.fullmatch(node.name) for node in graph.nodes}
    return {name: f"{match[1]}.{match[2]}" for name, match in found.items() if match}


class _Names:
    """Names that are given to layers, and to the normalizations behind them."""

    def __init__(self, graph: Graph) -> None:
        self.found: dict[str, str] = {}
        self._norms = {node.inputs[0]: node.name for node in graph.nodes if isinstance(node.layer, BatchNorm2d)}

    def add(self, node: Node | None, name: str, norm: str | None = None) -> None:
        if node is None:
            return
        self.found[node.name] = name
        if norm is not None and node.index in self._norms:
            self.found[self._norms[node.index]] = norm


def _mobile(graph: Graph) -> _Mobile | None:
    """Return a network's blocks around depthwise convolutions; None where it is made of anything else."""
    weighted = [node for node in graph.nodes if isinstance(node.layer, Conv2d | Linear)]
    convolutions = [node for node in weighted if isinstance(node.layer, Conv2d)]
    linears = [node for node in weighted if isinstance(node.layer, Linear)]
    norms = {node.inputs[0] for node in graph.nodes if isinstance(node.layer, BatchNorm2d)}
    if len(convolutions) < 2 or not linears or not all(n.index in norms or _is_point(n) for n in convolutions):
        return None
    stem, *rest = convolutions
    blocks: list[_Block] = []
    head = None
    while rest:
        expand = rest.pop(0) if len(rest) > 1 and _is_point(rest[0]) and _is_depthwise(rest[1]) else None
        if rest and _is_depthwise(rest[0]):
            block = _Block(expand, rest.pop(0))
            while rest and rest[0].index not in norms:  # squeeze-and-excitation has biases in place of normalizations
                block.squeeze.append(rest.pop(0))
            if not rest or not _is_point(rest[0]):
                return None
            block.project = rest.pop(0)
            blocks.append(block)
        elif len(rest) == 1 and _is_point(rest[0]):
            head = rest.pop(0)
        else:
            return None
    return _Mobile(stem, blocks, head, linears) if blocks else None


def _is_point(node: Node) -> bool:
    return isinstance(node.layer, Conv2d) and pair(node.layer.kernel) == (1, 1) and node.layer.groups == 1


def _is_depthwise(node: Node) -> bool:
    return isinstance(node.layer, Conv2d) and node.layer.groups == channels_of(node.input) > 1
