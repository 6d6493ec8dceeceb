"""State dicts that callers hand in: tensors of any library as arrays, names as the network has them, no NaN unasked."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.data.identity import Identities
from neocog.errors import SettingError, ShapeError
from neocog.nn.graph import Graph
from neocog.nn.limits import shown
from neocog.nn.parameters import from_pytorch, variables_of

LEARNT_FROM = "learnt_from"
"""Tensor of a model file that is no parameter: which images the model learnt from."""

SHOWN = 20  # arrays that a message lists

COUNTER = ".num_batches_tracked"
"""What PyTorch's batch normalization counts, and needs nowhere."""

WRAPPERS = frozenset(("module", "_orig_mod"))
"""What torch.nn.DataParallel, DistributedDataParallel and torch.compile put into the names of what they wrap."""


def as_array(name: str, value: Any) -> NDArray[np.generic]:
    """Return a tensor as an array of numbers; PyTorch's too, wherever they are and whether or not they have gradients.

    Nothing is imported for that: a tensor is known by what it can do.

    Raises:
        SettingError: it is not numbers.
    """
    try:
        if hasattr(value, "detach") and hasattr(value, "cpu"):
            value = value.detach().cpu()
            if str(value.dtype).endswith("bfloat16"):  # which NumPy does not have; float32 holds all of its values
                value = value.float()
            value = value.numpy()
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            if array.dtype.kind in "cOSUMm":
                raise TypeError(f"its type is {array.dtype}")
            array = array.astype(np.float32)  # bool, and the short floats that other packages add to NumPy
    except Exception as error:  # whatever a foreign type says to being made an array
        reason = str(error).partition("\n")[0]
        raise SettingError(
            f"parameter {shown(name)} must be an array of numbers, got {type(value).__name__}: {reason}",
            hint="pass a NumPy array, or a PyTorch tensor with values",
        ) from None
    return array


def as_arrays(state: Any) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of a mapping of names to tensors.

    Raises:
        SettingError: it is no such mapping.
    """
    if not isinstance(state, Mapping):
        hint = "pass its state_dict()" if hasattr(state, "state_dict") else None
        raise SettingError(f"parameters must map names to arrays, got {type(state).__name__}", hint=hint)
    wrong = next((name for name in state if not isinstance(name, str)), None)
    if wrong is not None:
        raise SettingError(f"names of parameters must be texts, got {shown(wrong)}")
    return {name: as_array(name, value) for name, value in state.items()}


def plain_name(name: str) -> str:
    """Return a parameter's name without what wrappers put into it.

    >>> plain_name("module._orig_mod.0.weight")
    '0.weight'
    """
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def plain_names(names: Iterable[str], wanted: Collection[str] = ()) -> dict[str, str]:
    """Map names to what the network may call them: without wrappers, and without a prefix that all share.

    A number in front is part of a name, since layers of a Sequential are known by theirs. A word ("model." of a
    Lightning module) is not, unless the names are the `wanted` ones with it.

    Raises:
        SettingError: two would have the same name.

    >>> plain_names(["net.module.0.weight", "net.module.0.bias"])
    {'net.module.0.weight': '0.weight', 'net.module.0.bias': '0.bias'}
    """
    found = {name: plain_name(name) for name in names}
    while found and set(found.values()) != set(wanted):
        first = next(iter(found.values())).partition(".")[0]
        if first.isdecimal() or not all(plain.startswith(f"{first}.") for plain in found.values()):
            break
        found = {name: plain.removeprefix(f"{first}.") for name, plain in found.items()}
    if len(set(found.values())) < len(found):
        seen: dict[str, str] = {}
        for name, plain in found.items():
            if plain in seen:
                raise SettingError(f"{shown(seen[plain])} and {shown(name)} are both the parameter {shown(plain)}")
            seen[plain] = name
    return found


def from_state_dict(graph: Graph, state: Any) -> dict[str, NDArray[np.generic]]:
    """Return a PyTorch state dict as arrays in memory layout, under the network's names.

    Where its names are not the network's, the arrays stay as they are.

    Raises:
        SettingError: it is no mapping of names to numbers. ShapeError: a parameter has another shape.
    """
    wanted = {parameter.name: parameter for parameter in variables_of(graph)}
    arrays = {name: value for name, value in as_arrays(state).items() if not name.endswith(COUNTER)}
    plain = plain_names(arrays, wanted)
    found = {plain[name]: value for name, value in arrays.items()}
    if found.keys() != wanted.keys():
        hint = _prefix_hint(arrays, wanted)
        if hint is not None:
            raise ShapeError("the names of the parameters must be those of the network", hint=hint)
        return found  # whoever takes them lists what is missing, rather than a shape
    return {name: from_pytorch(wanted[name], value) for name, value in found.items()}


def split_identities(state: Any) -> tuple[Any, Identities | None]:
    """Return a state dict without what a model file's tensors say of images, and that; None where they say nothing."""
    if not isinstance(state, Mapping) or LEARNT_FROM not in state:
        return state, None
    identities = np.unique(np.asarray(state[LEARNT_FROM]).astype(np.uint64))
    return {name: value for name, value in state.items() if name != LEARNT_FROM}, identities


def _prefix_hint(names: Collection[str], wanted: Collection[str]) -> str | None:
    """Say how to get at the network's parameters where they are there, behind a prefix with a number.

    Such as "1." of torch.nn.Sequential(Normalize(), net). It is not left out unasked: layers are known by numbers.
    """
    first = next(iter(wanted), "")
    for prefix in (name.removesuffix(first) for name in names if first and name.endswith(f".{first}")):
        inside = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        if len(inside) == len(wanted) and {plain_name(name) for name in inside} == set(wanted):
            cut = f"{{name.removeprefix({prefix!r}): value for name, value in state.items()"
            if len(inside) == len(names):
                return f"all names begin with {prefix!r}, pass them without: {cut}}}"
            return (
                f"the network's own names are there, behind {prefix!r}: "
                f"pass {cut} if name.startswith({prefix!r})}}; the rest counts for nothing here"
            )
    return None


def check_finite(values: Mapping[str, NDArray[np.generic]]) -> None:
    """Raise SettingError, and name the arrays, if values are NaN, infinite, or too large for float32."""
    faults = not_finite(values)
    if faults:
        raise SettingError(
            "the parameters must be finite numbers",
            details=faults[:SHOWN] + ((f"and {len(faults) - SHOWN:,} more",) if len(faults) > SHOWN else ()),
            hint="answers of such a network mean nothing; in Python, allow_nonfinite=True takes it all the same",
        )


def not_finite(values: Mapping[str, NDArray[np.generic]]) -> tuple[str, ...]:
    """Say which arrays hold values that are NaN, infinite, or too large for float32, or variances below 0."""
    faults = []
    for name, value in values.items():
        largest = np.finfo(np.float32).max
        bad = 0 if value.dtype.kind in "iu" else int((~(np.abs(value) <= largest)).sum())
        if bad:
            word = "NaN" if np.isnan(value).any() else "infinite" if np.isinf(value).any() else "too large"
            faults.append(f"{name}: {bad:,} of {math.prod(value.shape):,} values are {word}")
        below = int((np.sign(value) < 0).sum()) if name.endswith("running_var") else 0
        if below:  # its root is NaN
            faults.append(f"{name}: {below:,} of {math.prod(value.shape):,} values are below 0, as no variance is")
    return tuple(faults)
