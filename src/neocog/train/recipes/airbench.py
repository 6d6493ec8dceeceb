"""airbench94: CIFAR-10 and its like to 94 % in ten epochs. The recipe, and where each of its numbers comes from.

Source: Jordan 2024, 94 % on CIFAR-10 in 3.29 seconds on a single GPU (arXiv 2404.00498). Its numbers are for sums over
a batch and rates per 1,024 images; here losses are means, so that the same steps need other numbers, derived below.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neocog.data.augment.crop import RandomCrop
from neocog.data.augment.flip import RandomFlip
from neocog.model.network import Network
from neocog.model.views import Views
from neocog.nn.graph import Graph
from neocog.nn.groups import Group
from neocog.nn.layers import BatchNorm2d, Conv2d, Linear
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD, Lookahead
from neocog.nn.schedules import LinearDecay, Warmup
from neocog.nn.starts import dirac, uniform, whitening
from neocog.train.settings import TrainingSettings

MODEL, IMAGE = "airbench94", (32, 32, 3)
EPOCHS = 10  # 9.9 in the source
BATCH = 1024  # images
MOMENTUM = 0.85
LEARNING_RATE, WEIGHT_DECAY = 11.5, 0.0153  # of 1,024 images, once momentum has gathered them
NORM_BIASES = 64.0  # times the learning rate, not the decay
LOGITS = 9.0  # by which the source divides them
SMOOTHING = 0.2
WHITENING_EPOCHS = 3  # in which the biases of the whitening convolution learn
WARMUP, START, FINAL = 0.23, 0.2, 0.07  # share of the training, and of the learning rate at both ends
MEETING = 5  # steps
LAST_DECAY = 0.95**MEETING  # of slow weights, at the end
WHITENED_IMAGES = 5000
CROP = 2  # pixels
VIEWS: Views = "flip-shift"


def batch_size(images: int) -> int:
    """Return the batch nearest to 1,024 that leaves no short one at the end of an epoch: its sum would be smaller.

    >>> batch_size(50_000), batch_size(40_000), batch_size(600)
    (1021, 1026, 600)
    """
    return -(-images // max(1, round(images / BATCH)))


def settings(graph: Graph, images: int, *, epochs: int = EPOCHS, seed: int = 0) -> TrainingSettings:
    """Return the settings of a training on so many images.

    A step of the source moves weights by rate · (Σ g + decay / rate · w + what momentum kept); Nesterov's momentum
    makes 1 + 1 / (1 - momentum) of that in the end, by which its learning rate is divided. With means in place of sums,
    the rate is that times the batch, and decay / rate becomes WEIGHT_DECAY / LEARNING_RATE. Logits divided by 9 are the
    same as a Linear that begins 9 times smaller and learns 81 times slower, with a decay that is no smaller for it.

    Arguments:
        graph: of `neocog.nn.zoo.airbench94`.
        images: of an epoch.
        epochs, seed: as in TrainingSettings.
    """
    batch = batch_size(images)
    steps = -(-images // batch)
    rate = LEARNING_RATE * batch / (BATCH * (1.0 + 1.0 / (1.0 - MOMENTUM)))
    decay = WEIGHT_DECAY / LEARNING_RATE
    first, *_ = _named(graph, Conv2d)
    norms, (last,) = _named(graph, BatchNorm2d), _named(graph, Linear)
    return TrainingSettings(
        epochs=epochs,
        batch_size=batch,
        optimizer=Lookahead(
            SGD(rate, momentum=MOMENTUM, nesterov=True, weight_decay=decay),
            every=MEETING,
            share=1.0 - LAST_DECAY,
            over=steps * epochs,
        ),
        loss=CrossEntropy(label_smoothing=SMOOTHING),
        schedule=Warmup(LinearDecay(final=FINAL), share=WARMUP, start=START),
        seed=seed,
        keep="last",
        augment=(RandomFlip(alternating=True), RandomCrop(CROP)),
        freeze=(f"{first}.weight", *(f"{name}.weight" for name in norms)),
        groups=(
            Group(f"{first}.bias", weight_decay=decay, steps=WHITENING_EPOCHS * steps),
            *(Group(f"{name}.bias", NORM_BIASES, weight_decay=decay / NORM_BIASES) for name in norms),
            Group(f"{last}.weight", LOGITS**-2, weight_decay=decay * LOGITS**2),
        ),
    )


def start(network: Network, images: NDArray[np.uint8]) -> None:
    """Set the weights of a network to those that the recipe begins with.

    Arguments:
        network: of `neocog.nn.zoo.airbench94`, with mean and deviation of its images.
        images: (N, height, width, channels), of which the first 5,000 are whitened.
    """
    graph = network.graph
    first, *others = _named(graph, Conv2d)
    (last,) = _named(graph, Linear)
    values = dict(network.parameters)
    for name in (*others, last):
        values[f"{name}.weight"] = uniform(values[f"{name}.weight"], f"{name}.weight", network.seed)
    for name in others:
        values[f"{name}.weight"] = dirac(values[f"{name}.weight"])
    values[f"{last}.weight"] = values[f"{last}.weight"] / np.float32(LOGITS)
    mean, std = (np.array(numbers, np.float32) for numbers in (graph.normalisation.mean, graph.normalisation.std))
    seen = (images[:WHITENED_IMAGES].astype(np.float32) / np.float32(255.0) - mean) / std
    values[f"{first}.weight"] = whitening(seen, kernel=values[f"{first}.weight"].shape[0])
    network.restore(values)


def _named(graph: Graph, kind: type) -> list[str]:
    return [node.name for node in graph.nodes if isinstance(node.layer, kind)]
