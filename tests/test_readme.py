"""What README.md and the pages under docs/ say can be followed: links lead somewhere, files are there, code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from neocog.nn.layers import LAYERS

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("src", "tests", "tools", "benchmarks", "examples", "web/src", "web/tests")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
NAMED = re.compile(r"`([a-z_0-9]+(?:/[a-z_0-9]+)*/?[a-z_0-9]+\.(?:py|ts|svelte))`")
FILES = [str(path.relative_to(ROOT)) for room in ROOMS for path in (ROOT / room).rglob("*")]
FILES += [path.name for path in ROOT.iterdir()]
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def links_of(page: Path) -> list[str]:
    """Return what a page links to, web addresses aside."""
    return [target for target in LINK.findall(CODE.sub("", page.read_text())) if "://" not in target]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for target in links_of(page):
        assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_files_that_a_page_names_exist(page: Path) -> None:
    """A page may leave out the beginning of a path."""
    for name in NAMED.findall(CODE.sub("", page.read_text())):
        assert any(f"/{path}".endswith(f"/{name}") for path in FILES), f"{page.name} names {name}, which is not there"


def test_every_page_is_linked_from_somewhere() -> None:
    linked = {(page.parent / target).resolve() for page in PAGES for target in links_of(page)}
    pages = [page for page in PAGES if page.parent.name == "docs"]
    assert pages
    assert not [page.name for page in pages if page not in linked]


PYTHON = (ROOT / "docs" / "python.md").read_text()


@pytest.mark.parametrize("name", [layer.__name__ for layer in LAYERS])
def test_every_layer_is_named(name: str) -> None:
    assert re.search(rf"\b{name}\b", CODE.sub("", PYTHON))
