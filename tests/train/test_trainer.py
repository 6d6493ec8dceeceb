import warnings

import numpy as np
import pytest

from neocog.errors import DataError, NeocogWarning, SettingError, ShapeError
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Flatten, Linear, Softmax
from neocog.nn.losses import MeanSquaredError
from neocog.nn.optimizers import SGD, Adam
from neocog.train.model import Model
from neocog.train.trainer import Trainer


def test_a_step_lowers_the_loss_and_the_model_shows_it(make_model, toy):
    model = make_model()
    before = dict(model.parameters)
    trainer = Trainer(model, SGD(learning_rate=0.1, momentum=0.9))
    losses = [trainer.step(*toy) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert trainer.steps == 20
    assert (model.parameters["5.weight"] != before["5.weight"]).any()


def test_parameters_are_copied_out_only_when_asked_for(make_model, toy):
    model = make_model()
    trainer = Trainer(model)
    copies = []
    take = trainer._train_program.parameters
    trainer._train_program.parameters = lambda: copies.append(1) or take()
    for _ in range(5):
        trainer.step(*toy)
    assert not copies
    model(toy[0])
    assert model.parameters is model.parameters
    assert len(copies) == 1


def test_gradients_are_those_of_the_last_step(make_model, toy):
    model = make_model()
    trainer = Trainer(model, SGD(learning_rate=0.5))
    with pytest.raises(SettingError, match="gradients need a step first"):
        trainer.gradients()
    before = dict(model.parameters)
    trainer.step(*toy)
    for name, gradient in trainer.gradients().items():
        np.testing.assert_allclose(model.parameters[name], before[name] - 0.5 * gradient, rtol=1e-5, atol=1e-7)


def test_a_trainer_that_keeps_no_gradients_says_so(make_model, toy):
    trainer = Trainer(make_model(), keeps_gradients=False)
    trainer.step(*toy)
    with pytest.raises(SettingError, match="this training keeps no gradients") as caught:
        trainer.gradients()
    assert "keeps_gradients=True" in str(caught.value)


def test_the_learning_rate_can_be_set_between_steps(make_model, toy):
    model = make_model()
    trainer = Trainer(model, SGD(learning_rate=0.1))
    assert trainer.learning_rate == 0.1
    before = dict(model.parameters)
    trainer.learning_rate = 0.0
    trainer.step(*toy)
    assert all((model.parameters[name] == value).all() for name, value in before.items())
    for wrong in (-1.0, float("nan")):
        with pytest.raises(SettingError, match="learning_rate"):
            trainer.learning_rate = wrong


def test_loaded_parameters_are_trained_on(make_model, toy):
    model, other = make_model(), make_model(seed=9)
    trainer = Trainer(model)
    trainer.step(*toy)
    model.load_parameters(other.parameters)
    assert trainer.step(*toy) == pytest.approx(Trainer(other, seed=3).step(*toy), rel=0.2)
    trainer.learning_rate = 0.0
    model.load_parameters(other.parameters)
    trainer.step(*toy)
    assert (model.parameters["0.weight"] == other.parameters["0.weight"]).all()


def test_two_trainers_take_turns_on_one_model(make_model, toy):
    model = make_model()
    first, second = Trainer(model), Trainer(model)
    first.step(*toy)
    after_first = dict(model.parameters)
    second.learning_rate = 0.0
    second.step(*toy)
    assert all((model.parameters[name] == value).all() for name, value in after_first.items())


def test_settling_changes_no_parameter(make_model, toy):
    model = make_model()
    trainer = Trainer(model, Adam())
    trainer.step(*toy)
    before, memory = dict(model.parameters), trainer.optimizer_state()
    trainer.settle()
    assert all((model.parameters[name] == value).all() for name, value in before.items())
    assert all((trainer.optimizer_state()[name] == value).all() for name, value in memory.items())


def test_vectors_are_learnt_with_squared_errors(make_model, toy):
    trainer = Trainer(make_model(), SGD(learning_rate=0.05), MeanSquaredError())
    targets = np.eye(2, dtype=np.float32)[toy[1]]
    assert trainer.step(toy[0], targets) == pytest.approx(
        Trainer(make_model(), SGD(learning_rate=0.05), MeanSquaredError()).step(*toy)
    )


def test_wrong_batches_are_named(make_model, toy):
    trainer = Trainer(make_model(), batch_size=16)
    with pytest.raises(DataError, match="1 to 16 images, got 60"):
        trainer.step(*toy)
    with pytest.raises(DataError, match="got 0"):
        trainer.step(toy[0][:0], toy[1][:0])
    with pytest.raises(ShapeError, match="as many as the images"):
        trainer.step(toy[0][:8], toy[1][:7])
    assert trainer.steps == 0
    for wrong in ({"batch_size": 0}, {"threads": 0}, {"seed": -1}):
        with pytest.raises(SettingError, match=next(iter(wrong))):
            Trainer(make_model(), **wrong)


def test_a_softmax_of_a_softmax_is_warned_of():
    model = Model(Sequential(Flatten(), Linear(2), Softmax()), (2, 2, 1))
    with pytest.warns(
        NeocogWarning, match=r"ends in layer 2 \(Softmax\), and CrossEntropy takes the softmax .*\n  hint: "
    ):
        Trainer(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Trainer(model, loss=MeanSquaredError())
        Trainer(Model(Sequential(Flatten(), Linear(2), Softmax(), Linear(2)), (2, 2, 1)))
