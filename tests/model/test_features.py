"""What any layer gives, and networks made of others."""

import numpy as np
import pytest

import neocog as nc
from neocog.errors import SettingError, ShapeError
from neocog.model.origin import Origin
from neocog.model.remade import for_classes, remade
from neocog.nn.zoo import MODELS

RNG = np.random.default_rng(7)
IMAGES = RNG.integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)


def make(engine="native"):
    return nc.Model(MODELS["resnet20"].make(4), (16, 16, 3), engine=engine, mean=0.4, std=0.2, seed=3)


def test_features_of_layers_are_those_of_the_reference():
    native, reference = make(), make("reference")
    for layer in ("bn1", "layer1.0.conv2", "layer2.0.relu1", "avgpool", "fc"):
        for pooled in (False, True):
            found, wanted = (model.features(IMAGES, layer, pooled=pooled) for model in (native, reference))
            assert found.shape == wanted.shape
            assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_a_layer_is_known_by_its_index_too_and_the_last_one_gives_the_logits():
    model = make()
    assert (model.features(IMAGES, -1) == model(IMAGES)).all()
    assert (model.features(IMAGES, 0) == model.features(IMAGES, model.graph.nodes[0].name)).all()


def test_without_a_layer_features_are_what_they_were():
    model = make()
    assert model.features(IMAGES).shape == (5, 64)
    assert np.allclose(model.features(IMAGES), model.features(IMAGES, "avgpool"), atol=1e-6)


def test_features_follow_the_weights():
    model = make()
    before = model.features(IMAGES, "bn1")
    model.load_parameters({name: 2 * value for name, value in model.parameters.items()})
    assert not np.allclose(before, model.features(IMAGES, "bn1"))


def test_a_new_head_leaves_body_preprocessing_and_origin():
    model = make()
    model.origin = Origin("timm/somewhere", "MIT")
    made = for_classes(model, ["cat", "dog"], seed=5)
    assert type(made) is nc.Model
    assert made.class_names == ("cat", "dog")
    assert made.origin == model.origin
    assert made.graph.normalisation == model.graph.normalisation
    assert (made.features(IMAGES) == model.features(IMAGES)).all()
    assert made.parameters["fc.weight"].shape == (64, 2)
    assert len(model.class_names) == 4
    other = for_classes(model, ["cat", "dog"], seed=6)
    assert not np.array_equal(made.parameters["fc.weight"], other.parameters["fc.weight"])


def test_what_was_found_of_a_network_is_not_true_of_one_with_another_head():
    model = make()
    model.calibrate(IMAGES, np.array([0, 1, 2, 3, 0]))
    model.metrics = {"val_accuracy": 0.5}
    made = for_classes(model, ["cat", "dog"])
    assert made.calibration is None
    assert made.metrics == {}
    assert model.calibration is not None


def test_another_size_of_images_is_taken_where_weights_do_not_hang_on_it():
    assert for_classes(make(), ["cat", "dog"], size=(24, 20)).input_shape == (24, 20, 3)
    fixed = nc.Model(nc.Sequential(nc.Conv2d(4, 3), nc.Flatten(), nc.Linear(8), nc.ReLU(), nc.Linear(4)), (16, 16, 3))
    with pytest.raises(ShapeError, match="images of 16 x 16 pixels alone"):
        for_classes(fixed, ["cat", "dog"], size=(24, 24))


def test_the_shorter_side_grows_with_the_size():
    model = nc.Model(MODELS["resnet20"].make(4), (16, 16, 3), resize="short=20,bicubic")
    assert str(for_classes(model, ["cat", "dog"], size=(32, 32)).resize) == "short=40,bicubic"


def test_layers_that_are_not_there_are_refused():
    with pytest.raises(SettingError, match="no layer 'conv9'"):
        make().features(IMAGES, "conv9")


def test_a_network_remade_shares_nothing_with_the_other():
    model = make()
    twin = remade(model, model.graph, model.class_names)
    twin.load_parameters({name: 0 * value for name, value in model.parameters.items()})
    assert model.parameters["conv1.weight"].any()
