"""Where the weights of convolutions and fully connected layers lie as 8-bit integers, and where the scales of values.

Products take four bytes of an image and four weights of a filter at a time: a word. So a filter's weights lie in lines
that the image has side by side (the channels of a pixel, or a row of what a window sees of the images), each filled up
with zeros to whole words; and a matrix of words has the layout that one of float32 has. Filters that see one channel
each lie in single bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layer import channels_of
from neocog.nn.layers import Conv2d, Flatten, Linear
from neocog.nn.scales import SIGNED_LIMIT, UNSIGNED_LIMIT, never_negative, rounded_values, source_of
from neocog.nn.shapes import ImageShape
from neocog.nn.window import pair
from neocog.plan.blocked import PANEL, TILE_WIDTH
from neocog.plan.correlation import column_panels, output_rows
from neocog.plan.layout import Operand, Panels, Space, Vectors
from neocog.plan.ops.grouped import groups_together
from neocog.plan.passes.steps import is_depthwise
from neocog.plan.rounded import LOW_BIAS, TOGETHER, Rounding, reads_across, words_of
from neocog.target.processor import Target

LEAST_CHANNELS = TILE_WIDTH // 2
"""Of fewer, tiles would waste most products."""

EXACT = 1 << 24
"""Whole numbers up to this one are numbers of float32."""


@dataclass(frozen=True, slots=True)
class RoundedWeights:
    """Where the weights of one layer lie.

    Arguments:
        source: the rounded value that they are multiplied by.
        blocks: a matrix for each block of groups; rows are words of lines, or taps where each filter sees one channel.
        groups: in a block; the last may have fewer.
        bias: in steps of the sums.
        multipliers: what a step of the sums is worth.
        lines, length: of a filter of a whole block: so many stretches of so many weights that lie side by side.
        across: whether a line is a row of what a window sees, and not a pixel of it.
        together: weights in an element of a matrix.
        tiles: whether they lie as tiles: [filter // 32][64 channels][tap][filter // 16 % 2][word][filter % 16].
        shift: what products take each byte of the image to be more than it is.
    """

    source: int
    blocks: tuple[Panels, ...]
    groups: int
    bias: Vectors
    multipliers: Vectors
    lines: int
    length: int
    across: bool
    together: int
    shift: int
    tiles: bool = False

    @property
    def by_channel(self) -> bool:
        """Whether each filter sees one channel."""
        return self.together == 1

    @property
    def in_tiles(self) -> Operand:
        """Where tiles begin, in bytes."""
        (block,) = self.blocks
        return Operand(block.space, block.name, block.bytes_each * block.offset, bytes_each=1)

    @property
    def size(self) -> int:
        """Bytes of the weights."""
        return sum(block.size * block.bytes_each for block in self.blocks)


def by_channel(node: Node) -> bool:
    """Whether a convolution takes each channel by itself, in sums that float32 holds exactly."""
    if not is_depthwise(node):
        return False
    assert isinstance(node.layer, Conv2d)
    return math.prod(pair(node.layer.kernel)) * UNSIGNED_LIMIT * SIGNED_LIMIT < EXACT - LOW_BIAS


def lay_out_weights(graph: Graph, node: Node, target: Target, name: str, offset: int) -> tuple[RoundedWeights, int]:
    """Choose places for the weights of a layer, one behind another from an element of 4 bytes on; return the end too.

    Arguments:
        graph: the folded network.
        node: a Conv2d or a Linear.
        target: the processor.
        name: of the memory.
        offset: where the first one begins.
    """
    source = source_of(graph, node.inputs[0])
    shift = target.image_shift(signed=not never_negative(graph, source))
    filters = channels_of(node.output)
    across = source == IMAGE and reads_across(graph)
    blocks: list[Panels] = []
    tiles = False

    def add(rows: int, columns: int, width: int, bytes_each: int = 4) -> None:
        nonlocal offset
        each = 4 // bytes_each
        made = Panels(name, rows, columns, width, offset * each, Space.STATE, bytes_each)
        blocks.append(made)
        offset += target.round_up(-(-made.size // each))

    if by_channel(node):
        assert isinstance(node.layer, Conv2d)
        lines, length, groups, together = math.prod(pair(node.layer.kernel)), 1, node.layer.groups, 1
        shift = 0
        add(lines, filters, target.lanes, bytes_each=1)
    else:
        lines, length, groups = _lines_of(graph, node, across, target)
        tiles = multiplies_tiles(node, source, length, target)
        shift = 0 if tiles else shift
        together, whole = TOGETHER, node.layer.groups if isinstance(node.layer, Conv2d) else 1
        for first in range(0, whole, groups):
            these = min(groups, whole - first)
            columns, rows = these * (filters // whole), lines * words_of(length // groups * these)
            if tiles:
                add(lines * -(-length // TILE_WIDTH) * TILE_WIDTH // TOGETHER, columns, PANEL)
            else:
                add(rows, columns, column_panels(columns, output_rows(node), rows, target) * target.lanes)
    vectors = []
    for _ in range(2):
        vectors.append(Vectors(name, filters, target.round_up(filters), offset, Space.STATE))
        offset += vectors[-1].size
    bias, multipliers = vectors
    made = RoundedWeights(
        source, tuple(blocks), groups, bias, multipliers, lines, length, across, together, shift, tiles
    )
    return made, offset


def multiplies_tiles(node: Node, source: int, length: int, target: Target) -> bool:
    """Whether a layer's products are of tiles: those of all channels, which fill half a row of a tile at least."""
    whole = isinstance(node.layer, Linear) or (isinstance(node.layer, Conv2d) and node.layer.groups == 1)
    return target.byte_tiles and whole and source != IMAGE and length >= LEAST_CHANNELS


def _lines_of(graph: Graph, node: Node, across: bool, target: Target) -> tuple[int, int, int]:
    """Return the lines of a filter, their length, and the groups of a block."""
    if isinstance(node.layer, Linear):
        shape = _image_before(graph, node.inputs[0])
        if shape is None:
            return 1, channels_of(node.input), 1
        if across:
            return shape.height, shape.width * shape.channels, 1
        return shape.height * shape.width, shape.channels, 1
    assert isinstance(node.layer, Conv2d)
    down, along = pair(node.layer.kernel)
    channels, groups = channels_of(node.input), node.layer.groups
    if across:
        return down, along * channels, 1
    together = groups_together(groups, channels // groups, node.layer.channels // groups, max(TOGETHER, target.lanes))
    return down * along, together * (channels // groups), together


def _image_before(graph: Graph, value: int) -> ImageShape | None:
    """Return the image that a vector is, Flatten aside; None where it comes from a vector."""
    while value != IMAGE and (isinstance(graph.nodes[value].layer, Flatten) or graph.nodes[value].layer.training_only):
        (value,) = graph.nodes[value].inputs
    shape = graph.input if value == IMAGE else graph.nodes[value].output
    return shape if isinstance(shape, ImageShape) else None


def lay_out_scales(graph: Graph, name: str, offset: int) -> dict[int, Rounding]:
    """Choose places for the scale of each rounded value, and for one by it, from an element on."""
    found = {}
    for number, value in enumerate(sorted(rounded_values(graph))):
        scale, inverse = (Operand(Space.STATE, name, offset + 2 * number + n) for n in range(2))
        found[value] = Rounding(scale, inverse, signed=not never_negative(graph, value))
    return found
