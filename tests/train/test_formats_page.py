"""docs/formats.md is true: its example, its reader and its schema are held against the code."""

import dataclasses
import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import neocog
from conformance_graphs import VARIANTS
from neocog.data.resize import INTERPOLATIONS, RESIZE_KINDS
from neocog.model import modelfile
from neocog.model.files import tensor_bytes
from neocog.model.kinds import KINDS, to_json
from neocog.model.network import COLOR_ORDERS
from neocog.model.origin import Origin
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.layers import LAYERS, Conv2d, Flatten, Linear
from neocog.train import checkpoint, settings, snapshots
from neocog.train.history import COLUMNS
from neocog.train.model import Model
from neocog.train.runfolder import SPLIT_COLUMNS
from small_models import NET

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"
TEXT = PAGE.read_text(encoding="utf-8")


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    assert found, f"no {language} block"
    return found[1]


@pytest.fixture
def example(monkeypatch):
    monkeypatch.setattr(neocog, "__version__", "0.1.0", raising=False)
    model = Model(Sequential(Flatten(), Linear(2)), (1, 2, 1), ["left", "right"])
    model.load_state_dict({"1.weight": np.array([[1, -1], [-1, 1]]), "1.bias": np.array([0, 0.5])})
    return tensor_bytes(modelfile.document_of(model), model.state_dict())


def test_the_worked_example_is_what_is_written(example):
    rows = [line.split("  ") for line in block("hex").splitlines()]
    assert [int(row[0], 16) for row in rows] == list(range(0, len(example), 16))
    assert bytes.fromhex("".join(row[1] for row in rows)) == example
    assert f"of {len(example)} bytes" in TEXT


def test_the_reader_reads_the_example(example, tmp_path):
    (tmp_path / "m").write_bytes(example)
    names: dict = {}
    exec(block("python"), names)
    document, tensors = names["read"](tmp_path / "m")
    assert document["class_names"] == ["left", "right"]
    assert tensors == {"1.weight": ([2, 2], (1, -1, -1, 1)), "1.bias": ([2], (0, 0.5))}


def test_the_schema_names_the_keys_of_the_code():
    schema = json.loads(block("json schema"))
    entry = schema["properties"]["input"]
    assert tuple(schema["required"]) == modelfile._KEYS
    assert set(schema["properties"]) == {*modelfile._KEYS, *modelfile._OPTIONAL_KEYS, "sha256", "training"}
    assert tuple(entry["required"]) == modelfile._INPUT_KEYS
    assert tuple(entry["properties"]) == (*modelfile._INPUT_KEYS, *modelfile._OPTIONAL_INPUT_KEYS)
    assert tuple(entry["properties"]["resize"]["enum"]) == RESIZE_KINDS
    assert tuple(entry["properties"]["interpolation"]["enum"]) == INTERPOLATIONS
    assert tuple(schema["properties"]["origin"]["properties"]) == tuple(e.name for e in dataclasses.fields(Origin))
    assert entry["properties"]["color_order"]["enum"] == [*COLOR_ORDERS.values(), None]


def test_the_schema_describes_every_layer():
    definitions = json.loads(block("json schema"))["$defs"]
    by_kind = {}
    for definition in definitions.values():
        kind = definition.get("properties", {}).get("kind", {})
        for name in kind.get("enum", [kind["const"]] if "const" in kind else []):
            by_kind[name] = definition
    assert set(by_kind) == {kind.__name__ for kind in LAYERS}
    for kind in LAYERS:
        data = to_json(VARIANTS[kind][0])
        assert by_kind[kind.__name__]["required"] == list(data)
        assert list(by_kind[kind.__name__]["properties"]) == [
            "kind",
            *(entry.name for entry in dataclasses.fields(kind)),
        ]
        jsonschema.validate(data, {"$defs": definitions, "$ref": "#/$defs/layer"})


@pytest.mark.parametrize("net", [NET, Sequential(Residual(Conv2d(1, 1)), Flatten(), Linear(2))])
def test_a_whole_document_fits_the_schema(make_model, net):
    document = json.loads(json.dumps(modelfile.document_of(make_model(net))))
    jsonschema.validate(document, json.loads(block("json schema")))


def test_the_tables_name_every_key_and_column():
    for name in (*checkpoint._KEYS, *settings.OPTIONAL, *snapshots._KEYS, *COLUMNS, *SPLIT_COLUMNS):
        assert re.search(rf"^\|.*`{name}`", TEXT, re.MULTILINE), name
    for kinds in KINDS.values():
        for kind in kinds:
            assert kind.__name__ in TEXT
