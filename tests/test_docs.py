"""What docs/ and README.md tell readers to type is right: Python runs, commands and their options exist.

docs/ecosystem.md, hub.md, serving.md, formats.md, shards.md and adding-a-layer.md need more around them: tests of
their own.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

import neocog as nc
from neocog.app.cli.main import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ELSEWHERE = {"ecosystem.md", "hub.md", "serving.md", "formats.md", "adding-a-layer.md", "shards.md"}
HERE = [page for page in PAGES if page.name not in ELSEWHERE and "```python" in page.read_text()]


def blocks(page: Path, language: str) -> list[str]:
    """Return a page's code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def small_network() -> nc.Model:
    """Some network, with names of layers that docs/transfer.md speaks of."""
    x = nc.Input((28, 28, 1))
    y = nc.ReLU()(nc.Conv2d(4, 3)(x, name="stem.0"), name="blocks.4.2.add")
    y = nc.GlobalAvgPool2d()(y, name="global_pool")
    return nc.Model(nc.Graph(x, nc.Linear(10)(y, name="classes")), (28, 28, 1), [str(digit) for digit in range(10)])


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the pages take as given, in an empty folder: images with labels, a model, files."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    model = small_network()
    Path("runs/digits").mkdir(parents=True)
    model.save("runs/digits/model.safetensors")
    monkeypatch.setattr("neocog.interop.pretrained.backbone", lambda name: small_network())
    monkeypatch.setattr("neocog.explain.show", lambda model, image: None)
    Path("labels.txt").write_text("\n".join(model.class_names))
    images = random.random((40, 28, 28, 1), np.float32)
    names = [f"digit {number}" for number in range(10)]
    given = {
        "nc": nc,
        "images": images,
        "image": images[0],
        "labels": np.arange(40) % 10,
        "names": names,
        "model": model,
    }
    return {**given, "mean": 0.5, "std": 0.25}


@pytest.mark.parametrize("page", HERE, ids=[page.name for page in HERE])
def test_the_python_of_a_page_runs(page: Path, world: dict[str, Any]) -> None:
    if page.name == "pytorch.md":
        torch = pytest.importorskip("torch")
        state = nc.Model(nc.zoo.resnet18(1000), (224, 224, 3)).state_dict()
        torch.save({name: torch.from_numpy(np.array(value)) for name, value in state.items()}, "resnet18.pth")
        world |= {"names": [str(number) for number in range(1000)], "mean": (0.5,) * 3, "std": (0.25,) * 3}
    if page.name == "onnx.md":
        pytest.importorskip("onnx")
        write_onnx("resnet.onnx")
    if page.name == "transfer.md":
        world["labels"] = world["labels"] % 2
    if page.name == "explaining.md":
        world["model"] = nc.Model(nc.zoo.article(10), (28, 28, 1), ["cat", *"123456789"])
    for block in blocks(page, "python"):
        exec(block, world)
    if page.name == "python.md":
        assert world["probabilities"].shape == (40, 10)
        assert world["model"].graph.nodes[-1].name == "classes"


def write_onnx(path: str) -> None:
    """Write a small network as somebody else's ONNX file."""
    import onnx

    from onnx_files import model, node

    random = np.random.default_rng(0)
    constants = {
        "w": random.standard_normal((4, 1, 3, 3), np.float32),
        "v": random.standard_normal((10, 4), np.float32),
    }
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Relu", ["a"], ["b"]), node("GlobalAveragePool", ["b"], ["c"])]
    nodes += [node("Flatten", ["c"], ["d"]), node("Gemm", ["d", "v"], ["y"], transB=1)]
    onnx.save(model(nodes, ("N", 1, 28, 28), constants), path)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Give every `neocog …` of the pages, with the page that it stands on."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.replace("'neocog[", "'["), comments=True)
                place = next((at for at, word in enumerate(words) if word.rpartition("/")[2] == "neocog"), None)
                if place is not None and not any(word in ("docker", "systemctl") for word in words):
                    ends = [at for at, word in enumerate(words) if word in ("&&", "&", "|", ">", ";") and at > place]
                    yield str(page.relative_to(ROOT)), words[place + 1 : min(ends, default=len(words))]


COMMANDS = list(commands())


def test_the_pages_hold_commands() -> None:
    assert len(COMMANDS) > 50


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=[f"{page}: {' '.join(words)}"[:90] for page, words in COMMANDS]
)
def test_a_command_and_its_options_exist(page: str, words: list[str]) -> None:
    verb = cli.get_command(click.Context(cli), words[0])
    assert verb is not None, f"{page}: neocog has no verb {words[0]}"
    known = {option for parameter in verb.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help"
    }
    for word in words[1:]:
        if re.match(r"--?[a-z]", word):
            assert word.split("=")[0] in known, f"{page}: neocog {words[0]} has no option {word}"
