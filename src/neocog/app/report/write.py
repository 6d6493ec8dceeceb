"""report.html: the page's report, and what it shows, in one file that works offline."""

from __future__ import annotations

import json
from pathlib import Path

from neocog.app.page.files import one_file, page_file
from neocog.app.page.message import plain
from neocog.app.report.facts import Facts, facts_of
from neocog.app.report.trained import Trained
from neocog.model.writing import write_atomically


def write_report(trained: Trained, path: Path) -> int:
    """Write the report of a training.

    Arguments:
        trained: what it is about.
        path: of the file; one that is there is replaced.

    Returns:
        Its size, bytes.

    Raises:
        NeocogError: the page was not built, or the file cannot be written.
    """
    script, style = page_file("report.js"), page_file("report.css")
    page = assemble(facts_of(trained), trained.folder.path.name, script, style).encode()
    write_atomically(path, page)
    return len(page)


def assemble(facts: Facts, title: str, script: str, style: str) -> str:
    """Put the file together. The facts are JSON, for other programs too."""
    # "<" does not begin anything inside a JSON text that is written this way
    text = json.dumps(plain(facts), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    holder = f'<script type="application/json" id="neocog-report">{text}</script>'
    return one_file(f"{plain(title)} - neocog report", script, style, holder)
