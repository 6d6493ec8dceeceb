"""ONNX's own tests of its operators, on the native engine: those about convolutional networks, by a rule."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import onnx_cases

pytest.importorskip("onnx", reason="onnx is not installed")

import neocog as nc
from neocog.engines.native import NativeEngine
from neocog.model.calibration import softmax

PAGE = Path(__file__).resolve().parents[3] / "docs" / "onnx.md"
LEAST = 0.95
"""Share of the tests that must pass."""

REFUSED = {
    "test_averagepool_2d_dilations": "poolings with dilation",
    "test_maxpool_2d_dilations": "poolings with dilation",
}
"""The others: what the message says of each."""


def test_nodes_give_what_onnx_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [case for case in onnx_cases.load() if onnx_cases.counts(case)]
    passed: Counter[str] = Counter()
    refused: dict[str, str] = {}
    wrong: dict[str, float] = {}
    for case in cases:
        operators = {node.op_type for node in case.model.graph.node}
        file = tmp_path / "case.onnx"
        file.write_bytes(onnx_cases.file_of(case))
        (want,) = case.data_sets[0][1]
        try:
            model = nc.from_onnx(file, value_range=1)
        except nc.FormatError as error:
            refused[case.name] = str(error)
            continue
        predictor = NativeEngine().predictor(model.graph, model.parameters, 1)  # which takes numbers of any size
        answers, ends = predictor.logits(onnx_cases.pictures_of(case)), case.model.graph.node[-1].op_type
        if ends in ("Softmax", "LogSoftmax"):
            answers = softmax(answers, 1.0)
        if ends == "LogSoftmax":
            answers = np.log(answers)
        got = onnx_cases.as_onnx_has_it(answers, want.shape, model.class_names)
        if not np.allclose(got, want, rtol=case.rtol, atol=case.atol):
            wrong[case.name] = float(np.abs(got - want).max())
            continue
        passed.update(operators)
    with capsys.disabled():
        print(f"\n{onnx_cases.RULE}\n{len(cases) - len(refused)} of {len(cases)} pass; refused: {sorted(refused)}")
    assert not wrong
    assert refused.keys() == REFUSED.keys()
    for name, words in REFUSED.items():
        assert words in refused[name], refused[name]
    assert f"{len(cases) - len(refused)} of {len(cases)} pass on the native engine" in PAGE.read_text()
    assert len(refused) <= (1 - LEAST) * len(cases)
