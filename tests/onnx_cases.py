"""ONNX's backend node tests, as far as they are about convolutional networks: by the rule that `RULE` states."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

OPERATORS = frozenset(
    {
        "Add",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Celu",
        "Clip",
        "Concat",
        "Conv",
        "ConvTranspose",
        "DepthToSpace",
        "Div",
        "Dropout",
        "Elu",
        "Flatten",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "GroupNormalization",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "InstanceNormalization",
        "LRN",
        "LeakyRelu",
        "LogSoftmax",
        "MatMul",
        "MaxPool",
        "Mul",
        "PRelu",
        "Pad",
        "ReduceMean",
        "Relu",
        "Reshape",
        "Resize",
        "Selu",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Split",
        "Squeeze",
        "Sub",
        "Sum",
        "Swish",
        "Tanh",
        "Transpose",
        "Unsqueeze",
        "Upsample",
    }
)
"""What convolutional networks are made of."""

STORED = {("Conv", 4), ("ConvTranspose", 4), ("Gemm", 2), ("MatMul", 2), ("PRelu", 2), ("PRelu", 4)}
"""Operators whose second input is what a network stores, though it has the rank of a batch."""

RULE = f"""
A backend node test of the package onnx counts where
- it has one output, and its first input is a batch of float32 images (rank 4), or of vectors (rank 2), which are taken
  to come from a Flatten; all other inputs are constants: filters, matrices, rows, numbers; none is another batch
- these operators alone make what hangs on the images: {", ".join(sorted(OPERATORS))};
  and where the test is the definition of an operator by others ("expanded"), that operator is one of them
- its output is float32, of rank 4 or 2, with as many rows as there are images
- a Resize, if there is one, is as networks use it: nearest or linear, by whole numbers, without antialias and the like
""".strip()


def load() -> list[Any]:
    """All backend node tests."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_model_tests(kind="node")


def counts(case: Any) -> bool:
    """Tell whether a test counts by `RULE`."""
    inputs, outputs = case.data_sets[0]
    if not all(isinstance(value, np.ndarray) for value in (*inputs, *outputs)) or not inputs or len(outputs) != 1:
        return False
    images, others, (answer,) = inputs[0], inputs[1:], outputs
    if not (images.dtype == answer.dtype == np.float32 and images.ndim in (2, 4) and answer.ndim in (2, 4)):
        return False
    if len(answer) != len(images) or any(x.dtype == np.float64 for x in others):
        return False
    if "_expanded" in case.name and _plainest(case.name) not in {name.lower() for name in OPERATORS}:
        return False
    names = [value.name for value in case.model.graph.input]
    flowing = {names[0]}
    for node in case.model.graph.node:
        if flowing.isdisjoint(node.input) or node.op_type in ("Shape", "Size"):
            continue
        if node.op_type not in OPERATORS or node.domain:
            return False
        batches = {
            name
            for name, x in zip(names[1:], others, strict=False)
            if x.ndim == images.ndim and x.dtype.kind == "f" and (x.ndim == 4 or len(x) == len(images) > 1)
        }
        stored = set(node.input[1:2]) if (node.op_type, images.ndim) in STORED else set()
        if batches.intersection(node.input) - stored:
            return False
        if node.op_type == "Resize" and not _plain(node, images, answer):
            return False
        flowing.update(node.output)
    return True


def _plainest(name: str) -> str:
    """The operator whose definition an expanded test is: "test_depthtospace_example_expanded" → "depthtospace"."""
    return name.removeprefix("test_").partition("_")[0]


def _plain(node: Any, images: np.ndarray, answer: np.ndarray) -> bool:
    settings = {entry.name: entry for entry in node.attribute}
    mode = settings["mode"].s.decode() if "mode" in settings else "nearest"
    coordinates = (
        settings["coordinate_transformation_mode"].s.decode()
        if "coordinate_transformation_mode" in settings
        else "half_pixel"
    )
    flags = ("antialias", "exclude_outside", "keep_aspect_ratio_policy")
    whole = all(a % b == 0 or b % a == 0 for a, b in zip(answer.shape, images.shape, strict=True))
    return (
        mode in ("nearest", "linear")
        and coordinates in ("half_pixel", "pytorch_half_pixel", "asymmetric")
        and not any(name in settings for name in flags)
        and whole
        and _exact(settings, images, answer)
    )


def _exact(settings: dict[str, Any], images: np.ndarray, answer: np.ndarray) -> bool:
    nearest = settings["nearest_mode"].s.decode() if "nearest_mode" in settings else "round_prefer_floor"
    return nearest in ("round_prefer_floor", "floor") and math.prod(answer.shape) >= math.prod(images.shape)


def file_of(case: Any) -> bytes:
    """The network of a test: constants are stored in it, and vectors come of images of one pixel, by a Flatten."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    inputs, _ = case.data_sets[0]
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    for value, array in zip(list(graph.input)[1:], inputs[1:], strict=False):
        graph.initializer.append(numpy_helper.from_array(array, value.name))
    if inputs[0].ndim == 2:
        name = graph.input[0].name
        graph.node.insert(0, helper.make_node("Flatten", ["pictures"], [name]))
        shape = (*inputs[0].shape, 1, 1)
        graph.input[0].CopyFrom(helper.make_tensor_value_info("pictures", TensorProto.FLOAT, shape))
    content: bytes = model.SerializeToString()
    return content


def pictures_of(case: Any) -> np.ndarray:
    """The images of a test as neocog takes them, (N, H, W, C)."""
    images = case.data_sets[0][0][0]
    images = images.reshape(*images.shape, *(1,) * (4 - images.ndim))
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def as_onnx_has_it(answers: np.ndarray, shape: Sequence[int], names: Sequence[str]) -> np.ndarray:
    """Answers of a model in the shape and order of the test's; outputs are named by their place in the file."""
    if answers.ndim == 4:
        return answers.transpose(0, 3, 1, 2).reshape(shape)
    places = [int(name) for name in names]
    ordered = np.empty_like(answers)
    ordered[:, places] = answers
    return ordered.reshape(shape)
