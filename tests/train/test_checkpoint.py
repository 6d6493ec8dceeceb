import dataclasses
import json
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neocog.errors import FormatError, SettingError
from neocog.model.origin import Origin
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Flatten, Linear
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD, Adam, AdamW
from neocog.nn.schedules import Constant
from neocog.train.callbacks import Callback
from neocog.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from neocog.train.fit import fit
from neocog.train.history import EpochResult, History
from neocog.train.model import load
from neocog.train.runfolder import RunFolder
from neocog.train.settings import TrainingSettings
from neocog.train.source import ArraySource

OPTIMIZERS = [SGD(0.1), SGD(0.05, momentum=0.9), Adam(0.01), AdamW(0.01)]


class StopAfter(Callback):
    """What a kill does, without the kill: an error within epoch `epoch`."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, run, batch):
        if run.epoch == self.epoch and batch.images > 20:
            raise InterruptedError


def same(first, second) -> bool:
    return all(first[name].tobytes() == second[name].tobytes() for name in first) and set(first) == set(second)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("at", [2, 4])
def test_a_resumed_training_gives_the_bits_of_an_uninterrupted_one(make_model, toy, tmp_path, optimizer, at):
    train = ArraySource(*toy, batch_size=16, seed=1)
    settings = {"epochs": 4, "optimizer": optimizer, "validation": ArraySource(*toy), "seed": 11, "verbose": 0}
    whole = make_model()
    history = fit(whole, train, **settings)
    folder = RunFolder(tmp_path)
    with pytest.raises(InterruptedError):
        fit(make_model(), train, folder=folder, callbacks=[StopAfter(at)], **settings)
    checkpoint = folder.load_last(engine="reference")
    assert len(checkpoint.history) == at - 1
    resumed = fit(
        checkpoint.model, train, resume=checkpoint, folder=folder, validation=settings["validation"], verbose=0
    )
    assert same(checkpoint.model.parameters, whole.parameters)
    for column in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
        assert resumed.history[column] == history.history[column]
    assert same(load(folder.last).parameters, whole.parameters)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_the_native_engine_resumes_to_the_same_bits(make_model, toy, tmp_path, ema):
    train, folder = ArraySource(*toy, batch_size=16, seed=1), RunFolder(tmp_path)
    whole = make_model(engine="native", threads=2)
    fit(whole, train, epochs=3, optimizer=Adam(0.01), ema=ema, verbose=0)
    with pytest.raises(InterruptedError):
        fit(
            make_model(engine="native"),
            train,
            epochs=3,
            optimizer=Adam(0.01),
            ema=ema,
            folder=folder,
            callbacks=[StopAfter(3)],
            verbose=0,
        )
    checkpoint = folder.load_last(threads=1)
    fit(checkpoint.model, train, resume=checkpoint, verbose=0)
    assert same(checkpoint.model.parameters, whole.parameters)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_training_hands_on_where_the_weights_came_from(make_model, toy, tmp_path, ema):
    train, folder, model = ArraySource(*toy, batch_size=16), RunFolder(tmp_path), make_model(engine="reference")
    model.origin = Origin("example.org/net", "Apache-2.0")
    with pytest.raises(InterruptedError):
        fit(model, train, epochs=2, ema=ema, folder=folder, callbacks=[StopAfter(2)], verbose=0)
    checkpoint = folder.load_last()
    fresh = make_model(engine="reference")
    fit(fresh, train, resume=checkpoint, folder=folder, verbose=0)
    assert fresh.origin == load(tmp_path / "model.safetensors").origin == load(folder.last).origin == model.origin


SCRIPT = """
import os, signal, sys
import numpy as np
from neocog.train.callbacks import Callback
from neocog.train.fit import fit
from neocog.train.model import Model
from neocog.train.runfolder import RunFolder
from neocog.train.source import ArraySource
from neocog.nn.blocks import Sequential
from neocog.nn.layers import *

class Kill(Callback):
    def on_batch_end(self, run, batch):
        if batch.step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

stream = np.random.default_rng(0)
images, labels = stream.integers(0, 256, (50, 6, 6, 1), dtype=np.uint8), stream.integers(0, 2, 50)
train, folder = ArraySource(images, labels, batch_size=8, seed=2), RunFolder(sys.argv[1])
if folder.last.exists():
    resume = folder.load_last(engine="reference")
    fit(resume.model, train, resume=resume, folder=folder, callbacks=[Kill()], verbose=0)
else:
    net = Sequential(Conv2d(2, 3), ReLU(), Flatten(), Dropout(0.3), Linear(2))
    model = Model(net, (6, 6, 1), seed=5, engine="reference")
    fit(model, train, epochs=4, ema=0.9, folder=folder, callbacks=[Kill()], verbose=0)
