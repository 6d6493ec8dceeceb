"""Networks that end in an image: asked, trained, measured and kept in files pixel by pixel."""

import numpy as np
import pytest

from neocog.errors import DataError, ShapeError
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, ReLU
from neocog.nn.losses import MeanSquaredError
from neocog.nn.optimizers import Adam
from neocog.train.callbacks import Callback
from neocog.train.fit import fit
from neocog.train.model import Model, load
from neocog.train.runfolder import RunFolder
from neocog.train.source import ArraySource

NET = Sequential(Conv2d(4, 3, padding=1), ReLU(), Conv2d(2, 1))


@pytest.fixture
def model():
    return Model(NET, (4, 5, 1), ["dark", "bright"], engine="reference", seed=1)


@pytest.fixture
def data():
    """Images whose pixels are dark or bright: (12, 4, 5, 1) uint8, and for each pixel which."""
    images = np.random.default_rng(0).integers(0, 256, (12, 4, 5, 1)).astype(np.uint8)
    return images, (images[..., 0] > 127).astype(np.int64)


def test_each_pixel_gets_an_answer(model, data):
    images = data[0]
    logits = model(images)
    assert logits.shape == (12, 4, 5, 2)
    shares = model.predict_proba(images)
    np.testing.assert_allclose(shares.sum(axis=-1), 1.0, rtol=1e-6)
    assert (model.predict(images) == logits.argmax(axis=-1)).all()
    assert model(images[:0]).shape == (0, 4, 5, 2)


@pytest.mark.parametrize("loss", [None, MeanSquaredError()])
def test_a_network_learns_to_tell_pixels_apart(model, data, loss):
    images, labels = data
    history = model.fit(images, labels, 40, 4, validation_data=data, optimizer=Adam(0.02), loss=loss, verbose=0)
    measured = model.evaluate(images, labels, loss)
    assert history.best.val_accuracy > 0.9
    assert (measured.accuracy, measured.loss) == (history.epochs[-1].val_accuracy, history.epochs[-1].val_loss)
    assert measured.images == 12
    assert measured.confusion.sum() == labels.size
    assert measured.accuracy == (model.predict(images) == labels).mean()
    assert measured.per_class["bright"].images == labels.sum()


def test_vectors_for_each_pixel_are_targets_too(model, data):
    images, labels = data
    targets = np.eye(2)[labels]
    model.fit(images, targets, 1, 4, loss=MeanSquaredError(), verbose=0)
    measured = model.evaluate(images, targets, MeanSquaredError())
    assert measured.loss == pytest.approx(np.square(model(images) - targets).mean(), rel=1e-6)
    assert measured.accuracy == model.evaluate(images, labels).accuracy


def test_labels_of_whole_images_do_not_fit(model, data):
    with pytest.raises(DataError, match=r"labels must be integers of the shape \(N, 4, 5\)"):
        model.fit(data[0], data[1][:, 0, 0], verbose=0)
    with pytest.raises(ShapeError, match="targets must have the shape"):
        model.fit(data[0], np.zeros((12, 2)), loss=MeanSquaredError(), verbose=0)


class StopsAfterTwo(Callback):
    def on_epoch_end(self, run, epoch):
        if epoch.epoch == 2:
            run.stop("enough")


def test_a_training_on_pixels_goes_on_to_the_same_bits(data, tmp_path):
    train, folder = ArraySource(*data, batch_size=5, seed=1), RunFolder(tmp_path)
    whole, begun = (Model(NET, (4, 5, 1), engine="reference") for _ in range(2))
    fit(whole, train, epochs=3, verbose=0)
    fit(begun, train, epochs=3, callbacks=[StopsAfterTwo()], folder=folder, verbose=0)
    checkpoint = folder.load_last(engine="reference")
    assert len(checkpoint.history) == 2
    fit(checkpoint.model, train, resume=checkpoint, verbose=0)
    assert all((checkpoint.model.parameters[name] == value).all() for name, value in whole.parameters.items())


def test_a_file_of_such_a_network_is_asked_as_before(model, data, tmp_path):
    model.save(tmp_path / "m")
    assert (load(tmp_path / "m", engine="reference")(data[0]) == model(data[0])).all()
