"""Model files that are damaged, of another kind, or say what cannot be: each is refused with the place."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import re
import struct

import numpy as np
import pytest
from PIL import Image

from model_files import TINY, assembled, header_of, load, refused, written
from neocog.errors import FormatError
from neocog.model.files import tensor_bytes
from neocog.model.modelfile import document_of, save


def test_a_path_that_holds_no_file_is_named(tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        load(tmp_path / "missing.safetensors")
    with pytest.raises(FormatError, match="is a folder") as caught:
        load(tmp_path)
    assert caught.value.hint is None
    save(TINY, tmp_path / "model.safetensors")
    with pytest.raises(FormatError, match=r"hint: try .*model.safetensors"):
        load(tmp_path)
    with pytest.raises(FormatError, match="not a directory"):
        load(tmp_path / "model.safetensors" / "inside")


def test_damaged_containers_are_refused(tmp_path):
    content = tensor_bytes(document_of(TINY), TINY.state_dict())
    header, body = header_of(content)
    path = tmp_path / "m"
    refused(path, b"", "is empty")
    refused(path, content[:5], "is truncated")
    refused(path, content[:100], "is truncated: .* bytes of header")
    refused(path, content[:-1], "is truncated: .* bytes of tensors")
    refused(path, content + b"\0", "is damaged")
    refused(path, content[:-1] + bytes([content[-1] ^ 1]), "do not match the digest")
    refused(path, struct.pack("<Q", 10**9) + b"{}", "at most 10,000,000")
    refused(path, assembled(b"[]", body), "the header must be a JSON object")
    refused(path, assembled(b'{"a": NaN}', body), "the header is not valid JSON")
    refused(path, assembled(b"\x93NUMPY", body), "the header is not valid JSON")
    refused(path, assembled({**header, "x": 3}, body), "'x' must have two data_offsets")
    refused(path, assembled({**header, "x": {"data_offsets": [0, -1]}}, body), "data_offsets")
    wrong = {**header, "0.bias": {**header["0.bias"], "dtype": "F99"}}
    refused(path, assembled(wrong, body), "not a valid safetensors file")
    wrong = {**header, "0.bias": {**header["0.bias"], "shape": [3]}}
    refused(path, assembled(wrong, body), "not a valid safetensors file")


def image(form: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP"])
def test_an_image_given_for_a_model_is_called_one(tmp_path, form):
    path = tmp_path / "a.jpg"
    refused(path, image(form), rf"a\.jpg is an image \({form}\), not a model file\n  hint: MODEL comes first")
    refused(path, image(form), r"neocog predict runs/NAME .*a\.jpg$")


def pickled(protocol: int) -> bytes:
    return pickle.dumps({"0.weight": list(range(100))}, protocol)


@pytest.mark.parametrize(
    ("content", "kind", "hint"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", r"an image \(HEIC\)", "MODEL comes first"),
        (b"PK\x03\x04" + b"\xff" * 99, "a zip archive, such as a PyTorch, Keras", "neocog import"),
        (b"PK\x05\x06" + bytes(18), "an empty zip archive", ""),
        *((pickled(protocol), "a pickle", "can run code.*neocog import") for protocol in range(2, 6)),
        (b"\x89HDF\r\n\x1a\n" + b"\xff" * 99, "an HDF5 file", "load_parameters"),
        (gzip.compress(b"weights" * 9, mtime=0), "a gzip file", "unpack"),  # a length that could be
        (gzip.compress(b"weights" * 9, mtime=1_700_000_000), "a gzip file", "unpack"),
        (bz2.compress(b"weights"), "a bzip2 file", "unpack"),
        (lzma.compress(b"weights"), "an xz file", "unpack"),
        (b"epochs: 5\nbatch_size: 64\n", "a text", "neocog train"),
        ("épochs".encode() * 20, "a text", "neocog train"),
        (b'{"format": "neocog"}', "a text", "neocog train"),
        (b"<!DOCTYPE html><html>", "not a model file: this is a web page", "neocog train"),
        (b"%PDF-1.7 ....", "not a model file: this is a PDF", "neocog train"),
        (b"\x93NUMPY\x01\0v\0{'descr'", r"a NumPy array \(\.npy\)", ""),
        (bytes(range(200, 256)) * 4, r"not a model file: it begins with b'\\xc8", "neocog train"),
    ],
)
def test_files_of_other_kinds_are_called_by_their_name(tmp_path, content, kind, hint):
    path = tmp_path / "a"
    refused(path, content, kind)
    with pytest.raises(FormatError, match="not a model file") as caught:
        load(path)
    assert re.search(hint, caught.value.hint)
    assert "header of" not in str(caught.value)


def test_safetensors_from_elsewhere_are_refused_with_a_way_on(tmp_path):
    header, body = header_of(tensor_bytes(document_of(TINY), TINY.state_dict()))
    path = tmp_path / "m"
    refused(path, assembled({k: v for k, v in header.items() if k != "__metadata__"}, body), "from elsewhere")
    refused(path, assembled({**header, "__metadata__": {"format": "pt"}}, body), "neocog import")
    refused(path, assembled({**header, "__metadata__": {"neocog": 3}}, body), "must be a string")
    refused(path, assembled({**header, "__metadata__": {"neocog": "yes"}}, body), "metadata is not valid JSON")


def test_tensors_of_another_type_are_refused(tmp_path):
    from safetensors.numpy import save as save_tensors

    text = json.dumps({**document_of(TINY)})
    tensors = {name: value.astype(np.float16) for name, value in TINY.state_dict().items()}
    refused(tmp_path / "m", save_tensors(tensors, {"neocog": text}), "must be of type F32, got F16")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": None}, "missing: 0.weight"),
        ({"extra": np.zeros(1, np.float32)}, "unknown: 'extra'"),
        ({"0.weight": np.zeros((2, 1, 1, 2), np.float32)}, r"0.weight must have the shape \(2, 1, 2, 1\)"),
    ],
)
def test_tensors_that_are_not_the_networks_are_refused(tmp_path, change, message):
    tensors = {name: value for name, value in {**TINY.state_dict(), **change}.items() if value is not None}
    with pytest.raises(FormatError, match=message):
        load(written(tmp_path / "m", None, tensors))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("format"), "format must be 1 or 2, got None"),
        (lambda d: d.update(format=True), "format must be 1 or 2, got True"),
        (lambda d: d.update(format=3), "upgrade"),
        (lambda d: d.update(format=0), "format must be 1 or 2, got 0"),
        (lambda d: d.pop("metrics"), "missing: metrics"),
        (lambda d: d.update(license="MIT"), "unknown: 'license'"),
        (lambda d: d.update(neocog_version=1), "neocog_version must be a string"),
        (lambda d: d.update(format=1), "missing: architecture"),
        (lambda d: d.update(nodes={"kind": "ReLU"}), "nodes must be a list"),
        (lambda d: d.update(nodes=[]), "needs at least one layer"),
        (lambda d: d["nodes"][0]["layer"].update(kernel=9), "needs an input of at least 9"),
        (
            lambda d: d["nodes"][2].update(inputs=[3]),
            r"nodes\[2\]\.inputs\[0\] of layer 2 is layer 3, which comes behind",
        ),
        (lambda d: d.update(class_names="ab"), "class_names must be a list"),
        (lambda d: d.update(class_names=["a", "a"]), "'a' more than once"),
        (lambda d: d.update(class_names=["a"]), "class_names must be as many"),
        (lambda d: d.update(class_names=["a", 2]), "class_names must be texts"),
        (lambda d: d.update(class_names=["a", "\ud800"]), "valid Unicode"),
        (lambda d: d.update(input=[3, 2, 1]), "input must be an object"),
        (lambda d: d["input"].pop("mean"), "missing: mean"),
        (lambda d: d["input"].update(height=0), "input.height must be an integer of at least 1"),
        (lambda d: d["input"].update(width=2.0), "input.width must be an integer"),
        (lambda d: d["input"].update(height=2**40), "from 1 to 65536"),
        (lambda d: d["input"].update(resize="fold"), "input.resize must be one of stretch"),
        (lambda d: d["input"].update(interpolation="nearest"), "input.interpolation must be one of bilinear"),
        (lambda d: d["input"].update(part=0.5), "part must be a number from 0.01 to 1, for crop alone, got 0.5"),
        (lambda d: d["input"].update(resize="crop", part=1.5), "part must be a number from 0.01 to 1"),
        (lambda d: d["input"].update(resize="crop", part=None), "input.part must be a finite number"),
        (lambda d: d["input"].update(resize="short"), "side is what short, and only short, needs"),
        (lambda d: d["input"].update(resize="short", side=2**20), "side must be a whole number from 1 to 65,536"),
        (lambda d: d["input"].update(resize="short", side=25.6), "input.side must be an integer"),
        (lambda d: d.update(origin="timm"), "origin must be an object"),
        (lambda d: d.update(origin={"licence": "MIT"}), "missing: source"),
        (lambda d: d.update(origin={"source": "timm", "author": "me"}), "unknown: 'author'"),
        (lambda d: d.update(origin={"source": 7}), "origin.source must be a string, got 7"),
        (lambda d: d.update(origin={"source": ""}), "origin.source must be a text of 1 to 1,000 characters"),
        (lambda d: d.update(origin={"source": "a", "sha256": "0" * 63}), "origin.sha256 must be 64 hexadecimal digits"),
        (lambda d: d["input"].update(mean=0.5), "input.mean must be a list"),
        (lambda d: d["input"].update(mean=["0"]), r"input.mean\[0\] must be a finite number"),
        (lambda d: d["input"].update(mean=[]), "mean must hold 1"),
        (lambda d: d["input"].update(std=[0.0]), "std must be finite and above 0"),
        (lambda d: d["input"].update(std=[10**400]), r"input.std\[0\] must be a finite number"),
        (lambda d: d["input"].update(color_order="BGR"), "color_order must be 'L'"),
        (lambda d: d.update(metrics=[]), "metrics must be an object"),
        (lambda d: d.update(metrics={"loss": "low"}), "metrics.loss must be a finite number"),
    ],
)
def test_documents_that_are_wrong_are_refused_with_the_place(tmp_path, change, message):
    document = json.loads(json.dumps(document_of(TINY)))
    change(document)
    header, body = header_of(tensor_bytes({}, TINY.state_dict()))
    text = json.dumps(document)
    refused(tmp_path / "m", assembled({**header, "__metadata__": {"neocog": text}}, body), message)


def test_numbers_that_json_cannot_hold_are_refused(tmp_path):
    header, body = header_of(tensor_bytes(document_of(TINY), TINY.state_dict()))
    text = json.dumps(document_of(TINY)).replace("0.25", "NaN")
    refused(tmp_path / "m", assembled({**header, "__metadata__": {"neocog": text}}, body), "NaN is not JSON")


def test_edited_tensors_load_once_the_digest_is_gone(tmp_path):
    header, body = header_of(tensor_bytes(document_of(TINY), TINY.state_dict()))
    path, edited = tmp_path / "m", bytes(len(body))
    refused(path, assembled(header, edited), "remove sha256")
    header["__metadata__"]["neocog"] = json.dumps(document_of(TINY))
    path.write_bytes(assembled(header, edited))
    assert all((value == 0).all() for value in load(path).parameters.values())
