"""`python -m benchmarks.gpu`: the torch engine on a GPU, beside trainings written by hand in PyTorch, in a few minutes.

Two recipes: airbench94 on images of CIFAR-10's size, and ResNet-18 on photographs' size, each on noise, since speed
hangs on the size alone. Both sides compute in the same precision, channels last, through torch.compile with CUDA
graphs, with fused optimizers. What they compute is compared first: logits of the same weights, and the losses of the
first steps; nothing is timed where these differ. The first epoch, which compiles, does not count. `--tiny` does all of
it on processors, not compiled, with a few images: it shows that the command works, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

import neocog as nc
from benchmarks.machine import describe
from benchmarks.recipes import airbench as peer
from benchmarks.recipes.parts import Parts
from neocog.engines.torch import TorchEngine
from neocog.train.fit import fit
from neocog.train.recipes import airbench
from neocog.train.source import ArraySource

COMPARED, EPOCHS = 3, 3  # steps; and epochs of a tiny training, of one step each
FLOAT32, BFLOAT16 = 1e-3, 2e-2  # the most by which losses may differ, relative; logits are compared in float32
RATE, MOMENTUM, DECAY = 0.1, 0.9, 5e-4  # of ResNet-18


@dataclass(frozen=True, slots=True)
class Machine:
    """What both sides compute with.

    Arguments:
        device: as PyTorch names it. bfloat16: whether autocast rounds to it. compiled: whether torch.compile is used.
    """

    device: str
    bfloat16: bool
    compiled: bool

    @property
    def mode(self) -> str | None:
        """torch.compile's mode."""
        return ("reduce-overhead" if self.device.startswith("cuda") else "default") if self.compiled else None

    @property
    def engine(self) -> TorchEngine:
        """neocog's side."""
        return TorchEngine(self.device, precision="bfloat16" if self.bfloat16 else "float32", compiled=self.compiled)

    def wait(self) -> None:
        """Return when all is computed."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


class Recipe(Protocol):
    """A training, by neocog and by hand."""

    name: str
    images: int
    batch: int
    epochs: int
    model: nc.Model
    settings: nc.TrainingSettings
    x: NDArray[np.uint8]
    y: NDArray[np.int64]

    def module(self) -> nn.Module:
        """Return the network as it is written by hand, with the weights of the model, channels last on the device."""

    def normalised(self, images: NDArray[np.uint8]) -> torch.Tensor:
        """Return images as that network takes them."""

    def steps(self, module: nn.Module) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """Return what takes a step by hand, on images as the network takes them; it gives the mean loss before it."""

    def epochs_by_hand(self) -> Iterator[Iterator[tuple[torch.Tensor, torch.Tensor]]]:
        """Yield the batches of one epoch after the other, augmented, on the device."""


class Airbench:
    """airbench94, whose hand-written side keeps all images on the device and changes them there, as its source does."""

    name = "airbench94"

    def __init__(self, machine: Machine, images: int, epochs: int) -> None:
        self.machine, self.images, self.epochs = machine, images, epochs
        self.batch = airbench.batch_size(images)
        self.x, self.y = noise(images, 32), np.arange(images) % 10
        self.parts = Parts("noise", self.x, self.y, self.x[:1], self.y[:1], tuple("abcdefghij"))
        mean, std = self.parts.mean, self.parts.std
        self.model = nc.Model(nc.zoo.airbench94(), (32, 32, 3), mean=mean, std=std, engine=machine.engine)
        airbench.start(self.model, self.x)
        self.settings = airbench.settings(self.model.graph, images, epochs=epochs)

    def module(self) -> nn.Module:
        module = peer.Airbench(peer.normalised(self.parts, self.x[:1000]))
        state = {name: torch.from_numpy(value) for name, value in self.model.state_dict().items()}
        last = state.pop("25.weight") * peer.LOGITS
        module.load_state_dict({f"layers.{name}": value for name, value in state.items()}, strict=False)
        module.classes.weight.data.copy_(last)
        return module.to(self.machine.device, memory_format=torch.channels_last).train()

    def normalised(self, images: NDArray[np.uint8]) -> torch.Tensor:
        return peer.normalised(self.parts, images).to(self.machine.device)

    def steps(self, module: nn.Module) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        assert isinstance(module, peer.Airbench)
        fused = self.machine.device.startswith("cuda")
        epoch = -(-self.images // self.batch)
        training = peer.Training(module, self.batch, epoch, self.epochs, mode=self.machine.mode, fused=fused)
        return lambda x, y: training.begin(x, y, bfloat16=self.machine.bfloat16) / len(x)

    def epochs_by_hand(self) -> Iterator[Iterator[tuple[torch.Tensor, torch.Tensor]]]:
        labels = torch.from_numpy(self.y).to(self.machine.device)
        return peer.epochs_of(self.normalised(self.x), labels, self.batch, 0)


class Photographs:
    """ResNet-18, whose hand-written side sends bytes through pinned memory, and mirrors them on the device."""

    name = "resnet18"

    def __init__(self, machine: Machine, images: int, batch: int, side: int, epochs: int) -> None:
        self.machine, self.images, self.batch, self.epochs = machine, images, batch, epochs
        self.x, self.y = noise(images, side), np.arange(images) % 10
        self.model = nc.Model(nc.zoo.resnet18(10), (side, side, 3), mean=0.5, std=0.25, engine=machine.engine)
        self.settings = nc.TrainingSettings(
            epochs=epochs,
            batch_size=batch,
            optimizer=nc.SGD(RATE, momentum=MOMENTUM, weight_decay=DECAY),
            schedule=nc.Constant(),
            augment="flip",  # type: ignore[arg-type]  # as users write it
            keep="last",
        )

    def module(self) -> nn.Module:
        module = ResNet18(10)
        state = {name: torch.from_numpy(value) for name, value in self.model.state_dict().items()}
        missing, unknown = module.load_state_dict(state, strict=False)
        assert not unknown
        assert all(name.endswith("num_batches_tracked") for name in missing), missing
        return module.to(self.machine.device, memory_format=torch.channels_last).train()

    def normalised(self, images: NDArray[np.uint8]) -> torch.Tensor:
        return self._seen(torch.from_numpy(images).to(self.machine.device))

    def _seen(self, images: torch.Tensor) -> torch.Tensor:
        return ((images.float() / 255 - 0.5) / 0.25).permute(0, 3, 1, 2)

    def steps(self, module: nn.Module) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        machine = self.machine
        groups = [
            {"params": [p for p in module.parameters() if (p.ndim > 1) == decays], "weight_decay": DECAY * decays}
            for decays in (True, False)
        ]
        fused = machine.device.startswith("cuda")
        optimizer = torch.optim.SGD(groups, RATE, momentum=MOMENTUM, fused=fused)
        network = module if machine.mode is None else torch.compile(module, mode=machine.mode)

        def step(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            with torch.autocast(machine.device.split(":")[0], torch.bfloat16, enabled=machine.bfloat16):
                logits = network(images)
            loss = functional.cross_entropy(logits.float(), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            return loss.detach()

        return step

    def epochs_by_hand(self) -> Iterator[Iterator[tuple[torch.Tensor, torch.Tensor]]]:
        draw, device = torch.Generator().manual_seed(0), self.machine.device
        images, labels, pinned = torch.from_numpy(self.x), torch.from_numpy(self.y), device.startswith("cuda")

        def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            for chosen in torch.randperm(len(images), generator=draw).split(self.batch):
                here = torch.empty((len(chosen), *images.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
                torch.index_select(images, 0, chosen, out=here)
                x = self._seen(here.to(device, non_blocking=True))
                mirrored = torch.rand(len(x), device=device) < 0.5
                y = labels[chosen].pin_memory() if pinned else labels[chosen]  # else each step waits for the GPU
                yield torch.where(mirrored[:, None, None, None], x.flip(3), x), y.to(device, non_blocking=True)

        while True:
            yield batches()


class _Block(nn.Module):  # type: ignore[misc]
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(y)) + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):  # type: ignore[misc]
    """ResNet-18 (He et al. 2016), with torchvision's names."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for stage, width in enumerate((64, 128, 256, 512), 1):
            first = _Block(inputs, width, 1 if stage == 1 else 2)
            setattr(self, f"layer{stage}", nn.Sequential(first, _Block(width, width, 1)))
            inputs = width
        self.fc = nn.Linear(512, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits


def noise(count: int, side: int) -> NDArray[np.uint8]:
    """Return images of noise."""
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), np.uint8)


