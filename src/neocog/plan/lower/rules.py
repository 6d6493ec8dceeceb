"""The rules of all layers in one table."""

from __future__ import annotations

from neocog.plan.lower import (
    channels,
    convolution_gradient,
    grouped,
    normalization,
    pointwise,
    pooling,
    rearrangement,
    shape,
)
from neocog.plan.lower.rule import Rules

RULES: Rules = {
    **convolution_gradient.RULES,
    **grouped.RULES,
    **pooling.RULES,
    **shape.RULES,
    **rearrangement.RULES,
    **channels.RULES,
    **normalization.RULES,
    **pointwise.RULES,
}
