import os
import shutil

import numpy as np
import pytest
from PIL import Image

from neocog.data.dataset import Subset
from neocog.data.sources import open_data, read_source, split_source
from neocog.errors import DataError, FormatError, SettingError
from unprivileged import shared_folder, unprivileged


@pytest.fixture
def photos(tmp_path, save_image):
    for number in range(120):
        save_image(f"photos/{'cat' if number % 2 else 'dog'}/{number}.png", number)
    return tmp_path / "photos"


def names(dataset):
    return set(dataset.identifiers)


def test_digits_hold_out_a_fifth_for_the_test(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    splits = open_data("digits")
    assert splits.validation is None
    assert len(splits.train) + len(splits.test) == 1797
    assert len(splits.test) >= 0.15 * 1797
    assert [name for name, _ in splits.items()] == ["train", "test"]
    assert "split by content: 20% test, seed 0" in splits.source
    more = open_data("digits", validation_fraction=0.1)
    assert more.test.identifiers == splits.test.identifiers
    assert len(more.validation) > 100


def test_a_folder_of_that_name_comes_before_the_built_in_digits(photos, monkeypatch):
    photos.rename(photos.parent / "digits")
    monkeypatch.chdir(photos.parent)
    assert open_data("digits").class_names == ("cat", "dog")


def test_an_unsplit_folder_is_split_by_content(photos):
    seen = []
    splits = open_data(photos, progress=lambda done, total: seen.append((done, total)))
    parts = [names(dataset) for _, dataset in splits.items()]
    assert len(parts) == 3
    assert sum(map(len, parts)) == len(set().union(*parts)) == 120
    assert len(parts[0]) > 80
    assert seen[-1] == (120, 120)
    assert isinstance(splits.train, Subset)
    assert names(open_data(photos, seed=1).test) != parts[2]


def test_adding_a_file_moves_at_most_two(photos, save_image):
    before = {part: names(dataset) for part, dataset in open_data(photos).items()}
    save_image("photos/cat/new.png", 1000)
    after = {part: names(dataset) - {"cat/new.png"} for part, dataset in open_data(photos).items()}
    assert sum(len(before[part] - after[part]) for part in before) <= 2


def test_a_split_that_was_written_down_stays(photos, save_image):
    first = open_data(photos, seed=1)
    recorded = {name: part for part, dataset in first.items() for name in dataset.identifiers}
    save_image("photos/cat/new.png", 1000)
    again = split_source(read_source(photos), recorded=recorded)
    assert {part: names(dataset) - {"cat/new.png"} for part, dataset in again.items()} == {
        part: names(dataset) for part, dataset in first.items()
    }


def test_copies_stay_together(photos):
    for path in sorted(photos.glob("cat/*.png")):
        shutil.copy(path, path.with_name(f"copy-{path.name}"))
    splits = open_data(photos)
    for part in (splits.train, splits.validation, splits.test):
        for name in part.identifiers:
            if "copy-" in name:
                assert name.replace("copy-", "") in names(part)


def test_fractions_of_zero_keep_everything_for_training(photos):
    splits = open_data(photos, validation_fraction=0, test_fraction=0)
    assert len(splits.train) == 120
    assert splits.validation is splits.test is None


def test_parts_of_the_source_stay_and_validation_is_carved_only_if_asked_for(tmp_path, save_image):
    for number in range(60):
        save_image(f"train/{'ab'[number % 2]}/{number}.png", number)
    save_image("test/a/x.png", 100)
    plain = open_data(tmp_path)
    assert (len(plain.train), plain.validation, len(plain.test)) == (60, None, 1)
    carved = open_data(tmp_path, validation_fraction=0.3, test_fraction=0.5)
    assert len(carved.train) + len(carved.validation) == 60
    assert carved.test.identifiers == ["test/a/x.png"]
    assert "30% validation" in carved.source
    assert "test" not in carved.source


def test_a_source_with_nothing_but_train_is_split(tmp_path, save_image):
    for number in range(60):
        save_image(f"train/{'ab'[number % 2]}/{number}.png", number)
    splits = open_data(tmp_path)
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 60


def test_every_kind_is_recognised(tmp_path, save_image, cifar_pickle):
    x, y = np.zeros((20, 4, 4), np.uint8), np.arange(20) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert read_source(tmp_path / "a.npz").kind == "NumPy archive"
    save_image("pics/a.png")
    (tmp_path / "a.csv").write_text("path,label\npics/a.png,x\n")
    assert read_source(str(tmp_path / "a.csv")).kind == "table of files"
    (tmp_path / "pics/metadata.csv").write_text("file_name,label\na.png,x\n")
    assert read_source(tmp_path / "pics").kind == "table of files"
    save_image("folder/x/1.png")
    assert read_source(tmp_path / "folder").kind == "image folder"
    (tmp_path / "cifar").mkdir()
    (tmp_path / "cifar/data_batch_1.bin").write_bytes(bytes(3073))
    assert read_source(tmp_path / "cifar").kind == "CIFAR-10 (binary batches)"
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx/t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x01\x02")
    (tmp_path / "idx/t10k-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + b"\0\0\0\x01" * 3 + b"\x05")
    source = read_source(tmp_path / "idx")
    assert source.kind == "IDX (MNIST family)"
    with pytest.raises(DataError, match="training needs a train part, found only test"):
        open_data(tmp_path / "idx")


def test_nothing_there_suggests_a_near_name(photos):
    with pytest.raises(DataError, match="photo: there is no such file or folder") as caught:
        open_data(photos.parent / "photo")
    assert caught.value.hint == f"did you mean {photos}?"
    assert "class folders" in str(caught.value)
    with pytest.raises(DataError, match="there is no such file or folder"):
        open_data(photos.parent / "no" / "where")


def test_what_is_not_understood_is_listed(tmp_path):
    with pytest.raises(DataError, match="no labelled images found here") as caught:
        open_data(tmp_path)
    assert caught.value.details[0] == "found nothing"
    for number in range(10):
        (tmp_path / f"note{number}.txt").write_text("")
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError) as caught:
        open_data(tmp_path)
    assert caught.value.details[0].startswith("found a.csv, note0.txt")
    assert caught.value.details[0].endswith("and 4 more")
    assert caught.value.hint == f"did you mean {tmp_path / 'a.csv'}?"
    with pytest.raises(DataError, match=r"note1\.txt: a file \(0 bytes\) in a format that is not supported"):
        open_data(tmp_path / "note1.txt")
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(DataError) as caught:
        open_data(tmp_path / "photos.zip")
    assert caught.value.hint == "unpack it, and pass the folder"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("metadata.csv", "image_id,photographer\n001,ann\n", "columns 'image_id', 'photographer'"),
        ("metadata.csv", "file_name,text\n", "columns 'file_name', 'text'"),
        ("metadata.csv", "", "it is empty"),
        ("metadata.jsonl", '{"file_name": "cat/1.png", "text": "a cat"}\n', "columns 'file_name', 'text'"),
    ],
)
def test_a_metadata_table_that_labels_nothing_leaves_good_class_folders_alone(photos, name, text, reason):
    (photos / name).write_text(text)
    source = read_source(photos)
    assert (source.kind, len(source.unsplit)) == ("image folder", 120)
    assert source.notes == (f"{name} labels no images ({reason}), and is ignored",)


