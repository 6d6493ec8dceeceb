"""A network as a table: shapes, parameters, work, and what the same layers would hold without weight sharing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from neocog.nn.graph import Graph, Node
from neocog.nn.layers import Conv2d, ConvTranspose2d, Linear
from neocog.nn.shapes import ImageShape


@dataclass(frozen=True, slots=True)
class WeightCounts:
    """How many parameters a layer would hold, biases included, in three ways of connecting the same inputs to the
    same outputs.

    fully_connected: every input to every output, each edge with a weight of its own.
    local: only the edges that a filter's window has (those into the padding do not exist), each with its own weight.
    shared: those edges, tied: one weight for each tap of each filter. This is what a Conv2d holds.
    """

    fully_connected: int
    local: int
    shared: int


@dataclass(frozen=True, slots=True)
class Row:
    """One layer of a summary."""

    name: str
    kind: str
    output: str
    parameters: int
    multiply_adds: int
    counts: WeightCounts | None


def weight_counts(node: Node) -> WeightCounts | None:
    """Count a layer's parameters fully connected, locally connected and shared; None where it has none.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.layers import Flatten
    >>> from neocog.nn.graph import trace
    >>> graph = trace(Sequential(Conv2d(1, 3, bias=False), Flatten()), (6, 6, 1))
    >>> weight_counts(graph.nodes[0])
    WeightCounts(fully_connected=576, local=144, shared=9)
    """
    layer = node.layer
    if not isinstance(layer, Conv2d | ConvTranspose2d | Linear):
        return None
    shape = layer.variables(*node.shapes)[0].shape
    full = node.input.size * node.output.size
    biases = node.output.size * layer.bias
    if isinstance(layer, Linear):
        return WeightCounts(full + biases, full + biases, full + biases)
    assert isinstance(node.input, ImageShape)
    window = layer.walk(node.input) if isinstance(layer, ConvTranspose2d) else layer.window_over(node.input)
    edges = window.vertical.taps_inside() * window.horizontal.taps_inside() * shape[2] * shape[3]
    return WeightCounts(full + biases, edges + biases, math.prod(shape) + layer.channels * layer.bias)


def multiply_adds(node: Node) -> int:
    """Count the multiplications of a layer's forward pass on one image; padding is multiplied too."""
    if not isinstance(node.layer, Conv2d | ConvTranspose2d | Linear):
        return 0
    shape = node.layer.variables(*node.shapes)[0].shape
    walked = node.input if isinstance(node.layer, ConvTranspose2d) else node.output
    positions = walked.height * walked.width if isinstance(walked, ImageShape) else 1
    return math.prod(shape) * positions


def summarise(graph: Graph) -> list[Row]:
    """Describe a network layer by layer."""
    rows = []
    for node in graph.nodes:
        counts = weight_counts(node)
        rows.append(
            Row(
                node.name,
                type(node.layer).__name__,
                str(node.output),
                sum(v.size for v in node.layer.variables(*node.shapes) if v.trainable),
                multiply_adds(node),
                counts,
            )
        )
    return rows


def summary_html(graph: Graph) -> str:
    """Return the summary as an HTML table, for notebooks: layers, what they give, and what they hold and cost."""
    rows = summarise(graph)
    cells = [
        (row.name, row.kind, row.output, f"{row.parameters:,}" if row.parameters else "", f"{row.multiply_adds:,}")
        for row in rows
    ]
    total = (f"{sum(row.parameters for row in rows):,}", f"{sum(row.multiply_adds for row in rows):,}")
    header = ("layer", "kind", "output", "parameters", "multiply-adds")
    lines = [("input", "", str(graph.input), "", ""), *cells, ("total", "", "", *total)]
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines)
    head = "".join(f"<th>{name}</th>" for name in header)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def format_summary(graph: Graph) -> str:
    """Lay the summary out as text, with totals."""
    rows = summarise(graph)
    header = ("layer", "kind", "output", "parameters", "multiply-adds", "fully connected", "local", "shared")
    table = [header]
    for row in rows:
        counts = row.counts
        weights = ("", "", "")
        if counts is not None:
            weights = (f"{counts.fully_connected:,}", f"{counts.local:,}", f"{counts.shared:,}")
        number = f"{row.parameters:,}" if row.parameters else ""
        work = f"{row.multiply_adds:,}" if counts else ""
        table.append((row.name, row.kind, row.output, number, work, *weights))
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]

    def line(cells: tuple[str, ...]) -> str:
        aligned = [
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(aligned).rstrip()

    rule = "-" * len(line(tuple("x" * width for width in widths)))
    shared = sum(row.parameters for row in rows)
    full = sum(row.counts.fully_connected if row.counts else row.parameters for row in rows)
    total = (
        f"input: {graph.input}\n"
        f"total: {shared:,} parameters, {sum(row.multiply_adds for row in rows):,} multiply-adds an image"
    )
    if full > shared:
        total += (
            f"\nfully connected, the same layers would hold {full:,} parameters ({full / shared:,.0f} times as many)"
        )
    return "\n".join([line(table[0]), rule, *map(line, table[1:]), rule, total])
