"""Zeros of a halo are left out, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten
from neocog.nn.losses import MeanSquaredError
from neocog.nn.optimizers import SGD
from neocog.plan.clip import choose_clips, saving_clips
from neocog.plan.loops import Axis, Clip, Split
from neocog.plan.ops.contraction import Contraction
from neocog.plan.planner import plan_program
from neocog.plan.program import Training
from neocog.target.processor import Target

WIDE = Target("x86_64-unknown-linux-gnu", "skylake-avx512", "", 16, 32, True)
ROWS, TAPS, INSIDE = Axis(9, tag="y"), Axis(3, tag="r"), Axis(64)


def test_only_clips_that_leave_something_out_are_kept() -> None:
    touching = Clip("y", "r", -1, 1, 1, 9)
    apart = Clip("y", "r", 0, 1, 1, 11)
    assert saving_clips([touching, apart], [ROWS], [TAPS, INSIDE]) == [touching]
    assert saving_clips([touching], [ROWS], [TAPS, Axis(8)]) == []  # too little work inside to pay for the loops


@given(st.integers(1, 9))
def test_a_clip_of_part_of_an_axis_needs_the_outermost_loop(parts: int) -> None:
    clip = Clip("y", "r", -1, 1, 1, 9)
    rows = Split((ROWS,), 0, parts)
    assert choose_clips([clip], rows, [TAPS, INSIDE]) == (clip,)
    behind = choose_clips([clip], rows, [Axis(5, tag="other"), TAPS, INSIDE])
    assert behind == ((clip,) if parts == 1 else ())


def test_padded_convolutions_and_full_gradients_are_clipped() -> None:
    graph = trace(Sequential(Conv2d(32, 3, padding=1), Conv2d(32, 3), Flatten()), (7, 7, 32))
    program = plan_program(graph, 8, WIDE, Training(MeanSquaredError(), SGD()), "direct")
    clipped = {
        stage.name: {clip.taps for clip in stage.clips}
        for stage in program.every_stage()
        if isinstance(stage, Contraction)
    }
    assert clipped["0:Conv2d forward"] == {"tap row", "tap column"}
    assert clipped["1:Conv2d forward"] == set()
    assert clipped["1:Conv2d input gradient"] == {"tap row", "tap column"}
