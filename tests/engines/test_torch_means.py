"""What the torch engine does on GPUs, where processors have it too: bfloat16, fused optimizers, steps begun ahead."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

import neocog as nc
from neocog.engines import get_engine
from neocog.engines.base import StepSettings
from neocog.engines.sharing import program_for
from neocog.errors import EngineError, SettingError
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD, Adam, AdamW, Lookahead
from neocog.nn.parameters import initial_parameters
from neocog.nn.slicing import Slicing
from neocog.train.callbacks import Callback

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from neocog.engines.torch import TorchEngine  # noqa: E402
from neocog.engines.torch.device import found_device, settled_on  # noqa: E402
from neocog.engines.torch.training import TorchTrainProgram  # noqa: E402

NET = Sequential(
    *(Conv2d(8, 3, padding=1, bias=False), BatchNorm2d(), ReLU(), Conv2d(8, 1), ReLU()),
    *(GlobalAvgPool2d(), Linear(3)),
)
GRAPH = trace(NET, (8, 8, 2))
IMAGES, LABELS = np.random.default_rng(2).random((40, 8, 8, 2), np.float32), np.arange(40) % 3


def steps(engine, optimizer, count: int = 6) -> tuple[list[float], dict[str, np.ndarray]]:
    settings = StepSettings(CrossEntropy(), optimizer, 16)
    program = engine.train_program(GRAPH, initial_parameters(GRAPH, 1), settings, 1)
    losses = [program.step(IMAGES[:16], LABELS[:16], 0.05).loss for _ in range(count)]
    return losses, {**program.parameters(), **program.optimizer_state()}


def test_bfloat16_rounds_products_and_nothing_that_is_kept():
    exact, kept = steps(get_engine("torch"), SGD(momentum=0.9))
    half, found = steps(get_engine("torch", "bfloat16"), SGD(momentum=0.9))
    assert half != exact
    assert half == pytest.approx(exact, rel=0.02)
    for name, value in found.items():
        rounded = torch.from_numpy(value).bfloat16().float().numpy()
        assert not np.array_equal(rounded, value), name  # a rounded array would be what it rounds to
        assert np.allclose(value, kept[name], atol=0.02), name


@pytest.mark.parametrize(
    "optimizer",
    [SGD(momentum=0.9, weight_decay=0.01), Adam(), AdamW(weight_decay=0.1), Lookahead(SGD(momentum=0.9), every=2)],
    ids=["sgd", "adam", "adamw", "lookahead"],
)
def test_fused_optimizers_take_the_same_steps(optimizer):
    engine = TorchEngine()
    engine.means = replace(engine.means, fused=True)
    made = engine.train_program(GRAPH, initial_parameters(GRAPH), StepSettings(CrossEntropy(), optimizer, 16))
    assert all(group["fused"] for group in made.optimizers[0].param_groups)
    (losses, kept), (found, state) = steps(get_engine("torch"), optimizer), steps(engine, optimizer)
    assert found == pytest.approx(losses, rel=1e-4)
    for name, value in kept.items():
        assert np.allclose(state[name], value, rtol=1e-3, atol=1e-4), name


class Told(Callback):
    """Notes every step that is told."""

    def __init__(self) -> None:
        self.found: list[tuple[int, int, float, float]] = []

    def on_batch_end(self, run, batch):
        self.found.append((batch.step, batch.images, batch.loss, batch.learning_rate))


@pytest.mark.parametrize("limit", [None, 1e-9], ids=["whole", "cut short"])
def test_steps_begun_ahead_are_told_as_ever(monkeypatch, limit):
    """As a GPU has them: two steps are under way when one is read. With a time limit those that are begun count."""

    def trained() -> tuple[list, list, dict]:
        model, told = nc.Model(NET, (8, 8, 2), engine="torch", seed=1), Told()
        history = model.fit(
            *(IMAGES, LABELS, 3, 16), time_limit=limit, validation_split=0.2, callbacks=[told], verbose=0
        )
        return told.found, [(e.loss, e.accuracy, e.val_loss) for e in history.epochs], dict(model.parameters)

    told, epochs, parameters = trained()
    made = TorchTrainProgram.__init__

    def ahead(self, *given, **more):
        made(self, *given, **more)
        self.ahead = 2

    monkeypatch.setattr(TorchTrainProgram, "__init__", ahead)
    found, after, others = trained()
    if limit is None:
        assert (found, after) == (told, epochs)
        assert all(np.array_equal(others[name], value) for name, value in parameters.items())
    else:
        assert [step for step, *_ in told] == [1]
        assert [step for step, *_ in found] == [1, 2]  # of two steps an epoch
        assert len(after) == 1


def test_engines_have_devices_by_name():
    assert get_engine("torch:cpu").device == get_engine("torch").device == "cpu"
    with pytest.raises(SettingError, match="the native engine takes no device, got 'cuda'"):
        get_engine("native:cuda")
    with pytest.raises(EngineError, match="cannot run on the device 'nowhere'"):
        get_engine("torch:nowhere")


def test_under_a_launcher_each_process_has_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    asked = []
    monkeypatch.setattr(torch, "empty", lambda size, device: asked.append(device))
    assert found_device("cuda", {}) == "cuda"
    assert found_device("cuda", {"LOCAL_RANK": "1"}) == found_device("cuda", {"SLURM_LOCALID": "1"}) == "cuda:1"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # srun --gpus-per-task=1 shows each its own
    assert found_device("cuda", {"SLURM_LOCALID": "1"}) == "cuda:0"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert found_device("cuda:0", {"LOCAL_RANK": "1"}) == "cuda:0"
    assert asked == ["cuda", "cuda:1", "cuda:1", "cuda:0", "cuda:0"]
    with pytest.raises(EngineError, match="process 2 of this machine needs a GPU of its own, and 2 are there"):
        found_device("cuda", {"LOCAL_RANK": "2"})


def test_auto_is_what_a_gpu_computes_with(monkeypatch):
    assert settled_on("cuda", "float32") == "float32"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert settled_on("cuda", "auto") == "float32"
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert settled_on("cuda:1", "auto") == "bfloat16"


@pytest.mark.parametrize(
    ("slicing", "passes"),
    [(None, [16]), (Slicing(2, sync_norms=True), [16]), (Slicing(2), [8, 8])],
    ids=["whole", "slices at once", "slices"],
)
def test_full_batches_are_compiled_for_and_no_others(monkeypatch, slicing, passes):
    seen: list[int] = []

    def noting(network, **_):
        def call(images):
            seen.append(len(images))
            return network(images)

        return call

    def losses(engine) -> list[float]:
        settings = StepSettings(CrossEntropy(), SGD(), 16, slicing=slicing)
        program = program_for(engine, GRAPH, initial_parameters(GRAPH, 1), settings, 1, None)
        return [program.step(IMAGES[:count], LABELS[:count], 0.05).loss for count in (16, 5, 16)]

    wanted = losses(get_engine("torch"))
    monkeypatch.setattr(torch, "compile", noting)
    assert losses(TorchEngine(compiled=True)) == wanted
    assert seen == 2 * passes


def test_where_compiling_fails_a_training_goes_on_and_says_so(monkeypatch):
    def broken(network, **_):
        def call(images):
            raise RuntimeError("no compiler\nmore")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.warns(nc.errors.NeocogWarning, match="torch.compile failed, so that this training is slower: no compi"):
        found = steps(TorchEngine(compiled=True), SGD())
    wanted = steps(get_engine("torch"), SGD())
    assert found[0] == wanted[0]
