"""Clients that exist work unchanged, and get the bits that `neocog predict` gives."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest
from click.testing import CliRunner

import neocog as nc
from app.serve.conftest import LABELS, NAMES, Served, picture
from neocog.app.cli.main import cli

DOCS = Path(__file__).resolve().parents[3] / "docs" / "serving.md"


def predicted(model: Path, file: Path, *flags: str) -> dict[str, object]:
    """Return what `neocog predict --json` says of a file."""
    found = CliRunner().invoke(cli, ["predict", str(model), str(file), "--json", *flags], standalone_mode=False)
    assert found.exception is None
    return json.loads(found.stdout)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_scores_are_those_of_predict_to_the_bit(
    running: Served, client: httpx.Client, kind: str, tmp_path: Path
) -> None:
    file = tmp_path / "picture"
    file.write_bytes(picture(7, kind=kind))
    want = predicted(running.models[0], file, "--top", "5")
    got = client.post("/", content=file.read_bytes()).json()
    assert [entry["score"] for entry in got] == [entry["probability"] for entry in want["top"]]
    assert got[0]["label"] == want["class"]
    assert [entry["label"] for entry in got[1:]] == [entry["class"] for entry in want["top"][1:]]


def test_what_is_not_certain_enough_is_unknown_as_in_predict(running: Served, client: httpx.Client) -> None:
    model = nc.load(running.models[0])
    files = [picture(seed) for seed in range(12)]
    answers = [client.post("/", content=file).json()[0] for file in files]
    sure = [model.predict_proba([file], batch_size=64).max() >= model.reject_below for file in files]
    assert len(set(sure)) == 2
    assert [answer["label"] != "unknown" for answer in answers] == sure


def test_of_several_labels_those_above_their_thresholds_are_given(
    running: Served, client: httpx.Client, tmp_path: Path
) -> None:
    file = tmp_path / "picture"
    file.write_bytes(picture(9))
    want = predicted(running.models[1], file)
    got = client.post("/models/colours", content=file.read_bytes()).json()
    assert [entry["label"] for entry in got] == want["labels"]
    every = client.post("/models/colours?top_k=3", content=file.read_bytes()).json()
    assert {entry["label"]: entry["score"] for entry in every} == want["probabilities"]


def test_hugging_faces_client_works(running: Served) -> None:
    hub = pytest.importorskip("huggingface_hub")
    want = httpx.post(running.address, content=picture(3)).json()
    asking = hub.InferenceClient(model=running.address)
    got = asking.image_classification(picture(3))
    assert [(entry.label, entry.score) for entry in got] == [(entry["label"], entry["score"]) for entry in want]
    two = hub.InferenceClient(model=f"{running.address}/models/pets").image_classification(picture(3), top_k=2)
    assert [(entry.label, entry.score) for entry in two] == [(entry["label"], entry["score"]) for entry in want[:2]]


@pytest.fixture
def triton(running: Served):
    """Triton's client, and its module."""
    module = pytest.importorskip("tritonclient.http")
    made = module.InferenceServerClient(running.address.removeprefix("http://"))
    yield made, module
    made.close()


def test_tritons_client_finds_what_there_is(triton) -> None:
    client, _ = triton
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("pets")
    assert client.get_server_metadata()["name"] == "neocog"
    about = client.get_model_metadata("pets")
    assert about["outputs"][0] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(NAMES)]}
    assert not client.is_model_ready("other")


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_sends_files_and_tensors(running: Served, triton, binary: bool) -> None:
    client, module = triton
    model = nc.load(running.models[0])
    files = [picture(seed) for seed in (1, 2, 3)]
    sent = np.array(files, object) if binary else np.array([_base64(file) for file in files], object)
    image = module.InferInput("image", [3], "BYTES").set_data_from_numpy(sent, binary_data=binary)
    wanted = [module.InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "label")]
    found = client.infer("pets", [image], outputs=wanted, request_id="seven")
    assert found.get_response()["id"] == "seven"
    want = model.predict_proba(files, batch_size=64)
    np.testing.assert_array_equal(found.as_numpy("probabilities"), want)
    texts = [text.decode() if isinstance(text, bytes) else text for text in found.as_numpy("label")]
    assert texts == ["unknown" if p.max() < model.reject_below else NAMES[p.argmax()] for p in want]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 12, 14, 3), np.uint8)
    for array, kind in ((pixels, "UINT8"), ((pixels / 255).astype(np.float32), "FP32")):
        tensor = module.InferInput("pixels", [*array.shape], kind).set_data_from_numpy(array, binary_data=binary)
        got = client.infer("pets", [tensor], outputs=wanted[:1]).as_numpy("probabilities")
        np.testing.assert_array_equal(got, model.predict_proba(array, batch_size=64))


def _base64(file: bytes) -> bytes:
    import base64

    return base64.b64encode(file)


def test_tritons_client_asks_for_classes(running: Served, triton) -> None:
    client, module = triton
    image = module.InferInput("image", [1], "BYTES").set_data_from_numpy(np.array([picture(4)], object))
    wanted = module.InferRequestedOutput("probabilities", class_count=2)
    texts = client.infer("colours", [image], outputs=[wanted]).as_numpy("probabilities")
    assert texts.shape == (1, 2)
    for text in texts[0]:
        probability, place, name = text.decode().split(":")
        assert LABELS[int(place)] == name
        assert 0 <= float(probability) <= 1


@pytest.mark.parametrize(("place", "package"), [(0, "huggingface_hub"), (1, "tritonclient.http")])
def test_python_of_the_documentation_works(
    running: Served, place: int, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.jpg").write_bytes(picture(5))
    blocks = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    code = blocks[place].replace("127.0.0.1:8000", running.address.removeprefix("http://")).replace("photos", "pets")
    *before, last = code.strip().splitlines()
    world: dict[str, object] = {}
    exec("\n".join(before), world)
    assert len(eval(last, world))


def lines() -> list[str]:
    """Return the curl commands that the documentation shows for a server that runs."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith("curl ")]


@pytest.mark.parametrize("line", lines())
def test_lines_of_the_documentation_work(running: Served, line: str, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(picture(5))
    line = line.replace("http://127.0.0.1:8000", running.address).replace("photos", "pets")
    words = shlex.split(line) if "$(" not in line else ["bash", "-c", line]
    told = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert "error" not in told.stdout
    assert told.stdout.startswith(("[", "{", "# HELP"))


def test_there_are_such_lines() -> None:
    assert len(lines()) >= 5
