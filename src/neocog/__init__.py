"""Convolutional neural networks, compiled: declared in Python, run as machine code made for their exact shapes.

The public names. Each is imported when it is first used, so that `import neocog` itself loads nothing else.
"""

from __future__ import annotations

TYPE_CHECKING = False  # nothing is imported, typing neither: the command line begins here, and wants to begin soon
if TYPE_CHECKING:
    from typing import Any

    from neocog import explain as explain
    from neocog.data.augment.affine import RandomAffine as RandomAffine
    from neocog.data.augment.blur import GaussianBlur as GaussianBlur
    from neocog.data.augment.colour import ColorJitter as ColorJitter
    from neocog.data.augment.colour import RandomGrayscale as RandomGrayscale
    from neocog.data.augment.crop import RandomCrop as RandomCrop
    from neocog.data.augment.crop import RandomResizedCrop as RandomResizedCrop
    from neocog.data.augment.erasing import Cutout as Cutout
    from neocog.data.augment.erasing import RandomErasing as RandomErasing
    from neocog.data.augment.flip import RandomFlip as RandomFlip
    from neocog.data.augment.mixing import CutMix as CutMix
    from neocog.data.augment.mixing import MixUp as MixUp
    from neocog.data.augment.trivial import TrivialAugment as TrivialAugment
    from neocog.errors import DataError as DataError
    from neocog.errors import EngineError as EngineError
    from neocog.errors import FormatError as FormatError
    from neocog.errors import NeocogError as NeocogError
    from neocog.errors import NeocogWarning as NeocogWarning
    from neocog.errors import SettingError as SettingError
    from neocog.errors import ShapeError as ShapeError
    from neocog.interop.distributed import distributed_world as distributed_world
    from neocog.interop.hub.load import from_hub as from_hub
    from neocog.interop.mpi import mpi_world as mpi_world
    from neocog.interop.onnx.reader import from_onnx as from_onnx
    from neocog.interop.onnx.write import to_onnx as to_onnx
    from neocog.interop.pytorch.load import load_pytorch as load_pytorch
    from neocog.interop.sklearn import NeocogClassifier as NeocogClassifier
    from neocog.interop.sklearn import NeocogTransformer as NeocogTransformer
    from neocog.interop.trackers import MLflow as MLflow
    from neocog.interop.trackers import TensorBoard as TensorBoard
    from neocog.interop.trackers import Tracker as Tracker
    from neocog.model.network import Network as Network
    from neocog.nn import zoo as zoo
    from neocog.nn.blocks import Concat as Concat
    from neocog.nn.blocks import Residual as Residual
    from neocog.nn.blocks import Sequential as Sequential
    from neocog.nn.blocks import SqueezeExcite as SqueezeExcite
    from neocog.nn.graph import Graph as Graph
    from neocog.nn.groups import Group as Group
    from neocog.nn.layer import Layer as Layer
    from neocog.nn.layers import *  # noqa: F403
    from neocog.nn.losses import BinaryCrossEntropy as BinaryCrossEntropy
    from neocog.nn.losses import CrossEntropy as CrossEntropy
    from neocog.nn.losses import MeanSquaredError as MeanSquaredError
    from neocog.nn.losses import balanced_weights as balanced_weights
    from neocog.nn.optimizers import *  # noqa: F403
    from neocog.nn.schedules import Constant as Constant
    from neocog.nn.schedules import Cosine as Cosine
    from neocog.nn.schedules import LinearDecay as LinearDecay
    from neocog.nn.schedules import OneCycle as OneCycle
    from neocog.nn.schedules import Plateau as Plateau
    from neocog.nn.schedules import PolynomialDecay as PolynomialDecay
    from neocog.nn.schedules import Step as Step
    from neocog.nn.schedules import Warmup as Warmup
    from neocog.nn.symbol import Input as Input
    from neocog.train.callbacks import Callback as Callback
    from neocog.train.callbacks import CSVLogger as CSVLogger
    from neocog.train.callbacks import EarlyStopping as EarlyStopping
    from neocog.train.callbacks import LambdaCallback as LambdaCallback
    from neocog.train.callbacks import ModelCheckpoint as ModelCheckpoint
    from neocog.train.evaluation import Evaluation as Evaluation
    from neocog.train.history import History as History
    from neocog.train.model import Model as Model
    from neocog.train.model import load as load
    from neocog.train.settings import TrainingSettings as TrainingSettings
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
    "neocog.interop.distributed": ("distributed_world",),
    "neocog.interop.hub.load": ("from_hub",),
    "neocog.interop.mpi": ("mpi_world",),
    "neocog.interop.onnx.reader": ("from_onnx",),
    "neocog.interop.onnx.write": ("to_onnx",),
    "neocog.interop.pytorch.load": ("load_pytorch",),
    "neocog.interop.trackers": ("MLflow", "TensorBoard", "Tracker"),
    "neocog.model.network": ("Network",),
    "neocog.nn.blocks": ("Concat", "Residual", "Sequential", "SqueezeExcite"),
    "neocog.nn.graph": ("Graph",),
    "neocog.nn.groups": ("Group",),
    "neocog.nn.layer": ("Layer",),
    "neocog.nn.losses": ("BinaryCrossEntropy", "CrossEntropy", "MeanSquaredError", "balanced_weights"),
    "neocog.nn.schedules": (
        "Constant",
        "Cosine",
        "LinearDecay",
        "OneCycle",
        "Plateau",
        "PolynomialDecay",
        "Step",
        "Warmup",
    ),
    "neocog.nn.symbol": ("Input",),
    "neocog.train.callbacks": ("CSVLogger", "Callback", "EarlyStopping", "LambdaCallback", "ModelCheckpoint"),
    "neocog.train.evaluation": ("Evaluation",),
    "neocog.train.history": ("History",),
    "neocog.train.model": ("Model", "load"),
    "neocog.train.settings": ("TrainingSettings",),
    "neocog.train.trainer": ("Trainer",),
}
_OPTIONAL = dict.fromkeys(("NeocogClassifier", "NeocogTransformer"), "neocog.interop.sklearn")
"""Names that need a package which may be missing: `from neocog import *` leaves them out."""

_MODULES = {"explain": "neocog.explain", "zoo": "neocog.nn.zoo"}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_LISTS = {
    "neocog.nn.optimizers": "OPTIMIZERS",
    "neocog.nn.layers": "LAYERS",
    "neocog.data.augment.words": "TRANSFORMS",
}
"""Where lists of classes lie whose names are found there, so that a new layer or optimizer is written down once."""


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


def _listed(home: str) -> tuple[type, ...]:
    kinds: tuple[type, ...] = getattr(_load(home), _LISTS[home])
    return kinds


def __getattr__(name: str) -> Any:
    value: Any
    if name in _HOME_OF:
        value = getattr(_load(_HOME_OF[name]), name)
    elif name in _OPTIONAL:
        value = getattr(_load(_OPTIONAL[name]), name)
    elif name in _MODULES:
        value = _load(_MODULES[name])
    elif name == "__version__":
        metadata = _load("importlib.metadata")
        try:
            value = metadata.version("neocog")
        except metadata.PackageNotFoundError:  # run from its source, and not installed
            value = "0+unknown"
    elif name == "__all__":
        listed = (kind.__name__ for home in _LISTS for kind in _listed(home))
        value = [*_HOME_OF, *listed, *_MODULES, "__version__"]
    else:
        homes = _LISTS if name[:1].isupper() else ()
        found = (kind for home in homes for kind in _listed(home) if kind.__name__ == name)
        value = next(found, None)
        if value is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted([*__getattr__("__all__"), *_OPTIONAL])
