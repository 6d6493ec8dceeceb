"""The built page's files, and one file made of them that works offline."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from importlib.resources import files

from neocog.errors import NeocogError

TEXTS = ("en.js", "zh.js")
"""The page's texts, a script for each language: a served page fetches the one that is read, a file holds all."""

MARK = '<div id="neocog"></div>'
"""What the beginning of each file holds that `one_file` made: where its script shows what it shows."""

# What unpacks the page: a third of its size. Code that a script puts in is held against the policy as any other.
UNPACK = """\
const packed = Uint8Array.from(atob(document.getElementById("neocog-page").textContent), (one) => one.charCodeAt(0))
try {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))
  for (const [kind, text] of JSON.parse(await new Response(stream).text())) {
    const element = document.createElement(kind)
    if (kind === "script") element.type = "module"
    element.textContent = text
    document.head.append(element)
  }
} catch (error) {
  document.getElementById("neocog").textContent = `This page needs a newer browser. 请使用较新的浏览器。 (${error})`
}"""


def page_file(name: str) -> str:
    """Read a file of the built page.

    Raises:
        NeocogError: the page was not built.
    """
    file = files("neocog.app.page").joinpath("static", name)
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        raise NeocogError(
            "the page is not part of this installation: it was installed from source without Node.js",
            hint="install Node.js 20 or newer and install neocog again, or install a released wheel",
        ) from None


def whole_script() -> str:
    """Return the explaining page with its texts in all languages, as one script.

    Raises:
        NeocogError: the page was not built.
    """
    return "\n".join(page_file(name) for name in (*TEXTS, "app.js"))


def one_file(title: str, script: str, style: str, holder: str) -> str:
    """Write an HTML file that may run this script and no other, and load nothing.

    Arguments:
        title: plain text.
        script, style: of the built page; they are packed with gzip, and unpacked when the file is opened.
        holder: the element that holds what the script shows.
    """
    policy = (
        f"default-src 'none'; script-src '{_digest(UNPACK)}' '{_digest(script)}'; style-src '{_digest(style)}'; "
        "img-src blob: data:; base-uri 'none'; form-action 'none'"
    )
    name = title.replace("&", "&amp;").replace("<", "&lt;")
    code = json.dumps([["style", style], ["script", script]], ensure_ascii=False).encode()
    packed = base64.b64encode(gzip.compress(code, mtime=0)).decode()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{name}</title>
<link rel="icon" href="data:,">
</head>
<body>
{MARK}
<noscript>This page needs JavaScript. 本页面需要启用 JavaScript。</noscript>
{holder}
<script type="application/octet-stream" id="neocog-page">{packed}</script>
<script type="module">{UNPACK}</script>
</body>
</html>
"""


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
