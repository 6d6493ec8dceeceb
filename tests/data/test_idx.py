import gzip
import os
import struct
import tracemalloc

import numpy as np
import pytest

from neocog.data import room
from neocog.data.idx import is_idx_folder, read_idx, read_idx_folder
from neocog.errors import DataError, FormatError


def idx(array) -> bytes:
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


IMAGES = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
LABELS = np.array([2, 0, 1, 1, 0])


@pytest.fixture
def folder(tmp_path):
    def write(template="{part}-{what}-idx{axes}-ubyte", parts=("train", "t10k"), packed=False):
        for part in parts:
            for what, axes, array in (("images", 3, IMAGES), ("labels", 1, LABELS)):
                data = idx(array)
                path = tmp_path / template.format(part=part, what=what, axes=axes)
                path.write_bytes(gzip.compress(data) if packed else data)
        return tmp_path

    return write


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("template", ["{part}-{what}-idx{axes}-ubyte", "{part}-{what}.idx{axes}-ubyte"])
def test_a_folder_is_read_in_every_spelling(folder, template, packed):
    root = folder(template + (".gz" if packed else ""), packed=packed)
    assert is_idx_folder(root)
    source = read_idx_folder(root)
    assert np.array_equal(source.train.array[:, :, :, 0], IMAGES)
    assert source.test.labels.tolist() == LABELS.tolist()
    assert source.train.class_names == ("0", "1", "2")
    assert source.test.identifiers[4] == "test/4"


def test_packed_and_unpacked_copies_are_one_file(folder):
    folder()
    root = folder("{part}-{what}-idx{axes}-ubyte.gz", packed=True)
    assert len(read_idx_folder(root).train) == 5
    folder("{part}-{what}.idx{axes}-ubyte")
    with pytest.raises(DataError, match=r"both .* and .* are there"):
        read_idx_folder(root)


def test_one_part_is_enough_and_names_may_be_given(folder):
    root = folder(parts=("test",))
    (root / "class_names.txt").write_text("shirt\nbag\n\ncoat\n")
    source = read_idx_folder(root)
    assert source.train is None
    assert source.test.class_names == ("shirt", "bag", "coat")
    (root / "class_names.txt").write_text("shirt\nbag\n")
    with pytest.raises(FormatError, match=r"class_names\.txt: 3 classes need as many lines, found 2"):
        read_idx_folder(root)
    (root / "class_names.txt").write_text("shirt\nbag\nbag\n")
    with pytest.raises(FormatError, match=r"class_names\.txt: class names need to differ, got 'bag' more than once"):
        read_idx_folder(root)
    (root / "class_names.txt").write_text("a\n" * 262_145)
    with pytest.raises(FormatError, match=r"class_names\.txt: at most 262,144 classes may have names, found 262,145"):
        read_idx_folder(root)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with the bytes 00 00 08 03, got an empty file"),
        (b"\x00\x00", "the IDX header needs 16 bytes, the file ends after 2"),
        (idx(LABELS), "begins with the bytes 00 00 08 03, got 00 00 08 01"),
        (b"<html>not found", "got 3c 68 74 6d"),
        (idx(IMAGES)[:10], "the IDX header needs 16 bytes, the file ends after 10"),
        (idx(IMAGES)[:-7], "5 x 4 x 3 values need 76 bytes, found 69"),
        (idx(IMAGES) + b"x", "5 x 4 x 3 values need 76 bytes, found more"),
        (b"\0\0\x08\x03" + b"\xff" * 12 + b"abc", "need .* bytes, found (19|at most 29,928 in 29 bytes of gzip)"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_damaged_files_tell_bytes_needed_and_found(tmp_path, data, message, packed):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(FormatError, match=message) as caught:
        read_idx(path, 3)
    assert str(path) in caught.value.message


def test_truncated_gzip_is_named(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    data = gzip.compress(idx(np.random.default_rng(0).integers(0, 256, (50, 8, 8))))
    path.write_bytes(data[:500])
    with pytest.raises(FormatError, match=r"gzip data is damaged or truncated \(500 bytes\)"):
        read_idx(path, 3)
    path.write_bytes(data[:300] + b"\0" * 200 + data[500:])
    with pytest.raises(FormatError, match=f"gzip data is damaged or truncated \\({len(data):,} bytes\\)"):
        read_idx(path, 3)


def test_files_that_do_not_fit_together(folder):
    root = folder(parts=("train",))
    (root / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:3]))
    with pytest.raises(FormatError, match="got 5 images and 3 labels"):
        read_idx_folder(root)
    (root / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="train-images-idx3-ubyte has no labels file beside it"):
        read_idx_folder(root)
    (root / "train-images-idx3-ubyte").write_bytes(idx(IMAGES[:0]))
    (root / "train-labels-idx1-ubyte").write_bytes(idx(LABELS[:0]))
    with pytest.raises(FormatError, match="holds no images"):
        read_idx_folder(root)
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_idx(root / "gone", 3)


