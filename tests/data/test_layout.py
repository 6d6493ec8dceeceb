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
    assert "seg_pred ignored: outside seg_test, seg_train" in source.notes


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
        (["signs/{0,1}/1.png", "Example_pictures/1.png"], "signs"),
        (["signs/{0,1}/1.png", "Sample images/1.png"], "signs"),
        (["signs/{0,1}/1.png", "readme_pics/1.png", "README/1.png"], "signs"),
        (["signs/{0,1}/1.png", "ExampleImages/1.png", "doc-figures/1.png"], "signs"),
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
        (["fold1/images/{a,b,c}/1.png", "fold2/images/{a,b,c}/1.png"], ["fold1/images", "fold2/images"]),
        (["color/{a,b,c}/1.png", "grayscale/{a,b,c,d}/1.png"], ["color", "grayscale"]),  # PlantVillage
        (["raw/{a,b}/1.png", "augmented images/{a,b}/1.png"], ["augmented images", "raw"]),
        (["2023-01/{a,b}/1.png", "2023-02-17/{a,b}/1.png"], ["2023-01", "2023-02-17"]),
        (["January/{a,b}/1.png", "Feb 2023/{a,b}/1.png"], ["Feb 2023", "January"]),
        (["Fold1/{a,b}/1.png", "fold-2/{a,b}/1.png"], ["Fold1", "fold-2"]),
        (["session A/{a,b}/1.png", "session B/{a,b}/1.png"], ["session A", "session B"]),
        (["data_part1/{a,b}/1.png", "data_part2/{a,b}/1.png"], ["data_part1", "data_part2"]),
        ([f"batch_{n}/{{a,b}}/1.png" for n in range(3)], ["batch_0", "batch_1", "batch_2"]),
        (["user1/{a,b}/1.png", "user2/{a,b}/1.png", "docs/1.png"], ["user1", "user2"]),
        (["Patient_007/{a,b}/1.png", "Patient_011/{a,b}/1.png"], ["Patient_007", "Patient_011"]),
        (["v1/{a,b}/1.png", "v2/{a,b}/1.png"], ["v1", "v2"]),
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
    assert refusal(root).message.startswith(
        f"{root}/train: only one class folder, train/photos, and it contains subfolders"
    )


def test_parts_that_do_not_belong_together_are_no_classes(tree):
    root = tree("old_train/{a,b}/1.png", "new_test/{c,d}/1.png")
    error = refusal(root)
    assert "named like parts" in error.message
    assert error.hint.startswith(f"did you mean {root}/new_test, or {root}/old_train?")


def test_a_table_one_folder_down_is_found(tree):
    root = tree("photos/{1,2}.png")
    (root / "photos/metadata.csv").write_text("file_name,label\n1.png,a\n2.png,b\n")
    error = refusal(root)
    assert "it contains a table of labels" in error.message
    assert error.hint == f"did you mean {root}/photos?"


# -- what stays allowed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "classes", "note"),
    [
        (["cat/{indoor,outdoor}/1.png", "dog/1.png"], ("cat", "dog"), "their subfolders (indoor, outdoor) are merged"),
        (["cat/deep/er/1.png", "dog/1.png"], ("cat", "dog"), None),
        (
            ["animals/{cat,dog}/1.png", "vehicles/{bus,car}/1.png"],
            ("animals", "vehicles"),
            "(bus, car, cat and 1 more)",
        ),
        ([f"{c}/{{front,back}}/1.png" for c in "abcdef"], tuple("abcdef"), "their subfolders (back, front) are merged"),
        (["cat/{train,test}/1.png", "dog/{train,test}/1.png"], ("cat", "dog"), "are not taken as parts"),
        (["ann/{a,b}/1.png", "bo/{a,b}/1.png"], ("ann", "bo"), "their subfolders (a, b) are merged"),
        (["cat/{a,b}/1.png", "2023/{a,b}/1.png"], ("2023", "cat"), "their subfolders (a, b) are merged"),
        (["dogs/{a,b}/1.png", "example cats/1.png"], ("dogs", "example cats"), "(a, b) are merged"),
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
    assert source.notes == ("train_images ignored: outside test, train",)


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (("healthy", "sick"), ("left", "right")),
        (("benign", "malignant"), ("100X", "200X", "40X")),  # BreakHis
        (("bottle", "cable"), ("bad", "good")),
        (("bus", "may"), ("2023", "2024")),
        (("user", "group"), ("a", "b")),  # without a number these may be anything
        (("mask1", "mask2"), ("a", "b")),
        (("cats 2", "dogs 2"), ("a", "b")),
    ],
)
def test_classes_with_subfolders_of_the_same_names_are_read_and_a_note_names_the_other_reading(tree, outer, inner):
    root = tree(*(f"{name}/{{{','.join(inner)}}}/1.png" for name in outer))
    source = read_image_folder(root)
    assert source.unsplit.class_names == tuple(sorted(outer))
    assert len(source.unsplit) == len(outer) * len(inner)
    assert source.notes == (
        f"the classes are {', '.join(sorted(outer))}; their subfolders ({', '.join(inner)}) are merged. "
        f"If the subfolders are the classes, use {root}/{min(outer)}",
    )


def test_such_classes_in_a_part_are_read_too(tree):
    root = tree(*(f"{part}/{name}/{{l,r}}/1.png" for part in ("train", "test") for name in ("healthy", "sick")))
    source = read_image_folder(root)
    assert source.train.class_names == ("healthy", "sick")
    assert source.notes == (
        "the classes are healthy, sick; their subfolders (l, r) are merged. If the subfolders are the "
        f"classes, put those in {root}/train/healthy directly into {root}/train",
    )


def test_a_folder_of_samples_is_named_in_plain_words(tree):
    error = refusal(tree("Dataset/{0,1}/1.png", "Examples/1.png"))
    assert error.message.endswith("root: Dataset contains subfolders of images (0, 1), Examples does not")
    error = refusal(tree("Dataset/{0,1}/1.png", "Examples/1.png", "docs/1.png"))
    assert error.message.endswith("root: Dataset contains subfolders of images (0, 1), Examples, docs do not")
