"""Folders as archives leave them: read as they are meant, or refused with the folder that is meant."""

import pytest

from neocog.data.folder import read_image_folder
from neocog.errors import DataError


@pytest.fixture
def tree(tmp_path, save_image):
    """Write an image at each path; return the root. "a/{b,c}/1.png" stands for two."""

    def write(*paths):
        number = 0
        for path in paths:
            start, brace, rest = path.partition("{")
            names, _, end = rest.partition("}")
            for name in names.split(",") if brace else [""]:
                number += 1
                save_image(f"root/{start}{name}{end}", number)
        return tmp_path / "root"

    return write


def refusal(root):
    with pytest.raises(DataError) as caught:
        read_image_folder(root)
    return caught.value


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train_set", "test_set"),
        ("train-images", "testing_images"),
        ("Training Data", "validation data"),
        ("seg_train", "seg_test"),
        ("train2017", "val2017"),
        ("training_set", "test"),
    ],
)
def test_names_that_hold_the_name_of_a_part_are_parts(tree, train, test):
    source = read_image_folder(tree(f"{train}/{{a,b}}/1.png", f"{test}/{{a,b}}/2.png"))
    assert source.train.identifiers == [f"{train}/a/1.png", f"{train}/b/1.png"]
    assert (source.test or source.validation).identifiers == [f"{test}/a/2.png", f"{test}/b/2.png"]
    assert source.notes[0].startswith(f"taken as parts: train is {train}, ")


@pytest.mark.parametrize("names", [("seg_train", "seg_test"), ("training_set", "test_set"), ("train", "test")])
def test_parts_with_a_doubled_folder_are_taken_one_down_and_a_note_says_so(tree, names):
    train, test = names
    source = read_image_folder(tree(f"{train}/{train}/{{a,b}}/1.png", f"{test}/{test}/{{a,b}}/2.png"))
    assert source.train.class_names == ("a", "b")
    assert source.test.identifiers == [f"{test}/{test}/a/2.png", f"{test}/{test}/b/2.png"]
    assert source.notes == (f"taken as parts: train is {train}/{train}, test is {test}/{test}",)


def test_unlabelled_images_beside_the_parts_are_ignored_with_a_note(tree):
    root = tree("seg_train/seg_train/{a,b}/1.png", "seg_test/seg_test/{a,b}/2.png", "seg_pred/seg_pred/3.png")
    source = read_image_folder(root)
    assert len(source.train) == len(source.test) == 2
    assert "seg_pred ignored: beside seg_test, seg_train" in source.notes


@pytest.mark.parametrize(
    ("paths", "meant"),
    [
        (["photos/{a,b}/1.png"], "photos"),  # photos.zip, unpacked into a folder photos
        (["x/y/z/{a,b}/1.png"], "x/y/z"),
        (["seg_train/seg_train/{a,b}/1.png"], "seg_train/seg_train"),
        (["dataset/train/{a,b}/1.png", "dataset/test/{a,b}/1.png"], "dataset"),  # a repository
        (["dataset/train/{a,b}/1.png", "dataset/test/{a,b}/1.png", "docs/figure.png"], "dataset"),
        (["dataset/train/{a,b}/1.png", "dataset/test/{a,b}/1.png", "test/fixtures/1.png"], "dataset"),
        (["deep/data/train/{a,b}/1.png", "deep/data/test/{a,b}/1.png", "docs/figure.png"], "deep/data"),
        (["Dataset/{0,1,2}/1.png", "Examples/1.png"], "Dataset"),  # sign language digits
        (["digits/{0,1}/1.png", "samples/1.png", "docs/1.png"], "digits"),
        (["images/{a,b}/1.png", "other/1.png"], "images"),
        (["asl_train/asl_train/{a,b}/1.png", "asl_test/asl_test/1.png"], "asl_train/asl_train"),
    ],
)
def test_one_folder_too_deep_is_refused_with_the_folder_that_is_meant(tree, paths, meant):
    root = tree(*paths)
    hint = refusal(root).hint
    assert hint.startswith(f"did you mean {root / meant}?")
    assert read_image_folder(root / meant).notes == ()


