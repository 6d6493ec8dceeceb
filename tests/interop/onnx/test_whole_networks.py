"""The nine networks that come with the package onnx, with weights of our own: as large as they come, and older opsets.

Their own weights are all the same number, so that each answer is one in a thousand; with random ones in their place
the answers are compared with ONNX Runtime's.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

import neocog as nc  # noqa: E402

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NAMES = sorted(path.stem for path in FOLDER.glob("light_*.onnx"))
QUICK = ("light_squeezenet", "light_shufflenet")
CHOSEN = NAMES if os.environ.get("NEOCOG_TEST_PROFILE") == "thorough" else [name for name in NAMES if name in QUICK]


def with_weights(path: Path) -> Any:
    """The network with random weights in place of ConstantOfShape."""
    model = onnx.load(path)
    graph, rng = model.graph, np.random.default_rng(0)
    shapes = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kept, dead = [], set()
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(int(side) for side in shapes[node.input[0]])
        spread = math.sqrt(2.0 / math.prod(shape[1:])) if len(shape) > 1 else 0.1
        drawn = rng.standard_normal(shape, np.float32) * np.float32(spread)
        values = drawn if len(shape) > 1 else np.abs(1.0 + drawn)  # the variances among them must not be negative
        graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), node.output[0]))
        dead.add(node.input[0])
    del graph.node[:]
    graph.node.extend(kept)
    for field in (graph.initializer, graph.input):
        for entry in [entry for entry in field if entry.name in dead]:
            field.remove(entry)
    return model


def test_all_nine_are_there() -> None:
    assert len(NAMES) == 9


@pytest.mark.parametrize("name", CHOSEN)
def test_a_whole_network_answers_as_in_onnx_runtime(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(with_weights(FOLDER / f"{name}.onnx").SerializeToString())
    model = nc.from_onnx(path, value_range=1)
    images = np.random.default_rng(1).standard_normal((1, *model.input_shape), np.float32)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given = {entry.name for entry in session.get_inputs()}
    (source,) = given - {entry.name for entry in onnx.load(path).graph.initializer}
    want = session.run(None, {source: images.transpose(0, 3, 1, 2)})[0].reshape(1, -1)
    ends_in_softmax = onnx.load(path).graph.node[-1].op_type == "Softmax"
    got = model.predict_proba(images) if ends_in_softmax else model(images)
    assert np.abs(got - want).max() <= 1e-4 * np.abs(want).max()


@pytest.mark.parametrize("name", CHOSEN)
def test_a_whole_network_gives_the_answers_that_come_with_it(name: str) -> None:
    model = nc.from_onnx(FOLDER / f"{name}.onnx", value_range=1, engine="reference" if name in QUICK else "native")
    want = onnx.numpy_helper.to_array(onnx.TensorProto.FromString((FOLDER / f"{name}_output_0.pb").read_bytes()))
    images = np.zeros((1, *model.input_shape), np.float32)
    ends_in_softmax = onnx.load(FOLDER / f"{name}.onnx").graph.node[-1].op_type == "Softmax"
    got = model.predict_proba(images) if ends_in_softmax else model(images)
    assert np.abs(got.reshape(want.shape) - want).max() <= 1e-4 * np.abs(want).max()
