"""Trackers are told every number exactly once: a stand-in for all, and the packages themselves, without a network."""

from __future__ import annotations

import doctest
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

from neocog.errors import NeocogError, SettingError
from neocog.interop import trackers
from neocog.interop.trackers import MLflow, TensorBoard, Tracker
from neocog.train.callbacks import LambdaCallback
from neocog.train.fit import fit
from neocog.train.model import Model
from neocog.train.runfolder import RunFolder
from neocog.train.source import ArraySource
from small_models import brightnesses, make_small

CONFIG = {"data": "bright | dark", "note": "first"}


def train(*callbacks, epochs=3, **settings):
    """Train a small model with validation, and return its history."""
    toy = brightnesses()
    return make_small(Model).fit(
        *toy, epochs=epochs, batch_size=20, validation_data=toy, callbacks=callbacks, verbose=0, **settings
    )


class Recorder:
    """Has a tracker's three calls."""

    def __init__(self, fails=""):
        self.calls, self.fails = [], fails

    def _call(self, name, *given):
        if name == self.fails:
            raise OSError(f"no {name} today\nor tomorrow")
        self.calls.append((name, *given))

    def init(self, project, name, config, **options):
        self._call("init", project, name, config, options)

    def log(self, values, step):
        self._call("log", values, step)

    def finish(self):
        self._call("finish")


def test_an_object_with_the_three_calls_hears_of_everything_once():
    heard = Recorder()
    history = train(Tracker(heard, "toys", "one", CONFIG, mode="offline"))
    (first, project, name, config, options), *logged, last = heard.calls
    assert (first, project, name, options, last) == ("init", "toys", "one", {"mode": "offline"}, ("finish",))
    assert config["data"] == "bright | dark"
    assert config["batch_size"] == 20
    assert config["images"] == 60
    assert "Adam" in config["optimizer"]
    assert [(call, step) for call, _, step in logged] == [("log", 1), ("log", 2), ("log", 3)]
    for name, values in history.history.items():
        assert [told[name] for _, told, _ in logged] == values


def test_steps_are_told_too_where_asked_for():
    heard, seen = Recorder(), []
    note = LambdaCallback(on_batch_end=lambda run, batch: seen.append((batch.step, batch.batch_loss)))
    history = train(Tracker(heard, every=2), note, epochs=2)  # of three steps each
    logged = [(step, values) for _, values, step in heard.calls[1:-1]]
    assert [step for step, _ in logged] == [2, 3, 4, 6, 6]  # which never falls, as wandb wants
    losses = dict(seen)
    for step, values in (logged[0], logged[2], logged[3]):
        assert set(values) == {"batch_loss", "batch_learning_rate"}
        assert values["batch_loss"] == losses[step]
    assert [logged[1][1]["epoch"], logged[4][1]["epoch"]] == [1.0, 2.0]
    assert [values["loss"] for _, values in (logged[1], logged[4])] == history.history["loss"]
    with pytest.raises(SettingError, match="Tracker: every"):
        Tracker(heard, every=0)


def test_it_ends_once_however_the_training_ends():
    heard = Recorder()
    stop = LambdaCallback(on_batch_end=lambda run, batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(Tracker(heard), stop)
    assert [call[0] for call in heard.calls] == ["init", "finish"]


@pytest.mark.parametrize("call", ["init", "log"])
def test_what_a_tracker_says_is_told_without_a_traceback(call):
    heard = Recorder(fails=call)
    with pytest.raises(NeocogError, match=f"Tracker: no {call} today") as error:
        train(Tracker(heard))
    assert error.value.details == ("or tomorrow",)
    assert [call[0] for call in heard.calls] == ([] if call == "init" else ["init", "finish"])


def test_who_lacks_a_call_is_refused():
    with pytest.raises(SettingError, match="has no log and no finish"):
        Tracker(type("Half", (), {"init": print}))
    with pytest.raises(SettingError, match="known by name are wandb and trackio"):
        Tracker("wandbb")


@pytest.mark.parametrize(
    ("module", "make", "extra"),
    [
        ("wandb", lambda: Tracker("wandb"), "wandb"),
        ("trackio", lambda: Tracker("trackio"), "trackio"),
        ("tensorboard", lambda: TensorBoard("x"), "tensorboard"),
        ("mlflow", MLflow, "mlflow"),
    ],
)
def test_a_missing_package_is_told_before_anything_is_trained(monkeypatch, module, make, extra):
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NeocogError, match=f"needs the package {module}") as error:
        make()
    assert error.value.hint == f"pip install 'neocog[{extra}]'"


