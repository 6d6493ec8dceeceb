"""The page as a widget in JupyterLab itself: two in a notebook, its dark theme, a kernel that is restarted.

JupyterLab is large, so this is for who has it: `pip install jupyterlab`, and NEOCOG_TEST_PROFILE=thorough.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from browser.conftest import LIMIT

if os.environ.get("NEOCOG_TEST_PROFILE") != "thorough":
    pytest.skip("JupyterLab is started: NEOCOG_TEST_PROFILE=thorough does it", allow_module_level=True)
pytest.importorskip("jupyterlab")
pytest.importorskip("anywidget")

SOURCE = """import numpy as np
import neocog as nc
net = nc.Sequential(nc.Conv2d(2, 3), nc.ReLU(), nc.MaxPool2d(2), nc.Flatten(), nc.Linear(3))
model = nc.Model(net, (6, 6, 1), seed={seed}, engine="reference")
nc.explain.show(model, np.random.default_rng({seed}).random((6, 6, 1), np.float32))"""
LIGHTNESS = """(page) => { const [r, g, b] = getComputedStyle(page).backgroundColor.match(/[\\d.]+/g).map(Number)
    return (r + g + b) / 3 }"""

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab with a notebook of two widgets, of two networks; gives its address."""
    folder = tmp_path_factory.mktemp("lab")
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    notebook = {
        "cells": [{**cell, "id": f"cell-{seed}", "source": SOURCE.format(seed=seed)} for seed in (1, 2)],
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (folder / "two.ipynb").write_text(json.dumps(notebook))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += [f"--ServerApp.root_dir={folder}", "--IdentityProvider.token=secret", "--LabApp.news_url="]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    environment = {**os.environ, "HOME": str(folder), "JUPYTER_CONFIG_DIR": str(folder / "config")}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + LIMIT
        while True:
            assert time.monotonic() < deadline, (folder / "log").read_text()
            assert server.poll() is None, (folder / "log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token=secret").close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/lab/tree/two.ipynb?token=secret&reset"
    finally:
        server.terminate()
        server.wait(LIMIT)


@pytest.fixture
def notebook(lab: str, browser: Any) -> Iterator[Any]:
    """The notebook in a browser whose system is light, with both cells run."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(LIMIT * 1000)
    page.goto(lab)
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
    page.wait_for_function("() => document.body.innerText.includes('| Idle')")  # else cells are not run
    menu(page, "Run", "Run All Cells")
    page.wait_for_function("() => document.querySelectorAll('.neocog h1').length === 2")
    yield page
    context.close()


def menu(page: Any, *names: str) -> None:
    """Choose from JupyterLab's menus."""
    page.locator(f".lm-MenuBar-item:has-text('{names[0]}')").click()
    for name in names[1:-1]:
        page.locator(f".lm-Menu-item:has-text('{name}')").first.hover()
    page.locator(f".lm-Menu-item:has-text('{names[-1]}')").last.click() if len(names) > 2 else page.locator(
        f".lm-Menu-item:has-text('{names[-1]}')"
    ).first.click()


def test_two_widgets_leave_each_other_alone(notebook: Any) -> None:
    first, second = notebook.locator(".neocog").all()
    for one in (first, second):
        one.locator("nav button[data-room=connections]").click()
        one.locator("data.num[data-array=outputs]").first.wait_for()
    weights = [one.locator("input[data-tap='0']").input_value() for one in (first, second)]
    assert weights[0] != weights[1], "two networks"
    first.locator("input[name=wiring][value=fully]").check()
    second.locator("input[name=wiring][value=local]").check()
    assert first.locator("input[name=wiring][value=fully]").is_checked()
    first.locator("input[data-tap='0']").fill("2")
    first.locator("input[data-tap='0']").press("Enter")
    first.locator("data.num[data-array=original_outputs]").first.wait_for()
    assert second.locator("data.num[data-array=original_outputs]").count() == 0
    assert second.locator("input[data-tap='0']").input_value() == weights[1]
    first.locator("nav button[data-room=lens]").click()
    assert second.locator("nav button[data-room=connections]").get_attribute("aria-current") == "page"
    first.locator(".languages button[lang=zh]").click()
    assert "\u5377\u79ef" in first.locator("h1").inner_text()
    assert "convolution" in second.locator("h1").inner_text()
    again = notebook.evaluate(
        """() => { const ids = [...document.querySelectorAll('.neocog [id]')].map((one) => one.id)
        return ids.filter((id, at) => ids.indexOf(id) !== at) }"""
    )
    assert again == []


def test_the_notebooks_dark_theme_is_the_pages_on_a_light_system(notebook: Any) -> None:
    page = notebook.locator(".neocog").first
    assert page.evaluate(LIGHTNESS) > 230
    menu(notebook, "Settings", "Theme", "JupyterLab Dark")
    notebook.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    notebook.wait_for_function("() => document.querySelector('.neocog').classList.contains('dark')")
    assert page.evaluate(LIGHTNESS) < 60
    menu(notebook, "Settings", "Theme", "JupyterLab Light")
    notebook.wait_for_function("() => document.querySelector('.neocog').classList.contains('light')")
    assert page.evaluate(LIGHTNESS) > 230


def test_after_a_restart_of_the_kernel_the_page_says_what_to_do(notebook: Any) -> None:
    menu(notebook, "Kernel", "Restart Kernel…")
    notebook.locator(".jp-Dialog button:has-text('Restart')").click()
    notebook.wait_for_function("() => document.querySelectorAll('.failed[data-code=restarted]').length === 2")
    page = notebook.locator(".neocog").first
    said = page.locator(".failed[data-code=restarted]")
    assert "The kernel was restarted" in said.inner_text()
    assert "Run this cell, and those before it, again." in said.inner_text()
    page.locator("nav button[data-room=gradient]").click()
    assert page.locator(".failed[data-code=restarted]").count() > 1, "what was not computed before says it, too"
    menu(notebook, "Run", "Run All Cells")
    notebook.wait_for_function("() => !document.querySelector('.failed')")
    page = notebook.locator(".neocog").first
    page.locator("nav button[data-room=gradient]").click()
    page.locator("data.num").first.wait_for()
    assert page.locator(".failed").count() == 0
