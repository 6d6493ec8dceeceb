"""The image that moves a filter most, found by climbing: activation maximisation.

Each step follows the gradient of one unit of the filter's map, in front of the activation behind it, so that a silent
unit can be woken. Left alone, that ends in noise that no photograph holds. So the gradient is blurred, more at the
start than at the end, and several climbs that differ in how much run side by side: of those that do well the smoothest
is kept. Nothing has to be tuned for the size, channels or normalisation of a network.

Source: Erhan et al. 2009, Visualizing higher-layer features of a deep network. Blurred gradients: Øygard 2015,
Visualizing GoogLeNet classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.errors import SettingError
from neocog.explain.quick import quick_slopes
from neocog.explain.receptive import Field, field_or_whole
from neocog.explain.response import activated, climbing_index, response_index, run_to, usable_parameters
from neocog.explain.subject import Array, ProgressListener, Subject, check_index, image_output, layer_node, no_progress
from neocog.nn.graph import Graph
from neocog.nn.layers import Conv2d
from neocog.nn.summary import multiply_adds

STEPS = 48  # how far climbs go
FIRST_STEP, LAST_STEP = 0.3, 0.02  # of a pixel whose gradient has the image's root mean square; geometric between
FIRST_BLUR = 3.0  # pixels, standard deviation; falls to that of the climb in half of the steps
GREY, NOISE = 0.5, 0.05  # where climbs begin, and the deviation from it
ENOUGH = 0.5  # of the highest climb: what a smoother one must reach where there is no data set to beat
ROUNDING = 1e-6  # relative: beating the data set by less is not beating it

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Climb:
    """How one of the climbs goes: the last blur of its gradient, pixels, and whether it follows the centre of the map
    or the unit that is highest at the time.
    """

    blur: float
    centre: bool


CLIMBS = (Climb(2.5, True), Climb(1.2, True), Climb(0.5, True), Climb(0.0, True), Climb(0.0, False))


@dataclass(frozen=True, slots=True)
class Maximised:
    """The image that moves a filter most.

    image: (H, W, C) in [0, 1]; mid grey where the unit does not look.
    history: (steps,) the largest value of the map after each step, behind the normalization and the activation that
        belong to it.
    value: the same for `image`, in float64; comparable with `Patches.maximum`.
    data_maximum: what the images of a data set reached, as given.
    beats: whether `value` is larger; None without a data maximum. A filter of the first layer may well reach its
        largest possible value on the data: then nothing beats it, and both are equal.
    dead: whether no climb came above 0.
    position: (row, column) of the unit on the map. blur: of the climb that was kept, pixels.
    """

    image: Array
    history: Array
    value: float
    data_maximum: float | None
    beats: bool | None
    dead: bool
    steps: int
    seed: int
    position: tuple[int, int]
    blur: float
    layer: int
    filter: int


def maximise(
    model: Subject,
    layer: int | str,
    filter: int,
    *,
    seed: int = 0,
    steps: int = STEPS,
    data_maximum: float | None = None,
    progress: ProgressListener = no_progress,
) -> Maximised:
    """Search for the image that moves a filter most.

    Costs `steps` passes forward and backward through the layers up to the filter, for five images at a time.

    Arguments:
        model: any neocog model.
        layer: index or name of a convolution.
        filter: which of its filters.
        seed: of the noise that climbs begin with; same seed, same image.
        steps: how far each climbs.
        data_maximum: the largest value that a data set reaches, `Patches.maximum[filter]`; the smoothest climb that
            beats it is kept, or the highest if none does.
        progress: told after every step; what it raises ends the work.

    Raises:
        SettingError: there is no such filter, or a setting is out of its range. DataError: weights are NaN or infinite.

    >>> from neocog.explain.lesson import lesson_model
    >>> found = maximise(lesson_model(), 0, 0, data_maximum=2.0)
    >>> found.image.shape, found.beats
    ((6, 6, 1), True)
    """
    node = layer_node(model, layer, Conv2d)
    check_index("filter", filter, image_output(node).channels)
    check_index("seed", seed, 2**64)
    if check_index("steps", steps, 1 << 16) < 1:
        raise SettingError("steps must be at least 1, got 0")
    graph, top = model.graph, climbing_index(model.graph, node.index)
    exact = usable_parameters(model, response_index(graph, node.index), np.float64)
    ascent = _Ascent(graph, top, filter, {name: value.astype(np.float32) for name, value in exact.items()})
    images, heights = ascent.climb(np.random.default_rng([seed, node.index, filter]), steps, progress)
    final = run_to(graph, exact, images.astype(np.float64), top).outputs[-1][..., filter]
    values = activated(graph, exact, node.index, filter, final).reshape(len(CLIMBS), -1).max(axis=1)
    kept = _choose(values, data_maximum)
    value = float(values[kept])
    history = activated(graph, exact, node.index, filter, heights[:, kept].astype(np.float64))
    history[-1] = value
    row, column = divmod(int(final[kept].argmax()), final.shape[2])
    return Maximised(
        images[kept].astype(np.float64),
        history,
        value,
        data_maximum,
        None if data_maximum is None else _beats(value, data_maximum),
        not values.max() > 0,
        steps,
        seed,
        (row, column),
        CLIMBS[kept].blur,
        node.index,
        filter,
    )


def climbing_work(graph: Graph, index: int, steps: int = STEPS) -> int:
    """Return how many multiply-adds it takes to maximise a filter of a convolution, forward and backward."""
    return 3 * steps * len(CLIMBS) * sum(map(multiply_adds, graph.nodes[: index + 1]))


def maximise_all(
    model: Subject,
    layer: int | str,
    *,
    filters: Sequence[int] | None = None,
    seed: int = 0,
    steps: int = STEPS,
    data_maximum: NDArray[np.floating] | None = None,
    progress: ProgressListener = no_progress,
) -> tuple[Maximised, ...]:
    """Search for the images that move several filters of a layer most; see `maximise`.

    Arguments:
        filters: which; None for all.
        data_maximum: (K,) for all filters of the layer, `Patches.maximum`.
    """
    node = layer_node(model, layer, Conv2d)
    chosen = range(image_output(node).channels) if filters is None else filters

    def told(number: int) -> ProgressListener:
        return lambda done, what: progress((number + done) / len(chosen), "filters")

    return tuple(
        maximise(
            model,
            node.index,
            filter,
            seed=seed,
            steps=steps,
            data_maximum=None if data_maximum is None else float(data_maximum[filter]),
            progress=told(number),
        )
        for number, filter in enumerate(chosen)
    )


def _choose(values: Array, data_maximum: float | None) -> int:
    """Return the first climb, hence the smoothest, that does well; else the highest."""
    if data_maximum is not None and data_maximum > 0:
        well = [_beats(float(value), data_maximum) for value in values]
    else:
        well = [bool(value >= ENOUGH * values.max() > 0) for value in values]
    return well.index(True) if any(well) else int(values.argmax())


def _beats(value: float, data_maximum: float) -> bool:
    return value > data_maximum + ROUNDING * abs(data_maximum)


@dataclass(frozen=True, slots=True)
class _Ascent:
    """All climbs of one filter, as a batch, up to the layer number `top`."""

    graph: Graph
    top: int
    filter: int
    parameters: dict[str, Values]

    def climb(self, rng: np.random.Generator, steps: int, progress: ProgressListener) -> tuple[Values, Values]:
        """Return the images (climbs, H, W, C), and the largest value of their maps after each step (steps, climbs)."""
        shape = self.graph.input
        sides = (len(CLIMBS), shape.height, shape.width, shape.channels)
        field = field_or_whole(self.graph, self.top)
        images = np.clip(GREY + NOISE * rng.standard_normal(sides, np.float32), 0, 1)
        gradient, heights, seen = self._look(images, field)
        history = np.empty((steps, len(CLIMBS)), np.float32)
        for step in range(steps):
            done = step / max(1, steps - 1)
            gradient = _blurred(gradient, done) * seen
            size = np.sqrt(np.square(gradient).mean(axis=(1, 2, 3), keepdims=True))
            stuck = size.ravel() == 0  # nothing that is seen moves the unit: begin anew, somewhere else
            images[stuck] = rng.random((int(stuck.sum()), *sides[1:]), np.float32)
            size[stuck] = 1
            length = np.float32(FIRST_STEP * (LAST_STEP / FIRST_STEP) ** done)
            images = np.clip(images + length * gradient / size, 0, 1)
            gradient, heights, seen = self._look(images, field)
            history[step] = heights
            progress((step + 1) / steps, "steps")
        return np.where(seen, images, np.float32(GREY)), history

    def _look(self, images: Values, field: Field) -> tuple[Values, Values, NDArray[np.bool_]]:
        """Return the gradient of each climb's unit, the largest value of its map, and which pixels its unit sees."""
        output, gradient = quick_slopes(self.graph, self.parameters, images, self.top, self._unit)
        rows, columns = self._places(output)
        seen = [_seen(field, r, c, images.shape) for r, c in zip(rows.tolist(), columns.tolist(), strict=True)]
        return gradient, output[..., self.filter].max(axis=(1, 2)), np.stack(seen)

    def _unit(self, output: Values) -> Values:
        """Return 1 at each climb's unit, else 0."""
        ones = np.zeros_like(output)
        ones[np.arange(len(output)), *self._places(output), self.filter] = 1
        return ones

    def _places(self, output: Values) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return row and column of each climb's unit: of the centre of the map, or of its largest value."""
        _, rows, columns, _ = output.shape
        highest = output[..., self.filter].reshape(len(output), -1).argmax(axis=1)
        middle = rows // 2 * columns + columns // 2
        return np.divmod(np.where([climb.centre for climb in CLIMBS], middle, highest), columns)


def _seen(field: Field, row: int, column: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    top, left, height, width = field.box(row, column)
    seen = np.zeros((*shape[1:3], 1), bool)
    seen[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = True
    return seen


def _blurred(gradient: Values, done: float) -> Values:
    """Blur each climb's gradient (climbs, H, W, C), less and less as the climb goes on."""
    _, height, width, _ = gradient.shape
    spreads = [climb.blur + (FIRST_BLUR - climb.blur) * max(0.0, 1 - 2 * done) for climb in CLIMBS]
    down = np.stack([_gaussian(height, spread) for spread in spreads])
    across = np.stack([_gaussian(width, spread) for spread in spreads])
    blurred: Values = np.einsum("nij,njkc,nlk->nilc", down, gradient, across, optimize=True)
    return blurred


def _gaussian(side: int, spread: float) -> Values:
    """Return the matrix (side, side) that blurs a line of pixels; each row adds up to 1."""
    if spread == 0:
        return np.eye(side, dtype=np.float32)
    distance = np.arange(side)[:, None] - np.arange(side)
    weight = np.exp(-(distance**2) / (2 * spread**2))
    matrix: Values = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix
