"""The engines: three ways to run the same network. All pass the same conformance tests."""

from __future__ import annotations

from neocog.engines.base import Engine
from neocog.engines.precision import Precision, settled
from neocog.errors import EngineError, SettingError
from neocog.resources import lacks_memory

ENGINES = ("native", "reference", "torch")


def get_engine(name: str, precision: Precision = "float32") -> Engine:
    """Make the engine called `name`, importing only what it needs.

    Arguments:
        name: "native" (compiled for this machine), "reference" (NumPy in float64) or "torch" (PyTorch); the last with a
            device behind it where it shall not run on this machine's processors: "torch:cuda", "torch:cuda:1".
        precision: of predictions: "float32", "bfloat16", or "auto"; see `neocog.engines.precision`.

    Raises:
        SettingError: there is no such engine, or it does not compute with that.
        EngineError: it cannot run here.
        MemoryError: there is too little memory to load it.

    >>> get_engine("reference").name
    'reference'
    """
    name, colon, device = name.partition(":")
    if colon and name != "torch":
        raise SettingError(
            f"the {name} engine takes no device, got {device!r}",
            hint="the torch engine does: torch:cuda (--engine torch --device cuda)",
        )
    if name == "native":
        try:
            from neocog.engines.native import NativeEngine
        except (ImportError, OSError) as error:  # of llvmlite, which says where it looked, but not what was wrong
            if lacks_memory(error):
                raise MemoryError("there is too little memory to load LLVM, which takes about 150 MB") from error
            raise EngineError(
                f"the native engine cannot be loaded: {error}", hint="install it again: pip install --force llvmlite"
            ) from error
        return NativeEngine(precision=settled(precision))
    if name == "reference":
        from neocog.engines.reference import ReferenceEngine

        if precision == "int8":
            settled(precision)
        if precision == "bfloat16":
            raise SettingError(
                "the reference engine computes with float64, not with bfloat16",
                hint='precision is for the engines "native" and "torch"',
            )
        return ReferenceEngine()
    if name == "torch":
        from neocog.engines.torch import TorchEngine, settled_on

        where = device if colon else "cpu"
        return TorchEngine(where, precision=settled_on(where, precision))
    raise SettingError(f"unknown engine {name!r}", hint=f"known engines: {', '.join(ENGINES)}")
