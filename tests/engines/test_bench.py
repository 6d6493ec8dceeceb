"""The bench measures what it says: every pass of a convolution is found, timed, and put beside the peak."""

from __future__ import annotations

import json
import math

import pytest

from neocog.engines import bench
from neocog.engines.native import NativeEngine
from neocog.errors import SettingError


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
def test_every_pass_of_a_convolution_is_measured(algorithm: str) -> None:
    engine = NativeEngine(algorithm=algorithm)  # type: ignore[arg-type]
    peak = bench.Peak(engine.target, engine.cache)
    rates = bench.measure_convolution(engine, (8, 12, 12, 32, 32), peak, repeats=2)
    assert [rate.kernel for rate in rates] == {
        "direct": ["forward", "input gradient", "weight gradient"],
        "winograd": ["forward", "with filters", "both gradients"],
    }[algorithm]
    assert all(math.isfinite(rate.gflops) and rate.gflops > 0 for rate in rates)
    # A pass that found no stage would take no time at all, and be a thousand times too fast.
    assert all(rate.gflops < 20 * max(peak.seen) for rate in rates)
    assert all(0 < rate.share_of_peak < 20 for rate in rates)


def test_a_report_reads_well_and_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "QUICK_SHAPES", ((4, 12, 12, 32, 32),))
    said: list[str] = []
    report = bench.run_bench(threads=1, quick=True, progress=said.append)
    assert (len(report.kernels), len(report.winograd)) == (3, 3)
    assert [(rate.use, rate.batch) for rate in report.networks] == [
        ("training", 64),
        ("prediction", 64),
        ("prediction", 1),
    ]
    text = report.to_text()
    assert "multiply-add peak of one core" in text
    assert "Winograd" in text
    assert json.loads(json.dumps(report.to_json()))["threads"] == 1
    assert said


def test_a_bench_on_no_thread_is_refused() -> None:
    with pytest.raises(SettingError, match="threads must be at least 1"):
        bench.run_bench(threads=0)
