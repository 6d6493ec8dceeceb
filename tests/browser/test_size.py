"""The page stays small."""

from __future__ import annotations

import gzip
from typing import Any

from neocog.app.page.files import page_file

MOST = 130_000  # bytes of script and style, compressed


def test_script_and_style_stay_below_130_kb_compressed(browser: Any) -> None:
    assert sum(len(gzip.compress(page_file(name).encode(), 9)) for name in ("app.js", "app.css")) <= MOST


def test_the_page_names_no_other_place_than_its_own(browser: Any) -> None:
    for name in ("index.html", "app.js", "app.css"):
        text = page_file(name)
        for address in ("//cdn", "googleapis", "unpkg", "jsdelivr", "polyfill"):
            assert address not in text
