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
        (b"}K\x07K\x01s.", "damaged"),  # a key that is a number
        (b"}K\x07\x85K\x01s.", "damaged"),  # a key that is a tuple
        (b"]p99999999999999999999\n.", "asks for the memo 99999999999999999999"),
        (b"]p-1\n.", "asks for the memo -1"),
        (b"L" + b"9" * 5000 + b"L\n.", "damaged"),
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


def test_keys_that_collide_are_refused_rather_than_compared():
    colliding = {(2**61 - 1) * number: None for number in range(1, 1000)}  # all have the same hash
    with pytest.raises(FormatError, match="damaged"):
        load_inert(pickle.dumps(colliding, 2), "bad")


def test_numbers_of_the_memo_are_no_larger_than_the_pickle():
    puts = b"".join(b"p%d\n" % ((2**61 - 1) * number) for number in range(1, 1000))
    with pytest.raises(FormatError, match="asks for the memo 2305843009213693951"):
        load_inert(b"]" + puts + b".", "bad")


def test_instructions_end_after_a_million():
    assert load_inert(b"]" + b"]a" * 300_000 + b".", "many")
    with pytest.raises(FormatError, match="asks for more than 1,000,000 instructions"):
        load_inert(b"]" * 1_000_001 + b".", "bad")


def test_one_text_does_not_become_bytes_again_and_again():
    text = b"X" + (100_000).to_bytes(4, "little") + b"a" * 100_000
    again = b"h\0h\1\x86R"  # encode(text, "latin1")
    start = b"c_codecs\nencode\nq\2" + text + b"q\0U\6latin1q\1"
    assert load_inert(start + b"h\2" + again + b".", "once") == b"a" * 100_000
    with pytest.raises(FormatError, match="asks for the same bytes many times"):
        load_inert(start + (b"h\2" + again) * 100 + b".", "bad")


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n)R"


def array_of(axes: int) -> bytes:
    state = b"(K\1(" + b"K\1" * axes + b"tcnumpy\ndtype\nU\x02u1\x85RI00\nU\1atb"
    return ARRAY + state + b"."


def test_an_array_has_eight_axes_at_most():
    assert load_inert(array_of(2), "sound").shape == (1, 1)
    assert load_inert(array_of(8), "many").shape == (1,) * 8
    with pytest.raises(FormatError, match="asks for an array of 9 axes"):
        load_inert(array_of(9), "bad")


def test_a_long_shape_is_refused_before_it_is_copied_for_the_first_of_many_times():
    state = b"(K\1(" + b"K\1" * 50_000 + b"tcnumpy\ndtype\nU\x02u1\x85RI00\nU\1atq\3"
    with pytest.raises(FormatError, match="asks for an array of 50,000 axes"):
        load_inert(state + ARRAY + b"h\3b" * 60_000 + b".", "bad")


def test_a_shape_is_a_tuple():
    for shape in (b"]K\1a", b"X\0\0\0\0", b"}", b"N"):
        state = b"(K\1" + shape + b"cnumpy\ndtype\nU\x02u1\x85RI00\nU\1atb"
        with pytest.raises(FormatError, match="damaged"):
            load_inert(ARRAY + state + b".", "bad")


@pytest.mark.parametrize("start", [b"}", b"}(", b"("])
@pytest.mark.parametrize("form", [b"X", b"T"])
def test_keys_are_short_since_equal_ones_are_compared_each_time(start, form):
    end = {b"}": b"s.", b"}(": b"u.", b"(": b"d."}[start]

    def pickled(length):
        return start + form + length.to_bytes(4, "little") + b"a" * length + b"N" + end

    assert load_inert(pickled(100), "short") == {"a" * 100: None}
    with pytest.raises(FormatError, match="asks for a key of 101 characters"):
        load_inert(pickled(101), "bad")


def test_a_value_may_be_asked_for_many_times_and_stays_one():
    value = load_inert(b"](q\0" + b"U\xff" + b"a" * 255 + b"q\1" + b"h\1" * 100_000 + b"e.", "often")
    assert len(value) == 100_001
    assert len({id(text) for text in value}) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"cos\n" + b"x" * 100_000 + b"\n.",
        b"c" + b"x" * 100_000 + b"\nname\n.",
        b"S" + b"x" * 100_000 + b"\n.",
        b"I" + b"x" * 100_000 + b"\n.",
        b"g" + b"x" * 100_000 + b"\n.",
    ],
)
def test_errors_show_little_of_a_pickle(data):
    with pytest.raises(FormatError) as caught:
        load_inert(data, "bad")
    assert len(str(caught.value)) < 600
    assert all(len(line) <= 200 for line in caught.value.details)


def test_nests_of_any_depth_are_values():
    value = load_inert(b"]" + b"\x85" * 100_000 + b".", "deep")
    assert isinstance(value, tuple)
    while value and isinstance(value, tuple):
        value = value[0]
    assert value == []


def test_want_of_memory_is_not_called_damage(monkeypatch):
    def fail(data):
        raise MemoryError

    monkeypatch.setattr("neocog.data.inert_machine.pickletools.genops", fail)
    with pytest.raises(MemoryError):
        load_inert(b".", "any")
