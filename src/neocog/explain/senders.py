"""Where the gradient of a cell comes from: the outputs that it contributes to, and how much to each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.explain.lens import coordinates
from neocog.explain.subject import Array
from neocog.explain.trace import Trace
from neocog.nn.graph import Node
from neocog.nn.layer import channels_of
from neocog.nn.layers import AdaptiveAvgPool2d, AvgPool2d, Conv2d, GlobalAvgPool2d, Linear, MaxPool2d
from neocog.nn.shapes import ImageShape
from neocog.nn.window import counts
from neocog.reference.network import backward_node, forward_node

Place = tuple[int, int, int]
"""Row, column and channel; of a vector (0, 0, place)."""

Sender = tuple[Place, float]
"""An output, and its derivative in the cell."""

TINY = 1e-30  # a step whose square is nothing beside any number that counts


@dataclass(frozen=True, slots=True)
class Cell:
    """One value that a layer reads: `place` of its input number `position`, on one image's way through a network."""

    traced: Trace
    node: Node
    position: int
    place: Place


def convolution(cell: Cell) -> Iterator[Sender]:
    """List the outputs of all filters in whose windows the cell lies; each multiplies it by one of its weights.

    Those are the filters of the cell's group of channels.
    """
    node, (row, column, channel) = cell.node, cell.place
    assert isinstance(node.layer, Conv2d)
    weight = cell.traced.parameters[f"{node.name}.weight"]
    filters = node.layer.channels // node.layer.groups
    group, place = divmod(channel, weight.shape[2])
    for p, q, r, s in _windows_over(node, row, column):
        for k in range(group * filters, (group + 1) * filters):
            yield (p, q, k), float(weight[r, s, place, k])


def largest(cell: Cell) -> Iterator[Sender]:
    """List the windows in which the cell lies: 1 where it won, 0 where it did not."""
    node, (row, column, channel) = cell.node, cell.place
    assert isinstance(node.layer, MaxPool2d)
    choice = cell.traced.run.choices[node.index]
    assert choice is not None  # the reference always records the argmax
    width = node.layer.window_over(_image(node)).horizontal.kernel
    for p, q, r, s in _windows_over(node, row, column):
        yield (p, q, channel), float(choice[0, p, q, channel] == r * width + s)


def average(cell: Cell) -> Iterator[Sender]:
    """List the windows in which the cell lies; each gives it an equal share."""
    node, (row, column, channel) = cell.node, cell.place
    assert isinstance(node.layer, AvgPool2d)
    down, across = counts(node.layer.counted_over(_image(node)))
    for p, q, _, _ in _windows_over(node, row, column):
        yield (p, q, channel), 1.0 / (down[p] * across[q])


def average_of_part(cell: Cell) -> Iterator[Sender]:
    """List the parts in which the cell lies, of an image cut evenly; each gives it an equal share."""
    node, (row, column, channel) = cell.node, cell.place
    assert isinstance(node.layer, AdaptiveAvgPool2d)
    cuts = node.layer.counted_over(_image(node))
    down, across = counts(cuts)
    for p, q in np.ndindex(len(down), len(across)):
        if row in range(*cuts.vertical.ends(p)) and column in range(*cuts.horizontal.ends(q)):
            yield (p, q, channel), 1.0 / (down[p] * across[q])


def whole_average(cell: Cell) -> Iterator[Sender]:
    """Name the one output, the mean of the cell's whole map."""
    node, (_, _, channel) = cell.node, cell.place
    assert isinstance(node.layer, GlobalAvgPool2d)
    yield (0, 0, channel), 1.0 / node.layer.window_over(_image(node)).cells


def linear(cell: Cell) -> Iterator[Sender]:
    """List all outputs; each multiplies the value by a weight of its own."""
    node, (_, _, place) = cell.node, cell.place
    assert isinstance(node.layer, Linear)
    weight = cell.traced.parameters[f"{node.name}.weight"]
    for output in range(weight.shape[-1]):
        yield (0, 0, output), float(weight[place, output])


def flatten(cell: Cell) -> Iterator[Sender]:
    """Name the place in the vector that the cell moves to."""
    image, (row, column, channel) = _image(cell.node), cell.place
    yield (0, 0, (row * image.width + column) * image.channels + channel), 1.0


def concatenation(cell: Cell) -> Iterator[Sender]:
    """Name the channel that the cell moves to, behind those of the inputs before its own."""
    row, column, channel = cell.place
    before = sum(channels_of(shape) for shape in cell.node.shapes[: cell.position])
    yield (row, column, before + channel), 1.0


