"""A network as a Python file: one nn.Module, whose layers have the network's names, that needs PyTorch alone.

The text is written from one rule for each kind of layer: what makes the module, and how the forward pass uses it. A
vector behind a Flatten is in PyTorch's order there, (channel, row, column), and is brought into neocog's, (row, column,
channel), where a layer counts in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from neocog.errors import SettingError
from neocog.interop.pytorch.helpers import CHANNELS_FIRST, HELPERS, ROWS_FIRST
from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layer import Layer, channels_of
from neocog.nn.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    BatchNorm2d,
    ChannelShuffle,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Dropout2d,
    DropPath,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    LayerNorm2d,
    LayerScale,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    Multiply,
    PixelShuffle,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Slice,
    Softmax,
    Tanh,
    Upsample,
)
from neocog.nn.shapes import ImageShape, Shape, VectorShape
from neocog.nn.window import counts, pair, sides_of


@dataclass(frozen=True, slots=True)
class Lines:
    """What a layer is in a file for PyTorch.

    Arguments:
        make: what makes its module; None: it needs none.
        use: what it gives: `{layer}` stands for the module, `{0}`, `{1}`, ... for what it takes.
        helpers: of `HELPERS`, those that this needs.
    """

    make: str | None
    use: str = "{layer}({0})"
    helpers: tuple[str, ...] = ()


Rule = Callable[[Any, Node], Lines]

MARK = '"""A network for PyTorch: '
"""How files begin that were written here."""


def network_source(graph: Graph, class_names: Sequence[str], about: Sequence[str] = ()) -> str:
    """Return a network as a Python file, whose class `Network` takes images and gives logits.

    Arguments:
        graph: the network.
        class_names: of its outputs.
        about: lines for people, at the top.

    Raises:
        SettingError: a layer has the name of what layers before it lie in.
    """
    _check_names(graph)
    lines = {node.index: RULES[type(node.layer)](node.layer, node) for node in graph.nodes}
    helpers = [name for name in HELPERS if any(name in line.helpers for line in lines.values())]
    makes = [
        f"            {node.name!r}: {lines[node.index].make},"
        for node in graph.nodes
        if lines[node.index].make is not None
    ]
    values = {IMAGE: "x"}
    uses = []
    last_use = {value: node.index for node in graph.nodes for value in node.inputs}
    for node in graph.nodes:
        first = node.inputs[0]
        # a name is used again where nobody needs what it stood for, whose memory is then free
        own = values[first] if last_use[first] == node.index else f"x{node.index}"
        text = lines[node.index].use.format(*(values[v] for v in node.inputs), layer=f"layer({node.name!r})")
        values[node.index] = own
        uses.append(f"        {own} = {text}")
    answer = _ours(values[graph.nodes[-1].index], graph.output)
    if answer.startswith(ROWS_FIRST) and ROWS_FIRST not in helpers:
        helpers.append(ROWS_FIRST)
    image, normalisation = graph.input, graph.normalisation
    texts = [*uses, *(HELPERS[name] for name in helpers)]
    head = [
        f"{MARK}images of {image}, {len(class_names):,} outputs.",
        "",
        *(line.replace("\\", "/").replace('"""', "'''") for line in about),
        '"""',
        "",
        "import torch",
        "from torch import nn",
        *(["from torch.nn import functional as F"] if any("F." in text for text in texts) else []),
        "",
        f"CLASSES = {_listed(class_names)}",
        f"MEAN, STD = {list(normalisation.mean)!r}, {list(normalisation.std)!r}  # of values from 0 to 1",
        "",
        "",
    ]
    body = _CLASS.format(makes="\n".join(makes), uses="\n".join(uses), answer=answer)
    return "\n".join(head) + "".join(f"{HELPERS[name]}\n\n" for name in helpers) + body


_CLASS = '''class Network(nn.Module):
    """Takes images (N, channels, rows, columns), uint8, or floats from 0 to 1; gives logits."""

    def __init__(self):
        super().__init__()
        self.register_buffer("pixel_mean", torch.tensor(MEAN).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(STD).view(1, -1, 1, 1), persistent=False)
        layers = {{
{makes}
        }}
        for name, layer in layers.items():
            *blocks, last = name.split(".")
            place = self
            for block in blocks:
                if block not in dict(place.named_children()):
                    place.add_module(block, nn.Module())
                place = place.get_submodule(block)
            place.add_module(last, layer)

    def forward(self, images):
        layer = self.get_submodule
        x = images.to(self.pixel_mean.dtype) / 255 if images.dtype == torch.uint8 else images
        x = (x - self.pixel_mean) / self.pixel_std
{uses}
        return {answer}
'''


def _listed(names: Sequence[str]) -> str:
    """Return class names as a list, one a line where they are many."""
    if len(names) <= 10:
        return repr(list(names))
    return "[\n" + "".join(f"    {name!r},\n" for name in names) + "]"


