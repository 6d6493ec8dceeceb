"""Images with several labels on the command line, and the flags of losses."""

import json

import numpy as np
import pytest
from PIL import Image

import neocog as nc
from app.pictures import write_image
from neocog.app.cli.losses import make_loss
from neocog.data.table import read_table
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError


def write_table(root, count=40):
    """Write images that are bright or dark on the left and on the right, and a table that says where bright."""
    rows = []
    for number in range(count):
        left, right = number % 2, number // 2 % 2
        path = write_image(root / f"{number}.png", 40, seed=number)
        pixels = np.array(Image.open(path))
        pixels[:, :8] += 160 * left
        pixels[:, 8:] += 160 * right
        Image.fromarray(pixels).save(path)
        rows.append((path.name, "|".join(["left"] * left + ["right"] * right)))
    table = root / "labels.csv"
    table.write_text("path,labels\n" + "".join(f"{path},{labels}\n" for path, labels in rows))
    return table


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path / "data")


def test_several_labels_are_learnt_measured_and_predicted(run, table, tmp_path):
    done = run("train", table, "--epochs", "20", "--batch-size", "8", "-o", tmp_path / "run", "--quiet", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["accuracy"] == 1.0
    assert told["macro_f1"] == told["micro_f1"] == told["mean_average_precision"] == 1.0
    assert told["classes"] == ["left", "right"]
    assert "left|right" in (tmp_path / "run" / "split.csv").read_text()
    model = nc.load(tmp_path / "run" / "model.safetensors")
    assert model.loss == BinaryCrossEntropy()
    assert model.thresholds is not None  # fitted on the validation part
    assert [found["threshold"] for found in told["per_class"].values()] == list(model.thresholds)
    shown = json.loads(run("info", tmp_path / "run", "--json").out)
    assert (shown["several_labels"], shown["thresholds"]) == (True, list(model.thresholds))
    assert "given above  " in run("info", tmp_path / "run").out
    found = run("predict", tmp_path / "run", table.parent / "3.png", table.parent / "0.png", "--json")
    both, neither = json.loads(found.out)
    assert sorted(both["labels"]) == ["left", "right"]
    assert neither["labels"] == []
    assert set(neither["probabilities"]) == {"left", "right"}
    lines = run("predict", tmp_path / "run", table.parent / "1.png", table.parent / "0.png").out.splitlines()
    assert [line.split("\t")[1:2] for line in lines] == [["left"], []]
    lines = run("predict", tmp_path / "run", table.parent / "3.png", "--csv").out.splitlines()
    assert lines[0] == "path,labels,probabilities"
    assert sorted(lines[1].split(",")[1].split("|")) == ["left", "right"]
    assert len(run("predict", tmp_path / "run", table.parent / "0.png", "--top", "2").out.split("\t")) == 5
    measured = run("evaluate", tmp_path / "run", table, "--split", "all")
    assert measured.code == 0, measured.err
    assert "accuracy 100.00 % of 40 images" in measured.out
    assert "F1 100.00 % (mean of labels), 100.00 % (all together), mean average precision 100.00 %, " in measured.out
    assert "100.00 % of single answers right" in measured.out
    assert "average precision" in measured.out
    assert run("train", "--resume", tmp_path / "run", "--epochs", "21", "--quiet").code == 0
    assert run("info", tmp_path / "run").code == 0
    checked = run("check", table)
    assert checked.code == 0, checked.out


def test_labels_are_given_above_the_thresholds_of_the_model(run, table, tmp_path):
    assert run("train", table, "--epochs", "2", "-b", "8", "-o", tmp_path / "run", "--quiet").code == 0
    file = tmp_path / "run" / "model.safetensors"
    model, image = nc.load(file), table.parent / "3.png"
    for thresholds, labels in (((0.0, 1.0), ["left"]), ((1.0, 0.0), ["right"]), ((1.0, 1.0), [])):
        model.thresholds = thresholds
        model.save(file)
        assert json.loads(run("predict", file, image, "--json").out)["labels"] == labels
        measured = json.loads(run("evaluate", file, table, "--split", "all", "--json").out)
        assert [found["given"] for found in measured["per_class"].values()] == [40 * (t == 0.0) for t in thresholds]
        assert [found["threshold"] for found in measured["per_class"].values()] == list(thresholds)
        assert measured["macro_f1"] == sum(found["f1"] for found in measured["per_class"].values()) / 2


def test_labels_in_another_order_are_matched_by_name(run, table, tmp_path):
    assert run("train", table, "--epochs", "20", "-b", "8", "-o", tmp_path / "run", "--quiet").code == 0
    text = table.read_text().replace("left|right", "right|left")
    other = table.with_name("other.csv")
    other.write_text(text.splitlines()[0] + "\n" + "\n".join(line for line in text.splitlines()[1:] if "right" in line))
    done = run("evaluate", tmp_path / "run", other, "--split", "all", "--json")
    assert json.loads(done.out)["accuracy"] == 1.0, done.err


def test_one_column_a_class_is_the_same_data(run, table, tmp_path):
    assert run("train", table, "--epochs", "20", "-b", "8", "-o", tmp_path / "run", "--quiet").code == 0
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    columns = table.with_name("columns.csv")
    columns.write_text(
        "path,right,left\n" + "".join(f"{p},{int('right' in has)},{int('left' in has)}\n" for p, has in rows)
    )
    found = [
        json.loads(run("evaluate", tmp_path / "run", data, "--split", "all", "--json").out) for data in (table, columns)
    ]
    assert found[0]["per_class"] == found[1]["per_class"]
    assert found[0]["loss"] == found[1]["loss"]
    single = table.with_name("single.csv")  # all of its images have one label: still measured label by label
    single.write_text(
        "path,right,left\n"
        + "".join(f"{p},{int(has == 'right')},{int(has == 'left')}\n" for p, has in rows if has in ("left", "right"))
    )
    done = run("evaluate", tmp_path / "run", single, "--split", "all", "--json")
    assert done.code == 0, done.err
    assert "exactly one of 2 columns" in done.err
    assert json.loads(done.out)["macro_f1"] == 1.0


def test_a_model_of_one_label_is_not_measured_on_several(run, trained, table):
    done = run("evaluate", trained, table)
    assert done.code != 0
    assert "images may have several labels, and this model gives one" in done.err


def test_class_weights_and_losses_go_into_the_model(run, photos, tmp_path):
    for number in range(6):
        (photos / "dark" / f"{number}.png").unlink()
    out = tmp_path / "run"
    words = ("train", photos, "--epochs", "2", "-o", out, "--quiet", "--overwrite")
    assert run(*words, "--class-weights", "balanced", "--label-smoothing", "0.1").code == 0
    loss = nc.load(out / "model.safetensors").loss
    assert loss.label_smoothing == 0.1
    assert loss.weights[0] < 1 < loss.weights[1]
    assert json.loads((out / "config.json").read_text())["loss"]["weights"] == list(loss.weights)
    assert run(*words, "--class-weights", "dark=3").code == 0
    assert nc.load(out / "model.safetensors").loss == CrossEntropy(0.1, weights=(1, 3))
    assert run(*words, "--loss", "mean-squared-error").code == 0
    assert nc.load(out / "model.safetensors").loss == MeanSquaredError()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--class-weights", "cat=2"), "there is no class 'cat'; the classes are bright, dark"),
        (("--class-weights", "drak=2"), "did you mean dark?"),
        (
            ("--class-weights", "dark"),
            "must be balanced, roots, none, or NAME=WEIGHT of some classes, weights of 0 or more, got 'dark'",
        ),
        (("--class-weights", "dark=-1"), "got 'dark=-1'"),
        (("--class-weights", "dark=0,bright=0"), "must not all be 0"),
        (
            ("--loss", "mean-squared-error", "--label-smoothing", "0.1"),
            "--label-smoothing only applies to --loss cross",
        ),
        (
            ("--loss", "mean-squared-error", "--class-weights", "balanced"),
            "does not apply to --loss mean-squared-error",
        ),
        (("--loss", "focal"), "--loss must be auto, cross-entropy, binary-cross-entropy or mean-squared-error"),
    ],
)
def test_flags_that_do_not_fit_are_refused(run, photos, words, message):
    done = run("train", photos, *words)
    assert done.code == 2
    assert message in done.err


