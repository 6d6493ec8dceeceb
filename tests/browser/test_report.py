"""report.html in a browser: every number is that of `neocog evaluate --json`, the history or the model."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import neocog
from browser.numbers import DECIMAL, REST
from neocog.app.cli.main import main
from neocog.app.page.files import page_file
from neocog.data.sources import open_data
from neocog.model.calibration import calibrated
from neocog.model.modelfile import load_network
from neocog.model.network import Network
from neocog.train.runfolder import RunFolder

MOST = 3 * 2**20  # bytes of the file
UNIT_SECONDS = {"h": 3600, "min": 60, "s": 1}
COLLECT = """() => [...document.querySelectorAll('data.num')].filter((node) => node.checkVisibility()).map((node) => [
    node.textContent, JSON.parse(node.dataset.fact), node.dataset.as])"""
UNFOLD = "() => { for (const one of document.querySelectorAll('details')) one.open = true }"


class Reported(NamedTuple):
    """A run folder with its report, and what evaluate says of it."""

    run: Path
    evaluated: dict[str, Any]

    @property
    def address(self) -> str:
        """Of the report, as a browser opens it."""
        return (self.run / "report.html").as_uri()


def _neocog(*words: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main([*words, "--quiet"])
    assert not ended.value.code
    return out.getvalue()


@pytest.fixture(scope="session")
def reported(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """A short training on the built-in digits, which makes mistakes, and its report."""
    run = str(tmp_path_factory.mktemp("report") / "run")
    _neocog("train", "digits", "--epochs", "3", "-o", run)
    _neocog("report", run)  # with the data's check
    return Reported(Path(run), json.loads(_neocog("evaluate", run, "digits", "--json")))


def _value(text: str, form: str) -> tuple[float, float]:
    """Return a number as it stands on the page, in the unit of its fact, and half a unit of its last digit."""
    if form == "duration":
        pairs = re.findall(r"([\d.]+) (h|min|s)", text)
        last, unit = pairs[-1]
        half = 0.5 * UNIT_SECONDS[unit] * (0.1 if "." in last else 1)
        return sum(float(number) * UNIT_SECONDS[unit] for number, unit in pairs), half
    digits = text.removesuffix(" %").replace(",", "")
    number, _, exponent = digits.partition("e")
    decimals = len(number.split(".")[1]) if "." in number else 0
    half = 0.5 * 10.0 ** (int(exponent or 0) - decimals)
    if form == "number":  # zeros at the end are left out
        half = max(half * 1e-9, 0.5 * 10.0 ** (np.floor(np.log10(abs(float(digits)) or 1.0)) - 3))
    scale = 0.01 if form in ("percent", "points") else 1.0
    return float(digits) * scale, half * scale


class Oracle:
    """What should stand in place of each number."""

    def __init__(self, reported: Reported) -> None:
        self._evaluated = reported.evaluated
        (text,) = re.findall(r'id="neocog-report">(.*?)</script>', (reported.run / "report.html").read_text(), re.S)
        self.facts: dict[str, Any] = json.loads(text)
        self._epochs = RunFolder(reported.run).read_history()
        self._model = load_network(reported.run / "model.safetensors", Network)
        test = open_data("digits").test
        assert test is not None
        self._probabilities = self._model.predict_proba(test.images())

    def value(self, path: list[Any]) -> float:
        """Return it: from evaluate, from history.csv, from the model; the rest as the file has it."""
        match path:
            case ["result", "evaluation", *steps]:
                found: Any = self._evaluated
            case ["training", "epochs", *steps]:
                found = self._epochs
            case ["result", "images", index, "probabilities", label]:
                return float(self._probabilities[int(index), int(label)])
            case ["training", "seconds"]:
                return float(sum(epoch["seconds"] or 0 for epoch in self._epochs))
            case steps:
                found = self.facts
        for step in steps:
            found = found[int(step)] if isinstance(found, list) else found[step]
        return float(found)


def _paths_of_interest(evaluated: dict[str, Any]) -> set[tuple[str, ...]]:
    """List what must be on the page."""
    wanted = {
        ("accuracy",),
        ("loss",),
        ("macro_recall",),
        ("images",),
        ("most_frequent", "share"),
        ("calibration", "error"),
    }
    wanted |= {(name, str(end)) for name in ("accuracy_interval", "macro_recall_interval") for end in (0, 1)}
    for name, found in evaluated["per_class"].items():
        wanted |= {
            ("per_class", name, key) for key in ("images", "recall", "precision", "f1") if found[key] is not None
        }
    for true, row in enumerate(evaluated["confusion"]):
        wanted |= {("confusion", str(true), str(answer)) for answer, images in enumerate(row) if images}
    for place, found in enumerate(evaluated["calibration"]["bins"]):
        if found["images"]:
            wanted |= {("calibration", "bins", str(place), key) for key in ("images", "confidence", "accuracy")}
    return wanted


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_every_number_is_that_of_evaluate_or_of_the_history(
    reported: Reported, open_page: Callable[..., Any], language: str
) -> None:
    page = open_page(reported.address, locale=language)
    page.evaluate(UNFOLD)
    shown = page.evaluate(COLLECT)
    oracle = Oracle(reported)
    wrong = []
    for text, path, form in shown:
        if form == "duration" and language != "en":
            text = text.replace("小时", "h").replace("分", "min").replace("秒", "s")
        value, half = _value(text, form)
        if not abs(value - oracle.value(path)) <= half * (1 + 1e-6):
            wrong.append((text, path, oracle.value(path)))
    assert wrong == []
    there = {tuple(map(str, path[2:])) for _, path, _ in shown if path[:2] == ["result", "evaluation"]}
    assert _paths_of_interest(reported.evaluated) - there == set()
    assert [text for text in page.evaluate(REST) if DECIMAL.search(text)] == []


def test_what_is_withheld_is_told_and_no_mistake(
    reported: Reported, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    run = tmp_path / "strict"
    shutil.copytree(reported.run, run)
    model = neocog.load(run / "model.safetensors")
    test = open_data("digits").test
    assert test is not None
    model.calibration = calibrated(model.logits(test.images()), test.labels)
    model.reject("coverage=0.9")
    model.save(run / "model.safetensors")
    _neocog("report", str(run))
    kept = Reported(run, json.loads(_neocog("evaluate", str(run), "digits", "--json")))
    reject, images = kept.evaluated["reject"], kept.evaluated["images"]
    facts = Oracle(kept).facts["result"]
    assert 0 < reject["answered"] < images
    assert facts["unknown"]["all"] == images - reject["answered"]
    assert facts["mistakes"]["all"] == reject["answered"] - reject["right"]
    right = round(kept.evaluated["accuracy"] * images)
    assert facts["unknown"]["right"] == right - reject["right"]
    assert not any(facts["images"][str(index)]["withheld"] for index in facts["mistakes"]["shown"])
    page = open_page(kept.address)
    assert page.locator("#unknown figcaption .note").first.inner_text() == "maybe"
    test_every_number_is_that_of_evaluate_or_of_the_history(kept, open_page, "zh-CN")


def test_a_cell_shows_its_pictures_and_a_picture_its_command(reported: Reported, open_page: Callable[..., Any]) -> None:
    page = open_page(reported.address)
    facts = Oracle(reported).facts
    cell, images = next(iter(facts["result"]["confusion"]["cells"].items()))
    page.locator(f'[data-cell="{cell}"]').click()
    assert page.locator("#confusion .pictures figure").count() == len(images)
    page.locator("#confusion .pictures figure button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog code").inner_text() == facts["result"]["images"][str(images[0])]["explain"]
    page.keyboard.press("Escape")
    assert not page.locator("dialog[open]").count()


def test_arrow_keys_go_from_cell_to_cell(reported: Reported, open_page: Callable[..., Any]) -> None:
    page = open_page(reported.address)
    first, second = Oracle(reported).facts["result"]["confusion"]["orders"]["weakest"][:2]
    page.locator(f'[data-cell="{first},{first}"]').click()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.cell") == f"{first},{second}"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.cell") == f"{second},{second}"
    assert page.locator('#confusion td button[tabindex="0"]').count() == 1


def test_mistakes_have_heat_maps_that_can_be_taken_off(reported: Reported, open_page: Callable[..., Any]) -> None:
    page = open_page(reported.address)
    facts = Oracle(reported).facts["result"]
    shown = facts["mistakes"]["shown"]
    assert shown
    maps = page.locator("#mistakes canvas")
    assert maps.count() == len([index for index in shown if str(index) in facts["heat"]["grids"]])
    painted = (
        "(canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte)"
    )
    assert maps.first.evaluate(painted)
    page.locator("#mistakes button[aria-pressed]").first.click()
    assert maps.count() == 0


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_nothing_is_wider_than_a_telephone(reported: Reported, open_page: Callable[..., Any], language: str) -> None:
    page = open_page(reported.address, width=390, height=844, locale=language)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_language_can_be_changed(reported: Reported, open_page: Callable[..., Any]) -> None:
    page = open_page(reported.address)
    page.get_by_role("button", name="中文").click()
    assert page.locator("#classes h2").inner_text() == "各个类别"
    assert page.evaluate("document.documentElement.lang") == "zh-CN"


def test_on_paper_folded_tables_are_open_and_controls_are_gone(
    reported: Reported, open_page: Callable[..., Any]
) -> None:
    page = open_page(reported.address)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not page.locator("nav").is_visible()
    assert page.locator("#curves details table").is_visible()


def test_without_its_data_a_report_says_what_is_missing(
    reported: Reported, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    run = tmp_path / "old"
    run.mkdir()
    (run / "model.safetensors").write_bytes((reported.run / "model.safetensors").read_bytes())
    _neocog("report", str(run))
    page = open_page((run / "report.html").as_uri())
    assert page.locator(".missing").count() == 4
    assert page.locator("#mistakes").count() == 0


def test_the_file_is_small_and_names_no_other_place(reported: Reported) -> None:
    text = (reported.run / "report.html").read_text()
    assert len(text.encode()) < MOST
    for address in ("//cdn", "googleapis", "unpkg", "jsdelivr"):
        assert address not in page_file("report.js") + page_file("report.css")
    assert "connect-src" not in text
