"""The emitters of all ops in one table."""

from __future__ import annotations

from neocog.emit import (
    concatenation,
    contraction,
    copy,
    depthwise,
    directions,
    grouped,
    half_pool,
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
    product,
    rolling,
    softmax,
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
    **pixel_norm.EMITTERS,
    **local_response.EMITTERS,
    **pool.EMITTERS,
    **half_pool.EMITTERS,
    **product.EMITTERS,
    **softmax.EMITTERS,
    **maxout.EMITTERS,
    **concatenation.EMITTERS,
    **copy.EMITTERS,
    **interpolation.EMITTERS,
    **loss.EMITTERS,
    **update.EMITTERS,
    **directions.EMITTERS,
}
