"""Inverted residuals of one image in bands: the same bits as layer by layer, on any number of threads."""

from dataclasses import replace

import pytest

from conformance_cases import real_case
from conformance_checks import check_close_prediction
from neocog.engines.native import NativeEngine
from neocog.jit.host import host_target
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, Hardswish, Linear, MaxPool2d, ReLU, ReLU6
from neocog.nn.losses import CrossEntropy
from neocog.plan.ops.rolling import Rolling
from neocog.plan.planner import plan_program

CACHE = 1.2  # of the smallest expanded image, what the second-level cache holds


def inverted(expanded, *, kernel=3, stride=1, padding=1, dilation=1, channels=5, first=None):
    """Return expansion, depthwise convolution and projection."""
    depthwise = Conv2d(expanded, kernel, stride, padding, dilation, groups=expanded)
    return first or Conv2d(expanded, 1), ReLU6(), depthwise, Hardswish(), Conv2d(channels, 1)


SHAPE = (24, 20, 3)
NETS = {
    "stride 1": Sequential(*inverted(18)),
    "stride 2": Sequential(*inverted(40, stride=2)),
    "rows of 5": Sequential(*inverted(18, kernel=5, stride=2, padding=2)),
    "more zeros than rows in a band": Sequential(*inverted(33, kernel=7, padding=((9, 3), (3, 3)))),
    "padding above alone": Sequential(*inverted(18, padding=((2, 0), (1, 1)))),
    "padding below alone": Sequential(*inverted(18, padding=((0, 2), (0, 2)))),
    "rows left out": Sequential(*inverted(18, kernel=(2, 3), stride=2, padding=((0, 0), (1, 1)))),
    "dilation": Sequential(*inverted(18, padding=2, dilation=2)),
    "behind a stem": Sequential(*inverted(18, first=Conv2d(18, 3), padding=((3, 1), (1, 1)))),
    "residual": Sequential(Conv2d(5, 1), Residual(Sequential(*inverted(18))), Residual(Sequential(*inverted(20)))),
    "an odd row that a pooling drops": Sequential(*inverted(18, padding=((1, 2), (1, 1))), Conv2d(4, 1), MaxPool2d(2)),
    "a network": Sequential(  # of images as large as each other, however many lanes a vector has
        *inverted(36), *inverted(35, kernel=5, padding=2), ReLU(), *inverted(33, stride=2), Flatten(), Linear(3)
    ),
}
IN_BANDS = {"a network": 3, "residual": 2}
SHARES = {"more zeros than rows in a band": 1.95}


def tight(graph, share=CACHE):
    """Return an engine for a second-level cache that expanded images overflow."""
    lanes = host_target().round_up
    taken = [node.input for node in graph.nodes if isinstance(node.layer, Conv2d) and node.layer.groups > 1]
    return engine_with(int(share * min(4 * shape.height * shape.width * lanes(shape.channels) for shape in taken)))


def engine_with(level2):
    return NativeEngine(replace(host_target(), level2=level2), algorithm="direct")


def rolling(graph, engine):
    stages = plan_program(graph, 1, engine.target, algorithm="direct").every_stage()
    return [stage for stage in stages if isinstance(stage, Rolling)]


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("name", NETS)
def test_bands_give_the_bits_of_whole_layers_on_any_number_of_threads(name):
    graph = trace(NETS[name], SHAPE)
    case = real_case(graph, 1, 1, CrossEntropy())
    parameters, image = case.parameters, case.images
    whole, bands = engine_with(1 << 30), tight(graph, SHARES.get(name, CACHE))
    assert not rolling(graph, whole)
    assert len(rolling(graph, bands)) == IN_BANDS.get(name, 1)
    check_close_prediction(whole, case)
    want = whole.predictor(graph, parameters, 1).logits(image)
    for threads in (1, 2, 3, 7):
        predictor = bands.predictor(graph, parameters, threads)
        for _ in range(3):  # memory holds what the last image left
            assert predictor.logits(image).tobytes() == want.tobytes(), threads


def test_what_somebody_asks_for_or_takes_elsewhere_is_made_as_a_whole():
    graph = trace(NETS["stride 1"], SHAPE)
    engine = tight(graph)
    names = [node.name for node in graph.nodes]
    for output in names[:4]:
        program = plan_program(graph, 1, engine.target, algorithm="direct", outputs=[output, "logits"])
        assert not any(isinstance(stage, Rolling) for stage in program.every_stage()), output
    assert not rolling(trace(Sequential(*inverted(18)[:4], Conv2d(4, 3)), SHAPE), engine)
    assert not rolling(trace(Sequential(*inverted(18)[:4], Conv2d(4, 1), Conv2d(4, 3, padding=1)), SHAPE), engine)
    program = plan_program(graph, 8, engine.target, algorithm="direct")
    assert not any(isinstance(stage, Rolling) for stage in program.every_stage())
