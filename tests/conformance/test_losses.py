"""Every loss in every engine, for vectors and pixels, labels and rows, and short batches; and as PyTorch has it."""

import importlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_cases import examples, real_case
from conformance_checks import check_close_step
from neocog.engines.base import StepSettings
from neocog.engines.reference import ReferenceEngine
from neocog.engines.targets import check_targets
from neocog.errors import SettingError
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from neocog.nn.optimizers import SGD
from neocog.reference import loss as oracle

CLASSES = 5
WEIGHTS = (0.5, 2.0, 0.0, 1.0, 3.5)
NETWORKS = {
    "vector": trace(Sequential(Conv2d(3, 3), ReLU(), Flatten(), Linear(CLASSES)), (5, 4, 2)),
    "pixels": trace(Sequential(Conv2d(3, 3, padding=1), ReLU(), Conv2d(CLASSES, 1)), (5, 4, 2)),
}
LOSSES = (
    CrossEntropy(),
    CrossEntropy(0.2),
    CrossEntropy(weights=WEIGHTS),
    CrossEntropy(0.1, WEIGHTS),
    BinaryCrossEntropy(),
    BinaryCrossEntropy(3.0),
    BinaryCrossEntropy(WEIGHTS),
    MeanSquaredError(),
)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "rows"])
def test_a_step_on_a_short_batch_stays_within_its_bounds(engine, network, loss, soft):
    check_close_step(engine, real_case(NETWORKS[network], 3, 5, loss, batch_size=7, soft=soft))


@examples(0.3)
@given(
    network=st.sampled_from(sorted(NETWORKS)),
    which=st.sampled_from(LOSSES),
    count=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
    soft=st.booleans(),
)
def test_steps_of_any_targets_stay_within_their_bounds(engine, network, which, count, seed, soft):
    case = real_case(NETWORKS[network], count, seed, which, batch_size=9, soft=soft)
    if not isinstance(which, CrossEntropy) or oracle.divisor(which, case.targets, CLASSES):  # else nothing counts
        check_close_step(engine, case)


def test_labels_and_rows_may_come_in_turn(engine):
    settings = StepSettings(CrossEntropy(0.1, WEIGHTS), SGD(), 4)
    for network in NETWORKS.values():
        cases = [real_case(network, 4, 2, settings.loss, soft=soft) for soft in (False, True, False)]
        parameters = cases[0].parameters
        both = [e.train_program(network, parameters, settings) for e in (engine, ReferenceEngine())]
        for case in cases:
            one, other = (program.step(case.images, case.targets, 0.01).loss for program in both)
            assert one == pytest.approx(other, rel=1e-4)


def test_where_no_label_counts_the_loss_is_0_and_nothing_changes(engine):
    loss = CrossEntropy(weights=WEIGHTS)
    case = real_case(NETWORKS["vector"], 3, 1, loss)
    program = engine.train_program(case.graph, case.parameters, StepSettings(loss, SGD(), 3))
    assert program.step(case.images, np.full(3, 2, np.int32), 0.1).loss == 0
    for name, value in program.parameters().items():
        np.testing.assert_array_equal(value, case.parameters[name])


def test_one_hot_rows_are_labels(engine):
    for network in NETWORKS.values():
        case = real_case(network, 4, 3, CrossEntropy(0.1))
        rows = np.eye(CLASSES, dtype=np.float32)[case.targets]
        programs = [engine.train_program(network, case.parameters, StepSettings(case.loss, SGD(), 4)) for _ in range(2)]
        of_labels, of_rows = (
            s.step(case.images, t, 0.1).loss for s, t in zip(programs, (case.targets, rows), strict=True)
        )
        assert of_labels == pytest.approx(of_rows, rel=1e-6)


