"""What `neocog train` does where it is not told."""

from __future__ import annotations

import numpy as np
import pytest

from neocog.data.augment.words import as_text
from neocog.data.resize import ImageSize
from neocog.nn.parameters import parameters_of
from neocog.nn.zoo import default_net
from neocog.train.recipe import AUTO, choose, mirrored

DIGITS, PHOTOS = ImageSize(28, 28, 1), ImageSize(128, 128, 3)


def even(images: int, classes: int = 10) -> np.ndarray:
    return np.full(classes, images // classes)


@pytest.mark.parametrize(
    ("images", "size", "epochs", "batch"),
    [
        (60_000, DIGITS, 10, 128),
        (1_430, ImageSize(8, 8, 1), 40, 64),
        (3_070, PHOTOS, 60, 64),
        (30_000, PHOTOS, 10, 128),
        (1_000_000, PHOTOS, 8, 128),
        (100, PHOTOS, 60, 16),
        (700, PHOTOS, 60, 32),
    ],
)
def test_epochs_and_batches_follow_from_images_and_their_size(images, size, epochs, batch):
    recipe = choose(even(images), size)
    assert (recipe.epochs, recipe.batch_size) == (epochs, batch)


def test_a_network_is_as_wide_as_there_is_time_for():
    def parameters(**asked):
        return sum(p.size for p in parameters_of(choose(even(54_000), DIGITS, asked=asked).graph))

    assert parameters(time_limit=3600.0) > parameters(time_limit=300.0) > parameters(time_limit=10.0)
    assert choose(even(54_000), DIGITS, asked={"time_limit": 3600.0}).net == default_net(_shape(DIGITS), 10)


def _shape(size: ImageSize):
    from neocog.nn.shapes import ImageShape

    return ImageShape(*size.shape)


def test_with_a_time_limit_the_clock_decides_on_epochs():
    recipe = choose(even(3000), PHOTOS, asked={"time_limit": 600.0})
    assert recipe.epochs is None
    assert " epochs" not in recipe.told()
    assert choose(even(3000), PHOTOS, asked={"time_limit": 600.0, "epochs": 3}).epochs == 3


def test_images_are_changed_by_what_they_are():
    def both(size, images=1000):
        recipe = choose(even(images), size)
        return as_text(recipe.augment), as_text(mirrored(recipe).augment)

    assert both(DIGITS) == ("crop=2", "crop=2,flip")
    assert both(ImageSize(8, 8, 1)) == ("crop=1", "crop=1,flip")
    assert both(ImageSize(4, 4, 1)) == ("none", "flip")
    assert both(PHOTOS) == ("resized-crop=0.25,jitter,erase", "resized-crop=0.25,flip,jitter,erase")
    assert both(ImageSize(96, 96, 1)) == ("resized-crop=0.25,erase", "resized-crop=0.25,flip,erase")
    assert both(PHOTOS, 30_000) == ("resized-crop", "resized-crop,flip")  # each is seen but ten times


def test_answers_are_averaged_over_mirror_images_where_training_saw_them():
    recipe = choose(even(1000), PHOTOS)
    assert recipe.views == "plain"
    assert mirrored(recipe).views == "flip"
    assert mirrored(recipe, {"views": "plain"}).views == "plain"
    none = {"augment": "none"}
    assert mirrored(choose(even(1000), PHOTOS, asked=none), none).views == "plain"


def test_whatever_is_asked_for_goes_first():
    asked = {
        "epochs": 7,
        "batch_size": 5,
        "optimizer": "sgd",
        "learning_rate": 0.5,
        "weight_decay": 0.0,
        "momentum": 0.5,
        "lookahead": 6,
        "schedule": "step",
        "warmup": 0.25,
        "label_smoothing": 0.0,
        "class_weights": "balanced",
        "ema": 0.5,
        "keep": "last",
        "augment": "jitter",
        "views": "flip-shift",
    }
    recipe = choose(even(1000), PHOTOS, model="fast32", asked=asked)
    assert {name: getattr(recipe, name) for name in asked if name != "augment"} | {"augment": "jitter"} == asked
    assert as_text(recipe.augment) == "jitter"
    assert recipe.model == "fast32"
    assert recipe.told().startswith("fast32, ")


def test_what_hangs_on_what_is_asked_for_follows():
    sgd = choose(even(1000), PHOTOS, asked={"optimizer": "sgd"})
    assert (sgd.learning_rate, sgd.momentum) == (0.05, 0.9)
    assert choose(even(1000), PHOTOS, asked={"ema": 0.0}).ema is None
    assert choose(even(1000), PHOTOS, asked={"epochs": 2}).ema < choose(even(1000), PHOTOS).ema
    assert choose(even(1000), PHOTOS, asked={"epochs": 10**6}).ema == 0.9999
    assert choose(even(1000), PHOTOS, asked={"patience": 5}).keep == "best"
    assert choose(even(1000), PHOTOS, asked={"schedule": "constant"}).keep == "best"
    assert choose(even(1000), PHOTOS, classes=False).label_smoothing == 0.0
    assert choose(even(1000), PHOTOS, calibrated=False).label_smoothing == 0.0


def test_rare_classes_count_more():
    assert choose(np.array([100, 20, 11]), PHOTOS).class_weights is None
    assert choose(np.array([100, 20, 10]), PHOTOS).class_weights == "roots"
    assert choose(np.array([100, 20, 10]), PHOTOS, asked={"class_weights": "none"}).class_weights is None
    assert choose(np.array([100, 20, 10]), PHOTOS, classes=False).class_weights is None


def test_it_is_said_in_one_line():
    recipe = mirrored(choose(even(3000), PHOTOS))
    assert recipe.model == AUTO
    assert recipe.told() == (
        "1,093,282 parameters from scratch; augment resized-crop=0.25,flip,jitter,erase; 60 epochs in batches of 64; "
        "adamw 0.003, decay 0.05, one-cycle; label smoothing 0.1; EMA 0.9911; keeps the last epoch; views flip"
    )
