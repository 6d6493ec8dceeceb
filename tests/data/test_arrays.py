import numpy as np
import pytest

from neocog.data.arrays import ArrayDataset
from neocog.data.resize import ImageSize
from neocog.errors import DataError, SettingError

GREY = np.arange(2 * 5 * 6, dtype=np.uint8).reshape(2, 5, 6)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 5, 6), (5, 6, 1)),
        ((2, 5, 6, 3), (5, 6, 3)),
        ((2, 3, 5, 6), (5, 6, 3)),
        ((2, 1, 28, 28), (28, 28, 1)),
        ((2, 3, 3, 3), (3, 3, 3)),
        ((2, 3, 8, 4), (3, 8, 4)),  # both could be channels: the last one is
    ],
)
def test_layouts_are_recognised(shape, size):
    data = ArrayDataset(np.zeros(shape, np.uint8), [0, 1])
    assert data.native_size.shape == size
    assert data.channels == size[2]


def test_channels_first_is_turned_around():
    images = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    data = ArrayDataset(images, [0, 1], layout="NCHW")
    assert np.array_equal(data.array, images.transpose(0, 2, 3, 1))
    assert data.array.flags.c_contiguous
    assert ArrayDataset(np.zeros((2, 7, 4, 5), np.uint8), [0, 1], layout="NCHW").channels == 7


def test_bytes_are_served_as_they_are():
    data = ArrayDataset(GREY, [1, 0], ["a", "b"], prefix="test")
    assert data.images(np.array([1, 0, 1]), data.native_size)[:, :, :, 0].tolist() == GREY[[1, 0, 1]].tolist()
    assert data.identifiers[1] == "test/1"
    assert (data.classes, data.class_to_idx, data.targets) == (["a", "b"], {"a": 0, "b": 1}, [1, 0])
    assert data.counts().tolist() == [1, 1]
    assert data.labels.dtype == np.int64
    assert len(data) == 2


def test_another_size_goes_through_pillow_and_is_kept():
    data = ArrayDataset(GREY, [1, 0])
    size = ImageSize(10, 12, 3)
    everything = np.arange(2)
    assert not data.resident(everything, size)
    first = data.images(everything, size)
    assert first.shape == (2, 10, 12, 3)
    assert data.resident(everything, size)
    assert np.array_equal(data.images(everything, size), first)
    assert data.verify(size) == {}


def test_floats_stay_floats():
    data = ArrayDataset(np.linspace(0, 1, 2 * 4 * 4).reshape(2, 4, 4), [0, 1])
    assert data.dtype == np.float32
    assert data.images(np.array([0]), data.native_size).dtype == np.float32
    assert data.images(np.array([0]), ImageSize(3, 3, 1)).dtype == np.float32
    assert data.facts(0)[:3] == (4, 4, "float32 grey")
    free = ArrayDataset(np.full((1, 4, 4), -7.5), [0], limits=None)
    assert free.array.min() == -7.5


def test_digests_tell_pictures_apart():
    images = np.stack([GREY[0], GREY[1], GREY[0]])
    first = ArrayDataset(images, [0, 0, 1]).digests()
    assert first[0] == first[2] != first[1]
    assert all(len(digest) == 16 for digest in first)
    flat = ArrayDataset(images.reshape(3, 6, 5), [0, 0, 1]).digests()
    assert not set(first) & set(flat)


@pytest.mark.parametrize(
    ("images", "message", "hint"),
    [
        (np.zeros((2, 30), np.uint8), r"shape \(N, H, W, C\).* got \(2, 30\)", "reshape"),
        (np.zeros((0, 4, 4), np.uint8), r"at least one image.*\(0, 4, 4, 1\)", None),
        (np.zeros((2, 7, 5, 9), np.uint8), r"\(2, 7, 5, 9\) have no axis of 1, 3 or 4 channels", "layout="),
        (np.zeros((2, 4, 4), np.int64), r"uint8, or floating-point in \[0, 1\], got int64", "astype"),
        (np.array([[["a"]]]), "uint8, or floating-point", None),
        (np.full((2, 4, 4), 255.0), r"values in \[0, 1\], got 255 to 255", "divide by 255"),
        (np.full((2, 4, 4), -0.5), r"values in \[0, 1\], got -0.5 to -0.5", None),
    ],
)
def test_images_that_cannot_be_used_say_why(images, message, hint):
    with pytest.raises(DataError, match=message) as caught:
        ArrayDataset(images, [0, 1])
    if hint:
        assert hint in caught.value.hint


