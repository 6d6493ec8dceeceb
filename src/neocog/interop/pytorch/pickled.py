"""What a PyTorch file's pickle says of tensors, without running anything: `neocog.data.inert_machine` reads it.

The names that may be called are those that state dicts and checkpoints contain: PyTorch's own that put tensors
together, ordered dictionaries, and what trainings keep beside the weights (arguments, NumPy's numbers), which becomes
nothing. A file that asks for anything else, such as one that holds a whole module with its class, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neocog.data.inert_machine import SHOWN, InertMachine, Named, expect
from neocog.errors import FormatError

STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
"""PyTorch's classes of storages → the types of their elements."""

_TENSORS = ("_rebuild_tensor", "_rebuild_tensor_v2")
_UTILS = "torch._utils"
_PARAMETERS = {(_UTILS, "_rebuild_parameter"), ("torch.nn.parameter", "Parameter")}
_MAPPINGS = {("collections", "OrderedDict"), ("collections", "defaultdict")}
_SIZE = ("torch", "Size")
_NOTHING = {
    ("argparse", "Namespace"),
    ("copyreg", "_reconstructor"),
    ("copy_reg", "_reconstructor"),
    *((module, "object") for module in ("builtins", "__builtin__")),
    *((module, name) for module in ("builtins", "__builtin__") for name in ("dict", "list", "set", "int", "float")),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("_codecs", "encode"),
    ("torch", "device"),
    *(("torch", name) for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool")),
}
"""Names that trainings keep beside weights. What they are called with is left alone."""

MOST_KEY = 1 << 63  # of a whole number that is a key, such as an optimizer's of parameters


@dataclass(frozen=True, slots=True)
class Storage:
    """Elements that lie one behind another in a file, which tensors share.

    Arguments:
        key: what the file calls it.
        dtype: of its elements.
        size: elements.
    """

    key: str
    dtype: str
    size: int


@dataclass(frozen=True, slots=True)
class PickledTensor:
    """A tensor as its pickle describes it; nothing of it is checked yet.

    Arguments:
        storage: what it lies in.
        offset: elements before its first one.
        shape: extents.
        strides: in elements.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Nothing:
    """What stands for a value that nobody needs."""


_LEFT_OUT = _Nothing()


class TorchMachine(InertMachine):
    """One pickle of a PyTorch file."""

    def __init__(self, name: str, length: int) -> None:
        super().__init__(name, length)
        self.storages: dict[str, Storage] = {}

    def named(self, module: str, name: str) -> Any:
        known = (module, name)
        tensors = module == _UTILS and name in _TENSORS
        storages = module in ("torch", "torch.storage") and name in STORAGES
        if not (tensors or storages or known in _PARAMETERS | _MAPPINGS | _NOTHING or known == _SIZE):
            raise self.refused(f"{module}.{name}")
        return Named(module, name)

    def called(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        if isinstance(function, _Nothing):
            return _LEFT_OUT
        expect(function, Named)
        known = (function.module, function.name)
        if function.module == _UTILS and function.name in _TENSORS:
            storage, offset, shape, strides = arguments[:4]
            return PickledTensor(
                expect(storage, Storage),
                expect(offset, int),
                tuple(expect(extent, int) for extent in expect(shape, tuple)),
                tuple(expect(stride, int) for stride in expect(strides, tuple)),
            )
        if known in _PARAMETERS:
            return arguments[0]
        if known in _MAPPINGS:
            first = arguments[0] if arguments and function.name == "OrderedDict" else []
            flat = [value for pair in expect(first, list | tuple) for value in expect(pair, list | tuple)]
            return dict(self.pairs(flat))
        if known == _SIZE:
            return expect(arguments[0], tuple)
        return _LEFT_OUT

    def build(self, target: Any, state: Any) -> None:
        """Pass a state over: that of a dictionary says which version of PyTorch's modules wrote it."""
        expect(target, _Nothing | dict)

    def key(self, value: Any) -> str | bytes:
        if isinstance(value, int) and abs(value) < MOST_KEY:  # of an optimizer's parameters
            return str(value)
        return super().key(value)

    def other(self, code: str) -> None:
        stack = self.stack
        if code == "BINPERSID":
            stack.append(self.stored(stack.pop()))
        elif code == "NEWOBJ":
            arguments, kind = expect(stack.pop(), tuple), stack.pop()
            stack.append(self.called(kind, arguments))
        elif code == "EMPTY_SET":
            stack.append([])
        elif code == "ADDITEMS":
            added = self.since_mark()
            expect(stack[-1], list).extend(added)
        elif code == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            stack.append(self.named(expect(module, str), expect(name, str)))
        elif code == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif code != "FRAME":
            super().other(code)

    def stored(self, said: Any) -> Storage:
        """Return the storage that a persistent id names."""
        word, kind, key, _, size, *_ = expect(said, tuple)
        expect(kind, Named)
        if word != "storage" or kind.name not in STORAGES:
            raise self.refused(f"a {kind.name}")
        storage = Storage(expect(key, str), STORAGES[kind.name], expect(size, int))
        known = self.storages.setdefault(storage.key, storage)
        if known != storage:
            raise self.refused(f"the storage {storage.key} as two different ones")
        return known

    def refused(self, what: str) -> FormatError:
        return FormatError(
            f"{self.name}: the file asks for {what[:SHOWN]}, which weights do not need and which is not run",
            hint="save the state dict alone: torch.save(net.state_dict(), path), or better as safetensors",
        )
