"""PyTorch: eager in both memory formats, and through torch.compile.

Images and weights are converted to the memory format before the clock starts.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
import torch._inductor.config

from benchmarks.figures import HALF
from benchmarks.rounds import Call
from benchmarks.sides import MOMENTUM, Task
from neocog.engines.torch import build_module
from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layers import Add, BatchNorm2d, Conv2d, Linear, ReLU

OVERWRITTEN = (Add, BatchNorm2d, Conv2d, Linear)
"""Layers whose gradients need nothing of what they gave, so that a ReLU may overwrite it, as in torchvision."""


def _prepare(task: Task, memory_format: Any, compiled: bool) -> tuple[Any, Any]:
    """Return the network as a module, and the images (N, C, H, W)."""
    torch.set_num_threads(task.threads)
    module = build_module(task.graph, task.parameters).to(memory_format=memory_format)
    for node in task.graph.nodes:
        if isinstance(node.layer, ReLU) and overwrites(task.graph, node):
            module.get_submodule(node.name).inplace = True
    images = torch.from_numpy(task.channels_first).to(memory_format=memory_format)
    return (torch.compile(module) if compiled else module), images


def overwrites(graph: Graph, node: Node) -> bool:
    """Return whether a layer may overwrite its input, which saves memory and time."""
    (value,) = node.inputs
    return (
        value != IMAGE and graph.consumers(value) == (node.index,) and isinstance(graph.nodes[value].layer, OVERWRITTEN)
    )


def train(task: Task, memory_format: Any, compiled: bool = False, half: bool = False) -> Call:
    """Make a training step; torch.compile compiles forward and backward pass, the optimizer is PyTorch's own. With
    `half`, PyTorch chooses what it computes in bfloat16.
    """
    module, images = _prepare(task, memory_format, compiled)
    labels = torch.from_numpy(task.labels.astype(np.int64))
    optimizer = torch.optim.SGD(module.parameters(), task.learning_rate, momentum=MOMENTUM)
    criterion = torch.nn.CrossEntropyLoss()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = criterion(module(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def answer(task: Task, memory_format: Any, compiled: bool = False, half: bool = False) -> Call:
    """Make a prediction; torch.compile may take the weights for constants, and so fold normalizations into them. With
    `half`, PyTorch chooses what it computes in bfloat16.
    """
    torch._inductor.config.freezing = True
    module, images = _prepare(task, memory_format, compiled)
    module.eval()

    def logits() -> Any:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return module(images).float().numpy()

    return logits


TRAINING = {
    "PyTorch": partial(train, memory_format=torch.contiguous_format),
    "PyTorch channels_last": partial(train, memory_format=torch.channels_last),
    "torch.compile": partial(train, memory_format=torch.channels_last, compiled=True),
    HALF[1]: partial(train, memory_format=torch.channels_last, half=True),
    HALF[2]: partial(train, memory_format=torch.channels_last, compiled=True, half=True),
}
INFERENCE = {
    "PyTorch": partial(answer, memory_format=torch.contiguous_format),
    "PyTorch channels_last": partial(answer, memory_format=torch.channels_last),
    "torch.compile": partial(answer, memory_format=torch.channels_last, compiled=True),
    HALF[1]: partial(answer, memory_format=torch.channels_last, half=True),
    HALF[2]: partial(answer, memory_format=torch.channels_last, compiled=True, half=True),
}
