"""`python -m benchmarks.recipes.airbench FOLDER`: the recipe airbench94 on CIFAR-10, in PyTorch or by neocog.

Both sides learn from the same images (data_batch_1 to 4), with the same batches of 1,024 or so, by the same rules, each
written for itself; data_batch_5 is measured at the end, in six views. PyTorch's side follows the paper, with sums in
place of means: Jordan 2024, 94 % on CIFAR-10 in 3.29 seconds on a single GPU (arXiv 2404.00498).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from benchmarks.machine import describe
from benchmarks.recipes.parts import Parts, read_parts

EPOCHS, BATCH = 10, 1024
RATE, DECAY, MOMENTUM, BIAS_RATE = 11.5, 0.0153, 0.85, 64.0
SMOOTHING, LOGITS = 0.2, 9.0
RISE, FIRST, LAST = 0.23, 0.2, 0.07
MEET, SLOWEST = 5, 0.95**5
LEARNT_EPOCHS, WHITENED, EPSILON = 3, 5000, 5e-4
CROP = 2


class Norm(nn.BatchNorm2d):  # type: ignore[misc]
    """Batch normalization with a shift that is learnt, and no scale."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-12, momentum=0.4)
        self.weight.requires_grad_(False)


def convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3 × 3 convolution whose first filters pass their input on."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.dirac_(layer.weight.data[:inputs])
    return layer


class Airbench(nn.Module):  # type: ignore[misc]
    """The network."""

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__()
        whiten = nn.Conv2d(3, 24, 2)
        nn.init.zeros_(whiten.bias)
        whiten.weight.requires_grad_(False)
        whiten.weight.copy_(whitening(images))
        layers: list[nn.Module] = [whiten, nn.GELU()]
        inputs = 24
        for width in (64, 256, 256):
            layers += [convolution(inputs, width), nn.MaxPool2d(2), Norm(width), nn.GELU()]
            layers += [convolution(width, width), Norm(width), nn.GELU()]
            inputs = width
        self.layers = nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten())
        self.classes = nn.Linear(inputs, 10, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        logits: torch.Tensor = self.classes(self.layers(images)) / LOGITS
        return logits


def whitening(images: torch.Tensor) -> torch.Tensor:
    """Return the filters (24, 3, 2, 2) that whiten patches of images, and their negatives."""
    patches = functional.unfold(images, 2).transpose(1, 2).reshape(-1, 12)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / (values + EPSILON).sqrt()).T.flip(0).reshape(12, 3, 2, 2)
    return torch.cat([filters, -filters])


