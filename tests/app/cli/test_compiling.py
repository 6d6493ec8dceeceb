"""Compiling that takes a while is told of: moving on a terminal, once elsewhere, not at all when it is quick."""

from __future__ import annotations

import io

import numpy as np
import pytest

from neocog.app.cli import compiling
from neocog.app.cli.compiling import CLEAR_LINE, Display, told_of_compiling
from neocog.engines.base import Compiling, compiling_told_to
from neocog.engines.native import NativeEngine
from neocog.jit.cache import ObjectCache
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Flatten, Linear
from neocog.nn.parameters import initial_parameters


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def no_thread(monkeypatch):
    """Let tests draw, and nobody else."""
    monkeypatch.setattr(Display, "_draw_on", lambda _: None)


def moment(done: int) -> Compiling:
    return Compiling("training, batch 64", f"part {done}", done, 3)


def test_on_a_terminal_a_line_names_the_part_and_is_gone_in_the_end(no_thread) -> None:
    stream, clock = Terminal(), Clock()
    display = Display(stream, clock)
    display.hear(moment(0))
    clock.now = 0.4
    display.draw()
    assert stream.getvalue() == ""
    clock.now = 0.6
    display.hear(moment(1))
    display.draw()
    display.draw()
    first, second = stream.getvalue().split(CLEAR_LINE)[1:]
    assert first[1:] == second[1:] == " compiling training, batch 64: part 1 (2 of 3)"
    assert first[0] != second[0]
    display.hear(moment(3))
    display.draw()
    assert stream.getvalue().endswith(second + CLEAR_LINE)


def test_a_line_never_wraps(no_thread, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    stream, clock = Terminal(), Clock()
    display = Display(stream, clock)
    display.hear(moment(0))
    clock.now = 1.0
    display.draw()
    assert len(stream.getvalue().removeprefix(CLEAR_LINE)) == 19


def test_the_time_of_each_program_counts_for_itself(no_thread) -> None:
    stream, clock = Terminal(), Clock()
    display = Display(stream, clock)
    display.hear(moment(0))
    clock.now = 0.4
    display.hear(moment(3))
    display.hear(moment(0))
    clock.now = 0.8
    display.draw()
    assert stream.getvalue() == ""


def test_on_a_pipe_there_is_one_plain_line(no_thread) -> None:
    stream, clock = io.StringIO(), Clock()
    display = Display(stream, clock)
    for _ in range(2):
        display.hear(moment(0))
        clock.now += 1.0
        display.draw()
        display.draw()
        display.hear(moment(3))
    display.close()
    assert stream.getvalue() == "compiling the network for this processor …\n"


def test_a_closed_stream_stops_nothing(no_thread) -> None:
    stream, clock = Terminal(), Clock()
    display = Display(stream, clock)
    display.hear(moment(0))
    stream.close()
    clock.now = 1.0
    display.draw()
    display.close()


def test_the_line_moves_by_itself(monkeypatch) -> None:
    monkeypatch.setattr(compiling, "PATIENCE", 0.0)
    monkeypatch.setattr(compiling, "REFRESH", 0.001)
    stream = Terminal()
    monkeypatch.setattr(compiling.sys, "stderr", stream)
    with told_of_compiling():
        from neocog.engines import base

        listener = base.compile_listener()
        assert listener is not None
        listener(moment(0))
        while stream.getvalue().count("part 0") < 3:
            pass
    assert stream.getvalue().endswith(CLEAR_LINE)
    assert base.compile_listener() is None


def test_the_native_engine_tells_its_stages_by_name(tmp_path) -> None:
    graph = trace(Sequential(Flatten(), Linear(3)), (4, 4, 1))
    heard: list[Compiling] = []
    predictor = NativeEngine(cache=ObjectCache(tmp_path)).predictor(graph, initial_parameters(graph), 1)
    with compiling_told_to(heard.append):
        predictor.logits(np.zeros((1, 4, 4, 1), np.uint8))
        assert {now.program for now in heard} == {"prediction, batch 1"}
        assert heard[0].part in {scheduled.stage.name for scheduled in predictor._programs[1].executable.program.stages}
        assert heard[-1].done == heard[-1].total
        heard.clear()
        predictor.logits(np.zeros((1, 4, 4, 1), np.uint8))
        NativeEngine(cache=ObjectCache(tmp_path)).predictor(graph, initial_parameters(graph), 1)
    assert heard == []
