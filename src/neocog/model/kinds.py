"""Layers, losses, optimizers and schedules as JSON and back: each a `kind` and its fields, checked, never executed."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from neocog.errors import FormatError, NeocogError, SettingError
from neocog.model.json_values import listed, shown_value
from neocog.nn import layers, losses, optimizers, schedules
from neocog.nn.blocks import Sequential
from neocog.nn.groups import Group
from neocog.nn.layers import Layer
from neocog.nn.limits import MAX_DEPTH, MAX_LAYERS
from neocog.nn.losses import Loss
from neocog.nn.optimizers import Optimizer
from neocog.nn.schedules import Schedule

KINDS: dict[type, tuple[type, ...]] = {
    Layer: (*layers.LAYERS, Sequential),
    Loss: losses.LOSSES,
    Optimizer: optimizers.OPTIMIZERS,
    Schedule: schedules.SCHEDULES,
    Group: (Group,),
}
"""What files may name, by family; a Sequential only in model files of format 1."""

_FAMILY = {kind: family for family, kinds in KINDS.items() for kind in kinds}


def to_json(value: object) -> dict[str, object]:
    """Return a layer, loss, optimizer or schedule as JSON values: its kind, and every field that files always had, or
    that has another value than its default.

    Raises:
        SettingError: it is of a kind that files do not know, such as a subclass of the user's own.

    >>> to_json(layers.MaxPool2d(2))
    {'kind': 'MaxPool2d', 'window': 2, 'stride': None, 'padding': 0}
    """
    return _encode_kind(value, 0)


def from_json(family: type, data: object, where: str) -> Any:
    """Make a layer, loss, optimizer or schedule from what `to_json` gave.

    Arguments:
        family: Layer, Loss, Optimizer or Schedule.
        data: JSON values, from anywhere.
        where: what messages call this place of the file, such as "architecture".

    Raises:
        FormatError: an unknown kind or field, or a value that the kind does not take.

    >>> from_json(Layer, {"kind": "Linear", "features": 10, "bias": True}, "architecture")
    Linear(features=10, bias=True)
    """
    _check_number_of_kinds(data, where)
    return _decode_kind(family, data, where, 0)


def _check_number_of_kinds(data: object, where: str) -> None:
    """Raise FormatError before any of very many layers is made."""
    waiting, found = [data], 0
    while waiting:
        value = waiting.pop()
        found += isinstance(value, Mapping)
        if found > 2 * MAX_LAYERS:  # as many Sequentials as layers
            raise FormatError(f"{where} may hold at most {MAX_LAYERS:,} layers")
        if isinstance(value, Mapping | list):
            waiting += value.values() if isinstance(value, Mapping) else value


def _check_depth(where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise FormatError(f"{where} is nested more than {MAX_DEPTH} deep")


def _encode_kind(value: object, depth: int) -> dict[str, object]:
    kind = type(value)
    if kind not in _FAMILY:
        raise SettingError(
            f"{kind.__name__} cannot be saved: files do not know this kind",
            hint=f"known kinds: {', '.join(sorted(known.__name__ for known in _FAMILY))}",
        )
    _check_depth("the network", depth)
    assert dataclasses.is_dataclass(value)
    later, entries = _later(kind), {}
    for entry in _given(kind):
        held = getattr(value, entry.name)
        if entry.name not in later or held != entry.default:
            entries[entry.name] = _encode(held, depth)
    return {"kind": kind.__name__, **entries}


def _encode(value: object, depth: int) -> object:
    if isinstance(value, tuple):
        return [_encode(entry, depth) for entry in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return _encode_kind(value, depth + 1)


def _decode_kind(family: type, data: object, where: str, depth: int) -> object:
    _check_depth(where, depth)
    if not isinstance(data, Mapping):
        raise FormatError(f"{where} must be an object with a kind, got {shown_value(data)}")
    known = {kind.__name__: kind for kind in KINDS[family]}
    name = data.get("kind")
    if not isinstance(name, str) or name not in known:
        raise FormatError(
            f"{where}.kind must be one of {', '.join(known)}, got {shown_value(name)}",
            hint="a newer neocog may know more kinds",
        )
    kind = known[name]
    hints = _field_types(kind)
    given, wanted = set(data) - {"kind"}, set(hints)
    if not wanted - _later(kind) <= given <= wanted:
        faults = [f"missing: {field}" for field in sorted(wanted - _later(kind) - given)]
        faults += [f"unknown: {shown_value(field)}" for field in sorted(given - wanted)]
        raise FormatError(f"{where} must have exactly the fields of {name}", details=listed(faults))
    values = {
        field: _decode(hint, data[field], f"{where}.{field}", depth) for field, hint in hints.items() if field in given
    }
    try:
        return Sequential(*values["layers"]) if kind is Sequential else kind(**values)
    except NeocogError as error:
        raise FormatError(f"{where} is out of range: {error.message}") from None


def _later(kind: type) -> frozenset[str]:
    """Return the fields that neocog did not always have: files leave them out where they have their defaults."""
    return frozenset(entry.name for entry in dataclasses.fields(kind) if entry.metadata.get("later"))


@cache
def _field_types(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {entry.name: hints[entry.name] for entry in _given(kind)}


def _given(kind: Any) -> list[dataclasses.Field[Any]]:
    """Return the fields that are given, without those that follow from others."""
    return [entry for entry in dataclasses.fields(kind) if entry.init]


def _decode(hint: Any, value: object, where: str, depth: int) -> Any:
    """Return `value` as the type that a field declares, or raise FormatError."""
    family = next((family for family in KINDS if isinstance(hint, type) and issubclass(hint, family)), None)
    if family is not None:
        return _decode_kind(family, value, where, depth + 1)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple and isinstance(value, list):
        endless = len(arguments) == 2 and arguments[1] is Ellipsis
        if endless or len(arguments) == len(value):
            each = [arguments[0]] * len(value) if endless else list(arguments)
            return tuple(
                _decode(h, v, f"{where}[{i}]", depth) for i, (h, v) in enumerate(zip(each, value, strict=True))
            )
    elif origin in (Union, types.UnionType):
        for choice in arguments:
            try:
                return _decode(choice, value, where, depth)
            except FormatError:
                continue
    elif origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in arguments):
            return value
    # bool is an int in Python, and must not pass for one; a float field takes JSON's 0 for 0.0.
    elif type(value) is hint or (hint is float and type(value) is int) or (hint is type(None) and value is None):
        return value
    raise FormatError(f"{where} must be {_type_name(hint)}, got {shown_value(value)}")


def _type_name(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(map(_type_name, arguments))
    if origin is tuple:
        return "a list of " + _type_name(arguments[0]) + ("s" if arguments[-1] is Ellipsis else f" ({len(arguments)})")
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    names = {int: "an integer", float: "a number", bool: "true or false", type(None): "null", str: "a text"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))
