"""Pictures that several tests of the command line predict."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.pictures import write_image


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder with images below it, and what is to be left out."""
    root = tmp_path / "images"
    write_image(root / "b.png", 200)
    write_image(root / "a.png", 40)
    write_image(root / "deep/er/c.PNG", 200)
    write_image(root / ".hidden/d.png", 40)
    return root
