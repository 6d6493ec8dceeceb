import pytest

from neocog.data.parts import SPLIT_NAMES, PartName, part_name


@pytest.mark.parametrize(("name", "part"), [*SPLIT_NAMES.items(), ("Train", "train"), ("VAL", "validation")])
def test_plain_names_are_parts(name, part):
    assert part_name(name) == (part, ())


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train_set", "train"),
        ("train-images", "train"),
        ("Training Data", "train"),
        ("TrainImages", "train"),
        ("trainset", "train"),
        ("images_train", "train"),
        ("testing_images", "test"),
        ("TESTSET", "test"),
        ("validationset", "validation"),
        ("valid_photos", "validation"),
    ],
)
def test_words_that_mean_nothing_change_nothing(name, part):
    assert part_name(name) == (part, ())


def test_other_words_are_kept():
    assert part_name("seg_train") == PartName("train", ("seg",))
    assert part_name("train2017") == PartName("train", ("2017",))
    assert part_name("asl_alphabet_test") == PartName("test", ("asl", "alphabet"))


@pytest.mark.parametrize(
    "name", ["", "terrain", "trainer", "strain", "contest", "developer", "data", "train_test", "猫"]
)
def test_other_names_are_no_parts(name):
    assert part_name(name) is None
