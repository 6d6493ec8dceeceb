"""What exporters write around layers is understood: each small file answers as in ONNX Runtime."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx import TensorProto  # noqa: E402

import neocog as nc  # noqa: E402
from onnx_files import filters, model, node, written  # noqa: E402

F = np.float32
Case = tuple[list[Any], dict[str, np.ndarray], list[str]]


def kinds(read: nc.Model) -> list[str]:
    return [type(entry.layer).__name__ for entry in read.graph.nodes]


def numbers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def given(shape: tuple[int, ...] = (2, 3, 8, 8), seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def compare(
    path: Path, images: np.ndarray, answers: Callable[[nc.Model, np.ndarray], np.ndarray], **how: Any
) -> nc.Model:
    """Read a file, and hold its answers to ONNX Runtime's."""
    read = nc.from_onnx(path, engine="reference", **how)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    want = session.run(None, {"x": images})[0]
    got = answers(read, images)
    if got.ndim == 4 and want.ndim == 4:
        got = got.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(got.reshape(want.shape), want, rtol=1e-4, atol=1e-5 * np.abs(want).max())
    return read


def logits(read: nc.Model, images: np.ndarray) -> np.ndarray:
    return read(images.transpose(0, 2, 3, 1))


STEM = node("Conv", ["x", "w.weight"], ["a"], pads=[1, 1, 1, 1])
W = {"w.weight": filters(8, 3, 3, 3)}
ROW = np.linspace(0.5, 1.5, 8, dtype=F)

