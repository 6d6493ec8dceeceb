"""An exported network beside ONNX Runtime Web in the same Chromium: one image, one thread, WebAssembly with SIMD.

    npm install --prefix FOLDER onnxruntime-web && python -m benchmarks.web FOLDER

Both answer the same random images in turn, in one page; what is timed begins with bytes and ends with probabilities,
and, apart, neocog's `classify` of a picture of that size. First, all answers are compared (more than 1e-5 apart: it
fails), and each side runs for two seconds, so that the browser has compiled both with its optimising compiler. A turn
takes a hundred times as long as the clock's steps or more (5 us in a page that is isolated). It prints medians, what
lies between the quartiles, and what a visitor downloads.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.standalone import CASES
from neocog.interop.onnx.write import to_onnx
from neocog.model.network import Network
from neocog.standalone.web import web_of, write_web

PEER = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
FAR = 1e-5  # between two probabilities
IMAGES = 20  # that answers are compared of
MEASURE = """async ([name, rounds, turn, warm, images]) => {
  if (!crossOriginIsolated) throw new Error('this page has a coarse clock')
  const ort = await import('/peer/ort.wasm.min.mjs')
  ort.env.wasm.numThreads = 1
  const session = await ort.InferenceSession.create(`/${name}.onnx`, { executionProviders: ['wasm'] })
  const own = await import(`/${name}.js`)
  await own.load()
  const { height, width, channels } = own
  const random = () => crypto.getRandomValues(new Uint8Array(height * width * channels))
  const ask = async (pixels) => {
    const tensor = new ort.Tensor('uint8', pixels, [1, height, width, channels])
    return (await session.run({ images: tensor }, ['probabilities'])).probabilities.data
  }
  let apart = 0
  for (let image = 0; image < images; image++) {
    const pixels = random()
    const wanted = await ask(pixels)
    const found = own.predict(pixels).probabilities
    apart = Math.max(apart, ...found.map((value, place) => Math.abs(value - wanted[place])))
  }
  let pixels = random()
  const picture = new ImageData(width, height)
  crypto.getRandomValues(picture.data)
  const sides = {
    predict: (calls) => { for (let call = 0; call < calls; call++) own.predict(pixels) },
    peer: async (calls) => { for (let call = 0; call < calls; call++) await ask(pixels) },
    classify: async (calls) => { for (let call = 0; call < calls; call++) await own.classify(picture) },
  }
  const time = async (side, calls) => {
    const begin = performance.now()
    await sides[side](calls)
    return performance.now() - begin
  }
  const [calls, times] = [{}, {}]
  for (const side of Object.keys(sides)) {
    times[side] = []
    let some = 1
    for (const begin = performance.now(); performance.now() - begin < warm;) {
      const took = await time(side, some)
      calls[side] = Math.max(1, Math.round((some * turn) / took))
      if (took < turn) some *= 2
    }
  }
  for (let round = 0; round < rounds; round++) {
    pixels = random()
    const order = round % 2 ? Object.keys(sides).reverse() : Object.keys(sides)
    for (const side of order) times[side].push((await time(side, calls[side])) / calls[side])
  }
  return [times, apart]
}"""


class Isolated(SimpleHTTPRequestHandler):
    """Serves a folder to pages whose clock is not made coarse, and says nothing."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def end_headers(self) -> None:
        """Say that no other page shares this one's process."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def measure(peer: Path, names: list[str], rounds: int, turn: float, warm: float) -> bool:
    """Measure networks, and return whether all answers were equal.

    Arguments:
        peer: ONNX Runtime Web's files.
        names: of networks.
        rounds: turns of each side.
        turn: milliseconds of a turn.
        warm: milliseconds that each side runs before.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    equal = True
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place)
        (folder / "peer").symlink_to(peer)
        (folder / "empty.html").write_text("<!doctype html><title>benchmark</title>")
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Isolated, directory=place))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        print(f"Chromium {browser.version}", flush=True)
        for name in names:
            own, onnx = written(name, folder)
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/empty.html")
            times, apart = page.evaluate(MEASURE, [name, rounds, turn, warm, IMAGES])
            page.close()
            theirs = onnx + sum((peer / file).stat().st_size for file in PEER)
            print(report(name, times, apart))
            print(f"    files: {own:,} bytes and {theirs:,}: {own / theirs:.1%}", flush=True)
            equal = equal and apart <= FAR
        browser.close()
        server.shutdown()
    return equal


def report(name: str, times: dict[str, list[float]], apart: float) -> str:
    """Return what is to be told of a network's turns, which are given in milliseconds for each image."""
    middle, told = {}, {}
    for side, values in times.items():
        low, middle[side], high = (1000 * quantile(values, share) for share in (0.25, 0.5, 0.75))
        told[side] = f"{middle[side]:.1f} us ({low:.1f} to {high:.1f})"
    ratio = middle["peer"] / middle["predict"]
    return (
        f"{name}: neocog {told['predict']}, ONNX Runtime Web {told['peer']}: {ratio:.2f}x; classify "
        f"{told['classify']}; probabilities differ by {apart:.1e}"
    )


def quantile(values: list[float], share: float) -> float:
    """Return the value below which a share of the others lies."""
    return sorted(values)[round(share * (len(values) - 1))]


def written(name: str, folder: Path) -> tuple[int, int]:
    """Write a network for both sides, and return the bytes of neocog's files and of the ONNX file."""
    case = CASES[name]
    network = Network(case.net(case.classes), case.shape, seed=0)
    write_web(folder / name, web_of(network, name), network, name)
    for ending in ("wasm", "js"):
        (folder / name / f"{name}.{ending}").rename(folder / f"{name}.{ending}")
    to_onnx(network, folder / f"{name}.onnx")
    own = sum((folder / f"{name}.{ending}").stat().st_size for ending in ("wasm", "js"))
    return own, (folder / f"{name}.onnx").stat().st_size


def main() -> None:
    """Read what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where npm installed onnxruntime-web")
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--turn", type=float, default=20, help="milliseconds of a turn (default 20)")
    parser.add_argument("--warm", type=float, default=2000, help="milliseconds before the first turn (default 2000)")
    given = parser.parse_args()
    dist = given.folder / "node_modules" / "onnxruntime-web" / "dist"
    missing = [file for file in PEER if not (dist / file).is_file()]
    if missing:
        sys.exit(f"{dist} lacks {missing[0]}: npm install --prefix {given.folder} onnxruntime-web")
    sys.exit(0 if measure(dist.resolve(), given.networks, given.rounds, given.turn, given.warm) else 1)


if __name__ == "__main__":
    main()
