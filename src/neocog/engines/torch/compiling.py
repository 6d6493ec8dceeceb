"""Where torch.compile is used, and how.

On a GPU the passes through a network are compiled, which makes one kernel of what works value by value, and captured as
CUDA graphs, which launches all kernels of a pass at once; processes that share a training do without the latter, since
DDP sends gradients while the backward pass runs, and so do steps of several passes, since a graph writes over what it
gave before. On processors compiling takes longer than most trainings gain, so it
is done where it is asked for. Only batches of the full size are compiled for: each size is a program of its own, and
the last batch of an epoch is one of many. PyTorch's own switch is obeyed: TORCH_COMPILE_DISABLE=1.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from neocog.engines.base import Compiling, compile_listener
from neocog.engines.torch.held import Means
from neocog.errors import NeocogWarning

GRAPHS = "reduce-overhead"  # PyTorch's name of the mode that captures CUDA graphs


def compile_mode(means: Means, *, one_pass: bool) -> str | None:
    """Return torch.compile's mode for a training; None: it is not used.

    Arguments:
        means: what is computed with.
        one_pass: whether a step is one pass through the network, by one process.

    >>> on_cpu, asked_for = Means("cpu", torch.float32), Means("cpu", torch.float32, compiled=True)
    >>> compile_mode(on_cpu, one_pass=True), compile_mode(asked_for, one_pass=True)
    (None, 'default')
    >>> [compile_mode(Means("cuda", torch.float32), one_pass=one_pass) for one_pass in (True, False)]
    ['reduce-overhead', 'default']
    """
    wanted = means.on_gpu if means.compiled is None else means.compiled
    if not wanted:
        return None
    return GRAPHS if means.on_gpu and one_pass else "default"


class CompiledNetwork:
    """A network through torch.compile for one batch size; where that fails, as it is.

    Arguments:
        network: takes images (N, C, H, W).
        mode: torch.compile's.
        batch_size: what is compiled for; other batches go through the network as it is.
    """

    def __init__(self, network: Any, mode: str, batch_size: int) -> None:
        self._network, self._batch_size = network, batch_size
        self._compiled: Callable[[Any], Any] | None = torch.compile(network, mode=mode, dynamic=False)
        self._graphs = mode == GRAPHS
        self._tried = False

    def __call__(self, images: Any) -> Any:
        """Return what the network gives."""
        if self._compiled is None or len(images) != self._batch_size:
            return self._network(images)
        if self._graphs:
            torch.compiler.cudagraph_mark_step_begin()  # what the step before gave may be overwritten
        return self._compiled(images) if self._tried else self._first(images)

    def _first(self, images: Any) -> Any:
        """Compile, and tell who listens."""
        assert self._compiled is not None
        self._tried, listener, title = True, compile_listener(), f"training, batch {self._batch_size}"
        if listener is not None:
            listener(Compiling(title, "torch.compile", 0, 1))
        try:
            found = self._compiled(images)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of many kinds: no compiler, no Triton, an operation that it does not know
            self._compiled = None
            cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
            warning = NeocogWarning(
                f"torch.compile failed, so that this training is slower: {cause[:200]}",
                hint="TORCH_COMPILE_DISABLE=1 leaves it out",
            )
            warnings.warn(warning, stacklevel=1)
            found = self._network(images)
        if listener is not None:
            listener(Compiling(title, "", 1, 1))
        return found
