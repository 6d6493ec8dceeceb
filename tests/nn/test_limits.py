"""What no network may be: too large for memory, or work without end; and numbers of any size are shown."""

import pytest

from neocog.errors import SettingError, ShapeError
from neocog.nn import limits
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Normalisation, trace
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.limits import shown
from neocog.nn.schedules import Step
from neocog.nn.window import WindowAxis

END = (Flatten(), Linear(2))
HUGE = 10**5000  # which Python refuses to write out


@pytest.mark.parametrize(
    "make",
    [
        lambda n: Conv2d(2, n),
        lambda n: Conv2d(2, (1, n)),
        lambda n: Conv2d(n, 3),
        lambda n: Conv2d(2, 3, stride=n),
        lambda n: Conv2d(2, 3, padding=(n, 0)),
        lambda n: Conv2d(2, 3, dilation=n),
        MaxPool2d,
        lambda n: AvgPool2d(2, stride=n),
        lambda n: MaxPool2d(2, padding=n),
        Linear,
        Dropout,
    ],
)
@pytest.mark.parametrize("number", [HUGE, 10**4000, 2**40, -HUGE], ids=["huge", "long", "large", "low"])
def test_settings_of_any_size_are_refused_in_a_line(make, number):
    with pytest.raises(SettingError) as caught:
        make(number)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("side", [HUGE, -HUGE, 65537, 0], ids=["huge", "low", "large", "none"])
def test_inputs_of_any_size_are_refused(side):
    for shape in ((side, 1, 1), (1, side, 1), (1, 1, side)):
        with pytest.raises(ShapeError, match="input_shape must hold numbers from 1 to 65536"):
            trace(Sequential(MaxPool2d(1), *END), shape)
    for shape in ((4096, 4097, 1), (65536, 65536, 1), (4096, 4096, 33)):
        with pytest.raises(ShapeError, match="input_shape must hold at most 16,777,216 pixels and 536,870,912 values"):
            trace(Sequential(MaxPool2d(1), *END), shape)


def test_inputs_that_are_no_whole_numbers_are_refused():
    for shape in (("a", 1, 1), (2.5, 2, 1), (float("inf"), 1, 1), (None, 1, 1)):
        with pytest.raises(ShapeError, match="input_shape must hold whole numbers"):
            trace(Sequential(*END), shape)


def test_large_images_are_possible():
    graph = trace(Sequential(Conv2d(32, 3, padding="same"), ReLU(), MaxPool2d(16), *END), (4096, 4096, 3))
    assert graph.classes == 2
    assert trace(Sequential(Conv2d(64, 3, stride=2), MaxPool2d(64), *END), (4096, 4096, 4)).output.features == 2
    assert trace(Sequential(MaxPool2d((256, 1)), *END), (65536, 256, 1)).output.features == 2


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ([Conv2d(64, 1)], (4096, 4096, 1), "gives 64 channels of 4096 x 4096 pixels, more than the 536,870,912 values"),
        ([Conv2d(1, 1, padding=65536, stride=65536)], (8, 8, 1), "padding included"),
        ([Conv2d(1, 2, padding="same", dilation=65536)], (8, 8, 1), "padding included"),
        ([MaxPool2d(60_000, padding=30_000)], (8, 8, 1), "padding included"),
        ([MaxPool2d(2048, stride=1)], (4096, 4096, 1), "looks at 17,609,370,107,904 values an image"),
        ([ReLU()] * 1001, (1, 1, 1), "at most 1,000 layers"),
        ([Conv2d(2**14, 1), Conv2d(2**17, 1)], (1, 1, 1), "at most 1,073,741,824 weights, got 2,147,909,634"),
    ],
)
def test_small_layers_that_need_very_much_are_refused_with_their_place(layers, shape, message):
    with pytest.raises(ShapeError, match=message):
        trace(Sequential(*layers, *END), shape)


def test_sequentials_that_nest_without_end_are_refused():
    net = Sequential(*END)
    for _ in range(5000):
        net = Sequential(net)
    with pytest.raises(SettingError, match="nested more than 32 deep"):
        trace(net, (2, 2, 1))


def test_a_schedule_of_very_many_or_infinite_drops_is_refused():
    with pytest.raises(SettingError, match="at most 1,000 positions"):
        Step(at=(0.5,) * 1001)
    with pytest.raises(SettingError, match="drop must be above 0 and finite"):
        Step(drop=float("inf"))


def test_anything_is_shown_shortened():
    holds_itself: list = []
    holds_itself.append(holds_itself)
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(holds_itself) == "[[...]]"
    assert shown(deep) == "a list"
    assert shown([HUGE]) == "a list"
    assert shown(-HUGE) == "an integer of 16,610 bits"
    assert len(shown("x" * 10**6)) == 200
    while deep:  # or its end would be as deep
        deep = deep.pop()


@pytest.mark.parametrize(
    "axis",
    [
        WindowAxis(7, 3, 1, 1, 1, 1),
        WindowAxis(7, 3, 2, 2, 3, 4),
        WindowAxis(5, 9, 3, 2, 8, 9),
        WindowAxis(1, 1, 1, 1, 0, 0),
    ],
)
def test_taps_inside_are_those_that_a_walk_counts(axis):
    walked = sum(
        0 <= o * axis.stride - axis.before + tap * axis.dilation < axis.input
        for o in range(axis.output)
        for tap in range(axis.kernel)
    )
    assert axis.taps_inside() == walked


def test_taps_of_a_very_long_kernel_are_counted_without_walking():
    axis = WindowAxis(65536, 65536, 1, 1, 32767, 32768)
    assert axis.taps_inside() == 65536 * 65536 - 2 * sum(range(32768)) - 32768


def test_limits_of_values_are_those_of_the_normalisation():
    assert Normalisation().value_limits == (-32.0, 32.0)
    assert Normalisation((0.0, 0.0), (1.0, 1.0)).is_identity
    assert Normalisation((0.5,), (0.25,)).value_limits == (-0.5 / 255, 2.0)
    assert Normalisation((-1.0,), (0.25,)).value_limits == (-1.0, 2.0)
    assert limits.memory_values(2, 3, 17) == 2 * 3 * 32
