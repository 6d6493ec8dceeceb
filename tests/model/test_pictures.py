import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neocog.data.decode import decode_image
from neocog.data.resize import ImageSize
from neocog.errors import DataError, SettingError, ShapeError
from neocog.model.network import Network
from neocog.model.pictures import piece_size
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU

SIZE = ImageSize(6, 6, 1)


@pytest.fixture
def files(tmp_path) -> list[Path]:
    stream = np.random.default_rng(0)
    paths = []
    for n in range(5):
        path = tmp_path / f"{n}.png"
        Image.fromarray(stream.integers(0, 256, (9 + n, 13, 3), np.uint8)).save(path)
        paths.append(path)
    return paths


def decoded(files, resize="stretch"):
    return np.stack([decode_image(path, SIZE, resize) for path in files])


ASKED = ["predict", "predict_proba", "__call__", "features"]


@pytest.mark.parametrize("method", ASKED)
@pytest.mark.parametrize("resize", ["stretch", "crop", "pad"])
def test_pictures_are_read_as_files_are_everywhere(make_model, files, method, resize):
    model = make_model(resize=resize, mean=0.4, std=0.2)
    ask = getattr(model, method)
    want = ask(decoded(files, resize))
    assert (ask(files) == want).all()
    assert (ask([str(path) for path in files]) == want).all()
    assert (ask(tuple(path.read_bytes() for path in files)) == want).all()
    assert (ask(iter(files)) == want).all()
    assert (ask(np.array([str(path) for path in files])) == want).all()
    for one in (files[0], str(files[0]), files[0].read_bytes()):
        np.testing.assert_array_equal(ask(one), ask(decoded(files[:1], resize)))


def test_a_tilde_before_a_picture_is_the_home_folder(make_model, files, monkeypatch):
    monkeypatch.setenv("HOME", str(files[0].parent))
    model = make_model()
    assert (model(["~/0.png", Path("~/1.png")]) == model(files[:2])).all()


def test_peaks_of_pictures(make_model, files):
    model = make_model()
    assert (model.peaks(files)[0] == model.peaks(decoded(files))[0]).all()
    assert model.peaks(files[0])[0].shape == (1, 3)


def test_file_objects_and_bytes_of_every_kind_are_pictures(make_model, files):
    model = make_model()
    want = model(files)
    data = [path.read_bytes() for path in files]
    assert (model([io.BytesIO(one) for one in data]) == want).all()
    assert (model(list(map(bytearray, data))) == want).all()
    assert (model(tuple(map(memoryview, data))) == want).all()
    for make in (io.BytesIO, bytearray, memoryview):
        assert (model(make(data[0])) == want[:1]).all()
    opened = [path.open("rb") for path in files]
    assert (model(opened[0]) == want[:1]).all()
    assert (model(opened[1:]) == want[1:]).all()
    assert (model(path.open("rb") for path in files) == want).all()
    assert (model([files[0], data[1], io.BytesIO(data[2])]) == want[:3]).all()


def test_a_view_of_an_array_stays_an_array(make_model, toy):
    class InFile:
        def read(self):
            raise AssertionError("not asked for")

        def __array__(self, dtype=None, copy=None):
            return toy[0]

    model = make_model()
    assert (model(InFile()) == model(toy[0])).all()
    assert (model(memoryview(toy[0])) == model(toy[0])).all()


def test_the_same_open_image_many_times_is_read_by_one_thread(make_model, files):
    model = make_model()
    with Image.open(files[0]) as image:
        assert (model([image] * 20) == model(files[:1])).all()


def test_what_is_no_picture_is_told_with_a_way_on(make_model, files):
    model = make_model()
    for wrong, message in (
        ("https://a.b/c.jpg", r"^https://a\.b/c\.jpg: URLs are not loaded\n  hint: download it first"),
        (files[0].parent, r"Is a directory\n  hint: .*glob\.glob"),
        (str(files[0].parent / "*.png"), r"no such file\n  hint: if it is a pattern"),
        ("", "an empty text is no path"),
        (Image.new("RGB", (0, 5)), "at least 1 x 1 pixels was needed, got 5 x 0"),
        (files[0].open(encoding="utf-8"), r"its read\(\) gives no bytes"),
    ):
        with pytest.raises(DataError, match=message):
            model.predict(wrong)


