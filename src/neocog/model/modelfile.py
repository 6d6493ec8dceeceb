"""model.safetensors, written and read: one file with weights, classes and preprocessing. See docs/formats.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import numpy as np
from numpy.typing import NDArray

from neocog.data.resize import INTERPOLATIONS, RESIZE_KINDS, ResizeRule
from neocog.engines.base import Array, Engine
from neocog.engines.precision import Settled
from neocog.errors import FormatError, NeocogError, SettingError
from neocog.model.calibration import (
    CURVE_POINTS,
    LARGEST_TEMPERATURE,
    LEAST_TEMPERATURE,
    Calibration,
    CurvePoint,
    is_curve,
)
from neocog.model.fields import check_integer, check_keys, check_number, is_finite
from neocog.model.files import TensorFile, read_tensor_bytes, read_tensor_file, tensor_bytes
from neocog.model.json_values import listed, shown_value
from neocog.model.kinds import from_json, to_json
from neocog.model.network import Network
from neocog.model.nodes import net_from_json, nodes_to_json
from neocog.model.origin import Origin
from neocog.model.scales import scales_from_json, scales_to_json
from neocog.model.statedict import LEARNT_FROM, not_finite
from neocog.model.views import PLAIN, VIEW_NAMES, Views
from neocog.model.writing import write_atomically
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Layer
from neocog.nn.limits import shown
from neocog.nn.losses import CrossEntropy, Loss
from neocog.nn.parameters import Parameter, from_pytorch, pytorch_shape, variables_of
from neocog.nn.shapes import checked_image_shape
from neocog.reading import expanded

Kind = TypeVar("Kind", bound=Network)

FORMAT = 2
"""Version of the format. It grows when an older neocog would misread a newer file."""

READABLE = (1, FORMAT)
"""Versions that are read. In format 1 a network was a Sequential, under the key "architecture"."""

OPTIMIZER_PREFIX = "optimizer/"
WHOLE = frozenset({LEARNT_FROM})
"""Tensors of a model file that are uint64."""
MAX_METRICS = 1000
MAX_TEXT = 1000  # characters of a text that is for people

_KEYS = ("format", "neocog_version", "nodes", "class_names", "input", "metrics")
_OPTIONAL_KEYS = ("loss", "thresholds", "calibration", "reject_below", "views", "origin", "trained_in", "scales")
_OLD_KEYS = tuple("architecture" if key == "nodes" else key for key in _KEYS)
_INPUT_KEYS = ("height", "width", "channels", "resize", "interpolation", "mean", "std", "color_order")
_OPTIONAL_INPUT_KEYS = ("part", "side")


def save(network: Network, path: str | Path) -> None:
    """Write a model file; `neocog.Model.save` is the usual way."""
    write_atomically(path, model_bytes(network))


def model_bytes(network: Network) -> bytes:
    """Return what a model file holds; same model, same bytes."""
    try:
        return tensor_bytes(document_of(network), network.state_dict(), whole_tensors_of(network))
    except UnicodeEncodeError:
        raise SettingError("names in model.metrics must be valid Unicode") from None


def network_from_bytes(
    where: str, content: bytes, kind: type[Kind], *, engine: str | Engine = "native", threads: int | None = None
) -> Kind:
    """Make a network of what `model_bytes` gave, checked as a file is.

    Raises:
        FormatError: it is damaged; the message begins with `where`.
    """
    return network_from(where, read_tensor_bytes(where, content, WHOLE), kind, engine=engine, threads=threads)


def load_network(
    path: str | Path,
    kind: type[Kind],
    *,
    engine: str | Engine = "native",
    threads: int | None = None,
    allow_nonfinite: bool = False,
) -> Kind:
    """Read a model file, or the model within a last.safetensors.

    Nothing in the file is executed. Everything is checked before it is used.

    Arguments:
        path: the file.
        kind: what to make of it: Network, or a class on top of it, such as `neocog.Model`.
        engine, threads: what the network shall run on, as for Network.
        allow_nonfinite: whether weights that are NaN or infinite are taken, to look at what they do.

    Returns:
        The network, with its weights bit for bit.

    Raises:
        FormatError: there is no such file, it is damaged, not one of neocog's, or holds weights that are no finite
            numbers; the message says what and where.
    """
    path = expanded(path)
    content = read_tensor_file(path, WHOLE)
    content.document.pop("training", None)
    tensors = {name: v for name, v in content.tensors.items() if not name.startswith(OPTIMIZER_PREFIX)}
    return network_from(
        str(path),
        replace(content, tensors=tensors),
        kind,
        engine=engine,
        threads=threads,
        allow_nonfinite=allow_nonfinite,
    )


def whole_tensors_of(network: Network) -> dict[str, NDArray[np.uint64]]:
    """Return the tensors of a model's file that are no weights: which images it learnt from, where that is known."""
    return {} if network.learnt_from is None else {LEARNT_FROM: network.learnt_from}


