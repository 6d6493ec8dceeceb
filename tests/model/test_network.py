import copy
import pickle

import numpy as np
import pytest

from neocog.engines import get_engine
from neocog.errors import DataError, SettingError, ShapeError
from neocog.model.network import Network
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph
from neocog.nn.layers import Add, Conv2d, Flatten, Linear, ReLU
from neocog.nn.parameters import initial_parameters
from neocog.nn.symbol import Input


def test_parameters_begin_as_the_seed_says_and_are_read_only(make_model):
    model = make_model(seed=7)
    for name, value in initial_parameters(model.graph, 7).items():
        assert (model.parameters[name] == value).all()
        with pytest.raises(ValueError, match="read-only"):
            model.parameters[name][...] = 0
    with pytest.raises(TypeError):
        model.parameters["0.weight"] = 0


def test_loaded_parameters_are_copies_in_the_order_of_the_network(make_model):
    model = make_model()
    values = {name: value + 1 for name, value in reversed(model.parameters.items())}
    model.load_parameters(values)
    values["0.weight"][...] = 99
    assert list(model.parameters) == list(initial_parameters(model.graph))
    assert (model.parameters["0.weight"] < 50).all()


def test_parameters_of_another_network_are_refused(make_model):
    model = make_model()
    before = dict(model.parameters)
    with pytest.raises(ShapeError, match="those of the network"):
        model.load_parameters({"0.weight": before["0.weight"]})
    with pytest.raises(ShapeError, match=r"0\.weight must have the shape"):
        model.load_parameters({**before, "0.weight": np.zeros((3, 3, 1, 4), np.float32)})
    with pytest.raises(ShapeError, match="those of the network"):
        model.load_state_dict({**model.state_dict(), "9.weight": np.zeros(1)})
    assert all((model.parameters[name] == value).all() for name, value in before.items())


def test_a_state_dict_comes_back_bit_for_bit(make_model):
    model, other = make_model(seed=1), make_model(seed=2)
    other.load_state_dict(model.state_dict())
    assert all((other.parameters[name] == value).all() for name, value in model.parameters.items())


def test_a_state_dict_gives_the_same_logits_in_pytorch(make_model, toy):
    torch = pytest.importorskip("torch")
    peer = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Sequential(torch.nn.Dropout(0.2), torch.nn.Linear(12, 5), torch.nn.ReLU()),
        torch.nn.Linear(5, 2),
    ).eval()
    model = make_model()
    peer.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    with torch.no_grad():
        want = peer(torch.from_numpy(toy[0].transpose(0, 3, 1, 2) / np.float32(255))).numpy()
    np.testing.assert_allclose(model(toy[0]), want, atol=1e-5)
    model.load_state_dict(peer.state_dict())


def test_probabilities_are_the_softmax_of_the_logits(make_model, toy):
    model = make_model()
    logits = model(toy[0]).astype(np.float64)
    want = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    got = model.predict_proba(toy[0])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert (model.predict(toy[0]) == logits.argmax(axis=1)).all()


def test_probabilities_of_large_logits_are_finite(make_model, toy):
    model = make_model()
    model.load_parameters({name: value * 1e8 for name, value in model.parameters.items()})
    assert np.isfinite(model.predict_proba(toy[0])).all()


def test_features_are_what_the_flatten_gives(make_model, toy):
    assert make_model().features(toy[0]).shape == (60, 2 * 2 * 3)


def test_many_images_are_answered_in_pieces(make_model):
    model = make_model()
    most = model.images_at_once
    images = np.random.default_rng(0).random((most + 3, 6, 6, 1), np.float32)
    pieces = np.concatenate([model(images[:most]), model(images[most:])])
    assert (model(images) == pieces).all()
    assert model.features(images).shape == (most + 3, 12)


def test_no_images_give_no_answers(make_model):
    model, none = make_model(), np.zeros((0, 6, 6, 1), np.uint8)
    assert model(none).shape == model.predict_proba(none).shape == (0, 2)
    assert model.predict(none).shape == (0,)


def test_grey_images_may_come_without_channel_axis(make_model, toy):
    model = make_model()
    assert (model(toy[0][..., 0]) == model(toy[0])).all()


def test_images_of_another_size_are_refused(make_model):
    with pytest.raises(ShapeError, match="images must have the shape"):
        make_model()(np.zeros((1, 7, 7, 1), np.uint8))
    with pytest.raises(DataError, match="uint8 or floating-point"):
        make_model()(np.zeros((1, 6, 6, 1), np.int64))


def test_a_predictor_follows_the_parameters(make_model, toy):
    model = make_model()
    before = model(toy[0])
    model.load_parameters({name: value * 0 for name, value in model.parameters.items()})
    assert (model(toy[0]) == 0).all()
    assert (before != 0).any()


