"""The emitters of all ops in one table."""

from __future__ import annotations

from neocog.emit import (
    concatenation,
    contraction,
    copy,
    depthwise,
    grouped,
    images,
    loss,
    maxout,
    norm,
    pointwise,
    pool,
    softmax,
    update,
    winograd,
)
from neocog.emit.emitter import Emitters

EMITTERS: Emitters = {
    **contraction.EMITTERS,
    **depthwise.EMITTERS,
    **grouped.EMITTERS,
    **winograd.EMITTERS,
    **images.EMITTERS,
    **pointwise.EMITTERS,
    **norm.EMITTERS,
    **pool.EMITTERS,
    **softmax.EMITTERS,
    **maxout.EMITTERS,
    **concatenation.EMITTERS,
    **copy.EMITTERS,
    **loss.EMITTERS,
    **update.EMITTERS,
}