def scalars(folder):
    """Read event files with TensorBoard's own reader: name → (step, value) of each epoch; and the text."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder))
    reader.Reload()
    found = {name: [(point.step, point.value) for point in reader.Scalars(name)] for name in reader.Tags()["scalars"]}
    text = b"".join(reader.Tensors("config")[0].tensor_proto.string_val)
    return found, text.decode()


def test_tensorboard_reads_the_event_files(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    history = train(TensorBoard(tmp_path / "events", CONFIG))
    found, text = scalars(tmp_path / "events")
    assert found.keys() == history.history.keys()
    for name, values in history.history.items():
        assert [step for step, _ in found[name]] == [1, 2, 3]
        np.testing.assert_allclose([value for _, value in found[name]], values, rtol=1e-6)  # kept in float32
    assert "|batch_size|20|" in text
    assert r"|data|bright \| dark|" in text


def test_tensorboard_shows_a_resumed_training_as_one(tmp_path):
    """The second file in a folder takes the place of what the first said of the same epochs."""
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    folder, source = RunFolder(tmp_path / "run"), ArraySource(*brightnesses(), batch_size=20)
    for epochs in (2, 3):
        again = folder.load_last(engine="reference", kind=Model) if epochs == 3 else None
        model = again.model if again else make_small(Model)
        logger = TensorBoard(tmp_path / "events")
        history = fit(model, source, folder=folder, resume=again, epochs=epochs, callbacks=[logger], verbose=0)
    found, _ = scalars(tmp_path / "events")
    assert [step for step, _ in found["loss"]] == [1, 2, 3]
    np.testing.assert_allclose([value for _, value in found["loss"]], history.history["loss"], rtol=1e-6)
    train(TensorBoard(tmp_path / "events"), epochs=1)  # from the beginning
    assert [step for step, _ in scalars(tmp_path / "events")[0]["loss"]] == [1]


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    """Return MLflow, keeping its runs in a folder."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    module = pytest.importorskip("mlflow", reason="mlflow is not installed")
    before = module.get_tracking_uri()
    module.set_tracking_uri((tmp_path / "runs").as_uri())
    yield module
    module.set_tracking_uri(before)


def test_mlflow_keeps_parameters_and_every_epoch(mlflow):
    history = train(MLflow("toys", "one", {**CONFIG, "long": "x" * 10_000}))
    assert mlflow.active_run() is None
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([mlflow.get_experiment_by_name("toys").experiment_id])
    assert (run.info.run_name, run.info.status) == ("one", "FINISHED")
    assert run.data.params["batch_size"] == "20"
    assert run.data.params["note"] == "first"
    for name, values in history.history.items():
        kept = client.get_metric_history(run.info.run_id, name)
        assert [(entry.step, entry.value) for entry in kept] == list(enumerate(values, 1))


def test_mlflow_goes_on_with_a_run_that_is_open_and_tells_of_failures(mlflow):
    with mlflow.start_run() as run:
        for _ in range(2):
            train(MLflow(), epochs=1)
        assert mlflow.active_run().info.run_id == run.info.run_id
    assert len(mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")) == 2
    with pytest.raises(ZeroDivisionError):
        train(MLflow("broken"), LambdaCallback(on_batch_end=lambda run, batch: 1 / 0))
    (failed,) = mlflow.MlflowClient().search_runs([mlflow.get_experiment_by_name("broken").experiment_id])
    assert failed.info.status == "FAILED"


def wandb_records(content):
    """Return the records of a .wandb file: seven bytes of its own, then pieces of records, as in LevelDB's log."""
    from wandb.proto.wandb_internal_pb2 import Record

    block, head, place, data = 32768, 7, 7, b""
    while place < len(content):
        if block - place % block < head:
            place += block - place % block
        _, length, kind = struct.unpack_from("<IHB", content, place)
        data += content[place + head : place + head + length]
        place += head + length
        if kind in (1, 4):  # a whole record, or the last piece of one
            yield Record.FromString(data)
            data = b""


def test_wandb_keeps_a_run_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_SILENT", "true")
    history = train(Tracker("wandb", "toys", "one", CONFIG, mode="offline", dir=str(tmp_path)))
    assert wandb.run is None
    wandb.teardown()  # waits for the process that writes
    (file,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    records = list(wandb_records(file.read_bytes()))
    (run,) = [record.run for record in records if record.HasField("run")]
    assert (run.project, run.display_name) == ("toys", "one")
    config = {entry.key: json.loads(entry.value_json) for entry in run.config.update}
    assert (config["data"], config["batch_size"]) == ("bright | dark", 20)
    kept = [
        {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    assert [row["_step"] for row in kept] == [1, 2, 3]
    for name, values in history.history.items():
        assert [row[name] for row in kept] == values


def test_trackio_keeps_a_run_on_this_machine(tmp_path):
    """In a process of its own, since it looks for its folder when it is loaded."""
    pytest.importorskip("trackio", reason="trackio is not installed")
    script = """
import json
from interop.test_trackers import CONFIG, train
from neocog.interop.trackers import Tracker
history = train(Tracker("trackio", "toys", "one", CONFIG))
import trackio
from trackio.sqlite_storage import SQLiteStorage
(run,) = trackio.Api().runs("toys")
print("RESULT", json.dumps([run.name, run.config, SQLiteStorage.get_logs("toys", "one"), history.history]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TRACKIO_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    results = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert results, done.stderr
    name, config, kept, wanted = json.loads(results[0])
    assert (name, config["note"], config["batch_size"]) == ("one", "first", 20)
    assert [row["step"] for row in kept] == [1, 2, 3]
    for column, values in wanted.items():
        assert [row[column] for row in kept] == values


def test_the_examples_hold():
    assert doctest.testmod(trackers).attempted
    assert not doctest.testmod(trackers).failed
