import os
import pickle

import numpy as np
import pytest

from neocog.data import room
from neocog.data.cifar import is_cifar_folder, read_cifar_folder
from neocog.errors import DataError, FormatError

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3072), np.uint8), rng.integers(0, 10, count).astype(np.uint8)


def binary(pixels, labels) -> bytes:
    return np.concatenate([labels[:, None], pixels], axis=1).tobytes()


def test_binary_batches_are_read_in_the_order_of_their_numbers(tmp_path):
    for number in (1, 2, 10):
        (tmp_path / f"data_batch_{number}.bin").write_bytes(binary(*rows(3, number)))
    (tmp_path / "test_batch.bin").write_bytes(binary(*rows(2, 99)))
    (tmp_path / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    assert is_cifar_folder(tmp_path)
    source = read_cifar_folder(tmp_path)
    assert len(source.train) == 9
    assert len(source.test) == 2
    assert source.train.class_names == NAMES
    pixels, labels = rows(3, 10)
    assert source.train.labels[6:].tolist() == labels.tolist()
    assert np.array_equal(source.train.array[6:], pixels.reshape(3, 3, 32, 32).transpose(0, 2, 3, 1))
    assert source.train.identifiers[8] == "train/8"


def test_python_batches_give_the_same_images_as_binary_ones(tmp_path, cifar_pickle):
    pixels, labels = rows(300)
    (tmp_path / "b").mkdir()
    (tmp_path / "p").mkdir()
    (tmp_path / "b/data_batch_1.bin").write_bytes(binary(pixels, labels))
    (tmp_path / "p/data_batch_1").write_bytes(cifar_pickle(pixels, labels.tolist()))
    meta = b"\x80\x02}(U\x0blabel_names](" + b"".join(b"U" + bytes([len(n)]) + n.encode() for n in NAMES) + b"eu."
    (tmp_path / "p/batches.meta").write_bytes(meta)
    assert is_cifar_folder(tmp_path / "p")
    first, second = read_cifar_folder(tmp_path / "b").train, read_cifar_folder(tmp_path / "p").train
    assert np.array_equal(first.array, second.array)
    assert first.labels.tolist() == second.labels.tolist()
    assert second.class_names == NAMES
    assert first.class_names == tuple("0123456789")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"rows of 3,073 bytes .* found 0 bytes"),
        (b"\x01" * 3072, "found 3,072 bytes = 0 rows and 3,072 bytes"),
        (b"\x01" * (2 * 3073 - 1), "found 6,145 bytes = 1 rows and 3,072 bytes"),
        (b"\x0a" * 3073, r"labels must be in 0\.\.9, got 10 in row 0"),
    ],
)
def test_damaged_binary_batches_tell_bytes_needed_and_found(tmp_path, data, message):
    (tmp_path / "data_batch_1.bin").write_bytes(data)
    with pytest.raises(FormatError, match=message) as caught:
        read_cifar_folder(tmp_path)
    assert "data_batch_1.bin" in caught.value.message


def test_damaged_python_batches_are_named(tmp_path, cifar_pickle):
    path = tmp_path / "data_batch_1"
    pixels, labels = rows(300)
    for data, message in (
        (b"", r"damaged or truncated \(0 bytes\)"),
        (cifar_pickle(pixels, labels.tolist())[:5000], r"damaged or truncated \(5,000 bytes\)"),
        (cifar_pickle(pixels, [1, 2]), r"2 labels need \(2, 3,072\) pixels = 6,144 bytes, found \(300, 3072\)"),
        (cifar_pickle(pixels, [11] * 300), r"labels must be in 0\.\.9, got 11"),
        (b"\x80\x02}.", "a dictionary with data and labels, found another value"),
        (b"\x80\x02].", "a dictionary with data and labels, found another value"),
        (b"\x80\x02}(U\x04data]U\x06labels]u.", r"are \(n, 3,072\) bytes, found another value"),
    ):
        path.write_bytes(data)
        with pytest.raises(FormatError, match=message) as caught:
            read_cifar_folder(tmp_path)
        assert "data_batch_1" in caught.value.message