def document_of(network: Network) -> dict[str, object]:
    """Describe a model as JSON values: the metadata of its file, without the digest."""
    from neocog import __version__

    height, width, channels = network.input_shape
    normalisation = network.graph.normalisation
    return {
        "format": FORMAT,
        "neocog_version": __version__,
        "nodes": nodes_to_json(network.graph),
        "class_names": list(network.class_names),
        "input": {
            "height": height,
            "width": width,
            "channels": channels,
            "resize": network.resize.kind,
            "interpolation": network.resize.interpolation,
            "mean": list(normalisation.mean),
            "std": list(normalisation.std),
            "color_order": network.color_order,
            **({} if network.resize.part == 1 else {"part": network.resize.part}),
            **({} if network.resize.side is None else {"side": network.resize.side}),
        },
        "metrics": _metrics_of(network),
        **({} if network.loss == CrossEntropy() else {"loss": to_json(network.loss)}),
        **({} if network.calibration is None else {"calibration": network.calibration.to_json()}),
        **({} if network.reject_below is None else {"reject_below": network.reject_below}),
        **({} if network.views == PLAIN else {"views": network.views}),
        **({} if network.origin is None else {"origin": network.origin.to_json()}),
        **({} if network.scales is None else {"scales": scales_to_json(network.scales)}),
        **({} if network.trained_in in (None, "float32") else {"trained_in": network.trained_in}),
        **(
            {}
            if network.thresholds is None or not network.loss.several_labels
            else {"thresholds": list(network.thresholds)}
        ),
    }


def network_from(
    where: str,
    content: TensorFile,
    kind: type[Kind],
    *,
    engine: str | Engine = "native",
    threads: int | None = None,
    allow_nonfinite: bool = False,
) -> Kind:
    """Make a network from what a file held: its document, the weights in PyTorch's layout, and `whole_tensors_of`.

    Raises:
        FormatError: they do not describe a model, or not the same one; messages begin with `where`, the file's name.
    """
    try:
        network = _empty_network(content.document, kind, engine, threads)
        network.metrics = _read_metrics(content.document["metrics"])
        if "calibration" in content.document:
            network.calibration = _read_calibration(content.document["calibration"])
        if "reject_below" in content.document:
            network.reject_below = check_number("reject_below", content.document["reject_below"], 0.0)
        if "origin" in content.document:
            network.origin = Origin.from_json(content.document["origin"])
        if "trained_in" in content.document:
            network.trained_in = _read_precision(content.document["trained_in"])
        if "scales" in content.document:
            network.scales = scales_from_json(content.document["scales"])
        network.thresholds = _read_thresholds(content.document)
        network.learnt_from = _read_identities(content.whole.get(LEARNT_FROM))
        wanted = {parameter.name: parameter for parameter in variables_of(network.graph)}
        check_tensors(wanted, content.tensors)
        faults = () if allow_nonfinite else not_finite(content.tensors)
        if faults:
            raise FormatError(
                "the weights must be finite numbers",
                details=listed(faults),
                hint="its answers would mean nothing; neocog explain, or in Python allow_nonfinite=True, takes it",
            )
    except FormatError as error:
        raise FormatError(f"{where}: {error.message}", details=error.details, hint=error.hint) from None
    except NeocogError as error:
        raise FormatError(
            f"{where}: the model is not consistent: {error.message}", details=error.details, hint=error.hint
        ) from None
    values = {name: from_pytorch(wanted[name], value) for name, value in content.tensors.items()}
    network.weights.replace(values, allow_nonfinite=True)
    return network