"""


def test_a_training_that_is_killed_twice_gives_the_same_files(tmp_path):
    def run(folder: Path, kill_at: int) -> int:
        return subprocess.run([sys.executable, "-c", SCRIPT, str(folder), str(kill_at)], timeout=120).returncode

    assert run(tmp_path / "whole", -1) == 0
    assert run(tmp_path / "killed", 3) == -signal.SIGKILL
    assert run(tmp_path / "killed", 17) == -signal.SIGKILL
    assert run(tmp_path / "killed", -1) == 0
    whole, killed = load(tmp_path / "whole/last.safetensors"), load(tmp_path / "killed/last.safetensors")
    assert same(whole.parameters, killed.parameters)
    memories = (RunFolder(tmp_path / name).load_last(engine="reference").memory for name in ("whole", "killed"))
    assert same(*memories)
    assert (tmp_path / "whole/model.safetensors").read_bytes() == (tmp_path / "killed/model.safetensors").read_bytes()
    filters = "filters.safetensors"
    assert (tmp_path / "whole" / filters).read_bytes() == (tmp_path / "killed" / filters).read_bytes()
    assert sorted(entry.name for entry in (tmp_path / "killed").iterdir()) == [
        "filters.safetensors",
        "history.csv",
        "last.safetensors",
        "model.safetensors",
    ]


def test_a_finished_training_does_not_go_on_by_itself_but_with_more_epochs(make_model, toy, tmp_path):
    train, folder = ArraySource(*toy), RunFolder(tmp_path)
    fit(make_model(), train, epochs=2, folder=folder, verbose=0)
    checkpoint = folder.load_last(engine="reference")
    before = dict(checkpoint.model.parameters)
    assert len(fit(checkpoint.model, train, resume=checkpoint, verbose=0)) == 2
    assert same(checkpoint.model.parameters, before)
    assert len(fit(checkpoint.model, train, resume=checkpoint, epochs=3, verbose=0)) == 3


def test_patience_that_was_over_is_over_after_a_resume(make_model, toy, tmp_path):
    train, folder = ArraySource(*toy), RunFolder(tmp_path)
    backwards = ArraySource(toy[0], 1 - toy[1])
    settings = {"validation": backwards, "epochs": 40, "patience": 2, "optimizer": Adam(0.02)}
    model = make_model()
    history = fit(model, train, folder=folder, verbose=0, **settings)
    assert history.stopped == "patience"
    checkpoint = folder.load_last(engine="reference")
    again = fit(checkpoint.model, train, resume=checkpoint, validation=backwards, verbose=0)
    assert (again.stopped, len(again)) == ("patience", len(history))
    assert same(checkpoint.model.parameters, model.parameters)  # the best ones, out of model.safetensors


def test_another_model_object_can_go_on_and_another_network_cannot(make_model, toy, tmp_path):
    train, folder = ArraySource(*toy), RunFolder(tmp_path)
    fit(make_model(), train, epochs=2, folder=folder, verbose=0)
    checkpoint = folder.load_last(engine="reference")
    model = make_model(seed=99)
    fit(model, train, resume=checkpoint, epochs=3, verbose=0)
    fit(checkpoint.model, train, resume=checkpoint, epochs=3, verbose=0)
    assert same(model.parameters, checkpoint.model.parameters)
    with pytest.raises(SettingError, match="another network"):
        fit(make_model(Sequential(Flatten(), Linear(2))), train, resume=checkpoint, verbose=0)
    with pytest.raises(SettingError, match="cannot continue with SGD"):
        fit(model, train, resume=checkpoint, optimizer=SGD(), verbose=0)


@pytest.fixture
def checkpoint(make_model):
    model = make_model()
    stream = np.random.default_rng(1)
    memory = {
        f"{name}/{kind}": stream.random(value.shape, np.float32)
        for name, value in model.parameters.items()
        for kind in ("mean", "square")
    }
    epochs = [EpochResult(1, 0.5, 0.5, None, None, 0.1, 1.5, 40.0), EpochResult(2, 0.25, 1.0, None, None, 0.0, 1.0, 50)]
    return Checkpoint(
        model=model,
        memory=memory,
        step=8,
        settings=TrainingSettings(
            epochs=5,
            batch_size=16,
            seed=2**64 - 1,
            optimizer=Adam(0.01),
            loss=CrossEntropy(0.1),
            schedule=Constant(),
            patience=3,
            time_limit=60.0,
        ),
        history=History(epochs),
        config={"data": "Bilder/猫", "augment": [1, None]},
    )


def test_every_field_comes_back(checkpoint, tmp_path):
    save_checkpoint(checkpoint, tmp_path / "last")
    again = load_checkpoint(tmp_path / "last", engine="reference")
    for entry in dataclasses.fields(Checkpoint):
        if entry.name not in ("model", "memory"):
            assert getattr(again, entry.name) == getattr(checkpoint, entry.name), entry.name
    assert same(again.model.parameters, checkpoint.model.parameters)
    assert same(again.memory, checkpoint.memory)
    save_checkpoint(again, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "last").read_bytes()


def test_a_checkpoint_is_a_model_file_too(checkpoint, tmp_path, toy):
    save_checkpoint(checkpoint, tmp_path / "last")
    model = load(tmp_path / "last", engine="reference")
    assert (model(toy[0]) == checkpoint.model(toy[0])).all()


def test_memory_lies_in_pytorchs_layout(checkpoint, tmp_path):
    from safetensors.numpy import load_file

    save_checkpoint(checkpoint, tmp_path / "last")
    found = load_file(tmp_path / "last")["optimizer/0.weight/mean"]
    assert (found == checkpoint.memory["0.weight/mean"].transpose(3, 2, 0, 1)).all()


def test_a_plain_model_file_is_no_checkpoint(checkpoint, tmp_path):
    checkpoint.model.save(tmp_path / "m")
    with pytest.raises(FormatError, match="no training state to resume"):
        load_checkpoint(tmp_path / "m")


def test_settings_must_be_json(checkpoint, tmp_path):
    for wrong in ({"x": object()}, {"x": float("nan")}):
        checkpoint.config = wrong
        with pytest.raises(SettingError, match="must be JSON values"):
            save_checkpoint(checkpoint, tmp_path / "last")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("seed"), "missing: seed"),
        (lambda t: t.update(note=1), "unknown: 'note'"),
        (lambda t: t.update(step=-1), "training.step must be an integer"),
        (lambda t: t.update(epochs=0), "training.epochs must be"),
        (lambda t: t.update(batch_size=1.5), "training.batch_size must be"),
        (lambda t: t.update(seed=2**64), "training.seed must be at most"),
        (lambda t: t.update(optimizer={"kind": "Constant"}), "training.optimizer.kind must be one of SGD"),
        (lambda t: t["optimizer"].update(kind="SGD"), "training.optimizer must have exactly the fields of SGD"),
        (lambda t: t["optimizer"].update(beta1=2), "training.optimizer is out of range"),
        (lambda t: t.update(loss=None), "training.loss must be an object"),
        (lambda t: t.update(schedule={"kind": "Cosine"}), "training.schedule must have exactly"),
        (lambda t: t.update(patience=0), "training.patience must be"),
        (lambda t: t.update(time_limit=0), "training.time_limit must be above 0"),
        (lambda t: t.update(time_limit="1h"), "training.time_limit must be a finite number"),
        (lambda t: t.update(settings=[]), "training.settings must be an object"),
        (lambda t: t.update(history={}), "training.history must be a list"),
        (lambda t: t["history"][1].update(epoch=1), r"training.history\[1\].epoch must be 2"),
        (lambda t: t["history"][0].pop("loss"), r"training.history\[0\] must have exactly"),
        (lambda t: t["history"][0].update(loss=None), r"training.history\[0\].loss must be a finite number"),
        (lambda t: t["history"][0].update(val_loss="x"), r"training.history\[0\].val_loss"),
    ],
)
def test_trainings_that_are_wrong_are_refused_with_the_place(checkpoint, tmp_path, change, message):
    path = tmp_path / "last"
    save_checkpoint(checkpoint, path)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    document = json.loads(header["__metadata__"]["neocog"])
    change(document["training"])
    header["__metadata__"]["neocog"] = json.dumps(document)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    with pytest.raises(FormatError, match=message) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(str(path))


def test_memory_that_is_not_the_optimizers_is_refused(checkpoint, tmp_path):
    del checkpoint.memory["0.bias/mean"]
    save_checkpoint(checkpoint, tmp_path / "last")
    with pytest.raises(FormatError, match=r"missing: optimizer/0\.bias/mean"):
        load_checkpoint(tmp_path / "last")
    checkpoint.memory["0.bias/mean"] = np.zeros(5, np.float32)
    save_checkpoint(checkpoint, tmp_path / "last")
    with pytest.raises(FormatError, match=r"optimizer/0.bias/mean must have the shape \(3,\)"):
        load_checkpoint(tmp_path / "last")


def test_a_training_that_began_with_format_1_goes_on(tmp_path):
    checkpoint = load_checkpoint(
        Path(__file__).parents[1] / "model" / "files" / "format-1.safetensors", engine="reference"
    )
    assert checkpoint.settings.optimizer == SGD(0.01, momentum=0.9)
    assert set(checkpoint.memory) == {f"{name}/momentum" for name in checkpoint.model.parameters}
    assert (checkpoint.step, len(checkpoint.history)) == (4, 2)
    images, labels = np.zeros((4, 6, 5, 1), np.uint8), np.array([0, 1, 0, 1])
    history = fit(checkpoint.model, ArraySource(images, labels), epochs=3, resume=checkpoint, verbose=0)
    assert len(history) == 3
