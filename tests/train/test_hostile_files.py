"""Files from anywhere, changed in any way: they load, or are refused by a FormatError; nothing else happens."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostile_files import CHECKPOINT, LINES, MODEL, MODEL_FILE, NET, within_memory
from json_mutation import ANY, assembled, mutated, often, taken_apart, to_text
from neocog.errors import FormatError, NeocogError, SettingError
from neocog.train.checkpoint import load_checkpoint
from neocog.train.history import COLUMNS
from neocog.train.model import Model, load
from neocog.train.runfolder import RunFolder, read_config
from neocog.train.snapshots import FilterSnapshots, load_snapshots


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> RunFolder:
    return RunFolder(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def snapshot_file(folder) -> bytes:
    shots = FilterSnapshots(folder.filters, MODEL, 0)
    shots.save(MODEL, 1)
    return folder.filters.read_bytes()


def changed(draw, content: bytes) -> bytes:
    """Change the document, the header around it, or both."""
    header, document, body = taken_apart(content)
    what = draw(st.sampled_from(["document", "document", "document", "header", "both"]))
    if what != "header":
        document = mutated(draw, document)
    if what != "document":
        header = mutated(draw, header)
    return assembled(header, document, body)


def reads_or_refuses(read, path: Path, content: bytes):
    path.write_bytes(content)
    refusal = None
    with within_memory():
        try:
            return read(path)
        except FormatError as error:
            refusal = str(error)
    assert str(path) in refusal
    assert len(refusal) < 4000
    return None


@often
@given(st.data())
def test_a_model_file_with_anything_anywhere_loads_or_is_refused(folder, data):
    model = reads_or_refuses(load, folder.best, changed(data.draw, MODEL_FILE))
    if model is not None:  # what loads can be shown, asked and written again
        model.engine = "reference"
        assert model.summary()
        if math.prod(model.input_shape) <= 4096:
            with np.errstate(all="ignore"):  # a deviation of 1e-320 is one, and gives infinite values
                assert model(np.zeros((1, *model.input_shape), np.uint8)).shape == (1, len(model.class_names))
        model.save(folder.best)
        assert load(folder.best).graph == model.graph


@often
@given(st.data())
def test_a_checkpoint_with_anything_anywhere_loads_or_is_refused(folder, data):
    folder.best.unlink(missing_ok=True)
    checkpoint = reads_or_refuses(load_checkpoint, folder.last, changed(data.draw, CHECKPOINT))
    if checkpoint is not None:
        folder.save_last(checkpoint)
        folder.write_history(checkpoint.history)
        assert folder.load_last().history == checkpoint.history
        assert len(folder.read_history()) == len(checkpoint.history)


@often
@given(st.data())
def test_snapshots_with_anything_anywhere_load_or_are_refused(folder, snapshot_file, data):
    found = reads_or_refuses(load_snapshots, folder.filters, changed(data.draw, snapshot_file))
    if found is not None:
        assert all(len(values) == len(found.epochs) for values in found.filters.values())


@often
@given(st.data())
def test_a_config_with_anything_anywhere_is_an_object_or_refused(folder, data):
    config = mutated(data.draw, {"data": "photos", "classes": ["a", "b"], "mean": [0.1], "seed": 1})
    text = to_text(data.draw(st.one_of(st.just(config), ANY)))
    found = reads_or_refuses(read_config, folder.config, text.encode("utf-8", "surrogatepass"))
    assert found is None or isinstance(found, dict)


CELLS = ["", "x", "nan", "-inf", "1e999", "9" * 5000, '"', '"a\nb"', "a\rb", "\0", "1_0", "٣", "\ud800", "x" * 200_000]


@often
@given(st.data())
def test_a_history_with_anything_anywhere_is_numbers_or_refused(folder, data):
    text = LINES
    for _ in range(data.draw(st.integers(1, 3))):
        old = data.draw(st.sampled_from([*re.findall(r"[^,\n]+", LINES), ",", "\n"]))
        text = text.replace(old, data.draw(st.sampled_from([*CELLS, ",", "\n", ",,,"])), 1)
    found = reads_or_refuses(lambda _: folder.read_history(), folder.history, text.encode("utf-8", "surrogatepass"))
    for epoch in found or ():
        assert list(epoch) == list(COLUMNS)
        assert all(value is None or isinstance(value, int | float) for value in epoch.values())


@pytest.mark.parametrize("name", ["best", "last", "filters", "config", "history"])
@often
@given(st.data())
def test_changed_bytes_are_read_or_refused(folder, snapshot_file, name, data):
    valid = {
        "best": MODEL_FILE,
        "last": CHECKPOINT,
        "filters": snapshot_file,
        "config": b'{"data": "photos", "classes": ["a", "b"], "mean": [0.1]}',
        "history": LINES.encode(),
    }[name]
    content = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        if not content:
            break
    read = {
        "best": load,
        "last": load_checkpoint,
        "filters": load_snapshots,
        "config": read_config,
        "history": lambda _: folder.read_history(),
    }[name]
    reads_or_refuses(read, getattr(folder, name), bytes(content))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its columns must be epoch, loss"),
        ("epoch,loss\n", "its columns must be epoch, loss"),
        (LINES.replace("\n2,", "\n3,"), "line 3 must be that of epoch 2"),
        (LINES.replace("0.4", "low"), "line 3: loss must be a number, got 'low'"),
        (LINES.replace("0.4,", ","), "line 3: loss must be a number, got ''"),
        (LINES.replace("2,0.4", "9" * 5000), "line 3 must be that of epoch 2, 8 cells"),
        ("\xff", "its columns must be"),
    ],
)
def test_a_history_that_is_none_is_refused_with_the_line(tmp_path, text, message):
    run = RunFolder(tmp_path)
    run.history.write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=message):
        run.read_history()


def test_metrics_that_files_cannot_hold_are_refused_when_saving(tmp_path):
    model = Model(NET, (4, 4, 1), engine="reference")
    for metrics in ({"a": "low"}, {1: 2.0}, {"a": None}, {"a": True}, {"x" * 1001: 1}, {"\ud800": 1}):
        model.metrics = metrics
        with pytest.raises(SettingError, match=r"model\.metrics"):
            model.save(tmp_path / "m")
    model.metrics = {"a": np.float32(0.5), "b": np.int64(3)}
    model.save(tmp_path / "m")
    assert load(tmp_path / "m").metrics == {"a": 0.5, "b": 3}


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path.parent)
    MODEL.save("~/m.safetensors")
    assert (tmp_path / "m.safetensors").is_file()
    assert load("~/m.safetensors").class_names == ("left", "right")
    (tmp_path / "last.safetensors").write_bytes(CHECKPOINT)
    assert load_checkpoint("~/last.safetensors").step == 4
    assert RunFolder("~/run").path == tmp_path / "run"
    assert RunFolder.create("named", "~/runs").path == tmp_path / "runs" / "named"
    FilterSnapshots(RunFolder("~/run").filters, MODEL, 0).save(MODEL, 1)
    assert load_snapshots("~/run/filters.safetensors").epochs == (0, 1)
    with pytest.raises(NeocogError, match=r"~nobodyofthatname/m cannot be written: there is no folder"):
        MODEL.save("~nobodyofthatname/m")


def test_what_is_written_is_read_the_same(tmp_path):
    for content, read in ((MODEL_FILE, load), (CHECKPOINT, load_checkpoint)):
        (tmp_path / "m").write_bytes(content)
        read(tmp_path / "m")
    header, document, body = taken_apart(MODEL_FILE)
    assert json.loads(json.dumps(document)) == document
    (tmp_path / "m").write_bytes(assembled(header, document, body))
    assert load(tmp_path / "m").graph == MODEL.graph
