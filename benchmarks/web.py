"""An exported network beside ONNX Runtime Web in the same Chromium: one image, one thread, WebAssembly with SIMD.

    npm install --prefix FOLDER onnxruntime-web && python -m benchmarks.web FOLDER

Both answer the same random images in turn; what is timed begins with bytes and ends with probabilities. It prints
medians, the largest difference of two probabilities (more than 1e-5: it fails), and what a visitor downloads.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from neocog.interop.onnx.write import to_onnx
from neocog.model.network import Network
from neocog.nn.zoo import article, lenet5
from neocog.standalone.web import web_of, write_web

SHAPE = (28, 28, 1)
NETWORKS = {"article": article, "lenet5": lenet5}
PEER = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
MEASURE = """async ([name, rounds, calls]) => {
  const ort = await import('/peer/ort.wasm.min.mjs')
  ort.env.wasm.numThreads = 1
  const session = await ort.InferenceSession.create(`/${name}.onnx`, { executionProviders: ['wasm'] })
  const own = await import(`/${name}.js`)
  await own.load()
  const middle = (values) => values.sort((a, b) => a - b)[values.length >> 1]
  const [ours, theirs] = [[], []]
  let apart = 0
  for (let round = 0; round < rounds; round++) {
    const pixels = crypto.getRandomValues(new Uint8Array(28 * 28))
    let begin = performance.now()
    let found
    for (let call = 0; call < calls; call++) found = own.predict(pixels)
    ours.push((performance.now() - begin) / calls)
    begin = performance.now()
    let other
    for (let call = 0; call < calls; call++) {
      other = await session.run({ images: new ort.Tensor('uint8', pixels, [1, 28, 28, 1]) }, ['probabilities'])
    }
    theirs.push((performance.now() - begin) / calls)
    const wanted = other.probabilities.data
    apart = Math.max(apart, ...found.probabilities.map((value, place) => Math.abs(value - wanted[place])))
  }
  return [middle(ours), middle(theirs), apart]
}"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def measure(peer: Path, rounds: int, calls: int) -> bool:
    """Measure every network, and return whether all answers were equal."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place)
        (folder / "peer").symlink_to(peer)
        sizes = {name: written(name, folder) for name in NETWORKS}
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=place))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/peer/")
        found: dict[str, Any] = {name: page.evaluate(MEASURE, [name, rounds, calls]) for name in NETWORKS}
        print(f"Chromium {browser.version}")
        browser.close()
        server.shutdown()
    theirs = sum((peer / name).stat().st_size for name in PEER)
    for name, (own, other, apart) in found.items():
        print(
            f"{name}: neocog {1000 * own:.1f} us, ONNX Runtime Web {1000 * other:.1f} us: {other / own:.1f}x; "
            f"probabilities differ by {apart:.1e}; files {sizes[name][0]:,} bytes and {theirs + sizes[name][1]:,}: "
            f"{sizes[name][0] / (theirs + sizes[name][1]):.1%}"
        )
    return all(apart <= 1e-5 for _, _, apart in found.values())


def written(name: str, folder: Path) -> tuple[int, int]:
    """Write a network for both sides, and return the bytes of neocog's files and of the ONNX file."""
    network = Network(NETWORKS[name](), SHAPE, seed=0)
    write_web(folder, web_of(network, name), network, name)
    to_onnx(network, folder / f"{name}.onnx")
    own = sum((folder / f"{name}.{ending}").stat().st_size for ending in ("wasm", "js"))
    return own, (folder / f"{name}.onnx").stat().st_size


if __name__ == "__main__":
    dist = Path(sys.argv[1]) / "node_modules" / "onnxruntime-web" / "dist"
    sys.exit(0 if measure(dist.resolve(), 31, 200) else 1)