def _check_names(graph: Graph) -> None:
    """Refuse a layer that has the name of what others lie in: it would take their place."""
    blocks: set[str] = set()
    for node in graph.nodes:
        if node.name in blocks:
            raise SettingError(f"{node.title} cannot be called so in PyTorch", hint="give it another name")
        parts = node.name.split(".")
        blocks.update(".".join(parts[:count]) for count in range(1, len(parts)))


# -- vectors ----------------------------------------------------------------------------------------------------------


def _image(shape: Shape) -> ImageShape | None:
    return shape.image if isinstance(shape, VectorShape) else None


def _call(helper: str, value: str, image: ImageShape) -> str:
    return f"{helper}({value}, {image.channels}, {image.height}, {image.width})"


def _ours(value: str, shape: Shape) -> str:
    image = _image(shape)
    return value if image is None else _call(ROWS_FIRST, value, image)


def _as(value: str, shape: Shape, wanted: Shape) -> str:
    """Return a vector in the order that those of another shape have."""
    if _image(shape) == _image(wanted):
        return value
    value, image = _ours(value, shape), _image(wanted)
    return value if image is None else _call(CHANNELS_FIRST, value, image)


def _helpers(*texts: str) -> tuple[str, ...]:
    return tuple(name for name in (ROWS_FIRST, CHANNELS_FIRST) if any(f"{name}(" in text for text in texts))


# -- rules ------------------------------------------------------------------------------------------------------------


def _convolution(layer: Conv2d, node: Node) -> Lines:
    image = node.input
    assert isinstance(image, ImageShape)
    window = layer.window_over(image)
    rows, columns = window.vertical, window.horizontal
    even = rows.before == rows.after and columns.before == columns.after
    given = [
        f"{image.channels}, {layer.channels}, {(rows.kernel, columns.kernel)}",
        *([f"stride={(rows.stride, columns.stride)}"] if (rows.stride, columns.stride) != (1, 1) else []),
        *([f"padding={(rows.before, columns.before)}"] if even and (rows.before or columns.before) else []),
        *([f"dilation={(rows.dilation, columns.dilation)}"] if (rows.dilation, columns.dilation) != (1, 1) else []),
        *([f"groups={layer.groups}"] if layer.groups != 1 else []),
        *([] if layer.bias else ["bias=False"]),
    ]
    # F.pad counts from the last axis: left, right, top, bottom
    around = (columns.before, columns.after, rows.before, rows.after)
    return Lines(f"nn.Conv2d({', '.join(given)})", "{layer}({0})" if even else f"{{layer}}(F.pad({{0}}, {around}))")


def _transposed(layer: ConvTranspose2d, node: Node) -> Lines:
    (top, bottom), (left, right) = sides_of(layer.padding)
    even = top == bottom and left == right
    given = [
        f"{channels_of(node.input)}, {layer.channels}, {pair(layer.kernel)}, {pair(layer.stride)}",
        f"{(top, left) if even else 0}, {pair(layer.output_padding)}",
        f"bias={layer.bias}, dilation={pair(layer.dilation)}",
    ]
    cut = "" if even else f"[..., {top} : {-bottom or None}, {left} : {-right or None}]"
    return Lines(f"nn.ConvTranspose2d({', '.join(given)})", f"{{layer}}({{0}}){cut}")