CASES: dict[str, Case] = {
    "a bias that is an Add": ([STEM, node("Add", ["a", "b"], ["y"])], {"b": ROW.reshape(8, 1, 1)}, ["Conv2d"]),
    "a scale and a shift": (
        [STEM, node("Mul", ["a", "s"], ["b"]), node("Add", ["b", "s"], ["y"])],
        {"s": ROW.reshape(1, 8, 1, 1)},
        ["Conv2d"],
    ),
    "a scale alone": ([STEM, node("Mul", ["s", "a"], ["y"])], {"s": ROW.reshape(8, 1, 1)}, ["Conv2d", "LayerScale"]),
    "a value with two readers": (
        [STEM, node("Add", ["a", "one"], ["b"]), node("Mul", ["a", "b"], ["y"])],
        {"one": np.array(1.0, F)},
        ["Conv2d", "Conv2d", "Multiply"],
    ),
    "batch normalization with a scale behind": (
        [
            STEM,
            node("BatchNormalization", ["a", "s", "s", "s", "s"], ["b"], epsilon=1e-3),
            node("Mul", ["b", "t"], ["c"]),
            node("Sub", ["c", "t"], ["y"]),
        ],
        {"s": ROW, "t": ROW.reshape(8, 1, 1)},
        ["Conv2d", "BatchNorm2d"],
    ),
    "GELU by the error function": (
        [
            STEM,
            node("Div", ["a", "root"], ["b"]),
            node("Erf", ["b"], ["c"]),
            node("Add", ["c", "one"], ["d"]),
            node("Mul", ["a", "d"], ["e"]),
            node("Mul", ["e", "half"], ["y"]),
        ],
        {"root": np.array(np.sqrt(2), F), "one": np.array(1, F), "half": np.array(0.5, F)},
        ["Conv2d", "GELU"],
    ),
    "SiLU of two nodes": (
        [STEM, node("Sigmoid", ["a"], ["b"]), node("Mul", ["a", "b"], ["y"])],
        {},
        ["Conv2d", "SiLU"],
    ),
    "Clip to 6": (
        [STEM, node("Clip", ["a", "low", "high"], ["y"])],
        {"low": np.array(0, F), "high": np.array(6, F)},
        ["Conv2d", "ReLU6"],
    ),
    "Clip to other numbers": (
        [STEM, node("Clip", ["a", "low", "high"], ["y"])],
        {"low": np.array(-0.5, F), "high": np.array(0.25, F)},
        ["Conv2d", "ReLU6", "Conv2d"],
    ),
    "Clip from above": (
        [STEM, node("Clip", ["a", "", "high"], ["y"])],
        {"high": np.array(0.25, F)},
        ["Conv2d", "ReLU", "Conv2d"],
    ),
    "padding before a convolution": (
        [node("Pad", ["x", "p"], ["b"]), node("Conv", ["b", "w.weight"], ["y"], strides=[2, 2])],
        {"p": numbers(0, 0, 0, 1, 0, 0, 1, 2)},
        ["Conv2d"],
    ),
    "padding before a pooling of what is not negative": (
        [
            STEM,
            node("Relu", ["a"], ["b"]),
            node("Pad", ["b", "p"], ["c"]),
            node("MaxPool", ["c"], ["y"], kernel_shape=[3, 3]),
        ],
        {"p": numbers(0, 0, 0, 1, 0, 0, 1, 2)},
        ["Conv2d", "ReLU", "MaxPool2d"],
    ),
    "padding before a pooling of anything": (
        [STEM, node("Pad", ["a", "p"], ["c"]), node("MaxPool", ["c"], ["y"], kernel_shape=[3, 3])],
        {"p": numbers(0, 0, 0, 1, 0, 0, 1, 2)},
        ["Conv2d", "Conv2d", "MaxPool2d"],
    ),
    "poolings with TensorFlow's padding": (
        [STEM, node("AveragePool", ["a"], ["y"], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")],
        {},
        ["Conv2d", "AvgPool2d"],
    ),
    "channels shuffled by reshapes": (
        [
            STEM,
            node("Reshape", ["a", "cut"], ["b"]),
            node("Transpose", ["b"], ["c"], perm=[0, 2, 1, 3, 4]),
            node("Reshape", ["c", "joined"], ["d"]),
            node("Relu", ["d"], ["y"]),
        ],
        {"cut": numbers(0, 2, 4, 8, 8), "joined": numbers(0, -1, 8, 8)},
        ["Conv2d", "ReLU", "ChannelShuffle"],
    ),
    "a shape that is computed": (
        [
            STEM,
            node("Shape", ["a"], ["s"]),
            node("Gather", ["s", "zero"], ["n"], axis=0),
            node("Unsqueeze", ["n", "axis"], ["m"]),
            node("Concat", ["m", "rest"], ["t"], axis=0),
            node("Reshape", ["a", "t"], ["f"]),
            node("Gemm", ["f", "g.weight", "g.bias"], ["y"], transB=1),
        ],
        {
            "zero": np.array(0),
            "axis": numbers(0),
            "rest": numbers(-1),
            "g.weight": filters(5, 512),
            "g.bias": np.ones(5, F),
        },
        ["Conv2d", "Flatten", "Linear"],
    ),
    "a flatten of images with channels last": (
        [
            STEM,
            node("Transpose", ["a"], ["b"], perm=[0, 2, 3, 1]),
            node("Flatten", ["b"], ["c"]),
            node("MatMul", ["c", "g"], ["y"]),
        ],
        {"g": filters(512, 5)},
        ["Conv2d", "Flatten", "Linear"],
    ),
    "layer normalization and products with channels last": (
        [
            STEM,
            node("Transpose", ["a"], ["b"], perm=[0, 2, 3, 1]),
            node("LayerNormalization", ["b", "row", "row"], ["c"], epsilon=1e-6),
            node("MatMul", ["c", "m"], ["d"]),
            node("Add", ["d", "row12"], ["e"]),
            node("Transpose", ["e"], ["y"], perm=[0, 3, 1, 2]),
        ],
        {"row": ROW, "m": filters(8, 12), "row12": np.arange(12, dtype=F)},
        ["Conv2d", "LayerNorm2d", "Conv2d"],
    ),
    "squeeze and excitation by matrix products": (
        [
            STEM,
            node("ReduceMean", ["a"], ["p"], axes=[2, 3], keepdims=0),
            node("Gemm", ["p", "g1.weight", "g1.bias"], ["q"], transB=1),
            node("Relu", ["q"], ["r"]),
            node("Gemm", ["r", "g2.weight", "g2.bias"], ["s"], transB=1),
            node("Sigmoid", ["s"], ["t"]),
            node("Unsqueeze", ["t", "axes"], ["u"]),
            node("Mul", ["a", "u"], ["y"]),
        ],
        {
            "g1.weight": filters(4, 8),
            "g1.bias": np.ones(4, F),
            "g2.weight": filters(8, 4),
            "g2.bias": np.ones(8, F),
            "axes": numbers(2, 3),
        },
        ["Conv2d", "AdaptiveAvgPool2d", "Conv2d", "ReLU", "Conv2d", "Sigmoid", "Multiply"],
    ),
    "halves of the channels": (
        [
            STEM,
            node("Split", ["a", "sizes"], ["b", "c"], axis=1),
            node("Relu", ["b"], ["d"]),
            node("Concat", ["d", "c"], ["y"], axis=1),
        ],
        {"sizes": numbers(3, 5)},
        ["Conv2d", "Slice", "Slice", "ReLU", "Concatenate"],
    ),
    "flattened branches side by side": (
        [
            STEM,
            node("Flatten", ["a"], ["b"]),
            node("Flatten", ["x"], ["c"]),
            node("Concat", ["b", "c"], ["d"], axis=1),
            node("Gemm", ["d", "g"], ["y"]),
        ],
        {"g": filters(512 + 192, 4)},
        ["Conv2d", "Flatten", "Flatten", "Concatenate", "Linear"],
    ),
    "a transposed convolution in groups": (
        [STEM, node("ConvTranspose", ["a", "t", "b"], ["y"], group=2, strides=[2, 2], pads=[0, 1, 1, 0])],
        {"t": filters(8, 3, 3, 3), "b": np.arange(6, dtype=F)},
        ["Conv2d", "Slice", "ConvTranspose2d", "Slice", "ConvTranspose2d", "Concatenate"],
    ),
    "an enlargement by sizes": (
        [STEM, node("Resize", ["a", "", "", "s"], ["y"], mode="linear", coordinate_transformation_mode="half_pixel")],
        {"s": numbers(2, 8, 16, 24)},
        ["Conv2d", "Upsample"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_form_of_exporters_is_read(tmp_path: Path, name: str) -> None:
    nodes, constants, layers = CASES[name]
    images = given()
    shape = (2 if name == "an enlargement by sizes" else "N", *images.shape[1:])
    read = compare(written(tmp_path, model(nodes, shape, {**W, **constants})), images, logits)
    assert sorted(kinds(read)) == sorted(layers)


def _probabilities(read: nc.Model, images: np.ndarray) -> np.ndarray:
    return read.predict_proba(images.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("opset", [7, 11, 13, 18])
def test_a_softmax_at_the_end_is_what_predict_proba_gives(tmp_path: Path, opset: int) -> None:
    nodes = [STEM, node("GlobalAveragePool", ["a"], ["b"]), node("Softmax", ["b"], ["y"], axis=1)]
    read = compare(written(tmp_path, model(nodes, constants=W, opset=opset)), given(), _probabilities)
    assert kinds(read) == ["Conv2d", "GlobalAvgPool2d"]


def test_a_sigmoid_at_the_end_means_several_labels(tmp_path: Path) -> None:
    nodes = [
        STEM,
        node("GlobalAveragePool", ["a"], ["b"]),
        node("Flatten", ["b"], ["c"]),
        node("Sigmoid", ["c"], ["y"]),
    ]
    read = compare(written(tmp_path, model(nodes, constants=W)), given(), _probabilities)
    assert read.loss == nc.BinaryCrossEntropy()


HEADS: Mapping[str, tuple[list[Any], dict[str, np.ndarray], str, bool]] = {
    "bytes, channels last": (
        [
            node("Cast", ["x"], ["c"], to=TensorProto.FLOAT),
            node("Div", ["c", "n"], ["d"]),
            node("Transpose", ["d"], ["e"], perm=[0, 3, 1, 2]),
            node("Sub", ["e", "mean"], ["f"]),
            node("Div", ["f", "std"], ["h"]),
        ],
        {"n": np.array(255, F), "mean": np.array([0.4, 0.5, 0.6], F).reshape(3, 1, 1), "std": np.array(0.25, F)},
        "NHWC",
        True,
    ),
    "numbers from 0 to 255": (
        [node("Sub", ["x", "mean"], ["c"]), node("Mul", ["c", "s"], ["h"])],
        {"mean": np.array([123, 117, 104], F).reshape(1, 3, 1, 1), "s": np.array(0.017, F)},
        "NCHW",
        False,
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_what_is_done_to_the_image_first_becomes_the_normalisation(tmp_path: Path, name: str) -> None:
    head, constants, layout, whole = HEADS[name]
    nodes = [*head, node("Conv", ["h", "w.weight"], ["a"]), node("GlobalAveragePool", ["a"], ["y"])]
    shape = ("N", 8, 8, 3) if layout == "NHWC" else ("N", 3, 8, 8)
    made = model(nodes, shape, {**W, **constants}, element=TensorProto.UINT8 if whole else TensorProto.FLOAT)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    path = written(tmp_path, made)
    read = nc.from_onnx(path, engine="reference")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    fed = pixels if layout == "NHWC" else pixels.transpose(0, 3, 1, 2)
    want = session.run(None, {"x": fed if whole else fed.astype(F)})[0].reshape(2, 8)
    np.testing.assert_allclose(read(pixels), want, rtol=1e-4, atol=1e-5)
    assert kinds(read) == ["Conv2d", "GlobalAvgPool2d"]
    assert not read.graph.normalisation.is_identity


def test_preprocessing_may_be_given(tmp_path: Path) -> None:
    path = written(tmp_path, model([STEM, node("GlobalAveragePool", ["a"], ["y"])], constants=W))
    read = nc.from_onnx(path, value_range=255, mean=127.5, std=127.5, engine="reference")
    assert (read.graph.normalisation.mean, read.graph.normalisation.std) == ((0.5,), (0.5,))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    plain = nc.from_onnx(path, engine="reference")
    np.testing.assert_allclose(read(pixels), plain(pixels / 127.5 - 1), rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("always")
def test_what_white_is_guessed_to_be_is_told_unless_something_says_it(tmp_path: Path) -> None:
    path = written(tmp_path, model([STEM, node("GlobalAveragePool", ["a"], ["y"])], constants=W))
    with pytest.warns(nc.NeocogWarning, match="does not say which numbers its images are"):
        nc.from_onnx(path, engine="reference")
    centred = [node("Sub", ["x", "mean"], ["h"]), node("Conv", ["h", "w.weight"], ["a"])]
    said = model([*centred, node("GlobalAveragePool", ["a"], ["y"])], constants={**W, "mean": np.array(0.5, F)})
    own = nc.from_onnx(path, value_range=1, engine="reference")
    own.to_onnx(tmp_path / "own.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nc.from_onnx(path, value_range=1, engine="reference")
        nc.from_onnx(path, mean=0.5, engine="reference")
        nc.from_onnx(written(tmp_path, said), engine="reference")
        nc.from_onnx(tmp_path / "own.onnx", engine="reference")


@pytest.mark.parametrize("value", [0, -1, float("nan"), "255"])
def test_a_value_range_is_a_number_above_0(tmp_path: Path, value: Any) -> None:
    path = written(tmp_path, model([STEM, node("GlobalAveragePool", ["a"], ["y"])], constants=W))
    with pytest.raises(nc.SettingError, match="value_range must be a number above 0"):
        nc.from_onnx(path, value_range=value)


def test_class_names_come_from_metadata_or_a_text(tmp_path: Path) -> None:
    nodes = [STEM, node("GlobalAveragePool", ["a"], ["y"])]
    names = [f"kind {number}" for number in range(8)]
    path = written(tmp_path, model(nodes, constants=W, metadata={"names": str(dict(enumerate(names)))}))
    assert list(nc.from_onnx(path).class_names) == names
    (tmp_path / "labels.txt").write_text("\n".join(reversed(names)) + "\n")
    assert list(nc.from_onnx(path, class_names=tmp_path / "labels.txt").class_names) == names[::-1]
    with pytest.raises(nc.NeocogError, match="class_names"):
        nc.from_onnx(path, class_names=["one", "two"])


def test_what_a_file_leaves_open_is_asked_for(tmp_path: Path) -> None:
    nodes = [STEM, node("GlobalAveragePool", ["a"], ["y"])]
    path = written(tmp_path, model(nodes, ("N", 3, "height", "width"), W))
    with pytest.raises(nc.SettingError, match="leaves the size of its images open"):
        nc.from_onnx(path)
    assert nc.from_onnx(path, input_shape=(12, 10)).input_shape == (12, 10, 3)
    path = written(tmp_path, model(nodes, constants=W, outputs=("y", "a")))
    with pytest.raises(nc.SettingError, match="this file gives 2: 'y', 'a'"):
        nc.from_onnx(path)
    assert kinds(nc.from_onnx(path, output="a")) == ["Conv2d"]


def test_outputs_of_a_flatten_are_named_by_their_place_in_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, model([STEM, node("Flatten", ["a"], ["y"])], constants=W))
    read = nc.from_onnx(path)
    assert read.class_names[:3] == ("0", "64", "128")  # the channels of the first pixel


def test_a_file_of_a_fixed_batch_answers_any_number(tmp_path: Path) -> None:
    nodes = [STEM, node("Reshape", ["a", "s"], ["b"]), node("MatMul", ["b", "g"], ["y"])]
    path = written(tmp_path, model(nodes, (1, 3, 8, 8), {**W, "s": numbers(1, 512), "g": filters(512, 3)}))
    assert nc.from_onnx(path, engine="reference")(given((5, 8, 8, 3))).shape == (5, 3)
