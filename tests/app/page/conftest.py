"""Sessions to ask, and a page that stands in for the built one where only the server is tested."""

from __future__ import annotations

import numpy as np
import pytest

from explain.networks import make_image, make_model
from neocog.app.page.session import FIRST, Gallery, Input, Session
from neocog.data.arrays import ArrayDataset

FILES = {"index.html": "<!doctype html><title>page</title>", "app.js": "'use script'", "app.css": "p{}"}


@pytest.fixture
def session() -> Session:
    """A session about a small network, with an image and a data set of 40."""
    model = make_model("colour")
    made = Session(model, "colour", engine="reference")
    made.add(Input(make_image(model), "first.png", None, 2), FIRST)
    images = np.random.default_rng(1).integers(0, 256, (40, *model.input_shape)).astype(np.uint8)
    dataset = ArrayDataset(images, np.arange(40) % 4, list(model.class_names), prefix="drawn")
    made.gallery = Gallery(dataset, made.size, made.resize, model.class_names, "drawn")
    return made


@pytest.fixture
def unbuilt_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in place of the built page's."""
    for module in ("server", "saved", "notebook"):
        monkeypatch.setattr(f"neocog.app.page.{module}.page_file", FILES.__getitem__)
