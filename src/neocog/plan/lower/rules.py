"""The rules of all layers in one table."""

from __future__ import annotations

from neocog.nn.layer import Layer
from neocog.plan.lower import (
    channels,
    convolution_gradient,
    grouped,
    local_response,
    normalization,
    pointwise,
    pooling,
    rearrangement,
    resizing,
    shape,
    transposed,
)
from neocog.plan.lower.rule import Rules

RULES: Rules = {
    **convolution_gradient.RULES,
    **grouped.RULES,
    **transposed.RULES,
    **pooling.RULES,
    **shape.RULES,
    **rearrangement.RULES,
    **resizing.RULES,
    **channels.RULES,
    **normalization.RULES,
    **local_response.RULES,
    **pointwise.RULES,
}

BY_VALUE: frozenset[type[Layer]] = frozenset((*pointwise.RULES, *normalization.RULES))
"""Layers that give a formula of what they take, statistics of that aside."""
