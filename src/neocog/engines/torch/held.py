"""A network as PyTorch holds it on a device: what answers and what learns share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from neocog.engines.base import Array, Images, allowed_threads
from neocog.engines.precision import Settled
from neocog.engines.torch.network import build_module, tensors
from neocog.engines.torch.transfer import Transfer
from neocog.engines.torch.vectors import in_our_order
from neocog.nn.graph import Graph, Node
from neocog.nn.parameters import check_parameters
from neocog.nn.shapes import ImageShape


@dataclass(frozen=True, slots=True)
class Means:
    """What PyTorch computes with.

    Arguments:
        device: as PyTorch names it.
        dtype: PyTorch's float32 or float64, of all that is kept.
        precision: "bfloat16": PyTorch's autocast rounds what convolutions and products take.
        compiled: whether torch.compile is used; None: where it pays (`neocog.engines.torch.compiling`).
        fused: whether PyTorch's fused optimizers are used, where it has them: one kernel for many parameters.
    """

    device: str
    dtype: Any
    precision: Settled = "float32"
    compiled: bool | None = None
    fused: bool = False

    @property
    def on_gpu(self) -> bool:
        """Whether an NVIDIA GPU computes (or one of AMD's, which PyTorch calls so too)."""
        return bool(torch.device(self.device).type == "cuda")

    def rounding(self) -> Any:
        """Return the context in which networks run."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, torch.bfloat16, enabled=self.precision == "bfloat16")


class HeldNetwork:
    """What the predictor and the training program share: the module, and the way of the images into it."""

    def __init__(self, graph: Graph, parameters: Mapping[str, Array], means: Means, threads: int | None) -> None:
        self.graph = graph
        self.means = means
        self.device, self.dtype = means.device, means.dtype
        self.threads = None if threads is None else allowed_threads(threads)
        self.most_threads = allowed_threads()
        self.transfer = Transfer(means.device)
        # Converted by `to`, then loaded once more: float64 parameters would be rounded by a float32 module.
        self.module = build_module(graph, parameters).to(self.device, self.dtype, memory_format=torch.channels_last)
        self.load(parameters)
        self.leaves = [self.module.get_submodule(node.name) for node in graph.nodes]
        mean, std = graph.normalisation.per_channel(graph.input.channels)
        self.mean = torch.tensor(mean, dtype=self.dtype, device=self.device)
        self.std = torch.tensor(std, dtype=self.dtype, device=self.device)

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take new parameters, in memory layout."""
        check_parameters(self.graph, parameters)
        self.module.load_state_dict(tensors(self.graph, parameters))

    def tensor(self, images: Images) -> Any:
        """Normalise images (N, H, W, C) into (N, C, H, W), channels last in memory."""
        x = self.transfer.sent(images).to(self.dtype)
        if images.dtype == np.uint8:
            x = x / 255
        return ((x - self.mean) / self.std).permute(0, 3, 1, 2)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Compute on `threads` threads; on a GPU in true float32, without shortened mantissas, and by the convolutions
        that cuDNN measures to be the fastest.
        """
        threads, cudnn, matmul = torch.get_num_threads(), torch.backends.cudnn, torch.backends.cuda.matmul
        torch.set_num_threads(self.threads or min(threads, self.most_threads))
        before = (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark) if self.means.on_gpu else None
        if before is not None:
            cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = False, False, True
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            if before is not None:
                cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = before


def in_our_layout(x: Any, node: Node) -> Any:
    """Turn what a layer gives from (N, C, H, W) to (N, H, W, C), or a flattened image to (row, column, channel)."""
    return x.permute(0, 2, 3, 1) if isinstance(node.output, ImageShape) else in_our_order(x, node.output)
