"""docs/adding-a-layer.md keeps its word: its changes are made to a copy of the repository, and the tests run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "adding-a-layer.md"
COPIED = ("src/neocog", "tests", "web/src/strings", "pyproject.toml")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "static", "browser")

# Of real layers: the names that stand for them in the code, and how many files of src/ and of the page have one.
REAL = {
    "Hardswish": (("Hardswish",), 6, 2),
    "LayerScale": (("LayerScale", "LayerScaleModule"), 7, 2),
    "GroupNorm": (("GroupNorm", "GroupStatistics", "GroupGradient"), 9, 2),
    "RMSprop": (("RMSprop",), 5, 0),
    "EMA": (("EMA",), 2, 0),
}


@dataclass(frozen=True)
class Block:
    """A block of code of the page: its language, the file that it is about, and its lines."""

    language: str
    path: str
    lines: tuple[str, ...]


def blocks(language: str) -> list[Block]:
    """Return all blocks of a language that name a file."""
    found = re.findall(rf"^```{language} (\S+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [Block(language, path, tuple(text.splitlines())) for path, text in found]


def applied(text: str, block: Block) -> str:
    """Return a file's text with a block's lines put in.

    Parts of a block are separated by "@@". The lines of a part that are there already, those without a "+", must lie
    behind each other in one place of the file, and in no other.
    """
    for part in "\n".join(block.lines).split("\n@@\n"):
        lines = part.split("\n")
        assert all(line[:1] in (" ", "+") for line in lines), part
        there = [line[1:] for line in lines if line[0] == " "]
        places = [match.start() for match in re.finditer(re.escape("".join(f"{line}\n" for line in there)), text)]
        places = [place for place in places if place == 0 or text[place - 1] == "\n"]
        assert len(places) == 1, f"{block.path} has {len(places)} places, not 1, with the lines\n" + "\n".join(there)
        end = places[0] + sum(len(line) + 1 for line in there)
        text = text[: places[0]] + "".join(f"{line[1:]}\n" for line in lines) + text[end:]
    return text


def patched(folder: Path) -> dict[str, str]:
    """Copy the repository, and make the page's changes; return the changed files with their texts."""
    for name in COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=LEFT_OUT)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    texts: dict[str, str] = {}
    for block in blocks("diff"):
        text = texts.get(block.path) or (folder / block.path).read_text()
        texts[block.path] = applied(text, block)
    for path, text in texts.items():
        (folder / path).write_text(text)
    return texts


def files_with(names: tuple[str, ...], texts: dict[str, str]) -> set[str]:
    """Return which files have one of these names in them, as whole words."""
    word = re.compile(rf"\b({'|'.join(names)})\b")
    return {path for path, text in texts.items() if word.search(text)}


def sources(*folders: str) -> dict[str, str]:
    """Return all source files of folders of the repository, with their texts."""
    found = (
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".ts", ".svelte")
    )
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in found}


def test_the_pages_changes_pass_the_tests_of_the_layers_that_they_add(tmp_path: Path) -> None:
    patched(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    tests = [
        *("tests/test_rules.py", "tests/nn/test_parameters.py", "tests/explain/test_rules.py"),
        *("tests/emit/test_activation.py", "tests/reference/test_activation.py", "tests/conformance/test_graphs.py"),
        *("tests/interop/onnx/test_operations.py", "tests/interop/pytorch/test_export.py"),
    ]
    wanted = "Softsign or table or every_layer or every_activation or activations_share"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", wanted]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    used = [sys.executable, "-c", "import neocog; print(neocog.__file__, neocog.Softsign())"]
    shown = subprocess.run(used, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert shown.split(maxsplit=1) == [
        str(tmp_path / "src" / "neocog" / "__init__.py"),
        "Softsign()\n",
    ]


def test_an_added_layer_takes_as_many_files_as_the_page_says(tmp_path: Path) -> None:
    changed = files_with(("Softsign",), patched(tmp_path))
    assert sum(path.startswith("src/") for path in changed) == 6
    assert sum(path.startswith("web/") for path in changed) == 2


# What says which layers something else is made of: networks, rewritten graphs, the choices for a training, files of
# other people.
USES = (
    *("/nn/zoo/", "/nn/rewrite.py", "/train/recipe.py", "/interop/onnx/reading/", "/interop/onnx/simplify.py"),
    "/interop/pytorch/names.py",
)


def defining(names: tuple[str, ...], *folders: str) -> set[str]:
    """Return the source files that have one of these names in them, without those that use it."""
    return {path for path in files_with(names, sources(*folders)) if not any(place in path for place in USES)}


@pytest.mark.parametrize("name", REAL)
def test_a_real_one_took_as_many_files_as_the_page_says(name: str) -> None:
    names, count, translations = REAL[name]
    found = defining(names, "src", "web/src")
    assert sum(path.startswith("src/") for path in found) == count, sorted(found)
    assert sum(path.startswith("web/") for path in found) == translations, sorted(found)


def test_the_page_lists_the_files_of_the_layer_with_work_of_its_own() -> None:
    listed = set(re.findall(r"^\| `(src/\S+)` \|", PAGE.read_text(), re.MULTILINE))
    assert listed == defining(REAL["GroupNorm"][0], "src")


def test_code_that_the_page_shows_is_in_the_file_that_it_names() -> None:
    shown = blocks("python")
    assert shown
    for block in shown:
        assert "\n".join(block.lines) in (ROOT / block.path).read_text(), block.path
