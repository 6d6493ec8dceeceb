"""Training in a notebook: one piece of output that is replaced while it goes on, in place of line after line."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any

SECONDS = 0.25
"""Between two messages to the browser, at least; an epoch may take less than a millisecond."""

LINES = 10
"""Finished epochs that are listed, the latest ones; the history that `fit` returns shows them all."""


def in_notebook() -> bool:
    """Whether this runs in a notebook's kernel, of Jupyter or alike; nothing is imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookDisplay:
    """A place in a notebook's output, whose content is replaced.

    Arguments:
        clock: gives seconds; tests pass their own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lines: list[str] = []
        self._handle: Any = None
        self._sent = -math.inf

    def add(self, line: str) -> None:
        """Add a line that stays."""
        self._lines.append(line)
        if self._is_due():
            self._show("", None)

    def move(self, line: str, share: float) -> None:
        """Show how far something is, in [0, 1], below the lines that stay."""
        if self._is_due():
            self._show(line, share)

    def finish(self) -> None:
        """Take the bar away; the lines stay."""
        if self._lines or self._handle is not None:
            self._show("", None)

    def _is_due(self) -> bool:
        return self._clock() - self._sent >= SECONDS

    def _show(self, line: str, share: float | None) -> None:
        self._sent = self._clock()
        earlier = len(self._lines) - LINES
        lines = [f"⋯ {earlier:,} earlier lines", *self._lines[earlier:]] if earlier > 0 else self._lines
        html = f'<pre style="margin:0">{escape(chr(10).join(lines))}</pre>' if lines else ""
        if share is not None:
            html += f'<progress max="1" value="{share:.4f}"></progress> <code>{escape(line)}</code>'
        content = {"text/html": f"<div>{html}</div>", "text/plain": "\n".join([*lines, line] if line else lines)}
        if self._handle is None:
            from IPython.display import display  # which is there: see `in_notebook`

            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
