"""The loop that trains a peer until its budget is spent, in whichever precision is faster, and measures it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.recipes.budget import Budget, cpu_seconds
from benchmarks.recipes.parts import Parts
from benchmarks.recipes.peers import Peer

SMALL = 32  # pixels
TRIALS = 3  # steps that tell which precision is faster, and are not counted


class Training:
    """A peer, its optimizer, and where it is."""

    def __init__(self, peer: Peer, parts: Parts, *, bfloat16: bool) -> None:
        side, channels = parts.images.shape[1], parts.images.shape[-1]
        self.peer, self.parts, self.bfloat16 = peer, parts, bfloat16
        network = peer.network(channels, len(parts.class_names), side)
        self.network = network.to(memory_format=torch.channels_last)
        self.optimizer = peer.optimizer(decay_groups(self.network))
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.change = peer.small if side <= SMALL else peer.change
        mean, std = (parts.mean, parts.std) if peer.normalised else ((0.0,) * channels, (1.0,) * channels)
        self.mean, self.std = (torch.tensor(numbers).view(1, -1, 1, 1) for numbers in (mean, std))

    def running(self) -> Any:
        """Return the precision to compute in."""
        if not self.bfloat16:
            return contextlib.nullcontext()
        return torch.autocast("cpu", torch.bfloat16)

    def given(self, images: torch.Tensor) -> torch.Tensor:
        """Return values in [0, 1] as the network takes them."""
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def step(self, images: torch.Tensor, labels: torch.Tensor, share: float) -> None:
        """Take one step."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.peer.factor(share)
            if self.peer.momentum is not None:
                group["betas"] = (self.peer.momentum(share), group["betas"][1])
        with torch.no_grad():
            changed = self.given(self.change(values_of(images), self.parts.mirrors))
        with self.running():
            logits = self.network(changed)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=self.peer.smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def accuracy(self) -> float:
        """Return the share of held-out images that are recognised."""
        self.network.eval()
        right = 0
        images, labels = torch.from_numpy(self.parts.held_out), torch.from_numpy(self.parts.held_out_labels)
        for x, y in zip(images.split(250), labels.split(250), strict=True):
            with self.running():
                right += int((self.network(self.given(values_of(x))).argmax(1) == y).sum())
        return right / len(labels)


def values_of(images: torch.Tensor) -> torch.Tensor:
    """Return bytes (N, H, W, C) as values (N, C, H, W) in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def decay_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Return weights, and what does not decay: biases and normalizations."""
    parameters = [value for value in network.parameters() if value.requires_grad]
    others = [value for value in parameters if value.ndim < 2]
    return [{"params": [v for v in parameters if v.ndim > 1]}, {"params": others, "weight_decay": 0.0}]


def batches(parts: Parts, size: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield shuffled batches without end, epoch after epoch, without the short ones at the end."""
    images, labels = torch.from_numpy(parts.images), torch.from_numpy(parts.labels)
    draw = torch.Generator().manual_seed(seed)
    while True:
        for chosen in torch.randperm(len(labels), generator=draw).split(size):
            if len(chosen) == min(size, len(labels)):
                yield images[chosen], labels[chosen]


def faster(peer: Peer, parts: Parts) -> bool:
    """Return whether steps in bfloat16 take less time than in float32."""
    spent = []
    for bfloat16 in (False, True):
        training, source = Training(peer, parts, bfloat16=bfloat16), batches(parts, peer.batch, 0)
        training.step(*next(source), 0.5)
        began = cpu_seconds()
        for _ in range(TRIALS):
            training.step(*next(source), 0.5)
        spent.append(cpu_seconds() - began)
    return spent[1] < spent[0]


def train(peer: Peer, parts: Parts, seconds: float, seed: int) -> dict[str, object]:
    """Train for so many CPU seconds, and return what was measured."""
    bfloat16 = faster(peer, parts)
    torch.manual_seed(seed)
    training = Training(peer, parts, bfloat16=bfloat16)
    budget, steps = Budget(seconds), 0
    for images, labels in batches(parts, peer.batch, seed):
        if budget.share >= 1.0:
            break
        training.step(images, labels, budget.share)
        steps += 1
    return {
        "accuracy": training.accuracy(),
        "images": len(parts.held_out_labels),
        "epochs": round(steps * peer.batch / len(parts.labels), 2),
        "precision": "bfloat16" if bfloat16 else "float32",
        "CPU seconds": round(seconds if budget.share < 1.0 else budget.spent, 1),
    }