def test_such_a_table_in_a_part_is_ignored_too(tmp_path, save_image):
    for path in ("train/a/1.png", "train/b/1.png", "test/a/2.png"):
        save_image(path)
    (tmp_path / "train/metadata.csv").write_text("camera,date\nnikon,2024\n")
    source = read_source(tmp_path)
    assert (len(source.train), len(source.test)) == (2, 1)
    assert source.notes == ("train/metadata.csv labels no images (columns 'camera', 'date'), and is ignored",)


def test_without_class_folders_such_a_table_is_an_error(tmp_path, save_image):
    save_image("images/1.png")
    (tmp_path / "metadata.csv").write_text("image_id,category\n1,a\n")
    with pytest.raises(FormatError, match="needs a column path"):
        read_source(tmp_path)
    save_image("2.png")
    with pytest.raises(FormatError, match="needs a column path"):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", b"file_name,label\ncat/1.png,\xe4\n", r"line 2: not UTF-8 text \(byte 0xE4\)"),
        ("metadata.csv", b"\xef\xbb\xbffile_name;Label;\xe4\ncat/1.png;a;b\n", "line 1: not UTF-8 text"),
        ("metadata.csv", b"file_name,label,label\ncat/1.png,a,b\n", "two columns are called 'label'"),
        ("metadata.csv", "file_name,label\ncat/1.png,a\n".encode("utf-16")[:-1], "not UTF-16 text"),
        ("metadata.csv", b"file_name,label\n", "the table has no rows"),
        ("metadata.jsonl", b'[{"file_name": "cat/1.png", "label": 1}]', "expected a JSON object"),
        ("metadata.jsonl", b'{"file_name": "cat/1.png", "label": 1\n', "not valid JSON"),
    ],
)
def test_a_damaged_table_whose_first_line_has_both_columns_is_an_error_beside_class_folders(
    photos, name, content, message
):
    (photos / name).write_bytes(content)
    with pytest.raises(FormatError, match=message):
        read_source(photos)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("metadata.csv", b"image_id,photographer,licence\n001,J\xf6rg,CC0\n", "line 2: not UTF-8 text (byte 0xF6)"),
        ("metadata.csv", b"PK\3\4" + bytes(40), "this is a workbook or an archive, not text"),
        ("metadata.csv", b"\xd0\xcf\x11\xe0" + bytes(range(256)), "line 1: not UTF-8 text (byte 0xD0)"),
        ("metadata.csv", b'"image_id\n', "line 1: not valid CSV: a quote is not closed"),
        ("metadata.jsonl", b'[{"id": 1}, {"id": 2}]', 'line 1: expected a JSON object, got [{"id": 1}, {"id": 2}]'),
        ("metadata.jsonl", b'[\n{"id": 1}\n]', "line 1: not valid JSON: Expecting value: line 2 column 1 (char 2)"),
    ],
)
def test_a_foreign_table_that_cannot_be_read_leaves_good_class_folders_alone(photos, name, content, reason):
    (photos / name).write_bytes(content)
    source = read_source(photos)
    assert (source.kind, len(source.unsplit)) == ("image folder", 120)
    assert source.notes == (f"{name} cannot be read as a table of labels ({reason}), and is ignored",)


