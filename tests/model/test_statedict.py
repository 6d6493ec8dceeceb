import json
import warnings

import numpy as np
import pytest

from neocog.errors import FormatError, SettingError, ShapeError
from neocog.model.files import tensor_bytes
from neocog.model.modelfile import document_of, load_network, save
from neocog.model.network import Network
from neocog.model.statedict import plain_names
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph
from neocog.nn.layers import BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, Linear
from neocog.nn.symbol import Input


def same(one, other) -> bool:
    return all((one.parameters[name] == value).all() for name, value in other.parameters.items())


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.module.model.", ""]
)
def test_a_prefix_that_all_names_share_is_left_out(make_model, prefix):
    model, other = make_model(seed=1), make_model(seed=2)
    other.load_state_dict({prefix + name: value for name, value in model.state_dict().items()})
    assert same(other, model)


def test_what_wrappers_put_between_is_left_out(make_model):
    model, other = make_model(seed=1), make_model(seed=2)
    state = {name.replace("4.1.", "4._orig_mod.1.module."): value for name, value in model.state_dict().items()}
    assert any("_orig_mod" in name for name in state)
    other.load_state_dict(state)
    assert same(other, model)


def test_numbers_are_no_prefix():
    assert plain_names(["0.0.weight", "0.1.weight"]) == {"0.0.weight": "0.0.weight", "0.1.weight": "0.1.weight"}
    assert plain_names(["features.0.weight", "classifier.0.weight"])["features.0.weight"] == "features.0.weight"
    assert plain_names(["weight"]) == {"weight": "weight"}
    assert plain_names([]) == {}


def test_two_names_for_one_parameter_are_refused(make_model):
    model = make_model()
    state = {**model.state_dict(), "module.0.weight": np.zeros((3, 1, 3, 3))}
    with pytest.raises(SettingError, match=r"'0.weight' and 'module.0.weight' are both the parameter '0.weight'"):
        model.load_state_dict(state)


@pytest.mark.parametrize("prefix", ["0.", "1.", "model.0.", "1.module.", "0.1.", "net.2.model."])
def test_a_prefix_with_a_number_is_not_left_out_but_the_message_says_how(make_model, prefix):
    model, other = make_model(seed=1), make_model(seed=2)
    state = {prefix + name: value for name, value in model.state_dict().items()}
    with pytest.raises(ShapeError, match="names of the parameters must be those of the network") as caught:
        other.load_state_dict(state)
    assert caught.value.hint.startswith(f"all names begin with '{prefix}', pass them without: {{name.remove")
    other.load_state_dict(eval(caught.value.hint.partition("without: ")[2], {"state": state}))
    assert same(other, model)


def test_a_network_behind_a_number_beside_other_tensors_is_found(make_model):
    """As in torch.nn.Sequential(Normalize(), net)."""
    model, other = make_model(seed=1), make_model(seed=2)
    state = {f"1.{name}": value for name, value in model.state_dict().items()}
    state |= {"0.mean": np.zeros(1), "0.std": np.ones(1)}
    with pytest.raises(ShapeError, match=r"own names are there, behind '1\.': pass") as caught:
        other.load_state_dict(state)
    recipe = caught.value.hint.partition(": pass ")[2].partition(";")[0]
    other.load_state_dict(eval(recipe, {"state": state}))
    assert same(other, model)


def test_missing_and_unexpected_names_are_listed(make_model):
    model = make_model()
    state = {f"module.{name}": value for name, value in model.state_dict().items() if name != "0.bias"}
    with pytest.raises(ShapeError) as caught:
        model.load_state_dict({**state, "module.1.running_mean": np.zeros(3), "module.9.weight": np.zeros(3)})
    assert caught.value.details == ("missing: 0.bias", "unknown: 1.running_mean", "unknown: 9.weight")
    with pytest.raises(ShapeError, match=r"and [\d,]+ more"):
        model.load_state_dict({f"{n}.weight": np.zeros(1) for n in range(50_000)})


@pytest.mark.parametrize(
    ("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite"), (1e300, "too large")]
)
def test_weights_that_are_not_finite_are_refused_unless_asked_for(make_model, toy, value, word):
    model, before = make_model(), make_model()
    state = {name: array.astype(np.float64) for name, array in model.state_dict().items()}
    state["4.1.weight"][1, 2] = value
    message = rf"must be finite numbers\n  4\.1\.weight: 1 of 60 values are {word}\n  hint: .*allow_nonfinite=True"
    with pytest.raises(SettingError, match=message):
        model.load_state_dict(state)
    parameters = {name: np.array(array, np.float64) for name, array in model.parameters.items()}
    parameters["0.bias"][0] = value
    with pytest.raises(SettingError, match=rf"0\.bias: 1 of 3 values are {word}"):
        model.load_parameters(parameters)
    assert same(model, before)
    model.load_state_dict(state, allow_nonfinite=True)
    assert (~np.isfinite(model.parameters["4.1.weight"])).sum() == 1
    model.load_parameters(parameters, allow_nonfinite=True)
    assert not np.isfinite(model.parameters["0.bias"][0])


