"""Networks in int8 as object files: the oracle's numbers on any processor, in a quarter of the room."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from int8_cases import scales_of
from neocog.engines.reference import ReferenceEngine
from neocog.errors import EngineError, SettingError
from neocog.jit.host import host_target
from neocog.model.network import Network
from neocog.nn.blocks import Concat, Residual, Sequential
from neocog.nn.layers import Conv2d, Flatten, LeakyReLU, Linear, MaxPool2d, ReLU, ReLU6
from neocog.nn.rewrite import fold_norms
from neocog.nn.scales import Scales
from neocog.nn.zoo import mobilenet_v1_x0_25
from neocog.plan.planner import plan_program
from neocog.plan.program import LOGITS
from neocog.plan.standalone import stand_alone
from neocog.standalone.code import MAY_CALL, code_of
from neocog.standalone.folder import read_note, write_folder
from neocog.standalone.header import header_of, readme_of
from neocog.standalone.machines import MACHINES
from neocog.standalone.selftest import answers_of, build
from neocog.target.ahead import AHEAD

NET = Sequential(
    *(Conv2d(9, 3, 2, 1), ReLU6(), Conv2d(9, 3, padding=1, groups=9), LeakyReLU(0.1), Conv2d(12, 1)),
    *(Residual(Sequential(Conv2d(12, 3, padding=1), ReLU())), Conv2d(8, 3, padding=1, groups=2), ReLU(), MaxPool2d(2)),
    *(Flatten(), Linear(4)),
)
"""Images and values with and without a sign; words across pixels; groups and channels that fill no vector."""
THOROUGH = os.environ.get("NEOCOG_TEST_PROFILE") == "thorough"


@cache
def case() -> tuple[Network, Scales, np.ndarray, np.ndarray]:
    """Return a network, its scales, images, and the probabilities that the oracle gives them."""
    network = Network(NET, (13, 12, 3), seed=4, mean=0.4, std=0.3)
    images = np.random.default_rng(2).integers(0, 256, (20, 13, 12, 3), dtype=np.uint8)
    scales = scales_of(network.graph, network.parameters, images)
    logits = ReferenceEngine().int8_predictor(network.graph, network.parameters, scales).logits(images)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return network, scales, images, powers / powers.sum(axis=1, keepdims=True)


def _difference(target: str, folder: Path, place: Path) -> float:
    network, scales, images, wanted = case()
    write_folder(folder, code_of(network, target, "net", scales=scales), network)
    note = read_note(folder)
    try:
        built = build(folder.absolute(), note.name, note.target, note.triple, place)
        _, probabilities = answers_of(built, images, 4)
    except EngineError as error:
        if "not installed" not in error.message and "cannot be run here" not in error.message:
            raise
        pytest.skip(f"{error.message}; {error.hint}")
    return float(np.abs(probabilities - wanted).max())


def _here() -> list[str]:
    widest = {4: 1, 8: 2, 16: 3}[host_target().lanes] if host_target().triple.startswith("x86_64") else 0
    return ["native", *["x86-64-sse2", "x86-64-avx2", "x86-64-avx512"][:widest]]


@pytest.mark.parametrize("target", [*_here(), *(MACHINES if THOROUGH else ())])
def test_answers_are_the_oracles(target: str, tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    assert _difference(target, tmp_path / "folder", tmp_path / "place") < 1e-6


@pytest.mark.parametrize("target", AHEAD)
def test_every_target_compiles_and_needs_no_library(target: str) -> None:
    network, scales, _, _ = case()
    code = code_of(network, target, "net", scales=scales)
    assert code.file is None or set(code.file.undefined) <= MAY_CALL


def test_what_is_written_beside_the_object_says_what_it_computes_in() -> None:
    network, scales, _, _ = case()
    for given, said in ((scales, "It computes in int8, and answers as"), (None, "It computes in float32.")):
        code = code_of(network, "cortex-m4", "net", scales=given)
        assert said in header_of(code, network)
        assert said in readme_of(code, network)


def test_weights_take_a_quarter_of_the_room_and_images_too() -> None:
    """MobileNetV1, a quarter as wide, on 96 x 96 pixels: what is in use at a time, and 3 % for zeros around images."""
    graph = fold_norms(Network(mobilenet_v1_x0_25(), (96, 96, 3)).graph).graph
    target = AHEAD["cortex-m7"].target
    plans = {
        precision: stand_alone(plan_program(graph, 1, target, outputs=(LOGITS,), precision=precision))
        for precision in ("float32", "int8")
    }
    assert plans["int8"].constant_bytes < 0.28 * plans["float32"].constant_bytes
    live = 48 * 48 * (8 + 16)  # what the first pointwise convolution takes, and gives
    assert live <= plans["int8"].work_bytes < 1.05 * live


def test_scales_of_another_network_are_refused() -> None:
    network, _, _, _ = case()
    with pytest.raises(SettingError, match="scales must be those of the network's"):
        code_of(network, "native", "net", scales=Scales(0.1, {"0": 0.5}))


def test_words_that_begin_off_alignment_are_read_as_such() -> None:
    # The second window begins a pixel of 3 bytes later than the first one, where the image has a pixel of padding.
    net = Sequential(Concat(Conv2d(8, 3, 4, ((0, 0), (1, 0))), Conv2d(8, (3, 1), 4)), ReLU(), Flatten(), Linear(3))
    network = Network(net, (16, 15, 3), seed=1, mean=0.5, std=0.25)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 15, 3), dtype=np.uint8)
    scales = scales_of(network.graph, network.parameters, images)
    text = code_of(network, "rv32", "net", "llvm", scales).content.decode()
    aligned = {
        line.rpartition("align ")[2].split(",")[0].split()[0] for line in text.splitlines() if " load i32, " in line
    }
    assert "1" in aligned
