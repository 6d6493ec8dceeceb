"""The walk of a window, against a walk that is written out position by position."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neocog.errors import SettingError
from neocog.nn.window import WindowAxis, check_padding, check_pair, pair, resolve_window


def test_one_number_stands_for_both_axes():
    assert pair(3) == (3, 3)
    assert pair((1, 2)) == (1, 2)


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True, (1,), (1, 2, 3), (1, 0), (1, 2.0), None, [1, 2]])
def test_a_pair_that_is_none_is_refused_with_the_range(value):
    with pytest.raises(SettingError) as caught:
        check_pair("Conv2d", "kernel", value, 1)
    assert str(caught.value) == (
        f"Conv2d: kernel must be an integer of at least 1, or a pair of them, got {value!r}\n"
        "  hint: write kernel=(vertical, horizontal) for a rectangle"
    )


@pytest.mark.parametrize(
    "value", [((0, 1), 1), ((0, 1), (1,)), ((0, 1, 2), (0, 1)), ((0, (1, 1)), (0, 1)), ((0, -1), (0, 0))]
)
def test_padding_that_is_none_is_refused(value):
    with pytest.raises(SettingError, match="Conv2d: padding"):
        check_padding("Conv2d", value)


def test_padding_may_differ_from_side_to_side():
    for value in (0, (1, 2), ((0, 1), (2, 3)), "same"):
        check_padding("Conv2d", value)
    window = resolve_window(6, 7, kernel=3, stride=2, padding=((0, 1), (2, 3)))
    assert (window.vertical.before, window.vertical.after) == (0, 1)
    assert (window.horizontal.before, window.horizontal.after) == (2, 3)


axes = st.builds(
    WindowAxis,
    input=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    before=st.integers(0, 4),
    after=st.integers(0, 4),
)


@given(axes)
def test_output_counts_the_positions_at_which_the_window_fits(axis):
    padded = axis.before + axis.input + axis.after
    positions = [start for start in range(0, padded, axis.stride) if start + axis.reach <= padded]
    assert max(0, axis.output) == len(positions)


@given(axes)
def test_taps_inside_counts_the_taps_that_meet_the_image(axis):
    count = 0
    for output in range(max(0, axis.output)):
        for tap in range(axis.kernel):
            count += 0 <= output * axis.stride - axis.before + tap * axis.dilation < axis.input
    assert axis.taps_inside() == count


@given(st.integers(1, 30), st.integers(1, 7), st.integers(1, 4), st.integers(1, 3))
def test_same_keeps_a_whole_division_of_the_input_and_puts_the_odd_pixel_after(size, kernel, stride, dilation):
    window = resolve_window(size, 1, kernel=(kernel, 1), stride=(stride, 1), padding="same", dilation=(dilation, 1))
    axis = window.vertical
    assert axis.output == -(-size // stride)
    assert 0 <= axis.after - axis.before <= 1
    needed = (axis.output - 1) * stride + axis.reach - size
    assert axis.before + axis.after == max(0, needed)


def test_padding_is_the_same_on_both_ends():
    window = resolve_window(6, 8, kernel=3, stride=1, padding=(1, 2))
    assert (window.vertical.before, window.vertical.after) == (1, 1)
    assert (window.horizontal.before, window.horizontal.after) == (2, 2)
    assert window.cells == 9