def _read_precision(value: object) -> Settled:
    if value not in get_args(Settled):
        raise FormatError(f"trained_in must be {' or '.join(get_args(Settled))}, got {shown_value(value)}")
    return cast(Settled, value)


def check_tensors(wanted: Mapping[str, Parameter], tensors: Mapping[str, Array]) -> None:
    """Raise FormatError unless `tensors` are exactly the `wanted` ones, in PyTorch's layout."""
    faults = [f"missing: {name}" for name in wanted if name not in tensors]
    faults += [f"unknown: {shown_value(name)}" for name in tensors if name not in wanted]
    if faults:
        raise FormatError("the tensors are not those of the architecture", details=listed(faults))
    for name, parameter in wanted.items():
        shape = pytorch_shape(parameter)
        if tensors[name].shape != shape:
            raise FormatError(f"tensor {name} must have the shape {shape}, got {tensors[name].shape}")


def _empty_network(document: Mapping[str, Any], kind: type[Kind], engine: str | Engine, threads: int | None) -> Kind:
    version = document.get("format")
    if version not in READABLE or type(version) is not int:
        newer = type(version) is int and version > FORMAT
        raise FormatError(
            f"format must be {' or '.join(map(str, READABLE))}, got {shown_value(version)}",
            hint="a newer neocog wrote this file: upgrade with pip install -U neocog" if newer else None,
        )
    check_keys(
        "the neocog metadata",
        document,
        *((_KEYS, _OPTIONAL_KEYS) if version == FORMAT else (_OLD_KEYS,)),
    )
    version_name = document["neocog_version"]
    if not isinstance(version_name, str) or len(version_name) > MAX_TEXT:
        raise FormatError(f"neocog_version must be a string, got {shown_value(version_name)}")
    names = document["class_names"]
    if not isinstance(names, list):
        raise FormatError(f"class_names must be a list, got {shown_value(names)}")
    entry = check_keys("input", document["input"], _INPUT_KEYS, _OPTIONAL_INPUT_KEYS if version == FORMAT else ())
    height, width, channels = (check_integer(f"input.{key}", entry[key], 1) for key in ("height", "width", "channels"))
    image = checked_image_shape((height, width, channels))
    resize = _read_resize(entry)
    numbers: dict[str, list[float]] = {}
    for key in ("mean", "std"):
        if not isinstance(entry[key], list):
            raise FormatError(f"input.{key} must be a list of numbers, got {shown_value(entry[key])}")
        numbers[key] = [check_number(f"input.{key}[{i}]", value) for i, value in enumerate(entry[key])]
    if version == FORMAT:
        net = net_from_json(document["nodes"], image)
    else:
        net = from_json(Layer, document["architecture"], "architecture")
        if not isinstance(net, Sequential):
            raise FormatError(f"architecture must be a Sequential, got {type(net).__name__}")
    network = kind(
        net,
        image,
        names,
        mean=numbers["mean"],
        std=numbers["std"],
        resize=resize,
        loss=from_json(Loss, document["loss"], "loss") if "loss" in document else None,
        views=_read_views(document.get("views", PLAIN)),
        engine=engine,
        threads=threads,
    )
    if entry["color_order"] != network.color_order:
        raise FormatError(
            f"input.color_order must be {network.color_order!r} for {channels} channels, "
            f"got {shown_value(entry['color_order'])}"
        )
    return network


