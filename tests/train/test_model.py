import numpy as np
import pytest

from neocog.errors import DataError, NeocogWarning, SettingError, ShapeError
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Flatten, Linear, Sigmoid
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy
from neocog.nn.optimizers import Adam
from neocog.train.model import Model, load


def test_fit_learns_and_tells_its_history(make_model, toy):
    model = make_model()
    history = model.fit(*toy, epochs=40, batch_size=10, validation_data=toy, optimizer=Adam(0.01), verbose=0)
    assert history.stopped == "finished"
    assert len(history) == 40
    assert set(history.history) >= {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    assert model.evaluate(*toy).accuracy > 0.95
    assert history.history["val_accuracy"][-1] == model.evaluate(*toy).accuracy


def test_fit_can_hold_a_share_of_the_images_out(make_model, toy):
    history = make_model().fit(*toy, epochs=1, validation_split=0.25, verbose=0)
    assert "val_loss" in history.history
    for share in (1.0, -0.1):
        with pytest.raises(SettingError, match="validation_split"):
            make_model().fit(*toy, epochs=1, validation_split=share, verbose=0)


def test_same_seed_same_bits(make_model, toy):
    models = [make_model() for _ in range(2)]
    for model in models:
        model.fit(*toy, epochs=2, batch_size=16, validation_split=0.2, verbose=0)
    first, second = (model.parameters for model in models)
    assert all((first[name] == second[name]).all() for name in first)
    third = make_model()
    third.fit(*toy, epochs=2, batch_size=16, validation_split=0.2, verbose=0, seed=4)
    assert (third.parameters["0.weight"] != first["0.weight"]).any()


def test_labels_that_do_not_fit_are_refused(make_model, toy):
    with pytest.raises(DataError, match="labels must lie between 0 and 1"):
        make_model().fit(toy[0], toy[1] + 1, epochs=1, verbose=0)
    with pytest.raises(ShapeError, match="as many as the images"):
        make_model().fit(toy[0], toy[1][1:], epochs=1, verbose=0)
    with pytest.raises(DataError, match="at least one image"):
        make_model().fit(toy[0][:0], toy[1][:0], epochs=1, verbose=0)


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        (np.zeros((4, 1), np.int64), "pass labels[:, 0]"),
        (np.eye(4, 3), "the number of columns must be that of the network's outputs"),
        (np.ones((4, 2)), "for several labels an image, train with loss=nc.BinaryCrossEntropy()"),
        (np.zeros(4), "pass labels.astype(int)"),
        (np.array(["a", "b", "a", "b"]), "np.unique(labels, return_inverse=True)"),
    ],
    ids=["a column", "other columns", "several labels", "floats", "names"],
)
def test_the_hint_for_labels_of_another_kind_works_as_it_stands(labels, hint):
    model = Model(Sequential(Flatten(), Linear(2)), (2, 2, 1), engine="reference")
    with pytest.raises(DataError) as raised:
        model.fit(np.zeros((4, 2, 2, 1), np.uint8), labels, verbose=0)
    assert hint in str(raised.value)


def test_several_labels_are_learnt_saved_and_told(tmp_path):
    model = Model(Sequential(Flatten(), Linear(2)), (2, 2, 1), ["left", "right"], engine="reference")
    images = np.array([[[a, b], [a, b]] for a in (0, 1) for b in (0, 1)] * 4, np.float32)
    labels = images[:, 0]
    history = model.fit(
        images, labels, epochs=60, batch_size=4, optimizer=Adam(0.1), loss=BinaryCrossEntropy(), verbose=0
    )
    assert history.history["accuracy"][-1] == 1.0
    assert (model.predict(images) == labels).all()
    assert (np.round(model.predict_proba(images)) == labels).all()
    assert model.evaluate(images, labels).macro_f1 == 1.0
    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors", engine="reference")
    assert again.loss == BinaryCrossEntropy()
    assert (again.predict_proba(images) == model.predict_proba(images)).all()


def test_rows_of_probabilities_train_as_mixup_makes_them():
    model = Model(Sequential(Flatten(), Linear(2)), (2, 2, 1), engine="reference")
    images, labels = np.random.default_rng(0).random((16, 2, 2, 1), np.float32), np.eye(2)[np.arange(16) % 2]
    share = 0.7
    mixed, rows = share * images + (1 - share) * images[::-1], share * labels + (1 - share) * labels[::-1]
    history = model.fit(mixed, rows, epochs=5, validation_split=0.25, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_a_sigmoid_before_a_loss_that_has_its_own_is_warned_of():
    model = Model(Sequential(Flatten(), Linear(2), Sigmoid()), (2, 2, 1), engine="reference")
    with pytest.warns(NeocogWarning, match="BinaryCrossEntropy takes the sigmoid of that once more"):
        model.fit(np.zeros((2, 2, 2, 1), np.uint8), np.eye(2), epochs=1, loss=BinaryCrossEntropy(), verbose=0)


def test_a_model_may_be_told_its_loss_without_training(tmp_path):
    model = Model(Sequential(Flatten(), Linear(2)), (2, 2, 1), loss=BinaryCrossEntropy(), engine="reference")
    images = np.random.default_rng(0).random((3, 2, 2, 1), np.float32)
    want = 1 / (1 + np.exp(-model(images).astype(np.float64)))
    np.testing.assert_allclose(model.predict_proba(images), want, rtol=1e-6)
    with pytest.raises(SettingError, match="loss must be of the type Loss, got 'mse'"):
        Model(Sequential(Flatten(), Linear(2)), (2, 2, 1), loss="mse")
    with pytest.raises(SettingError, match="weights must be as many as the outputs, 2, got 3"):
        Model(Sequential(Flatten(), Linear(2)), (2, 2, 1), loss=CrossEntropy(weights=(1, 2, 3)))


def test_an_optimizer_by_name_is_refused_with_the_way_to_write_it():
    model = Model(Sequential(Flatten(), Linear(2)), (2, 2, 1), engine="reference")
    with pytest.raises(SettingError, match="optimizer must be of the type Optimizer, got 'adam'"):
        model.fit(np.zeros((4, 2, 2, 1), np.uint8), np.zeros(4, int), optimizer="adam", verbose=0)


@pytest.mark.parametrize(
    ("value", "text"), [(255.0, "must run from 0 to 1"), (np.nan, "images hold NaN"), (np.inf, "images hold NaN")]
)
def test_floating_point_images_that_cannot_be_in_range_are_not_learnt_from(make_model, value, text):
    with pytest.raises(DataError, match=text):
        make_model().fit(np.full((4, 6, 6, 1), value), np.zeros(4, int), verbose=0)


def test_a_model_that_is_loaded_can_be_trained_further(make_model, toy, tmp_path):
    make_model().save(tmp_path / "m")
    model = load(tmp_path / "m", engine="reference")
    assert isinstance(model, Model)
    assert len(model.fit(*toy, epochs=1, verbose=0)) == 1


def test_training_wants_arrays_and_says_what_makes_them(make_model, tmp_path):
    files = [tmp_path / f"{n}.png" for n in range(5)]
    labels = np.zeros(5, np.int64)
    for ask in (make_model().fit, make_model().evaluate):
        with pytest.raises(DataError, match=r"array of images was needed, got image files\n  hint: .*decode_image"):
            ask(files, labels)
