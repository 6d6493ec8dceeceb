"""The page has a name, in both languages, for whatever Python may tell it of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from explain.networks import make_image, make_model
from neocog.explain.apart import steps_of
from neocog.explain.rules import RULES, View
from neocog.explain.trace import trace
from neocog.nn.layers import LAYERS

WEB = Path(__file__).resolve().parents[3] / "web" / "src"


def keys(language: str, block: str) -> set[str]:
    """Return the keys of one object of a catalogue, by the lines between its braces."""
    text = "".join(path.read_text() for path in sorted((WEB / "strings" / language).glob("*.ts")))
    found = re.search(rf"^( *){block}: {{\n(.*?)^\1}}", text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"{language} has no {block}"
    return set(re.findall(r"^ *(\w+):", found[2], re.MULTILINE))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_layer_has_a_name(language: str) -> None:
    assert {layer.__name__ for layer in LAYERS} <= keys(language, "kinds")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_step_has_a_name_and_every_layer_with_steps_a_sentence(language: str) -> None:
    names, told = set(), set()
    for network in ("residual", "branches", "nested"):
        model = make_model(network)
        traced = trace(model, make_image(model))
        for node in model.graph.nodes:
            rule = RULES[type(node.layer)]
            if rule.steps is not None:
                names |= {step.name for step in steps_of(traced, node, 0).steps}
                told.add(type(node.layer).__name__ if rule.view == "join" else rule.view)
    assert names <= keys(language, "names")
    assert told <= keys(language, "about")
    assert len(told) == 9


def test_the_page_knows_every_view() -> None:
    text = re.search(r"export type View =(.*?)\n\n", (WEB / "source" / "answers.ts").read_text(), re.DOTALL)
    assert text is not None
    assert set(re.findall(r"'(\w+)'", text[1])) == set(get_args(View))
