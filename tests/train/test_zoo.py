"""Each network of the zoo learns, is saved and read again, is explained, and answers alike on any number of threads."""

from __future__ import annotations

import os

import numpy as np
import pytest

import neocog as nc
from neocog.nn.layers import Conv2d
from neocog.nn.optimizers import Adam
from neocog.nn.zoo import MODELS

QUICK = ("article", "mobilenet_v1_x0_25")
CHOSEN = tuple(MODELS) if os.environ.get("NEOCOG_TEST_PROFILE") == "thorough" else QUICK
SIDES = {"alexnet": 64, "article": 28, "lenet5": 28, "squeezenet1_0": 64, "squeezenet1_1": 64}
"""Pixels; the others get 32."""
CLASSES, IMAGES, STEPS = 3, 8, 20


@pytest.fixture(autouse=True)
def _three_threads(monkeypatch):
    monkeypatch.setenv("NEOCOG_THREADS", "3")


def data(side):
    """Draw images of three kinds, which differ by their mean colour."""
    random = np.random.default_rng(0)
    labels = np.arange(IMAGES) % CLASSES
    colours = np.eye(CLASSES)[labels][:, None, None, :]
    images = 0.5 * random.random((IMAGES, side, side, 3)) + 0.5 * colours
    return images.astype(np.float32), labels


@pytest.mark.parametrize("name", CHOSEN)
def test_a_known_network_learns_and_keeps_its_word(name, tmp_path):
    side = SIDES.get(name, 32)
    images, labels = data(side)
    model = nc.Model(MODELS[name].make(CLASSES), (side, side, 3), mean=0.5, std=0.25, seed=1, threads=1)
    history = model.fit(images, labels, epochs=STEPS, batch_size=IMAGES, optimizer=Adam(0.0003), verbose=0)
    losses = [epoch.loss for epoch in history.epochs]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:2]), losses

    answers = model(images)
    assert np.isfinite(answers).all()
    for threads in (2, 3):
        model.threads = threads
        np.testing.assert_array_equal(model(images), answers)

    model.save(tmp_path / "model.safetensors")
    loaded = nc.load(tmp_path / "model.safetensors", threads=2)
    for key, value in model.parameters.items():
        assert loaded.parameters[key].tobytes() == value.tobytes(), key
    np.testing.assert_array_equal(loaded(images), answers)

    check_explanations(loaded, images[0], answers[0])


def check_explanations(model, image, answer):
    """Hold what is explained to what the model answers, and sums to their parts."""
    largest = np.abs(answer).max()
    trace = nc.explain.trace(model, image)
    np.testing.assert_allclose(trace.logits, answer, rtol=0, atol=1e-3 * largest)
    convolution = next(node for node in model.graph.nodes if isinstance(node.layer, Conv2d))
    seen = nc.explain.window(model, image, convolution.index, filter=0, row=1, column=1)
    given = nc.explain.activation(model, image, convolution.index)
    np.testing.assert_allclose(seen.total, given[1, 1, 0], rtol=0, atol=1e-9 * max(1.0, abs(seen.total)))
    np.testing.assert_allclose(
        seen.products.sum() + seen.bias, seen.total, rtol=0, atol=1e-9 * np.abs(seen.products).sum()
    )
    flow = nc.explain.gradients(model, image, "class:1")
    assert flow.image.shape == image.shape
    assert np.abs(flow.image).max() > 0
    cam = nc.explain.gradcam(model, image, 1)
    assert cam.heat.shape == image.shape[:2]
    assert nc.explain.problems(trace) is not None
