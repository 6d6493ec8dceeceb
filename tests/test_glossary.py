"""docs/glossary.md is true: every file and name that it points to exists, and each word stands there once."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "neocog"
PAGE, SEVERAL = (ROOT / "docs" / "glossary.md").read_text().split("## Names with several meanings")
ROW = re.compile(r"^\| (?!word|name|---)(.+?) \| (.+?) \| (.+) \|$", re.MULTILINE)
POINTER = re.compile(r"`([a-z_0-9/]+\.py)`(?:: `([A-Za-z_.0-9]+)`)?")
WORDS = ROW.findall(PAGE)
POINTERS = sorted({(file, name) for _, _, where in WORDS for file, name in POINTER.findall(where)})


def names_in(body: list[ast.stmt], prefix: str = "") -> set[str]:
    """Name what statements define, and below classes their methods and fields: "Value.stored"."""
    found = set()
    for node in body:
        match node:
            case ast.ClassDef():
                found |= {prefix + node.name} | names_in(node.body, f"{prefix}{node.name}.")
            case ast.FunctionDef():
                found.add(prefix + node.name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(prefix + name)
            case ast.Assign():
                found |= {prefix + target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


@cache
def defined(file: str) -> set[str]:
    """Name what a file defines."""
    return names_in(ast.parse((SOURCE / file).read_text()).body)


def test_there_are_words_and_each_is_said_once_in_order() -> None:
    assert len(WORDS) > 100
    words = [word for word, _, _ in WORDS]
    assert len(set(words)) == len(words)
    for section in PAGE.split("\n## ")[1:]:
        listed = [word for word, _, _ in ROW.findall(section)]
        assert listed == sorted(listed, key=str.lower), section.partition("\n")[0]


@pytest.mark.parametrize(
    ("word", "where"), [(word, where) for word, _, where in WORDS], ids=[word for word, *_ in WORDS]
)
def test_a_word_has_a_place(word: str, where: str) -> None:
    assert POINTER.findall(where), where
    assert not POINTER.sub("", where).strip("; "), f"{where}: more than files and names"


@pytest.mark.parametrize(("file", "name"), POINTERS, ids=[f"{file}:{name}" for file, name in POINTERS])
def test_what_a_word_points_to_exists(file: str, name: str) -> None:
    assert (SOURCE / file).is_file()
    assert not name or name in defined(file), f"{file} defines no {name}"


def test_what_is_not_there_would_be_missed() -> None:
    assert "Value.stored" in defined("plan/lower/values.py")
    assert "Space.SCRATCH" in defined("plan/layout.py")
    assert "Value.nonsense" not in defined("plan/lower/values.py")


def test_what_the_architecture_says_of_classes_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    every = set().union(*(defined(str(path.relative_to(SOURCE))) for path in SOURCE.rglob("*.py")))
    named = set(re.findall(r"`([A-Z][A-Za-z]+\.[a-z_]+)`", text))
    assert len(named) > 5
    assert named <= every, f"there is no {', '.join(sorted(named - every))}"


def test_names_of_several_classes_are_listed_with_all_of_their_files() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].add(str(path.relative_to(SOURCE)))
    several = {name: files for name, files in homes.items() if len(files) > 1}
    listed = {}
    for names, meanings in re.findall(r"^\| (?!name|---)(.+?) \| (.+) \|$", SEVERAL, re.MULTILINE):
        for name in names.split(", "):
            listed[name] = {file for file, _ in POINTER.findall(meanings)}
    assert listed == several
