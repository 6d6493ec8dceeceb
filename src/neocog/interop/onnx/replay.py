"""Proof that a written file answers as the network does: ONNX Runtime answers images with it, and both are compared.

Logits. Two programs that sum in other orders differ by roundings. By the rule of thumb that roundings are as often up
as down, a sum of n terms strays by about √n · u of its size, where u = 2^-24 (Higham and Mary 2019, A new approach to
probabilistic rounding error analysis), and n is counted over all layers, since what strays is handed on:

    |theirs - ours| ≤ 8 · √n · u · size,   size: the largest logit of the images answered together

The 8 is for what the rule leaves out: both sides stray, and values inside a network may be larger than what is left of
them at its end. Where logits part by more, the reference engine finds in float64 what they should be: from that the
file may be 8 times as far as neocog's own engine, for then it is the network that magnifies roundings. A graph that
computes something else is farther off by orders of magnitude.

Probabilities are compared with those of the file's own logits, in float64: each factor of the softmax rounds once, an
exponential by 4 units of u, and what an exponent strays by, the exponential does relatively.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from neocog.data.resize import ImageSize, resize_array
from neocog.engines.base import Array, Images
from neocog.errors import DataError, NeocogError
from neocog.interop.onnx.writer import INPUT, LOGITS, PROBABILITIES
from neocog.interop.packages import require
from neocog.model.calibration import softmax
from neocog.model.pictures import decode, in_pieces
from neocog.model.thresholds import sigmoid
from neocog.nn.graph import Graph
from neocog.nn.layers import AdaptiveAvgPool2d, AvgPool2d, ConvTranspose2d, GlobalAvgPool2d
from neocog.resources import available_threads

if TYPE_CHECKING:
    from neocog.model.network import Network
    from neocog.model.pictures import AnyImages

LEAST = 100
"""Images that are answered at least."""

U = 2.0**-24
WORSE = 8.0
TINY = 2.0**-120  # far above what is lost where the smallest numbers are flushed to zero
_EACH = 12  # roundings of a layer that is no sum: an exponential, and some operations around it
_BATCH = 32
_JUDGED = 8  # doubtful images at most: the reference takes its time
_SEED = 0
_ERRORS_ONLY = 3  # of ONNX Runtime's own messages


@dataclass(frozen=True, slots=True)
class Replay:
    """What was compared.

    Arguments:
        images: how many were answered by both.
        difference: the largest difference of two logits.
        size: the largest logit.
    """

    images: int
    difference: float
    size: float

    def to_json(self) -> dict[str, float]:
        """Return plain JSON values."""
        return {"images": self.images, "difference": self.difference, "size": self.size}


@dataclass(frozen=True, slots=True)
class _Doubt:
    """An image whose answers are farther apart than roundings explain."""

    image: Images
    theirs: Array
    ours: Array
    bound: float


def runtime() -> ModuleType | None:
    """Return ONNX Runtime if it is installed."""
    try:
        return require("onnxruntime", "onnx", "replaying")
    except NeocogError:
        return None


def pictures_for(network: Network, images: AnyImages | None, *, floating: bool) -> Iterator[Images]:
    """Yield batches for a replay: those given, and random ones up to `LEAST`.

    Arguments:
        network: what they are for.
        images: as `Network.predict` takes them.
        floating: whether they become float32 from 0 to 1; else they must be uint8.

    Raises:
        DataError, ShapeError: they are not what the network takes.
    """
    done, size = 0, min(network.images_at_once, _BATCH)
    if images is not None:
        done, pieces = in_pieces(network.graph, network.resize, images, size)
        for piece in pieces:
            if not floating and piece.dtype != np.uint8:
                raise DataError(
                    f"the images must be uint8 for a file that takes uint8, got {piece.dtype}",
                    hint='pass them as uint8, or write the file with input="float"',
                )
            yield _as_float(piece) if floating else piece
    if done < LEAST:
        drawn = random_pictures(network, LEAST - done)
        for start in range(0, len(drawn), size):
            piece = drawn[start : start + size]
            yield _as_float(piece) if floating else piece


def random_pictures(network: Network, count: int) -> Images:
    """Return pictures (count, H, W, C) uint8 as if they had been photographed: soft spots and noise, of other sizes and
    proportions than the network takes, brought to its size by its own rule. Always the same ones.
    """
    rng = np.random.default_rng(_SEED)
    height, width, channels = network.input_shape
    pictures = []
    for _ in range(count):
        sides = (int(rng.integers(height, 2 * height + 2)), int(rng.integers(width, 2 * width + 2)))
        spots = rng.integers(0, 256, (*rng.integers(2, 9, 2), channels), dtype=np.uint8)
        soft = resize_array(spots, ImageSize(*sides, channels)).astype(np.int64)
        noisy = np.clip(soft + rng.integers(-24, 25, soft.shape), 0, 255).astype(np.uint8)
        pictures.append(decode(noisy, network.graph.input, network.resize))
    return np.stack(pictures)  # type: ignore[return-value]


def replay(content: bytes, network: Network, batches: Iterator[Images]) -> Replay:
    """Answer images with a file and with the network it came from.

    Arguments:
        content: the file.
        network: as it was written, normalizations folded or not.
        batches: (n, H, W, C), uint8, or float32 for a file that takes floating-point images.

    Raises:
        NeocogError: they differ, or ONNX Runtime cannot open the file or is not installed.
    """
    session = _opened(content, network.threads)
    factor = WORSE * math.sqrt(_roundings(network.graph)) * U
    images, difference, largest = 0, 0.0, 0.0
    doubtful: list[_Doubt] = []
    plain = _in_float32(network)
    for x in _unequal(batches):
        feed = x if x.dtype == np.uint8 else np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        probabilities, theirs = session.run([PROBABILITIES, LOGITS], {INPUT: feed})
        ours = plain.logits(x)
        apart, size = _distance(theirs, ours), float(np.abs(ours).max())
        if not apart.max() <= factor * size:
            place = int(apart.argmax())
            doubtful.append(_Doubt(x[place], theirs[place], ours[place], factor * size))
        _check_probabilities(network, probabilities, theirs)
        images, difference, largest = images + len(x), max(difference, float(apart.max())), max(largest, size)
    if doubtful:
        _judge(network, doubtful[:_JUDGED])
    return Replay(images, difference, largest)


def _in_float32(network: Network) -> Network:
    """Return a network that computes in float32, as the file does, and leave it to others as it is."""
    twin = copy(network)
    twin.precision = "float32"
    return twin


def _unequal(batches: Iterator[Images]) -> Iterator[Images]:
    """Cut the first image off, so that a file is asked about batches of several sizes."""
    first = next(batches)
    yield first[:1]
    if len(first) > 1:
        yield first[1:]
    yield from batches


def _opened(content: bytes, threads: int | None) -> Any:
    onnxruntime = require("onnxruntime", "onnx", "replaying what was written")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_threads()
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # each of its errors is of a type of its own
        raise NeocogError(
            f"ONNX Runtime {onnxruntime.__version__} cannot open what was written",
            details=tuple(str(error).strip().splitlines()[:3]),
            hint="it may be older than the opset: leave that out",
        ) from None


def _distance(theirs: Array, ours: Array) -> Array:
    """Return how far each image's answers are apart at most (n,)."""
    if theirs.shape != ours.shape:
        raise NeocogError(f"ONNX Runtime gives answers of the shape {theirs.shape}, neocog of {ours.shape}")
    found: Array = np.abs(theirs - ours).reshape(len(ours), -1).max(axis=1)
    return found


