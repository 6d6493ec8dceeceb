"""Every number on every page, parsed from the document of a real browser, is the engine's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neocog as nc
from browser.numbers import Oracle, shown_numbers, unchecked_decimals
from neocog.app.page.session import FIRST, Session
from neocog.explain.trace import trace
from neocog.train.history import COLUMNS
from neocog.train.snapshots import FilterSnapshots

# room → the least count of numbers that it must show for the trained network
ROOMS = {
    "overview": 29,  # the comparison with the reference waits until it comes into sight
    "lens": 30,
    "connections": 25,
    "pooling": 4,
    "values": 8,
    "gradient": 6,
    "output": 25,
    "detects": 10,
    "places": 4,
    "kernels": 30,
}
IN_LESSON = {room: least for room, least in ROOMS.items() if room not in ("detects", "values")}


def settle(page: Any) -> None:
    """Wait until nothing is asked for, and something is shown."""
    page.wait_for_load_state("networkidle")
    page.wait_for_selector("data.num")
    page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")


@pytest.mark.parametrize("room", ROOMS)
def test_numbers_of_a_trained_network_are_the_engines(
    room: str, digits: Session, serve: Callable[[Session], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(serve(digits), room=room)
    settle(page)
    numbers = shown_numbers(page)
    assert len(numbers) >= ROOMS[room]
    assert Oracle(digits).wrong(numbers) == []
    assert unchecked_decimals(page) == []


@pytest.mark.parametrize(
    "room", ["overview", "lens", "connections", "pooling", "gradient", "output", "places", "kernels"]
)
def test_numbers_of_the_worked_example_are_the_textbooks(
    room: str, lesson: Session, serve: Callable[[Session], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(serve(lesson), room=room)
    settle(page)
    numbers = shown_numbers(page)
    assert numbers
    assert Oracle(lesson).wrong(numbers) == []
    assert unchecked_decimals(page) == []


def test_logits_on_the_page_are_those_of_the_compiled_network(
    digits: Session, serve: Callable[[Session], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(serve(digits), room="overview")
    settle(page)
    logits = [n.value for n in shown_numbers(page) if n.array == "logits"]
    compiled = digits.model(digits.input(FIRST).image[None])[0]
    assert len(logits) == 10
    np.testing.assert_allclose(sorted(logits), sorted(compiled), atol=1e-5 * np.abs(compiled).max())


@pytest.mark.parametrize(
    "name", ["colour", "four channels", "stride and dilation", "overlapping pools", "deep", "residual", "branches"]
)
def test_numbers_of_other_networks_are_the_engines(
    name: str,
    drawn_model: Callable[[str], tuple[nc.Model, np.ndarray]],
    serve: Callable[[Session], str],
    open_page: Callable[..., Any],
) -> None:
    from browser.conftest import with_image

    model, image = drawn_model(name)
    session = with_image(model, image, name)
    address = serve(session)
    for room in ("overview", "lens", "values", "gradient"):
        page = open_page(address, room=room)
        settle(page)
        numbers = shown_numbers(page)
        assert numbers
        assert Oracle(session).wrong(numbers) == [], room
    assert trace(model, image).logits.shape == (len(model.class_names),)


def test_numbers_of_resnet_20_are_the_engines_in_all_rooms(
    serve: Callable[[Session], str], open_page: Any, tmp_path: Path
) -> None:
    from browser.conftest import with_image

    names = [str(index) for index in range(10)]
    model, begun = (nc.Model(nc.zoo.resnet20(10), (32, 32, 3), names, seed=seed, engine="reference") for seed in (2, 3))
    image = np.random.default_rng(4).random((32, 32, 3)).astype(np.float32)
    session = with_image(model, image, "resnet20")
    session.run = tmp_path  # of a training whose one epoch led from one set of random weights to the other
    FilterSnapshots(tmp_path / "filters.safetensors", begun, 0, image[None]).save(model, 1)
    (tmp_path / "history.csv").write_text(f"{','.join(COLUMNS)}\n{','.join(['1', *['0.5'] * (len(COLUMNS) - 1)])}\n")
    page = open_page(serve(session))
    oracle = Oracle(session)
    rooms = ["overview", "lens", "connections", "values", "gradient", "output", "places", "learning"]
    if os.environ.get("NEOCOG_TEST_PROFILE") == "thorough":
        rooms.append("detects")  # hides a hundred places of the image from the reference, one after another
    for room in rooms:
        settle(page)
        page.locator(f"nav button[data-room={room}]").click()
        page.wait_for_selector("main data.num")
        settle(page)
        numbers = shown_numbers(page)
        assert len(numbers) >= {**ROOMS, "output": 12, "overview": 12, "learning": 6}[room], room
        assert oracle.wrong(numbers) == [], room
        named = [node.name for node in session.model.graph.nodes]  # such as layer1.0.conv1
        assert [text for text in unchecked_decimals(page) if not any(name in text for name in named)] == [], room