def test_the_first_image_that_is_not_finite_is_named():
    images = np.zeros((4, 2, 2))
    images[2, 0, 0], images[3, 1, 1] = np.nan, np.inf
    with pytest.raises(DataError, match="NaN or infinity in image 2 and 1 more"):
        ArrayDataset(images, [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("labels", "message", "hint"),
    [
        ([0, 1, 1], "same length, got 2 images and 3 labels", None),
        ([0.0, 1.0], "labels need integers, got float64", "np.unique"),
        (["a", "b"], "labels need integers, got <U1", "np.unique"),
        ([[1, 0], [0, 1]], r"shape \(N,\), got \(2, 2\)", "argmax"),
        (1, r"shape \(N,\), got \(\)", None),
        ([0, 2], r"be in 0\.\.1, got 2 for image 1", "count from 0"),
        ([-1, 0], r"be in 0\.\.1, got -1 for image 0", "count from 0"),
    ],
)
def test_labels_that_cannot_be_used_say_why(labels, message, hint):
    with pytest.raises(DataError, match=message) as caught:
        ArrayDataset(GREY, labels, ["a", "b"])
    if hint:
        assert hint in caught.value.hint


def test_labels_of_shape_n_by_1_are_taken_as_keras_serves_them():
    assert ArrayDataset(GREY, np.array([[0], [3]])).class_names == ("0", "1", "2", "3")


def test_class_names_must_differ():
    with pytest.raises(DataError, match="class names need to differ, got 'a' more than once"):
        ArrayDataset(GREY, [0, 1], ["a", "a"])


def test_impossible_conversions_are_not_blamed_on_an_image():
    data = ArrayDataset(np.zeros((2, 4, 4, 5), np.uint8), [0, 1], layout="NHWC")
    with pytest.raises(DataError, match="5 channels cannot become one of 3"):
        data.images(np.arange(2), ImageSize(4, 4, 3))
    with pytest.raises(SettingError, match="layout must be one of auto, NHWC, NCHW, got 'HWCN'"):
        ArrayDataset(GREY, [0, 1], layout="HWCN")


def test_images_without_arguments_are_all_of_them_as_they_are() -> None:
    pixels = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4, 1)
    assert (ArrayDataset(pixels, np.array([0, 1])).images() == pixels).all()


def test_labels_far_beyond_any_number_of_classes_are_refused() -> None:
    with pytest.raises(DataError, match=r"0\.\.9,999 where classes have no names, got 1,000,000"):
        ArrayDataset(GREY, [0, 1_000_000])


def test_class_names_by_the_hundred_thousand_are_counted_once() -> None:
    names = [str(number) for number in range(300_000)]
    assert len(ArrayDataset(GREY, [0, 299_999], names).class_names) == 300_000
    with pytest.raises(DataError, match=r"got '0', '1', '10', '100', '1000' and 299,995 others more than once"):
        ArrayDataset(GREY, [0, 1], names[:3] + names + names[3:])


@pytest.mark.parametrize(
    "label", [2**63, 2**64 - 1, 2**70, -(2**70), 10**5000, 2**62], ids=lambda label: f"{label:x}"[:9]
)
def test_labels_of_more_than_any_number_of_bits_are_refused(label) -> None:
    with pytest.raises(DataError, match=r"labels (need|must)"):
        ArrayDataset(GREY, [0, label])
    with pytest.raises(DataError, match=r"labels (need|must)"):
        ArrayDataset(GREY, [0, label], ["a", "b"])


def test_lists_that_make_no_array_are_refused() -> None:
    with pytest.raises(DataError, match="labels cannot become one array"):
        ArrayDataset(GREY, [[0], [1, 2]])
    with pytest.raises(DataError, match="images cannot become one array"):
        ArrayDataset([[[1]], [[1, 2]]], [0, 1])


def test_arrays_in_their_own_size_always_fit() -> None:
    data = ArrayDataset(GREY, [0, 1], memory_budget=0)
    assert data.fits(data.native_size)
    assert not data.fits(ImageSize(10, 10, 1))
