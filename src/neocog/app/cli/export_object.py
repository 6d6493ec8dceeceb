"""`neocog export MODEL --to object`: see `neocog.standalone`."""

from __future__ import annotations

from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import CommandLineError
from neocog.app.cli.export import Wanted
from neocog.app.cli.models import MODEL_FILE
from neocog.app.cli.output import emit, format_table, print_json
from neocog.errors import SettingError
from neocog.model.network import Network
from neocog.standalone.code import NATIVE, Code, c_name, code_of
from neocog.standalone.folder import check_folder, write_folder
from neocog.standalone.header import check_header_name
from neocog.text import printable


def write(model: Network, wanted: Wanted) -> None:
    """Write machine code with a C header, and say how large it is."""
    flags = wanted.flags
    _, name = name_of(wanted)
    check_header_name(name)
    check_folder(wanted.path)
    with told_of_compiling(quiet=wanted.quiet):
        scales = model.scales if model.precision == "int8" else None
        code = code_of(model, flags["target"] or NATIVE, name, flags["emit"] or "object", scales)
    files = write_folder(wanted.path, code, model)
    if wanted.as_json:
        sizes = None if code.file is None else {"code": code.file.code, "constants": code.file.constants}
        print_json(
            {
                "files": [str(file) for file in files],
                "name": code.name,
                "target": code.target_name,
                "cpu": code.target.target.cpu,
                "bytes": sizes,
                "arena_bytes": code.arena_bytes,
                "calls": None if code.file is None else list(code.file.undefined),
            }
        )
        return
    emit(format_table(_rows(code, printable(str(wanted.path)))))


def name_of(wanted: Wanted) -> tuple[str, str]:
    """Return what a network is called: by its folder or file where nothing is said, and as part of a C identifier.

    Raises:
        CommandLineError: it cannot be called so.
    """
    source, given = wanted.source.absolute(), wanted.flags["name"]
    asked = given or (source.parent.name if source.name == MODEL_FILE else source.stem)
    try:
        name = c_name(asked)
    except SettingError as error:
        raise CommandLineError(error.message, hint=error.hint) from None
    if given and given != name:
        raise CommandLineError(f"--name must be small letters, digits and _, got {given!r}", hint=f"say {name}")
    return asked, name


def _rows(code: Code, folder: str) -> list[tuple[str, str]]:
    rows = [
        ("wrote", f"{folder}: {code.prefix}_predict for {code.target_name}, a header and a README"),
        ("processor", code.target.about),
    ]
    if code.file is not None:
        rows.append(("code", f"{code.file.code:,} bytes; it calls {', '.join(code.file.undefined) or 'nothing'}"))
    rows.append(("weights", f"{code.constant_bytes:,} bytes, read-only"))
    rows.append(("memory", f"{code.arena_bytes:,} bytes, lent by the caller"))
    return rows
