"""What `neocog train` repeats of `neocog check`."""

from __future__ import annotations

import shutil

import numpy as np
from PIL import Image

from app.pictures import SIDE, write_image, write_photos
from neocog.app.cli.doubts import tell_doubts, tell_odd_sizes
from neocog.data.resize import ImageSize
from neocog.data.sources import open_data


def test_labels_that_contradict_each_other_are_named_before_training(run, photos, tmp_path):
    shutil.copy(photos / "dark/3.png", photos / "bright/dark-too.png")
    done = run("train", photos, "epochs=1", "--batch-size", "8", "--quiet", "-o", tmp_path / "run")
    assert done.code == 0
    assert "warning: the same image has different labels: 1 image" in done.err
    assert "bright/dark-too.png (bright) = dark/3.png (dark)" in done.err


def test_near_copies_among_the_measured_images_are_named(tmp_path, capfd):
    random = np.random.default_rng(0)
    for part, kind in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")):
        (tmp_path / part / kind).mkdir(parents=True)
        for number in range(3):
            cells = Image.fromarray(random.integers(0, 256, (6, 6), np.uint8))
            cells.resize((96, 96), Image.Resampling.BICUBIC).save(tmp_path / part / kind / f"{number}.png")
    Image.open(tmp_path / "train/a/1.png").save(tmp_path / "test/a/again.jpg", quality=60)
    splits, size = open_data(tmp_path), ImageSize(48, 48, 1)
    tell_doubts(splits, [size])
    assert capfd.readouterr().err == ""  # nothing is decoded for it
    for part in (splits.train, splits.test):
        part.verify(size)
    tell_doubts(splits, [size])
    told = capfd.readouterr().err
    assert "1 of the 7 test images are nearly copies of images that the training learns from" in told
    assert "test/a/again.jpg ~ train: train/a/1.png" in told


def test_a_few_larger_pictures_that_change_the_size_of_all_are_named(tmp_path, capfd):
    folder = write_photos(tmp_path / "photos", per_class=20)

    def tell(size: ImageSize) -> str:
        tell_odd_sizes(open_data(folder, validation_fraction=0, test_fraction=0).train, size)
        return capfd.readouterr().err

    assert tell(ImageSize(32, 32, 3)) == ""
    write_image(folder / "dark/large.png", 10, side=300)
    told = tell(ImageSize(32, 32, 3))
    assert f"most images are {SIDE} x {SIDE} pixels, and would keep that size, but 1 are not" in told
    assert "dark/large.png (300 x 300): all are brought to 32 x 32; --img-size 16x16" in told
    assert tell(ImageSize(SIDE, SIDE, 3)) == ""  # they do keep it
