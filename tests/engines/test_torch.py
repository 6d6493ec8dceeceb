"""The PyTorch engine: a module that PyTorch's users know, and what it refuses."""

import builtins
import importlib
import sys
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given

from conformance_cases import real_case
from conformance_networks import LANDMARKS, networks
from neocog.engines import get_engine
from neocog.engines.base import StepSettings
from neocog.errors import EngineError, NeocogWarning, SettingError, ShapeError
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import initial_parameters, parameters_of, to_pytorch
from neocog.nn.symbol import Input

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
engine = importlib.import_module("neocog.engines.torch")

NET = Sequential(
    Conv2d(4, 2, padding="same"), ReLU(), MaxPool2d(2), Sequential(Flatten(), Sequential(Dropout(), Linear(3)))
)
GRAPH = trace(NET, (6, 7, 2))


def test_parameters_carry_pytorchs_own_names():
    module = engine.build_module(GRAPH, initial_parameters(GRAPH))
    assert isinstance(module, torch.nn.Module)
    assert list(module.state_dict()) == ["0.weight", "0.bias", "3.1.1.weight", "3.1.1.bias"]


@given(networks())
def test_tensors_in_pytorchs_layout_load_as_they_are(graph):
    module = engine.build_module(graph, initial_parameters(graph))
    ours = initial_parameters(graph, 1)
    state = {p.name: torch.from_numpy(to_pytorch(p, ours[p.name])) for p in parameters_of(graph)}
    assert module.load_state_dict(state) == torch.nn.Module().load_state_dict({})  # all keys matched
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, state[name])


def test_a_plain_pytorch_network_takes_the_tensors_and_gives_the_same():
    net = Sequential(Conv2d(4, 3, stride=2, padding=1), ReLU(), MaxPool2d(2), Flatten(), ReLU(), Linear(3))
    graph = trace(net, (9, 11, 3))
    parameters = initial_parameters(graph)
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.ReLU(),
        torch.nn.Linear(4 * 2 * 3, 3),
    )
    theirs.load_state_dict({p.name: torch.from_numpy(to_pytorch(p, parameters[p.name])) for p in parameters_of(graph)})
    images = np.random.default_rng(0).random((5, 9, 11, 3), np.float32)
    with torch.no_grad():
        want = theirs(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    for name in ("torch", "reference"):
        assert np.allclose(get_engine(name).predictor(graph, parameters).logits(images), want, 1e-5, 1e-6)


def test_a_module_of_ones_own_drops_by_pytorchs_generator():
    module = engine.build_module(GRAPH, initial_parameters(GRAPH))
    images = torch.ones(4, 2, 6, 7)
    module.train()
    assert not torch.equal(module(images), module(images))
    module.eval()
    assert torch.equal(module(images), module(images))


def test_images_stay_in_channels_last_order():
    case = real_case(GRAPH, 2, 1, CrossEntropy())
    predictor = get_engine("torch").predictor(GRAPH, case.parameters)
    assert predictor.tensor(case.images).is_contiguous(memory_format=torch.channels_last)
    assert predictor.leaves[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_the_number_of_threads_is_restored(monkeypatch):
    case, seen = real_case(GRAPH, 2, 1, CrossEntropy()), []
    before = torch.get_num_threads()
    monkeypatch.setenv("NEOCOG_THREADS", str(before + 1))
    predictor = get_engine("torch").predictor(GRAPH, case.parameters, before + 1)
    predictor.leaves[0].register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    predictor.logits(case.images)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("asked", [None, 64])
def test_no_more_threads_compute_than_this_process_may_use(monkeypatch, asked):
    case, seen, before = real_case(GRAPH, 2, 1, CrossEntropy()), [], torch.get_num_threads()
    monkeypatch.setenv("NEOCOG_THREADS", "1")
    torch.set_num_threads(2)  # more than it may use
    with nullcontext() if asked is None else pytest.warns(NeocogWarning, match="using 1 of 64 threads"):
        predictor = get_engine("torch").predictor(GRAPH, case.parameters, asked)
    predictor.leaves[0].register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    predictor.logits(case.images)
    torch.set_num_threads(before)
    assert seen == [1]


def test_read_only_images_are_taken_without_a_warning(recwarn):
    case = real_case(GRAPH, 2, 1, CrossEntropy())
    case.images.flags.writeable = False
    get_engine("torch").predictor(GRAPH, case.parameters).logits(case.images)
    assert not [warning for warning in recwarn if "writable" in str(warning.message)]


def test_a_network_without_parameters_still_steps():
    graph = trace(Sequential(Flatten()), (1, 1, 3))
    images, labels = np.zeros((2, 1, 1, 3), np.float32), np.zeros(2, np.int32)
    made = get_engine("torch").train_program(graph, {}, StepSettings(CrossEntropy(), SGD(momentum=0.5), 2))
    assert made.step(images, labels, 0.1).loss == pytest.approx(np.log(3))
    assert made.gradients() == made.parameters() == made.optimizer_state() == {}


def test_a_batch_that_does_not_fit_is_refused():
    case = real_case(LANDMARKS["article"], 3, 1, CrossEntropy())
    made = get_engine("torch").train_program(case.graph, case.parameters, StepSettings(CrossEntropy(), SGD(), 2))
    with pytest.raises(ShapeError, match="a step takes 1 to 2 images, got 3"):
        made.step(case.images, case.targets, 0.1)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(EngineError, match="the torch engine cannot run on the device 'nowhere'"):
        engine.TorchEngine("nowhere")
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="the torch engine cannot run on the device 'cuda'"):
            engine.TorchEngine("cuda")


def test_an_unknown_dtype_is_refused():
    with pytest.raises(SettingError, match='dtype must be "float32" or "float64", got \'float16\''):
        engine.TorchEngine(dtype="float16")


def test_a_missing_pytorch_is_named_with_the_way_to_get_it(monkeypatch):
    real_import = builtins.__import__

    def without_torch(name, *rest):
        if name.split(".")[0] == "torch":
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.delitem(sys.modules, "neocog.engines.torch")
    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(EngineError) as caught:
        get_engine("torch")
    assert str(caught.value) == (
        "the torch engine needs PyTorch, which is not installed\n  hint: pip install 'neocog[torch]'"
    )


def test_a_residual_network_is_one_module_with_pytorchs_names():
    body = Sequential(Conv2d(4, 3, padding=1, bias=False), BatchNorm2d(), ReLU())
    graph = trace(Sequential(Residual(body, Conv2d(4, 1)), Flatten(), Linear(2)), (3, 3, 2))
    module = engine.build_module(graph, initial_parameters(graph))
    assert list(module.state_dict()) == [
        "0.body.0.weight",
        *(f"0.body.1.{name}" for name in ("weight", "bias", "running_mean", "running_var")),
        *("0.shortcut.weight", "0.shortcut.bias", "2.weight", "2.bias"),
    ]


def test_a_batch_norm_computes_as_pytorchs_own():
    ours = engine.modules.BatchNorm(BatchNorm2d(momentum=0.2, epsilon=1e-3), 3)
    theirs = torch.nn.BatchNorm2d(3, 1e-3, 0.2)
    x = torch.randn(4, 3, 2, 2)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


def test_a_name_that_pytorch_keeps_for_itself_is_refused():
    x = Input((2, 2, 1))
    graph = Graph(x, Flatten()(x, name="forward"))
    with pytest.raises(EngineError, match=r"layer forward \(Flatten\) cannot be called so in PyTorch"):
        engine.build_module(graph, {})
