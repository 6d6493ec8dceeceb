"""Compiled networks answer as their models do, in memory of NaN, and touch nothing but what is lent to them."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from neocog.errors import EngineError, FormatError, NeocogError
from neocog.jit.host import host_target
from neocog.model.calibration import Calibration, CurvePoint
from neocog.model.network import Network
from neocog.nn.blocks import Concat, Residual, Sequential
from neocog.nn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
    ReLU6,
    SiLU,
)
from neocog.nn.losses import BinaryCrossEntropy
from neocog.standalone import selftest
from neocog.standalone.code import code_of
from neocog.standalone.folder import write_folder
from neocog.standalone.machines import HERE, MACHINES
from neocog.standalone.verify import TOLERANCE, verify

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, HERE.compilers)), reason="no C compiler is installed: apt-get install gcc"
)

PLAIN = Sequential(Conv2d(6, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(3))
THOROUGH = os.environ.get("NEOCOG_TEST_PROFILE") == "thorough"
NETWORKS = {
    "plain": (PLAIN, (9, 8, 1)),
    "winograd": (
        Sequential(
            *(part for _ in range(2) for part in (Conv2d(18, 3, padding=1), ReLU())), MaxPool2d(2), Conv2d(20, 3)
        ),
        (13, 13, 3),
    ),
    "blocks": (
        Sequential(
            *(Conv2d(16, 3, 2, 1, bias=False), BatchNorm2d(), ReLU6()),
            Residual(Sequential(Conv2d(16, 3, padding=1), BatchNorm2d(), ReLU(), Conv2d(16, 3, padding=1))),
            *(Conv2d(16, 3, 1, 1, groups=16), Conv2d(24, 1), Concat(Conv2d(8, 1), Conv2d(4, 3, padding=1)), SiLU()),
            *(Conv2d(20, 3, 1, 1, groups=4), AvgPool2d(3, 2, 1), LocalResponseNorm(3), GlobalAvgPool2d(), Linear(5)),
        ),
        (17, 15, 3),
    ),
    "moved": (
        Sequential(
            *(Dropout(0.2), Conv2d(5, (3, 2), stride=2, padding="same"), ConvTranspose2d(4, 2, 2), MaxPool2d(3, 2, 1)),
            *(Conv2d(7, 3, dilation=2, bias=False), Flatten(), Linear(6), ReLU(), Linear(3)),
        ),
        (14, 12, 2),
    ),
}


def network_of(name: str, **settings: object) -> Network:
    net, shape = NETWORKS[name]
    if name == "winograd":
        net = Sequential(net, GlobalAvgPool2d())
    network = Network(net, shape, seed=4, mean=0.4, std=0.3, **settings)
    stream = np.random.default_rng(1)
    spread = {  # what is 0 or 1 at first would hide what is left out
        key: value + stream.uniform(0.1, 0.5, value.shape).astype(np.float32) if value.ndim == 1 else value
        for key, value in network.parameters.items()
    }
    network.load_parameters(spread)
    return network


def images_for(network: Network, count: int = 20) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (count, *network.input_shape), dtype=np.uint8)


def verified(network: Network, target: str, folder: Path):
    write_folder(folder, code_of(network, target, "net"), network)
    return verify(folder, network, images_for(network))


def narrower() -> list[str]:
    """Name the processors of x86-64 that this one can stand for."""
    if not host_target().triple.startswith("x86_64"):
        return []
    widest = {4: 1, 8: 2, 16: 3}[host_target().lanes]
    return ["x86-64-sse2", "x86-64-avx2", "x86-64-avx512"][:widest]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("target", ["native", *narrower()])
def test_answers_on_this_machine_are_the_models(name: str, target: str, tmp_path: Path) -> None:
    found = verified(network_of(name), target, tmp_path)
    assert found.images == 20
    assert found.difference < 1e-5
    assert found.emulator == ""


@pytest.mark.parametrize("name", NETWORKS if THOROUGH else ["plain"])
@pytest.mark.parametrize("target", MACHINES)
def test_answers_under_an_emulator_are_the_models(name: str, target: str, tmp_path: Path) -> None:
    network = network_of(name)
    write_folder(tmp_path, code_of(network, target, "net"), network)
    try:
        found = verify(tmp_path, network, images_for(network))
    except EngineError as error:
        if "not installed" not in error.message and "cannot be run here" not in error.message:
            raise
        pytest.skip(f"{error.message}; {error.hint}")
    assert found.emulator
    assert found.difference < TOLERANCE / 10


@pytest.mark.parametrize("views", ["flip", "flip-shift"])
def test_views_are_inside(views: str, tmp_path: Path) -> None:
    assert verified(network_of("plain", views=views), "native", tmp_path).difference < 1e-5


def test_temperature_and_unknown_are_inside(tmp_path: Path) -> None:
    network = network_of("plain")
    network.calibration = Calibration(2.5, 10, (CurvePoint(0.5, 10, 9),))
    certain = network.predict_proba(images_for(network), batch_size=1).max(axis=1)
    network.reject_below = float(np.median(certain))
    assert verified(network, "native", tmp_path).difference < 1e-5
    answers = network.predict(images_for(network))
    assert (answers == -1).any()
    assert (answers != -1).any()
    network.reject_below = None
    with pytest.raises(NeocogError, match="is answered with -1, by the model with"):
        verify(tmp_path, network, images_for(network))


def test_several_labels_are_counted_by_their_thresholds(tmp_path: Path) -> None:
    network = network_of("plain", loss=BinaryCrossEntropy())
    network.thresholds = [0.3, 0.5, 0.8]
    assert verified(network, "native", tmp_path).difference < 1e-5
    assert len(set(network.predict(images_for(network)).sum(axis=1))) > 1


def test_the_code_of_another_model_is_found_out(tmp_path: Path) -> None:
    network = network_of("plain")
    write_folder(tmp_path, code_of(network, "native", "net"), network)
    other = Network(PLAIN, (9, 8, 1), seed=5)
    with pytest.raises(NeocogError, match="20 of 20 images get other probabilities than by the model"):
        verify(tmp_path, other, images_for(other))


def test_code_that_writes_beyond_its_arena_is_found_out(tmp_path: Path) -> None:
    network = network_of("plain")
    code = code_of(network, "native", "net")
    write_folder(tmp_path, code, network)
    header = tmp_path / "net.h"
    header.write_text(
        header.read_text().replace(f"ARENA_BYTES {code.arena_bytes} ", f"ARENA_BYTES {code.arena_bytes // 2} ")
    )
    with pytest.raises(NeocogError) as raised:
        verify(tmp_path, network, images_for(network))
    assert "memory outside the arena was written to" in raised.value.details


def test_a_folder_without_code_is_refused(tmp_path: Path) -> None:
    network = network_of("plain")
    with pytest.raises(FormatError, match="holds no compiled network"):
        verify(tmp_path, network, images_for(network))
    (tmp_path / "neocog.json").write_text('{"name": "../net", "target": "native", "triple": "x86_64"}')
    with pytest.raises(FormatError, match="holds no compiled network"):
        verify(tmp_path, network, images_for(network))


def test_a_folder_without_an_object_is_told(tmp_path: Path) -> None:
    network = network_of("plain")
    write_folder(tmp_path, code_of(network, "native", "net", "asm"), network)
    with pytest.raises(EngineError, match=r"holds no net\.o") as raised:
        verify(tmp_path, network, images_for(network))
    assert "--emit object" in (raised.value.hint or "")


def test_a_processor_that_lacks_instructions_is_told() -> None:
    assert "lacks an instruction" in selftest._reason(-signal.SIGILL)


def test_missing_tools_are_named_with_the_packages_that_bring_them(tmp_path: Path, monkeypatch) -> None:
    network = network_of("plain")
    monkeypatch.setattr(selftest.shutil, "which", lambda name: None)
    for target in ("aarch64", "rv32", "cortex-m4"):
        write_folder(tmp_path, code_of(network, target, "net"), network)
        tools = MACHINES[target]
        with pytest.raises(EngineError, match=f"needs {tools.compilers[0]}, which is not installed") as raised:
            verify(tmp_path, network, images_for(network))
        assert raised.value.hint == f"on Debian: apt-get install {tools.package}"
