"""What engines compute with: which precision is chosen, what is told, and who cannot."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from half_cases import rounded
from neocog.engines import get_engine, precision
from neocog.engines.precision import check_precision, settled, would_gain
from neocog.errors import NeocogWarning, SettingError
from neocog.jit import host
from neocog.jit.host import NARROWED, make_target
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
from neocog.nn.parameters import initial_parameters

GRAPH = trace(Sequential(Conv2d(8, 3), ReLU(), Flatten(), Linear(3)), (8, 8, 3))
IMAGES = np.random.default_rng(0).random((5, 8, 8, 3), dtype=np.float32)


@pytest.mark.parametrize("value", ["float16", "", None, 32])
def test_there_are_four_precisions(value):
    with pytest.raises(SettingError, match="precision must be one of float32, bfloat16, int8, auto, got"):
        check_precision(value)


@pytest.mark.parametrize("reason", [None, "this processor has no AMX"])
def test_auto_is_bfloat16_where_the_processor_multiplies_tiles(monkeypatch, reason):
    monkeypatch.setattr(precision, "_why_not", lambda: reason)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # auto never warns
        assert settled("auto") == ("float32" if reason else "bfloat16")
        assert settled("float32") == "float32"
    assert would_gain() is (reason is None)


def test_bfloat16_without_tiles_is_said_to_be_slower_and_why(monkeypatch):
    monkeypatch.setattr(precision, "_why_not", lambda: "this processor has no AMX")
    with pytest.warns(NeocogWarning, match="bfloat16 is slower than float32 here: this processor has no AMX"):
        assert settled("bfloat16") == "bfloat16"


def test_no_engine_is_made_for_int8_by_itself():
    for name in ("native", "reference"):
        with pytest.raises(SettingError, match="int8 is for predictions of a network that was quantised") as caught:
            get_engine(name, "int8")
        assert "neocog quantise MODEL DATA" in str(caught.value.hint)


def test_why_there_are_no_tiles_names_what_is_missing(monkeypatch):
    triple = "x86_64-unknown-linux-gnu"
    monkeypatch.setattr(host, "host_target", lambda: make_target(*NARROWED["avx2"], triple))
    monkeypatch.setenv("NEOCOG_CPU", "avx2")
    assert host.why_no_tiles() == "NEOCOG_CPU=avx2 is a processor without AMX"
    monkeypatch.delenv("NEOCOG_CPU")
    assert host.why_no_tiles() == "this processor has no AMX"
    features = dict.fromkeys(("avx512f", "amx-tile", "amx-bf16"), True)
    monkeypatch.setattr(host, "host_target", lambda: make_target("sapphirerapids", features, triple))
    monkeypatch.setattr(host, "_tiles_permitted", lambda: False)
    assert host.why_no_tiles() == "the system does not let this process use AMX"
    monkeypatch.setattr(host, "_tiles_permitted", lambda: True)
    assert host.why_no_tiles() is None


def test_the_reference_computes_with_float64_alone():
    with pytest.raises(SettingError, match="the reference engine computes with float64, not with bfloat16"):
        get_engine("reference", "bfloat16")
    assert get_engine("reference", "auto").name == "reference"


@pytest.mark.parametrize("value", ["auto", "int8", "bf16", None])
def test_an_engine_that_is_made_takes_one_of_two(value):
    from neocog.engines.native import NativeEngine

    with pytest.raises(SettingError, match="the precision of an engine must be one of float32, bfloat16, got"):
        NativeEngine(precision=value)
    pytest.importorskip("torch")
    from neocog.engines.torch import TorchEngine

    with pytest.raises(SettingError, match="the precision of an engine must be one of float32, bfloat16, got"):
        TorchEngine(precision=value)


@pytest.mark.filterwarnings("error:bfloat16 is slower")  # which is said of neocog's own kernels alone
def test_pytorch_predicts_by_autocast():
    pytest.importorskip("torch")
    from neocog.engines.torch import TorchEngine

    parameters = initial_parameters(GRAPH)
    exact = TorchEngine().predictor(GRAPH, parameters).logits(IMAGES)
    half = get_engine("torch", "bfloat16").predictor(GRAPH, parameters)
    answers = half.logits(IMAGES)
    assert answers.dtype == np.float32
    assert (answers == rounded(answers)).all()
    assert 0 < np.abs(answers - exact).max() < 0.03 * np.abs(exact).max()
    assert half.features(IMAGES).shape == (5, 288)
    assert half.peaks(IMAGES)[0].shape == (5, 8)
    with pytest.raises(SettingError, match='precision="bfloat16" needs dtype="float32"'):
        TorchEngine(dtype="float64", precision="bfloat16")


def test_training_computes_with_the_precision_of_its_engine():
    from neocog.engines.base import StepSettings
    from neocog.engines.native import NativeEngine
    from neocog.nn.losses import CrossEntropy
    from neocog.nn.optimizers import SGD

    labels = np.arange(5, dtype=np.int32) % 3
    settings = StepSettings(CrossEntropy(), SGD(), 5)
    parameters = initial_parameters(GRAPH)
    steps = [
        NativeEngine(precision=precision).train_program(GRAPH, parameters, settings, 1).step(IMAGES, labels, 0.1)
        for precision in ("float32", "bfloat16")
    ]
    assert 0 < np.abs(steps[0].logits - steps[1].logits).max() < 0.02
