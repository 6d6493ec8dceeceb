import numpy as np
import pytest

from neocog.data.npz import read_npz
from neocog.errors import DataError, FormatError

X = np.random.default_rng(0).integers(0, 256, (6, 4, 5), np.uint8)
Y = np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return write


def test_parts_are_read(save):
    source = read_npz(save(x_train=X, y_train=Y[:, None], x_val=X[:2], y_val=Y[:2], x_test=X[:3] / 255, y_test=Y[:3]))
    assert [len(p) for p in (source.train, source.validation, source.test)] == [6, 2, 3]
    assert source.validation.class_names == ("0", "1", "2")  # as many as in training
    assert source.test.dtype == np.float32
    assert source.train.identifiers[2] == "train/2"
    assert source.name == "data"


def test_images_without_a_split_and_with_names_are_read(save):
    source = read_npz(save(x=X, y=Y, class_names=np.array(["a", "b", "ä"])))
    assert source.unsplit.class_names == ("a", "b", "ä")
    assert source.train is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": X}, "needs x_train and y_train, or x and y, found images"),
        ({"x_train": X, "y_test": Y}, "needs x_test, y_train, found x_train, y_test"),
        ({"x": X}, "needs y, found x"),
        ({"x": X, "y": Y[:3]}, r"x and y: images and labels need the same length, got 6 images and 3 labels"),
        ({"x": X, "y": Y / 1}, "x and y: labels need integers, got float64"),
        ({"x": X, "y": Y, "class_names": np.array(["a"])}, r"lie in 0\.\.0, got 1 for image 1"),
        ({"x": X, "y": Y, "class_names": np.arange(3)}, r"class_names needs text of shape \(classes,\), got int64"),
    ],
)
def test_arrays_that_do_not_fit_are_named(save, arrays, message):
    path = save(**arrays)
    with pytest.raises(DataError, match=message) as caught:
        read_npz(path)
    assert str(path) in caught.value.message


def test_objects_are_refused(save):
    with pytest.raises(FormatError, match="holds Python objects, only numbers and text are read"):
        read_npz(save(x=np.array([X[0], None], object), y=Y[:2]))


def test_damaged_files_are_named(save, tmp_path):
    path = save(x=X, y=Y)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match=f"found {len(data) // 2:,} bytes that begin with b'PK.*no index") as caught:
        read_npz(path)
    assert "truncated" in caught.value.hint
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="found 0 bytes that begin with b''"):
        read_npz(path)
    path.write_bytes(data[:100] + bytes(60) + data[160:])
    with pytest.raises(FormatError, match=f"the archive is damaged \\({len(data):,} bytes\\)"):
        read_npz(path)
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_npz(tmp_path / "gone.npz")


def test_labels_that_number_no_classes_are_refused(save):
    for labels in (np.arange(6) * 1_000_000, np.array([0, 1, 2, 3, 4, 160])):
        with pytest.raises(DataError, match=r"x and y|y: labels need to lie in 0\.\.159") as caught:
            read_npz(save(x=X, y=labels))
        assert "return_inverse=True" in caught.value.hint
