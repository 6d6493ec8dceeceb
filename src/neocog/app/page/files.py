"""The built page's files, and one file made of them that works offline."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from neocog.errors import NeocogError


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


def one_file(title: str, script: str, style: str, holder: str) -> str:
    """Write an HTML file that may run this script and no other, and load nothing.

    Arguments:
        title: plain text.
        script, style: of the built page.
        holder: the element that holds what the script shows.
    """
    # A script element ends at the first "</script", and "<!--" changes how it is read, whatever surrounds them.
    script = script.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src blob: data:; "
        "base-uri 'none'; form-action 'none'"
    )
    name = title.replace("&", "&amp;").replace("<", "&lt;")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{name}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<div id="neocog"></div>
<noscript>This page needs JavaScript. 本页面需要启用 JavaScript。</noscript>
{holder}
<script type="module">{script}</script>
</body>
</html>
"""


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
