"""Views: an image as it is, mirrored and shifted. A network that looks at several answers with their mean logits.

The mean is weighted, and one of logits, not of probabilities: it is the answer of one network, whose probabilities then
follow as always, tempered or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import Images
from neocog.errors import SettingError
from neocog.nn.graph import Graph
from neocog.nn.limits import shown
from neocog.nn.shapes import VectorShape

Views = Literal["plain", "flip", "flip-shift"]
"""How a network looks at an image: once, also at its mirror image, or also at both shifted by a pixel."""

VIEW_NAMES: tuple[Views, ...] = get_args(Views)
PLAIN: Views = "plain"


@dataclass(frozen=True, slots=True)
class View:
    """One way to see an image.

    Arguments:
        share: of its logits in the mean.
        mirrored: whether left and right are exchanged.
        shift: pixels that the image is moved down and to the right; what comes in at an edge is reflected there.
    """

    share: float
    mirrored: bool = False
    shift: int = 0

    def of(self, images: Images) -> Images:
        """Return images (N, H, W, C) as they are seen."""
        if self.shift:
            # Row r shows row r - shift; past the edge, the one as far inside.
            rows, columns = (_reflected(np.arange(side) - self.shift, side) for side in images.shape[1:3])
            images = images[:, rows[:, None], columns]
        return images[:, :, ::-1] if self.mirrored else images


def _reflected(places: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    places = np.abs(places)
    within: NDArray[np.int64] = np.minimum(places, 2 * (side - 1) - places)
    return within


def _with_mirror(share: float, shift: int = 0) -> tuple[View, View]:
    return View(share / 2, shift=shift), View(share / 2, mirrored=True, shift=shift)


VIEWS: dict[Views, tuple[View, ...]] = {
    "plain": (View(1.0),),
    "flip": _with_mirror(1.0),
    # As the airbench recipe weighs them (Jordan 2024): as much for both shifts together as for the image in its place.
    "flip-shift": (*_with_mirror(0.5), *_with_mirror(0.25, -1), *_with_mirror(0.25, 1)),
}


def check_views(views: object, graph: Graph) -> Views:
    """Return `views`, or raise SettingError unless it is one of VIEW_NAMES, and one that a network can have."""
    if not isinstance(views, str) or views not in VIEW_NAMES:
        raise SettingError(
            f"views must be {', '.join(VIEW_NAMES[:-1])} or {VIEW_NAMES[-1]}, got {shown(views)}",
            hint='views="flip" looks at each image and at its mirror image',
        )
    if views != PLAIN and not isinstance(graph.output, VectorShape):
        raise SettingError(
            f'views of a network that ends in an image must be "plain", got {shown(views)}',
            hint="its answers are those of pixels, which a mirror image has elsewhere",
        )
    if views == "flip-shift" and min(graph.input.height, graph.input.width) < 2:
        raise SettingError(f"views that are shifted need images of at least 2 x 2 pixels, got {graph.input}")
    return views
