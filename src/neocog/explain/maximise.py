"""The image that moves a filter most, found by climbing: activation maximisation.

Each step follows the gradient of one unit of the filter's map, in front of the activation behind it, so that a silent
unit can be woken. Left alone, that ends in noise that no photograph holds. So the gradient is blurred, more at the
start than at the end, and there are several climbs that differ in how much: of those that do well the smoothest
is kept. Nothing has to be tuned for the size, channels or normalisation of a network.

Source: Erhan et al. 2009, Visualizing higher-layer features of a deep network. Blurred gradients: Øygard 2015,
Visualizing GoogLeNet classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.errors import SettingError
from neocog.explain.cropped import Cropped, cropped
from neocog.explain.receptive import Field, field_or_whole
from neocog.explain.response import activated, climbing_index, response_index, run_to, usable_parameters
from neocog.explain.slopes import Slopes, slopes_by
from neocog.explain.subject import Array, ProgressListener, Subject, check_index, image_output, layer_node, no_progress
from neocog.nn.graph import Graph
from neocog.nn.layers import Conv2d
from neocog.nn.rewrite import fold_norms
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

    Costs up to five times `steps` passes forward and backward through the layers up to the filter: of as many pixels as
    a unit sees, where that is less than the image. Where that is much (`neocog.explain.slopes.COMPILED`), the model's
    own engine takes them, which may compile a program first: one for all filters of the layer.

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
    part = cropped(graph, top)
    folded = fold_norms(part.graph)
    parameters = folded.fold({name: value.astype(np.float32) for name, value in exact.items()})
    slopes = slopes_by(model, folded.graph, parameters, climbing_work(graph, node.index, steps))
    ascent = _Ascent(folded.graph, field_or_whole(part.graph, -1), part, filter, slopes, graph.input.size)

    def reached(answers: NDArray[np.float32]) -> Array:
        return activated(graph, exact, node.index, filter, answers.astype(np.float64))

    climbed: dict[int, tuple[Values, Array]] = {}

    def climb(number: int) -> float:
        """Make one of the climbs; return how high it came."""
        if number not in climbed:
            begun = len(climbed)

            def told(done: float) -> None:
                progress((begun + done) / len(ascent.climbs), "steps")

            rng = np.random.default_rng([seed, node.index, filter, number])
            pixels, answers = ascent.climb(ascent.climbs[number], rng, steps, told)
            climbed[number] = pixels, reached(answers)
        return float(climbed[number][1][-1])

    kept = _choose(len(ascent.climbs), climb, data_maximum)
    progress(1.0, "steps")
    pixels, history = climbed[kept]
    image = np.full((graph.input.height, graph.input.width, graph.input.channels), GREY)
    rows, columns = (slice(first, first + side) for first, side in zip(part.corner, pixels.shape[:2], strict=True))
    image[rows, columns] = pixels
    final = run_to(graph, exact, image[None], top).outputs[-1][0, ..., filter]
    value = float(activated(graph, exact, node.index, filter, final).max())
    history[-1] = value
    row, column = divmod(int(final.argmax()), final.shape[1])
    return Maximised(
        image,
        history,
        value,
        data_maximum,
        None if data_maximum is None else _beats(value, data_maximum),
        not max(value, *(float(answers[-1]) for _, answers in climbed.values())) > 0,
        steps,
        seed,
        (row, column),
        ascent.climbs[kept].blur,
        node.index,
        filter,
    )


def climbing_work(graph: Graph, index: int, steps: int = STEPS) -> int:
    """Return how many multiply-adds it takes at most to maximise a filter of a convolution, forward and backward."""
    part = cropped(graph, climbing_index(graph, index))
    return 3 * steps * len(CLIMBS) * sum(map(multiply_adds, part.graph.nodes))


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


def _choose(count: int, climb: Callable[[int], float], data_maximum: float | None) -> int:
    """Make climbs until the smoothest that does well is known, and return its number; else that of the highest.

    With a data set to beat they are made one after another, smoothest first. Without, the sharpest, which comes highest
    as a rule, says what is well.
    """
    enough = 0.0 if data_maximum is not None and data_maximum > 0 else ENOUGH * climb(count - 1)

    def does_well(value: float) -> bool:
        if data_maximum is not None and data_maximum > 0:
            return _beats(value, data_maximum)
        return value >= enough > 0

    values = []
    for number in range(count):
        values.append(climb(number))
        if does_well(values[-1]):
            return number
    return int(np.argmax(values))


def _beats(value: float, data_maximum: float) -> bool:
    return value > data_maximum + ROUNDING * abs(data_maximum)


@dataclass(frozen=True, slots=True)
class _Ascent:
    """The climbs of one filter.

    graph: the layers up to its own, without normalizations, on the part of the image that is looked at.
    field: of its units. part: that part, and the unit that the climbs follow there. slopes: finds gradients of pixels.
    pixels: values of the whole image, over which the mean is taken that steps are measured by.
    """

    graph: Graph
    field: Field
    part: Cropped
    filter: int
    slopes: Slopes
    pixels: int

    @property
    def climbs(self) -> tuple[Climb, ...]:
        """On a part of the image all units that see nothing beyond are alike: there none is sought out."""
        return CLIMBS if self.part.whole else tuple(climb for climb in CLIMBS if climb.centre)

    def climb(
        self, climb: Climb, rng: np.random.Generator, steps: int, progress: Callable[[float], None]
    ) -> tuple[Values, Values]:
        """Return the image (H, W, C), and how high the filter's answer was after each step (steps,): the largest value
        of its map, or on a part of the image that of its unit.
        """
        shape = self.graph.input
        sides = (1, shape.height, shape.width, shape.channels)
        image = np.clip(GREY + NOISE * rng.standard_normal(sides, np.float32), 0, 1)
        gradient, _, seen = self._look(climb, image)
        history = np.empty(steps, np.float32)
        for step in range(steps):
            done = step / max(1, steps - 1)
            gradient = self._blurred(gradient, climb.blur + (FIRST_BLUR - climb.blur) * max(0.0, 1 - 2 * done)) * seen
            size = np.sqrt(np.square(gradient).sum() / self.pixels)
            if size == 0:  # nothing that is seen moves the unit: begin anew, somewhere else
                image, size = rng.random(sides, np.float32), np.float32(1)
            length = np.float32(FIRST_STEP * (LAST_STEP / FIRST_STEP) ** done)
            image = np.clip(image + length * gradient / size, 0, 1)
            gradient, history[step], seen = self._look(climb, image)
            progress((step + 1) / steps)
        return np.where(seen, image, np.float32(GREY))[0], history

    def _look(self, climb: Climb, image: Values) -> tuple[Values, np.float32, NDArray[np.bool_]]:
        """Return the gradient of the climb's unit, the filter's answer, and which pixels the unit sees."""
        unit = self.part.unit

        def of_unit(output: Values) -> Values:
            nonlocal unit
            if not climb.centre:
                row, column = divmod(int(output[0, ..., self.filter].argmax()), output.shape[2])
                unit = row, column
            ones = np.zeros_like(output)
            ones[0, *unit, self.filter] = 1
            return ones

        output, gradient = self.slopes(image, of_unit)
        answers = output[0, ..., self.filter]
        return gradient, answers.max() if self.part.whole else answers[unit], _seen(self.field, *unit, image.shape)

    def _blurred(self, gradient: Values, spread: float) -> Values:
        """Blur a gradient (1, H, W, C); beyond a part of the image it is 0."""
        _, height, width, _ = gradient.shape
        down, across = (_gaussian(side, spread, ends=self.part.whole) for side in (height, width))
        blurred: Values = np.einsum("ij,njkc,lk->nilc", down, gradient, across, optimize=True)
        return blurred


def _seen(field: Field, row: int, column: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    top, left, height, width = field.box(row, column)
    seen = np.zeros((1, *shape[1:3], 1), bool)
    seen[:, max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = True
    return seen


def _gaussian(side: int, spread: float, *, ends: bool) -> Values:
    """Return the matrix (side, side) that blurs a line of pixels, which ends there, or goes on with zeros; the weights
    of each blur add up to 1.
    """
    if spread == 0:
        return np.eye(side, dtype=np.float32)
    distance = np.arange(side)[:, None] - np.arange(side)
    weight = np.exp(-(distance**2) / (2 * spread**2))
    far = np.arange(-int(6 * spread) - 1, int(6 * spread) + 2)
    sums = weight.sum(axis=1, keepdims=True) if ends else np.exp(-(far**2) / (2 * spread**2)).sum()
    matrix: Values = (weight / sums).astype(np.float32)
    return matrix
