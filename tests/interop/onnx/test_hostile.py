"""ONNX files from anywhere: what is damaged or meant badly is refused with a message, in bounded memory and time."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx is not installed")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import neocog as nc  # noqa: E402
from onnx_files import filters, model, node, written  # noqa: E402

CONV = node("Conv", ["x", "w"], ["y"], name="stem")
W = {"w": filters(4, 3, 3, 3)}


def refused(path: Path, words: str) -> None:
    with pytest.raises(nc.NeocogError, match=words):
        nc.from_onnx(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not an ONNX file, or holds no network"),
        (b"hello, this is a text and no network at all", "is not an ONNX file"),
        (b"\x00" * 100, "is not an ONNX file"),
        (b"\x80\x04\x95pickle", "is not an ONNX file"),
    ],
)
def test_what_is_no_onnx_file_is_said_to_be_none(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    refused(tmp_path / "model.onnx", words)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none.onnx", "there is no such file")
    refused(tmp_path, "is a folder")
    os.mkfifo(tmp_path / "fifo.onnx")
    refused(tmp_path / "fifo.onnx", "fifo")


def test_a_cycle_is_refused(tmp_path: Path) -> None:
    nodes = [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Conv", ["b", "w"], ["y"])]
    refused(written(tmp_path, model(nodes, constants=W)), "takes 'b', which nothing before it gives")


def test_two_values_of_one_name_are_refused(tmp_path: Path) -> None:
    made = model([node("Relu", ["x"], ["y"]), node("Conv", ["x", "w"], ["y"])], constants=W)
    refused(written(tmp_path, made), "gives 'y', which there is already")
    made = model([CONV], constants=W)
    made.graph.initializer.append(made.graph.initializer[0])
    refused(written(tmp_path, made), "two tensors are called 'w'")


def test_a_graph_within_a_node_is_refused_by_name(tmp_path: Path) -> None:
    inner = model([node("Identity", ["x"], ["y"])]).graph
    loop = node("Loop", ["n", "", "y"], ["z"], name="again", body=inner)
    made = model([CONV, loop], constants={**W, "n": np.array(3)}, outputs=["z"])
    refused(written(tmp_path, made), r"'again' \(Loop\): it holds a graph of its own")


def test_graphs_nested_without_end_are_refused(tmp_path: Path) -> None:
    graph = model([CONV], constants=W).graph.SerializeToString()
    for _ in range(2000):  # GraphProto.node[0].attribute[0].g, by hand: the package would not write it
        graph = field(1, field(1, b"x") + field(2, b"y") + field(5, field(1, b"g") + field(6, graph) + b"\xa0\x01\x05"))
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08" + field(7, graph))
    refused(tmp_path / "model.onnx", "is not an ONNX file, or is damaged")


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds bytes."""
    length, rest = bytearray(), len(content)
    while rest > 127:
        length.append(rest & 127 | 128)
        rest >>= 7
    return bytes([number << 3 | 2, *length, rest]) + content


@pytest.mark.parametrize("dims", [(1 << 40,), (1 << 20, 1 << 20), (-1, 3, 3, 3), (4, 3, 3, 4), (1,) * 12])
def test_dims_that_are_not_what_is_stored_are_refused(tmp_path: Path, dims: tuple[int, ...]) -> None:
    made = model([CONV], constants=W)
    del made.graph.initializer[0].dims[:]
    made.graph.initializer[0].dims.extend(dims)
    refused(written(tmp_path, made), "tensor 'w'")


def test_huge_images_are_refused(tmp_path: Path) -> None:
    refused(written(tmp_path, model([CONV], ("N", 3, 1 << 30, 1 << 30), W)), "input_shape must hold numbers")
    refused(written(tmp_path, model([CONV], ("N", 3, 1 << 16, 1 << 16), W)), "at most 16,777,216 pixels")


@pytest.mark.parametrize("shape", [[1 << 40], [1 << 16, 1 << 16], [-5]])
def test_huge_constants_that_a_file_computes_are_refused(tmp_path: Path, shape: list[int]) -> None:
    nodes = [
        node("ConstantOfShape", ["s"], ["c"], name="fill"),
        node("Mul", ["c", "c"], ["d"]),
        node("Add", ["x", "d"], ["y"]),
    ]
    refused(written(tmp_path, model(nodes, constants={"s": np.array(shape, np.int64)})), r"'fill' \(ConstantOfShape\)")


