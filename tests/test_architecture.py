"""Imports follow the arrows that docs/architecture.md draws, and light things stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Container
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "neocog"


def allowed() -> dict[str, set[str]]:
    """Read docs/architecture.md: room → rooms that it may import."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    block = text.split("```imports\n")[1].split("```")[0]
    rooms: dict[str, set[str]] = {}
    for line in block.splitlines():
        source, readers = line.split("->")
        for reader in readers.split():
            rooms.setdefault(reader, set()).add(source.strip())
    return rooms


def imports_of(path: Path) -> set[str]:
    """Name the modules that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def room_of(path: Path) -> str:
    """Name the room that a file lies in."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = sorted(p for p in SOURCE.rglob("*.py") if p.parent != SOURCE or not p.stem.startswith("__"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    room = room_of(path)
    may = allowed().get(room, set()) | {room}
    for name in imports_of(path):
        parts = name.split(".")
        if parts[0] == "neocog" and len(parts) > 1:
            assert parts[1] in may or (not (SOURCE / parts[1]).exists() and not (SOURCE / f"{parts[1]}.py").exists()), (
                f"{room} must not import {name}; docs/architecture.md draws no such arrow"
            )


ROOMS = sorted({room_of(path) for path in FILES if path.parent != SOURCE})


def module_of(path: Path) -> str:
    """Name the module that a file is."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def neighbours_of(path: Path, modules: Container[str]) -> set[str]:
    """Name those of some modules that a file imports, inside functions too, but for what only type checkers see.

    `from package import module` needs the module, and nothing of what the package itself says.
    """
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in modules}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {module if module in modules else node.module or "" for module in inner}
    return {module for module in found if module in modules}


def circle_in(imports: dict[str, set[str]]) -> list[str]:
    """Return modules of which each imports the next and the last the first; none where there are no such."""
    cleared: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return way[way.index(module) :]
        if module not in cleared:
            for name in sorted(imports[module]):
                found = visit(name, [*way, module])
                if found:
                    return found
            cleared.add(module)
        return []

    return next(filter(None, (visit(module, []) for module in sorted(imports))), [])


def test_a_circle_is_found_wherever_it_lies() -> None:
    assert circle_in({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert circle_in({"a": set(), "b": {"b"}}) == ["b"]


def test_every_way_of_importing_counts(tmp_path: Path) -> None:
    modules = {"room", "room.a", "room.b", "room.c", "room.d", "room.e"}
    text = """
import room.a
from room import b
from room.c import thing
if TYPE_CHECKING:
    from room.d import Thing
def late():
    from room import e, other_thing
"""
    (tmp_path / "file.py").write_text(text)
    assert neighbours_of(tmp_path / "file.py", modules) == modules - {"room.d"}


@pytest.mark.parametrize("room", ROOMS)
def test_no_circle_of_imports_lies_inside_a_room(room: str) -> None:
    """Imports inside functions count: a circle that loads is one all the same. Types may name each other."""
    modules = {module_of(path): path for path in FILES if room_of(path) == room}
    imports = {module: neighbours_of(path, modules) for module, path in modules.items()}
    circle = circle_in(imports)
    assert not circle, " imports ".join([*circle, circle[0]])


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_only_emit_and_jit_import_llvmlite(path: Path) -> None:
    if room_of(path) not in ("emit", "jit"):
        assert not any(name.split(".")[0] == "llvmlite" for name in imports_of(path))


def test_no_file_unpickles() -> None:
    """Loading must never run code. The one reader of pickled CIFAR batches resolves no foreign name; see its file."""
    users = {str(p.relative_to(SOURCE)) for p in FILES if "pickle" in imports_of(p)}
    assert users <= {"data/inert_pickle.py"}


def test_importing_neocog_loads_nothing_heavy() -> None:
    code = "import sys, neocog; print([m for m in ('llvmlite', 'torch', 'numpy', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
