"""The PyTorch engine: the same network as a torch.nn.Module, on a processor or a GPU.

Importing this package imports PyTorch; `neocog.engines.get_engine` does so only when this engine is asked for.
Activations are (N, C, H, W) in PyTorch's channels_last memory format, so the images' bytes are not moved.

    vectors.py     the order of a vector's values, which Flatten makes another one than ours
    modules.py     a PyTorch module for each kind of layer
    network.py     a whole Graph as one module
    engine.py      the protocol
"""

from __future__ import annotations

from neocog.errors import EngineError

try:
    import torch as torch
except ImportError as error:
    raise EngineError(
        "the torch engine needs PyTorch, which is not installed", hint="pip install 'neocog[torch]'"
    ) from error

from neocog.engines.torch.engine import TorchEngine as TorchEngine
from neocog.engines.torch.network import build_module as build_module
