"""What is computed both by tile registers, in the emulated processor, and by vectors, on this machine: case by case.

A case computes arrays for a target, on a number of threads. programs.py records the programs that it calls, and the
memory of each call; guest.py runs it in there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction

import numpy as np
from llvmlite import ir

from half_cases import from_words, to_words
from int8_cases import IN_TILES, tiles_case
from neocog.emit.builder import I8, Builder
from neocog.emit.program import STAGE_TYPE
from neocog.emit.tiles import ROW_BYTES, TILE_BYTES, registers_set_up, tiles_of
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.jit.codegen import generate
from neocog.jit.compile import load_objects
from neocog.jit.host import make_target
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Linear, MaxPool2d, ReLU, SiLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import initial_parameters, variables_of
from neocog.target.processor import Target

Arrays = dict[str, np.ndarray]
Case = Callable[[Target, int], Arrays]
FEATURES = dict.fromkeys(
    ("avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512bf16", "amx-tile", "amx-bf16", "amx-int8"), True
)
EMULATED = replace(make_target("sapphirerapids", FEATURES, "x86_64-unknown-linux-gnu"), tiles=True, byte_tiles=True)
STEPS = 3  # tiles of 32 factors in a sum of the products alone
SIDE = 32  # rows and columns of a block of sums
DEPTH = 32  # factors of a tile

CONVOLUTIONS = {
    "3 x 3": (Conv2d(40, 3, padding=1), (9, 7, 40)),
    "5 x 5, stride 2": (Conv2d(33, 5, 2, 2), (11, 9, 33)),
    "1 x 1": (Conv2d(70, 1), (5, 4, 64)),
    "1 x 1, stride 2": (Conv2d(32, 1, 2), (9, 8, 64)),
    "3 x 3, stride 3, dilated": (Conv2d(16, 3, 3, 2, 2), (13, 11, 8)),
    "3 x 2, uneven": (Conv2d(24, (3, 2), (1, 2), ((2, 1), (0, 2)), 2), (12, 10, 16)),
    "whole image": (Conv2d(48, (4, 5)), (4, 5, 32)),
    "groups of 24": (Conv2d(96, 3, padding=1, groups=4), (9, 8, 96)),
}
FIRST = {
    "3 x 3 of an image": (Conv2d(32, 3, padding=1), (13, 17, 3)),
    "7 x 7 of an image": (Conv2d(32, 7, 2, 3), (20, 17, 3)),
    "5 x 5 of a grey image": (Conv2d(8, 5), (28, 28, 1)),
}
POOLED = {
    "pixels of a row": (Conv2d(40, 3, padding=1), ReLU(), (7, 34, 40)),
    "bands of a plane": (Conv2d(33, 3, padding=1), SiLU(), (17, 27, 33)),
}
TAILS = trace(
    Sequential(
        *(Conv2d(40, 3, padding=1), ReLU(), Conv2d(33, 3, padding=1), SiLU(), Conv2d(32, 1), MaxPool2d(2)),
        *(Flatten(), Linear(50), ReLU(), Linear(10)),
    ),
    (9, 12, 3),
)
TRAINED = {
    "plain": (
        trace(
            Sequential(
                *(Conv2d(8, 3, padding=1), ReLU(), MaxPool2d(2), Conv2d(40, 3), ReLU(), MaxPool2d(2)),
                *(Flatten(), Linear(33), ReLU(), Linear(4)),
            ),
            (12, 11, 3),
        ),
        8,
    ),
    "strides": (
        trace(
            Sequential(
                *(Conv2d(8, 5, 2, 2), ReLU(), Conv2d(34, 3, 2, 1), Conv2d(8, 1, 2), ReLU()),
                *(Conv2d(8, (3, 2), (1, 2), ((2, 1), (0, 2)), 2), Flatten(), Linear(4)),
            ),
            (21, 18, 2),
        ),
        3,
    ),
    "normalized": (
        trace(
            Sequential(
                *(Conv2d(16, 3, 2, 1, bias=False), BatchNorm2d(), ReLU(), Conv2d(16, 3, padding=1), SiLU()),
                *(Residual(Sequential(Conv2d(16, 3, padding=1, bias=False), BatchNorm2d())), ReLU()),
                *(Flatten(), Linear(4)),
            ),
            (9, 8, 3),
        ),
        4,
    ),
    "depthwise": (
        trace(
            Sequential(
                *(Conv2d(16, 3, 2, 1, bias=False), BatchNorm2d(), ReLU(), Conv2d(16, 3, padding=1, groups=16), ReLU()),
                *(Conv2d(40, 1), Conv2d(40, 3, 2, 1, groups=40), SiLU(), Conv2d(24, 1), GlobalAvgPool2d(), Linear(4)),
            ),
            (14, 13, 3),
        ),
        5,
    ),
    "groups": (
        trace(
            Sequential(
                *(Conv2d(48, 3, padding=1), ReLU(), Conv2d(48, 3, 2, 1, groups=2), ReLU()),
                *(Conv2d(30, 3, padding=1, groups=6, bias=False), BatchNorm2d(), SiLU(), Conv2d(96, 1, groups=3)),
                *(Conv2d(24, 2, groups=24), Flatten(), Linear(4)),
            ),
            (14, 13, 3),
        ),
        5,
    ),
}


def networks() -> dict[str, Case]:
    """Return all cases but for products alone, short ones first."""
    found: dict[str, Case] = {}
    for name, (layer, shape) in CONVOLUTIONS.items():
        # What is no image of the caller's lies in planes.
        graph = trace(Sequential(Conv2d(shape[-1], 1), layer), shape)
        found[f"convolution: {name}"] = lambda *given, graph=graph: features(*given, graph, 3)
    for name, (layer, shape) in FIRST.items():
        graph = trace(Sequential(layer), shape)
        found[f"convolution: {name}"] = lambda *given, graph=graph: features(*given, graph, 2)
    for name, (layer, activation, shape) in POOLED.items():
        graph = trace(Sequential(Conv2d(shape[-1], 1), layer, activation, MaxPool2d(2), Conv2d(5, 1)), shape)
        found[f"pooled: {name}"] = lambda *given, graph=graph: features(*given, graph, 3)
    for width, count in ((512, 1), (33, 5), (33, 33)):
        graph = trace(Sequential(Conv2d(32, 1), ReLU(), Flatten(), Linear(width), Linear(7)), (3, 4, 32))
        name = f"fully connected: {width}, {count} images"
        found[name] = lambda *given, graph=graph, count=count: features(*given, graph, count)
    for count in (1, 40):
        found[f"network: {count} images"] = lambda *given, count=count: features(*given, TAILS, count)
    found["network: NaN, infinities, denormals"] = lambda *given: features(*given, TAILS, 7, special=True)
    for count in (1, 9):
        found[f"network in int8: {count} images"] = lambda *given, count=count: in_int8(*given, count)
    for name, (graph, count) in TRAINED.items():
        found[f"training: {name}"] = lambda *given, graph=graph, count=count: trained(*given, graph, count)
    return found


def digest(arrays: Arrays) -> str:
    """Return what two results of the same bits have in common; every NaN counts as the same."""
    found = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        bits = np.where(np.isnan(value), np.float32(np.nan), value).astype(np.float32)
        found.update(f"{name} {bits.shape}\n".encode() + bits.tobytes())
    return found.hexdigest()[:16]


# --- networks ---------------------------------------------------------------------------------------------------------


def features(target: Target, threads: int, graph: Graph, count: int, *, special: bool = False) -> Arrays:
    """Return what a network of drawn parameters gives for drawn images, some with numbers out of the ordinary."""
    return answering(target, threads, graph, count, special=special)()


def answering(target: Target, threads: int, graph: Graph, count: int, *, special: bool = False) -> Callable[[], Arrays]:
    """Return what asks such a network, which stays in memory."""
    rng = np.random.default_rng(1)
    parameters = {v.name: (rng.normal(size=v.shape) * 0.2).astype(np.float32) for v in variables_of(graph)}
    sides = (graph.input.height, graph.input.width, graph.input.channels)
    images = rng.random((count, *sides), dtype=np.float32)
    if special:
        images[1, 5, 5, 1], images[2, 0, 0, 0], images[3, 4, 2, 2] = np.nan, np.inf, -np.inf
        images[4] *= np.float32(1e-38)
        images[5] *= np.float32(1e-41)
        images[6] *= np.float32(3e38)
        first = graph.nodes[0].name
        parameters[f"{first}.bias"][:] = 0
        parameters[f"{first}.weight"][..., 3] *= np.float32(1e-40)
    predictor = NativeEngine(target, precision="bfloat16").predictor(graph, parameters, threads)

    def ask() -> Arrays:
        with np.errstate(all="ignore"):
            return {"features": predictor.features(images).copy()}

    return ask


def in_int8(target: Target, threads: int, count: int) -> Arrays:
    """Return what a network answers in int8, whose sums must be those of the oracle."""
    parameters, scales, images, wanted = tiles_case()
    logits = NativeEngine(target).int8_predictor(IN_TILES, parameters, scales, threads).logits(images[:count])
    if (logits != wanted[:count]).any():
        raise AssertionError("these are not the numbers of the oracle")
    return {"logits": logits.copy()}


def trained(target: Target, threads: int, graph: Graph, count: int, steps: int = 2) -> Arrays:
    """Return gradients, parameters and momentum behind some steps."""
    rng = np.random.default_rng(5)
    sides = (graph.input.height, graph.input.width, graph.input.channels)
    images = rng.random((count, *sides), dtype=np.float32)
    labels = rng.integers(0, graph.classes, count).astype(np.int32)
    settings = StepSettings(CrossEntropy(), SGD(momentum=0.9), count)
    engine = NativeEngine(target, precision="bfloat16")
    program = engine.train_program(graph, initial_parameters(graph), settings, threads)
    found: Arrays = {}
    for step in range(steps):
        found[f"logits {step}"] = program.step(images, labels, 0.05).logits.copy()
        found |= {f"gradient {step} of {name}": value.copy() for name, value in program.gradients().items()}
    found |= {f"parameter {name}": value.copy() for name, value in program.parameters().items()}
    return found | {f"momentum {name}": value.copy() for name, value in program.optimizer_state().items()}


# --- products alone ---------------------------------------------------------------------------------------------------


def _ordinary() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return to_words(rng.normal(size=(SIDE, STEPS * DEPTH))), to_words(rng.normal(size=(STEPS * DEPTH, SIDE)))


def _wide() -> tuple[np.ndarray, np.ndarray]:
    """Exponents between which products cancel, vanish and leave the range of normal numbers."""
    rng = np.random.default_rng(3)
    return tuple(
        to_words(rng.normal(size=shape) * 2.0 ** rng.integers(-66, 30, shape))
        for shape in ((SIDE, STEPS * DEPTH), (STEPS * DEPTH, SIDE))
    )


def _denormal() -> tuple[np.ndarray, np.ndarray]:
    """Factors that are denormal, products that are, and sums that are."""
    rng = np.random.default_rng(4)
    x, w = _ordinary()
    x = to_words(from_words(x) * np.float32(2.0**-64))
    w = to_words(from_words(w) * np.float32(2.0**-62))
    x[rng.random(x.shape) < 0.1] &= 0x807F  # denormal bfloat16
    w[rng.random(w.shape) < 0.1] &= 0x807F
    return x, w


def _overflowing() -> tuple[np.ndarray, np.ndarray]:
    """Sums beyond the largest number, and back."""
    x, w = _ordinary()
    return to_words(from_words(x) * np.float32(2.0**62)), to_words(from_words(w) * np.float32(2.0**63))


def _special() -> tuple[np.ndarray, np.ndarray]:
    """Infinities and NaN in a few rows and columns."""
    x, w = _ordinary()
    x[3, 5], x[7, 8], x[9, 31], x[11, 0], x[11, 2] = 0x7F80, 0xFF80, 0x7FC0, 0x7F80, 0xFF80
    w[40, 6], w[2, 9], w[8, 12] = 0x7F80, 0x7FC1, 0x0000
    return x, w


FACTORS = {
    "ordinary": _ordinary,
    "wide": _wide,
    "denormal": _denormal,
    "overflowing": _overflowing,
    "infinities and NaN": _special,
}
FINITE = ("ordinary", "wide", "denormal")  # what stays within the range of numbers


def products(target: Target, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return (32, 32) sums of x (32, k) times w (k, 32), both bfloat16, as an emitted function computes them."""
    sums, rows, pairs = (_aligned(each) for each in (np.zeros((SIDE, SIDE), np.float32), *laid_out(x, w)))
    library = load_objects([generate(product_module(target), target)], ["run"])
    library.functions["run"](sums.ctypes.data, rows.ctypes.data, pairs.ctypes.data, 0, STEPS, 0)
    return sums