def test_a_file_with_weights_that_are_not_finite_is_refused_unless_asked_for(make_model, tmp_path):
    import copy
    import pickle

    model = make_model()
    state = model.state_dict()
    state["0.weight"][0, 0, 0, :2] = np.nan, np.inf
    path = tmp_path / "m.safetensors"
    path.write_bytes(tensor_bytes(document_of(model), state))
    with pytest.raises(FormatError) as caught:
        load_network(path, Network)
    assert caught.value.details == ("0.weight: 2 of 27 values are NaN",)
    assert str(path) in caught.value.message
    broken = load_network(path, Network, engine="reference", allow_nonfinite=True)
    assert np.isnan(broken.parameters["0.weight"]).sum() == 1
    for twin in (copy.deepcopy(broken), pickle.loads(pickle.dumps(broken))):
        assert np.isnan(twin.parameters["0.weight"]).sum() == 1
    save(broken, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_weights_that_are_no_numbers_are_named(make_model):
    model = make_model()
    state = model.state_dict()
    for value, kind in (
        (None, "NoneType"),
        ("x", "str"),
        ([[1], [2, 3]], "list"),
        (np.zeros((3, 1, 3, 3), complex), "ndarray: its type is complex128"),
        (np.full((3, 1, 3, 3), "1"), "ndarray"),
    ):
        with pytest.raises(SettingError, match=f"parameter '0.weight' must be an array of numbers, got {kind}"):
            model.load_state_dict({**state, "0.weight": value})
    with pytest.raises(SettingError, match="names of parameters must be texts, got 3"):
        model.load_state_dict({**state, 3: state["0.weight"]})
    for wrong in (None, [1], json):
        with pytest.raises(SettingError, match="parameters must map names to arrays"):
            model.load_state_dict(wrong)
    model.load_state_dict({name: value.tolist() for name, value in state.items()})
    assert same(model, make_model())


def test_tensors_of_pytorch_are_taken_whatever_their_type(make_model):
    torch = pytest.importorskip("torch")
    model, other = make_model(seed=1), make_model(seed=2)
    for kind in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        state = {name: torch.nn.Parameter(torch.tensor(v, dtype=kind)) for name, v in model.state_dict().items()}
        other.load_state_dict(state)
        want = {name: value.detach().float().numpy() for name, value in state.items()}
        assert all((other.state_dict()[name] == value).all() for name, value in want.items())
    shape = model.state_dict()["0.weight"].shape
    with pytest.raises(SettingError, match=r"parameter '0\.weight' must be an array of numbers, got Tensor"):
        other.load_state_dict({**state, "0.weight": torch.zeros(shape, device="meta")})
    with pytest.raises(SettingError, match=r"pass its state_dict\(\)"):
        other.load_state_dict(torch.nn.Linear(2, 2))


def test_a_compiled_and_wrapped_network_of_pytorch_is_taken(make_model):
    torch = pytest.importorskip("torch")
    model = make_model()
    net = torch.nn.DataParallel(
        torch.nn.Sequential(
            *(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten()),
            torch.nn.Sequential(torch.nn.Dropout(0.2), torch.nn.Linear(12, 5), torch.nn.ReLU()),
            torch.nn.Linear(5, 2),
        )
    )
    assert all(name.startswith("module.") for name in net.state_dict())
    model.load_state_dict(net.state_dict())
    x = np.random.default_rng(0).random((4, 6, 6, 1), np.float32)
    want = net.module.eval()(torch.from_numpy(x.transpose(0, 3, 1, 2))).detach().numpy()
    np.testing.assert_allclose(model(x), want, rtol=1e-5, atol=1e-6)


def test_what_pytorch_counts_beside_a_batch_normalization_is_left_out(make_model):
    model = make_model(Sequential(Conv2d(2, 3), BatchNorm2d(), Flatten(), Linear(2)))
    state = {f"net.{name}": value for name, value in model.state_dict().items()}
    state["net.1.running_mean"] = np.array([1.5, -2.0], np.float32)
    model.load_state_dict({**state, "net.1.num_batches_tracked": np.array(7)})
    assert model.parameters["1.running_mean"].tolist() == [1.5, -2.0]


def test_a_network_of_named_layers_takes_its_own_state_dict_and_one_behind_a_prefix():
    x = Input((6, 6, 1))
    network = Network(Graph(x, Flatten()(Conv2d(2, 3)(x, name="stem.conv"), name="head")), (6, 6, 1))
    state = {name: value + 1 for name, value in network.state_dict().items()}
    assert set(state) == {"stem.conv.weight", "stem.conv.bias"}
    for prefix in ("", "model.", "module.net."):
        network.load_state_dict({name: value * 0 for name, value in state.items()})
        network.load_state_dict({f"{prefix}{name}": value for name, value in state.items()})
        assert all((value == state[name]).all() for name, value in network.state_dict().items())


def test_variances_below_0_are_refused_unless_asked_for():
    model = Network(Sequential(Conv2d(3, 1), BatchNorm2d(), GlobalAvgPool2d()), (2, 2, 1))
    state = {name: array.copy() for name, array in model.state_dict().items()}
    state["1.running_var"][1:] = -0.5
    with pytest.raises(SettingError, match=r"1\.running_var: 2 of 3 values are below 0, as no variance is\n  hint: "):
        model.load_state_dict(state)
    model.load_state_dict(state, allow_nonfinite=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = model.predict_proba(np.zeros((1, 2, 2, 1), np.float32))
    assert np.isnan(answers).all()