def epochs_of(images: torch.Tensor, labels: torch.Tensor, batch: int, seed: int) -> Iterator[Iterator[Any]]:
    """Yield the batches of one epoch after the other, shuffled, cropped, and mirrored in turns."""
    device = images.device
    draw = torch.Generator(device).manual_seed(seed)
    padded = functional.pad(images, (CROP,) * 4, "reflect")
    mirrored = torch.rand(len(images), generator=draw, device=device) < 0.5
    side = images.shape[-1]

    def batches(flips: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        order = torch.randperm(len(images), generator=draw, device=device)
        for chosen in order.split(batch):
            down, right = torch.randint(0, 2 * CROP + 1, (2, len(chosen), 1), generator=draw, device=device)
            columns = torch.arange(side, device=device).expand(len(chosen), side)
            columns = torch.where(flips[chosen, None], columns.flip(1), columns) + right
            rows = torch.arange(side, device=device) + down
            picture = padded[chosen[:, None, None], :, rows[:, :, None], columns[:, None, :]]
            yield picture.permute(0, 3, 1, 2), labels[chosen]

    epoch = 0
    while True:
        yield batches(~mirrored if epoch % 2 else mirrored)
        epoch += 1


def factor(step: int, steps: int) -> float:
    """Return the factor on the learning rate: it rises from 0.2, and falls to 0.07."""
    peak = int(RISE * steps)
    if step < peak:
        return FIRST + (1 - FIRST) * step / peak
    return 1 - (1 - LAST) * (step - peak) / (steps - peak)


class Training:
    """A network, and the rules by which it follows its gradients.

    Arguments:
        model: the network.
        batch: images of a step. epoch: steps of an epoch. epochs: of the whole training.
        mode: of torch.compile; None: it is not used. fused: whether the optimizer is.
    """

    def __init__(
        self, model: Airbench, batch: int, epoch: int, epochs: int, *, mode: str | None = None, fused: bool = False
    ) -> None:
        self.network = model if mode is None else torch.compile(model, mode=mode)
        self.model, self.epoch, self.steps, self.done = model, epoch, epoch * epochs, 0
        scale = BATCH * (1 + 1 / (1 - MOMENTUM))
        rate, decay = RATE / scale, DECAY * batch / scale
        of_norms = [module.bias for module in model.modules() if isinstance(module, Norm)]
        kept = {id(value) for value in of_norms}
        others = [value for value in model.parameters() if value.requires_grad and id(value) not in kept]
        groups: list[dict[str, Any]] = [
            {"params": of_norms, "lr": rate * BIAS_RATE, "weight_decay": decay / (rate * BIAS_RATE)},
            {"params": others, "lr": rate, "weight_decay": decay / rate},
        ]
        self.optimizer = torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True, fused=fused)
        self.rates = [group["lr"] for group in groups]
        self.slow = {name: value.clone() for name, value in model.state_dict().items()}

    def step(self, images: torch.Tensor, labels: torch.Tensor, *, bfloat16: bool = False) -> float:
        """Take one step and return the mean loss before it."""
        return float(self.begin(images, labels, bfloat16=bfloat16)) / len(images)

    def begin(self, images: torch.Tensor, labels: torch.Tensor, *, bfloat16: bool = False) -> torch.Tensor:
        """Take one step and return the sum of losses before it, which a GPU may still be computing."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor(self.done, self.steps)
        self.model.layers[0].bias.requires_grad_(self.done < LEARNT_EPOCHS * self.epoch)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
            logits = self.network(images.contiguous(memory_format=torch.channels_last))
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=SMOOTHING, reduction="sum")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.done += 1
        if self.done % MEET == 0:
            meet(self.model, self.slow, SLOWEST * (self.done / self.steps) ** 3)
        if self.done == self.steps:
            meet(self.model, self.slow, 1.0)
        return loss.detach()


def train(parts: Parts, epochs: int, seed: int, *, bfloat16: bool, most: int | None) -> tuple[Airbench, list[float]]:
    """Return the trained network, and the seconds of each step; at most so many steps."""
    torch.manual_seed(seed)
    images, labels = normalised(parts, parts.images), torch.from_numpy(parts.labels)
    model = Airbench(images[:WHITENED]).to(memory_format=torch.channels_last).train()
    batch = -(-len(images) // max(1, round(len(images) / BATCH)))
    training = Training(model, batch, -(-len(images) // batch), epochs)
    seconds: list[float] = []
    for _, batches in zip(range(epochs), epochs_of(images, labels, batch, seed), strict=False):
        for x, y in batches:
            began = time.perf_counter()
            loss = training.step(x, y, bfloat16=bfloat16)
            seconds.append(time.perf_counter() - began)
            print(f"step {training.done}/{training.steps}: loss {loss:.4f}", file=sys.stderr)
            if most is not None and len(seconds) >= most:
                return model, seconds
    return model, seconds


def meet(model: nn.Module, slow: dict[str, torch.Tensor], decay: float) -> None:
    """Bring slow weights and running averages, of which `decay` is kept, and those of the model together."""
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(slow[name].lerp_(value, 1 - decay))


def normalised(parts: Parts, images: NDArray[np.uint8]) -> torch.Tensor:
    """Return images (N, C, H, W) of mean 0 and deviation 1."""
    mean, std = (torch.tensor(numbers).view(1, -1, 1, 1) for numbers in (parts.mean, parts.std))
    return (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - mean) / std


@torch.no_grad()  # type: ignore[untyped-decorator]
def logits_of(model: nn.Module, images: torch.Tensor, views: int) -> torch.Tensor:
    """Return the mean logits over 1, 2 or 6 views."""
    model.eval()

    def seen(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([model(part.contiguous(memory_format=torch.channels_last)) for part in x.split(500)])

    def both(x: torch.Tensor) -> torch.Tensor:
        return (seen(x) + seen(x.flip(-1))) / 2

    if views == 1:
        return seen(images)
    if views == 2:
        return both(images)
    side, padded = images.shape[-1], functional.pad(images, (1,) * 4, "reflect")
    shifted = [padded[:, :, at : at + side, at : at + side] for at in (0, 2)]
    return both(images) / 2 + (both(shifted[0]) + both(shifted[1])) / 4


def by_pytorch(parts: Parts, given: argparse.Namespace) -> dict[str, object]:
    """Train by PyTorch, and measure."""
    began, used = time.perf_counter(), time.process_time()
    model, seconds = train(parts, given.epochs, given.seed, bfloat16=given.bfloat16, most=given.steps)
    trained: dict[str, object] = {"seconds": time.perf_counter() - began, "CPU seconds": time.process_time() - used}
    trained["median seconds of a step"] = float(np.median(seconds))
    if given.steps is not None:
        return trained
    images, labels = normalised(parts, parts.held_out), torch.from_numpy(parts.held_out_labels)
    accuracy: dict[str, object] = {
        f"accuracy, {views} views": float((logits_of(model, images, views).argmax(1) == labels).float().mean())
        for views in (1, 2, 6)
    }
    return {**trained, **accuracy}


def by_neocog(parts: Parts, given: argparse.Namespace) -> dict[str, object]:
    """Train by neocog, and measure."""
    import neocog as nc
    from neocog.model.views import VIEWS
    from neocog.train.fit import fit
    from neocog.train.recipes import airbench
    from neocog.train.runfolder import RunFolder
    from neocog.train.source import ArraySource

    began, used = time.perf_counter(), time.process_time()
    net = nc.zoo.airbench94(len(parts.class_names))
    size = parts.images.shape[1:]
    model = nc.Model(net, size, parts.class_names, mean=parts.mean, std=parts.std, seed=given.seed)
    settings = airbench.settings(model.graph, len(parts.images), epochs=given.epochs, seed=given.seed)
    airbench.start(model, parts.images)
    source = ArraySource(parts.images, parts.labels, batch_size=settings.batch_size, seed=given.seed)
    folder, resume = None, None
    if given.output is not None:
        given.output.mkdir(parents=True, exist_ok=True)
        folder = RunFolder(given.output)
        resume = folder.load_last() if folder.last.exists() else None
    history = fit(model, source, folder=folder, resume=resume, verbose=2, **settings.given())
    trained: dict[str, object] = {"seconds": sum(epoch.seconds for epoch in history.epochs)}
    trained |= {"seconds with all": time.perf_counter() - began, "CPU seconds": time.process_time() - used}
    for name, views in VIEWS.items():
        model.views = name
        found = model.predict(parts.held_out)
        trained[f"accuracy, {len(views)} views"] = float((found == parts.held_out_labels).mean())
    return trained


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of CIFAR-10's batches")
    parser.add_argument("--side", choices=("pytorch", "neocog"), default="pytorch")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--images", type=int, help="train on the first N images alone")
    parser.add_argument("--steps", type=int, help="PyTorch: take so many steps only, for their time")
    parser.add_argument("--bfloat16", action="store_true", help="PyTorch: compute in bfloat16 where autocast does")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="neocog: run folder; one with a run is continued")
    given = parser.parse_args(arguments)
    parts = read_parts(given.data)
    if given.images is not None:
        from dataclasses import replace

        parts = replace(parts, images=parts.images[: given.images], labels=parts.labels[: given.images])
    measured = by_neocog(parts, given) if given.side == "neocog" else by_pytorch(parts, given)
    print(json.dumps({**describe(), **measured}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
