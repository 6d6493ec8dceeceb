"""Small files that ask for much: refused, with the place, before memory or time is taken."""

import os
import re

import numpy as np
import pytest

from hostile_files import CHECKPOINT, MODEL_FILE, within_memory
from json_mutation import assembled, deep, taken_apart
from neocog.engines import room
from neocog.errors import FormatError, SettingError
from neocog.model.files import MAX_HEADER, tensor_bytes
from neocog.model.json_values import parse_json
from neocog.model.kinds import to_json
from neocog.model.modelfile import document_of
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Flatten, Linear, MaxPool2d
from neocog.train.checkpoint import load_checkpoint
from neocog.train.model import Model, load
from neocog.train.runfolder import RunFolder, read_config
from neocog.train.snapshots import load_snapshots


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
