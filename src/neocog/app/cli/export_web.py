"""`neocog export MODEL --to web` and `--to html`: see `neocog.standalone.web`."""

from __future__ import annotations

import shlex

from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.export import Wanted
from neocog.app.cli.export_object import name_of
from neocog.app.cli.output import emit, format_table, print_json
from neocog.app.cli.replacing import check_replaces
from neocog.errors import NeocogError
from neocog.model.network import Network
from neocog.model.writing import write_atomically
from neocog.standalone.folder import check_folder
from neocog.standalone.web import MARK, web_of, write_web
from neocog.text import printable


def write(model: Network, wanted: Wanted) -> None:
    """Write a folder for a web server, or a page in one file, and say how large it is."""
    asked, name = name_of(wanted)
    if wanted.kind == "web":
        check_folder(wanted.path)
    else:
        if wanted.path.is_fifo():  # it would be waited for without end
            raise NeocogError(f"{wanted.path} cannot be written: it is a fifo, not a file")
        check_replaces(wanted.path, MARK)
    with told_of_compiling(quiet=wanted.quiet):
        web = web_of(model, name)
    if wanted.kind == "html":
        write_atomically(wanted.path, web.page(printable(asked), inside=True).encode())
        files = [wanted.path]
    else:
        files = write_web(wanted.path, web, model, printable(asked))
    sizes = {str(file): file.stat().st_size for file in files}
    if wanted.as_json:
        print_json({"files": sizes, "name": name, "memory_bytes": web.module.memory})
        return
    place = printable(str(wanted.path))
    what = "a page that opens by itself" if wanted.kind == "html" else f"{name}.wasm, {name}.js, its types and a page"
    rows = [
        ("wrote", f"{place}: {what} ({sum(sizes.values()):,} bytes)"),
        ("code", f"{web.module.code:,} bytes of WebAssembly with SIMD128"),
        ("weights", f"{web.module.constants:,} bytes"),
        ("memory", f"{web.module.memory:,} bytes in the browser"),
    ]
    if wanted.kind == "web":
        rows.append(
            (
                "open",
                f"python3 -m http.server -d {printable(shlex.quote(str(wanted.path)))}, then http://localhost:8000",
            )
        )
    emit(format_table(rows))
