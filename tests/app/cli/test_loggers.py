"""`neocog train --log`: trackers hear of a training, and programs still read its output."""

from __future__ import annotations

import json
import sys

import pytest

from interop.test_trackers import scalars

QUICK = ("--epochs", "2", "--batch-size", "8", "--engine", "reference")


def test_tensorboards_files_lie_in_the_run_folder_and_go_on_after_a_resume(run, photos, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    out = tmp_path / "out"
    done = run("train", photos, *QUICK, "-o", out, "--log", "TensorBoard", "--json")
    assert done.code == 0, done.err
    found, text = scalars(out / "tensorboard")
    assert [step for step, _ in found["val_loss"]] == [1, 2]
    assert "|batch_size|8|" in text
    assert json.loads(done.out)["epochs"] == 2
    assert run("train", "--resume", out, "--epochs", "3", "--log", "tensorboard").code == 0
    assert [step for step, _ in scalars(out / "tensorboard")[0]["val_loss"]] == [1, 2, 3]


def test_mlflow_lists_runs_under_the_name_of_the_data(run, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    try:
        done = run("train", photos, *QUICK, "-o", tmp_path / "one", "--log", "mlflow")
        assert done.code == 0, done.err
        experiment = mlflow.get_experiment_by_name("photos")
        (kept,) = mlflow.MlflowClient().search_runs([experiment.experiment_id])
        assert kept.info.run_name == "one"
        assert kept.data.params["model"] == "auto"
        assert set(kept.data.metrics) >= {"loss", "val_accuracy"}
    finally:
        mlflow.set_tracking_uri(before)


def test_what_a_tracker_prints_does_not_mix_with_json(run, photos, tmp_path, monkeypatch):
    calls = []

    class Loud:
        def init(self, project, name, config):
            print("hello from the tracker")

        def log(self, values, step):
            calls.append(step)

        def finish(self):
            print("goodbye")

    monkeypatch.setitem(sys.modules, "trackio", Loud())
    done = run("train", photos, *QUICK, "-o", tmp_path / "out", "--log", "trackio", "--json")
    assert json.loads(done.out)["epochs"] == 2
    assert "hello from the tracker" in done.err
    assert calls == [1, 2]


def test_a_missing_package_and_an_unknown_tracker_are_told_at_once(run, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    done = run("train", photos, "-o", tmp_path / "out", "--log", "wandb")
    assert done.code == 1
    assert "needs the package wandb" in done.err
    assert "hint: pip install 'neocog[wandb]'" in done.err
    assert not (tmp_path / "out").exists()
    done = run("train", photos, "--log", "wand")
    assert done.code == 2
    assert "did you mean wandb?" in done.err
