"""The rules of all layers in one table."""

from __future__ import annotations

from neocog.nn.layer import Layer
from rounding import channels, functions, local_response, moving, normalization, pooling, weighted
from rounding.rule import Rule

RULES: dict[type[Layer], Rule] = {
    **weighted.RULES,
    **pooling.RULES,
    **functions.RULES,
    **channels.RULES,
    **normalization.RULES,
    **local_response.RULES,
    **moving.RULES,
}
