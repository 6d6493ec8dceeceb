import io

import numpy as np
import pytest
from PIL import Image

from neocog.data.near import SIDE, near_pairs, thumbnail
from neocog.data.sources import open_data


def picture(seed: int, size: int = 96) -> Image.Image:
    """A picture of large and small shapes, as photographs have them: noise, smoothed at three scales."""
    random = np.random.default_rng(seed)
    layers = [
        np.asarray(Image.fromarray(random.normal(128, 60, (cells, cells)).astype(np.float32)).resize((size, size)))
        for cells in (4, 12, 24)
    ]
    return Image.fromarray(np.clip(sum(layers) / 1.7 - 97, 0, 255).astype(np.uint8)).convert("RGB")


def small(image: Image.Image) -> np.ndarray:
    return thumbnail(np.asarray(image))[None]


def saved_anew(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


@pytest.mark.parametrize(
    "change",
    [
        saved_anew,
        lambda image: image.resize((64, 64)),
        lambda image: image.convert("L").convert("RGB"),
        lambda image: image.point(lambda value: int(0.8 * value + 20)),
    ],
    ids=["saved as JPEG", "shrunk", "made grey", "brightened"],
)
def test_a_changed_copy_is_found_among_others_and_no_other(change):
    others = np.concatenate([small(picture(seed)) for seed in range(40)])
    for seed in (0, 17, 39):
        assert near_pairs(small(change(picture(seed))), others) == [(0, seed)]


def test_pictures_of_the_same_kind_are_not_taken_for_copies():
    one = np.concatenate([small(picture(seed)) for seed in range(100)])
    other = np.concatenate([small(picture(seed)) for seed in range(100, 200)])
    assert near_pairs(one, other) == []


def test_pictures_of_one_colour_are_alike_and_no_copies():
    grey = np.full((3, SIDE, SIDE), 128, np.uint8)
    assert near_pairs(grey, grey) == []
    assert near_pairs(grey[:0], grey) == []


def test_thumbnails_of_any_image_are_grey_bytes():
    ramp = np.repeat(np.linspace(0, 1, 64, dtype=np.float32), 64 * 5).reshape(64, 64, 5)  # from black down to white
    assert thumbnail(ramp).shape == (SIDE, SIDE)
    assert (np.diff(thumbnail(ramp)[:, 0].astype(int)) > 0).all()
    assert thumbnail(np.full((5, 9, 3), 7, np.uint8)).tolist() == np.full((SIDE, SIDE), 7).tolist()


@pytest.mark.data
@pytest.mark.parametrize("name", ["clothing-small", "mnist", "cifar-10-batches-bin"])
def test_public_data_have_no_near_copies_between_test_and_training(data_folder, name):
    splits = open_data(data_folder(name))
    some, others = (
        np.stack(
            [
                np.frombuffer(part.facts(int(index)).thumbnail, np.uint8).reshape(SIDE, SIDE)
                for index in np.unique(np.linspace(0, len(part) - 1, 1000).astype(int))
            ]
        )
        for part in (splits.test, splits.train)
    )
    assert near_pairs(some, others) == []
