"""One picture, whatever holds it and whatever it comes with, gets the same bits; and there may be any number."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageOps

import neocog as nc
from neocog.errors import DataError, SettingError
from neocog.model.stream import AnswerStream

NET = nc.Sequential(
    *(nc.Conv2d(24, 3, padding=1), nc.BatchNorm2d(), nc.ReLU(), nc.Conv2d(24, 3, padding=1), nc.ReLU()),
    *(nc.MaxPool2d(2), nc.Flatten(), nc.Linear(3)),
)


@pytest.fixture(scope="module")
def models():
    """Networks for grey and for colour pictures, on the native engine."""
    return {channels: nc.Model(NET, (12, 12, channels), seed=1, mean=0.4, std=0.3) for channels in (1, 3)}


def _pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    return exif


KINDS = {
    "colour": ("PNG", Image.fromarray(_pixels(20, 31, 3)), {}),
    "of the network's size": ("PNG", Image.fromarray(_pixels(12, 12, 3)), {}),
    "turned by EXIF": ("JPEG", Image.fromarray(_pixels(20, 31, 3)), {"exif": _exif()}),
    "palette": ("GIF", Image.fromarray(_pixels(20, 31, 3)).quantize(16), {}),
    "grey": ("PNG", Image.fromarray(_pixels(20, 31)), {}),
    "two levels": ("PNG", Image.fromarray(_pixels(20, 31)).convert("1"), {}),
    "16 bits": ("PNG", Image.fromarray(_pixels(20, 31).astype(np.uint16) * 257 + 99), {}),
    "transparent": ("PNG", Image.fromarray(_pixels(20, 31, 4)), {}),
}


def _as_array(image: Image.Image) -> np.ndarray:
    """Return the pixels of an image, upright, as other libraries would hand them in."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        return (np.asarray(image) >> 8).astype(np.uint8)
    return np.asarray(
        image if image.mode in ("L", "RGB", "RGBA") else image.convert("L" if image.mode == "1" else "RGB")
    )


def forms_of(path):
    """Return one picture in every form in which it may be handed in."""
    content = path.read_bytes()
    loaded = Image.open(path)
    loaded.load()
    return {
        "path": path,
        "text": str(path),
        "bytes": content,
        "bytearray": bytearray(content),
        "memoryview": memoryview(content),
        "file object": io.BytesIO(content),
        "Pillow image": Image.open(path),
        "loaded Pillow image": loaded,
        "array": _as_array(Image.open(path)),
    }


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_pixels_get_the_same_bits_in_every_form_and_batch(models, tmp_path, kind, channels):
    form, image, settings = KINDS[kind]
    path = tmp_path / f"a.{form.lower()}"
    image.save(path, form, **settings)
    model = models[channels]
    want = model.predict_proba(path, batch_size=64)
    assert want.shape == (1, 3)
    others = [_pixels(9, 14, 3)] * 70
    for name, picture in forms_of(path).items():
        found = model.predict_proba([picture]) if name == "array" else model.predict_proba(picture)
        assert found.tobytes() == want.tobytes(), name
    for name, picture in forms_of(path).items():
        assert model.predict_proba([*others[:4], picture])[-1].tobytes() == want.tobytes(), name
    pictures = list(forms_of(path).values())
    many = model.predict_proba([*pictures, *others])  # more than the largest program takes
    assert all(row.tobytes() == want.tobytes() for row in many[: len(pictures)])
    for size in (1, 2, 64):
        pictures = list(forms_of(path).values())
        rows = list(model.stream([*pictures, *others[:3]], batch_size=size))
        assert all(row.tobytes() == want.tobytes() for row in rows[: len(pictures)])
        assert len(rows) == len(pictures) + 3


def test_whole_batches_of_arrays_get_the_same_bits_too(models):
    batch = _pixels(70, 12, 12, 3)
    whole = models[3].predict_proba(batch)
    assert whole.tobytes() == models[3].predict_proba(list(batch)).tobytes()
    assert whole.tobytes() == np.stack(list(models[3].stream(batch, batch_size=3))).tobytes()
    assert whole.tobytes() == np.concatenate([models[3].predict_proba(image[None]) for image in batch]).tobytes()


