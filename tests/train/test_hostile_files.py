"""Files from anywhere, changed in any way: they load, or are refused by a FormatError; nothing else happens."""

import contextlib
import json
import math
import os
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_mutation import ANY, assembled, deep, mutated, often, taken_apart, to_text
from neocog.engines import room
from neocog.errors import FormatError, NeocogError, SettingError
from neocog.model.files import MAX_HEADER, tensor_bytes
from neocog.model.json_values import parse_json
from neocog.model.kinds import to_json
from neocog.model.modelfile import document_of, whole_tensors_of
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.optimizers import Adam
from neocog.nn.schedules import Cosine
from neocog.train.checkpoint import Checkpoint, checkpoint_bytes, load_checkpoint
from neocog.train.history import COLUMNS, EpochResult, History
from neocog.train.model import Model, load
from neocog.train.runfolder import RunFolder, read_config
from neocog.train.settings import TrainingSettings
from neocog.train.snapshots import FilterSnapshots, load_snapshots
from neocog.train.trainer import Trainer

NET = Sequential(Conv2d(2, 3, padding=1), ReLU(), MaxPool2d(2), Sequential(Flatten(), Dropout(0.1), Linear(2)))
MODEL = Model(NET, (4, 4, 1), ["left", "right"], mean=0.25, std=0.1, engine="reference")
MODEL.metrics = {"epoch": 1, "accuracy": 0.5}
MODEL.learnt_from = np.array([3, 5, 2**64 - 1], np.uint64)
MODEL_FILE = tensor_bytes(document_of(MODEL), MODEL.state_dict(), whole_tensors_of(MODEL))
MOST_MEMORY = 64 << 20  # bytes that reading a file of a few kilobytes may take


def _checkpoint() -> bytes:
    trainer = Trainer(MODEL, Adam(0.01))
    trainer.step(np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1]))
    epochs = [EpochResult(n, 0.5, 0.75, 0.6, 0.5, 0.01, 1.5, 99.0) for n in (1, 2)]
    made = Checkpoint(
        MODEL,
        trainer.optimizer_state(),
        step=4,
        settings=TrainingSettings(
            epochs=3, batch_size=2, seed=1, optimizer=Adam(0.01), schedule=Cosine(), patience=2, time_limit=60.0
        ),
        history=History(epochs),
        config={"data": "x", "images": {"train": 3}},
    )
    return checkpoint_bytes(made)


