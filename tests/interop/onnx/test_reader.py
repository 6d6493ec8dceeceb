"""ONNX files become models that answer as ONNX Runtime does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

import neocog as nc  # noqa: E402
from neocog.data.arrays import ArrayDataset  # noqa: E402
from neocog.data.sources import read_source  # noqa: E402

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.fixture
def data() -> Path:
    """The folder of public files, or a skip."""
    if not DATA.is_dir():
        pytest.skip("the public files are not in ../shared/data")
    return DATA


def tensor(path: Path) -> np.ndarray:
    return onnx.numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def answered(path: Path, images: np.ndarray) -> np.ndarray:
    """What ONNX Runtime gives for images as (N, C, H, W)."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


@pytest.mark.data
@pytest.mark.parametrize("engine", ["reference", "native"])
def test_mnist_8_gives_the_answers_that_come_with_it(data: Path, engine: str) -> None:
    model = nc.from_onnx(data / "onnx-mnist-8" / "model.onnx", value_range=255, engine=engine)
    digit = tensor(data / "onnx-mnist-8" / "test_data_set_0" / "input_0.pb").transpose(0, 2, 3, 1)
    want = tensor(data / "onnx-mnist-8" / "test_data_set_0" / "output_0.pb")
    assert np.abs(model(digit / 255) - want).max() <= 1e-4 * np.abs(want).max()
    assert [type(node.layer).__name__ for node in model.graph.nodes if node.weight_shape] == ["Conv2d"] * 2 + ["Linear"]


@pytest.mark.data
def test_resnet8_answers_as_onnx_runtime_and_keeps_its_batch_norms(data: Path) -> None:
    path = data / "pretrained" / "resnet8_cifar10.onnx"
    model = nc.from_onnx(path, value_range=255)
    source = read_source(data / "cifar-10-batches-bin")
    assert source.test is not None
    assert isinstance(source.test, ArrayDataset)
    images, labels = source.test.array, source.test.labels
    want = answered(path, images[:64].transpose(0, 3, 1, 2).astype(np.float32))
    assert np.abs(model(images[:64]) - want).max() <= 1e-4 * np.abs(want).max()
    assert (model.predict(images) == labels).mean() >= 0.88
    assert sum(isinstance(node.layer, nc.BatchNorm2d) for node in model.graph.nodes) == 7
    assert "layer3.0.downsample.0.weight" in model.parameters
    assert model.origin is not None
    assert model.origin.source == "resnet8_cifar10.onnx"
