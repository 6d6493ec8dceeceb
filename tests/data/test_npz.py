import io
import os
import struct
import zipfile

import numpy as np
import pytest

from neocog.data import npz, room
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


def test_a_tilde_is_the_home_folder(save, monkeypatch):
    monkeypatch.setenv("HOME", str(save(x=X, y=Y).parent))
    assert len(read_npz("~/data.npz").unsplit) == len(X)


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
        ({"x": X, "y": Y, "class_names": np.array(["a"])}, r"be in 0\.\.0, got 1 for image 1"),
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
        with pytest.raises(DataError, match=r"x and y|y: labels must be in 0\.\.159") as caught:
            read_npz(save(x=X, y=labels))
        assert "return_inverse=True" in caught.value.hint


def array(values) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as zipped:
        for name, data in members.items():
            zipped.writestr(name, data)
    return path


def test_members_without_an_ending_are_read_and_what_is_no_array_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    assert len(read_npz(archive(path, {"x": array(X), "y.npy": array(Y)})).unsplit) == 6
    for data in (b"", b"hello", b"\x93NUMPX\1\0"):
        with pytest.raises(FormatError, match=r"data\.npz, y: not a NumPy array: it begins with b'"):
            read_npz(archive(path, {"x.npy": array(X), "y": data}))
    with pytest.raises(FormatError, match=r"data\.npz, y: an array in version \(3, 0\)"):
        read_npz(archive(path, {"x.npy": array(X), "y": b"\x93NUMPY\3\0" + bytes(100)}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array(3), r"labels need the shape \(N,\), got \(\)"),
        (np.array([None] * 6), "holds Python objects"),
        (np.zeros(6, [("a", "<i4"), ("b", "u1")]), r"holds records \(\[\('a'.*only numbers and text"),
        (np.zeros(6, "V5"), r"holds records"),
        (np.array([2**63] * 6, np.uint64), "labels must be in"),
        (np.full(6, 2**70), "holds Python objects"),
        (Y * 1j, "labels need integers, got complex128"),
        (np.array(["2020-01-01"] * 6, "M8[D]"), "labels need integers, got datetime64"),
        (np.array([b"a"] * 6), "labels need integers, got |S1"),
    ],
)
def test_labels_of_every_other_kind_are_refused(save, values, message):
    with pytest.raises((DataError, FormatError), match=message):
        read_npz(save(x=X, y=values))


def test_arrays_that_end_early_or_late_are_told_with_their_bytes(tmp_path):
    path = tmp_path / "data.npz"
    for data, found in ((array(X)[:-1], "247"), (array(X) + b"x", "249")):
        message = rf"data\.npz, x: uint8 of shape \(6, 4, 5\) needs 248 bytes, found {found}"
        with pytest.raises(FormatError, match=message):
            read_npz(archive(path, {"x.npy": data, "y.npy": array(Y)}))


def test_encrypted_members_and_unknown_compression_have_their_own_words(save):
    path = save(x=X, y=Y)
    data = path.read_bytes()
    for offset, local, value, message in (
        (8, 6, 1, "data.npz, x: the array is encrypted"),
        (10, 8, 97, "data.npz, x: a kind of zip compression that is not supported"),
    ):
        changed = bytearray(data)
        place = changed.index(b"PK\1\2")
        changed[place + offset : place + offset + 2] = struct.pack("<H", value)
        place = changed.index(b"PK\3\4")
        changed[place + local : place + local + 2] = struct.pack("<H", value)
        path.write_bytes(changed)
        with pytest.raises(FormatError, match=message):
            read_npz(path)


def test_arrays_that_nobody_asked_for_are_not_unpacked(tmp_path):
    members = {"x.npy": array(X), "y.npy": array(Y), "huge.npy": bytes(50_000_000), "odd": b"no array"}
    source = read_npz(archive(tmp_path / "data.npz", members, zipfile.ZIP_DEFLATED))
    assert len(source.unsplit) == 6
    data = (tmp_path / "data.npz").read_bytes().replace(b"no array", b"no ARRAY")
    (tmp_path / "data.npz").write_bytes(data)  # its checksum is wrong now
    assert len(read_npz(tmp_path / "data.npz").unsplit) == 6


