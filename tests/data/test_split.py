import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neocog.data.split import content_number, kept_parts, split_by_content
from neocog.errors import DataError, SettingError


def digests_of(numbers) -> list[bytes]:
    return [int(n).to_bytes(16, "little") for n in numbers]


def part_of(split, count) -> list[str]:
    parts = [""] * count
    for name in ("train", "validation", "test"):
        for index in getattr(split, name):
            assert parts[index] == ""
            parts[index] = name
    assert all(parts)
    return parts


contents = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=120)
fractions = st.tuples(st.sampled_from([0.0, 0.1, 0.3]), st.sampled_from([0.0, 0.1, 0.25, 0.5]))


@settings(deadline=None, max_examples=80)
@given(contents, fractions, st.integers(0, 5))
def test_equal_images_never_straddle_even_with_other_labels(images, share, seed):
    digests = digests_of(content for content, _ in images)
    labels = np.array([label for _, label in images])
    split = split_by_content(digests, labels, validation_fraction=share[0], test_fraction=share[1], seed=seed)
    side = {}
    for digest, part in zip(digests, part_of(split, len(images)), strict=True):
        assert side.setdefault(digest, part) == part


pure = st.lists(st.integers(0, 200), min_size=1, max_size=120, unique=True)


@settings(deadline=None, max_examples=80)
@given(pure, st.integers(201, 250), fractions, st.integers(0, 5))
def test_adding_an_image_moves_at_most_two_each_to_the_next_part(images, added, share, seed):
    def split(numbers):
        digests, labels = digests_of(numbers), np.array(numbers) % 3
        found = split_by_content(digests, labels, validation_fraction=share[0], test_fraction=share[1], seed=seed)
        return part_of(found, len(numbers))

    before, after = split(images), split([*images, added])
    moved = [(one, other) for one, other in zip(before, after, strict=False) if one != other]
    assert len(moved) <= 2
    if share[0] > 0 and sum(number % 3 == added % 3 for number in images) > 2:
        # with a validation part between, no test image is trained on later
        assert all("validation" in pair for pair in moved)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(20, 300), min_size=1, max_size=5), st.integers(0, 1000), st.sampled_from([0.1, 0.2, 0.5]))
def test_every_class_keeps_its_fraction_to_the_image(sizes, seed, fraction):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    split = split_by_content(digests_of(range(len(labels))), labels, test_fraction=fraction, seed=seed)
    for label, size in enumerate(sizes):
        assert abs(np.count_nonzero(labels[split.test] == label) - size * fraction) <= 0.5


def test_images_of_several_labels_are_divided_by_their_rarest():
    rows = np.zeros((100, 3), np.int64)
    rows[:, 0] = 1
    rows[:10, 1] = 1
    rows[95:] = 0  # without a label
    split = split_by_content(digests_of(range(100)), rows, test_fraction=0.2)
    assert rows[split.test].sum(axis=0).tolist() == [19, 2, 0]
    assert (rows[split.test].sum(axis=1) == 0).sum() == 1


def test_images_that_were_split_before_stay_where_they_were():
    names = [f"{number}.png" for number in range(10)]
    split = split_by_content(digests_of(range(10)), np.zeros(10, np.int64), test_fraction=0.3, validation_fraction=0.3)
    recorded = {"0.png": "test", "1.png": "train", "2.png": "validation", "gone.png": "test"}
    kept = part_of(kept_parts(split, digests_of(range(10)), names, recorded), 10)
    assert kept[:3] == ["test", "train", "validation"]
    assert kept[3:] == part_of(split, 10)[3:]


def test_copies_that_are_new_go_where_the_image_was():
    digests, names = digests_of([*range(10), *range(10)]), [f"{number}.png" for number in range(20)]
    split = split_by_content(digests, np.zeros(20, np.int64), test_fraction=0.3, validation_fraction=0.3)
    others = {"train": "test", "test": "validation", "validation": "train"}  # than the content alone would say
    recorded = {name: others[part] for name, part in zip(names[:10], part_of(split, 20), strict=False)}
    kept = part_of(kept_parts(split, digests, names, recorded), 20)
    assert kept == 2 * list(recorded.values())


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(3, 12), min_size=1, max_size=5), st.integers(0, 50))
def test_every_class_of_three_images_has_one_in_every_part(sizes, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    split = split_by_content(
        digests_of(range(len(labels))), labels, validation_fraction=0.1, test_fraction=0.1, seed=seed
    )
    for part in (split.train, split.validation, split.test):
        assert set(labels[part]) == set(range(len(sizes)))


@pytest.mark.parametrize("seed", range(20))
def test_parts_are_filled_in_the_order_train_test_validation(seed):
    one = split_by_content(digests_of([7]), np.array([0]), validation_fraction=0.4, test_fraction=0.4, seed=seed)
    assert part_of(one, 1) == ["train"]
    two = split_by_content(digests_of([7, 8]), np.array([0, 0]), validation_fraction=0.4, test_fraction=0.4, seed=seed)
    assert sorted(part_of(two, 2)) == ["test", "train"]


def test_copies_move_together():
    labels = np.zeros(6, np.int64)
    for seed in range(20):
        split = split_by_content(digests_of([1, 1, 1, 2, 2, 2]), labels, test_fraction=0.5, seed=seed)
        assert (len(split.train), len(split.test)) == (3, 3)


def test_a_larger_test_part_keeps_the_smaller_one():
    digests, labels = digests_of(range(500)), np.zeros(500, np.int64)
    small = split_by_content(digests, labels, test_fraction=0.1)
    large = split_by_content(digests, labels, test_fraction=0.3, validation_fraction=0.2)
    assert set(small.test) <= set(large.test)


def test_the_seed_decides_and_numbers_never_change():
    digests, labels = digests_of(range(100)), np.zeros(100, np.int64)
    first = split_by_content(digests, labels, test_fraction=0.5, seed=1)
    assert np.array_equal(first.test, split_by_content(digests, labels, test_fraction=0.5, seed=1).test)
    assert not np.array_equal(first.test, split_by_content(digests, labels, test_fraction=0.5, seed=2).test)
    # written down: another value here would move the users' images
    assert content_number(b"neocog", 0) == pytest.approx(NUMBER_OF_NEOCOG, abs=1e-15)
    assert content_number(b"neocog", np.int64(0)) == content_number(b"neocog", 0)


NUMBER_OF_NEOCOG = 0.4814282556692906


def test_no_fraction_takes_nothing():
    split = split_by_content(digests_of(range(5)), np.zeros(5, np.int64))
    assert (len(split.train), len(split.validation), len(split.test)) == (5, 0, 0)


def test_settings_are_checked():
    labels = np.zeros(2, np.int64)
    for wrong in (-0.1, 1.0, 2, float("nan")):
        with pytest.raises(SettingError, match=r"test_fraction needs a number in \[0, 1\), got"):
            split_by_content([b"a", b"b"], labels, test_fraction=wrong)
    with pytest.raises(SettingError, match=r"together need to stay below 1, got 0.5 \+ 0.5"):
        split_by_content([b"a", b"b"], labels, test_fraction=0.5, validation_fraction=0.5)
    for seed in (-1, 1 << 64, 0.5, True):
        with pytest.raises(SettingError, match="seed needs a whole number in"):
            split_by_content([b"a", b"b"], labels, test_fraction=0.5, seed=seed)
    with pytest.raises(DataError, match="got 1 digests and 2 labels"):
        split_by_content([b"a"], labels, test_fraction=0.5)
