"""The bench measures what it says: every pass of a convolution is found, timed, and put beside the peak."""

from __future__ import annotations

import json
import math

import pytest

from neocog.engines import bench
from neocog.engines.native import NativeEngine
from neocog.errors import SettingError
from neocog.jit.executable import Executable


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
def test_every_pass_of_a_convolution_is_measured(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = NativeEngine(algorithm=algorithm)  # type: ignore[arg-type]
    peak = bench.Peak(engine.target, engine.cache)
    # Every stage takes a second, so that what is told depends on what was counted, not on this machine.
    monkeypatch.setattr(Executable, "time_stages", lambda self: [1.0] * len(list(self.program.every_stage())))
    monkeypatch.setattr(peak, "measure", lambda: 0.5)
    rates = bench.measure_convolution(engine, (8, 12, 12, 32, 32), peak, repeats=2)
    assert [rate.kernel for rate in rates] == {
        "direct": ["forward", "input gradient", "weight gradient"],
        "winograd": ["forward", "with filters", "both gradients"],
    }[algorithm]
    operations = 2 * 8 * 12 * 12 * 9 * 32 * 32 / 1e9  # of a forward pass, in billions
    for rate in rates:
        times = 2 if rate.kernel == "both gradients" else 1
        stages = times * operations / rate.gflops  # a pass that found no stage would have taken no time
        assert math.isclose(stages, round(stages))
        assert 1 <= stages <= 6
        assert math.isclose(rate.share_of_peak, rate.gflops / 0.5)


def test_the_peak_is_a_rate() -> None:
    engine = NativeEngine()
    peak = bench.Peak(engine.target, engine.cache)
    assert peak.measure() > 0
    assert peak.seen == [peak.seen[0]]


@pytest.mark.filterwarnings("ignore:bfloat16 is slower")
def test_a_report_reads_well_and_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "QUICK_SHAPES", ((4, 12, 12, 32, 32),))
    said: list[str] = []
    report = bench.run_bench(threads=1, quick=True, progress=said.append, precision="bfloat16")
    assert (len(report.kernels), len(report.winograd)) == (3, 3)
    assert [(rate.use, rate.batch) for rate in report.networks] == [
        ("training", 64),
        ("prediction", 64),
        ("prediction", 1),
        ("training, bfloat16", 64),
        ("prediction, bfloat16", 64),
        ("prediction, bfloat16", 1),
    ]
    text = report.to_text()
    assert "multiply-add peak of one core" in text
    assert "Winograd" in text
    assert json.loads(json.dumps(report.to_json()))["threads"] == 1
    assert said


def test_a_bench_on_no_thread_is_refused() -> None:
    with pytest.raises(SettingError, match="threads must be at least 1"):
        bench.run_bench(threads=0)
