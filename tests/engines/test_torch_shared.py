"""PyTorch's steps in slices: what the native engine computes, alone, in several processes, and through DDP."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import torch_ranks
from neocog.engines import get_engine
from neocog.engines.base import SharedTrainProgram, StepSettings
from neocog.engines.native import NativeEngine
from neocog.engines.sharing import program_for, slices_for
from neocog.errors import DataError, SettingError
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.followers import EMA
from neocog.nn.graph import trace
from neocog.nn.groups import GradientClip
from neocog.nn.layers import BatchNorm2d, Conv2d, Dropout, GlobalAvgPool2d, Linear, ReLU
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy
from neocog.nn.optimizers import SGD, Adam
from neocog.nn.parameters import initial_parameters
from neocog.nn.slicing import Slicing
from neocog.ranks.world import Alone, LostProcessError
from thread_world import ThreadWorld, in_threads

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

SECONDS = 300  # that a training in processes may take on a loaded machine
BATCH = 12
SIZES = (12, 7, 1, 12)  # a short batch leaves slices, and whole processes, without images
GRAPH = trace(
    Sequential(
        *(Conv2d(6, 3, 1, 1, bias=False), BatchNorm2d(), ReLU()),
        Residual(Sequential(Conv2d(6, 3, 1, 1, bias=False), BatchNorm2d())),
        *(ReLU(), Dropout(0.3), GlobalAvgPool2d(), Linear(3)),
    ),
    (6, 6, 2),
)
CASES = {
    "sgd": {},
    # an epsilon of some size, since Adam divides by the gradient's, and of small ones that is rounding
    "adam": {"optimizer": Adam(0.01, epsilon=1e-2), "clip": GradientClip(0.5), "followers": (EMA(0.9),)},
    "weights": {"loss": CrossEntropy(weights=(1.0, 2.0, 4.0))},
    "labels": {"loss": BinaryCrossEntropy(2.0), "frozen": ("0",)},
}


def trained(engine, slicing: Slicing, world, more: dict) -> tuple[list[float], dict[str, np.ndarray]]:
    """Take steps; return their losses, and all that the network keeps."""
    given = {"loss": CrossEntropy(0.1), "optimizer": SGD(0.1, momentum=0.9, weight_decay=0.01), **more}
    settings = StepSettings(batch_size=BATCH, slicing=slicing, seed=3, **given)
    program = program_for(engine, GRAPH, initial_parameters(GRAPH, 1), settings, 1, world)
    assert isinstance(program, SharedTrainProgram)
    rng, losses = np.random.default_rng(3), []
    x, y = rng.random((BATCH, 6, 6, 2), np.float32) + 3, rng.integers(0, 3, BATCH)
    world = world or Alone()
    for whole in SIZES:
        places = slicing.images(slicing.slices(world.rank, world.size), BATCH, whole)
        here = slice(places.start, places.stop)
        result = program.step(x[:whole][here], y[:whole][here], 0.05, whole)
        assert result.logits.shape == (len(places), 3)
        losses.append(result.loss)
    return losses, {**program.parameters(), **program.optimizer_state()}


def alike(found: tuple, wanted: tuple) -> None:
    assert found[0] == pytest.approx(wanted[0], rel=1e-4)
    assert set(found[1]) == set(wanted[1])
    for name, value in wanted[1].items():
        assert np.allclose(found[1][name], value, rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("sync_norms", [False, True], ids=["apart", "sync"])
@pytest.mark.parametrize("name", CASES)
def test_slices_are_those_of_the_native_engine_on_any_number_of_processes(name, sync_norms):
    slicing = Slicing(5, sync_norms)
    wanted = trained(NativeEngine(), slicing, Alone(), CASES[name])
    alike(trained(get_engine("torch"), slicing, None, CASES[name]), wanted)
    for found in in_threads(3, lambda world: trained(get_engine("torch"), slicing, world, CASES[name]), ThreadWorld):
        alike(found, wanted)


def test_two_processes_of_torchrun_have_the_losses_of_the_native_engine(tmp_path):
    """50 steps and more through DDP and gloo, with short batches, augmentation, Dropout and validation."""
    script, told = Path(torch_ranks.__file__), tmp_path / "losses.json"
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = subprocess.run(
        [*launcher, str(script), str(told)], timeout=SECONDS, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    for name, found in json.loads(told.read_text()).items():
        wanted = torch_ranks.losses("native", None, sync_bn=name == "sync")
        assert len(found) == len(wanted) > 50
        assert np.abs(np.array(found) - wanted).max() < 1e-4, name


def test_by_default_each_process_has_one_slice():
    assert slices_for("torch:cuda:1", 128, 3) == slices_for(get_engine("torch"), 128, 3) == 3
    assert slices_for("native", 128, 3) == 8


def test_what_does_not_fit_is_refused():
    settings = StepSettings(CrossEntropy(), SGD(), BATCH, slicing=Slicing(4))
    parameters = initial_parameters(GRAPH)
    program = program_for(get_engine("torch"), GRAPH, parameters, settings, 1, None)
    x, y = np.zeros((BATCH, 6, 6, 2), np.float32), np.zeros(BATCH, int)
    with pytest.raises(DataError, match="process 0 needs 5 of the 5 images of a step, got 3"):
        program.step(x[:3], y[:3], 0.1, 5)
    with pytest.raises(SettingError, match="a step takes 1 to 12 images, got 13"):
        program.step(x, y, 0.1, 13)
    with pytest.raises(SettingError, match="4 slices cannot be shared by 5 processes"):
        in_threads(5, lambda world: program_for(get_engine("torch"), GRAPH, parameters, settings, 1, world))


def test_a_process_that_is_gone_is_told():
    class Dead(Alone):
        size = 2

        def all_reduce(self, values):
            raise RuntimeError("[gloo/transport/tcp/pair.cc:1] Connection closed by peer\nmore")

    settings = StepSettings(CrossEntropy(), SGD(), BATCH, slicing=Slicing(2))
    program = program_for(get_engine("torch"), GRAPH, initial_parameters(GRAPH), settings, 1, Dead())
    with pytest.raises(LostProcessError, match="process 0 of 2 no longer hears from the others") as caught:
        program.step(np.zeros((6, 6, 6, 2), np.float32), np.zeros(6, int), 0.1, BATCH)
    assert caught.value.details == ("cause: [gloo/transport/tcp/pair.cc:1] Connection closed by peer",)
