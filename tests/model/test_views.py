import copy
import pickle

import numpy as np
import pytest

import neocog as nc
from neocog.errors import FormatError, SettingError
from neocog.model.modelfile import document_of, load_network, save
from neocog.model.network import Network
from neocog.model.views import VIEW_NAMES, VIEWS
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d
from neocog.train.evaluation import evaluate
from small_models import make_small


def by_hand(model, images, views):
    """The mean of the logits, from views that are cut out of a padded image."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "reflect")
    height, width = images.shape[1:3]

    def both(image):
        return (model(image).astype(float) + model(np.ascontiguousarray(image[:, :, ::-1])).astype(float)) / 2

    if views == "flip":
        return both(images)
    corners = [padded[:, at : at + height, at : at + width] for at in (0, 2)]
    return both(images) / 2 + both(corners[0]) / 4 + both(corners[1]) / 4


@pytest.mark.parametrize("views", VIEW_NAMES[1:])
@pytest.mark.parametrize("engine", ["reference", "native"])
def test_answers_are_the_mean_of_the_logits_of_all_views(make_model, toy, views, engine):
    images = toy[0]
    model = make_model(views=views, engine=engine)
    wanted = by_hand(model, images, views)
    assert np.abs(wanted - model(images)).max() > 1e-3  # it does make a difference
    assert np.allclose(model.logits(images), wanted, rtol=0, atol=1e-6)
    assert (model.predict(images) == model.logits(images).argmax(1)).all()
    shares = np.exp(wanted) / np.exp(wanted).sum(1, keepdims=True)
    assert np.allclose(model.predict_proba(images), shares, rtol=0, atol=1e-6)


def test_shares_add_up_and_the_plain_view_is_the_image():
    images = np.arange(24, dtype=np.uint8).reshape(1, 4, 6, 1)
    assert all(sum(view.share for view in views) == 1.0 for views in VIEWS.values())
    assert (VIEWS["plain"][0].of(images) == images).all()
    shifted = VIEWS["flip-shift"][4].of(images)[0, :, :, 0]
    assert (shifted[1:, 1:] == images[0, :-1, :-1, 0]).all()  # down and right
    assert (shifted[0, 1:] == images[0, 1, :-1, 0]).all()  # row -1 is row 1


def test_pictures_in_pieces_are_seen_in_all_views(make_model, toy):
    model = make_model(views="flip-shift")
    whole = model.logits(toy[0])
    model.images_at_once = 7
    assert (model.logits(toy[0]) == whole).all()


def test_an_evaluation_takes_all_views_unless_it_is_to_be_plain(make_model, toy):
    images, labels = toy
    model = make_model(views="flip")
    seen, plain = (evaluate(model, [(images, labels)], plain=plain).loss for plain in (False, True))
    model.views = "plain"
    assert evaluate(model, [(images, labels)]).loss == plain != seen


def test_epochs_are_compared_by_the_plain_view(toy):
    images, labels = toy
    histories = []
    for views in ("plain", "flip"):
        model = make_small(nc.Model, views=views)
        histories.append(model.fit(images, labels, epochs=1, validation_data=(images, labels), verbose=0))
    assert histories[0].epochs[0].val_loss == histories[1].epochs[0].val_loss


def test_views_are_kept_in_copies_and_files(make_model, tmp_path):
    model = make_model(views="flip-shift")
    path = tmp_path / "model.safetensors"
    save(model, path)
    assert load_network(path, Network).views == "flip-shift"
    assert {copy.copy(model).views, pickle.loads(pickle.dumps(model)).views, model.folded().views} == {"flip-shift"}
    assert "views" not in document_of(make_model())  # files are as they were


def test_a_file_with_unknown_views_is_refused(make_model, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    monkeypatch.setattr("neocog.model.modelfile.document_of", lambda model: {**document_of(model), "views": ["flip"]})
    save(make_model(), path)
    with pytest.raises(FormatError, match="views must be one of plain, flip, flip-shift, got"):
        load_network(path, Network)


@pytest.mark.parametrize("views", ["mirror", 2, None, ["flip"]])
def test_other_views_are_refused(make_model, views):
    with pytest.raises(SettingError, match="views must be plain, flip or flip-shift, got"):
        make_model(views=views)


def test_a_network_that_ends_in_an_image_has_the_plain_view_alone():
    with pytest.raises(SettingError, match='views of a network that ends in an image must be "plain"'):
        Network(Sequential(Conv2d(2, 3, padding=1)), (6, 6, 1), views="flip")


def test_an_image_of_one_row_cannot_be_shifted():
    with pytest.raises(SettingError, match="at least 2 x 2 pixels"):
        Network(nc.Sequential(nc.Flatten(), nc.Linear(2)), (1, 6, 1), views="flip-shift")