def laid_out(x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the tiles of both factors, step by step."""
    rows = x.reshape(2, 16, -1, DEPTH).transpose(2, 0, 1, 3)  # step, tile, row, k
    pairs = w.reshape(-1, DEPTH // 2, 2, 2, 16).transpose(0, 3, 1, 4, 2)  # step, tile, pair, filter, of the pair
    return np.ascontiguousarray(rows), np.ascontiguousarray(pairs)


def product_module(target: Target) -> str:
    """Return a module whose `run` adds up products of tiles: of sums, rows, weights, nothing, their number."""
    module = ir.Module(name="products")
    module.triple = target.triple
    function = ir.Function(module, STAGE_TYPE, "run")
    b = Builder(function, target)
    sums, rows, weights, _, steps, _ = function.args
    with registers_set_up(b) if target.tiles else nullcontext():
        tiles = tiles_of(b, sums)
        tiles.zero()
        with b.loop(0, steps) as (step, _):
            upper, panel = (b.at(each, b.mul(step, 2 * TILE_BYTES), I8) for each in (rows, weights))
            tiles.multiply(upper, b.at(upper, TILE_BYTES, I8), ROW_BYTES, panel)
        tiles.store()
    b.ir.ret_void()
    return str(module)


def _aligned(values: np.ndarray) -> np.ndarray:
    block = np.zeros(values.nbytes + 64, np.uint8)
    start = -block.ctypes.data % 64
    found = block[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    found[...] = values
    return found


def exact_products(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return what Intel's manual says of `tdpbf16ps`, tile after tile, in exact fractions; for finite factors."""
    sums = np.zeros((x.shape[0], w.shape[1]), np.float32)
    left, right = ([[_fraction(int(v)) for v in row] for row in each] for each in (x, w))
    for start in range(0, x.shape[1], DEPTH):
        for i in range(x.shape[0]):
            for j in range(w.shape[1]):
                chains = [Fraction(0), Fraction(0)]
                for k in range(start, start + DEPTH):
                    chains[k % 2] = _rounded(left[i][k] * right[k][j] + chains[k % 2])
                sums[i, j] = float(_rounded(Fraction(float(sums[i, j])) + _rounded(chains[0] + chains[1])))
    return sums


def _fraction(word: int) -> Fraction:
    value = from_words(np.array([word], np.uint16))[0]
    return Fraction(0) if abs(value) < np.float32(2.0**-126) else Fraction(float(value))


def _rounded(value: Fraction) -> Fraction:
    """Round to float32, ties to even; what is below the least normal number is zero."""
    if value == 0:
        return value
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    unit = Fraction(2) ** (exponent - 23)
    nearest = round(value / unit) * unit
    if abs(nearest) < Fraction(2) ** -126:
        return Fraction(0)
    assert abs(nearest) < Fraction(2) ** 128
    return nearest
