"""The folder that holds a compiled network: object, header, README, and a note of what they are."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from neocog.errors import FormatError, SettingError
from neocog.model.network import Network
from neocog.reading import open_file
from neocog.standalone.code import ABI_VERSION, Code
from neocog.standalone.header import header_of, readme_of

NOTE = "neocog.json"
ENDINGS = {"object": ".o", "asm": ".s", "llvm": ".ll"}
_WRITTEN = (*ENDINGS.values(), ".h", ".wasm", ".js", ".d.ts")
_MAX_NOTE = 1 << 16


@dataclass(frozen=True, slots=True)
class Note:
    """What a folder holds, as its neocog.json says."""

    name: str
    target: str
    triple: str
    precision: str = "float32"


def write_folder(folder: Path, code: Code, network: Network) -> list[Path]:
    """Write a compiled network, and return the files.

    Raises:
        SettingError: the folder holds other files.
        OSError: they cannot be written.
    """
    note = {
        "abi_version": ABI_VERSION,
        "name": code.name,
        "target": code.target_name,
        "triple": code.target.target.triple,
        "cpu": code.target.target.cpu,
        "arena_bytes": code.arena_bytes,
        "constant_bytes": code.constant_bytes,
        "precision": code.precision,
    }
    contents = {
        f"{code.name}{ENDINGS[code.form]}": code.content,
        f"{code.name}.h": header_of(code, network).encode(),
        "README.md": readme_of(code, network).encode(),
        NOTE: (json.dumps(note, indent=2) + "\n").encode(),
    }
    return fill(folder, contents)


def check_folder(folder: Path) -> None:
    """Check that a folder is new or empty, or was written by an export before.

    Raises:
        SettingError: it holds other files, some of which might have the names of ours.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / NOTE).is_file():
        raise SettingError(
            f"{folder} holds other files, and an export writes a folder of its own",
            hint="name another with --output, which need not exist yet",
        )


def fill(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    """Write the files of an export, and return them; what an export before has left goes first.

    Arguments:
        folder: where.
        contents: of the files, by their names.

    Raises:
        SettingError: the folder holds other files.
        OSError: they cannot be written.
    """
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FormatError):
        name = read_note(folder).name
        for ending in _WRITTEN:  # an object of yesterday must not lie beside a header of today
            (folder / f"{name}{ending}").unlink(missing_ok=True)
    for name in sorted(contents, key=lambda name: name != NOTE):  # first what tells that the folder is ours
        (folder / name).write_bytes(contents[name])
    return [folder / name for name in contents]


def read_note(folder: Path) -> Note:
    """Return what a folder holds.

    Raises:
        FormatError: it was not written by `neocog export --to object`.
    """
    try:
        with open_file(folder / NOTE, _MAX_NOTE) as file:
            note = json.load(file)
        found = Note(note["name"], note["target"], note["triple"], note.get("precision", "float32"))
        if not all(isinstance(value, str) and value for value in (found.name, found.target, found.triple)):
            raise ValueError
        if found.precision not in ("float32", "int8"):
            raise ValueError
        if not found.name.replace("_", "a").isalnum() or not found.name.isascii():
            raise ValueError  # it becomes C, and a file's name
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(
            f"{folder} holds no compiled network: it has no {NOTE} that can be read",
            hint="neocog export MODEL --to object -o FOLDER writes one",
        ) from error
    return found
