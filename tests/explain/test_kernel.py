"""A kernel of one's own gives what PyTorch gives, and takes a filter's place and no other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neocog as nc
from neocog.explain.kernel import PRESETS, OwnKernel, filtered, replaced
from neocog.explain.lesson import lesson_image, lesson_model
from neocog.explain.observed import observe

torch = pytest.importorskip("torch")
CELL = st.integers(-8, 8).map(float)


@st.composite
def kernels(draw: st.DrawFn) -> OwnKernel:
    side = draw(st.sampled_from([3, 5]))
    rows = tuple(tuple(draw(CELL) for _ in range(side)) for _ in range(side))
    steps = [draw(st.integers(least, 3)) for least in (1, 0, 1)]
    return OwnKernel(rows, draw(st.sampled_from([1.0, 9.0, -2.0, 256.0])), *steps)


@settings(max_examples=40, deadline=None)
@given(kernels(), st.integers(13, 20), st.integers(13, 20), st.sampled_from([1, 3, 4]))
def test_each_colour_is_slid_over_as_pytorch_does(kernel: OwnKernel, height: int, width: int, channels: int) -> None:
    image = np.random.default_rng(height).random((height, width, channels))
    given = torch.from_numpy(image).permute(2, 0, 1)[:, None]
    weight = torch.from_numpy(kernel.values)[None, None]
    want = torch.nn.functional.conv2d(given, weight, None, kernel.stride, kernel.padding, kernel.dilation)
    found = filtered(image, kernel).output(0)
    np.testing.assert_allclose(found, want[:, 0].permute(1, 2, 0).numpy(), atol=1e-12 * np.abs(kernel.values).sum())


@pytest.mark.parametrize("name", PRESETS)
def test_bytes_are_slid_over_as_values_from_0_to_1(name: str) -> None:
    image = np.random.default_rng(1).integers(0, 256, (8, 9, 3)).astype(np.uint8)
    one, other = (filtered(values, PRESETS[name]).output(0) for values in (image, image / 255.0))
    np.testing.assert_allclose(one, other, atol=1e-12)


def test_a_kernel_takes_one_filters_place_on_every_channel() -> None:
    net = nc.Sequential(nc.Conv2d(4, 3, padding=1), nc.ReLU(), nc.Flatten(), nc.Linear(3))
    model = nc.Model(net, (7, 6, 2), seed=3)
    image = np.random.default_rng(2).random((7, 6, 2)).astype(np.float32)
    before = observe(model, image)
    after = observe(replaced(model, 0, 2, PRESETS["emboss"]), image)
    others = [0, 1, 3]
    np.testing.assert_array_equal(after.output(0)[..., others], before.output(0)[..., others])
    kernel = OwnKernel(PRESETS["emboss"].weights, padding=1)
    want = filtered(image, kernel).output(0).sum(axis=2) + float(model.parameters["0.bias"][2])
    np.testing.assert_allclose(after.output(0)[..., 2], want, atol=1e-5)
    assert not np.array_equal(after.logits, before.logits)
    np.testing.assert_array_equal(observe(model, image).logits, before.logits)


def test_the_worked_examples_own_kernel_changes_nothing_in_it() -> None:
    model, image = lesson_model(), lesson_image()
    for filter, name in enumerate(("falling", "upright")):
        same = observe(replaced(model, 0, filter, PRESETS[name]), image)
        np.testing.assert_array_equal(same.logits, observe(model, image).logits)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OwnKernel(((1.0, 2.0), (3.0, 4.0))), "3 x 3 or 5 x 5"),
        (lambda: OwnKernel(PRESETS["blur"].weights, divide=0.0), "other than 0"),
        (lambda: OwnKernel(PRESETS["blur"].weights, stride=0), "stride"),
        (lambda: OwnKernel(PRESETS["blur"].weights, padding=10**9), "padding"),
        (lambda: filtered(np.zeros((2, 2, 1)), PRESETS["blur"]), "larger than the 2 x 2 picture"),
        (lambda: replaced(lesson_model(), 0, 0, PRESETS["smooth"]), "5 x 5"),
        (lambda: replaced(lesson_model(), 0, 2, PRESETS["blur"]), "filter"),
        (lambda: replaced(lesson_model(), 1, 0, PRESETS["blur"]), "Conv2d"),
    ],
)
def test_mistakes_are_told(make, message: str) -> None:
    with pytest.raises(nc.NeocogError, match=message):
        make()
