import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neocog.errors import FormatError, SettingError
from neocog.model.kinds import KINDS, MAX_DEPTH, from_json, to_json
from neocog.nn import layers, losses, optimizers, schedules
from neocog.nn.blocks import Sequential
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError
from neocog.nn.optimizers import SGD, Adam, AdamW, Optimizer
from neocog.nn.schedules import Constant, Cosine, Schedule, Step

small = st.integers(1, 9)
pairs = st.one_of(small, st.tuples(small, small))
leaves = st.one_of(
    st.builds(Conv2d, small, pairs, pairs, st.one_of(pairs, st.just("same")), pairs, st.booleans()),
    st.builds(MaxPool2d, st.integers(2, 4), st.one_of(st.none(), pairs), st.integers(0, 1)),
    st.builds(AvgPool2d, st.integers(2, 4), st.one_of(st.none(), pairs), st.tuples(st.just(0), st.just(1))),
    st.builds(Linear, small, st.booleans()),
    st.builds(Dropout, st.floats(0, 0.99)),
    st.just(ReLU()),
    st.just(Flatten()),
)
nets = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4).map(lambda found: Sequential(*found)), max_leaves=8
)


@given(nets)
def test_every_layer_comes_back_equal(net):
    text = json.dumps(to_json(net))
    assert from_json(Layer, json.loads(text), "net") == net
    assert json.dumps(to_json(from_json(Layer, json.loads(text), "net"))) == text


@pytest.mark.parametrize(
    ("family", "value"),
    [
        (Loss, CrossEntropy(label_smoothing=0.1)),
        (Loss, CrossEntropy(weights=(1, 0.5))),
        (Loss, BinaryCrossEntropy()),
        (Loss, BinaryCrossEntropy(2)),
        (Loss, BinaryCrossEntropy((1, 0.5))),
        (Loss, MeanSquaredError()),
        (Optimizer, SGD(0.1, momentum=0.9, nesterov=True)),
        (Optimizer, Adam(0.002, epsilon=1e-7)),
        (Optimizer, AdamW()),
        (Schedule, Constant()),
        (Schedule, Step(at=(0.25, 0.5), drop=0.5)),
        (Schedule, Step(at=())),
        (Schedule, Cosine(warmup=0.05)),
    ],
)
def test_every_setting_comes_back_equal(family, value):
    again = from_json(family, json.loads(json.dumps(to_json(value))), "here")
    assert again == value
    assert type(again) is type(value)


def test_a_field_that_came_later_may_be_absent_and_is_left_out_where_it_says_nothing():
    old = {"kind": "CrossEntropy", "label_smoothing": 0.1}
    assert from_json(Loss, old, "loss") == CrossEntropy(0.1)
    assert to_json(CrossEntropy(0.1)) == old
    with pytest.raises(FormatError, match="must have exactly the fields of CrossEntropy") as caught:
        from_json(Loss, {"kind": "CrossEntropy", "weights": [1.0]}, "loss")
    assert caught.value.details == ("missing: label_smoothing",)


@pytest.mark.parametrize("module", [layers, losses, optimizers, schedules])
def test_no_public_kind_is_forgotten(module):
    for family, kinds in KINDS.items():
        found = {
            value
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, family) and value is not family and name[0] != "_"
        }
        assert family.__module__ != module.__name__ or found == set(kinds)


def test_a_kind_of_the_users_own_cannot_be_saved():
    class Mine(ReLU):
        pass

    with pytest.raises(SettingError, match="Mine cannot be saved"):
        to_json(Sequential(Mine()))


def nested(depth: int) -> dict:
    net = {"kind": "ReLU"}
    for _ in range(depth):
        net = {"kind": "Sequential", "layers": [net]}
    return net


CONV = to_json(Conv2d(2, 3))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "must be an object with a kind, got None"),
        ({}, "kind must be one of Conv2d"),
        ({"kind": "os.system"}, "got 'os.system'"),
        ({"kind": ["ReLU"]}, "kind must be one of"),
        ({"kind": "SGD", "learning_rate": 1}, "got 'SGD'"),
        ({"kind": "ReLU", "slope": 0.1}, "exactly the fields of ReLU"),
        ({"kind": "Linear", "features": 3}, "missing: bias"),
        ({**CONV, "channels": 0}, "must be an integer of at least 1, got 0"),
        ({**CONV, "channels": 2.0}, "net.channels must be an integer, got 2.0"),
        ({**CONV, "channels": True}, "net.channels must be an integer, got True"),
        ({**CONV, "channels": "2"}, "net.channels must be an integer, got '2'"),
        ({**CONV, "bias": 1}, "net.bias must be true or false, got 1"),
        ({**CONV, "kernel": [3]}, "net.kernel must be an integer or a list of an integer"),
        ({**CONV, "kernel": [3, 3, 3]}, "net.kernel must be"),
        ({**CONV, "padding": "valid"}, "net.padding must be an integer or .* or 'same', got 'valid'"),
        ({"kind": "Dropout", "rate": 1.0}, "rate must lie in"),
        ({"kind": "Dropout", "rate": float("nan")}, "rate must lie in"),
        ({"kind": "Dropout", "rate": "0.5"}, "net.rate must be a number"),
        ({"kind": "Sequential", "layers": {}}, "net.layers must be a list"),
        ({"kind": "Sequential", "layers": [{"kind": "ReLU"}, 3]}, r"net.layers\[1\] must be an object"),
        (nested(MAX_DEPTH + 1), "nested more than 32 deep"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(data, message):
    with pytest.raises(FormatError, match=message):
        from_json(Layer, data, "net")


def test_a_convolution_from_before_groups_has_one():
    assert "groups" not in CONV  # so that an older neocog reads what it can
    assert from_json(Layer, CONV, "net") == Conv2d(2, 3) == from_json(Layer, {**CONV, "groups": 1}, "net")
    grouped = Conv2d(4, 3, padding=((0, 1), (2, 3)), groups=2)
    assert from_json(Layer, to_json(grouped), "net") == grouped


def test_numbers_beyond_the_floats_are_refused():
    data = {**to_json(SGD(0.1)), "learning_rate": 10**400}
    with pytest.raises(
        FormatError,
        match="optimizer is out of range: SGD: learning_rate must be 0 or more, got an integer of 1,329 bits",
    ):
        from_json(Optimizer, data, "optimizer")


def test_the_deepest_network_that_is_allowed_loads():
    assert from_json(Layer, nested(MAX_DEPTH), "net")