def test_whole_numbers_and_floats_may_be_mixed(models):
    whole, single = _pixels(12, 12, 3), _pixels(12, 12, 3).astype(np.float32) / 255
    pictures = [whole, single, single, whole, Image.fromarray(whole)]
    rows = models[3].predict_proba(pictures)
    streamed = np.stack(list(models[3].stream(pictures)))
    apart = [models[3].predict_proba(whole[None])[0], models[3].predict_proba(single[None])[0]]
    want = np.stack([apart[0], apart[1], apart[1], apart[0], apart[0]])
    assert rows.tobytes() == streamed.tobytes() == want.tobytes()


def test_names_and_answers_agree_with_the_stream(models):
    pictures = [_pixels(9, 14, 3), _pixels(12, 12, 3)]
    best = [int(row.argmax()) for row in models[3].stream(pictures)]
    assert models[3].predict(pictures).tolist() == best


# -- without end ------------------------------------------------------------------------------------------------------


def test_a_stream_without_end_is_read_as_far_as_needed(models):
    read = itertools.count()

    def frames():
        while True:
            next(read)
            yield _pixels(12, 12, 3)

    stream = models[3].stream(frames(), batch_size=4, workers=2)
    for _ in range(10):
        next(stream)
    stream.close()
    assert next(read) <= 12 + 4 + 4 * 2 + 1


def test_with_a_batch_of_one_each_is_answered_before_the_next_is_read(models):
    buffer, asked = np.zeros((12, 12, 3), np.uint8), []

    def frames():
        for value in (0, 80, 160):
            buffer[:] = value  # as cameras do
            asked.append(value)
            yield buffer

    found = []
    for row in models[3].stream(frames(), batch_size=1):
        found.append(row)
        assert len(asked) == len(found)
    want = models[3].predict_proba(np.stack([np.full((12, 12, 3), value, np.uint8) for value in (0, 80, 160)]))
    assert np.stack(found).tobytes() == want.tobytes()


def test_a_picture_that_cannot_be_read_is_due_in_its_turn(models, tmp_path):
    pictures = [_pixels(12, 12, 3), b"no image", tmp_path / "missing.png", _pixels(12, 12, 3), 3]
    for size in (1, 2, 64):
        found = list(models[3].stream(pictures, batch_size=size, on_error="return"))
        assert [isinstance(answer, DataError) for answer in found] == [False, True, True, False, True]
        assert found[1].message.startswith("image 1: not an image")
        assert "missing.png: there is no such file" in found[2].message
        assert found[4].message == "image 4: a picture was needed, got 'int'"
        stream = models[3].stream(pictures, batch_size=size)
        assert next(stream).tobytes() == found[0].tobytes()
        with pytest.raises(DataError, match="image 1: not an image"):
            next(stream)
    assert list(models[3].stream([])) == []


@pytest.mark.parametrize(
    ("pictures", "settings", "kind", "message"),
    [
        ("a.png", {}, DataError, "stream takes pictures one after another, got 'str'"),
        (b"a.png", {}, DataError, "got 'bytes'"),
        (3, {}, DataError, "got 'int'"),
        ([], {"batch_size": 0}, SettingError, "batch_size must be an integer of at least 1, got 0"),
        ([], {"workers": -1}, SettingError, "workers needs a whole number"),
        ([], {"on_error": "skip"}, SettingError, 'on_error must be "raise" or "return"'),
    ],
)
def test_misuse_is_refused_at_once(models, pictures, settings, kind, message):
    with pytest.raises(kind, match=message):
        models[3].stream(pictures, **settings)


def test_what_came_before_a_pause_is_answered_at_once():
    asked = []

    def items():
        for item in (1, 2, None, 3, None, None, 4):
            asked.append(item)
            yield item

    def decode(item):
        return np.full((1, 1, 1), item, np.float32)

    for workers in (0, 2):
        asked.clear()
        stream = AnswerStream(lambda x: x.reshape(-1, 1), decode, batch_size=10, workers=workers)
        batches = stream.batches(items())
        assert [int(answer[0]) for _, answer in next(batches)] == [1, 2]
        assert asked == [1, 2, None]
        assert [[item for item, _ in batch] for batch in batches] == [[3], [4]]


def test_many_that_cannot_be_read_do_not_pile_up():
    def decode(item):
        if item:
            raise DataError("no")
        return np.zeros((1, 1, 1), np.float32)

    stream = AnswerStream(lambda x: x.reshape(-1, 1), decode, batch_size=2, workers=0)
    batches = [[item for item, _ in batch] for batch in stream.batches([1, 1, 0, *[1] * 20, 0])]
    assert batches == [[1], [1], [0, *[1] * 7], *[[1]] * 13, [0]]
