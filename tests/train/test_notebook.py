"""What a notebook shows of a training: one piece of output that is replaced, and no carriage returns."""

from __future__ import annotations

import sys
import textwrap
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pytest

pytest.importorskip("IPython", reason="IPython is not installed")

from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from neocog.train.notebook import LINES, NotebookDisplay, in_notebook

NOTEBOOK = """
import sys
sys.path[:0] = PATHS
import numpy as np
import neocog as nc
net = nc.Sequential(nc.Conv2d(3, 3), nc.ReLU(), nc.Flatten(), nc.Linear(2))
model = nc.Model(net, (6, 6, 1), ["<dark>", "bright"], engine="reference")
images = np.linspace(0, 1, 60 * 36).reshape(60, 6, 6, 1)
history = model.fit(images, np.arange(60) // 30, epochs=EPOCHS, batch_size=20, validation_split=0.2)
"""


@pytest.fixture
def shell(monkeypatch):
    """Return a shell that says it has a kernel, and keeps what it is asked to display."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(display_pub_class=CapturingDisplayPublisher)
    shell.kernel = SimpleNamespace()
    yield shell
    del shell.kernel
    InteractiveShell.clear_instance()


def test_a_shell_without_a_kernel_is_no_notebook(shell, monkeypatch):
    assert in_notebook()
    shell.kernel = None
    assert not in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()


def test_one_output_is_replaced_again_and_again(shell):
    now = [0.0]
    display = NotebookDisplay(lambda: now[0])
    display.move("epoch 1: 5/10 images", 0.5)
    display.move("too soon", 0.6)
    now[0] += 1
    display.add("epoch 1 is done, loss < 1")
    display.finish()
    first, *others = shell.display_pub.outputs
    assert len(others) == 2
    assert all(output["update"] for output in others)
    assert len({output["transient"]["display_id"] for output in (first, *others)}) == 1
    bar = ET.fromstring(first["data"]["text/html"]).find("progress")
    assert (bar.get("value"), bar.get("max")) == ("0.5000", "1")
    last = ET.fromstring(others[-1]["data"]["text/html"])
    assert last.find("progress") is None
    assert "".join(last.itertext()) == others[-1]["data"]["text/plain"] == "epoch 1 is done, loss < 1"


def test_what_stays_is_short_however_many_epochs_there_were(shell):
    display = NotebookDisplay()
    for epoch in range(1, 1001):
        display.add(f"epoch {epoch}")
    display.finish()
    lines = shell.display_pub.outputs[-1]["data"]["text/plain"].splitlines()
    assert lines == [f"⋯ {1000 - LINES} earlier lines", *(f"epoch {epoch}" for epoch in range(1001 - LINES, 1001))]
    assert len(shell.display_pub.outputs) < 10


def test_nothing_is_displayed_where_nothing_was_said(shell):
    NotebookDisplay().finish()
    assert not shell.display_pub.outputs


def test_a_training_shows_its_epochs_and_writes_nothing_beside(shell, capsys):
    done = shell.run_cell(NOTEBOOK.replace("PATHS", repr(sys.path)).replace("EPOCHS", "3"))
    done.raise_error()
    assert capsys.readouterr() == ("", "")
    outputs = shell.display_pub.outputs
    lines = outputs[-1]["data"]["text/plain"].splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all("val_accuracy" in line and "images/s" in line for line in lines)
    shown = shell.display_formatter.format(shell.user_ns["model"])[0]
    assert "Conv2d" in shown["text/html"]
    assert "<svg" in shell.display_formatter.format(shell.user_ns["history"])[0]["text/html"]


def test_a_notebook_executed_by_jupyter_looks_right():
    """The whole way: a kernel runs the cells, and what comes back is what a browser shows."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    import nbformat

    cell = textwrap.dedent(NOTEBOOK).replace("PATHS", repr(sys.path)).replace("EPOCHS", "12")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in (cell, "history", "model")])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    training, history, model = (cell.outputs for cell in notebook.cells)
    (shown,) = training  # neither stdout nor stderr, nor one output an epoch
    assert shown.output_type == "display_data"
    assert "\r" not in shown.data["text/html"]
    assert "epoch 12/12" in shown.data["text/html"]
    assert "<progress" not in shown.data["text/html"]
    assert "⋯ 2 earlier lines" in shown.data["text/html"]
    assert "<svg" in history[0].data["text/html"]
    assert "<td>Conv2d</td>" in model[0].data["text/html"]
