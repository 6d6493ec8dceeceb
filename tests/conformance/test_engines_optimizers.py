"""Every engine's optimizers, on gradients that do not round: only the update's own roundings are left."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from conformance_bounds import TINY
from conformance_cases import integer_steps
from conformance_networks import LANDMARKS
from neocog.engines import get_engine
from neocog.engines.base import StepSettings, followed_values
from neocog.engines.reference import ReferenceEngine
from neocog.errors import SettingError
from neocog.nn.blocks import Sequential
from neocog.nn.followers import EMA, Follower
from neocog.nn.graph import trace
from neocog.nn.groups import GradientClip, Group, Penalty
from neocog.nn.layers import BatchNorm2d, Conv2d, Flatten, Linear, ReLU
from neocog.nn.losses import CrossEntropy, MeanSquaredError
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
from neocog.nn.parameters import initial_parameters
from rounding.rule import U, gamma

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
    "nadam": NAdam(weight_decay=0.25),
    "adagrad": Adagrad(weight_decay=0.25),
    "adadelta": Adadelta(smoothing=0.75, epsilon=1e-3, weight_decay=0.25),
    "lamb": LAMB(weight_decay=0.25),
    "muon": Muon(momentum=0.75, weight_decay=0.1),
    "muon, other settings": Muon(iterations=2, nesterov=False, coefficients=(2.0, -1.5, 0.5), rest=SGD(0.1)),
    "lookahead": Lookahead(SGD(momentum=0.5), every=2, share=0.75),
    "lookahead of muon": Lookahead(Muon(rest=NAdam()), every=3),
    "lookahead of lamb": Lookahead(LAMB(), every=2),
    "lookahead of a share that falls": Lookahead(SGD(momentum=0.5), every=2, share=0.25, over=4, power=1.0),
}
# Of one update: factors rounded in advance (6), products and sums (6), roots and divisions (8).
ROUNDINGS = 20
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
    """Bound what the memory and the step are sums of: the update with every minus turned into a plus.

    The last step has this rate, and step n had `len(gradients) / n` times that.
    """
    if isinstance(optimizer, Lookahead):
        slow = np.abs(weight)
        for step in range(1, len(gradients) + 1):
            now = gradients[:step]
            memory, fast = magnitudes(optimizer.optimizer, weight, now, rate * len(gradients) / step)
            if step % optimizer.every == 0:
                slow = slow + optimizer.share_at(step) * (fast + slow)
        return {**memory, "slow": slow}, np.maximum(fast, slow)
    memory, direction = directions(optimizer, weight, gradients)
    return memory, np.abs(weight) + rate * direction


def running(share, values):
    """Return the running mean of arrays that starts at 0."""
    return sum((1 - share) * share ** (len(values) - 1 - i) * value for i, value in enumerate(values))


def directions(optimizer, weight, gradients):
    """Bound what the memory and the direction are sums of."""
    decay = 0.0 if isinstance(optimizer, LAMB) or optimizer.decoupled else optimizer.weight_decay
    g = [np.abs(gradient) + optimizer.weight_decay * np.abs(weight) for gradient in gradients]
    signed = [h + decay * weight for h in gradients]
    if isinstance(optimizer, SGD):
        v = sum(optimizer.momentum ** (len(g) - 1 - i) * value for i, value in enumerate(g))
        return {"momentum": v}, (1 + optimizer.momentum) * np.maximum(v, g[-1])
    if isinstance(optimizer, Muon):
        v = running(optimizer.momentum, g)
        return {"momentum": v}, orthogonalised_size(optimizer, running(optimizer.momentum, gradients), v, gradients[-1])
    if isinstance(optimizer, RMSprop):
        memory = {"square": np.zeros(weight.shape), "momentum": np.zeros(weight.shape)}
        for h in signed:
            memory["square"] = optimizer.smoothing * memory["square"] + (1 - optimizer.smoothing) * h**2
            step = np.abs(h) / (np.sqrt(memory["square"]) + optimizer.epsilon)
            memory["momentum"] = optimizer.momentum * memory["momentum"] + step
        return memory, memory["momentum"]
    if isinstance(optimizer, Adagrad):
        square = sum(h**2 for h in signed)
        return {"square": square}, np.abs(signed[-1]) / (np.sqrt(square) + optimizer.epsilon)
    if isinstance(optimizer, Adadelta):
        square = moved = np.zeros(weight.shape)
        for h in signed:
            square = optimizer.smoothing * square + (1 - optimizer.smoothing) * h**2
            step = np.sqrt(moved + optimizer.epsilon) / np.sqrt(square + optimizer.epsilon) * np.abs(h)
            moved = optimizer.smoothing * moved + (1 - optimizer.smoothing) * step**2
        return {"square": square, "moved": moved}, step
    mean, square = running(optimizer.beta1, g), running(optimizer.beta2, [h**2 for h in signed])
    memory, scalars = {"mean": mean, "square": square}, optimizer.scalars(len(g))
    root = np.sqrt(square) / scalars[-1] + optimizer.epsilon
    if isinstance(optimizer, NAdam):
        return memory, (scalars[0] * g[-1] + scalars[1] * mean) / root
    size = mean / scalars[0] / root
    if not isinstance(optimizer, LAMB):
        return memory, size
    size = size + optimizer.weight_decay * np.abs(weight)
    exact = running(optimizer.beta1, signed) / scalars[0] / root + optimizer.weight_decay * weight
    of_weight, length = np.linalg.norm(weight), np.linalg.norm(exact)
    if not (optimizer.layerwise and of_weight and length):
        return memory, size
    # A direction strays by itself, and by its length, whose sum of squares has as many roundings as terms.
    of_length = np.linalg.norm(size) / length + weight.size / ROUNDINGS
    return memory, of_weight / length * (size + np.abs(exact) * of_length)


def orthogonalised_size(optimizer, mean, size, gradient):
    """Bound how far Muon's direction strays, in units of ROUNDINGS · U.

    The iteration x ← a x + b x³ + c x⁵ of singular values spreads errors of a matrix, by the Frobenius norm, by no
    more than the largest |derivative| between 0 and the largest singular value; each of its products adds the usual
    roundings, which are bounded by the norms of its factors.
    """
    share = optimizer.momentum
    exact = (share * mean + (1 - share) * gradient if optimizer.nesterov else mean).reshape(-1, mean.shape[-1])
    size = np.linalg.norm(share * size + (1 - share) * np.abs(gradient) if optimizer.nesterov else size)
    length = np.linalg.norm(exact)
    if length == 0.0:
        return np.zeros(mean.shape)
    (a, b, c), u = optimizer.coefficients, ROUNDINGS * U
    sides = sorted(exact.shape)
    values = np.linalg.svd(exact / length, compute_uv=False)
    strays = 2 * size / length * u + gamma(exact.size)
    for _ in range(optimizer.iterations):
        top, norm = values.max() * 1.01, np.linalg.norm(values) * 1.01  # room for what they have strayed
        x = np.linspace(0, top, 1000)
        spread = np.abs(a + 3 * b * x**2 + 5 * c * x**4).max() * 1.01
        of_gram = gamma(sides[1]) * norm**2
        of_square = gamma(sides[0]) * norm**4 + 2 * top**2 * of_gram
        polynomial = abs(a) * np.sqrt(sides[0]) + abs(b) * norm**2 + abs(c) * norm**4
        of_polynomial = abs(b) * of_gram + abs(c) * of_square + gamma(4) * polynomial
        strays = spread * strays + gamma(sides[0]) * norm * polynomial + top * of_polynomial
        values = np.abs(a * values + b * values**3 + c * values**5)
    found = np.full(mean.shape, strays / u + 2 * values.max())
    return optimizer.scale(*exact.shape) * found


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("network", ["rectangular everything", "dropouts"])
def test_updates_and_memory(engine, name, network):
    check_steps(engine, LANDMARKS[network], OPTIMIZERS[name])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_and_frozen_parameters(engine, name):
    groups = (Group("0", 0.5), Group("*.bias", 3.0, weight_decay=0.25), Group("2.2.1.bias", 0.0))
    check_steps(engine, LANDMARKS["nested"], OPTIMIZERS[name], groups, ("1.0.0", "2.1.weight"))


@pytest.mark.parametrize("name", ["nesterov", "muon", "adam"])
def test_a_group_stays_as_it_is_behind_its_last_step(engine, name):
    graph = LANDMARKS["nested"]
    ends = (Group("0", 2.0, steps=2), Group("2.1", steps=3))
    check_steps(engine, graph, OPTIMIZERS[name], ends)
    case = integer_steps(graph, 4, seed=5, steps=1)[0]
    mine = engine.train_program(graph, case.parameters, StepSettings(case.loss, OPTIMIZERS[name], 4, groups=ends))
    held = []
    for _ in range(4):
        mine.step(case.images, case.targets, 1e-5)  # small, so that whole numbers do not diverge
        held.append(mine.parameters())
    assert (held[0]["0.0.weight"] != held[1]["0.0.weight"]).any()
    assert (held[1]["2.1.weight"] != held[2]["2.1.weight"]).any()
    assert (held[3]["2.1.weight"] == held[2]["2.1.weight"]).all()
    assert all((after["0.0.weight"] == held[1]["0.0.weight"]).all() for after in held[2:])


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


@pytest.mark.parametrize(
    ("clip", "penalty"),
    [
        (GradientClip(norm=0.5), Penalty()),
        (GradientClip(norm=1e6), Penalty(l2=0.1)),
        (GradientClip(norm=0.5, value=1.0), Penalty()),
        (GradientClip(value=1.0), Penalty(l1=0.01)),
        (GradientClip(), Penalty(0.1, 0.2)),
    ],
    ids=str,
)
def test_clipping_and_penalties(engine, clip, penalty):
    graph = LANDMARKS["nested"]
    case = integer_steps(graph, 4, seed=5, steps=1)[0]
    settings = StepSettings(case.loss, SGD(), case.batch_size, case.seed, frozen=("1",), clip=clip, penalty=penalty)
    mine = engine.train_program(graph, case.parameters, settings)
    reference = ReferenceEngine().train_program(graph, case.parameters, settings)
    for program in (mine, reference):
        program.step(case.images, case.targets, 0.1)
    after, gradients, terms = (
        mine.parameters(),
        mine.gradients(),
        sum(g.size for g in reference.exact_gradients.values()),
    )
    for name, exact in reference.exact_gradients.items():
        assert (gradients[name] == exact).all(), name  # as they were before they were clipped
        weight = np.abs(case.parameters[name].astype(np.float64))
        size = np.abs(exact) * (1 + terms / ROUNDINGS) + penalty.l1 + penalty.l2 * weight
        strayed = np.abs(after[name] - reference.exact_parameters[name])
        assert (strayed <= ROUNDINGS * U * (weight + 0.1 * size) + TINY).all(), name


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
        kinds = {p: (*rule.optimizer.memory, *(follower.name for follower in followers)) for p, rule in rules.items()}
        assert set(state) == set(reference.exact_memory) == {f"{p}/{kind}" for p in rules for kind in kinds[p]}
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
            for kind in kinds[parameter]:
                key = f"{parameter}/{kind}"
                assert (np.abs(state[key] - reference.exact_memory[key]) <= limit * memory[kind] + TINY).all(), key