@pytest.mark.parametrize(
    ("paths", "meant"),
    [
        (["2023/{a,b}/1.png", "2024/{a,b}/1.png"], ["2023", "2024"]),
        ([f"{year}/{{a,b}}/1.png" for year in range(2019, 2024)], ["2019", "2020", "2021"]),
        (["amazon/images/{a,b,c}/1.png", "dslr/images/{a,b,c}/1.png"], ["amazon/images", "dslr/images"]),
        (["color/{a,b,c}/1.png", "gray/{a,b,c,d}/1.png"], ["color", "gray"]),
        ([f"batch_{n}/{{a,b}}/1.png" for n in range(3)], ["batch_0", "batch_1", "batch_2"]),
        (["ann/{a,b}/1.png", "bo/{a,b}/1.png", "docs/1.png"], ["ann", "bo"]),
    ],
)
def test_folders_of_the_same_names_in_each_folder_are_taken_for_the_classes_and_refused(tree, paths, meant):
    root = tree(*paths)
    error = refusal(root)
    assert "hold folders of the same names" in error.message
    assert error.hint.startswith(f"did you mean {', or '.join(str(root / folder) for folder in meant)}?")
    assert "metadata.csv (file_name,label)" in error.hint


def test_years_below_a_part_are_refused_too(tree):
    root = tree("train/2023/{a,b}/1.png", "train/2024/{a,b}/1.png", "test/a/2.png")
    error = refusal(root)
    assert error.message.startswith(f"{root}/train: 2023, 2024 hold folders of the same names (a, b)")
    assert error.hint == f"put the class folders, such as those in {root}/train/2023, directly into {root}/train"


def test_one_class_folder_below_each_part_is_refused(tree):
    root = tree("train/photos/{a,b}/1.png", "test/photos/{a,b}/1.png")
    assert refusal(root).message.startswith(f"{root}/train: only one class folder, train/photos, and it holds folders")


def test_parts_that_do_not_belong_together_are_no_classes(tree):
    root = tree("old_train/{a,b}/1.png", "new_test/{c,d}/1.png")
    error = refusal(root)
    assert "named like parts" in error.message
    assert error.hint.startswith(f"did you mean {root}/new_test, or {root}/old_train?")


def test_a_table_one_folder_down_is_found(tree):
    root = tree("photos/{1,2}.png")
    (root / "photos/metadata.csv").write_text("file_name,label\n1.png,a\n2.png,b\n")
    error = refusal(root)
    assert "a table of labels lies in it" in error.message
    assert error.hint == f"did you mean {root}/photos?"


# -- what stays allowed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "classes", "note"),
    [
        (["cat/{indoor,outdoor}/1.png", "dog/1.png"], ("cat", "dog"), "(indoor, outdoor) are not told apart"),
        (["cat/deep/er/1.png", "dog/1.png"], ("cat", "dog"), None),
        (
            ["animals/{cat,dog}/1.png", "vehicles/{bus,car}/1.png"],
            ("animals", "vehicles"),
            "(bus, car, cat and 1 more)",
        ),
        ([f"{c}/{{front,back}}/1.png" for c in "abcdef"], tuple("abcdef"), "(back, front) are not told apart"),
        (["cat/{train,test}/1.png", "dog/{train,test}/1.png"], ("cat", "dog"), "are not taken as parts"),
        (["car/1.png", "plane/1.png", "train/1.png"], ("car", "plane", "train"), None),
        (["samples/1.png", "controls/1.png"], ("controls", "samples"), None),
        (["test_station/1.png", "train_station/1.png"], ("test_station", "train_station"), None),
        (["cat/1.png"], ("cat",), None),
        (["train1/1.png", "train2/1.png"], ("train1", "train2"), None),
    ],
)
def test_classes_may_hold_folders_and_be_called_anything(tree, paths, classes, note):
    source = read_image_folder(tree(*paths))
    assert source.unsplit.class_names == classes
    assert len(source.notes) == (note is not None)
    assert note is None or note in source.notes[0]


def test_a_plain_name_of_a_part_wins_over_one_with_other_words(tree):
    source = read_image_folder(tree("train/{a,b}/1.png", "test/{a,b}/1.png", "train_images/{a,b}/1.png"))
    assert source.train.identifiers == ["train/a/1.png", "train/b/1.png"]
    assert source.notes == ("train_images ignored: beside test, train",)
