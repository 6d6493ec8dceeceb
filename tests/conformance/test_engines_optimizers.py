"""Every engine's optimizers, on gradients that do not round: only the update's own roundings are left."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from conformance_bounds import TINY
from conformance_cases import LANDMARKS, integer_steps
from conformance_rules import U
from neocog.engines import get_engine
from neocog.engines.base import StepSettings, followed_values
from neocog.engines.reference import ReferenceEngine
from neocog.errors import SettingError
from neocog.nn.blocks import Sequential
from neocog.nn.followers import EMA, Follower
from neocog.nn.graph import trace
from neocog.nn.groups import Group
from neocog.nn.layers import BatchNorm2d, Conv2d, Flatten, Linear, ReLU
from neocog.nn.losses import CrossEntropy, MeanSquaredError
from neocog.nn.optimizers import SGD, Adam, AdamW, RMSprop
from neocog.nn.parameters import initial_parameters

# Powers of two where a rounded g + weight_decay · w would be squared; any numbers elsewhere.
OPTIMIZERS = {
    "descent": SGD(),
    "descent with decay": SGD(weight_decay=0.1),
    "momentum": SGD(momentum=0.9, weight_decay=0.01),
    "nesterov": SGD(momentum=0.8, nesterov=True, weight_decay=0.01),
    "adam": Adam(),
    "adam with decay": Adam(weight_decay=0.25),
    "adamw": AdamW(weight_decay=0.1),
    "adam, other betas": Adam(beta1=0.5, beta2=0.9, epsilon=1e-3),
    "rmsprop": RMSprop(),
    "rmsprop with momentum": RMSprop(smoothing=0.9, momentum=0.5, epsilon=1e-3, weight_decay=0.25),
}
ROUNDINGS = 16  # of one update: factors rounded in advance (6), products and sums (6), root and division (4)
STEPS = 4


@dataclass(frozen=True)
class Trail(Follower):
    """A follower with every operator, in each order."""

    name: ClassVar[str] = "trail"
    share: float

    def follow(self, own, value):
        return self.share * (own + value) - (0.25 - value * 0.5) + 0.25

    def magnitude(self, own, value):
        return self.share * (own + value) + (0.25 + value * 0.5) + 0.25


class Average(EMA):
    def magnitude(self, own, value):
        return own + (1 - self.decay) * (value + own)


@dataclass(frozen=True)
class Other(Trail):
    name: ClassVar[str] = "other"


@dataclass(frozen=True)
class Square(Trail):
    name: ClassVar[str] = "square"


def magnitudes(optimizer, weight, gradients, rate):
    """Bound what the memory and the step are sums of: the update with every minus turned into a plus."""
    g = [np.abs(gradient) + optimizer.weight_decay * np.abs(weight) for gradient in gradients]
    if isinstance(optimizer, SGD):
        v = sum(optimizer.momentum ** (len(g) - 1 - i) * value for i, value in enumerate(g))
        return {"momentum": v}, np.abs(weight) + rate * (1 + optimizer.momentum) * np.maximum(v, g[-1])
    if isinstance(optimizer, RMSprop):
        signed = [h + optimizer.weight_decay * weight for h in gradients]
        memory = {"square": np.zeros(weight.shape), "momentum": np.zeros(weight.shape)}
        for h in signed:
            memory["square"] = optimizer.smoothing * memory["square"] + (1 - optimizer.smoothing) * h**2
            step = np.abs(h) / (np.sqrt(memory["square"]) + optimizer.epsilon)
            memory["momentum"] = optimizer.momentum * memory["momentum"] + step
        return memory, np.abs(weight) + rate * memory["momentum"]
    mean = sum((1 - optimizer.beta1) * optimizer.beta1 ** (len(g) - 1 - i) * value for i, value in enumerate(g))
    signed = [h + (0 if isinstance(optimizer, AdamW) else optimizer.weight_decay * weight) for h in gradients]
    square = sum((1 - optimizer.beta2) * optimizer.beta2 ** (len(g) - 1 - i) * h**2 for i, h in enumerate(signed))
    of_mean, of_root = optimizer.scalars(len(g))
    return {"mean": mean, "square": square}, np.abs(weight) + rate / of_mean * mean / (
        np.sqrt(square) / of_root + optimizer.epsilon
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("network", ["rectangular everything", "dropouts"])
def test_updates_and_memory(engine, name, network):
    check_steps(engine, LANDMARKS[network], OPTIMIZERS[name])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_and_frozen_parameters(engine, name):
    groups = (Group("0", 0.5), Group("*.bias", 3.0, weight_decay=0.25), Group("2.2.1.bias", 0.0))
    check_steps(engine, LANDMARKS["nested"], OPTIMIZERS[name], groups, ("1.0.0", "2.1.weight"))


def test_a_network_of_frozen_parameters_has_a_loss_and_nothing_else(engine):
    graph = LANDMARKS["two stages"]
    case = integer_steps(graph, 4, seed=5, steps=1)[0]
    settings = StepSettings(case.loss, SGD(momentum=0.9), case.batch_size, case.seed, frozen=("*",))
    mine = engine.train_program(graph, case.parameters, settings)
    assert mine.step(case.images, case.targets, 0.1).loss > 0
    assert mine.gradients() == mine.optimizer_state() == {}
    assert all((value == case.parameters[name]).all() for name, value in mine.parameters().items())


def test_followers(engine):
    check_steps(engine, LANDMARKS["nested"], SGD(momentum=0.9), frozen=("1",), followers=(Trail(0.75), Other(0.5)))


@pytest.mark.parametrize("decay", [0.0, 0.75, 0.999])
def test_the_average_of_the_weights(engine, decay):
    check_steps(engine, LANDMARKS["two stages"], Adam(), followers=(Average(decay),))


@pytest.mark.parametrize("name", ["reference", "torch"])
def test_buffers_are_averaged_as_parameters_are(name):
    graph = trace(Sequential(Conv2d(4, 3), BatchNorm2d(), ReLU(), Flatten(), Linear(3)), (6, 5, 2))
    settings = StepSettings(CrossEntropy(), SGD(0.1), 4, frozen=("1",), followers=(EMA(0.75),))
    if name == "torch":
        pytest.importorskip("torch")
    mine = get_engine(name).train_program(graph, initial_parameters(graph), settings)
    average = {key: value.astype(np.float64) for key, value in mine.parameters().items()}
    stream = np.random.default_rng(3)
    for _ in range(3):
        mine.step(stream.random((4, 6, 5, 2), np.float32), stream.integers(0, 3, 4), 0.1)
        for key, value in mine.parameters().items():
            average[key] += 0.25 * (value - average[key])
    held = followed_values(mine, EMA(0.75))
    assert (held["1.running_mean"] != mine.parameters()["1.running_mean"]).all()
    assert set(held) == set(average)
    for key, value in average.items():
        np.testing.assert_allclose(held[key], value, rtol=1e-5, atol=1e-6, err_msg=key)
    frozen = {f"1.{variable}/ema" for variable in ("weight", "bias")}
    assert not frozen & set(mine.optimizer_state())


def test_followers_need_names_of_their_own():
    for optimizer, followers in ((SGD(), (Trail(0.5), Trail(0.75))), (Adam(), (Square(0.5),))):
        with pytest.raises(SettingError, match="different names"):
            StepSettings(MeanSquaredError(), optimizer, 4, followers=followers)


def check_steps(engine, graph, optimizer, groups=(), frozen=(), followers=()):
    """Take steps, each from the same parameters, and compare all that comes of them with the reference's."""
    cases = integer_steps(graph, 4, seed=5, steps=STEPS)
    case = cases[0]
    settings = StepSettings(case.loss, optimizer, case.batch_size, case.seed, groups, frozen, followers)
    rules = settings.rules(graph)
    mine = engine.train_program(graph, case.parameters, settings)
    reference = ReferenceEngine().train_program(graph, case.parameters, settings)
    history = {name: [] for name in case.parameters}
    sizes = {(name, f): np.abs(value.astype(np.float64)) for name, value in case.parameters.items() for f in followers}
    for step in range(1, STEPS + 1):
        rate = 0.1 / step
        # The same parameters again, so that the gradients are exact in each step; the memory goes on.
        mine.load(case.parameters)
        reference.load(case.parameters)
        mine.step(cases[step - 1].images, cases[step - 1].targets, rate)
        reference.step(cases[step - 1].images, cases[step - 1].targets, rate)
        parameters, state, gradients = mine.parameters(), mine.optimizer_state(), mine.gradients()
        kinds = (*optimizer.memory, *(follower.name for follower in followers))
        assert set(state) == set(reference.exact_memory) == {f"{p}/{kind}" for p in rules for kind in kinds}
        assert set(gradients) == set(rules)
        for parameter in set(parameters) - set(rules):
            assert (parameters[parameter] == case.parameters[parameter]).all(), parameter
        for parameter, rule in rules.items():
            weight = case.parameters[parameter].astype(np.float64)
            exact = reference.exact_gradients[parameter]
            history[parameter].append(exact)
            assert (gradients[parameter] == exact).all(), (parameter, step)
            memory, size = magnitudes(rule.optimizer, weight, history[parameter], rate * rule.learning_rate)
            limit = ROUNDINGS * step * U
            strayed = np.abs(parameters[parameter] - reference.exact_parameters[parameter])
            assert (strayed <= limit * size + TINY).all(), (parameter, step)
            for follower in followers:
                sizes[parameter, follower] = follower.magnitude(sizes[parameter, follower], size)
                memory[follower.name] = sizes[parameter, follower]
            for kind in kinds:
                key = f"{parameter}/{kind}"
                assert (np.abs(state[key] - reference.exact_memory[key]) <= limit * memory[kind] + TINY).all(), key
