"""The emitters of all ops in one table."""

from __future__ import annotations

from neocog.emit import (
    concatenation,
    contraction,
    copy,
    depthwise,
    directions,
    grouped,
    halo,
    images,
    interpolation,
    local_response,
    loss,
    maxout,
    norm,
    pixel_norm,
    pointwise,
    pool,
    rolling,
    softmax,
    sync_norm,
    update,
    winograd,
)
from neocog.emit.emitter import Emitters

EMITTERS: Emitters = {
    **contraction.EMITTERS,
    **depthwise.EMITTERS,
    **grouped.EMITTERS,
    **rolling.EMITTERS,
    **winograd.EMITTERS,
    **images.EMITTERS,
    **halo.EMITTERS,
    **pointwise.EMITTERS,
    **norm.EMITTERS,
    **sync_norm.EMITTERS,
    **pixel_norm.EMITTERS,
    **local_response.EMITTERS,
    **pool.EMITTERS,
    **softmax.EMITTERS,
    **maxout.EMITTERS,
    **concatenation.EMITTERS,
    **copy.EMITTERS,
    **interpolation.EMITTERS,
    **loss.EMITTERS,
    **update.EMITTERS,
    **directions.EMITTERS,
}