def _read_resize(entry: Mapping[str, Any]) -> ResizeRule:
    for key, known in (("resize", RESIZE_KINDS), ("interpolation", INTERPOLATIONS)):
        if entry[key] not in known:
            raise FormatError(f"input.{key} must be one of {', '.join(known)}, got {shown_value(entry[key])}")
    return ResizeRule(
        entry["resize"],
        entry["interpolation"],
        check_number("input.part", entry["part"]) if "part" in entry else 1.0,
        check_integer("input.side", entry["side"], 1) if "side" in entry else None,
    )


def _read_views(value: object) -> Views:
    if value not in VIEW_NAMES:
        raise FormatError(f"views must be one of {', '.join(VIEW_NAMES)}, got {shown_value(value)}")
    return value


def _read_metrics(data: object) -> dict[str, float]:
    if not isinstance(data, Mapping):
        raise FormatError(f"metrics must be an object, got {shown_value(data)}")
    if len(data) > MAX_METRICS:
        raise FormatError(f"metrics may hold at most {MAX_METRICS:,} numbers, got {len(data):,}")
    for name, value in data.items():
        if len(name) > MAX_TEXT:
            raise FormatError(f"a name in metrics may have at most {MAX_TEXT:,} characters, got {shown_value(name)}")
        check_number(f"metrics.{name}", value)
    return dict(data)


def _read_calibration(data: object) -> Calibration:
    entry = check_keys("calibration", data, ("temperature", "images", "curve"))
    temperature = check_number("calibration.temperature", entry["temperature"])
    if not LEAST_TEMPERATURE <= temperature <= LARGEST_TEMPERATURE:
        raise FormatError(
            f"calibration.temperature must be from {LEAST_TEMPERATURE} to {LARGEST_TEMPERATURE:g}, got {temperature:g}"
        )
    images, curve = check_integer("calibration.images", entry["images"], 1), entry["curve"]
    if not isinstance(curve, list) or not 1 <= len(curve) <= CURVE_POINTS:
        raise FormatError(f"calibration.curve must be a list of 1 to {CURVE_POINTS} points, got {shown_value(curve)}")
    points = []
    for place, row in enumerate(curve):
        where = f"calibration.curve[{place}]"
        if not isinstance(row, list) or len(row) != 3:
            raise FormatError(f"{where} must be [threshold, answered, right], got {shown_value(row)}")
        answered, right = (check_integer(f"{where}[{column}]", row[column]) for column in (1, 2))
        points.append(CurvePoint(check_number(f"{where}[0]", row[0]), answered, right))
    if not is_curve(images, points):
        raise FormatError("calibration.curve must have falling thresholds and rising counts, up to calibration.images")
    return Calibration(temperature, images, tuple(points))


def _read_thresholds(document: Mapping[str, Any]) -> list[float] | None:
    if "thresholds" not in document:
        return None
    values = document["thresholds"]
    if not isinstance(values, list):
        raise FormatError(f"thresholds must be a list of numbers, got {shown_value(values)}")
    return [check_number(f"thresholds[{place}]", value, 0.0) for place, value in enumerate(values)]


def _read_identities(values: NDArray[np.uint64] | None) -> NDArray[np.uint64] | None:
    if values is not None and (values.ndim != 1 or not (values[1:] > values[:-1]).all()):
        raise FormatError(f"tensor {LEARNT_FROM} must be one row of rising numbers, got the shape {values.shape}")
    return values


def _metrics_of(network: Network) -> dict[str, float]:
    """Describe what was measured, as `_read_metrics` takes it.

    JSON has no NaN; a metric that could not be computed is left out.
    """
    metrics: dict[str, float] = {}
    for name, value in network.metrics.items():
        number = value.item() if isinstance(value, np.generic) else value
        if not isinstance(name, str) or len(name) > MAX_TEXT or type(number) not in (int, float):
            raise SettingError(f"model.metrics must map names to numbers, got {shown(name)}: {shown(value)}")
        if is_finite(number):
            metrics[name] = number
    if len(metrics) > MAX_METRICS:
        raise SettingError(f"model.metrics may hold at most {MAX_METRICS:,} numbers, got {len(metrics):,}")
    return metrics
