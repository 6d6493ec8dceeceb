"""Tables for some parts of a data set, beside parts that class folders label."""

import pytest

from neocog.data.sources import read_source
from neocog.errors import DataError


@pytest.fixture
def parts(tmp_path, save_image):
    for number, path in enumerate(("train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png")):
        save_image(path, number)
    return tmp_path


FOREIGN = "camera,date\nnikon,2024\n"


def test_a_part_with_a_foreign_table_is_read_by_its_class_folders_beside_one_with_labels(parts):
    (parts / "train/metadata.csv").write_text(FOREIGN)
    (parts / "test/metadata.csv").write_text("file_name,label\na/3.png,b\nb/4.png,a\n")
    source = read_source(parts)
    assert source.train.identifiers == ["train/a/1.png", "train/b/2.png"]
    assert source.test.identifiers == ["test/a/3.png", "test/b/4.png"]
    assert source.train.class_names == source.test.class_names == ("a", "b")
    assert source.train.labels.tolist() == [0, 1]
    assert source.test.labels.tolist() == [1, 0]  # as its table says
    assert source.notes == (
        "class folders label train; metadata tables label test",
        "train/metadata.csv labels no images (columns 'camera', 'date'), and is ignored",
    )


@pytest.mark.parametrize("foreign", [FOREIGN, None])
def test_it_may_be_the_training_part_that_has_the_labels(parts, foreign):
    (parts / "train/metadata.csv").write_text("file_name,label\na/1.png,b\nb/2.png,c\n")
    if foreign:
        (parts / "test/metadata.csv").write_text(foreign)
    source = read_source(parts)
    assert source.train.class_names == source.test.class_names == ("a", "b", "c")
    assert source.train.labels.tolist() == [1, 2]
    assert source.test.labels.tolist() == [0, 1]
    assert source.notes[0] == "class folders label test; metadata tables label train"
    assert len(source.notes) == 1 + bool(foreign)


def test_labels_that_are_no_class_folders_of_train_are_ignored_with_a_note(parts):
    (parts / "train/metadata.csv").write_text(FOREIGN)
    (parts / "test/metadata.csv").write_text("file_name,label\na/3.png,0\nb/4.png,1\n")
    source = read_source(parts)
    assert (len(source.train), len(source.test)) == (2, 2)
    assert source.train.class_names == ("a", "b")
    assert "test/metadata.csv has labels (0, 1) that are no class folders of train, and is ignored" in source.notes


def test_folders_that_are_other_classes_than_the_labels_of_train_are_no_part(parts):
    (parts / "train/metadata.csv").write_text("file_name,label\na/1.png,x\nb/2.png,y\n")
    source = read_source(parts)
    assert source.train.class_names == ("x", "y")
    assert source.test is None
    assert source.notes == ("test ignored: no table of labels there, unlike in train",)


@pytest.mark.parametrize("flat", [True, False])
def test_a_training_part_whose_folders_cannot_be_classes_is_refused_and_one_without_any_left_out(
    tmp_path, save_image, flat
):
    for path in ("train/1.png",) if flat else ("train/2023/a/1.png", "train/2023/b/1.png"):
        save_image(path)
        save_image(path.replace("2023", "2024"))
    save_image("test/1.png")
    (tmp_path / "test/metadata.csv").write_text("file_name,label\n1.png,a\n")
    if flat:
        source = read_source(tmp_path)
        assert source.train is None
        assert source.notes == ("train ignored: no table of labels there, unlike in test",)
    else:
        with pytest.raises(DataError, match="2023, 2024 hold folders of the same names"):
            read_source(tmp_path)
