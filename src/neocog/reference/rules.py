"""All rules of the reference in one table."""

from __future__ import annotations

from neocog.reference import (
    activation,
    channels,
    conv,
    dropout,
    join,
    linear,
    local_response,
    normalization,
    pool,
    rearrangement,
    resizing,
    transposed,
)
from neocog.reference.rule import Rules

RULES: Rules = {
    **conv.RULES,
    **transposed.RULES,
    **pool.RULES,
    **linear.RULES,
    **activation.RULES,
    **channels.RULES,
    **normalization.RULES,
    **local_response.RULES,
    **dropout.RULES,
    **join.RULES,
    **rearrangement.RULES,
    **resizing.RULES,
}
