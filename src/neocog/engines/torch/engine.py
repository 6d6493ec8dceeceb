"""The engine by PyTorch: it makes what answers and what learns."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch

from neocog.engines.base import Array, StepSettings
from neocog.engines.precision import Settled, check_settled
from neocog.engines.torch.device import found_device
from neocog.engines.torch.held import Means
from neocog.engines.torch.predictor import TorchPredictor
from neocog.engines.torch.training import TorchTrainProgram
from neocog.errors import SettingError
from neocog.nn.graph import Graph


class TorchEngine:
    """PyTorch.

    Arguments:
        device: "cpu"; "cuda", the GPU of this process (under torchrun each has its own); "cuda:1", that one; or any
            other that PyTorch knows.
        dtype: "float32" or "float64"; the arrays at the edge are float32 in both.
        precision: "float32", or "bfloat16", for predictions and training: PyTorch's autocast. Parameters, gradients,
            losses and the optimizer's memory are float32 in both.
        compiled: whether trainings go through torch.compile; None: on GPUs.

    Raises:
        EngineError: PyTorch has no such device here.
        SettingError: it does not compute with this dtype or precision.
    """

    name = "torch"

    def __init__(
        self,
        device: str = "cpu",
        dtype: str = "float32",
        precision: Settled = "float32",
        compiled: bool | None = None,
    ) -> None:
        if dtype not in ("float32", "float64"):
            raise SettingError(f'dtype must be "float32" or "float64", got {dtype!r}')
        self.device = found_device(device, os.environ)
        if check_settled(precision) == "bfloat16" and dtype != "float32":
            raise SettingError(f'precision="bfloat16" needs dtype="float32", got {dtype!r}')
        if torch.device(self.device).type == "cuda" and torch.device(self.device).index is not None:
            torch.cuda.set_device(self.device)  # where pinned memory and NCCL belong to, in this process
        self.dtype = getattr(torch, dtype)
        self.precision: Settled = precision
        self.means = Means(
            self.device, self.dtype, self.precision, compiled, fused=torch.device(self.device).type == "cuda"
        )

    def predictor(self, graph: Graph, parameters: Mapping[str, Array], threads: int | None = None) -> TorchPredictor:
        """Make a network that answers, on `threads` threads; None: as many as PyTorch is set to, if it may use them."""
        return TorchPredictor(graph, parameters, self.means, threads)

    def train_program(
        self, graph: Graph, parameters: Mapping[str, Array], settings: StepSettings, threads: int | None = None
    ) -> TorchTrainProgram:
        """Make a network that learns."""
        return TorchTrainProgram(graph, parameters, settings, self.means, threads)