def test_one_predictor_is_made_and_reused(make_model, toy):
    made = []

    class Counting:
        name = "counting"

        def predictor(self, graph, parameters, threads=None):
            made.append(threads)
            return get_engine("reference").predictor(graph, parameters)

    model = make_model(engine=Counting(), threads=2)
    for _ in range(3):
        model(toy[0])
        model.features(toy[0])
    assert made == [2]


def test_another_number_of_threads_or_another_engine_gives_the_next_answer(make_model, toy):
    made = []

    class Counting:
        name = "counting"

        def predictor(self, graph, parameters, threads=None):
            made.append((self, threads))
            return get_engine("reference").predictor(graph, parameters)

    one, other = Counting(), Counting()
    model = make_model(engine=one)
    before = model(toy[0])
    model.threads = 3
    assert model.threads == 3
    assert model(toy[0]).tobytes() == before.tobytes()
    model.engine = other
    model(toy[0])
    model.threads = None
    model(toy[0])
    assert made == [(one, None), (one, 3), (other, 3), (other, None)]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2"])
def test_a_number_of_threads_that_cannot_be_is_refused_when_it_is_assigned(make_model, wrong):
    model = make_model(threads=2)
    with pytest.raises(SettingError, match="threads must be an integer of at least 1"):
        model.threads = wrong
    assert model.threads == 2


def test_a_copied_model_keeps_its_threads(make_model):
    assert pickle.loads(pickle.dumps(make_model(threads=2))).threads == 2


def test_normalisation_is_part_of_the_model(make_model, toy):
    plain, scaled = make_model(), make_model(mean=0.5, std=[0.25])
    assert scaled.graph.normalisation.mean == (0.5,)
    x = toy[0].astype(np.float32) / 255
    np.testing.assert_allclose(scaled(x), plain((x - 0.5) / 0.25), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_model_can_be_copied_after_use(make_model, toy, clone):
    model = make_model()
    model.metrics = {"accuracy": 0.5}
    want = model(toy[0])
    twin = clone(model)
    assert (twin(toy[0]) == want).all()
    assert twin.metrics == model.metrics
    twin.load_parameters({name: value * 0 for name, value in twin.parameters.items()})
    assert (model(toy[0]) == want).all()


NET = Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(2))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"net": [Flatten()]}, SettingError, "net must be a layer or block"),
        ({"class_names": ["a"]}, ShapeError, "as many as the network's outputs, 2, got 1"),
        ({"class_names": ["a", "a"]}, SettingError, "'a' more than once"),
        ({"class_names": ["a", ""]}, SettingError, "not empty"),
        ({"class_names": ["a", 1]}, SettingError, "must be texts"),
        ({"class_names": "ab"}, SettingError, "list of names"),
        ({"class_names": ["a", "\ud800"]}, SettingError, "valid Unicode"),
        ({"initialisation": "zero"}, SettingError, "initialisation"),
        ({"resize": "squash"}, SettingError, "resize"),
        ({"mean": "grey"}, SettingError, "mean must be a number"),
        ({"mean": [[0.5]]}, SettingError, "mean must be a number"),
        ({"std": 0.0}, SettingError, "std must be"),
        ({"std": [1, 1]}, SettingError, "std must hold 1"),
        ({"threads": 0}, SettingError, "threads must be"),
        ({"seed": -1}, SettingError, "seed must be"),
        ({"input_shape": (2, 2, 1)}, ShapeError, "at least 3 x 3"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        Network(**{"net": NET, "input_shape": (6, 6, 1), **arguments})


def test_an_unknown_engine_is_named_when_it_is_needed(make_model, toy):
    with pytest.raises(SettingError, match="unknown engine 'gpu'"):
        make_model(engine="gpu")(toy[0])


def test_names_default_to_numbers():
    model = Network(NET, (6, 6, 1))
    assert model.class_names == ("0", "1")
    assert model.input_shape == (6, 6, 1)
    assert model.color_order == "L"
    assert "Conv2d" in model.summary()
    assert repr(model) == f"Network({NET!r}, input_shape=(6, 6, 1), 2 classes)"


def test_a_network_of_any_form_is_shown_by_its_size():
    x = Input((6, 6, 1))
    model = Network(Graph(x, Flatten()(Add()(x, x))), (6, 6, 1))
    assert repr(model) == "Network(2 layers, input_shape=(6, 6, 1), 36 classes)"


@pytest.mark.parametrize(
    ("value", "text"), [(255.0, "must run from 0 to 1"), (np.nan, "images hold NaN"), (np.inf, "images hold NaN")]
)
def test_floating_point_images_that_cannot_be_in_range_are_refused(value, text):
    model = Network(Sequential(Flatten(), Linear(2)), (2, 2, 1), engine="reference")
    images = np.full((4, 2, 2, 1), value)
    for ask in (model, model.predict_proba, model.features):
        with pytest.raises(DataError, match=text):
            ask(images)
    assert model(np.full((1, 2, 2, 1), -3.0)).shape == (1, 2)  # normalised by the caller
