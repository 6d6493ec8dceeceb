"""The way of arrays to a device and back.

To a GPU they go through pinned memory, on a stream of their own, so that the next batch is on its way while the last
one is computed; what comes back is read only when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


class Transfer:
    """Takes arrays to a device and tensors from it; on a CPU nothing is copied on the way there.

    Arguments:
        device: as PyTorch names it.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.apart = torch.device(device).type == "cuda"
        """Whether the device computes while this process goes on."""
        self._stream = torch.cuda.Stream(device) if self.apart else None

    def sent(self, array: NDArray[Any]) -> Any:
        """Return an array as a tensor of the device, which computes with it once it is there."""
        here = torch.from_numpy(array if array.flags.writeable else array.copy())  # PyTorch warns of read-only memory
        if self._stream is None:
            return here.to(self.device)
        with torch.cuda.stream(self._stream):
            there = here.pin_memory().to(self.device, non_blocking=True)
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self._stream)
        there.record_stream(computing)
        return there

    def fetched(self, *tensors: Any) -> Callable[[], tuple[NDArray[Any], ...]]:
        """Ask for tensors, and return who gives them as arrays once they are here; nothing is waited for until then."""
        if self._stream is None:
            arrays = tuple(np.asarray(tensor.detach().cpu().numpy(), order="C") for tensor in tensors)
            return lambda: arrays
        coming = [
            torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor.detach(), non_blocking=True)
            for tensor in tensors
        ]
        come = torch.cuda.Event()
        come.record(torch.cuda.current_stream(self.device))

        def read() -> tuple[NDArray[Any], ...]:
            come.synchronize()
            return tuple(tensor.numpy() for tensor in coming)

        return read
