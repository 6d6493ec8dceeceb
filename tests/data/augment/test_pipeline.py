"""Epochs of augmented batches: the same pictures on any number of threads, in batches of any size, from any source."""

import numpy as np
import pytest

import neocog as nc
from neocog.data.arrays import ArrayDataset
from neocog.data.augment.pipeline import Pipeline
from neocog.data.augment.words import TRANSFORMS, as_text, parsed
from neocog.data.batches import Batches
from neocog.data.files import FileDataset
from neocog.data.resize import ImageSize
from neocog.errors import DataError, SettingError
from neocog.train.source import ArraySource, DataSource

COUNT = 53
SIZE = ImageSize(12, 10, 3)
EVERYTHING = parsed("flip:alternating,crop=2,resized-crop,affine,jitter:hue=0.1,grey,blur,erase,cutout=3,trivial")


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    return ArrayDataset(random.integers(0, 256, (COUNT, *SIZE.shape), np.uint8), np.arange(COUNT) % 3)


@pytest.fixture
def files(tmp_path, save_image):
    for number in range(COUNT):
        save_image(f"{number}.png", number)
    return lambda **more: FileDataset(tmp_path, [(f"{i}.png", i % 3) for i in range(COUNT)], ["a", "b", "c"], **more)


def images_of(batches):
    return np.concatenate([images for images, _ in batches])


@pytest.mark.parametrize("budget", [0, None])
def test_threads_memory_and_batch_size_change_no_picture(files, budget):
    def epoch(workers, batch_size):
        augment = Pipeline(EVERYTHING, 5)
        data = files(memory_budget=budget)
        batches = Batches(data, batch_size, SIZE, shuffle=True, seed=5, epoch=2, workers=workers, augment=augment)
        first = images_of(batches)
        assert np.array_equal(first, images_of(batches))  # from memory, if it is kept
        return first

    want = epoch(0, 8)
    assert want.shape == (COUNT, *SIZE.shape)
    for workers, batch_size in ((0, 53), (1, 7), (3, 8), (5, 1)):
        assert np.array_equal(epoch(workers, batch_size), want)


