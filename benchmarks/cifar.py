"""The command `python -m benchmarks.cifar FOLDER`: how well ResNet-20 learns CIFAR-10, with shifts and mirroring.

It learns from the first four fifths of the training images (the files data_batch_1 to 4); the last fifth is held out,
measured after each epoch, and decides nothing. SGD with Nesterov's momentum, weight decay, and a learning rate that
rises over the first tenth of the training and falls along a cosine. What a killed run has done is kept in its folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import neocog as nc
from benchmarks.machine import describe
from neocog.data.dataset import Dataset
from neocog.data.sources import read_source
from neocog.train.fit import fit
from neocog.train.runfolder import RunFolder
from neocog.train.source import ArraySource, Batch

EPOCHS, BATCH = 25, 128
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, WARMUP = 0.2, 0.9, 5e-4, 0.1
SHIFT = 4  # pixels that an image is shifted by, at most, in each direction
FIFTHS = 5  # of the images, the last of which is held out


class ShiftedAndMirrored:
    """Batches of images, each shifted by up to `SHIFT` pixels and mirrored half of the time; what comes in is black.

    Order, shifts and mirroring depend on the seed and the epoch alone, so that a resumed training goes on as it was.

    Arguments:
        images: (N, height, width, channels), uint8.
        labels: (N,) class indices.
        seed: 0 or more.
    """

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64], seed: int = 0) -> None:
        self._padded = np.pad(images, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
        self._labels = labels
        self._sides = images.shape[1:3]
        self._seed = seed

    @property
    def images(self) -> int:
        """Number of images of an epoch."""
        return len(self._labels)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches (images (N, H, W, C), labels (N,)) of one epoch."""
        random = np.random.default_rng([self._seed, epoch])
        order = random.permutation(self.images)
        for start in range(0, self.images, BATCH):
            chosen = order[start : start + BATCH]
            yield self._changed(chosen, random), self._labels[chosen]

    def _changed(self, chosen: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.uint8]:
        height, width = self._sides
        down, right = random.integers(0, 2 * SHIFT + 1, (2, len(chosen), 1))
        mirrored = random.random((len(chosen), 1)) < 0.5
        columns = np.where(mirrored, np.arange(width)[::-1], np.arange(width)) + right
        rows = np.arange(height) + down
        shown: NDArray[np.uint8] = self._padded[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
        return shown


def divide(data: Dataset) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Return images and labels to learn from, and those of the last fifth, in the order of the files."""
    images, labels = np.asarray(data.images(), np.uint8), np.asarray(data.labels)  # they are bytes in all its files
    learnt = len(images) * (FIFTHS - 1) // FIFTHS
    return images[:learnt], labels[:learnt], images[learnt:], labels[learnt:]


def train(data: Dataset, folder: Path, epochs: int, threads: int | None, engine: str, seed: int) -> dict[str, object]:
    """Train, go on with what lies in the folder, and return what was measured on the last fifth."""
    x, y, held_out, classes = divide(data)
    run = RunFolder(folder)
    resume = run.load_last() if run.last.exists() else None
    model = nc.Model(
        nc.zoo.resnet20(len(data.class_names)),
        (32, 32, 3),
        data.class_names,
        mean=tuple((x.mean((0, 1, 2)) / 255).round(4).tolist()),
        std=tuple((x.std((0, 1, 2)) / 255).round(4).tolist()),
        seed=seed,
        engine=engine,
        threads=threads,
    )
    optimizer = nc.SGD(LEARNING_RATE, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)
    history = fit(
        model,
        ShiftedAndMirrored(x, y, seed),
        epochs=epochs,
        batch_size=BATCH,
        optimizer=optimizer,
        schedule=nc.Cosine(warmup=WARMUP),
        validation=ArraySource(held_out, classes, batch_size=model.images_at_once, shuffle=False),
        folder=run,
        resume=resume,
        seed=seed,
        verbose=2,
    )
    logits = model(held_out)
    both = logits + model(np.ascontiguousarray(held_out[:, :, ::-1]))
    return {
        "accuracy": float(np.mean(logits.argmax(1) == classes)),
        "accuracy of the mean over an image and its mirror image": float(np.mean(both.argmax(1) == classes)),
        "accuracy after each epoch": [epoch.val_accuracy for epoch in history.epochs],
        "loss of each epoch": [epoch.loss for epoch in history.epochs],
        "seconds": sum(epoch.seconds for epoch in history.epochs),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder of CIFAR-10's batches")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"passes over the images (default: {EPOCHS})")
    parser.add_argument("--threads", type=int, help="default: as many as there are processors")
    parser.add_argument("--engine", default="native", help="native (default), torch or reference")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--output", type=Path, default=Path("runs/cifar"), help="run folder; one with a run is continued"
    )
    given = parser.parse_args(arguments)
    source = read_source(given.data)
    if source.train is None:
        parser.error(f"{given.data} holds no training images")
    given.output.mkdir(parents=True, exist_ok=True)
    measured = train(source.train, given.output, given.epochs, given.threads, given.engine, given.seed)
    print(json.dumps({**describe(), **measured}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
