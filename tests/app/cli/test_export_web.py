"""`neocog export --to web` and `--to html`: what is written, and what is said of it."""

from __future__ import annotations

import json
import re
import shlex


def test_a_folder_and_a_page_are_written(run, trained_once, tmp_path) -> None:
    model = trained_once[0]
    done = run("export", model, "--to", "web", "-o", tmp_path / "web", "--name", "pets")
    assert done.code == 0, done.err
    assert done.out.startswith(f"wrote    {tmp_path / 'web'}: pets.wasm, pets.js, its types and a page (")
    written = {file.name for file in (tmp_path / "web").iterdir()}
    assert written == {"pets.wasm", "pets.js", "pets.d.ts", "index.html", "README.md", "neocog.json"}
    done = run("export", model, "--to", "web", "-o", tmp_path / "two words")
    assert f"python3 -m http.server -d {shlex.quote(str(tmp_path / 'two words'))}, then" in done.out
    done = run("export", model, "--to", "html", "-o", tmp_path / "pets.html", "--json")
    told = json.loads(done.out)
    assert told["files"] == {str(tmp_path / "pets.html"): (tmp_path / "pets.html").stat().st_size}
    page = (tmp_path / "pets.html").read_text()
    assert 'const WASM = "AGFzbQ' in page  # the magic number of WebAssembly
    assert re.search(r"^import ", page, re.MULTILINE) is None


def test_mistakes_are_said(run, trained_once, tmp_path) -> None:
    done = run("export", trained_once[0], "--to", "web", "--name", "My Pets")
    assert done.code == 2
    assert "--name must be small letters, digits and _, got 'My Pets'" in done.err
    done = run("export", trained_once[0], "--to", "html", "-o", tmp_path / "none" / "a.html")
    assert done.code == 1
    assert f"{tmp_path / 'none' / 'a.html'}" in done.err
    (tmp_path / "index.html").write_text("mine")
    done = run("export", trained_once[0], "--to", "web", "-o", tmp_path)
    assert done.code == 2
    assert f"{tmp_path} holds other files" in done.err
    assert (tmp_path / "index.html").read_text() == "mine"
    done = run("export", trained_once[0], "--to", "html", "-o", tmp_path / "index.html")
    assert done.code == 2
    assert f"{tmp_path / 'index.html'} is there already, and was not written by an export" in done.err
    assert (tmp_path / "index.html").read_text() == "mine"


def test_a_page_of_an_export_is_written_anew(run, trained_once, tmp_path) -> None:
    for title in ("pets", "photos"):
        done = run("export", trained_once[0], "--to", "html", "-o", tmp_path / "a.html", "--name", title)
        assert done.code == 0, done.err
        assert title in (tmp_path / "a.html").read_text()
