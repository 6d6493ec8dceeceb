"""The worked example of an introductory article, number by number."""

import numpy as np

from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, MaxPool2d
from neocog.reference import conv, pool
from neocog.reference.network import forward

IMAGE = np.array(
    [
        [1, 0, 0, 0, 0, 1],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 1, 1, 0, 0],
        [1, 0, 0, 0, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 1, 0, 1, 0],
    ],
    dtype=np.float64,
)
FILTERS = np.array([[[1, -1, -1], [-1, 1, -1], [-1, -1, 1]], [[-1, 1, -1], [-1, 1, -1], [-1, 1, -1]]], np.float64)
MAPS = [
    [[3, -1, -3, -1], [-3, 1, 0, -3], [-3, -3, 0, 1], [3, -2, -2, -1]],
    [[-1, -1, -1, -1], [-1, -1, -2, 1], [-1, -1, -2, 1], [-1, 0, -4, 3]],
]
POOLED = [[[3, 0], [3, 1]], [[-1, 1], [0, 3]]]

X = IMAGE[None, :, :, None]
WEIGHT = FILTERS.transpose(1, 2, 0)[:, :, None, :]


def test_two_filters_give_two_maps():
    maps = conv.forward(X, WEIGHT, Conv2d(2, 3, bias=False))
    assert maps[0].transpose(2, 0, 1).tolist() == MAPS


def test_max_pooling_keeps_the_largest_of_each_block():
    pooled, argmax = pool.max_forward(conv.forward(X, WEIGHT, Conv2d(2, 3)), MaxPool2d(2))
    assert pooled[0].transpose(2, 0, 1).tolist() == POOLED
    # Map 1: top left of the first block, left column of the second's lower row, lower left, upper right.
    assert argmax[0, :, :, 0].tolist() == [[0, 2], [2, 1]]
    # Map 2: the first block holds -1 four times, so the first one wins.
    assert argmax[0, :, :, 1].tolist() == [[0, 3], [3, 3]]


def test_the_network_of_both_says_the_same():
    graph = trace(Sequential(Conv2d(2, 3, bias=False), MaxPool2d(2), Flatten()), (6, 6, 1))
    run = forward(graph, {"0.weight": WEIGHT}, X)
    assert run.outputs[0][0].transpose(2, 0, 1).tolist() == MAPS
    assert run.outputs[1][0].transpose(2, 0, 1).tolist() == POOLED
    assert run.logits.shape == (1, 8)


def test_a_filter_adds_its_channels_at_each_position_into_one_map():
    colour = np.concatenate([X, 2 * X, 3 * X], axis=3)
    weight = np.concatenate([WEIGHT, WEIGHT, -WEIGHT], axis=2)
    maps = conv.forward(colour, weight, Conv2d(2, 3), np.array([0.5, -1.0]))
    assert maps.shape == (1, 4, 4, 2)
    # 1·w + 2·w - 3·w cancels, so that only the biases stay.
    assert (maps == [0.5, -1.0]).all()
