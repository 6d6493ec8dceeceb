import shutil

import numpy as np
import pytest

from neocog.data.dataset import Subset
from neocog.data.sources import open_data, read_source
from neocog.errors import DataError, SettingError


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


def test_adding_a_file_moves_nobody(photos, save_image):
    before = {part: names(dataset) for part, dataset in open_data(photos).items()}
    save_image("photos/cat/new.png", 1000)
    after = {part: names(dataset) - {"cat/new.png"} for part, dataset in open_data(photos).items()}
    assert before == after


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
    with pytest.raises(DataError, match=r"note1\.txt: a file \(0 bytes\) of a kind that is not understood"):
        open_data(tmp_path / "note1.txt")
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(DataError) as caught:
        open_data(tmp_path / "photos.zip")
    assert caught.value.hint == "unpack it, and pass the folder"


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