def test_balanced_weights_of_several_labels_count_images_without_one_against_those_with(table):
    data = read_table(table).unsplit
    assert make_loss("auto", 0.0, "balanced", data) == BinaryCrossEntropy((1.0, 1.0))
    assert make_loss("auto", 0.0, "right=3", data) == BinaryCrossEntropy((1.0, 3.0))


def test_one_label_is_not_asked_of_several(run, table):
    done = run("train", table, "--loss", "cross-entropy")
    assert done.code == 2
    assert "needs one label an image, and these may have several" in done.err


def test_a_figure_of_the_images_that_chose_the_thresholds_is_called_one(run, table, tmp_path):
    header, *rows = table.read_text().splitlines()
    parts = [f"{row},{'train' if number % 4 else 'validation'}" for number, row in enumerate(rows)]
    table.write_text("\n".join([f"{header},split", *parts]) + "\n")
    told = {}
    for keep in ("last", "best"):
        done = run(
            "train", table, "--epochs", "1", "--keep", keep, "-o", tmp_path / keep, "--quiet", "--json", "--no-report"
        )
        told[keep] = json.loads(done.out)
    assert told["last"]["split"] == told["best"]["split"] == "validation"
    assert told["last"]["caution"].startswith("these images chose the labels' thresholds, so that new ones")
    assert told["best"]["caution"].startswith("these images chose the best epoch and the labels' thresholds, so that")