@pytest.mark.parametrize("size", [50.0, 1e4, 3e38])
def test_logits_of_any_size_have_a_finite_gradient(engine, size):
    graph = trace(Sequential(Flatten(), Linear(2)), (1, 1, 1))
    parameters = {"1.weight": np.array([[size, -size]], np.float32), "1.bias": np.zeros(2, np.float32)}
    images = np.ones((2, 1, 1, 1), np.float32)
    for loss in (CrossEntropy(), BinaryCrossEntropy()):
        rows = check_targets(graph, loss, np.eye(2, dtype=np.float32), 2)
        program = engine.train_program(graph, parameters, StepSettings(loss, SGD(), 2))
        assert np.isfinite(program.step(images, rows, 0.0).loss) or size > 1e38
        assert np.isfinite(program.gradients()["1.weight"]).all()


def test_a_nan_among_the_logits_is_seen_in_the_loss(engine):
    graph = trace(Sequential(Flatten(), Linear(2)), (1, 1, 1))
    parameters = {"1.weight": np.array([[1, np.nan]], np.float32), "1.bias": np.zeros(2, np.float32)}
    for loss in LOSSES[:2] + LOSSES[4:6]:
        program = engine.train_program(graph, parameters, StepSettings(loss, SGD(), 1))
        assert np.isnan(program.step(np.ones((1, 1, 1, 1), np.float32), np.eye(2, dtype=np.float32)[:1], 0.0).loss)


@pytest.mark.parametrize("loss", [CrossEntropy(weights=(1, 2)), BinaryCrossEntropy((1, 2))], ids=str)
def test_weights_must_be_as_many_as_the_outputs(engine, loss):
    case = real_case(NETWORKS["vector"], 2, 1, CrossEntropy())
    with pytest.raises(SettingError, match=r"weights? must be as many as the outputs, 5, got 2"):
        engine.train_program(case.graph, case.parameters, StepSettings(loss, SGD(), 2))


@given(
    shape=st.sampled_from([(4, 5), (1, 5), (3, 2, 4, 5)]),
    which=st.sampled_from(LOSSES),
    seed=st.integers(0, 2**32 - 1),
    soft=st.booleans(),
)
def test_values_and_gradients_are_those_of_pytorchs_own_modules(shape, which, seed, soft):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(seed)
    logits, labels = 3 * rng.standard_normal(shape), rng.integers(0, CLASSES, shape[:-1])
    rows = rng.dirichlet(np.ones(CLASSES), shape[:-1])
    match which:
        case CrossEntropy(label_smoothing=smoothing, weights=weights):
            weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)
            theirs = torch.nn.CrossEntropyLoss(weight, label_smoothing=smoothing)
            targets = rows if soft else labels
            if not soft and weights is not None and not np.array(weights)[labels].any():
                return  # PyTorch divides by 0
        case BinaryCrossEntropy(pos_weight=weight):
            weight = None if weight is None else torch.tensor(weight, dtype=torch.float64)
            theirs, targets = torch.nn.BCEWithLogitsLoss(pos_weight=weight), (rows > 0.2).astype(float)
        case _:
            theirs, targets = torch.nn.MSELoss(), rows
    x = torch.tensor(logits, requires_grad=True)
    channels_first = isinstance(which, CrossEntropy) and len(shape) == 4
    given = torch.tensor(targets)
    if channels_first:
        given = given.movedim(-1, 1) if soft else given
    value = theirs(x.movedim(-1, 1) if channels_first else x, given)
    value.backward()
    assert oracle.forward(which, logits, targets) == pytest.approx(float(value.detach()), rel=1e-10, abs=1e-13)
    np.testing.assert_allclose(oracle.backward(which, logits, targets), x.grad.numpy(), rtol=1e-9, atol=1e-13)


def test_the_torch_engine_computes_the_same_in_double_precision():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    engine = importlib.import_module("neocog.engines.torch").TorchEngine(dtype="float64")
    for network in NETWORKS.values():
        for loss in LOSSES:
            case = real_case(network, 4, 4, loss, soft=True)
            settings = StepSettings(loss, SGD(), 4)
            mine, theirs = (
                e.train_program(network, case.parameters, settings).step(case.images, case.targets, 0.1).loss
                for e in (ReferenceEngine(), engine)
            )
            assert mine == pytest.approx(theirs, rel=1e-10)
