"""`neocog report`, the report at the end of `neocog train`, and `neocog runs`."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from app.pictures import write_photos
from app.reports import facts_in

QUICK = ("--epochs", "2", "--batch-size", "8", "--quiet")


@pytest.fixture
def reported(run, photos, page, tmp_path) -> Path:
    """A run folder with its report."""
    assert run("train", photos, *QUICK, "-o", tmp_path / "runs" / "one").code == 0
    return tmp_path / "runs" / "one"


def test_a_training_leaves_a_report_with_the_figures_of_evaluate(run, reported, photos):
    facts = facts_in(reported / "report.html")
    told = json.loads(run("evaluate", reported, photos, "--json", "--quiet").out)
    evaluation = facts["result"]["evaluation"]
    assert evaluation == {key: told[key] for key in evaluation}
    assert {"accuracy", "per_class", "confusion", "calibration", "coverage_curve"} <= evaluation.keys()
    assert facts["starts"][0]["command"].startswith("neocog train ")
    assert facts["missing"] == []
    assert [epoch["epoch"] for epoch in facts["training"]["epochs"]] == [1, 2]


def test_the_verb_writes_the_same_and_checks_the_data(run, reported, tmp_path):
    before = facts_in(reported / "report.html")
    assert run("report", reported, "-o", tmp_path / "again.html", "--quiet").code == 0
    after = facts_in(tmp_path / "again.html")
    assert after["result"].pop("check")["findings"] is not None
    before["result"].pop("check")
    assert after == before


def test_every_picture_has_its_explain_line_which_works(run, reported, photos):
    images = facts_in(reported / "report.html")["result"]["images"]
    assert images
    for image in images.values():
        words = image["explain"].split()
        assert words[:3] == ["neocog", "explain", str(reported)]
        assert Path(words[3]).is_file()
        assert Path(words[3]).parent.parent == photos


def test_without_a_page_training_goes_on_and_says_so_once(run, photos, tmp_path):
    done = run("train", photos, "--epochs", "2", "--batch-size", "8", "-o", tmp_path / "run")
    assert done.code == 0
    assert done.err.count("no report was written") == 1
    assert not (tmp_path / "run" / "report.html").exists()


def test_no_report_leaves_it_out(run, photos, page, tmp_path):
    done = run("train", photos, "--no-report", *QUICK, "-o", tmp_path / "run")
    assert done.code == 0
    assert "report" not in done.err
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_resumed_training_tells_both_commands(run, reported, photos):
    assert run("train", photos, "--resume", reported, "--epochs", "3", "--quiet").code == 0
    facts = facts_in(reported / "report.html")
    assert [start["command"].split()[1] for start in facts["starts"]] == ["train", "train"]
    assert "--resume" in facts["starts"][1]["command"]
    assert len(facts["training"]["epochs"]) == 3


def test_where_the_data_has_moved_the_report_says_so_and_what_is_known(run, reported, photos):
    moved = photos.rename(photos.parent / "moved")
    done = run("report", reported)
    assert done.code == 0
    assert "--data" in done.err
    facts = facts_in(reported / "report.html")
    assert facts["result"] is None
    assert [gap["code"] for gap in facts["missing"]] == ["data"]
    assert facts["metrics"]["val_accuracy"] >= 0
    assert run("report", reported, "--data", moved, "--quiet").code == 0
    assert facts_in(reported / "report.html")["result"]["evaluation"]["images"] > 0


def test_other_data_of_the_same_name_is_not_taken_for_it(run, reported, photos):
    shutil.rmtree(photos)
    write_photos(photos, first=100)
    run("report", reported, "--quiet")
    assert facts_in(reported / "report.html")["result"] is None


def test_run_folders_of_older_versions_are_reported_without_what_they_lack(run, reported):
    for name in ("starts.json", "history.csv", "config.json"):
        (reported / name).unlink()
    assert run("report", reported, "--quiet").code == 0
    facts = facts_in(reported / "report.html")
    assert {gap["code"] for gap in facts["missing"]} == {"starts", "history", "config", "data"}


def test_damaged_starts_are_as_good_as_none(run, reported):
    (reported / "starts.json").write_text('[{"command": 3}, 4, {"command": "neocog train x"}]')
    assert run("report", reported, "--quiet").code == 0
    assert [start["command"] for start in facts_in(reported / "report.html")["starts"]] == ["neocog train x"]


def test_a_report_needs_a_run(run, tmp_path, page):
    done = run("report", tmp_path)
    assert done.code == 2
    assert "neither a model file nor a run folder" in done.err


def test_runs_are_compared_with_the_settings_in_which_they_differ(run, reported, photos):
    second = reported.parent / "two"
    assert run("train", photos, "--no-report", "--seed", "7", *QUICK, "-o", second).code == 0
    (reported.parent / "other").mkdir()
    text = run("runs", reported.parent).out.splitlines()
    assert text[0].split() == ["run", "data", "test", "val", "epoch", "time", "parameters", "seed"]
    assert [line.split()[0] for line in text[1:]] == ["one", "two"]
    assert [line.split()[-1] for line in text[1:]] == ["0", "7"]
    told = json.loads(run("runs", reported.parent, "--json", "--sort", "accuracy").out)
    assert [entry["seed"] for entry in sorted((run["settings"] for run in told), key=lambda s: s["seed"])] == [0, 7]
    assert told[0]["val_accuracy"] >= told[1]["val_accuracy"]
    rows = list(csv.DictReader(io.StringIO(run("runs", reported.parent, "--csv").out)))
    assert [(row["run"], row["epochs"], row["seed"]) for row in rows] == [("one", "2", "0"), ("two", "2", "7")]


def test_runs_needs_some(run, tmp_path):
    assert run("runs", tmp_path / "none").code == 2
    done = run("runs", tmp_path)
    assert (done.code, "holds no training" in done.err) == (2, True)


def test_a_damaged_run_is_left_out_and_told(run, reported):
    broken = Path(shutil.copytree(reported, reported.parent / "broken"))
    (broken / "model.safetensors").write_bytes(b"no model")
    done = run("runs", reported.parent)
    assert done.code == 0
    assert "broken is left out" in done.err
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == ["one"]


def test_many_images_are_left_to_the_verb_to_check(run, photos, page, tmp_path, monkeypatch):
    monkeypatch.setattr("neocog.app.cli.report.MOST_CHECKED", 3)
    assert run("train", photos, *QUICK, "-o", tmp_path / "run").code == 0
    assert facts_in(tmp_path / "run" / "report.html")["result"]["check"] is None
