"""The command `python -m benchmarks.imported [FILE...]`: an ONNX file answered by neocog, and by ONNX Runtime.

Both read the same file and compute the same logits, which is checked first; they take turns, and medians are printed.
Without files: ResNet-50, MobileNetV1 and MobileNetV2 for images of 224 × 224, as `neocog export --to onnx --input
float` writes them, with normalizations that ONNX Runtime folds by itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime

import neocog as nc
from benchmarks.machine import choose_processors, describe
from benchmarks.rounds import CHECKS, Call, alternate, check_equal
from benchmarks.sides.onnxruntime import WARNINGS_OFF
from neocog.engines.native import NativeEngine
from neocog.interop.onnx.write import onnx_bytes
from neocog.nn.zoo import MODELS

NETWORKS = ("resnet50", "mobilenet_v1", "mobilenet_v2")
BATCHES = (1, 8)
ROUNDS = 11
OURS, THEIRS = "neocog", "ONNX Runtime"


def files(given: list[Path], folder: Path) -> Iterator[Path]:
    """Yield the files to be answered, made in a folder where none are given."""
    yield from given
    for name in () if given else NETWORKS:
        known = MODELS[name]
        shape = (known.image.height, known.image.width, known.image.channels)
        path = folder / f"{name}.onnx"
        path.write_bytes(onnx_bytes(nc.Model(known.graph().net, shape), input="float"))
        yield path


def sides(path: Path, batch: int, threads: int) -> dict[str, Call]:
    """Return a prediction of each side, of the same images.

    Raises:
        DisagreementError: they differ.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = WARNINGS_OFF
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    asked = ["logits"] if "logits" in outputs else outputs[:1]
    model = nc.from_onnx(path, value_range=1, output=asked[0])
    images = np.random.default_rng(0).random((batch, *model.input_shape), np.float32)
    feed = {session.get_inputs()[0].name: np.ascontiguousarray(images.transpose(0, 3, 1, 2))}
    predictor = NativeEngine().predictor(model.graph, model.parameters, threads)
    calls: dict[str, Call] = {
        OURS: lambda: predictor.logits(images, batch),
        THEIRS: lambda: session.run(asked, feed)[0],
    }
    ours, theirs = ([np.asarray(call()).reshape(batch, -1) for _ in range(CHECKS)] for call in calls.values())
    check_equal(path.stem, theirs, ours)
    return calls


def main() -> None:
    """Measure, and print a line for each file and batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="ONNX files of float32 images")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    os.sched_setaffinity(0, choose_processors(options.threads))
    print("; ".join(f"{key}: {value}" for key, value in describe().items()))
    with tempfile.TemporaryDirectory() as folder:
        for path in files(options.files, Path(folder)):
            for batch in BATCHES:
                times = alternate(sides(path, batch, options.threads), options.rounds)
                ours, theirs = (statistics.median(times[name]) for name in (OURS, THEIRS))
                print(
                    f"{path.stem}, batch {batch}, {options.threads} threads: {OURS} {ours:.2f} ms, {THEIRS} "
                    f"{theirs:.2f} ms, {theirs / ours:.2f} times as fast",
                    flush=True,
                )


if __name__ == "__main__":
    main()