def test_an_array_of_another_size_gets_the_hint_that_pictures_are_resized(make_model):
    model = make_model()
    for shape in ((9, 13, 3), (40, 9, 13, 1), (9, 13)):
        with pytest.raises(
            ShapeError, match=r"a path or a Pillow image is brought to the shape \(6, 6, 1\), an array is not"
        ):
            model.predict_proba(np.zeros(shape, np.uint8))
    with pytest.raises(ShapeError, match=r"pass a batch: images\[None\]"):
        model.predict_proba(np.zeros((6, 6), np.uint8))
    with pytest.raises(ShapeError, match=r"transpose\(0, 2, 3, 1\)"):
        model.predict_proba(np.zeros((5, 1, 6, 6), np.uint8))


def test_pillow_images_are_pictures(make_model, files):
    images = [Image.open(path) for path in files]
    model = make_model()
    assert (model.predict_proba(images) == model.predict_proba(files)).all()
    assert (model.predict_proba(images[0]) == model.predict_proba(files[0])).all()


def test_many_pictures_are_decoded_a_piece_at_a_time(make_model, files, monkeypatch):
    model = make_model()
    many = [files[n % 5] for n in range(model.images_at_once + 3)]
    want = model(decoded(files))
    asked = []
    predictor = model._ready_predictor()
    logits = predictor.logits
    monkeypatch.setattr(predictor, "logits", lambda x, *more: asked.append(len(x)) or logits(x, *more))
    assert (model(many) == want[[n % 5 for n in range(len(many))]]).all()
    assert asked == [model.images_at_once, 3]


def test_a_picture_that_cannot_be_read_is_named(make_model, files, tmp_path):
    model = make_model()
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"missing\.png: there is no such file"):
        model.predict([files[0], tmp_path / "missing.png"])
    with pytest.raises(DataError, match=r"bad\.png: not an image"):
        model.predict_proba(tmp_path / "bad.png")
    with pytest.raises(DataError, match="image 1: not an image"):
        model.predict([files[0].read_bytes(), b"no image"])
    with pytest.raises(DataError, match="images must be files or arrays of one image each, got 'list' at place 1"):
        model.predict([files[0], [[0, 255]]])


def test_networks_of_other_channels_than_pictures_have_say_so(files):
    model = Network(Sequential(Flatten(), Linear(2)), (6, 6, 2), engine="reference")
    with pytest.raises(SettingError, match="channels=2"):
        model.predict(files)


def test_arrays_in_lists_and_no_images_stay_what_they_were(make_model, toy):
    model = make_model()
    assert (model(list(toy[0])) == model(toy[0])).all()
    assert model(np.zeros((0, 6, 6, 1), np.uint8)).shape == (0, 2)
    with pytest.raises(ShapeError):
        model([])


def test_large_images_are_asked_in_smaller_pieces():
    small = trace(Sequential(Conv2d(32, 3), ReLU(), Flatten(), Linear(2)), (28, 28, 1))
    assert piece_size(small) == 256
    for side, pieces in ((96, 256), (224, 64), (512, 8), (2048, 1), (4095, 1)):
        net = Sequential(Conv2d(64 if side < 2048 else 16, 3, padding=1), MaxPool2d(side // 4), Flatten(), Linear(2))
        assert piece_size(trace(net, (side, side, 3))) == pieces


def test_a_picture_in_memory_without_a_file_is_read(make_model):
    file = io.BytesIO()
    Image.new("L", (6, 6), 128).save(file, "PNG")
    model = make_model()
    assert (model(file.getvalue()) == model(np.full((1, 6, 6, 1), 128, np.uint8))).all()
