"""The PyTorch engine: the same network as a torch.nn.Module, on a processor or a GPU.

Importing this package imports PyTorch; `neocog.engines.get_engine` does so only when this engine is asked for.
Activations are (N, C, H, W) in PyTorch's channels_last memory format, so the images' bytes are not moved.

    vectors.py     the order of a vector's values, which Flatten makes another one than ours
    modules.py     a PyTorch module for each kind of layer, with dropout.py and norm.py
    network.py     a whole Graph as one module
    device.py      where it computes
    transfer.py    the way of arrays there and back
    held.py        what answers and what learns share
    predictor.py   a network that answers
    training.py    a network that learns, with losses.py, optimizers.py and many.py
    compiling.py   where torch.compile and CUDA graphs are used
    exchange.py    what processes tell each other
    shared.py      a network that several processes train: DDP
    engine.py      what makes them
"""

from __future__ import annotations

from neocog.errors import EngineError

try:
    import torch as torch
except ImportError as error:
    raise EngineError(
        "the torch engine needs PyTorch, which is not installed", hint="pip install 'neocog[torch]'"
    ) from error

from neocog.engines.torch.device import settled_on as settled_on
from neocog.engines.torch.engine import TorchEngine as TorchEngine
from neocog.engines.torch.network import build_module as build_module
