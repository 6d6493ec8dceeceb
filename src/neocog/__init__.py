"""Convolutional neural networks, compiled: declared in Python, run as machine code made for their exact shapes.

The public names. Each is imported when it is first used, so that `import neocog` itself loads nothing else.
"""

from __future__ import annotations

TYPE_CHECKING = False  # nothing is imported, typing neither: the command line begins here, and wants to begin soon
if TYPE_CHECKING:
    from typing import Any

    from neocog import explain as explain
    from neocog.errors import DataError as DataError
    from neocog.errors import EngineError as EngineError
    from neocog.errors import FormatError as FormatError
    from neocog.errors import NeocogError as NeocogError
    from neocog.errors import NeocogWarning as NeocogWarning
    from neocog.errors import SettingError as SettingError
    from neocog.errors import ShapeError as ShapeError
    from neocog.nn import zoo as zoo
    from neocog.nn.layers import AvgPool2d as AvgPool2d
    from neocog.nn.layers import Conv2d as Conv2d
    from neocog.nn.layers import Dropout as Dropout
    from neocog.nn.layers import Flatten as Flatten
    from neocog.nn.layers import Layer as Layer
    from neocog.nn.layers import Linear as Linear
    from neocog.nn.layers import MaxPool2d as MaxPool2d
    from neocog.nn.layers import ReLU as ReLU
    from neocog.nn.layers import Sequential as Sequential
    from neocog.nn.losses import CrossEntropy as CrossEntropy
    from neocog.nn.losses import MeanSquaredError as MeanSquaredError
    from neocog.nn.optimizers import SGD as SGD
    from neocog.nn.optimizers import Adam as Adam
    from neocog.nn.optimizers import AdamW as AdamW
    from neocog.nn.schedules import Constant as Constant
    from neocog.nn.schedules import Cosine as Cosine
    from neocog.nn.schedules import Step as Step
    from neocog.train.callbacks import Callback as Callback
    from neocog.train.callbacks import EarlyStopping as EarlyStopping
    from neocog.train.evaluation import Evaluation as Evaluation
    from neocog.train.history import History as History
    from neocog.train.model import Model as Model
    from neocog.train.model import load as load
    from neocog.train.trainer import Trainer as Trainer

    __version__: str

_HOMES = {
    "neocog.errors": (
        "DataError",
        "EngineError",
        "FormatError",
        "NeocogError",
        "NeocogWarning",
        "SettingError",
        "ShapeError",
    ),
    "neocog.nn.layers": (
        "AvgPool2d",
        "Conv2d",
        "Dropout",
        "Flatten",
        "Layer",
        "Linear",
        "MaxPool2d",
        "ReLU",
        "Sequential",
    ),
    "neocog.nn.losses": ("CrossEntropy", "MeanSquaredError"),
    "neocog.nn.optimizers": ("SGD", "Adam", "AdamW"),
    "neocog.nn.schedules": ("Constant", "Cosine", "Step"),
    "neocog.train.callbacks": ("Callback", "EarlyStopping"),
    "neocog.train.evaluation": ("Evaluation",),
    "neocog.train.history": ("History",),
    "neocog.train.model": ("Model", "load"),
    "neocog.train.trainer": ("Trainer",),
}
_MODULES = {"explain": "neocog.explain", "zoo": "neocog.nn.zoo"}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - in the order of the homes above
    "DataError",
    "EngineError",
    "FormatError",
    "NeocogError",
    "NeocogWarning",
    "SettingError",
    "ShapeError",
    "AvgPool2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool2d",
    "ReLU",
    "Sequential",
    "CrossEntropy",
    "MeanSquaredError",
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Step",
    "Callback",
    "EarlyStopping",
    "Evaluation",
    "History",
    "Model",
    "load",
    "Trainer",
    "explain",
    "zoo",
    "__version__",
]


def _load(module: str) -> Any:
    import sys
    from importlib import import_module

    from neocog.resources import NUMPY_BYTES, lacks_memory, require_memory

    if module.startswith("neocog") and "numpy" not in sys.modules:
        require_memory(NUMPY_BYTES, "loading NumPy")
    try:
        return import_module(module)
    except ImportError as error:
        if lacks_memory(error):
            raise MemoryError("there is too little memory to load NumPy and what else neocog needs") from error
        raise


def __getattr__(name: str) -> Any:
    value: Any
    if name in _HOME_OF:
        value = getattr(_load(_HOME_OF[name]), name)
    elif name in _MODULES:
        value = _load(_MODULES[name])
    elif name == "__version__":
        metadata = _load("importlib.metadata")
        try:
            value = metadata.version("neocog")
        except metadata.PackageNotFoundError:  # run from its source, and not installed
            value = "0+unknown"
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
