"""The layers: what each computes, which shapes it takes and gives, and which arrays it stores.

Layers are frozen data. Nothing here computes; the engines do, by one table of rules each. A new layer is written into
the `__all__` of its file, and is then known everywhere.
"""

from __future__ import annotations

from neocog.nn.layer import Layer as Layer
from neocog.nn.layers import (
    activation,
    convolution,
    dense,
    dropout,
    join,
    normalization,
    pooling,
    rearrangement,
    resizing,
    transposed,
)
from neocog.nn.layers.activation import *  # noqa: F403
from neocog.nn.layers.activation import Activation as Activation
from neocog.nn.layers.convolution import *  # noqa: F403
from neocog.nn.layers.dense import *  # noqa: F403
from neocog.nn.layers.dropout import *  # noqa: F403
from neocog.nn.layers.join import *  # noqa: F403
from neocog.nn.layers.normalization import *  # noqa: F403
from neocog.nn.layers.pooling import *  # noqa: F403
from neocog.nn.layers.rearrangement import *  # noqa: F403
from neocog.nn.layers.resizing import *  # noqa: F403
from neocog.nn.layers.transposed import *  # noqa: F403

LAYERS: tuple[type[Layer], ...] = tuple(
    getattr(module, name)
    for module in (
        *(convolution, transposed, pooling, dense, activation, normalization, dropout, join, rearrangement, resizing),
    )
    for name in module.__all__
)
"""Every layer that computes something. Each room has a table of rules with an entry for each of them."""
