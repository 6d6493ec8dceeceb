"""Images in Parquet files of Hugging Face's layout."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neocog.data import parquet, parquet_file
from neocog.data.batches import Batches
from neocog.data.parquet import ParquetDataset
from neocog.data.resize import ImageSize
from neocog.data.sources import open_data, read_source
from neocog.errors import DataError, FormatError, NeocogError
from shard_files import picture, write_parquet

pa = pytest.importorskip("pyarrow")
SIZE = ImageSize(6, 6, 3)


def test_what_datasets_writes_is_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["dog", "cat"])})
    for part, chosen in (("train", range(20)), ("test", range(20, 30))):
        rows = {"image": [Image.fromarray(pixels[i]) for i in chosen], "label": [i % 2 for i in chosen]}
        made = datasets.Dataset.from_dict(rows, features=features)
        path = tmp_path / f"photos/data/{part}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        made.to_parquet(str(path), batch_size=7)
    source = read_source(tmp_path / "photos")
    assert (source.name, source.kind) == ("photos", "Parquet (Hugging Face)")
    assert source.train is not None
    assert source.test is not None
    assert source.train.class_names == ("dog", "cat")
    assert source.train.labels.tolist() == [0, 1] * 10
    assert np.array_equal(source.train.images(), pixels[:20])
    assert np.array_equal(source.test.images(np.array([9, 0, 9])), pixels[[29, 20, 29]])
    assert source.test.identifiers[3] == "test-00000-of-00001.parquet/3"
    assert len(open_data(tmp_path / "photos", validation_fraction=0.2).train) == 16


def test_other_columns_are_found_and_labels_may_be_text(tmp_path: Path) -> None:
    images = [picture(number) for number in range(6)]
    path = write_parquet(tmp_path / "a.parquet", images, list("abcabc"), columns=("img", "class"))
    data = read_source(path).unsplit
    assert data is not None
    assert (data.class_names, data.labels.tolist()) == (("a", "b", "c"), [0, 1, 2, 0, 1, 2])
    write_parquet(path, images, [10, 9, 9, 9, 9, 10])
    data = read_source(path).unsplit
    assert data is not None
    assert (data.class_names, data.labels.tolist()) == (("9", "10"), [1, 0, 0, 0, 0, 1])
    write_parquet(path, images, [0, 1] * 3, ["x", "y"], columns=("picture", "fine_label"))
    data = read_source(path).unsplit
    assert data is not None
    assert data.class_names == ("x", "y")


def test_any_order_of_reading_gives_the_same_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "KEPT", 1)  # one row group at a time
    paths = [tmp_path / f"train-{number}.parquet" for number in range(2)]
    for number, path in enumerate(paths):
        write_parquet(path, [picture(20 * number + i) for i in range(20)], [i % 2 for i in range(20)], ["a", "b"], 3)
    first = read_source(tmp_path).train
    assert isinstance(first, ParquetDataset)
    whole = first.images(None, SIZE)
    alone = [x.copy() for x, _ in Batches(first, 8, SIZE, shuffle=True, seed=1)]
    again = read_source(tmp_path).train
    assert again is not None
    threads = [x.copy() for x, _ in Batches(again, 8, SIZE, shuffle=True, seed=1, workers=3)]
    assert all(np.array_equal(x, y) for x, y in zip(alone, threads, strict=True))
    assert np.array_equal(np.concatenate(alone), whole[Batches(first, 8, SIZE, shuffle=True, seed=1).order()])
    assert len(first._kept) == 1


def test_images_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [picture(0), b"no image", None, picture(3)], [0, 1, 0, 1])
    data = read_source(path).unsplit
    assert data is not None
    lost = data.verify(SIZE)
    assert list(lost) == [1, 2]
    assert f"{path}/1: not an image in a known format" in lost[1]
    assert lost[2] == f"{path}/2: there are no bytes of the image, only a path"


def test_a_part_without_labels_is_left_out(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", [picture(i) for i in range(4)], [0, 1, 0, 1], ["a", "b"])
    write_parquet(tmp_path / "test-0.parquet", [picture(9)], [-1], ["a", "b"])
    source = read_source(tmp_path)
    assert source.test is None
    assert source.notes == ("test ignored: its images have no labels",)


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    images = [picture(0), picture(1)]
    for labels, names, message in (
        ([0, 2], ["a", "b"], r"labels must be in 0\.\.1, got 0\.\.2"),
        ([0, None], None, "labels need whole numbers or text, and none may be missing"),
        ([0.5, 1.5], None, "labels need whole numbers or text"),
        ([0, 1], ["a", "a"], "two classes have the same name"),
        (["a", "b" * 300], None, "a label has 300 characters"),
    ):
        write_parquet(path, images, labels, names)
        with pytest.raises((DataError, FormatError), match=message):
            read_source(path)
    write_parquet(path, images, [0, 1], columns=("image", "caption"))
    with pytest.raises(FormatError, match="needs a column of labels: label, class, target"):
        read_source(path)
    pa.parquet.write_table(pa.table({"x": [1, 2]}), path)
    with pytest.raises(FormatError, match="needs a column of images, structs of bytes and path, found 'x'"):
        read_source(path)
    write_parquet(tmp_path / "two/a.parquet", images, [0, 1], ["a", "b"])
    write_parquet(tmp_path / "two/b.parquet", images, [0, 1], ["b", "a"])
    with pytest.raises(FormatError, match=r"its classes are not those of a\.parquet"):
        read_source(tmp_path / "two")


def test_damage_is_told(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [picture(i) for i in range(8)], [0, 1] * 4)
    content = path.read_bytes()
    for cut in (0, 3, 100, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(FormatError, match="the Parquet file is damaged or truncated"):
            read_source(path)
    path.write_bytes(b"x" * len(content))
    with pytest.raises(FormatError, match="damaged"):
        read_source(path)
    path.write_bytes(content)
    data = read_source(path).unsplit
    assert data is not None
    before = path.stat()
    path.write_bytes(content[:200] + bytes(byte ^ 0xFF for byte in content[200:600]) + content[600:])
    assert "the file was changed meanwhile" in data.verify(SIZE)[0]
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = ParquetDataset(tmp_path, [path], data.labels, ["0", "1"])
    assert "damaged" in again.verify(SIZE)[0]


def test_features_of_columns_that_are_not_there_do_not_count(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "a.parquet", [picture(0), picture(1)], [0, 1], ["a", "b"], columns=("image", "kind")
    )
    table = pa.parquet.read_table(path)
    pa.parquet.write_table(table.rename_columns(["image", "other"]), path)
    with pytest.raises(FormatError, match="needs a column of labels"):
        read_source(path)


def test_fewer_rows_than_told_are_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "a.parquet", [picture(i) for i in range(20)], [0, 1] * 10, rows=20)
    data = read_source(path).unsplit
    assert data is not None
    whole = pa.parquet.ParquetFile.iter_batches

    def fewer(self, *given, **named):
        batches = list(whole(self, *given, **named))
        return iter([*batches[:-1], batches[-1].slice(1)])

    monkeypatch.setattr(pa.parquet.ParquetFile, "iter_batches", fewer)
    with pytest.raises(DataError, match="damaged: 20 rows were expected, found 19"):
        data.images(np.array([19]), SIZE)
    with pytest.raises(FormatError, match="damaged: 20 rows were expected, found 19"):
        read_source(path)


def test_names_that_are_no_utf_8_are_damage(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [picture(0), picture(1)], ["dog", "cat"])
    path.write_bytes(path.read_bytes().replace(b"dog", b"d\xffg"))
    with pytest.raises(FormatError, match="damaged"):
        read_source(path)


def test_labels_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "MOST_LABELS", 1_000_000)
    path = write_parquet(tmp_path / "a.parquet", [None] * 9000, ["x" * 200] * 9000, rows=9000)
    assert path.stat().st_size < 100_000
    with pytest.raises(FormatError, match="the column 'label' has more than 1,000,000 bytes of labels"):
        read_source(path)


def test_row_groups_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "MOST_GROUP", 10_000)
    file = io.BytesIO()
    Image.fromarray(np.zeros((99, 99), np.uint8)).save(file, "BMP")
    path = write_parquet(tmp_path / "a.parquet", [file.getvalue()] * 40, [0, 1] * 20, rows=40)
    data = read_source(path).unsplit
    assert data is not None
    with pytest.raises(DataError, match=r"a\.parquet/3: row group 0 has more than 10,000 bytes of images"):
        data.images(np.array([3]), SIZE)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "a.parquet", [picture(0)], [0])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(NeocogError, match="Parquet files need pyarrow") as caught:
        read_source(path)
    assert caught.value.hint == "pip install 'neocog[parquet]'"
