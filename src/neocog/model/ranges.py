"""How far the values of a network reach, as images show it, and the scales that follow for int8 (docs/int8.md).

The scale of a value is the one by which rounding loses least: the sum of the squared errors over what was seen. That
may be less than the largest value asks for, where a few are far larger than all others: these are then cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import Images, value_shape
from neocog.errors import DataError, NeocogError, SettingError
from neocog.model.network import Network
from neocog.nn.graph import IMAGE
from neocog.nn.rewrite import Folded, fold_norms
from neocog.nn.scales import LARGEST_SCALE, LEAST_SCALE, Scales, limits_of, rounded_values

BINS = 2048
_ENDS = 256  # candidates for where values are cut off
_PIECE_VALUES = 1 << 25  # of all layers, that are in memory at a time


class Ranges:
    """How often sizes occur among the values that were seen, in steps of a limit that grows with them.

    Zeros are left out: they are rounded to themselves, and so is what is as small as no scale may be.
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.float64] = np.zeros(BINS)
        self.limit = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Take values in; their signs do not matter.

        Raises:
            NeocogError: one is no finite number.
        """
        sizes = np.abs(values.ravel())
        most = float(sizes.max(initial=0))
        if not np.isfinite(most):
            raise NeocogError("values of a layer are no finite numbers", hint="see: neocog explain MODEL IMAGE")
        sizes = sizes[sizes >= LEAST_SCALE]  # what is smaller is a zero by any scale
        if not len(sizes):
            return
        self.limit = self.limit or most
        while most > self.limit:  # two bins become one
            self.counts = np.append(self.counts.reshape(-1, 2).sum(axis=1), np.zeros(BINS // 2))
            self.limit *= 2
        places = np.minimum((sizes * np.float32(BINS / self.limit)).astype(np.int64), BINS - 1)
        self.counts += np.bincount(places, minlength=BINS)

    def scale(self, steps: int) -> float:
        """Return the scale by which rounding to integers of at most so many steps loses least; 1 where nothing was seen
        but zeros.

        >>> ranges = Ranges()
        >>> ranges.add(np.linspace(0, 10, 1001, dtype=np.float32))
        >>> round(ranges.scale(255) * 255, 1)
        10.0
        """
        used = np.flatnonzero(self.counts)
        if not len(used):
            return 1.0
        middles, counts = (used + 0.5) * (self.limit / BINS), self.counts[used]
        top = (used[-1] + 1) * (self.limit / BINS)
        ends = top * np.arange(1, _ENDS + 1) / _ENDS
        scale = (ends / steps)[:, None]
        inside = np.minimum(scale**2 / 12, middles**2)  # below half a step a value is lost, and no more than that
        errors = np.where(middles > ends[:, None], (middles - ends[:, None]) ** 2, inside) @ counts
        return float(np.clip(ends[errors.argmin()] / steps, LEAST_SCALE, LARGEST_SCALE))


def find_scales(
    network: Network, batches: Iterable[Images], progress: Callable[[int], None] = lambda images: None
) -> Scales:
    """Return the scales of a network's rounded values.

    Arguments:
        network: stays as it is; its values are computed in float32.
        batches: images as it takes them, of those that it was trained on; a few hundred will do.
        progress: told how many images each step took.

    Raises:
        SettingError: the network has no Conv2d and no Linear. DataError: there are no images. NeocogError: a value is
            no finite number.

    Cost: a program that gives all of these values is compiled, and runs image by image.
    """
    check_rounds(network)
    folded = fold_norms(network.graph)
    wanted = {value: _in_source(folded, value) for value in sorted(rounded_values(folded.graph))}
    ranges = {value: Ranges() for value in wanted}
    layers = [index for index in wanted.values() if index != IMAGE]
    size = max(1, _PIECE_VALUES // sum(int(np.prod(value_shape(network.graph, index))) for index in wanted.values()))
    plain, seen = in_float32(network), 0
    for images in batches:
        for start in range(0, len(images), size):
            piece = images[start : start + size]
            outputs = plain.outputs(piece, layers) if layers else {}
            for value, index in wanted.items():
                ranges[value].add(_normalised(network, piece) if index == IMAGE else outputs[index])
            seen += len(piece)
            progress(len(piece))
    if not seen:
        raise DataError("scales need at least one image, got none")
    found = {value: of.scale(limits_of(folded.graph, value)[1]) for value, of in ranges.items()}
    return Scales(found.pop(IMAGE, 1.0), {folded.graph.nodes[value].name: scale for value, scale in found.items()})


def check_rounds(network: Network) -> None:
    """Raise SettingError unless a network has layers that multiply integers in int8."""
    if not rounded_values(fold_norms(network.graph).graph):
        raise SettingError(
            "int8 needs a network with a Conv2d or a Linear, and this one has neither",
            hint="nothing in it would be faster: leave it in float32",
        )


def in_float32(network: Network) -> Network:
    """Return a network with the same weights that answers in float32."""
    twin = copy(network)
    twin.precision = "float32"
    return twin


def _in_source(folded: Folded, value: int) -> int:
    """Return which layer of the network as it was gives a value of the folded one."""
    if value == IMAGE:
        return IMAGE
    norm = folded.norms.get(folded.graph.nodes[value].name)
    return folded.index_in_source(value) if norm is None else norm.index


def _normalised(network: Network, images: Images) -> NDArray[np.float32]:
    mean, std = network.graph.normalisation.per_channel(network.graph.input.channels)
    values = images.astype(np.float32) / np.float32(255 if images.dtype == np.uint8 else 1)
    shift, scale = np.array(mean, np.float32), np.array(std, np.float32)
    shown: NDArray[np.float32] = np.divide(values - shift, scale, dtype=np.float32)
    return shown
