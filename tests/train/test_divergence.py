"""A training whose numbers stop being finite ends, says in which layer and step that began, and keeps what was good."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from neocog.engines import get_engine
from neocog.errors import NeocogError
from neocog.nn.blocks import Sequential
from neocog.nn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, ReLU
from neocog.nn.losses import MeanSquaredError
from neocog.nn.optimizers import SGD, Adam, Lookahead
from neocog.nn.schedules import Constant, Step
from neocog.train.fit import fit
from neocog.train.runfolder import RunFolder
from neocog.train.source import ArraySource

NET = Sequential(Conv2d(4, 3), BatchNorm2d(), ReLU(), Flatten(), Dropout(0.2), Linear(3), Linear(2))


def ended(make_model, toy, net=NET, source=None, engine="native", **settings) -> tuple[str, object]:
    """Return what a training that diverges says, and its model."""
    model = make_model(net, engine=engine)
    with pytest.raises(NeocogError) as caught:
        fit(model, source or ArraySource(*toy, batch_size=16, seed=1), verbose=0, **settings)
    return str(caught.value), model


@pytest.mark.parametrize("ema", [None, 0.9])
def test_the_layer_and_the_step_are_named_where_a_rate_became_too_high(make_model, toy, tmp_path, ema):
    # 4 steps an epoch. The rate jumps within the second one, at step 7: behind it the normalization's factors times the
    # weights of the next layer are more than float32 holds.
    settings = {"optimizer": SGD(0.01), "schedule": Step((0.8,), 1e24), "ema": ema, "epochs": 2}
    folder = RunFolder(tmp_path)
    told, model = ended(make_model, toy, folder=folder, **settings)
    assert "epoch 2, step 8: the loss must be finite, got " in told
    assert "first in step 8: layer 5 (Linear) gives 36 of 36 values that are " in told
    assert "; its input reaches " in told
    assert "learning rate: 1e+22 (SGD)" in told
    assert f"kept: epoch 1, in {folder.last}" in told
    assert "hint: lower the learning rate, such as 0.001; neocog lr-find DATA, or model.lr_find(), suggests" in told
    kept = folder.load_last(engine="reference")
    assert len(kept.history) == 1
    for name, value in kept.model.parameters.items():
        assert value.tobytes() == model.parameters[name].tobytes(), name


def test_a_gradient_may_be_the_first(make_model, toy):
    # Logits of about 1e18 and their squares are finite; what the first layer gets back is their product with 3e30.
    model = make_model(Sequential(Flatten(), Linear(2), Linear(2)), engine="native")
    weights = {name: np.array(value) for name, value in model.parameters.items()}
    weights["1.weight"] *= 1e-13
    weights["2.weight"][...] = np.float32(3e30)
    model.restore(weights)
    with pytest.raises(NeocogError) as caught:
        fit(model, ArraySource(*toy), loss=MeanSquaredError(), optimizer=SGD(1e-30), epochs=1, verbose=0)
    assert "first in step 1: the gradient of what layer 1 (Linear) gives holds 120 of 120 values that are" in str(
        caught.value
    )


def test_the_loss_itself_may_be_the_first(make_model, toy):
    told, _ = ended(make_model, toy, Sequential(Flatten(), Linear(2)), loss=MeanSquaredError(), optimizer=SGD(1e28))
    assert "first in step 2: the loss is the first that is not finite; the logits reach" in told


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # of the learning rate to float32
def test_weights_that_the_last_step_of_an_epoch_spoils_are_not_kept(make_model, toy, tmp_path):
    folder, source = RunFolder(tmp_path), ArraySource(*toy, batch_size=60)
    settings = {"optimizer": SGD(0.01), "schedule": Step((0.5,), 1e308), "epochs": 2, "folder": folder}
    told, model = ended(make_model, toy, Sequential(Flatten(), Linear(2)), source, **settings)
    assert "epoch 2, step 2: the weights must be finite, got 1.weight: " in told
    assert "first in step 2: the layers and their gradients are finite in NumPy\n  after it: 1.weight: " in told
    assert len(folder.load_last(engine="reference").history) == 1
    assert np.isfinite(model.parameters["1.weight"]).all()


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # of weights with normalizations folded in
def test_weights_that_are_finite_but_too_large_to_be_measured_are_told(make_model, toy, tmp_path):
    # The rate jumps at the last step of the second epoch.
    settings = {"optimizer": SGD(0.01), "schedule": Step((0.95,), 1e24), "epochs": 2, "validation": ArraySource(*toy)}
    folder = RunFolder(tmp_path)
    told, _ = ended(make_model, toy, folder=folder, **settings)
    assert "epoch 2, step 8: the validation loss must be finite, got nan" in told
    assert "first after step 8: layer 5 (Linear) gives 48 of 48 values that are " in told
    assert len(folder.load_last().history) == 1


def test_validation_images_that_alone_lead_there_are_told(make_model, toy, tmp_path):
    def endless(predictor):
        predictor.logits = lambda images, *_: np.full((len(images), 2), np.nan, np.float32)
        return predictor

    model = make_model(engine="native")
    engine = get_engine("native")
    model.engine = SimpleNamespace(name="x", predictor=lambda *given: endless(engine.predictor(*given)))
    with pytest.raises(NeocogError, match="validation loss must be finite") as caught:
        fit(model, ArraySource(*toy), validation=ArraySource(*toy), engine="native", epochs=1, verbose=0)
    assert "first after step 1: only for validation images; the training images give finite numbers" in str(
        caught.value
    )


def test_the_steps_come_again_with_all_that_an_optimizer_remembers(make_model, toy):
    settings = {"optimizer": Lookahead(Adam(0.01), every=2), "schedule": Step((0.8,), 1e24), "epochs": 2}
    told, _ = ended(make_model, toy, **settings)
    assert "first in step 8: layer 5 (Linear) gives 36 of 36 values that are " in told


def test_batches_that_do_not_come_again_are_told(make_model, toy):
    class Once(ArraySource):
        read = 0

        def batches(self, epoch):
            self.read += 1
            yield from super().batches(epoch) if self.read == 1 else ()

    settings = {"optimizer": SGD(1e30), "schedule": Constant(), "source": Once(*toy, batch_size=16)}
    told, _ = ended(make_model, toy, **settings)
    assert "the steps of this epoch give finite numbers: its batches came out differently" in told


def test_it_is_said_on_the_way_that_the_cause_is_looked_for(make_model, toy, capsys):
    with pytest.raises(NeocogError):
        fit(make_model(NET, engine="native"), ArraySource(*toy), optimizer=SGD(1e30), schedule=Constant(), verbose=2)
    assert "going through the epoch once more to find where that begins" in capsys.readouterr().err
