"""Int8 by tiles of bytes: the numbers of the oracle from packed weights and rows of tiles, by vectors, on any machine.

That tile registers are told the same is seen in tests/jit/test_tiles.py.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from emit_functions import targets
from int8_cases import IN_TILES, tiles_case
from neocog.engines.native import NativeEngine, engine
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.product import TileProduct
from neocog.plan.planner import plan_program
from neocog.plan.program import LOGITS, Program

THOROUGH = os.environ.get("NEOCOG_TEST_PROFILE") == "thorough"


def planned(batch: int) -> Program:
    """Return the program for a processor with 16 lanes."""
    target = replace(targets()["host"], byte_tiles=True)
    return plan_program(IN_TILES, batch, target, outputs=(LOGITS,), precision="int8")


@pytest.mark.parametrize("sides", targets() if THOROUGH else ["host"])
def test_the_numbers_are_those_of_the_oracle(sides: str) -> None:
    parameters, scales, images, wanted = tiles_case()
    target = replace(targets()[sides], byte_tiles=True)
    predictor = NativeEngine(target).int8_predictor(IN_TILES, parameters, scales, 1)
    for count in (1, 9):
        assert (predictor.logits(images[:count]) == wanted[:count]).all()


def test_the_image_alone_stays_with_words() -> None:
    stages = list(planned(9).every_stage())
    assert [stage.factors for stage in stages if isinstance(stage, Contraction)] == ["signed bytes"]
    products = [stage.factors for stage in stages if isinstance(stage, TileProduct)]
    assert len(products) == 8
    assert set(products) == {"bytes", "signed bytes"}


def test_an_engine_plans_tiles_where_the_processor_has_them_and_no_target_is_given(monkeypatch) -> None:
    parameters, scales, _, _ = tiles_case()
    monkeypatch.setattr(engine, "with_tiles", lambda target: replace(target, byte_tiles=True))
    own, given = NativeEngine(), NativeEngine(targets()["host"])
    predictors = [each.int8_predictor(IN_TILES, parameters, scales, 1) for each in (own, given)]
    assert [predictor._compiler.target.byte_tiles for predictor in predictors] == [True, False]