def test_every_epoch_and_seed_shows_other_pictures(arrays):
    shown = [
        images_of(Batches(arrays, 8, epoch=epoch, augment=Pipeline(EVERYTHING, seed)))
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    for one in range(3):
        for other in range(one):
            same = (shown[one] == shown[other]).all(axis=(1, 2, 3))
            assert same.mean() < 0.2


def test_arrays_and_datasets_show_the_same(arrays):
    augment = Pipeline(parsed("flip,crop=2,jitter,mixup"), 3)
    of_data = DataSource(Batches(arrays, 8, shuffle=True, seed=3)).augmented(augment, 3)
    of_arrays = ArraySource(arrays.array, arrays.labels, batch_size=8, seed=3).augmented(augment, 3)
    assert of_data.images == of_arrays.images == COUNT
    for epoch in range(2):
        for one, other in zip(of_data.batches(epoch), of_arrays.batches(epoch), strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_source_itself_and_its_images_stay_as_they_are(arrays):
    before = arrays.array.copy()
    source = ArraySource(arrays.array, arrays.labels, shuffle=False)
    list(source.augmented(Pipeline(EVERYTHING), 3).batches(0))
    assert np.array_equal(arrays.array, before)
    assert np.array_equal(images_of(source.batches(0)), before)


def test_floating_point_images_are_rounded_to_bytes(arrays):
    augment = Pipeline(parsed("flip,jitter"))
    of_bytes = ArraySource(arrays.array, arrays.labels).augmented(augment, 3)
    of_floats = ArraySource(arrays.array / np.float32(255), arrays.labels).augmented(augment, 3)
    assert np.array_equal(images_of(of_bytes.batches(0)), images_of(of_floats.batches(0)))
    wild = ArraySource(arrays.array.astype(np.float32), arrays.labels).augmented(augment, 3)
    with pytest.raises(DataError, match="from 0 to 1, or bytes"):
        images_of(wild.batches(0))


def test_images_are_read_larger_where_parts_are_cut_out():
    plain, cutting = Pipeline(parsed("flip")), Pipeline(parsed("flip,resized-crop"))
    size = ImageSize(96, 64, 3)
    assert plain.read_size(size) == size
    assert cutting.read_size(size) == ImageSize(110, 73, 3)
    assert cutting.read_size(size, ImageSize(100, 64, 3)) == ImageSize(100, 64, 3)
    assert cutting.read_size(size, ImageSize(48, 300, 3)) == ImageSize(96, 73, 3)


def test_mixed_batches_have_rows_of_shares(arrays):
    batches = Batches(arrays, 8, augment=Pipeline(parsed("mixup,cutmix")))
    for images, labels in batches:
        assert images.dtype == np.uint8
        assert labels.shape == (len(images), 3)
        assert np.abs(labels.sum(axis=1) - 1).max() < 1e-6


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("text", ["flip,crop=1,jitter", "mixup,cutmix"])
def test_a_resumed_training_sees_what_an_uninterrupted_one_does(tmp_path, engine, text):
    from neocog.train.fit import fit
    from neocog.train.runfolder import RunFolder

    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (21, 6, 6, 3), np.uint8), np.arange(21) % 3

    def train(epochs, folder, resume=None):
        model = (
            resume.model
            if resume
            else nc.Model(
                nc.Sequential(nc.Conv2d(4, 3), nc.ReLU(), nc.Flatten(), nc.Linear(3)), (6, 6, 3), engine=engine
            )
        )
        given = {} if resume else {"augment": text}
        source = ArraySource(images, labels, batch_size=8)
        fit(model, source, epochs=epochs, batch_size=8, folder=folder, resume=resume, verbose=0, **given)
        return model.state_dict()

    folders = [RunFolder(tmp_path / name) for name in ("whole", "half")]
    # the schedule spans 4 epochs both times: an interrupted training was started for all of them
    whole = train(4, folders[0])

    class Stop(nc.Callback):
        def on_epoch_end(self, run, result):
            if result.epoch == 2:
                run.stop("here")

    model = nc.Model(nc.Sequential(nc.Conv2d(4, 3), nc.ReLU(), nc.Flatten(), nc.Linear(3)), (6, 6, 3), engine=engine)
    fit(
        model,
        ArraySource(images, labels, batch_size=8),
        epochs=4,
        batch_size=8,
        folder=folders[1],
        callbacks=[Stop()],
        verbose=0,
        augment=text,
    )
    checkpoint = folders[1].load_last(engine=engine)
    assert as_text(checkpoint.settings.augment) == text
    resumed = train(4, folders[1], checkpoint)
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(SettingError, match="began with augment"):
        fit(
            model,
            ArraySource(images, labels, batch_size=8),
            resume=folders[1].load_last(engine=engine),
            augment="flip",
            verbose=0,
        )


def test_fit_takes_transforms_as_objects_or_text():
    images, labels = np.zeros((4, 6, 6, 3), np.uint8), np.arange(4) % 2
    states = []
    for augment in ("flip,crop=1", (nc.RandomFlip(), nc.RandomCrop(1)), [nc.RandomFlip(), nc.RandomCrop(1)]):
        model = nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(2)), (6, 6, 3), engine="reference")
        model.fit(images, labels, epochs=1, augment=augment, verbose=0)
        states.append(model.state_dict())
    assert all(np.array_equal(states[0][name], state[name]) for state in states for name in state)


def test_sources_that_cannot_be_augmented_are_told():
    class Mine:
        images = 2

        def batches(self, epoch):
            yield np.zeros((2, 6, 6, 3), np.uint8), np.zeros(2, int)

    from neocog.train.fit import fit

    model = nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(2)), (6, 6, 3), engine="reference")
    with pytest.raises(SettingError, match="batches of a Mine cannot be augmented"):
        fit(model, Mine(), augment="flip", verbose=0)
    dense = nc.Model(nc.Sequential(nc.Conv2d(2, 1)), (6, 6, 3), engine="reference")
    with pytest.raises(SettingError, match="pixel by pixel"):
        dense.fit(np.zeros((2, 6, 6, 3), np.uint8), np.zeros((2, 6, 6), int), augment="flip", verbose=0)


@pytest.mark.parametrize(
    "text",
    [
        "none",
        *(kind.word for kind in TRANSFORMS),
        "crop=2:border=zero",
        "jitter=0.1:hue=0.05",
        "flip:alternating",
        "flip=0.3:axis=vertical",
        "jitter:brightness=0.123456789012345",
    ],
)
def test_text_comes_back_as_it_was(text):
    assert as_text(parsed(text)) == text
    assert parsed(as_text(parsed(text))) == parsed(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("flop", "did you mean flip"),
        ("", "knows no ''"),
        ("flip,,crop", "knows no ''"),
        ("none,flip", "none stands alone"),
        ("crop=two", "padding of crop must be a whole number, got 'two'"),
        ("flip=x", "share of flip must be a number, got 'x'"),
        ("flip:side=1", "flip has no 'side'; it has share, alternating, axis"),
        ("flip:alternating=maybe", "true or false"),
        ("flip=2", "share must be a number from 0 to 1"),
        ("erase=nan", "share must be a number"),
        (",".join(["flip"] * 101), "at most 100"),
    ],
)
def test_text_that_means_nothing_is_told(text, told):
    with pytest.raises(SettingError) as raised:
        parsed(text)
    assert told in f"{raised.value.message} {raised.value.hint}"
