"""Winograd's convolutions against the reference: within a derived bound, and within the budget of each tile size."""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from conformance_bounds import TINY, rms
from conformance_cases import examples
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.engines.reference import ReferenceEngine
from neocog.jit.host import NARROWED, make_target
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.losses import CrossEntropy, MeanSquaredError
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import initial_parameters
from neocog.nn.shapes import ImageShape
from neocog.plan import winograd
from neocog.plan.algorithm import choose_tile
from neocog.plan.winograd import WinogradTile, minimal
from neocog.reference import conv
from neocog.reference import network as reference
from rounding.rule import gamma

ENGINE = NativeEngine(algorithm="winograd")

# The direct kernel's error hangs a little on the processor: wider vectors make shorter blocks of a sum, and those round
# less (5 % on AVX-512). Winograd's is the same everywhere. So that the budget is too, it is held against the kernel of
# the narrowest vectors.
_X86 = llvm.get_process_triple().startswith("x86_64")
YARDSTICK = NativeEngine(
    make_target(*NARROWED["sse2"], llvm.get_process_triple()) if _X86 else None, algorithm="direct"
)

# How many times the direct kernel's root mean square error a tile size may make, on normal and on uniform data; larger
# tiles evaluate polynomials of higher degree. In all, no pass may stray by more than this share of what it computes.
BUDGET = {WinogradTile(4): 3.0, WinogradTile(5): 8.0, WinogradTile(2, 2): 3.0}
LARGEST = {WinogradTile(4): 1e-6, WinogradTile(5): 3e-6, WinogradTile(2, 2): 1e-6}


def single(
    height: int, width: int, channels: int, filters: int, padding: int, stride: int = 1, bias: bool = True
) -> Graph:
    """A convolution whose outputs are the logits, so that every output and gradient can be read."""
    return trace(
        Sequential(Conv2d(channels, 1), Conv2d(filters, 3, stride, padding, bias=bias), Flatten()),
        (height, width, channels),
    )