def test_class_names_are_checked(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(binary(*rows(1)))
    (tmp_path / "batches.meta.txt").write_text("cat\ndog\n")
    with pytest.raises(FormatError, match=r"batches\.meta\.txt: 10 class names were needed, one a line, found 2"):
        read_cifar_folder(tmp_path)
    (tmp_path / "batches.meta.txt").write_text("cat\n" * 10)
    with pytest.raises(FormatError, match=r"batches\.meta\.txt: class names need to differ, got 'cat' more than once"):
        read_cifar_folder(tmp_path)


def test_other_folders_are_not_taken(tmp_path):
    assert not is_cifar_folder(tmp_path)
    with pytest.raises(FormatError, match="no CIFAR-10 batches"):
        read_cifar_folder(tmp_path)


@pytest.mark.data
def test_the_published_set_is_read(data_folder):
    source = read_cifar_folder(data_folder("cifar-10-batches-bin"))
    assert (len(source.train), len(source.test)) == (50_000, 1_000)
    assert source.train.class_names == NAMES
    assert source.train.labels[:5].tolist() == [6, 9, 9, 4, 1]
    assert (source.train.counts() == 5_000).all()
    mean = source.train.array.mean(axis=(0, 1, 2)) / 255
    assert np.abs(mean - [0.4914, 0.4822, 0.4465]).max() < 5e-5


@pytest.mark.parametrize("label", [2**63, 2**70, -(2**70), 10**4000], ids=lambda label: f"{label:x}"[:9])
def test_labels_of_any_number_of_digits_are_refused(tmp_path, label):
    batch = {"data": np.zeros((2, 3072), np.uint8), "labels": [1, label]}
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch, 2))
    with pytest.raises(FormatError, match=r"labels must be in 0|damaged|LONG4"):
        read_cifar_folder(tmp_path)


def test_shapes_of_any_number_of_digits_are_refused(tmp_path, cifar_pickle):
    data = cifar_pickle(rows(300)[0], [1] * 300)
    (tmp_path / "data_batch_1").write_bytes(data.replace(b"(K\x01M\x2c\x01M", b"(K\x01\x8a\x0a" + b"\x7f" * 10 + b"M"))
    with pytest.raises(FormatError, match="found an impossible shape and 921,600 bytes"):
        read_cifar_folder(tmp_path)


@pytest.mark.parametrize("name", ["data_batch_1.bin", "data_batch_1", "batches.meta", "batches.meta.txt"])
def test_what_is_no_file_is_refused_at_once(tmp_path, name, cifar_pickle):
    pixels, labels = rows(300)
    if name == "batches.meta":
        (tmp_path / "data_batch_1").write_bytes(cifar_pickle(pixels, labels.tolist()))
    elif name == "batches.meta.txt":
        (tmp_path / "data_batch_1.bin").write_bytes(binary(pixels, labels))
    os.mkfifo(tmp_path / name)
    with pytest.raises(FormatError, match=f"{name}: the file cannot be read: it is a fifo, not a file"):
        read_cifar_folder(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(FormatError, match=f"{name}: the file cannot be read: it is a device, not a file"):
        read_cifar_folder(tmp_path)


def test_files_with_holes_are_not_read(tmp_path, monkeypatch):
    for name, message in (
        ("data_batch_1.bin", r"found 1,099,511,627,776 bytes = .* rows and"),
        ("data_batch_2", r"data_batch_2: the file cannot be read: it holds 1,099,511,627,776 bytes"),
    ):
        monkeypatch.setattr(room, "available_memory", lambda: 1 << 60)
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(FormatError, match=message):
            read_cifar_folder(tmp_path)
        monkeypatch.undo()
        with pytest.raises(DataError, match=r"needs [\d,]+ bytes of memory, [\d,]+ are available"):
            read_cifar_folder(tmp_path)
        (tmp_path / name).unlink()
