import bz2
import contextlib
import gzip
import io
import json
import lzma
import pickle
import re
import struct
from copy import copy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from neocog.data.resize import ResizeRule
from neocog.errors import FormatError, NeocogError, SettingError
from neocog.model.calibration import Calibration, CurvePoint
from neocog.model.files import tensor_bytes
from neocog.model.modelfile import document_of, load_network, save
from neocog.model.network import Network
from neocog.model.origin import Origin
from neocog.nn.blocks import Sequential
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU

TINY = Network(
    Sequential(Conv2d(2, (2, 1)), ReLU(), Flatten(), Linear(2)),
    (3, 2, 1),
    ["left", "right"],
    mean=0.25,
    std=0.1,
    resize="pad",
    engine="reference",
)


def load(path: Path, **settings) -> Network:
    return load_network(path, Network, **settings)


def written(path: Path, document=None, tensors=None) -> Path:
    path.write_bytes(tensor_bytes(document or document_of(TINY), tensors or TINY.state_dict()))
    return path


def test_a_model_comes_back_bit_for_bit(tmp_path, make_model, toy):
    model = make_model(mean=[0.1], std=[0.3], resize="crop")
    model.metrics = {"epoch": 3, "val_accuracy": 0.75}
    save(model, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors", engine="reference")
    assert again.graph == model.graph
    assert again.class_names == model.class_names
    assert (str(again.resize), again.metrics, again.color_order) == ("crop", model.metrics, "L")
    for name, value in model.parameters.items():
        assert again.parameters[name].tobytes() == value.tobytes()
    assert (again.predict_proba(toy[0]) == model.predict_proba(toy[0])).all()


def test_a_calibration_and_a_threshold_come_back(tmp_path, make_model, toy):
    model = make_model()
    model.calibration = Calibration(1.7, 30, (CurvePoint(0.9, 12, 12), CurvePoint(0.55, 30, 21)))
    model.reject("coverage=0.4")
    save(model, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors", engine="reference")
    assert (again.calibration, again.reject_below) == (model.calibration, 0.9)
    assert (again.predict_proba(toy[0]) == model.predict_proba(toy[0])).all()
    again.reject(None)
    again.load_parameters(again.parameters)  # of which nobody knows what their probabilities are worth
    assert (again.calibration, again.temperature) == (None, 1.0)


ORIGIN = Origin("example.org/nets", "Apache-2.0", "0123456789abcdef" * 4, "MobileNetV1, ImageNet")


@pytest.mark.parametrize("rule", ["crop=0.875,bicubic", "short=256", "pad,bicubic"])
def test_preprocessing_and_origin_come_back(tmp_path, make_model, rule):
    model = make_model(resize=rule)
    model.origin = ORIGIN
    save(model, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors", engine="reference")
    assert (again.resize, again.origin) == (ResizeRule.parse(rule), ORIGIN)
    assert again.folded().origin == copy(again).origin == ORIGIN
    again.load_parameters(again.parameters)  # of which nobody knows where they came from
    assert again.origin is None


@pytest.mark.parametrize("below", [1.5, -0.1, 1e300, True, "0.5", [0.5]])
def test_a_wrong_threshold_of_answers_is_refused(tmp_path, below):
    (tmp_path / "m").write_bytes(tensor_bytes({**document_of(TINY), "reject_below": below}, TINY.state_dict()))
    with pytest.raises(FormatError, match="reject_below must be"):
        load(tmp_path / "m")
    with pytest.raises(SettingError, match="reject_below must be a number from 0 to 1"):
        copy(TINY).reject_below = below


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (None, "calibration must be an object"),
        ({"temperature": 0, "images": 1, "curve": [[0.5, 1, 1]]}, "temperature must be from 0.01 to 100, got 0"),
        ({"temperature": 1, "images": 1, "curve": []}, "curve must be a list of 1 to 200 points"),
        ({"temperature": 1, "images": 1, "curve": [[0.5, 1]]}, r"curve\[0\] must be \[threshold, answered, right\]"),
        ({"temperature": 1, "images": 2, "curve": [[0.5, 1, 1]]}, "falling thresholds and rising counts"),
        ({"temperature": 1, "images": 1, "curve": [["a", 1, 1]]}, r"curve\[0\]\[0\] must be a finite number"),
    ],
)
def test_a_wrong_calibration_is_refused(tmp_path, calibration, message):
    document = {**document_of(TINY), "calibration": calibration}
    with pytest.raises(FormatError, match=message):
        load(written(tmp_path / "m", document))


def test_saving_twice_gives_the_same_bytes(tmp_path):
    save(TINY, tmp_path / "a")
    save(TINY, tmp_path / "b")
    save(load(tmp_path / "a"), tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == (tmp_path / "c").read_bytes()


def test_the_tensors_are_pytorchs(tmp_path, make_model):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    model = make_model()
    save(model, tmp_path / "m.safetensors")
    state = load_file(tmp_path / "m.safetensors")
    assert isinstance(state["0.weight"], torch.Tensor)
    assert state["0.weight"].shape == (3, 1, 3, 3)
    assert all((state[name].numpy() == value).all() for name, value in model.state_dict().items())


def test_a_metric_that_is_not_finite_is_left_out(tmp_path):
    model = load(written(tmp_path / "m"))
    model.metrics = {"loss": float("nan"), "accuracy": 1.0}
    save(model, tmp_path / "n")
    assert load(tmp_path / "n").metrics == {"accuracy": 1.0}


def test_loading_draws_no_parameters_and_makes_no_engine(tmp_path, monkeypatch):
    import neocog.model.network

    written(tmp_path / "m")
    monkeypatch.setattr(neocog.model.network, "initial_parameters", None)
    assert load(tmp_path / "m", engine="none such").parameters


def test_a_network_of_impossible_size_is_refused_before_memory_is_taken(tmp_path):
    document = document_of(TINY)
    document["nodes"][3]["layer"]["features"] = 10**15
    document["class_names"] = ["left", "right"]
    with pytest.raises(
        FormatError, match=r"nodes\[3\]\.layer is out of range: Linear: features must be at most 16,777,216"
    ):
        load(written(tmp_path / "m", document))
    document["nodes"][3]["layer"]["features"] = 10**6
    with pytest.raises(FormatError, match="at most 262,144 classes"):
        load(written(tmp_path / "m", document))
    document["nodes"][3]["layer"]["features"] = 10**5
    with pytest.raises(FormatError, match="class_names must be as many"):
        load(written(tmp_path / "m", document))


def header_of(content: bytes) -> tuple[dict, bytes]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def assembled(header: dict | bytes, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))


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


VALID = tensor_bytes(document_of(TINY), TINY.state_dict())


@given(
    st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=4),
    st.integers(0, len(VALID)),
    st.binary(max_size=4),
)
@example([], len(VALID), b"")
def test_a_file_with_changed_bytes_loads_or_is_refused(tmp_path_factory, changes, length, tail):
    content = bytearray(VALID)
    for place, byte in changes:
        content[place] = byte
    path = tmp_path_factory.getbasetemp() / "fuzzed.safetensors"
    path.write_bytes(bytes(content[: length if length % 3 == 0 else None]) + tail)
    with contextlib.suppress(FormatError):  # any other error fails the test
        assert load(path).class_names