def test_a_zip_bomb_is_refused_before_it_is_unpacked(save, monkeypatch):
    monkeypatch.setattr(room, "_UNSUSPECTED", 1 << 20)
    monkeypatch.setattr(npz.npy, "read_array", None)  # nothing may be read
    path = save()
    np.savez_compressed(path, x=np.zeros((3000, 28, 28), np.uint8), y=np.zeros(3000, int))
    with pytest.raises(DataError, match=r"data\.npz: [\d,]+ bytes would unpack to 2,376,256, \d+ times as many"):
        read_npz(path)


def test_what_memory_cannot_hold_is_refused_before_it_is_unpacked(save, monkeypatch):
    path = save(x=X, y=Y)
    monkeypatch.setattr(npz.npy, "read_array", None)
    monkeypatch.setattr(room, "_UNSUSPECTED", 100)
    monkeypatch.setattr(room, "available_memory", lambda: 1000)
    with pytest.raises(DataError, match=r"needs [\d,]+ bytes of memory, 1,000 are available"):
        read_npz(path)


def test_a_sparse_archive_of_a_terabyte_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    with path.open("wb") as file:
        file.write(b"PK\3\4")
        file.truncate(1 << 40)
    with pytest.raises(FormatError, match=r"found 1,099,511,627,776 bytes that begin with .* and no index"):
        read_npz(path)


def test_a_header_of_an_array_that_unpacks_to_much_is_refused(tmp_path):
    header = b"\x93NUMPY\2\0" + struct.pack("<I", 1 << 26) + b" " * (1 << 26)
    path = archive(tmp_path / "data.npz", {"x.npy": header, "y.npy": array(Y)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(FormatError, match=r"the header of an array may have 10,000 bytes, found 67,108,864"):
        read_npz(path)


def test_an_index_of_a_million_members_is_refused(save, monkeypatch):
    monkeypatch.setattr(npz, "_INDEX", 100)
    with pytest.raises(FormatError, match=r"the archive's index may have 100 bytes, found \d+"):
        read_npz(save(x=X, y=Y, z=Y))


def test_names_of_classes_without_end_are_refused(tmp_path):
    header = repr({"descr": "<U0", "fortran_order": False, "shape": (10**9,)}).encode()
    names = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header
    path = archive(tmp_path / "data.npz", {"x.npy": array(X), "y.npy": array(Y), "class_names.npy": names})
    with pytest.raises(DataError, match="class_names: at most 262,144 classes may have names, got 1,000,000,000"):
        read_npz(path)


def test_a_model_has_fewer_classes_than_names_that_are_refused(save):
    path = save(x=X, y=Y, class_names=np.arange(262_145).astype("U6"))
    with pytest.raises(DataError, match="class_names: at most 262,144 classes may have names, got 262,145"):
        read_npz(path)
    assert len(read_npz(save(x=X, y=Y, class_names=np.arange(262_144).astype("U6"))).unsplit.class_names) == 262_144


def test_names_of_classes_have_a_thousand_characters_at_most(save):
    assert read_npz(save(x=X, y=Y, class_names=np.array(["a", "b", "c" * 1000]))).unsplit.class_names[0] == "a"
    with pytest.raises(DataError, match="class_names: a name may have 1,000 characters at most, got 1,001"):
        read_npz(save(x=X, y=Y, class_names=np.array(["a", "b", "c" * 1001])))


def test_names_that_are_the_same_are_told_with_their_file(save):
    path = save(x=X, y=Y, class_names=np.array(["a", "b", "a"]))
    with pytest.raises(DataError) as caught:
        read_npz(path)
    assert caught.value.message == f"{path}, class_names: class names need to differ, got 'a' more than once"


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo.npz")
    (tmp_path / "device.npz").symlink_to("/dev/zero")
    for name, kind in (("fifo.npz", "fifo"), ("device.npz", "device")):
        with pytest.raises(FormatError, match=f"cannot be read: it is a {kind}, not a file"):
            read_npz(tmp_path / name)
    with pytest.raises(FormatError, match="cannot be read"):
        read_npz("a\0.npz")
    with pytest.raises(FormatError, match="cannot be read: Is a directory"):
        read_npz(tmp_path)


def test_want_of_memory_is_not_called_damage(save, monkeypatch):
    path = save(x=X, y=Y)

    def fail(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(npz.npy, "read_array", fail)
    with pytest.raises(MemoryError):
        read_npz(path)
