"""A network for browsers, run by Node.js: its script and its module answer images as they do in a page."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import Array
from neocog.errors import EngineError, NeocogError

_SECONDS = 600.0
_PROGRAM = """
import fs from 'node:fs'
import { channels, height, labels, load, predict, width } from './network.mjs'
const size = height * width * channels
await load(fs.readFileSync(process.argv[2]))
const images = fs.readFileSync(0)
const found = { answers: [], probabilities: [], labels }
for (let from = 0; from + size <= images.length; from += size) {
  const { answer, probabilities } = predict(images.subarray(from, from + size))
  found.answers.push(answer)
  found.probabilities.push([...probabilities])
}
process.stdout.write(JSON.stringify(found))
"""


def answers_by_node(
    folder: Path, name: str, images: NDArray[np.uint8], classes: int, place: Path
) -> tuple[NDArray[np.int32], Array, str]:
    """Return what a network for browsers answers for images (N, H, W, C): its results (N,), probabilities (N, classes),
    and where Node.js is.

    Arguments:
        folder: that `write_web` wrote.
        name: of its files.
        images: (N, H, W, C).
        classes: how many.
        place: a folder to work in.

    Raises:
        EngineError: there is no Node.js here.
        NeocogError: the script fails.
    """
    node = shutil.which("node")
    if node is None:
        raise EngineError(
            "verifying a network for browsers needs node, which is not installed here",
            hint="on Debian: apt-get install nodejs",
        )
    (place / "network.mjs").write_bytes((folder / f"{name}.js").read_bytes())
    (place / "run.mjs").write_text(_PROGRAM)
    words = (node, str(place / "run.mjs"), str(folder.absolute() / f"{name}.wasm"))
    try:
        done = subprocess.run(words, input=images.tobytes(), capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise NeocogError(f"the network for browsers failed: no answer within {_SECONDS:.0f} s") from None
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        raise NeocogError("the network for browsers failed", details=tuple(told[:10]))
    found = json.loads(done.stdout)
    probabilities = np.array(found["probabilities"], np.float32)
    if probabilities.shape != (len(images), classes):
        wanted = (len(images), classes)
        raise NeocogError(f"the network for browsers gives {probabilities.shape} probabilities, and not {wanted}")
    return np.array(found["answers"], np.int32), probabilities, node