def test_a_foreign_table_that_cannot_be_read_is_an_error_without_class_folders(tmp_path, save_image):
    save_image("1.png")
    (tmp_path / "metadata.csv").write_bytes(b"image_id,photographer\n001,J\xf6rg\n")
    with pytest.raises(FormatError, match=r"metadata\.csv, line 2: not UTF-8 text"):
        read_source(tmp_path)


def test_a_foreign_table_that_may_not_be_read_is_an_error_as_it_may_be_the_labels():
    with shared_folder() as folder:
        for path in ("a/1.png", "b/1.png"):
            (folder / path).parent.mkdir()
            Image.new("RGB", (4, 4)).save(folder / path)
        (folder / "metadata.csv").write_text("camera,date\n")
        (folder / "metadata.csv").chmod(0)
        told = unprivileged(lambda: str(read_source(folder).notes))
    assert told == f"FormatError: {folder}/metadata.csv: the file cannot be read: Permission denied"


@pytest.mark.parametrize("content", [b"image_id,licence\n1,CC0\n", b"", b"image_id\n\xe4\n", bytes(range(256))])
@pytest.mark.parametrize("folders", [True, False])
def test_a_foreign_table_does_not_hide_one_that_labels(tmp_path, save_image, content, folders):
    for path in ("a/1.png", "b/2.png") if folders else ("1.png", "2.png"):
        save_image(path)
    paths = ("a/1.png", "b/2.png") if folders else ("1.png", "2.png")
    (tmp_path / "metadata.csv").write_bytes(content)
    rows = [f'{{"file_name": "{path}", "label": "{label}"}}\n' for path, label in zip(paths, "xy", strict=True)]
    (tmp_path / "metadata.jsonl").write_text("".join(rows))
    source = read_source(tmp_path)
    assert (source.kind, source.unsplit.class_names) == ("table of files", ("x", "y"))
    assert source.unsplit.identifiers == list(paths)
    assert len(source.notes) == 1
    assert source.notes[0].startswith("metadata.csv ")
    assert source.notes[0].endswith(", and is ignored")


