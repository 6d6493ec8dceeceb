"""Slices and shuffles against the order written out, and their gradients against finite differences."""

import numpy as np
import pytest

from finite_differences import agree, gradient
from neocog.nn.graph import trace
from neocog.nn.layers import ChannelShuffle, PixelShuffle, Slice
from neocog.reference.network import backward_node, forward_node
from neocog.reference.rearrangement import to_pixels


@pytest.mark.parametrize(
    "layer", [Slice(1, 3), Slice(-5), ChannelShuffle(2), ChannelShuffle(4), PixelShuffle(2)], ids=str
)
def test_gradients_agree_with_finite_differences(layer):
    node = trace(layer, (2, 3, 8)).nodes[0]
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 2, 3, 8))
    dy = rng.standard_normal(forward_node(node, {}, (x,), None).output.shape)
    (dx,) = backward_node(node, {}, (x,), None, dy, None).inputs
    assert agree(dx, gradient(lambda v: (dy * forward_node(node, {}, (v,), None).output).sum(), x))


def test_a_block_of_pixels_holds_a_channel_row_by_row():
    x = np.arange(8.0).reshape(1, 1, 1, 8)
    assert to_pixels(x, 2)[0, :, :, 0].tolist() == [[0, 1], [2, 3]]
    assert to_pixels(x, 2)[0, :, :, 1].tolist() == [[4, 5], [6, 7]]


def test_a_slice_counts_from_both_ends():
    x = np.arange(6.0).reshape(1, 6)
    for layer, want in ((Slice(2), [2, 3, 4, 5]), (Slice(-2), [4, 5]), (Slice(1, -3), [1, 2])):
        node = trace(layer, (1, 1, 6)).nodes[0]
        assert forward_node(node, {}, (x,), None).output.tolist() == [want]
