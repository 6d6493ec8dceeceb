"""One channel of a layer, taken apart: normalizations, activations, joins, global averages."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.errors import SettingError
from neocog.explain.rules import rule_of
from neocog.explain.step import ChannelSteps
from neocog.explain.subject import Subject, check_index, layer_node
from neocog.explain.trace import Trace, trace
from neocog.nn.graph import Node
from neocog.nn.layer import channels_of


def steps(model: Subject, image: NDArray[Any], layer: int | str, channel: int) -> ChannelSteps:
    """Take one channel of a layer apart that treats values one by one, or joins several: all its intermediate values.

    Arguments:
        model: any neocog model.
        image: (H, W, C), uint8 or in [0, 1].
        layer: index or name of a layer.
        channel: which of its output channels, from 0; of a vector, which value.

    Raises:
        SettingError: there is no such layer or channel, or another function takes such layers apart.

    >>> import neocog as nc
    >>> net = nc.Sequential(nc.Conv2d(2, 1), nc.BatchNorm2d(), nc.ReLU())
    >>> model = nc.Model(net, (1, 1, 1), engine="reference")
    >>> [(step.sign, step.name) for step in steps(model, np.ones((1, 1, 1)), 1, 0).steps]
    [('', 'input'), ('-', 'centred'), ('/', 'normalised'), ('*', 'scaled'), ('+', 'output')]
    """
    return steps_of(trace(model, image), layer_node(model, layer), channel)


def steps_of(traced: Trace, node: Node, channel: int) -> ChannelSteps:
    """Take one channel of a layer of a traced network apart."""
    apart = rule_of(node).steps
    if apart is None:
        raise SettingError(
            f"{node.title} is not taken apart value by value",
            hint="use window for a convolution, pooling for a pooling, terms for a fully connected layer",
        )
    check_index("channel", channel, channels_of(node.output))
    with np.errstate(all="ignore"):
        return apart(traced, node, channel)
