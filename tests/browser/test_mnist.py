"""The page of a network trained on MNIST, held to arithmetic that does not go through the page's questions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neocog as nc
from browser.numbers import Oracle, shown_numbers, unchecked_decimals
from browser.test_numbers import settle
from neocog.app.page.question import Question
from neocog.app.page.session import FIRST, Gallery, Session
from neocog.data.sources import read_source

MNIST = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "mnist"
ROOMS = ("overview", "lens", "connections", "pooling", "values", "gradient", "output", "detects", "places", "input")
IMAGES = 3000  # to train on and to look through: enough for a network that means something

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def mnist() -> Session:
    """The article's network after an epoch on some of MNIST, and its page's session."""
    if not MNIST.is_dir():
        pytest.skip("MNIST is not in ../shared/data")
    source = read_source(MNIST)
    data = source.train
    model = nc.Model(nc.zoo.article(10), (28, 28, 1), class_names=data.class_names, mean=0.1307, std=0.3081)
    images = data.images(np.arange(IMAGES))
    model.fit(images, data.labels[:IMAGES], epochs=1, verbose=0)
    made = Session(model, "mnist")
    made.gallery = Gallery(source.test, made.size, model.resize, model.class_names, "mnist")
    made.add(made.gallery.input(2), FIRST)
    return made


@pytest.mark.parametrize("room", ROOMS)
def test_every_number_is_the_engines(
    room: str, mnist: Session, serve: Callable[[Session], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(serve(mnist), room=room)
    settle(page)
    numbers = shown_numbers(page)
    assert len(numbers) >= (9 if room == "pooling" else 10)  # both maps have one scale, and one colour bar
    assert Oracle(mnist).wrong(numbers) == []
    assert unchecked_decimals(page) == []


def test_windows_on_the_page_are_those_of_the_image_and_the_weights(
    mnist: Session, serve: Callable[[Session], str], open_page: Callable[..., Any]
) -> None:
    """By hand: normalise, cut the window out, multiply, add up."""
    row, column, filter = 11, 14, 5
    page = open_page(serve(mnist), room=f"lens?layer=0&filter={filter}&row={row}&column={column}")
    settle(page)
    x = (mnist.input(FIRST).image[..., 0] / 255.0 - 0.1307) / 0.3081
    weight = mnist.model.state_dict()["0.weight"][filter, 0].astype(np.float64)
    products = x[row : row + 3, column : column + 3] * weight
    total = products.sum() + mnist.model.state_dict()["0.bias"][filter]
    shown = [n.value for n in shown_numbers(page) if n.array == "products"]
    np.testing.assert_allclose(shown, products.ravel(), rtol=1e-5, atol=1e-12)
    totals = [n.value for n in shown_numbers(page) if n.array == "total"]
    assert totals
    np.testing.assert_allclose(totals, total, rtol=1e-5)


def test_terms_on_the_page_add_up_to_the_compiled_engines_logit(
    mnist: Session, serve: Callable[[Session], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(serve(mnist), room="output")
    settle(page)
    compiled = mnist.model(mnist.input(FIRST).image[None])[0]
    totals = [n for n in shown_numbers(page) if n.fact == "total"]
    assert totals
    output = Question.read(totals[0].question).whole("output")
    assert abs(totals[0].value - compiled[output]) <= 1e-5 * np.abs(compiled).max()
