"""axe-core finds nothing to complain about in any room, light or dark, of a trained network and of the lesson."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from browser.conftest import missing
from browser.test_numbers import settle
from browser.test_rooms import ROOMS
from neocog.app.page.session import Session

AXE = Path(__file__).resolve().parents[2] / "web/node_modules/axe-core/axe.min.js"
CHECK = """async () => (await axe.run({ resultTypes: ['violations'] })).violations.flatMap((violation) =>
    violation.nodes.map((node) => `${violation.id}: ${node.html.slice(0, 160)} ${node.failureSummary}`))"""

Open = Callable[..., Any]
Serve = Callable[[Session], str]


def violations(page: Any) -> list[str]:
    """What axe-core finds on a page as it is now, in light and in dark."""
    if not AXE.is_file():
        missing("axe-core is not installed: npm ci in web/")
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text())
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {one}" for one in page.evaluate(CHECK)]
    return found


@pytest.mark.parametrize("name", ["lesson", "digits"])
def test_no_room_keeps_anybody_out(name: str, serve: Serve, open_page: Open, request: pytest.FixtureRequest) -> None:
    page = open_page(serve(request.getfixturevalue(name)), room="overview")
    settle(page)
    for room in ROOMS:
        page.locator(f"nav button[data-room={room}]").click()
        page.wait_for_load_state("networkidle")
        page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")
        assert violations(page) == [], room