def test_constants_that_double_and_double_are_refused(tmp_path: Path) -> None:
    nodes = [node("Concat", [f"c{n}", f"c{n}"], [f"c{n + 1}"], axis=0) for n in range(40)]
    made = model([*nodes, node("Add", ["x", "c40"], ["y"])], constants={"c0": np.zeros(1024, np.float32)})
    refused(written(tmp_path, made), "would hold more than")


def test_values_in_files_elsewhere_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(filters(4, 3, 3, 3).tobytes())
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    for location in ("../secret", str(tmp_path / "secret"), "link", "", "a/../../secret"):
        made = model([CONV], constants=W)
        onnx.external_data_helper.set_external_data(made.graph.initializer[0], location)
        made.graph.initializer[0].ClearField("raw_data")
        refused(written(folder, made), "must lie in a file in the folder of the model")


def test_values_in_a_file_beside_are_read(tmp_path: Path) -> None:
    values = filters(4, 3, 3, 3)
    (tmp_path / "weights.bin").write_bytes(b"before" + values.tobytes())
    made = model([CONV], constants=W)
    tensor = made.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "weights.bin", offset=6, length=values.nbytes)
    tensor.ClearField("raw_data")
    read = nc.from_onnx(written(tmp_path, made))
    np.testing.assert_array_equal(read.state_dict()["stem.weight"], values)
    next(entry for entry in tensor.external_data if entry.key == "offset").value = "7"
    refused(written(tmp_path, made), "which has")


def test_weights_that_are_no_numbers_are_refused_unless_asked_for(tmp_path: Path) -> None:
    weights = filters(4, 3, 3, 3)
    weights[0, 0, 0, 0] = np.nan
    path = written(tmp_path, model([CONV], constants={"w": weights}))
    refused(path, "stem.weight")
    assert np.isnan(nc.from_onnx(path, allow_nonfinite=True).parameters["stem.weight"]).any()


def test_all_nodes_that_are_not_read_are_named_at_once(tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["a"], name="stem"),
        node("Sin", ["a"], ["b"], name="wave"),
        node("Relu", ["b"], ["c"], name="act"),
        node("NonZero", ["c"], ["d"], name="where"),
        node("Softplus", ["d"], ["y"]),
    ]
    with pytest.raises(nc.FormatError, match="holds 3 nodes that are not read") as told:
        nc.from_onnx(written(tmp_path, model(nodes, constants=W)))
    assert [line.partition(":")[0] for line in told.value.details] == [
        "node 1, 'wave' (Sin)",
        "node 3, 'where' (NonZero)",
        "node 4 (Softplus)",
    ]


@pytest.mark.parametrize(
    ("opset", "words"), [(3, "is of opset 3"), (99, "is of opset 99"), (1 << 62, "is of opset")], ids=str
)
def test_operators_of_other_times_are_refused(tmp_path: Path, opset: int, words: str) -> None:
    refused(written(tmp_path, model([CONV], constants=W, opset=opset)), words)


@given(st.data())
def test_a_damaged_file_gives_a_message_or_a_model(data: st.DataObject) -> None:
    content = bytearray(_content())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"neocog-damaged-{os.getpid()}.onnx"
    path.write_bytes(content)
    try:
        nc.from_onnx(path)
    except nc.NeocogError:
        pass  # any other error fails
    finally:
        path.unlink()


def _content() -> bytes:
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["a", "s", "s", "s", "v"], ["b"]),
        node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", ["c"], ["n"]),
        node("Gather", ["n", "zero"], ["m"], axis=0),
        node("Concat", ["m", "rest"], ["t"], axis=0),
        node("Reshape", ["c", "t"], ["d"]),
        node("Gemm", ["d", "g"], ["y"]),
    ]
    constants = {
        **W,
        "s": np.zeros(4, np.float32),
        "v": np.ones(4, np.float32),
        "zero": np.zeros(1, np.int64),
        "rest": np.array([-1], np.int64),
        "g": filters(64, 3),
    }
    content: bytes = model(nodes, constants=constants).SerializeToString()
    return content