def _judge(network: Network, doubtful: Sequence[_Doubt]) -> None:
    """Raise NeocogError if the file is to blame for how far answers are apart."""
    exact = copy(network)
    exact.engine = "reference"
    wanted = exact.logits(np.stack([doubt.image for doubt in doubtful]))
    off, own = (
        max(float(np.abs(getattr(doubt, side) - logits).max()) for doubt, logits in zip(doubtful, wanted, strict=True))
        for side in ("theirs", "ours")
    )
    bound = max(doubt.bound for doubt in doubtful)
    if not off <= max(bound, WORSE * own):
        raise NeocogError(
            "the file answers otherwise than the network",
            details=(
                f"its logits are off by up to {off:.3g}, those of neocog by {own:.3g}; roundings explain {bound:.3g}",
            ),
            hint="this is a bug in neocog, and no file was written: please report it",
        )


def _check_probabilities(network: Network, probabilities: Array, logits: Array) -> None:
    several, temperature = network.loss.several_labels, network.temperature
    wanted = (sigmoid(logits) if several else softmax(logits, temperature)).astype(np.float64)
    exponent = 1.0 if several else 4.0 * float(np.abs(logits).max()) / temperature
    bound = U * (4 * _EACH + 2 * logits.shape[-1] + 2 * exponent) * wanted + TINY
    if not (np.abs(probabilities - wanted) <= bound).all():
        raise NeocogError(
            f"the file gives other probabilities than its logits have, by up to {np.abs(probabilities - wanted).max()}",
            hint="this is a bug in neocog, and no file was written: please report it",
        )


def _roundings(graph: Graph) -> int:
    """Count the roundings that an answer comes of: the terms of all sums, and some for every other layer."""
    total = 0
    for node in graph.nodes:
        if node.weight_shape is not None:
            outputs = node.weight_shape[-2 if isinstance(node.layer, ConvTranspose2d) else -1]
            total += math.prod(node.weight_shape) // outputs
        elif isinstance(node.layer, AvgPool2d | AdaptiveAvgPool2d | GlobalAvgPool2d):
            total += node.layer.counted_over(node.input).cells  # type: ignore[arg-type]
        total += _EACH
    return total


def _as_float(images: Images) -> Array:
    return images.astype(np.float32) / np.float32(255) if images.dtype == np.uint8 else np.asarray(images, np.float32)