def test_other_folders_are_not_taken(tmp_path):
    assert not is_idx_folder(tmp_path)
    with pytest.raises(DataError, match=r"no IDX files, such as train-images-idx3-ubyte\.gz"):
        read_idx_folder(tmp_path)


@pytest.mark.data
@pytest.mark.parametrize(("name", "first"), [("mnist", [5, 0, 4, 1, 9]), ("fashion-mnist", [9, 0, 0, 3, 0])])
def test_the_published_sets_are_read(data_folder, name, first):
    source = read_idx_folder(data_folder(name))
    assert (len(source.train), len(source.test)) == (60_000, 10_000)
    assert source.train.labels[:5].tolist() == first
    assert source.train.native_size.shape == (28, 28, 1)
    assert len(source.train.class_names) == 10


def test_a_gzip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    shape = (400_000, 28, 28)  # 313,600,000 bytes of nothing
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"\0\0\x08\x03" + struct.pack(">3I", *shape))
        for _ in range(400):
            file.write(bytes(784_000))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"[\d,]+ bytes would unpack to 313,600,000, \d+ times as many") as caught:
            read_idx(path, 3)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert "unpack it first" in caught.value.hint


def test_what_memory_cannot_hold_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "train-images-idx3-ubyte"
    with path.open("wb") as file:
        file.write(b"\0\0\x08\x03" + struct.pack(">3I", 1 << 20, 1 << 10, 1 << 10))
        file.truncate(16 + (1 << 40))
    with pytest.raises(DataError, match=r"needs [\d,]+ bytes of memory, [\d,]+ are available"):
        read_idx(path, 3)
    monkeypatch.setattr(room, "_UNSUSPECTED", 1000)
    monkeypatch.setattr(room, "available_memory", lambda: 10_000)
    path.write_bytes(idx(np.zeros((1000, 1, 1), np.uint8)))  # a thousand images are more than their pixels
    with pytest.raises(DataError, match=r"needs 161,000 bytes of memory, 10,000 are available"):
        read_idx(path, 3)


def test_a_sparse_file_with_a_short_header_is_not_read(tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    with path.open("wb") as file:
        file.write(idx(IMAGES))
        file.truncate(1 << 40)
    with pytest.raises(FormatError, match="need 76 bytes, found more"):
        read_idx(path, 3)


def test_what_is_no_file_is_refused_at_once(folder):
    root = folder()
    for name in ("train-images-idx3-ubyte", "class_names.txt"):
        (root / name).unlink(missing_ok=True)
        os.mkfifo(root / name)
        with pytest.raises(FormatError, match=f"{name}: the file cannot be read: it is a fifo, not a file"):
            read_idx_folder(root)
        (root / name).unlink()
        (root / name).symlink_to("/dev/zero")
        with pytest.raises(FormatError, match=f"{name}: the file cannot be read: it is a device, not a file"):
            read_idx_folder(root)
        (root / name).unlink()
        (root / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))


def test_class_names_without_end_are_not_read(folder):
    root = folder()
    (root / "class_names.txt").write_text("a\n" * 600_000)
    with pytest.raises(FormatError, match=r"class_names\.txt: the file cannot be read: it holds 1,200,000 bytes"):
        read_idx_folder(root)


def test_folders_called_like_the_file_in_them_are_passed_over(folder):
    root = folder("{part}-{what}.idx{axes}-ubyte")
    for name in ("train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (root / name).mkdir()  # as an archive of MNIST on Kaggle has them
    assert len(read_idx_folder(root).train) == 5
