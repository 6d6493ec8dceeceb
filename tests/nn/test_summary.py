"""The three ways to count weights, against edges that are listed one by one."""

import xml.etree.ElementTree as ET
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from conformance_networks import convs, networks
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, ConvTranspose2d, Flatten, Linear, MaxPool2d
from neocog.nn.parameters import parameters_of
from neocog.nn.shapes import ImageShape
from neocog.nn.summary import WeightCounts, format_summary, multiply_adds, summarise, summary_html, weight_counts
from neocog.nn.window import pair, sides_of


def node_of(layer, shape):
    return trace(Sequential(layer, Flatten()), shape).nodes[0]


def edges(layer, shape):
    """List (output pixel, input pixel, tap) of a convolution by asking every pair of pixels, not the window."""
    height, width, _ = shape
    (kr, ks), (sr, ss), (dr, ds) = pair(layer.kernel), pair(layer.stride), pair(layer.dilation)
    output = layer.output_shape(ImageShape(*shape))
    if layer.padding == "same":
        totals = (
            max(0, (output.height - 1) * sr + (kr - 1) * dr + 1 - height),
            max(0, (output.width - 1) * ss + (ks - 1) * ds + 1 - width),
        )
        top, left = totals[0] // 2, totals[1] // 2
    else:
        (top, _), (left, _) = sides_of(layer.padding)
    for o, p, h, w in product(range(output.height), range(output.width), range(height), range(width)):
        r, s = h + top - o * sr, w + left - p * ss
        if r % dr == 0 and s % ds == 0 and 0 <= r // dr < kr and 0 <= s // ds < ks:
            yield (o, p), (h, w), (r // dr, s // ds)


@pytest.mark.parametrize(("bias", "counts"), [(False, (576, 144, 9)), (True, (592, 160, 10))])
def test_counts_of_the_worked_example(bias, counts):
    node = node_of(Conv2d(1, 3, bias=bias), (6, 6, 1))
    assert weight_counts(node) == WeightCounts(*counts)
    found = list(edges(node.layer, (6, 6, 1)))
    assert len({(o, i) for o, i, _ in found}) == 144
    assert len({tap for _, _, tap in found}) == 9


@given(convs(), st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3)))
def test_counts_of_any_convolution_are_its_edges(layer, shape):
    window = layer.window_over(ImageShape(*shape))
    assume(window.vertical.output > 0 and window.horizontal.output > 0)
    node = node_of(layer, shape)
    found = list(edges(layer, shape))
    assert len(found) == len({(o, i) for o, i, _ in found})  # no edge is counted twice
    channels, filters = shape[2], layer.channels
    biases = node.output.size * layer.bias
    (kr, ks) = pair(layer.kernel)
    assert weight_counts(node) == WeightCounts(
        node.input.size * node.output.size + biases,
        len(found) * channels * filters + biases,
        kr * ks * channels * filters + filters * layer.bias,
    )


def test_a_linear_layer_shares_nothing():
    graph = trace(Sequential(Flatten(), Linear(3)), (2, 2, 1))
    assert weight_counts(graph.nodes[1]) == WeightCounts(15, 15, 15)
    assert weight_counts(graph.nodes[0]) is None


@given(networks())
def test_a_summary_counts_the_parameters_that_a_network_holds(graph):
    rows = summarise(graph)
    assert sum(row.parameters for row in rows) == sum(parameter.size for parameter in parameters_of(graph))
    assert [row.name for row in rows] == [node.name for node in graph.nodes]


def test_filters_of_groups_are_counted_with_the_channels_that_they_see():
    node = node_of(Conv2d(8, 3, padding=1, groups=4), (6, 6, 4))
    assert multiply_adds(node) == 6 * 6 * 9 * 8
    assert weight_counts(node) == WeightCounts(144 * 288 + 288, 16 * 16 * 8 + 288, 9 * 8 + 8)


def test_multiply_adds_are_taps_times_positions():
    graph = trace(Sequential(Conv2d(2, 3), MaxPool2d(2), Flatten(), Linear(5)), (6, 6, 3))
    assert [multiply_adds(node) for node in graph.nodes] == [4 * 4 * 9 * 3 * 2, 0, 0, 8 * 5]


def test_a_transposed_convolution_counts_as_the_convolution_that_it_turns_round():
    layer = ConvTranspose2d(5, (3, 2), 2, 1, (1, 0), bias=False)
    turned = node_of(layer, (4, 3, 6))
    large = (turned.output.height, turned.output.width, 5)
    plain = node_of(Conv2d(6, (3, 2), 2, 1, bias=False), large)
    assert plain.output == turned.input
    assert weight_counts(turned) == weight_counts(plain)
    assert multiply_adds(turned) == multiply_adds(plain)
    counts = weight_counts(node_of(ConvTranspose2d(5, (3, 2), 2, 1, (1, 0)), (4, 3, 6)))
    assert counts.shared == weight_counts(turned).shared + 5


def test_a_summary_prints_as_a_table():
    graph = trace(Sequential(Conv2d(1, 3, bias=False), MaxPool2d(2), Flatten()), (6, 6, 1))
    header = "layer  kind       output                     parameters  multiply-adds  fully connected  local  shared"
    assert format_summary(graph).splitlines() == [
        header,
        "-" * len(header),
        "0      Conv2d     1 channel of 4 x 4 pixels           9            144              576    144       9",
        "1      MaxPool2d  1 channel of 2 x 2 pixels",
        "2      Flatten    a vector of 4 values",
        "-" * len(header),
        "input: 1 channel of 6 x 6 pixels",
        "total: 9 parameters, 144 multiply-adds an image",
        "fully connected, the same layers would hold 576 parameters (64 times as many)",
    ]


def test_a_notebook_shows_the_same_numbers():
    graph = trace(Sequential(Conv2d(2, 3), Flatten(), Linear(4)), (6, 6, 1))
    rows = [[cell.text or "" for cell in row] for row in ET.fromstring(summary_html(graph)).findall("tbody/tr")]
    listed = [[row.name, row.kind, row.output, row.parameters, row.multiply_adds] for row in summarise(graph)]
    assert [[*row[:3], *(int(cell.replace(",", "") or 0) for cell in row[3:])] for row in rows[1:-1]] == listed
    assert rows[-1] == ["total", "", "", "152", "416"]  # 2 * 9 + 2 + 32 * 4 + 4, and 16 * 2 * 9 + 32 * 4
