import contextlib
import json
from copy import copy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model_files import TINY, assembled, header_of, load, written
from neocog.data.resize import ResizeRule
from neocog.errors import FormatError, NeocogError, SettingError
from neocog.model.calibration import Calibration, CurvePoint
from neocog.model.files import tensor_bytes
from neocog.model.modelfile import document_of, save
from neocog.model.origin import Origin
from neocog.nn.blocks import Sequential
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU


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
