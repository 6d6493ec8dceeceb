"""The reference engine: the protocol around the oracle."""

import numpy as np
import pytest

from conformance_cases import real_case
from conformance_networks import LANDMARKS
from neocog.engines import get_engine
from neocog.engines.base import StepSettings
from neocog.engines.reference import CHUNK, ReferenceEngine
from neocog.errors import SettingError, ShapeError
from neocog.nn.losses import CrossEntropy, MeanSquaredError
from neocog.nn.optimizers import SGD, Adam
from neocog.reference import loss, network

CASE = real_case(LANDMARKS["two stages"], 4, 1, CrossEntropy(), batch_size=5)
SGD_SETTINGS = StepSettings(CrossEntropy(), SGD(momentum=0.9), batch_size=5, seed=3)


def train_program(settings=SGD_SETTINGS, case=CASE):
    return ReferenceEngine().train_program(case.graph, case.parameters, settings)


def test_an_unknown_engine_is_refused_with_the_known_ones():
    with pytest.raises(SettingError) as caught:
        get_engine("cuda")
    assert str(caught.value) == "unknown engine 'cuda'\n  hint: known engines: native, reference, torch"


def test_it_is_found_by_its_name_and_takes_any_number_of_threads():
    engine = get_engine("reference")
    assert engine.name == "reference"
    one, two = (engine.predictor(CASE.graph, CASE.parameters, threads).logits(CASE.images) for threads in (1, 7))
    assert (one == two).all()


def test_a_prediction_is_the_networks_own_rounded_to_float32():
    predictor = ReferenceEngine().predictor(CASE.graph, CASE.parameters)
    exact = network.forward(CASE.graph, predictor.exact_parameters, CASE.images)
    assert predictor.logits(CASE.images).dtype == np.float32
    assert (predictor.exact_logits(CASE.images) == exact.logits).all()
    assert (predictor.logits(CASE.images) == exact.logits.astype(np.float32)).all()
    assert (predictor.exact_features(CASE.images) == exact.outputs[CASE.graph.feature_node]).all()


def test_a_prediction_of_many_images_is_that_of_each():
    graph = LANDMARKS["nothing but linear"]
    case = real_case(graph, CHUNK + 3, 1, CrossEntropy())
    predictor = ReferenceEngine().predictor(graph, case.parameters)
    last = predictor.exact_logits(case.images[-1:])
    assert np.allclose(predictor.exact_logits(case.images)[-1:], last, 1e-12, 1e-12)


def test_a_step_is_the_loss_its_gradients_and_the_update():
    made = train_program()
    exact = {name: value.astype(np.float64) for name, value in CASE.parameters.items()}
    run = network.forward(CASE.graph, exact, CASE.images)
    result = made.step(CASE.images, CASE.targets, 0.5)
    assert result.loss == loss.forward(CrossEntropy(), run.logits, CASE.targets)
    assert (result.logits == run.logits.astype(np.float32)).all()
    assert (made.exact_logits == run.logits).all()
    gradients = network.backward(
        CASE.graph, exact, run, loss.backward(CrossEntropy(), run.logits, CASE.targets)
    ).parameters
    for name, gradient in gradients.items():
        assert (made.exact_gradients[name] == gradient).all()
        assert (made.gradients()[name] == gradient.astype(np.float32)).all()
        assert (made.exact_parameters[name] == exact[name] - 0.5 * gradient).all()
        assert (made.exact_memory[f"{name}/momentum"] == gradient).all()
        assert made.parameters()[name].dtype == np.float32


def test_dropouts_draw_anew_each_step_and_the_same_for_a_seed():
    case = real_case(LANDMARKS["dropouts"], 3, 1, CrossEntropy())
    settings = [StepSettings(CrossEntropy(), SGD(), 3, seed) for seed in (0, 0, 1)]
    one, same, other = (train_program(s, case) for s in settings)
    losses = [[made.step(case.images, case.targets, 0.0).loss for _ in range(3)] for made in (one, same, other)]
    assert losses[0] == losses[1]
    assert len(set(losses[0] + losses[2])) == 6


def test_the_memory_starts_at_zero_and_comes_back():
    settings = StepSettings(CrossEntropy(), Adam(), 5)
    made = train_program(settings)
    before = made.optimizer_state()
    assert set(before) == {f"{name}/{kind}" for name in CASE.parameters for kind in ("mean", "square")}
    assert not any(array.any() for array in before.values())
    made.step(CASE.images, CASE.targets, 0.1)
    again = train_program(settings)
    again.load(made.parameters())
    again.load_optimizer_state(made.optimizer_state(), 1)
    for _ in range(2):
        assert again.step(CASE.images, CASE.targets, 0.1).loss == pytest.approx(
            made.step(CASE.images, CASE.targets, 0.1).loss, rel=1e-4
        )
    assert again.steps == 3


def test_what_does_not_fit_is_refused():
    made = train_program()
    with pytest.raises(ShapeError, match="a step takes 1 to 5 images, got 6"):
        made.step(np.concatenate([CASE.images, CASE.images[:2]]), np.zeros(6, np.int32), 0.1)
    with pytest.raises(ShapeError, match="a step takes 1 to 5 images, got 0"):
        made.step(CASE.images[:0], np.zeros(0, np.int32), 0.1)
    with pytest.raises(ShapeError, match="the parameters must be those of the network"):
        made.load({})
    with pytest.raises(ShapeError, match="the optimizer state must match the network"):
        made.load_optimizer_state({}, 0)
    wrong = made.optimizer_state() | {"0.bias/momentum": np.zeros(3, np.float32)}
    with pytest.raises(ShapeError, match=r"memory 0.bias/momentum must have the shape \(8,\), got \(3,\)"):
        made.load_optimizer_state(wrong, 0)


def test_labels_become_vectors_for_the_squared_error():
    made = train_program(StepSettings(MeanSquaredError(), SGD(), 5))
    result = made.step(CASE.images, CASE.targets, 0.1)
    difference = made.exact_logits - np.eye(10)[CASE.targets]
    assert result.loss == pytest.approx(np.square(difference).mean())