def identity(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    """Parameters whose first layer changes nothing: the second then sees the images, and its input has a gradient.

    Its weights have the size of an inner layer's. The last one of a network starts near zero, and the gradients that
    flow through it are then next to nothing but the noise of the targets, of which little is left when they are summed.
    """
    parameters = {name: value.copy() for name, value in initial_parameters(graph, seed).items()}
    channels = graph.input.channels
    parameters["0.weight"][...] = np.eye(channels, dtype=np.float32)
    weight = parameters["1.weight"]
    weight *= (2 / weight[..., 0].size) ** 0.5 / weight.std()
    if "1.bias" in parameters:
        parameters["1.bias"][...] = np.random.default_rng(seed).standard_normal(parameters["1.bias"].shape)
    return parameters


def magnitudes(matrix: winograd.Matrix) -> np.ndarray:
    return np.abs(np.array([[float(x) for x in row] for row in matrix]))


def forward_bound(x: np.ndarray, w: np.ndarray, bias: np.ndarray, layer: Conv2d, tile: WinogradTile) -> np.ndarray:
    """Bound the error of each output.

    Each transform is a nest of sums of at most `patch` terms a side, and the products are summed over channels, so by
    Higham 2002, section 3.1, an output strays by at most gamma(n) times the same formula on magnitudes, where n counts
    the roundings on the longest way through: constants, sums, filters, patches, channels, bias.
    """
    algorithm = minimal(tile)
    window = layer.window_over(ImageShape(*x.shape[1:]))
    v, h = window.vertical, window.horizontal
    side = tile.outputs
    down, across = -(-v.output // side), -(-h.output // side)
    rows, columns = ((count - 1) * tile.step + tile.patch for count in (down, across))
    padded = np.zeros((len(x), max(rows, v.before + v.input), max(columns, h.before + h.input), x.shape[3]))
    padded[:, v.before : v.before + v.input, h.before : h.before + h.input] = np.abs(x)
    g, a, d = (magnitudes(m) for m in (algorithm.weights, algorithm.output, algorithm.input))
    filters = np.einsum("pr,qs,rsck->pqck", g, g, np.abs(w))
    limit = np.zeros((len(x), down * side, across * side, w.shape[3]))
    for i in range(down):
        for j in range(across):
            top, left = i * tile.step, j * tile.step
            patch = padded[:, top : top + tile.patch, left : left + tile.patch]
            spread = np.einsum("pr,qs,nrsc->npqc", d, d, patch)
            products = np.einsum("npqc,pqck->npqk", spread, filters)
            limit[:, i * side : (i + 1) * side, j * side : (j + 1) * side] = np.einsum(
                "ip,jq,npqk->nijk", a, a, products
            )
    roundings = 6 * (tile.patch + 1) + 8 + x.shape[3] + 1
    return gamma(roundings) * (limit[:, : v.output, : h.output] + np.abs(bias))


def check_forward(images, height, width, channels, filters, padding, stride=1, *, seed):
    graph = single(height, width, channels, filters, padding, stride)
    parameters = identity(graph, seed)
    layer = graph.nodes[1].layer
    x = np.random.default_rng(seed).random((images, height, width, channels), np.float32)
    w, bias = parameters["1.weight"].astype("f8"), parameters["1.bias"].astype("f8")
    want = conv.forward(x.astype("f8"), w, layer, bias)
    got = ENGINE.predictor(graph, parameters).logits(x).reshape(want.shape)
    limit = forward_bound(x.astype("f8"), w, bias, layer, tile_of(graph))
    assert (np.abs(got - want) <= limit + TINY).all()


@pytest.mark.parametrize(
    "case",
    [
        (1, 3, 3, 16, 16, 1),  # one tile in all, and more than it has outputs
        (1, 4, 4, 128, 64, 1),
        (1, 8, 8, 32, 64, 1),  # four tiles
        (1, 17, 13, 16, 100, 0),
        (64, 12, 12, 32, 64, 0),  # several full blocks
        (3, 30, 7, 33, 17, 2),  # the last block is short
        (2, 1, 1, 1, 1, 1),
        (2, 1, 5, 3, 70, 3),  # wider padding than a kernel reaches
        (3, 16, 16, 32, 64, 1, 2),  # of stride 2: whole tiles, the last row and column of pixels unread
        (2, 15, 18, 33, 17, 0, 2),
        (1, 3, 3, 16, 16, 0, 2),
        (70, 8, 7, 16, 24, 2, 2),
    ],
    ids=str,
)
def test_landmarks_stay_within_the_rounding_bound(case):
    check_forward(*case, seed=7)


sizes = st.integers(1, 17)


@examples(0.5)
@given(
    st.integers(1, 3), sizes, sizes, st.integers(1, 37), st.integers(1, 37), st.integers(0, 3), st.integers(1, 2),
    st.integers(0, 99),
)  # fmt: skip
def test_any_size_stays_within_the_rounding_bound(images, height, width, channels, filters, padding, stride, seed):
    assume(min(height, width) + 2 * padding >= 3)
    check_forward(images, height, width, channels, filters, padding, stride, seed=seed)


def tile_of(graph: Graph) -> WinogradTile:
    """Return the tile size that the engine takes for the second layer."""
    node = graph.nodes[1]
    return choose_tile(node.layer.window_over(node.input), 16, 16, "winograd", ENGINE.target)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@pytest.mark.parametrize(
    ("side", "padding", "tile"),
    [(12, 0, WinogradTile(5)), (16, 1, WinogradTile(4)), (13, 2, WinogradTile(5)), (16, 1, WinogradTile(2, stride=2))],
    ids=str,
)
@pytest.mark.parametrize(("channels", "filters"), [(32, 64), (128, 48)])
def test_every_pass_keeps_the_budget_of_its_tile_size(side, padding, tile, channels, filters, kind):
    graph = single(side, side, channels, filters, padding, tile.stride)
    assert tile_of(graph) == tile
    parameters = identity(graph, 3)
    random = np.random.default_rng(5)
    draw = random.standard_normal if kind == "normal" else random.random
    x = draw((8, side, side, channels)).astype(np.float32)
    targets = random.standard_normal((8, graph.classes)).astype(np.float32)
    settings = StepSettings(MeanSquaredError(), SGD(), 8)
    run = reference.forward(graph, {k: v.astype("f8") for k, v in parameters.items()}, x)
    slope = 2 * (run.logits - targets) / run.logits.size
    exact = reference.backward(graph, {k: v.astype("f8") for k, v in parameters.items()}, run, slope).parameters
    errors = {}
    for algorithm, engine in (("direct", YARDSTICK), ("winograd", ENGINE)):
        program = engine.train_program(graph, parameters, settings)
        logits = program.step(x, targets, 0.0).logits
        found = program.gradients() | {"logits": logits}
        errors[algorithm] = {n: rms(found[n] - v) for n, v in (exact | {"logits": run.logits}).items()}
    for name in ("logits", "1.weight", "1.bias", "0.weight"):
        assert errors["winograd"][name] <= BUDGET[tile] * errors["direct"][name], name
        assert errors["winograd"][name] <= LARGEST[tile] * rms((exact | {"logits": run.logits})[name]), name


NETWORK = trace(
    Sequential(
        Conv2d(20, 3, padding=1), ReLU(), MaxPool2d(2), Conv2d(33, 3), ReLU(), Conv2d(16, 3, padding=2), MaxPool2d(2),
        Conv2d(18, 3, stride=2, padding=1), ReLU(), Flatten(), Linear(5),
    ),
    (21, 18, 3),
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(NARROWED))
def test_whole_networks_train_like_the_reference_on_every_instruction_set(name):
    cpu, features = NARROWED[name]
    if not all(llvm.get_host_cpu_features().get(feature) for feature in features):
        pytest.skip(f"this machine has no {name}")
    engine = NativeEngine(make_target(cpu, features, llvm.get_process_triple()), algorithm="winograd")
    settings = StepSettings(CrossEntropy(), SGD(momentum=0.9), 12)
    random = np.random.default_rng(1)
    programs = [e.train_program(NETWORK, initial_parameters(NETWORK, 2), settings) for e in (engine, ReferenceEngine())]
    for count in (12, 7, 12):
        images = random.integers(0, 256, (count, 21, 18, 3), np.uint8)
        labels = random.integers(0, 5, count).astype(np.int32)
        for program in programs:
            program.step(images, labels, 0.05)
        got, want = (program.gradients() for program in programs)
        for key, value in want.items():
            assert np.abs(got[key] - value).max() <= 2e-5 * np.abs(value).max(), key


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("threads", [2, 3, 7])
def test_the_bits_do_not_depend_on_the_number_of_threads(threads):
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (30, 21, 18, 3), np.uint8)
    labels = random.integers(0, 5, 30).astype(np.int32)
    made = []
    for count in (1, threads):
        settings = StepSettings(CrossEntropy(), SGD(momentum=0.9), 32)
        program = ENGINE.train_program(NETWORK, initial_parameters(NETWORK, 2), settings, count)
        for _ in range(3):
            program.step(images, labels, 0.05)
        predictor = ENGINE.predictor(NETWORK, program.parameters(), count)
        assert (program.threads, predictor.threads) == (count, count)
        made.append((program.parameters(), predictor.logits(images)))
    assert all(made[0][0][name].tobytes() == value.tobytes() for name, value in made[1][0].items())
    assert made[0][1].tobytes() == made[1][1].tobytes()


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("size", [9, 40], ids=["one block", "several blocks"])
def test_threads_share_the_panels_of_one_image(size):
    # 88 filters: panels of which the last is narrower; more threads than panels, and as many as cut blocks in two
    graph = trace(Sequential(Conv2d(16, 3, padding=1), Conv2d(88, 3, padding=1), ReLU(), MaxPool2d(2)), (size, size, 3))
    parameters = initial_parameters(graph, 2)
    image = np.random.default_rng(1).integers(0, 256, (1, size, size, 3), np.uint8)
    want = ENGINE.predictor(graph, parameters, 1).logits(image)
    check_forward(1, size, size, 16, 88, 1, seed=7)  # on all threads that there are
    for threads in (2, 3, 7):
        predictor = ENGINE.predictor(graph, parameters, threads)
        assert predictor.threads == threads
        for _ in range(5):
            assert predictor.logits(image).tobytes() == want.tobytes()


def test_new_parameters_are_prepared_again():
    parameters = initial_parameters(NETWORK, 2)
    predictor = ENGINE.predictor(NETWORK, initial_parameters(NETWORK, 3))
    images = np.random.default_rng(1).integers(0, 256, (3, 21, 18, 3), np.uint8)
    before = predictor.logits(images)
    predictor.load(parameters)
    after = predictor.logits(images)
    assert after.tobytes() == ENGINE.predictor(NETWORK, parameters).logits(images).tobytes()
    assert not np.array_equal(before, after)
