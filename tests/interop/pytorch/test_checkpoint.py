"""Files of weights: what PyTorch and safetensors write is read bit for bit; what lies or asks for code is refused."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neocog.errors import FormatError
from neocog.interop.pytorch.archive import LEGACY
from neocog.interop.pytorch.checkpoint import open_state

torch = pytest.importorskip("torch")

LAYOUTS = [(True, 2), (False, 2), (True, 4), (False, 4)]
"""Whether in the zip layout, and protocol of the pickle."""


def values_of(path: Path) -> list[np.ndarray]:
    return [tensor.read() for tensor in open_state(path).tensors.values()]


def saved(path: Path, value: Any, zipped: bool = True, protocol: int = 2) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return path


@pytest.mark.parametrize(("zipped", "protocol"), LAYOUTS)
def test_tensors_are_read_bit_for_bit(tmp_path: Path, zipped: bool, protocol: int) -> None:
    base = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    state = {
        "whole": base,
        "transposed": base.t(),
        "part": base[1:3, 2:5],
        "repeated": base[:, :1].expand(4, 3),
        "parameter": torch.nn.Parameter(base),
        "half": base.half(),
        "brain": base.bfloat16(),
        "double": base.double(),
        "counter": torch.tensor(7),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "true": torch.tensor([True, False]),
        "none": torch.zeros(0, 3),
    }
    found = open_state(saved(tmp_path / "x.pt", state, zipped, protocol)).tensors
    assert list(found) == list(state)
    for name, tensor in state.items():
        want = tensor.detach().float().numpy() if name == "brain" else tensor.detach().numpy()
        got = found[name].read()
        assert (got.dtype, got.shape, got.tobytes()) == (want.dtype, want.shape, want.tobytes()), name


@pytest.mark.parametrize(("zipped", "protocol"), LAYOUTS)
@pytest.mark.parametrize("key", [None, "state_dict", "model", "module"])
def test_a_state_dict_is_found_among_what_a_training_keeps(
    tmp_path: Path, key: str | None, zipped: bool, protocol: int
) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    state = net.state_dict()
    more = {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, layers=["a"]),
        "best": np.float64(0.5),
        "optimizer": optimizer.state_dict(),
    }
    found = open_state(saved(tmp_path / "x.pt", state if key is None else {**more, key: state}, zipped, protocol))
    assert list(found.tensors) == list(state)
    assert all((found.tensors[name].read() == value.numpy()).all() for name, value in state.items())


def test_safetensors_of_any_type_are_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {"a": torch.randn(2, 3), "b": torch.randn(4).bfloat16(), "c": torch.randn(2).half(), "n": torch.tensor(5)}
    save_file(state, tmp_path / "x.safetensors", {"format": "pt"})
    found = open_state(tmp_path / "x.safetensors")
    assert found.texts == {"format": "pt"}
    for name, tensor in state.items():
        np.testing.assert_array_equal(found.tensors[name].read(), tensor.float().numpy())


# -- what is refused --------------------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/neocog-was-here",)


@pytest.mark.parametrize(("zipped", "protocol"), LAYOUTS)
def test_nothing_of_a_file_is_run(tmp_path: Path, zipped: bool, protocol: int) -> None:
    with pytest.raises(FormatError, match=r"the file asks for (posix|nt)\.system, which weights do not need"):
        open_state(saved(tmp_path / "x.pt", {"a": torch.zeros(1), "b": Evil()}, zipped, protocol))
    with pytest.raises(FormatError, match=r"asks for torch\.nn\.modules.* is not run") as caught:
        open_state(saved(tmp_path / "x.pt", torch.nn.Sequential(torch.nn.ReLU()), zipped, protocol))
    assert "state_dict()" in str(caught.value.hint)


@pytest.mark.parametrize("content", [b"", b"\x80\x02}.", b"neither", b"PK\x03\x04", b"PK\x05\x06" + b"\0" * 18])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(FormatError):
        open_state(tmp_path / "x.pt")


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="there is no such file"):
        open_state(tmp_path / "x.pt")
    with pytest.raises(FormatError, match="is a folder"):
        open_state(tmp_path)
    with pytest.raises(FormatError, match="no file can have this name"):
        open_state("a\0b")
    with pytest.raises(FormatError, match="holds a list, not a state dict"):
        open_state(saved(tmp_path / "x.pt", [torch.zeros(1)]))
    with pytest.raises(FormatError, match="holds no state dict") as caught:
        open_state(saved(tmp_path / "x.pt", {"epoch": 3, "other": {"a": torch.zeros(1)}}))
    assert caught.value.details == ("epoch: a number", "other: a dictionary")


@pytest.mark.parametrize("zipped", [True, False])
def test_truncation_anywhere_is_an_error(tmp_path: Path, zipped: bool) -> None:
    content = saved(tmp_path / "x.pt", {"a": torch.randn(40), "b": torch.randn(3, 4)}, zipped).read_bytes()
    for kept in (*range(0, len(content) - 1, 37), len(content) - 1):
        (tmp_path / "cut.pt").write_bytes(content[:kept])
        with pytest.raises(FormatError):
            values_of(tmp_path / "cut.pt")


def test_damage_anywhere_is_an_error_or_another_value_and_never_more(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for zipped in (True, False):
        content = bytearray(saved(tmp_path / "x.pt", {"a": torch.randn(3), "b": torch.randn(2)}, zipped).read_bytes())
        for _ in range(400):
            damaged = bytearray(content)
            for place in random.integers(0, len(content), 3):
                damaged[place] = random.integers(256)
            (tmp_path / "bad.pt").write_bytes(damaged)
            with contextlib.suppress(FormatError):
                values_of(tmp_path / "bad.pt")


def archive(path: Path, pickled: bytes, storage: bytes = b"\0" * 16, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("x/data.pkl", pickled)
        file.writestr("x/data/0", storage)
        file.writestr("x/version", b"3\n")
    return path


def tensor_pickle(
    size: int = 4, offset: int = 0, shape: tuple[int, ...] = (4,), strides: tuple[int, ...] = (1,)
) -> bytes:
    """Write by hand {"a": a tensor of the storage "0"}, as torch.save does."""

    def whole(numbers: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(f"L{number}L\n".encode() for number in numbers) + b"t"

    stored = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu" + f"L{size}L\n".encode() + b"tQ"
    made = b"ctorch._utils\n_rebuild_tensor_v2\n(" + stored + f"L{offset}L\n".encode() + whole(shape) + whole(strides)
    return b"\x80\x02}X\x01\0\0\0a" + made + b"\x89}tRs."


def test_the_hand_written_file_is_what_pytorch_reads(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt", tensor_pickle(), np.arange(4, dtype="<f4").tobytes())
    assert (
        open_state(path).tensors["a"].read().tolist()
        == torch.load(path, weights_only=False)["a"].tolist()
        == [0, 1, 2, 3]
    )


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (tensor_pickle(size=5), "should have 20 bytes, 16 are there"),
        (tensor_pickle(size=2**62), "16 are there"),
        (tensor_pickle(size=-1), "16 are there"),
        (tensor_pickle(shape=(5,)), "asks for 5 elements, of which 4 are there"),
        (tensor_pickle(offset=1), "asks for 4 elements, of which 3 are there"),
        (tensor_pickle(offset=-1), "asks for a shape of"),
        (tensor_pickle(shape=(2**40, 2**40), strides=(2**40, 1)), "asks for"),
        (tensor_pickle(shape=(-4,)), r"asks for a shape of \(-4,\)"),
        (tensor_pickle(shape=(2,), strides=(-1,)), r"strides of \(-1,\)"),
        (tensor_pickle(shape=(2, 2)), "2 axes and 1 strides"),
        (tensor_pickle(shape=(1,) * 9, strides=(1,) * 9), "9 axes"),
        (b"\x80\x02}q\0X\x01\0\0\0ah\0s.", "holds no state dict"),  # a dictionary that holds itself
        (b"\x80\x02cbuiltins\neval\nX\x01\0\0\x001\x85R.", r"asks for builtins\.eval"),
        (b"\x80\x02(X\x01\0\0\0xctorch\nFloatStorage\nX\x01\0\0\x000NL4L\ntQ.", "asks for a FloatStorage"),
    ],
)
def test_tensors_that_lie_are_refused(tmp_path: Path, pickled: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        open_state(archive(tmp_path / "x.pt", pickled))


def test_values_are_not_read_before_somebody_wants_them(tmp_path: Path) -> None:
    huge = tensor_pickle(shape=(2**20, 2**20), strides=(0, 0))  # 2^40 times the same value: nothing is allocated
    assert open_state(archive(tmp_path / "x.pt", huge)).tensors["a"].size == 2**40
    with (tmp_path / "thin.pt").open("wb") as file:  # 16 GiB that are not on the disk
        file.truncate(1 << 34)
    thin = open_state(archive(tmp_path / "x.pt", tensor_pickle())).tensors["a"]
    from dataclasses import replace

    with pytest.raises(FormatError, match="2 values spread over"):
        replace(thin, path=tmp_path / "thin.pt", shape=(2,), strides=(1 << 31,), room=1 << 32).read()


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt", tensor_pickle(), b"\0" * (1 << 24), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 16
    with pytest.raises(FormatError, match="compressed or encrypted"):
        open_state(path)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"x/data.pkl": b"", "x/constants.pkl": b""}, "is a program of TorchScript"),
        ({"weights.npy": b""}, "holds no data.pkl"),
        ({"x/data.pkl": b"}.", "x/byteorder": b"big"}, "whose numbers begin with the largest byte"),
        ({"x/data.pkl": b"}."}, "holds no state dict"),
    ],
)
def test_other_archives_are_refused(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    with pytest.raises(FormatError, match=message):
        open_state(tmp_path / "x.pt")


def legacy(*values: bytes, behind: bytes = b"") -> bytes:
    return b"\x80\x02" + LEGACY[:12] + b"." + b"".join(values) + behind


def pickled(value: Any) -> bytes:
    return pickle.dumps(value, 2)


SYSTEM = pickled({"little_endian": True})


@pytest.mark.parametrize(
    "content",
    [
        legacy(pickled(1000), SYSTEM, pickled({}), pickled([])),
        legacy(pickled(1001), pickled({"little_endian": False}), pickled({}), pickled([])),
        legacy(pickled(1001), SYSTEM, pickled({}), pickled(["0"])),
        legacy(pickled(1001), SYSTEM, tensor_pickle(), pickled(["0"]), behind=struct.pack("<q", 4) + b"\0" * 8),
        legacy(pickled(1001), SYSTEM, tensor_pickle(), pickled(["0"]), behind=struct.pack("<q", 1 << 40)),
        legacy(pickled(1001), SYSTEM, tensor_pickle(), pickled(["0", "0"]), behind=struct.pack("<q", 4) + b"\0" * 64),
        legacy(pickled(1001), SYSTEM, tensor_pickle(), pickled([])),
        legacy(b"\x80\x02X\xff\xff\xff\x7fabc."),
    ],
)
def test_pickles_in_a_row_that_lie_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(FormatError):
        open_state(tmp_path / "x.pt")


def safe(header: Any, body: bytes = b"\0" * 16, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changes}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (safe(entry(), length=1 << 40), "announces a header of 1,099,511,627,776 bytes"),
        (safe(b"{" + b'"a":{' * 200), "is not valid JSON"),
        (safe(entry(shape=[5])), "needs 20 bytes, 16 are there"),
        (safe(entry(shape=[1 << 62, 1 << 62])), "16 are there"),
        (safe(entry(data_offsets=[0, 20])), "should lie at"),
        (safe(entry(data_offsets=[16, 0])), "should lie at"),
        (safe(entry(dtype="F8_E4M3")), "has the type 'F8_E4M3'"),
        (safe(entry(shape=[-4])), "must be whole numbers"),
        (safe({"a": 3}), "must have dtype, shape and data_offsets"),
        (safe({"__metadata__": {"a": 1}}), "must map names to texts"),
    ],
)
def test_safetensors_that_lie_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(FormatError, match=message):
        open_state(tmp_path / "x.safetensors")


def test_an_index_larger_than_any_models_is_refused(tmp_path: Path) -> None:
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, 1 << 30, 0, 0)
    (tmp_path / "x.pt").write_bytes(b"PK\3\4" + io.BytesIO().getvalue() + end)
    with pytest.raises(FormatError, match="index may have 16,777,216 bytes"):
        open_state(tmp_path / "x.pt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit, whose files there are
def test_a_program_of_torchscript_is_told_from_weights(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "x.pt")
    with pytest.raises(FormatError, match="is a program of TorchScript"):
        open_state(tmp_path / "x.pt")