texts = st.text(max_size=5)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)


@given(st.data())
def test_a_document_with_any_value_anywhere_loads_or_is_refused(tmp_path_factory, data):
    document = json.loads(json.dumps(document_of(TINY)))
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(values)
    path = tmp_path_factory.getbasetemp() / "fuzzed.safetensors"
    header, body = header_of(VALID)
    path.write_bytes(assembled({**header, "__metadata__": {"neocog": json.dumps(document)}}, body))
    with contextlib.suppress(FormatError):
        assert load(path).class_names


def test_a_model_that_cannot_be_written_says_so_in_one_line(tmp_path):
    with pytest.raises(NeocogError) as caught:
        save(TINY, tmp_path / "none" / "m.safetensors")
    assert "\n" not in str(caught.value)


# -- format 1 -------------------------------------------------------------------------------------------------------

FORMAT_1 = Path(__file__).parent / "files" / "format-1.safetensors"  # a last.safetensors that neocog 0.1 wrote


def test_a_file_of_format_1_loads_and_answers_as_it_did(tmp_path):
    network = load(FORMAT_1, engine="reference")
    first = Sequential(Conv2d(2, (3, 2), padding=(1, 0)), ReLU(), MaxPool2d(2), AvgPool2d((1, 2)))
    rest = (Sequential(Flatten(), Dropout(0.25), Linear(3, bias=False)), Linear(2))
    assert network.net == Sequential(*first.layers, *rest)
    assert network.class_names == ("left", "right")
    assert (str(network.resize), network.graph.normalisation.mean, network.graph.normalisation.std) == (
        "pad",
        (0.25,),
        (0.5,),
    )
    assert network.metrics["epoch"] == 2
    assert network.learnt_from is None
    images = (np.arange(60) * 37 % 256).astype(np.uint8).reshape(2, 6, 5, 1)
    said = [[0.5078725218772888, -2.2115414142608643], [0.06643438339233398, -2.504863739013672]]
    np.testing.assert_allclose(network(images), said, rtol=1e-6)
    save(network, tmp_path / "m")
    again = load(tmp_path / "m", engine="reference")
    assert again.net == network.net
    assert again(images).tobytes() == network(images).tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(architecture={"kind": "ReLU"}), "architecture must be a Sequential, got ReLU"),
        (lambda d: d.update(architecture={"kind": "Sequential", "layers": []}), "needs at least one layer"),
        (lambda d: d["architecture"]["layers"][0].update(kernel=9), "needs an input of at least 7 x 9"),
        (lambda d: d["architecture"]["layers"].append({"kind": "Residual"}), r"layers\[6\]\.kind must be one of"),
        (lambda d: d.update(nodes=[]), "unknown: 'nodes'"),
        (lambda d: d.update(format=2), "missing: nodes"),
    ],
)
def test_a_wrong_document_of_format_1_is_refused(tmp_path, change, message):
    header, body = header_of(FORMAT_1.read_bytes())
    document = json.loads(header["__metadata__"]["neocog"])
    change(document)
    header["__metadata__"]["neocog"] = json.dumps(document)
    (tmp_path / "m").write_bytes(assembled(header, body))
    with pytest.raises(FormatError, match=message):
        load(tmp_path / "m")
