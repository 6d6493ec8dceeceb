"""A network for browsers: a WebAssembly module, a JavaScript module around it with its types, and a page; or all in one
file.

    NAME.wasm    the network: bytes of pixels in, probabilities out
    NAME.js      an ES module: a picture in, labels with scores out
    NAME.d.ts    its types, for TypeScript and editors
    index.html   a page that classifies a picture or what the camera sees

What is in `page/` is written down with the network's names and numbers in the places that are kept for them.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Literal

from neocog.errors import SettingError
from neocog.model.network import Network
from neocog.model.thresholds import HALF
from neocog.standalone.code import ABI_VERSION, code_of
from neocog.standalone.folder import NOTE, fill
from neocog.standalone.linker import Linked, link
from neocog.text import printable

TARGET = "wasm32"
Kind = Literal["web", "html"]
MARK = b'<meta name="generator" content="neocog export'
"""What tells pages that an export wrote."""
_MOST_NAMES = 50
_SHOWN = (1, 3)  # channels that a picture in a browser can be brought to


@dataclass(frozen=True, slots=True)
class Web:
    """A network for browsers.

    Arguments:
        name: of its files.
        module: in WebAssembly.
        arena_bytes: of the module's memory, what a call works in.
        script: the JavaScript module, without the network in it.
    """

    name: str
    module: Linked
    arena_bytes: int
    script: str

    def page(self, title: str, *, inside: bool) -> str:
        """Return the page.

        Arguments:
            title: that it has.
            inside: whether the network is in it, so that it needs no other file.
        """
        page = _part("index.js")
        if inside:
            network = base64.b64encode(self.module.content).decode()
            # The first place is ours: names of classes, which may read like it, come behind it.
            script = self.script.replace("const WASM = null", f'const WASM = "{network}"', 1) + "\n" + page
        else:
            names = "classify, height, labels, load, width"
            script = f"import {{ {names} }} from './{self.name}.js'\n\n{page}"
        parts = {"title": escape(title), "style": _part("index.css"), "script": script}
        # In one pass: what is filled in may look like a place to fill in itself.
        return re.sub(r"\{\{(title|style|script)\}\}", lambda found: parts[found[1]], _part("index.html"))


def web_of(network: Network, name: str) -> Web:
    """Compile a network for browsers.

    Arguments:
        network: what to compile, with its temperature, views and thresholds; to int8, where that is its precision.
        name: of its files.

    Raises:
        SettingError: it takes no pictures that browsers have, or ends in an image; or a name cannot be written in C.
        EngineError: it cannot be compiled for WebAssembly.
    """
    height, width, channels = network.input_shape
    if channels not in _SHOWN:
        raise SettingError(
            f"a page brings pictures to 1 channel (grey) or 3 (red, green, blue), and this network takes {channels}",
            hint=f"neocog export --to object --target {TARGET} takes any pixels",
        )
    code = code_of(network, TARGET, name, scales=network.scales if network.precision == "int8" else None)
    rooms = {
        "image": height * width * channels,
        "probabilities": 4 * len(network.class_names),
        "arena": code.arena_bytes,
    }
    module = link(code.content, {f"{code.prefix}_predict": "predict"}, rooms)
    script = _part("classifier.js").replace("const NETWORK = {}", f"const NETWORK = {_facts(network, name)}", 1)
    return Web(name, module, code.arena_bytes, script)


def write_web(folder: Path, web: Web, network: Network, title: str) -> list[Path]:
    """Write a folder that any web server can serve, and return the files.

    Raises:
        SettingError: the folder holds other files.
        OSError: they cannot be written.
    """
    note = {"abi_version": ABI_VERSION, "name": web.name, "target": "web", "triple": "wasm32-unknown-unknown"}
    note["precision"] = "int8" if network.precision == "int8" else "float32"
    contents = {
        f"{web.name}.wasm": web.module.content,
        f"{web.name}.js": web.script.encode(),
        f"{web.name}.d.ts": _part("classifier.d.ts").encode(),
        "index.html": web.page(title, inside=False).encode(),
        "README.md": readme_of(web, network).encode(),
        NOTE: (json.dumps(note, indent=2) + "\n").encode(),
    }
    return fill(folder, contents)


def readme_of(web: Web, network: Network) -> str:
    """Return the text of `README.md`."""
    height, width, _ = network.input_shape
    name = web.name
    classes = ", ".join(printable(label) for label in network.class_names[:_MOST_NAMES])
    return f"""# {name}

A network that classifies pictures into {len(network.class_names)} classes, at {height} x {width} pixels, for browsers:
WebAssembly with SIMD128 (Chrome and Edge 91, Firefox 89, Safari 16.4 and later; the page with its content security
policy from Chrome and Edge 97 on), and nothing else. neocog compiled it, and it needs nothing of neocog.

| file | bytes | |
|---|---|---|
| {name}.wasm | {len(web.module.content):,} | the network; it works in {web.module.memory:,} bytes of memory |
| {name}.js | {len(web.script.encode()):,} | an ES module around it |
| {name}.d.ts | {len(_part("classifier.d.ts")):,} | its types |
| index.html | | a page that classifies a picture, or what the camera sees |

Any server of static files will do: `python3 -m http.server`, then http://localhost:8000. (From `file://` browsers load
no modules; `neocog export --to html` writes a page that opens there.)

```js
import {{ classify }} from './{name}.js'

const [best] = await classify(picture) // ImageData, a Blob or File, an image, a canvas, a video
console.log(best.label, best.score)
```

Preprocessing is inside: the rule `{network.resize}`, normalisation, probabilities, and the threshold of "unknown" where
the model has one. The same pixels get the probabilities of `neocog predict` (within 0.00001). Files are decoded by the
browser: pixels of a JPEG may differ by a level or two from those that neocog decodes, and what is half transparent by
one.

Classes: {classes}{" …" if len(network.class_names) > _MOST_NAMES else ""}
"""


def _facts(network: Network, name: str) -> str:
    """Return what the script has to know, as JSON that may stand inside of a page's script."""
    height, width, channels = network.input_shape
    rule = network.resize
    several = network.loss.several_labels
    facts = {
        "name": name,
        "height": height,
        "width": width,
        "channels": channels,
        "labels": list(network.class_names),
        "thresholds": list(network.thresholds or [HALF] * network.graph.classes) if several else None,
        "resize": {"kind": rule.kind, "interpolation": rule.interpolation, "part": rule.part, "side": rule.side},
    }
    return json.dumps(facts, indent=2).replace("<", "\\u003c")


def _part(name: str) -> str:
    return (files("neocog.standalone") / "page" / name).read_text(encoding="utf-8")