CHECKPOINT = _checkpoint()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> RunFolder:
    return RunFolder(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def snapshot_file(folder) -> bytes:
    shots = FilterSnapshots(folder.filters, MODEL, 0)
    shots.save(MODEL, 1)
    return folder.filters.read_bytes()


@contextlib.contextmanager
def within_memory():
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


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


LINES = "\n".join([",".join(COLUMNS), "1,0.5,0.5,,,0.1,1.0,9.0", "2,0.4,0.6,0.5,0.5,0.1,1.0,9.0", ""])
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


def with_document(change, content: bytes = MODEL_FILE) -> bytes:
    header, document, body = taken_apart(content)
    change(document)
    return assembled(header, document, body)


def layers_are(*layers) -> bytes:
    def change(document):
        document["nodes"] = [{"name": f"{n}", "inputs": [n - 1], "layer": layer} for n, layer in enumerate(layers)]

    return with_document(change)


HUGE = 10**4000
CONV = to_json(Conv2d(2, 3))
POOL = to_json(MaxPool2d(2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (layers_are({**CONV, "padding": HUGE}), "padding must be at most 65,536 pixels, got an integer of 13,288 bits"),
        (layers_are({**CONV, "stride": [1, HUGE]}), "stride must be at most 65,536"),
        (layers_are({**CONV, "kernel": HUGE}), "kernel must be at most 65,536"),
        (layers_are({**CONV, "dilation": HUGE}), "dilation must be at most 65,536"),
        (layers_are({**CONV, "channels": HUGE}), "channels must be at most 16,777,216"),
        (layers_are({**CONV, "padding": 60_000, "stride": 60_000}), "padding included, at most"),
        (layers_are({**CONV, "padding": 5000}, to_json(Flatten())), "padding included, at most"),
        (layers_are({**POOL, "window": 60_000, "padding": 30_000}), "padding included, at most"),
        (layers_are({**POOL, "window": [1, HUGE]}), "window must be at most 65,536"),
        (layers_are({"kind": "Linear", "features": HUGE, "bias": True}), "features must be at most"),
        (layers_are({"kind": "Dropout", "rate": HUGE}), "rate must lie in"),
        (layers_are(*[{"kind": "ReLU"}] * 1001), "at most 1,000 layers"),
        (layers_are(*[{"kind": "ReLU"}] * 100_000), "at most 1,000 layers"),
        (with_document(lambda d: d["input"].update(height=65536, width=65536)), "at most 16,777,216 pixels"),
        (with_document(lambda d: d["input"].update(channels=65536)), "input.color_order must be None"),
        (with_document(lambda d: d["input"].update(height=4096, width=4096, channels=64)), "pixels and 536,870,912"),
        (with_document(lambda d: d["input"].update(height=HUGE)), "input.height must be at most"),
        (with_document(lambda d: d.update(class_names=["a"] * 300_000)), "'a' more than once"),
        (with_document(lambda d: d.update(class_names=[str(n) for n in range(100_000)])), "as many as the network's"),
        (with_document(lambda d: d.update(class_names=["x" * 1001, "y"])), "at most 1,000 characters"),
        (with_document(lambda d: d.update(metrics={str(n): 1 for n in range(1001)})), "metrics may hold at most"),
        (with_document(lambda d: d.update(metrics={"x" * 1001: 1})), "at most 1,000 characters"),
        (with_document(lambda d: d.update(metrics={"loss": deep(80)})), "metrics.loss must be a finite number"),
        (with_document(lambda d: d.update(metrics={"loss": 10**400})), "metrics.loss must be a finite number"),
        (with_document(lambda d: d.update(metrics={"\ud800": 1})), "is not valid Unicode"),
        (with_document(lambda d: d.update(neocog_version=deep(150))), "is nested too deep"),
        (with_document(lambda d: d.update(neocog_version="@deep@")), "is nested too deep"),
        (with_document(lambda d: d.update(neocog_version="@5000 digits@")), "is not valid JSON"),
        (with_document(lambda d: d["input"].update(mean=["@1e999@"])), "beyond what a float can hold"),
        (with_document(lambda d: d["input"].update(mean=[float("nan")])), "NaN is not JSON"),
        (with_document(lambda d: d.update({f"x{n}": 0 for n in range(5000)})), "and 4,992 more"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_a_small_file_may_not_ask_for_is_named_before_memory_is_taken(tmp_path, content, message):
    path = tmp_path / "m"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=re.escape(message)) as caught:
        load(path)
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(step=10**4000), "training.step must be at most"),
        (lambda t: t.update(epochs=10**4000), "training.epochs must be at most"),
        (lambda t: t.update(seed=2**64), "training.seed must be at most 18,446,744,073,709,551,615"),
        (
            lambda t: t.update(schedule={"kind": "Step", "at": [0.5], "drop": 10**400}),
            "drop must be above 0 and finite, got an integer of 1,329 bits",
        ),
        (lambda t: t.update(schedule={"kind": "Step", "at": [0.5] * 5000, "drop": 0.5}), "at most 1,000 positions"),
        (lambda t: t["history"][0].update(seconds=-1.0), "seconds must be 0 or more"),
        (lambda t: t["history"][0].update(learning_rate=-1), "learning_rate must be 0 or more"),
        (lambda t: t.update(settings={"data": deep(150)}), "nested too deep"),
        (lambda t: t.update(settings={"data": "\udfff"}), "not valid Unicode"),
    ],
)
def test_what_a_training_may_not_ask_for_is_named(tmp_path, change, message):
    path = tmp_path / "last.safetensors"
    path.write_bytes(with_document(lambda document: change(document["training"]), CHECKPOINT))
    with pytest.raises(FormatError, match=re.escape(message)):
        load_checkpoint(path)