def _pool(layer: MaxPool2d | AvgPool2d, node: Node) -> Lines:
    """Return PyTorch's own pooling, or, where that refuses the padding, one behind what pads."""
    largest = isinstance(layer, MaxPool2d)
    around = None if layer.padding == "same" else sides_of(layer.padding)
    if around is not None and all(a == b <= side // 2 for (a, b), side in zip(around, pair(layer.window), strict=True)):
        given = [str(pair(layer.window)), str(pair(layer.window if layer.stride is None else layer.stride))]
        given += [str(tuple(before for before, _ in around)), f"ceil_mode={layer.ceil_mode}"]
        given += [] if isinstance(layer, MaxPool2d) else [f"count_include_pad={layer.count_include_pad}"]
        return Lines(f"nn.{'Max' if largest else 'Avg'}Pool2d({', '.join(given)})")
    assert isinstance(node.input, ImageShape)
    walk = layer.window_over(node.input)
    rows, columns = walk.vertical, walk.horizontal
    pads = (columns.before, columns.after, rows.before, rows.after)
    kernel, stride = (rows.kernel, columns.kernel), (rows.stride, columns.stride)
    if isinstance(layer, AvgPool2d):
        down, across = (list(map(int, numbers)) for numbers in counts(layer.counted_over(node.input)))
        return Lines(f"PaddedMean({kernel}, {stride}, {pads}, {down}, {across})", helpers=("PaddedMean",))
    return Lines(f"nn.MaxPool2d({kernel}, {stride})", f'{{layer}}(F.pad({{0}}, {pads}, value=float("-inf")))')


def _batch_norm(layer: BatchNorm2d, node: Node) -> Lines:
    kind = "FrozenNorm" if layer.frozen else f"nn.BatchNorm{'2d' if isinstance(node.input, ImageShape) else '1d'}"
    more = "" if layer.affine else ", affine=False"
    return Lines(
        f"{kind}({channels_of(node.input)}, eps={layer.epsilon!r}, momentum={layer.momentum!r}{more})",
        helpers=("FrozenNorm",) if layer.frozen else (),
    )


def _dropout(layer: Dropout | Dropout2d, node: Node) -> Lines:
    maps = isinstance(layer, Dropout2d) and isinstance(node.input, ImageShape)
    return Lines(f"nn.Dropout{'2d' if maps else ''}({layer.rate!r})")


def _slice(layer: Slice, node: Node) -> Lines:
    start, stop = layer.span(node.input)
    use = f"{_ours('{0}', node.input)}[:, {start}:{stop}]"
    return Lines(None, use, _helpers(use))


def _maxout(layer: Maxout, node: Node) -> Lines:
    use = f"{_ours('{0}', node.input)}.unflatten(1, ({layer.pieces}, -1)).amax(1)"
    return Lines(None, use, _helpers(use))


def _concatenation(layer: Concatenate, node: Node) -> Lines:
    parts = [_ours(f"{{{place}}}", shape) for place, shape in enumerate(node.shapes)]
    return Lines(None, f"torch.cat([{', '.join(parts)}], 1)", _helpers(*parts))


def _joined(sign: str) -> Rule:
    def rule(layer: Layer, node: Node) -> Lines:
        parts = [_as(f"{{{place}}}", shape, node.shapes[0]) for place, shape in enumerate(node.shapes)]
        return Lines(None, f" {sign} ".join(parts), _helpers(*parts))

    return rule


def _module(text: str) -> Rule:
    return lambda layer, node: Lines(text)


RULES: dict[type[Layer], Rule] = {
    Conv2d: _convolution,
    ConvTranspose2d: _transposed,
    MaxPool2d: _pool,
    AvgPool2d: _pool,
    AdaptiveAvgPool2d: lambda layer, node: Lines(f"nn.AdaptiveAvgPool2d({pair(layer.output_size)})"),
    GlobalAvgPool2d: lambda layer, node: Lines(None, "{0}.mean((2, 3))"),
    Flatten: lambda layer, node: Lines(None, "{0}.flatten(1)"),
    Linear: lambda layer, node: Lines(f"nn.Linear({node.input.size}, {layer.features}, bias={layer.bias})"),
    ReLU: _module("nn.ReLU()"),
    ReLU6: _module("nn.ReLU6()"),
    LeakyReLU: lambda layer, node: Lines(f"nn.LeakyReLU({layer.slope!r})"),
    PReLU: lambda layer, node: Lines(f"nn.PReLU({channels_of(node.input)})"),
    ELU: lambda layer, node: Lines(f"nn.ELU({layer.alpha!r})"),
    SiLU: _module("nn.SiLU()"),
    GELU: lambda layer, node: Lines(f"nn.GELU({layer.approximate!r})"),
    Hardsigmoid: _module("nn.Hardsigmoid()"),
    Hardswish: _module("nn.Hardswish()"),
    Sigmoid: _module("nn.Sigmoid()"),
    Tanh: _module("nn.Tanh()"),
    Softmax: _module("nn.Softmax(1)"),
    LayerScale: lambda layer, node: Lines(
        f"Scale({channels_of(node.input)}, {float(layer.start)!r})", helpers=("Scale",)
    ),
    Maxout: _maxout,
    BatchNorm2d: _batch_norm,
    GroupNorm: lambda layer, node: Lines(
        f"nn.GroupNorm({layer.groups}, {channels_of(node.input)}, eps={layer.epsilon!r}, affine={layer.affine})"
    ),
    LayerNorm2d: lambda layer, node: Lines(
        f"nn.LayerNorm({channels_of(node.input)}, eps={layer.epsilon!r}, elementwise_affine={layer.affine})",
        "{layer}({0}.movedim(1, -1)).movedim(-1, 1)",  # over the channels, which come second
    ),
    LocalResponseNorm: lambda layer, node: Lines(
        f"nn.LocalResponseNorm({layer.size}, {layer.alpha!r}, {layer.beta!r}, {layer.k!r})"
    ),
    Dropout: _dropout,
    Dropout2d: _dropout,
    DropPath: lambda layer, node: Lines(f"DropPath({layer.rate!r})", helpers=("DropPath",)),
    Add: _joined("+"),
    Multiply: _joined("*"),
    Concatenate: _concatenation,
    Slice: _slice,
    ChannelShuffle: lambda layer, node: Lines(f"nn.ChannelShuffle({layer.groups})"),
    PixelShuffle: lambda layer, node: Lines(f"nn.PixelShuffle({layer.factor})"),
    Upsample: lambda layer, node: Lines(
        f"nn.Upsample(scale_factor={tuple(map(float, pair(layer.scale)))}, mode={layer.mode!r})"
    ),
}
"""From a layer to what stands for it in a file."""
