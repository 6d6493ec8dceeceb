import os
import pickle

import numpy as np
import pytest

from neocog.data.inert_pickle import PickledArray, load_inert
from neocog.errors import FormatError


def test_a_batch_written_by_python_2_is_computed(cifar_pickle):
    pixels = np.random.default_rng(0).integers(0, 256, (300, 3072), np.uint8)
    labels = [i % 10 for i in range(300)]
    value = load_inert(cifar_pickle(pixels, labels), "batch")
    assert value["labels"] == labels
    assert value["batch_label"] == "training batch 1 of 5"
    assert value["filenames"][299] == "image_299.png"
    array = value["data"]
    assert isinstance(array, PickledArray)
    assert (array.shape, array.dtype, array.fortran) == ((300, 3072), "u1", False)
    assert array.data == pixels.tobytes()


def test_the_hand_written_batch_is_what_python_itself_reads(cifar_pickle):
    """The fixture is trusted because the real unpickler, here in the test, agrees with it."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 3072), np.uint8)
    value = pickle.loads(cifar_pickle(pixels, [1] * 300), encoding="latin1")
    assert np.array_equal(value["data"], pixels)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_plain_values_and_arrays_of_python_3_are_computed(protocol):
    plain = {
        "a": [1, -5, 70_000, 2**40, 1.5, None, True],
        "b": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
        "c": b"\xff",
    }
    assert load_inert(pickle.dumps(plain, protocol), "plain") == plain
    if protocol == 2:
        array = load_inert(pickle.dumps(np.arange(6, dtype=np.uint8).reshape(2, 3), protocol), "array")
        assert (array.shape, array.data) == ((2, 3), bytes(range(6)))


class Evil:
    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_asks_for_a_call_is_refused(protocol):
    with pytest.raises(FormatError, match="the pickle asks for") as caught:
        load_inert(pickle.dumps({"data": Evil()}, protocol), "evil")
    assert "binary version" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cos\nsystem\n.", "asks for os.system"),
        (b"cnumpy\nload\n.", "asks for numpy.load"),
        (b"c_codecs\nencode\n(U\x01aU\x03hext R.", "damaged"),
        (b"c_codecs\nencode\n(U\x01aU\x03hextR.", "asks for a call of _codecs.encode"),
        (b"cnumpy\nndarray\n)R.", "asks for a call of numpy.ndarray"),
        (b"Ptoken\n.", "asks for the instruction PERSID"),
        (b"(i__main__\nX\n.", "asks for the instruction INST"),
        (b"", r"damaged or truncated \(0 bytes\)"),
        (b".", "damaged"),
        (b"}", "damaged"),
        (b"K\x01K\x02a.", "damaged"),
        (b"}q\x01h\x09.", "damaged"),
        (b"}(((ttK\x01u.", "damaged"),
        (b"\x1f\x8b\x08\x00", "damaged"),
        (b"<html>", "damaged"),
    ],
)
def test_other_pickles_are_refused(data, message):
    with pytest.raises(FormatError, match=message) as caught:
        load_inert(data, "bad")
    assert caught.value.message.startswith("bad: ")


def test_truncation_anywhere_is_an_error(cifar_pickle):
    data = cifar_pickle(np.zeros((300, 3072), np.uint8), [0] * 300)
    for kept in (*range(0, 200, 3), *range(200, len(data), 50_000), len(data) - 1):
        with pytest.raises(FormatError):
            load_inert(data[:kept], "cut")
