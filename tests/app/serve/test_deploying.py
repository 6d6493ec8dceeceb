"""The examples of deployments are sound, as far as it can be told without building an image or a cluster."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from neocog.app.cli.serve import command

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "serving"


def tool(name: str) -> str:
    """Return the path of a program, beside this Python or elsewhere."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*words: str) -> str:
    """Run a program, which must succeed, and return what it says."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_dockerfile_passes_hadolint() -> None:
    run(tool("hadolint"), str(EXAMPLES / "Dockerfile"))


def test_the_unit_passes_systemd(tmp_path: Path) -> None:
    text = (EXAMPLES / "neocog.service").read_text()
    unit = tmp_path / "neocog.service"
    unit.write_text(text.replace("/opt/neocog/bin/neocog", sys.executable))  # a program that is there
    assert "neocog.service" not in run(tool("systemd-analyze"), "verify", str(unit))


def test_the_manifest_passes_kubernetes_schemas() -> None:
    run(tool("kubernetes-validate"), "--strict", str(EXAMPLES / "kubernetes.yaml"))


def commands() -> dict[str, list[str]]:
    """Return the words behind `neocog serve` in each example."""
    docker, unit = (EXAMPLES / "Dockerfile").read_text(), (EXAMPLES / "neocog.service").read_text()
    entry, words = (
        json.loads(re.search(rf"^{key} (\[.*\])$", docker, re.MULTILINE)[1]) for key in ("ENTRYPOINT", "CMD")
    )
    started = re.search(r"^ExecStart=\S+ serve (.*)$", unit, re.MULTILINE)[1].split()
    given = re.search(r"args: \[(.*)\]", (EXAMPLES / "kubernetes.yaml").read_text())[1]
    return {
        "Dockerfile": [*entry[2:], *words],
        "neocog.service": started,
        "kubernetes.yaml": [word.strip().strip('"') for word in given.split(",")],
    }


@pytest.mark.parametrize("name", commands())
def test_the_command_in_an_example_has_flags_that_there_are(name: str) -> None:
    words = commands()[name]
    context = command.make_context("serve", words, parent=click.Context(click.Command("neocog")))
    assert len(context.params["model"]) == 1
    assert context.params["host"] == "127.0.0.1" or context.params["no_token"] or context.params["token_file"]
