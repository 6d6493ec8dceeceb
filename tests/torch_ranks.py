"""`python -m torch.distributed.run … torch_ranks.py FILE`: trainings by the torch engine that processes share, whose
losses the first one writes; and the same by another engine in one process, for comparison.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import neocog as nc
from neocog.ranks.world import World
from neocog.train.callbacks import Callback

IMAGES, BATCH, EPOCHS, CLASSES = 205, 16, 4, 3  # 13 steps an epoch, the last of 13 images


class Losses(Callback):
    """Notes the loss of every step."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_batch_end(self, run, batch):
        self.found.append(batch.batch_loss)


def losses(engine: str, world: World | None, *, sync_bn: bool) -> list[float]:
    """Return the losses of a training whose batches are cut in two."""
    rng = np.random.default_rng(5)
    x, y = rng.integers(0, 256, (IMAGES, 8, 8, 3), dtype=np.uint8), np.arange(IMAGES) % CLASSES
    body = nc.Sequential(
        *(nc.Conv2d(8, 3, padding=1, bias=False), nc.BatchNorm2d(), nc.ReLU()),
        *(nc.Conv2d(8, 3, padding=1, bias=False), nc.BatchNorm2d()),
    )
    net = nc.Sequential(
        *(nc.Conv2d(8, 3, padding=1, bias=False), nc.BatchNorm2d(), nc.ReLU(), nc.Residual(body), nc.ReLU()),
        *(nc.Dropout(0.2), nc.GlobalAvgPool2d(), nc.Linear(CLASSES)),
    )
    model, heard = nc.Model(net, (8, 8, 3), engine=engine, threads=1), Losses()
    model.fit(
        *(x, y, EPOCHS, BATCH),
        optimizer=nc.SGD(0.05, momentum=0.9, weight_decay=5e-4),
        augment="flip,crop=1",
        validation_split=0.02,
        slices=2,
        sync_bn=sync_bn,
        world=world,
        callbacks=[heard] if world is None or world.rank == 0 else [],
        verbose=0,
    )
    return heard.found


if __name__ == "__main__":
    together = nc.distributed_world()
    told = {name: losses("torch", together, sync_bn=name == "sync") for name in ("apart", "sync")}
    if together.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(told))
