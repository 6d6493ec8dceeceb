"""The page that figures become."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from benchmarks.figures import ROUNDED, Figure, Row
from benchmarks.report import Report, number, ratio, to_markdown

WON = Row("training step", "article, batch 64", 1, "ms", {"neocog": Figure(2.0, 1.9, 2.25), "PyTorch": Figure(8, 8, 8)})
LOST = Row(
    "start-up",
    "article",
    2,
    "s",
    {"neocog": Figure(0.5, 0.5, 0.5), "ONNX Runtime": Figure(0.2, 0.2, 0.2)},
    {"OpenVINO": "openvino is not installed", "PyTorch": "RuntimeError: no such thing"},
)
ALONE = Row("training, for each image", "article, 1,000 images", 1, "µs", {"neocog": Figure(200, 190, 210)})


def page(*rows: Row, failed: Mapping[str, str] | None = None) -> str:
    """Write a page of rows."""
    facts = {"date": "2000-01-01", "processor": "a processor", "system": "Linux", "python": "3", "neocog": "abc"}
    return to_markdown(Report("python -m benchmarks --quick", facts, rows, failed or {}))


def test_a_table_shows_medians_quartiles_the_best_peer_and_the_ratio() -> None:
    text = page(WON)
    assert "## Training step, ms" in text
    assert "| case | threads | neocog | PyTorch | best peer | ratio |" in text
    assert "| article, batch 64 | 1 | 2.00 (1.90–2.25) | 8.00 | PyTorch | 4.00× |" in text


def test_the_ratios_of_a_table_have_a_geometric_mean() -> None:
    other = Row("training step", "photo, batch 32", 1, "ms", {"neocog": Figure(8, 8, 8), "PyTorch": Figure(8, 8, 8)})
    assert "Geometric mean of the ratios: 2.00×." in page(WON, other)
    assert "Geometric mean" not in page(WON, LOST, ALONE)


def test_losses_are_spelled_out() -> None:
    text = page(WON, LOST, ALONE)
    assert "In 1 of 2 comparisons, the worst first:" in text
    assert "- 0.40× start-up, article, 2 threads: neocog 0.5 s, ONNX Runtime 0.2 s" in text


def test_what_rounds_unasked_is_no_peer_and_told_all_the_same() -> None:
    figures = {"neocog": Figure(2, 2, 2), "PyTorch": Figure(4, 4, 4), ROUNDED: Figure(1, 1, 1)}
    rows = [
        Row("prediction of a batch", "article, batch 64", 1, "ms", figures),
        Row("prediction of a batch", "article, batch 64", 2, "ms", {**figures, ROUNDED: Figure(3, 3, 3)}),
    ]
    facts = {"date": "2000-01-01", "neocog": "abc"}
    text = to_markdown(Report("", {**facts, ROUNDED: "bfloat16"}, rows, {}))
    assert "In none of the 2 comparisons of this run." in text
    assert "slower than it in 1 of 2 predictions, 0.50× to 1.50× as fast." in text
    assert "slower than it" not in to_markdown(Report("", {**facts, ROUNDED: "float32"}, rows, {}))


def test_rows_of_an_earlier_run_fill_a_page() -> None:
    facts = {"date": "2000-01-01", "processor": "a processor", "neocog": "abc"}
    before = Report("python -m benchmarks", facts, [WON, LOST, ALONE], {}).as_json()
    again = replace(LOST, figures={"neocog": Figure(0.1, 0.1, 0.1), "ONNX Runtime": Figure(0.2, 0.2, 0.2)})
    later = {**facts, "date": "2000-01-02", "neocog": "def"}
    joined = Report("python -m benchmarks --only startup", later, [again], {}).joined(json.loads(json.dumps(before)))
    assert joined.rows == [WON, again, ALONE]
    text = to_markdown(joined)
    assert "did not measure, earlier on this machine: `python -m benchmarks` (commit abc, 2000-01-01)\n" in text
    assert "- command: `python -m benchmarks --only startup`" in text
    kept = json.loads(json.dumps(joined.as_json()))
    again = Report("python -m benchmarks --only training", {**facts, "date": "2000-01-03"}, [WON], {}).joined(kept)
    runs = ["`python -m benchmarks --only startup` (commit def, 2000-01-02)"]
    runs.append("`python -m benchmarks` (commit abc, 2000-01-01)")
    assert f"earlier on this machine: {', '.join(runs)}\n" in to_markdown(again)
    assert again.as_json()["earlier"] == runs


def test_rows_of_another_machine_are_refused() -> None:
    before = Report("", {"processor": "one", "neocog": "abc", "date": "2000-01-01"}, [WON], {}).as_json()
    with pytest.raises(ValueError, match="the earlier run had processor one, this one has another"):
        Report("", {"processor": "another"}, [LOST], {}).joined(before)


def test_a_page_without_losses_or_comparisons_says_so() -> None:
    assert "In none of the 1 comparisons of this run." in page(WON)
    assert "Nothing was compared in this run." in page(ALONE)


def test_a_table_without_peers_has_no_ratio() -> None:
    assert "| case | threads | neocog |\n" in page(ALONE)


def test_what_was_skipped_or_failed_is_named() -> None:
    text = page(LOST, failed={"scaling": "the process ended with status 1"})
    assert "- OpenVINO: openvino is not installed" in text
    assert "- PyTorch: start-up, article, 2 threads: RuntimeError: no such thing" in text
    assert "## Not measured\n\n- scaling: the process ended with status 1" in text


def test_a_page_names_command_date_and_machine() -> None:
    text = page(WON)
    for fact in ("2000-01-01", "a processor; Linux", "python 3", "commit abc", "`python -m benchmarks --quick`"):
        assert fact in text


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (0.9999, "1.00"), (9.999, "10.0"), (99.97, "100"), (1234.5, "1,234")]
)
def test_a_number_has_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_a_loss_never_rounds_to_a_draw() -> None:
    close = Row("m", "c", 1, "ms", {"neocog": Figure(1.001, 1, 1), "PyTorch": Figure(1, 1, 1)})
    assert ratio(close) == "0.99×"
    assert ratio(ALONE) == "–"
