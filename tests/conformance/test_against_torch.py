"""The reference against PyTorch in double precision: logits, loss, gradients, and some steps of every optimizer."""

import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_cases import real_case, real_cases
from conformance_drawn import graphs
from conformance_graphs import EACH, GRAPHS
from conformance_networks import LANDMARKS, networks
from neocog.engines.base import StepSettings
from neocog.engines.reference import ReferenceEngine
from neocog.nn.groups import GradientClip, Penalty
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from neocog.nn.optimizers import (
    LAMB,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Lookahead,
    Muon,
    NAdam,
    RMSprop,
)
from neocog.nn.parameters import from_pytorch, parameters_of, variables_of
from neocog.reference.optimizer import initial_memory, update

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

# Both compute in float64 from the same float32 numbers. They sum in different orders, so they part by some hundreds of
# roundings of 1e-16 relative to the summed magnitudes; 1e-9 leaves room for cancellation.
TIGHT = {"rtol": 1e-9, "atol": 1e-12}
LOSSES = (CrossEntropy(), CrossEntropy(0.1), MeanSquaredError())
EVERY_LOSS = (*LOSSES, BinaryCrossEntropy(), BinaryCrossEntropy(2.5))
OPTIMIZERS = {
    "descent": SGD(),
    "descent with decay": SGD(weight_decay=0.1),
    "momentum": SGD(momentum=0.9, weight_decay=0.01),
    "nesterov": SGD(momentum=0.8, nesterov=True, weight_decay=0.01),
    "adam": Adam(weight_decay=0.01),
    "adam, other betas": Adam(beta1=0.5, beta2=0.9, epsilon=1e-3),
    "adamw": AdamW(weight_decay=0.1),
    "rmsprop": RMSprop(weight_decay=0.01),
    "rmsprop with momentum": RMSprop(smoothing=0.9, momentum=0.5, epsilon=1e-3),
    "nadam": NAdam(weight_decay=0.01),
    "adagrad": Adagrad(weight_decay=0.01, epsilon=1e-3),
    "adadelta": Adadelta(smoothing=0.8, weight_decay=0.01),
    "lamb": LAMB(epsilon=1e-3),
    "muon": Muon(rest=NAdam(epsilon=1e-3)),
    "lookahead": Lookahead(SGD(momentum=0.9), every=2),
}


def train_programs(case, optimizer=None):
    settings = StepSettings(case.loss, optimizer or SGD(), case.batch_size, case.seed)
    torch_engine = importlib.import_module("neocog.engines.torch").TorchEngine(dtype="float64")
    return (
        ReferenceEngine().train_program(case.graph, case.parameters, settings),
        torch_engine.train_program(case.graph, case.parameters, settings),
    )


def ours(parameters, tensors):
    """Return PyTorch's tensors in memory layout, still float64."""
    return {p.name: from_pytorch(p, tensors(p.name).detach().contiguous().numpy()) for p in parameters}