def compare(recipe: Recipe, machine: Machine) -> dict[str, float]:
    """Return by how much the sides differ in what they compute, relative to the largest number.

    Raises:
        AssertionError: by too much.
    """
    batch, module = recipe.x[: recipe.batch], recipe.module()
    x, y = recipe.normalised(batch), torch.from_numpy(recipe.y[: recipe.batch]).to(machine.device)
    exact = TorchEngine(machine.device).predictor(recipe.model.graph, recipe.model.parameters)
    with torch.no_grad():
        theirs = module.eval()(x).float().cpu().numpy()
    logits = float(np.abs(exact.logits(batch) - theirs).max() / np.abs(theirs).max())
    before = dict(recipe.model.parameters)
    trainer, step = nc.Trainer(recipe.model, settings=recipe.settings), recipe.steps(module.train())
    rates = [peer.factor(number, recipe.epochs * -(-recipe.images // recipe.batch)) for number in range(COMPARED)]
    found = []
    for rate in rates:
        factor = rate if recipe.name == "airbench94" else 1.0
        trainer.learning_rate = recipe.settings.optimizer.learning_rate * factor
        found.append((trainer.step(batch, recipe.y[: recipe.batch]), float(step(x, y))))
    recipe.model.load_parameters(before)
    losses = max(abs(mine - theirs) / abs(theirs) for mine, theirs in found)
    assert logits < FLOAT32, f"{recipe.name}: logits differ by {logits:.1e}"
    assert losses < (BFLOAT16 if machine.bfloat16 else FLOAT32), f"{recipe.name}: losses differ: {found}"
    return {"logits differ by": logits, "first losses differ by": losses}


def by_neocog(recipe: Recipe) -> list[float]:
    """Train; return the images a second of each epoch but the first, without what is done between epochs."""
    source = ArraySource(recipe.x, recipe.y, batch_size=recipe.batch)
    history = fit(recipe.model, source, verbose=0, **recipe.settings.given())
    return [epoch.images_per_second for epoch in history.epochs[1:]]


def by_hand(recipe: Recipe, machine: Machine) -> list[float]:
    """Train; return the images a second of each epoch but the first."""
    step, rates = recipe.steps(recipe.module()), []
    for _, batches in zip(range(recipe.epochs), recipe.epochs_by_hand(), strict=False):
        began = time.perf_counter()
        for x, y in batches:
            step(x, y)
        machine.wait()
        rates.append(recipe.images / (time.perf_counter() - began))
    return rates[1:]


def measure(recipe: Recipe, machine: Machine) -> dict[str, Any]:
    """Compare both sides, then time them."""
    result: dict[str, Any] = {"images": recipe.images, "batch": recipe.batch, **compare(recipe, machine)}
    for side, rates in (("neocog", by_neocog(recipe)), ("by hand", by_hand(recipe, machine))):
        result[f"{side}: images a second"] = float(np.median(rates))
        result[f"{side}: quartiles"] = [float(quartile) for quartile in np.quantile(rates, (0.25, 0.75))]
    result["neocog / by hand"] = result["neocog: images a second"] / result["by hand: images a second"]
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="default: bfloat16 on a GPU")
    parser.add_argument("--recipe", choices=(Airbench.name, Photographs.name), help="this one alone")
    parser.add_argument("--tiny", action="store_true", help="a few images on processors, to see that it works")
    given = parser.parse_args(arguments)
    device = "cpu" if given.tiny else given.device
    gpu = device.startswith("cuda")
    if gpu and not torch.cuda.is_available():
        parser.error("PyTorch sees no GPU here; --tiny shows on processors that the command works")
    if gpu:
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = True, False
    precision = given.precision or ("bfloat16" if gpu else "float32")
    machine = Machine(device, bfloat16=precision == "bfloat16", compiled=gpu)
    recipes: dict[str, Callable[[], Recipe]] = {
        Airbench.name: lambda: Airbench(machine, *((8, EPOCHS) if given.tiny else (50_000, 20))),
        Photographs.name: lambda: Photographs(machine, *((2, 2, 32, EPOCHS) if given.tiny else (2560, 256, 224, 12))),
    }
    card = torch.cuda.get_device_name() if gpu else "none: figures of processors mean nothing here"
    found = {name: measure(made(), machine) for name, made in recipes.items() if given.recipe in (None, name)}
    print(json.dumps({**describe(), "card": card, "precision": precision, **found}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