def test_a_small_file_of_a_large_network_is_refused_and_the_largest_images_are_not(tmp_path):
    pooled = Sequential(MaxPool2d(4096), Flatten(), Linear(2))
    for side, fits in ((4096, True), (4097, False)):
        document = {**document_of(Model(pooled, (4096, 4096, 1)))}
        document["input"] = {**document["input"], "height": side}
        state = {"2.weight": np.zeros((2, 1), np.float32), "2.bias": np.zeros(2, np.float32)}
        path = tmp_path / f"{side}"
        path.write_bytes(tensor_bytes(document, state))
        if fits:
            assert load(path).input_shape == (4096, 4096, 1)
        else:
            with pytest.raises(FormatError, match="hint: 4096 x 4096 pixels are possible"):
                load(path)


def test_many_names_in_snapshots_are_refused_before_their_products_are_made(tmp_path):
    names = [str(n) for n in range(5000)]
    path = tmp_path / "filters.safetensors"
    for document, message in (
        (
            {"format": 2, "layers": ["0"], "epochs": list(range(5000)), "maps": []},
            "epochs may be at most 24, got 5,000",
        ),
        ({"format": 2, "layers": names, "epochs": [0], "maps": []}, "layers may be at most 512, got 5,000"),
    ):
        path.write_bytes(tensor_bytes(document, {"x": np.zeros(1, np.float32)}))
        with pytest.raises(FormatError, match=message):
            load_snapshots(path)


def test_a_key_that_occurs_twice_among_very_many_is_found_at_once():
    pairs = [f'"{n}": 0' for n in range(200_000)]
    with pytest.raises(FormatError, match="'199999' occurs twice"):
        parse_json("{" + ", ".join([*pairs, '"199999": 1']) + "}", "here")


def test_a_header_longer_than_its_reader_takes_is_not_written(tmp_path):
    with pytest.raises(SettingError, match="the header of a file may take 10,000,000 bytes"):
        tensor_bytes({"text": "x" * MAX_HEADER}, {"a": np.zeros(1, np.float32)})


READERS = {
    "model": load,
    "checkpoint": load_checkpoint,
    "snapshots": load_snapshots,
    "config": read_config,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_what_is_no_file_is_refused_without_waiting(tmp_path, read):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, kind in (("fifo", "it is a fifo, not a file"), ("zero", "it is a device, not a file")):
        with pytest.raises(FormatError, match=f"{name} cannot be read: {kind}"):
            read(tmp_path / name)
    with pytest.raises(FormatError, match=r"no file can have this name|cannot be read"):
        read("a\0b")


def test_a_history_that_is_no_file_is_refused_without_waiting(tmp_path):
    run = RunFolder(tmp_path)
    os.mkfifo(run.history)
    with pytest.raises(FormatError, match="it is a fifo, not a file"):
        run.read_history()


def test_a_sparse_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "m"
    with path.open("wb") as file:
        file.write(MODEL_FILE)
        file.truncate(1 << 40)
    with within_memory(), pytest.raises(FormatError, match=r"1,099,511,627,776 bytes, at most [\d,]+ are read"):
        load(path)
    with path.open("r+b") as file:
        file.truncate(1 << 33)  # of a size that is read, but not the one that its header tells
    with within_memory(), pytest.raises(FormatError, match=r"is damaged: \d+ bytes of tensors were expected"):
        load(path)


def test_a_sparse_file_that_is_as_long_as_it_says_is_not_read_into_memory_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "available_memory", lambda: 2_000_000_000)
    header, document, body = taken_apart(MODEL_FILE)
    header["x"] = {"dtype": "F32", "shape": [1 << 30], "data_offsets": [len(body), len(body) + (4 << 30)]}
    content = assembled(header, document, body)
    path = tmp_path / "m"
    path.write_bytes(content)
    os.truncate(path, len(content) + (4 << 30))
    with within_memory(), pytest.raises(FormatError, match=r"take 17\.2 GB of memory, 2\.0 GB are left"):
        load(path)


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