def assert_same_step(case, reference, theirs):
    mine = reference.step(case.images, case.targets, 0.05)
    result = theirs.step(case.images, case.targets, 0.05)
    assert mine.loss == pytest.approx(result.loss, rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(mine.logits, result.logits, rtol=2e-7, atol=1e-12)  # rounded to float32 by both
    gradients = ours(parameters_of(case.graph), lambda name: theirs.weights[name].grad)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(reference.exact_gradients[name], gradient, **TIGHT, err_msg=name)


@given(real_cases(st.sampled_from(EVERY_LOSS)))
def test_logits_loss_and_gradients_of_any_network(case):
    assert_same_step(case, *train_programs(case))


@pytest.mark.parametrize("name", LANDMARKS)
@pytest.mark.parametrize("loss", LOSSES[1:], ids=str)
def test_logits_loss_and_gradients_of_the_landmarks(name, loss):
    case = real_case(LANDMARKS[name], 3, 1, loss, batch_size=4)
    assert_same_step(case, *train_programs(case))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("network", ["two stages", "dropouts", "nested"])
def test_five_steps(name, network):
    case = real_case(LANDMARKS[network], 4, 2, CrossEntropy())
    reference, theirs = train_programs(case, OPTIMIZERS[name])
    for step in range(5):
        rate = 0.02 / (step + 1)
        reference.step(case.images, case.targets, rate)
        theirs.step(case.images, case.targets, rate)
        for parameter, value in ours(parameters_of(case.graph), theirs.weights.__getitem__).items():
            np.testing.assert_allclose(reference.exact_parameters[parameter], value, **TIGHT, err_msg=parameter)
    for memory, value in theirs.optimizer_state().items():
        np.testing.assert_allclose(reference.optimizer_state()[memory], value, rtol=2e-7, atol=1e-12, err_msg=memory)


@pytest.mark.parametrize(
    ("clip", "penalty"),
    [
        (GradientClip(norm=0.1), Penalty()),
        (GradientClip(norm=0.01, value=0.001), Penalty()),
        (GradientClip(value=0.001), Penalty(0.01, 0.02)),
        (GradientClip(), Penalty(0.1)),
    ],
)
def test_clipping_and_penalties_are_those_of_pytorch(clip, penalty):
    case = real_case(LANDMARKS["nested"], 4, 2, CrossEntropy())
    settings = StepSettings(case.loss, SGD(), case.batch_size, case.seed, clip=clip, penalty=penalty)
    reference = ReferenceEngine().train_program(case.graph, case.parameters, settings)
    reference.step(case.images, case.targets, 0.1)
    weights = {name: torch.tensor(value, dtype=torch.float64) for name, value in case.parameters.items()}
    for name, weight in weights.items():
        weight.requires_grad_()
        weight.grad = torch.tensor(reference.exact_gradients[name])
    if clip.value is not None:
        torch.nn.utils.clip_grad_value_(weights.values(), clip.value)
    if clip.norm is not None:
        assert torch.nn.utils.clip_grad_norm_(weights.values(), clip.norm) > clip.norm / 2
    decaying = [weights[p.name] for p in parameters_of(case.graph) if p.variable.decay]
    size = sum(penalty.l1 * weight.abs().sum() + penalty.l2 / 2 * weight.square().sum() for weight in decaying)
    torch.autograd.backward(size + 0 * sum(weight.sum() for weight in weights.values()))
    torch.optim.SGD(weights.values(), 0.1).step()
    for name, weight in weights.items():
        np.testing.assert_allclose(reference.exact_parameters[name], weight.detach().numpy(), **TIGHT, err_msg=name)


@pytest.mark.parametrize("shape", [(7, 3), (3, 7), (5, 5), (1, 4)])
@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_of_a_matrix_is_pytorchs(shape, nesterov, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())  # its iteration, but in float64
    stream = np.random.default_rng(4)
    weight = stream.normal(size=shape)
    theirs = torch.nn.Parameter(torch.tensor(weight.T.copy()))
    optimizer = Muon(weight_decay=0.1, nesterov=nesterov, momentum=0.8)
    peer = torch.optim.Muon([theirs], 0.02, weight_decay=0.1, nesterov=nesterov, momentum=0.8)
    memory = initial_memory(optimizer, weight)
    for step in range(1, 6):
        gradient = stream.normal(size=shape)
        weight, memory = update(optimizer, weight, gradient, memory, learning_rate=0.02, step=step)
        theirs.grad = torch.tensor(gradient.T.copy())
        peer.step()
        np.testing.assert_allclose(weight, theirs.detach().numpy().T, **TIGHT)


def assert_same_training(case, optimizer):
    """Take three steps, the last of them on a short batch, and compare all that is stored, and predictions."""
    reference, theirs = train_programs(case, optimizer)
    for count in (len(case.images), len(case.images), max(1, len(case.images) - 1)):
        mine = reference.step(case.images[:count], case.targets[:count], 0.01)
        result = theirs.step(case.images[:count], case.targets[:count], 0.01)
        assert mine.loss == pytest.approx(result.loss, rel=1e-8, abs=1e-12)
    stored = ours(variables_of(case.graph), theirs.module.state_dict().__getitem__)
    assert set(stored) == set(reference.exact_parameters)
    for name, value in stored.items():
        np.testing.assert_allclose(reference.exact_parameters[name], value, rtol=1e-7, atol=1e-9, err_msg=name)
    parameters = theirs.parameters()
    torch_engine = importlib.import_module("neocog.engines.torch").TorchEngine(dtype="float64")
    predictors = [e.predictor(case.graph, parameters) for e in (ReferenceEngine(), torch_engine)]
    for answer in ("logits", "features"):
        one, other = (getattr(predictor, answer)(case.images) for predictor in predictors)
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9, err_msg=answer)


@pytest.mark.parametrize("name", GRAPHS | EACH)
def test_three_steps_of_graphs_with_every_layer(name):
    case = real_case((GRAPHS | EACH)[name], 3, 1, LOSSES[1 + len(name) % 2])
    assert_same_step(case, *train_programs(case))
    assert_same_training(case, SGD(momentum=0.9))


@given(real_cases(st.sampled_from(EVERY_LOSS), graphs()), st.sampled_from([SGD(momentum=0.9), Adam(epsilon=1e-3)]))
def test_three_steps_of_any_graph(case, optimizer):
    assert_same_step(case, *train_programs(case))
    assert_same_training(case, optimizer)


@given(networks(), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_ties_and_features_of_any_network(graph, count, seed):
    case = real_case(graph, count, seed | 1, MeanSquaredError())
    case.images[...] = np.round(case.images)  # black and white: pools tie everywhere
    reference, theirs = train_programs(case)
    assert_same_step(case, reference, theirs)


def test_a_nan_in_a_pool_wins_in_both():
    case = real_case(LANDMARKS["overlapping pools"], 1, 1, CrossEntropy())
    case.images[0, 2, 3, 1] = np.nan
    engines = ReferenceEngine(), importlib.import_module("neocog.engines.torch").TorchEngine()
    one, other = (engine.predictor(case.graph, case.parameters).logits(case.images) for engine in engines)
    assert np.isnan(one).any()
    assert (np.isnan(one) == np.isnan(other)).all()
