"""Features of photographs with ResNet-18, as the head of a fine-tuned network learns from: neocog against peers.

    python -m benchmarks.transfer.features ../shared/data/clothing-small

Every side turns the same pictures, uint8 in memory, into (N, 512) features, in batches of 64. Sides take turns batch by
batch, after equal results, and each has its seconds added up. Weights are random: they change no time.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import neocog as nc
from benchmarks.machine import choose_processors, describe
from benchmarks.process import reason, say
from benchmarks.rounds import check_equal, settle
from neocog.data.batches import Batches
from neocog.data.resize import ImageSize
from neocog.data.sources import open_data
from neocog.nn.layers import BatchNorm2d
from neocog.nn.parameters import variables_of
from neocog.nn.transfer import up_to

SIDE, BATCH, LAYER = 224, 64, "avgpool"
TOLERANCE = 1e-4
Side = Callable[[NDArray[Any]], Any]


def ours(model: nc.Model) -> Side:
    """Make neocog's side."""
    return lambda images: model.features(images, LAYER)


def pytorch(model: nc.Model, threads: int, memory_format: str, *, compiled: bool = False) -> Side:
    """Make PyTorch's side: eager in a memory format, or compiled with weights as constants."""
    import torch
    import torch._inductor.config

    from neocog.engines.torch import build_module

    torch.set_num_threads(threads)
    torch._inductor.config.freezing = True
    layout = getattr(torch, memory_format)
    body = up_to(model.graph, LAYER)
    own = {variable.name: model.parameters[variable.name] for variable in variables_of(body)}
    module = build_module(body, own).to(memory_format=layout).eval()
    module = torch.compile(module) if compiled else module

    def features(images: NDArray[Any]) -> Any:
        with torch.inference_mode():
            x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=layout)
            return module(x.float().div_(255)).numpy()

    return features


def onnxruntime(model: nc.Model, threads: int) -> Side:
    """Make ONNX Runtime's side."""
    import onnxruntime as runtime

    from benchmarks.onnxmodel import INPUT, export

    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    content = export(up_to(model.graph, LAYER), model.parameters, BATCH)
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def features(images: NDArray[Any]) -> Any:
        x = np.multiply(images.transpose(0, 3, 1, 2), np.float32(1 / 255), dtype=np.float32, order="C")
        return session.run(None, {INPUT: x})[0]

    return features


def drawn(threads: int) -> nc.Model:
    """Return ResNet-18 with running averages that are not 0 and 1, so that no fault of a side hides behind these."""
    model = nc.Model(nc.zoo.resnet18(10), (SIDE, SIDE, 3), threads=threads)
    stream = np.random.default_rng(0)
    values = {name: value.copy() for name, value in model.parameters.items()}
    for node in model.graph.nodes:
        if isinstance(node.layer, BatchNorm2d):
            for name in ("running_mean", "running_var"):
                value = values[f"{node.name}.{name}"]
                values[f"{node.name}.{name}"] = value + stream.uniform(0, 0.5, value.shape).astype(np.float32)
    model.load_parameters(values)
    return model


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all sides, and print seconds and ratios as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer.features", description=__doc__)
    parser.add_argument("data", help="a folder of photographs, such as ../shared/data/clothing-small")
    parser.add_argument("--images", type=int, default=10**9, help="at most so many (default: all training images)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    given = parser.parse_args(arguments)
    os.sched_setaffinity(0, choose_processors(given.threads))
    part, size = open_data(given.data).train, ImageSize(SIDE, SIDE, 3)
    chosen = np.arange(min(given.images, len(part)) // BATCH * BATCH)
    model = drawn(given.threads)
    makers: dict[str, Callable[[], Side]] = {
        "neocog": lambda: ours(model),
        "PyTorch": lambda: pytorch(model, given.threads, "contiguous_format"),
        "PyTorch channels_last": lambda: pytorch(model, given.threads, "channels_last"),
        "torch.compile": lambda: pytorch(model, given.threads, "channels_last", compiled=True),
        "ONNX Runtime": lambda: onnxruntime(model, given.threads),
    }
    batches = Batches(part, BATCH, size, chosen, on_error="skip")
    first = next(iter(replace(batches, indices=chosen[:BATCH])))[0]
    sides: dict[str, Side] = {}
    for name, make in makers.items():
        try:
            side = make()
            check_equal(name, [ours(model)(first)], [side(first)], TOLERANCE)
            sides[name] = side
        except Exception as error:
            if name == "neocog":
                raise
            say(f"without {name}: {reason(error)}")
    seconds, images = dict.fromkeys(sides, 0.0), 0
    for turn, (x, _) in enumerate(batches):
        if len(x) < BATCH:
            break  # unreadable images left the last batch short
        names = list(sides)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            settle()
            began = time.perf_counter()
            sides[name](x)
            seconds[name] += time.perf_counter() - began
        images += len(x)
    peers = {name: took for name, took in seconds.items() if name != "neocog"}
    result = {
        "images": images,
        "threads": given.threads,
        "seconds": {name: round(took, 2) for name, took in seconds.items()},
        "images a second": {name: round(images / took, 1) for name, took in seconds.items()},
        "times as fast as the best peer": round(min(peers.values()) / seconds["neocog"], 2) if peers else None,
    }
    print(json.dumps({**describe(), **result}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
