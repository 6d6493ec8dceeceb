"""The emitted mathematics is as exact as its docstrings say: float32 of all magnitudes, on every instruction set."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from llvmlite import ir

from emit_functions import applied, assembly, floats, targets
from neocog.emit import vector_math
from neocog.emit.builder import Builder, IrValue
from neocog.jit.host import make_target

TINY = 2.0**-126  # below it, float32 has fewer digits
ERF = np.vectorize(math.erf, otypes=[np.float64])
ERFC = np.vectorize(math.erfc, otypes=[np.float64])
RANGES = ((-20, 20), (-1, 1), (-90, 90), (0.3, 3))


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    """All magnitudes, and more of those where something happens."""
    dense = [np.linspace(low, high, 100_003, dtype=np.float32) for low, high in RANGES]
    return np.concatenate([floats(every=16384), *dense])


def ulps(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Return errors in units in the last place of what was wanted."""
    unit = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(want), TINY))) - 23)
    return np.abs(got - want) / unit


Case = tuple[Callable[[Builder, IrValue], IrValue], Callable[[np.ndarray], np.ndarray], Callable, float, float]
IN_ULP: dict[str, Case] = {
    "exp": (vector_math.exp, np.exp, lambda x: x > -86.98, 0.9, 1.2),
    "expm1": (vector_math.expm1_of_negative, np.expm1, lambda x: x <= 0, 1.0, 1.0),
    "log": (vector_math.log, np.log, lambda x: x >= 0, 0.9, 0.9),
    "sigmoid": (vector_math.sigmoid, lambda x: 1 / (1 + np.exp(-x)), lambda x: x > -88.72, 2.5, 2.5),
    "tanh": (vector_math.tanh, np.tanh, lambda x: x == x, 2.5, 2.5),
    "erf": (vector_math.erf, ERF, lambda x: x == x, 3.0, 3.0),
}


@pytest.mark.parametrize("scalar", [False, True], ids=["vector", "scalar"])
@pytest.mark.parametrize("target", sorted(targets()))
@pytest.mark.parametrize("name", IN_ULP)
def test_a_function_stays_within_its_ulps(name: str, target: str, scalar: bool, inputs: np.ndarray) -> None:
    function, exact, domain, limit, limit_without_fma = IN_ULP[name]
    x = inputs[domain(inputs)]
    got = applied(targets()[target], function, x, scalar=scalar)
    with np.errstate(all="ignore"):
        want = exact(x.astype(np.float64))
        rounded = want.astype(np.float32)
    finite = np.isfinite(rounded)
    assert (got[~finite] == rounded[~finite]).all()
    worst = ulps(got[finite].astype(np.float64), want[finite]).max()
    assert worst <= (limit if targets()[target].fma else limit_without_fma)
    assert worst > 0.3  # or nothing was tested


@pytest.mark.parametrize("target", sorted(targets()))
def test_what_is_too_small_becomes_zero(target: str) -> None:
    x = np.concatenate([np.linspace(-200, -87.4, 4001), [-1e20, -np.inf]]).astype(np.float32)
    assert (applied(targets()[target], vector_math.exp, x) == 0).all()
    assert (applied(targets()[target], vector_math.sigmoid, x[x < -88.73]) == 0).all()
    assert (applied(targets()[target], vector_math.expm1_of_negative, x) == -1).all()


@pytest.mark.parametrize("target", sorted(targets()))
@pytest.mark.parametrize("name", [*IN_ULP, "normal_distribution"])
def test_a_nan_stays_a_nan(name: str, target: str) -> None:
    patterns = np.arange(0x7F800001, 0x80000000, 4099, np.uint32)
    nans = np.concatenate([patterns, patterns | np.uint32(1 << 31)]).view(np.float32)
    function = IN_ULP[name][0] if name in IN_ULP else getattr(vector_math, name)
    assert np.isnan(applied(targets()[target], function, nans)).all()


@pytest.mark.parametrize("target", sorted(targets()))
def test_a_logarithm_tells_what_has_none(target: str) -> None:
    x = np.array([0.0, -0.0, -1e-45, -1.0, -np.inf, np.inf], np.float32)
    got = applied(targets()[target], vector_math.log, x).tolist()
    assert got[:2] == [-math.inf, -math.inf]
    assert all(math.isnan(value) for value in got[2:5])
    assert got[5] == math.inf


@pytest.mark.parametrize("target", sorted(targets()))
def test_the_normal_distribution_stays_within_its_bound(target: str, inputs: np.ndarray) -> None:
    x = inputs[~np.isnan(inputs)]
    wide = x.astype(np.float64)
    want = ERFC(-wide / math.sqrt(2)) / 2
    got = applied(targets()[target], vector_math.normal_distribution, x)
    assert np.abs(got - want).max() <= 2**-23.8


@pytest.mark.parametrize("target", sorted(targets()))
def test_odd_functions_are_odd_to_the_last_bit(target: str, inputs: np.ndarray) -> None:
    x = inputs[~np.isnan(inputs)]
    for function in (vector_math.tanh, vector_math.erf):
        there, back = (applied(targets()[target], function, side) for side in (x, -x))
        assert (there.view(np.uint32) == (back.view(np.uint32) ^ np.uint32(1 << 31))).all()


@pytest.mark.parametrize("name", [*IN_ULP, "normal_distribution"])
def test_no_function_of_a_library_is_called(name: str) -> None:
    """Intrinsics could turn into calls where a processor lacks the instruction."""
    function = IN_ULP[name][0] if name in IN_ULP else getattr(vector_math, name)

    def write(b: Builder, emitted: ir.Function) -> None:
        b.store(function(b, b.load(emitted.args[0])), emitted.args[0])
        b.store_scalar(function(b, b.load_scalar(emitted.args[1], 0)), emitted.args[1], 0)

    arm = make_target("generic", {"neon": True}, "aarch64-unknown-linux-gnu")
    for target in (*targets().values(), arm):
        text = assembly(target, write)
        assert ("fmul" if target.architecture == "arm" else "mulps") in text
        assert not re.findall(r"^\s+(?:call|bl|blr|jmp\s+\w+@PLT)\s.*$", text, re.MULTILINE)