def test_of_two_tables_that_label_the_first_is_read_and_a_note_names_the_other(tmp_path, save_image):
    save_image("1.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\n1.png,a\n")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "1.png", "label": "b"}\n')
    source = read_source(tmp_path)
    assert source.unsplit.class_names == ("a",)
    assert source.notes == ("metadata.jsonl is not needed beside metadata.csv, and is ignored",)


def test_one_class_beside_loose_images_hints_at_the_parent(photos, save_image, monkeypatch):
    save_image("photos/dog/stray/1.png")
    source = read_source(photos / "dog")
    assert source.notes[0] == f"did you mean {photos}? Its folders would be the classes"
    assert "images must be in a class folder" in source.notes[1]
    monkeypatch.chdir(photos / "dog")
    assert read_source(".").notes[0] == source.notes[0]
    shutil.rmtree(photos / "cat")
    assert not any("did you mean" in note for note in read_source(photos / "dog").notes)


def test_a_fifo_called_metadata_is_not_waited_for(photos):
    os.mkfifo(photos / "metadata.csv")
    assert read_source(photos).kind == "image folder"


def test_the_home_folder_may_be_written_as_a_tilde(photos, monkeypatch):
    monkeypatch.setenv("HOME", str(photos.parent))
    assert len(read_source("~/photos").unsplit) == 120
    for location in ("~nosuch/x", "~/photo", "~nosuch"):
        with pytest.raises(DataError, match="there is no such file or folder"):
            read_source(location)


@pytest.mark.parametrize("location", ["a\0b", "\ud800", 5000 * "x", "x/" + 300 * "y"])
def test_names_that_no_file_can_have_are_told(location):
    with pytest.raises(DataError, match="no such file or folder"):
        read_source(location)


def test_what_was_meant_is_guessed_where_nothing_is_found(tmp_path, photos):
    def hint(location):
        with pytest.raises(DataError) as caught:
            read_source(location)
        return caught.value.hint

    assert hint(photos / "cat") == f"did you mean {photos}? Its folders would be the classes"
    shutil.copytree(photos / "cat", tmp_path / "only/cat")
    assert hint(tmp_path / "only/cat").startswith("put images into one folder per class")
    (tmp_path / "x/cifar-10-batches-bin").mkdir(parents=True)
    (tmp_path / "x/cifar-10-batches-bin/data_batch_1.bin").write_bytes(bytes(3073))
    assert hint(tmp_path / "x") == f"did you mean {tmp_path}/x/cifar-10-batches-bin?"
    (tmp_path / "labels.xlsx").write_bytes(b"PK")
    assert hint(tmp_path / "labels.xlsx") == "save it as CSV UTF-8, with the columns path and label"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a file or folder"):
        read_source(tmp_path / "pipe")


def test_a_folder_of_nothing_but_unread_pictures_says_so(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(DataError, match="no class folder with images") as caught:
        read_source(tmp_path)
    assert caught.value.details[0].startswith("1 picture left out, in formats that are not read (HEIC 1): a/1.heic")


def test_settings_are_checked_before_anything_is_read(tmp_path):
    with pytest.raises(SettingError, match="validation_fraction needs a number in"):
        open_data(tmp_path / "gone", validation_fraction=1.5)
    with pytest.raises(SettingError, match="seed needs"):
        open_data(tmp_path / "gone", seed=-1)


@pytest.mark.data
def test_public_sets_keep_their_parts(data_folder):
    mnist = open_data(data_folder("mnist"), validation_fraction=0.1)
    assert len(mnist.train) + len(mnist.validation) == 60_000
    assert abs(len(mnist.validation) - 6_000) < 6 * np.sqrt(60_000 * 0.1 * 0.9)
    assert len(mnist.test) == 10_000
    clothing = open_data(data_folder("clothing-small"))
    assert [len(dataset) for _, dataset in clothing.items()] == [3068, 341, 372]
