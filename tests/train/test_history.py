import doctest
import xml.etree.ElementTree as ET

import pytest

from neocog.train import curves
from neocog.train.history import COLUMNS, PHASE, EpochResult, History


def result(epoch: int, loss: float, val_loss: float | None = None, val_accuracy: float | None = None) -> EpochResult:
    return EpochResult(epoch, loss, 0.5, val_loss, val_accuracy, 0.001, 1.0, 100.0)


def test_the_best_epoch_has_the_highest_validation_accuracy_then_the_lowest_loss_then_is_first():
    epochs = [result(1, 1.0, 0.9, 0.7), result(2, 0.8, 0.7, 0.8), result(3, 0.6, 0.6, 0.8), result(4, 0.5, 0.6, 0.8)]
    assert History(epochs).best is epochs[2]


def test_without_validation_the_lowest_loss_is_best():
    epochs = [result(1, 1.0), result(2, 0.5), result(3, 0.6)]
    assert History(epochs).best is epochs[1]
    assert History().best is None


def test_columns_are_those_of_keras():
    history = History([result(1, 1.0, 0.9, 0.7), result(2, 0.8, 0.7, 0.8)])
    assert history.history["val_accuracy"] == [0.7, 0.8]
    assert set(History([result(1, 1.0)]).history) == {
        "loss",
        "accuracy",
        "learning_rate",
        "seconds",
        "images_per_second",
    }
    assert [epoch.epoch for epoch in history] == [1, 2]


def test_metrics_name_what_was_measured():
    assert result(2, 0.5).metrics() == {"epoch": 2, "loss": 0.5, "accuracy": 0.5}
    assert result(2, 0.5, 0.4, 0.9).metrics()["val_accuracy"] == 0.9


VALIDATED = [result(1, 1.0, 0.9, 0.7), result(2, 0.8, 0.7, 0.8), result(3, 0.1 + 0.2, 0.8, 0.75)]


def test_a_history_is_a_frame():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = History(VALIDATED).to_frame()
    assert frame.index.name == "epoch"
    assert list(frame.columns) == list(COLUMNS[1:])
    assert frame.loc[3, "loss"] == 0.1 + 0.2
    assert frame.dtypes.unique().tolist() == [float]
    assert "val_loss" not in History([result(1, 1.0)]).to_frame()
    direct = pandas.DataFrame(History(VALIDATED))
    assert list(direct.columns) == [*COLUMNS, PHASE]
    pandas.testing.assert_frame_equal(direct.set_index("epoch").drop(columns=PHASE), frame)
    assert len(History().to_frame()) == 0


def test_csv_reads_back_exactly():
    lines = History([*VALIDATED, result(4, 0.25)]).to_csv().splitlines()
    assert lines[0].split(",") == list(COLUMNS)
    assert [float(line.split(",")[1]) for line in lines[1:]] == [1.0, 0.8, 0.1 + 0.2, 0.25]
    assert lines[4].split(",")[3:5] == ["", ""]


def parsed(history):
    """Return a history's HTML as a tree, which it is only where it is well formed."""
    return ET.fromstring(history._repr_html_())


def test_a_notebook_shows_curves_and_a_table():
    history = History(VALIDATED, "patience")
    tree = parsed(history)
    svg = "{http://www.w3.org/2000/svg}"
    pictures = tree.findall(f"{svg}svg")
    assert [picture.get("aria-label") for picture in pictures] == ["loss", "accuracy"]
    assert all(len(picture.findall(f"{svg}polyline")) == 2 for picture in pictures)
    points = pictures[0].find(f"{svg}polyline").get("points").split()
    heights = [float(point.split(",")[1]) for point in points]
    assert heights[0] < heights[1] < heights[2]  # falling losses run down the picture
    rows = tree.findall("table/tbody/tr")
    assert [row.find("td").text for row in rows] == ["1", "2", "3"]
    assert [row.find("td").text for row in rows if row.get("style")] == ["2"]  # the best one is bold
    assert "best: epoch 2; stopped: patience" in "".join(tree.itertext())


def test_a_long_history_stays_small():
    history = History([result(epoch, 1.0 / epoch) for epoch in range(1, 5001)])
    tree = parsed(history)
    assert len(tree.findall("table/tbody/tr")) == curves.ROWS + 1
    assert len(history._repr_html_()) < 20_000
    assert "5000" in "".join(tree.itertext())


def test_few_epochs_and_strange_numbers_are_shown():
    assert History()._repr_html_() == "<p>no epochs</p>"
    parsed(History([result(1, 0.5)]))
    parsed(History([result(1, float("inf")), result(2, 0.5)]))
    parsed(History([result(1, 0.5)], "<script>"))


def test_the_examples_hold():
    assert doctest.testmod(curves).attempted
    assert not doctest.testmod(curves).failed
