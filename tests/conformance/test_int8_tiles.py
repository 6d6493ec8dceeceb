"""Int8 by tiles of bytes: the numbers of the oracle from packed weights and rows of tiles, by vectors, on any machine.

That tile registers are told the same is seen in tests/jit/test_tiles.py.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from emit_functions import targets
from int8_cases import PHOTOS, scales_of
from neocog.engines.native import NativeEngine, engine
from neocog.engines.reference import ReferenceEngine
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, LeakyReLU, Linear, MaxPool2d, ReLU
from neocog.nn.parameters import variables_of
from neocog.nn.scales import Scales
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.product import TileProduct
from neocog.plan.planner import plan_program
from neocog.plan.program import LOGITS, Program

GRAPH = trace(
    Sequential(
        *(Conv2d(40, 3, padding=1), ReLU(), Conv2d(33, 3, padding=1), LeakyReLU(0.1), MaxPool2d(2)),
        *(Residual(Sequential(Conv2d(33, 3, padding=1))), Conv2d(70, (3, 2), 2, ((2, 1), (0, 2)), 2), ReLU()),
        *(Conv2d(36, 1), ReLU(), Conv2d(36, 1, 2), ReLU(), MaxPool2d(3, 1, 1)),
        *(Flatten(), Linear(50), LeakyReLU(0.2), Linear(40), ReLU(), Linear(10)),
    ),
    (13, 12, 3),
    PHOTOS,
)
"""Values with and without a sign, channels that fill no tile and more than one, poolings, strides, holes in windows,
and fully connected layers behind images and behind each other."""
THOROUGH = os.environ.get("NEOCOG_TEST_PROFILE") == "thorough"


@cache
def case() -> tuple[dict[str, np.ndarray], Scales, np.ndarray, np.ndarray]:
    """Return parameters, scales, images, and what the oracle answers to them."""
    rng = np.random.default_rng(8)
    parameters = {v.name: (rng.normal(size=v.shape) * 0.3).astype(np.float32) for v in variables_of(GRAPH)}
    images = rng.integers(0, 256, (9, 13, 12, 3), dtype=np.uint8)
    scales = scales_of(GRAPH, parameters, images[:4])
    wanted = ReferenceEngine().int8_predictor(GRAPH, parameters, scales).logits(images)
    return parameters, scales, images, wanted


def planned(batch: int) -> Program:
    """Return the program for a processor with 16 lanes."""
    target = replace(targets()["host"], byte_tiles=True)
    return plan_program(GRAPH, batch, target, outputs=(LOGITS,), precision="int8")


@pytest.mark.parametrize("sides", targets() if THOROUGH else ["host"])
def test_the_numbers_are_those_of_the_oracle(sides: str) -> None:
    parameters, scales, images, wanted = case()
    target = replace(targets()[sides], byte_tiles=True)
    predictor = NativeEngine(target).int8_predictor(GRAPH, parameters, scales, 1)
    for count in (1, 9):
        assert (predictor.logits(images[:count]) == wanted[:count]).all()


def test_the_image_alone_stays_with_words() -> None:
    stages = list(planned(9).every_stage())
    assert [stage.factors for stage in stages if isinstance(stage, Contraction)] == ["signed bytes"]
    products = [stage.factors for stage in stages if isinstance(stage, TileProduct)]
    assert len(products) == 8
    assert set(products) == {"bytes", "signed bytes"}


def test_an_engine_plans_tiles_where_the_processor_has_them_and_no_target_is_given(monkeypatch) -> None:
    parameters, scales, _, _ = case()
    monkeypatch.setattr(engine, "with_tiles", lambda target: replace(target, byte_tiles=True))
    own, given = NativeEngine(), NativeEngine(targets()["host"])
    predictors = [each.int8_predictor(GRAPH, parameters, scales, 1) for each in (own, given)]
    assert [predictor._compiler.target.byte_tiles for predictor in predictors] == [True, False]
