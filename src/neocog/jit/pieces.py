"""A module cut into pieces that are compiled apart from each other, and meet again when they are loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llvmlite import ir

CompileProgress = Callable[[str, int, int], None]
"""Told of a function that is begun ("" after the last), the number of pieces done, and the number of all."""

SHORT = 8 << 10  # characters of a function that LLVM's whole pipeline takes no time for
FULL = 48 << 10  # characters of a piece that takes no more functions: each costs LLVM some milliseconds
_REFERENCE = re.compile(r'@"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Piece:
    """Functions with declarations of all that they call.

    Arguments:
        functions: their names.
        text: LLVM IR.
        thorough: whether they are short; see `codegen.generate`.
    """

    functions: tuple[str, ...]
    text: str
    thorough: bool


def split(module: ir.Module) -> list[Piece]:
    """Cut a module, the longest pieces first.

    Functions that only the module saw become visible to the other pieces; nothing else of it changes.
    """
    defined = [(function.name, _visible(str(function))) for function in module.functions if function.blocks]
    short = [entry for entry in defined if len(entry[1]) <= SHORT]
    long = sorted((entry for entry in defined if len(entry[1]) > SHORT), key=lambda entry: -len(entry[1]))
    pieces = [
        Piece(tuple(name for name, _ in group), _text(module, dict(group)), thorough)
        for entries, thorough in ((long, False), (short, True))
        for group in _groups(entries)
    ]
    return sorted(pieces, key=lambda piece: -len(piece.text))


def _visible(text: str) -> str:
    return text.replace("define internal ", "define ", 1)


def _groups(entries: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    group: list[tuple[str, str]] = []
    for entry in entries:
        if group and sum(len(text) for _, text in group) + len(entry[1]) > FULL:
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def _text(module: ir.Module, bodies: dict[str, str]) -> str:
    body = "\n".join(bodies.values())
    called = dict.fromkeys(_REFERENCE.findall(body))
    declarations = [_declaration(module.globals[name]) for name in called if name not in bodies]
    return "\n".join([f'target triple = "{module.triple}"', *declarations, body])


def _declaration(function: ir.Function) -> str:
    kinds = ", ".join(str(kind) for kind in function.ftype.args)
    return f"declare {function.ftype.return_type} {function.get_reference()}({kinds})"
