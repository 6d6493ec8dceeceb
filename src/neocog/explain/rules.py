"""How each kind of layer is explained: one table. Who asks about a layer that is not in it is told so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from neocog.errors import SettingError
from neocog.explain import kinks, senders, step
from neocog.explain.kinks import Booleans
from neocog.explain.senders import Cell, Sender
from neocog.explain.step import ChannelSteps
from neocog.explain.trace import Trace
from neocog.nn.answer import ACTIVATIONS
from neocog.nn.graph import Node
from neocog.nn.layer import Layer
from neocog.nn.layers import (
    LAYERS,
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
    LayerNorm2d,
    LayerScale,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    Multiply,
    PixelShuffle,
    Slice,
    Softmax,
    Upsample,
)
from neocog.nn.shapes import ImageShape
from neocog.nn.window import counts
from neocog.reference.network import ForwardPass, Parameters
from neocog.reference.normalization import Statistics, group_statistics

View = Literal[
    "convolution",
    "pooling",
    "linear",
    "flatten",
    "activation",
    "normalization",
    "join",
    "mean",
    "softmax",
    "maxout",
    "dropout",
    "rearrangement",
    "enlargement",
]
"""What takes a layer apart: the rooms of the page, too."""


@dataclass(frozen=True, slots=True)
class ExplainRule:
    """How one kind of layer is explained.

    view: what takes it apart.
    senders: lists the outputs that a cell of an input contributes to, each with its derivative in the cell.
    steps: takes one of its channels apart, value by value; None where the view does more than that.
    smooth: tells for which pairs of images a layer with kinks is on the same linear piece; None without kinks.
    in_place: whether each output hangs on the same place and channel of the input alone.
    conserves: whether the gradient of its input adds up to that of its output; None where that is not promised.
    """

    view: View
    senders: Callable[[Cell], Iterator[Sender]]
    steps: Callable[[Trace, Node, int], ChannelSteps] | None = None
    smooth: Callable[[ForwardPass, Parameters, Node], Booleans] | None = None
    in_place: bool = False
    conserves: Callable[[Node], bool | None] = lambda node: None


def _always(node: Node) -> bool:
    return True


def _meets_no_padding(node: Node) -> bool:
    """Tell whether no window of an average meets padding that counts, which would take a share of the gradient."""
    assert isinstance(node.layer, AvgPool2d)
    assert isinstance(node.input, ImageShape)
    return counts(node.layer.window_over(node.input)) == counts(node.layer.counted_over(node.input))


def _of_groups(traced: Trace, node: Node) -> Statistics:
    """Return what a GroupNorm takes for mean and variance: those of the image's groups."""
    assert isinstance(node.layer, GroupNorm)
    found = group_statistics(traced.run.input(node.index), node.layer)
    return Statistics(found.mean[0, 0, 0], found.variance[0, 0, 0])


_ACTIVATION = ExplainRule("activation", senders.in_place, step.activation, kinks.same_slope, in_place=True)
_DROPOUT = ExplainRule("dropout", senders.in_place, step.unchanged, in_place=True)

RULES: dict[type[Layer], ExplainRule] = {
    **{kind: _ACTIVATION for kind in LAYERS if issubclass(kind, ACTIVATIONS)},
    **dict.fromkeys((Dropout, Dropout2d, DropPath), _DROPOUT),
    Conv2d: ExplainRule("convolution", senders.convolution),
    Linear: ExplainRule("linear", senders.linear),
    Flatten: ExplainRule("flatten", senders.flatten),
    # Padding never wins, so that max pooling passes everything on.
    MaxPool2d: ExplainRule("pooling", senders.largest, smooth=kinks.same_choice, conserves=_always),
    AvgPool2d: ExplainRule("pooling", senders.average, conserves=_meets_no_padding),
    AdaptiveAvgPool2d: ExplainRule("mean", senders.average_of_part, step.mean, conserves=_always),
    GlobalAvgPool2d: ExplainRule("mean", senders.whole_average, step.mean, conserves=_always),
    BatchNorm2d: ExplainRule(
        "normalization", senders.in_place, step.normalization(step.running_averages), in_place=True
    ),
    GroupNorm: ExplainRule("normalization", senders.whole_image, step.normalization(_of_groups)),
    LayerNorm2d: ExplainRule("normalization", senders.whole_pixel, step.layer_normalization),
    LayerScale: _ACTIVATION,
    LocalResponseNorm: ExplainRule("normalization", senders.whole_pixel, step.local_response),
    Add: ExplainRule("join", senders.joined, step.addition, in_place=True),
    Multiply: ExplainRule("join", senders.joined, step.multiplication, in_place=True),
    Concatenate: ExplainRule("join", senders.concatenation, step.concatenation),
    **dict.fromkeys((Slice, ChannelShuffle), ExplainRule("rearrangement", senders.destinations, step.moved)),
    PixelShuffle: ExplainRule("rearrangement", senders.destinations),
    Upsample: ExplainRule("enlargement", senders.destinations),
    ConvTranspose2d: ExplainRule("enlargement", senders.whole_image),
    Softmax: ExplainRule("softmax", senders.shares, step.softmax),
    Maxout: ExplainRule("maxout", senders.contest, step.contest, kinks.same_choice),
}


def rule_of(node: Node) -> ExplainRule:
    """Return how a layer is explained.

    Raises:
        SettingError: it is of a kind that nobody has explained.
    """
    rule = RULES.get(type(node.layer))
    if rule is None:
        raise SettingError(
            f"{node.title} is not explained yet", hint="the other layers are; add it to neocog/explain/rules.py"
        )
    return rule