def destinations(cell: Cell) -> Iterator[Sender]:
    """List the outputs that a layer makes of the cell, where each output is a sum of inputs with constant factors.

    They are what the reference gives for a 1 in the cell's place, among zeros.
    """
    inputs = [np.zeros_like(x[:1], np.float64) for x in cell.traced.run.inputs(cell.node.index)]
    alone = inputs[cell.position]
    alone[(0, *cell.place) if alone.ndim == 4 else (0, cell.place[2])] = 1.0
    factors = forward_node(cell.node, cell.traced.parameters, inputs, None).output[0]
    for place in np.argwhere(factors != 0):
        row, column, channel = (0, 0, *place.tolist())[-3:]
        yield (row, column, channel), float(factors[tuple(place)])


def in_place(cell: Cell) -> Iterator[Sender]:
    """Name the output in the same place, which alone hangs on the cell; the reference's rule says how much."""
    yield cell.place, _derivative(cell, cell.place[2])


def joined(cell: Cell) -> Iterator[Sender]:
    """Name the output in the same place, or all of a map where the cell stands for all pixels."""
    yield from (whole_image if cell.node.is_pixel(cell.position) else in_place)(cell)


def contest(cell: Cell) -> Iterator[Sender]:
    """Name the output that the cell's channel competes for, as Maxout lays them out."""
    row, column, channel = cell.place
    output = channel % channels_of(cell.node.output)
    yield (row, column, output), _derivative(cell, output)


def shares(cell: Cell) -> Iterator[Sender]:
    """List all outputs of the cell's pixel: of shares of a whole, each falls when another one grows.

    Share k, sₖ = exp(xₖ) / Σ exp(x), has the derivative sₖ · (1 - sₖ) in its own x, and -sₖ · sⱼ in that of share j.
    """
    row, column, channel = cell.place
    output = cell.traced.output(cell.node.index)
    found = output[row, column] if output.ndim == 3 else output
    for k, share in enumerate(found.tolist()):
        yield (row, column, k), share * ((k == channel) - float(found[channel]))


def whole_pixel(cell: Cell) -> Iterator[Sender]:
    """List the outputs of the cell's pixel that move with it, of a smooth layer that treats each pixel by itself; see
    `whole_image`.
    """
    row, column, channel = cell.place
    x = cell.traced.run.input(cell.node.index)
    moved = (x[:, row : row + 1, column : column + 1] if x.ndim == 4 else x).astype(np.complex128)
    moved[..., channel] += 1j * TINY
    with np.errstate(all="ignore"):
        slopes = forward_node(cell.node, cell.traced.parameters, (moved,), None).output.imag.ravel() / TINY
    for output in np.flatnonzero(slopes).tolist():
        yield (row, column, output), float(slopes[output])


def whole_image(cell: Cell) -> Iterator[Sender]:
    """List all outputs that move with the cell, of a smooth layer that looks at the whole image.

    The cell takes a small step off the real axis: what the reference then gives moves there by the derivative, without
    any difference being taken.

    Source: Squire and Trapp 1998, Using complex variables to estimate derivatives of real functions.
    """
    inputs = list(cell.traced.run.inputs(cell.node.index))
    moved = inputs[cell.position].astype(np.complex128)
    moved[(0, *cell.place)] += 1j * TINY
    inputs[cell.position] = moved
    with np.errstate(all="ignore"):
        slopes = forward_node(cell.node, cell.traced.parameters, inputs, None).output[0].imag / TINY
    for place in np.argwhere(slopes != 0):
        row, column, channel = place.tolist()
        yield (row, column, channel), float(slopes[row, column, channel])


def _derivative(cell: Cell, output: int) -> float:
    """Return the derivative of one output channel in a cell, for a layer that treats each pixel by itself."""
    row, column, channel = cell.place
    node, traced = cell.node, cell.traced

    def pixel(values: NDArray[np.generic]) -> NDArray[np.generic]:
        if values.ndim != 4 or values.shape[1:3] == (1, 1):  # a pixel for all
            return values
        return values[:, row : row + 1, column : column + 1]

    inputs = tuple(map(pixel, traced.run.inputs(node.index)))
    choice = traced.run.choices[node.index]
    one: Array = np.zeros_like(pixel(traced.run.outputs[node.index]), np.float64)
    one[..., output] = 1.0
    with np.errstate(all="ignore"):
        sent = backward_node(node, traced.parameters, inputs, None if choice is None else pixel(choice), one, None)
    return float(sent.inputs[cell.position][..., channel].item())


def _windows_over(node: Node, row: int, column: int) -> Iterator[tuple[int, int, int, int]]:
    """List the windows over a cell: output row and column, and where in the window it lies."""
    walk = node.layer.window_over(_image(node))
    assert walk is not None
    rows = coordinates(walk.vertical, np.arange(walk.vertical.output))
    columns = coordinates(walk.horizontal, np.arange(walk.horizontal.output))
    for p, r in np.argwhere(rows == row).tolist():
        for q, s in np.argwhere(columns == column).tolist():
            yield p, q, r, s


def _image(node: Node) -> ImageShape:
    assert isinstance(node.input, ImageShape)
    return node.input
