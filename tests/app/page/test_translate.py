"""Whatever Python tells the page in words is there in both languages."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import neocog
from neocog.app.page.message import error_facts
from neocog.app.page.translate import LANGUAGES, catalogue, in_all_languages, translated
from neocog.errors import NeocogError, SettingError, WeightsError

SOURCE = Path(neocog.__file__).parent
TOLD = (
    *sorted((SOURCE / "explain").glob("*.py")),
    *sorted((SOURCE / "app" / "page").glob("*.py")),
    *(SOURCE / "data" / name for name in ("decode.py", "faults.py")),
    *(SOURCE / "nn" / name for name in ("images.py", "transfer.py")),
)
# What no reader of the page meets: of the command line, of notebooks, of Python's callers.
ELSEWHERE = {
    **{f"app/page/{name}.py": None for name in ("files", "notebook", "server")},
    "explain/__init__.py": None,
    "explain/control.py": None,  # arrays of two networks of one form
    "data/faults.py": {"unreadable_picture", "unreadable_file", "closed_image"},  # paths, and Pillow's images
    "nn/images.py": {
        "check_values",
        "_check_type",
        "_hint",
        "check_batch",
        "check_image",
    },  # arrays that a caller of Python passes
    "nn/transfer.py": {"head_of", "with_head", "up_to"},  # of fine-tuning
}
WRITTEN_ELSEWHERE = {"{}: {}"}  # an error that was raised before, with a name in front


def template(node: ast.expr | None) -> Iterator[str]:
    """Yield the texts that an expression may be, with {} for values."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from template(node.body)
        yield from template(node.orelse)


def messages() -> Iterator[tuple[str, str]]:
    """Yield the messages and hints of all errors that may reach the page, and where they are written."""
    for path in TOLD:
        name = str(path.relative_to(SOURCE))
        skipped = ELSEWHERE.get(name, set())
        if skipped is None:
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef) or function.name in skipped:
                continue
            for call in ast.walk(function):
                kind = call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
                if isinstance(call, ast.Call) and kind.endswith("Error") and kind != "IndexError":
                    hints = [keyword.value for keyword in call.keywords if keyword.arg == "hint"]
                    for text in (found for given in (*call.args[:1], *hints) for found in template(given)):
                        if text not in WRITTEN_ELSEWHERE and " " in text:
                            yield text, f"{name}: {function.name}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_is_there_in_every_language(language: str) -> None:
    known = catalogue(language)
    found = dict(messages())
    assert len(found) > 50
    assert {text: where for text, where in found.items() if text not in known} == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_messages_say_all_values_and_no_others(language: str) -> None:
    for english, said in catalogue(language).items():
        places = {int(place) for _, place, _, _ in string.Formatter().parse(said) if place is not None}
        assert places == set(range(english.count("{}"))), english
        assert re.search("[一-鿿]", said) or not re.search("[a-z]{3}", english.replace("NaN", "")), said


def test_values_that_are_messages_are_said_in_the_language_too() -> None:
    text = "layer 3 (Conv2d) has 2 NaN values in its weight: the answer is no number"
    assert translated(text, "zh") == "第 3 层（Conv2d）的 weight 里有 2 个 NaN：答案不是数"
    assert translated("layer 7 (Linear) gives a vector of 10 values, not feature maps", "zh") == (
        "第 7 层（Linear）输出 10 个值的向量，不是特征图"
    )


def test_what_is_not_known_stays_english() -> None:
    assert translated("what nobody wrote", "zh") == "what nobody wrote"
    assert in_all_languages(None) is None
    assert in_all_languages("there are no images to look at") == {
        "en": "there are no images to look at",
        "zh": "没有图像可看",
    }


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (SettingError("there is no data set to look through", hint="start with --data DATA"), "没有", "--data DATA"),
        (WeightsError("layer 0 (Conv2d) gives NaN: its sums overflow"), "第 0 层（Conv2d）给出 NaN：求和溢出了", None),
        (NeocogError("there is no layer 'x'", details=("layers: 0, 1",)), "没有 'x' 这一层\n层有：0, 1", None),
        (MemoryError(), "内存不够", None),
        (ZeroDivisionError("by 0"), "neocog 自身出错：ZeroDivisionError：by 0", "neocog 的缺陷"),
    ],
)
def test_errors_travel_in_both_languages(error: BaseException, message: str, hint: str | None) -> None:
    facts = error_facts(error)
    said = facts["said"]["zh"]
    assert said["message"].startswith(message)
    assert (said["hint"] is None) == (hint is None)
    assert hint is None or hint in said["hint"]
