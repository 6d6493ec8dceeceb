"""`neocog serve`: what it refuses before it listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.serve.conftest import make_models
from neocog.app.cli.errors import message_of
from neocog.app.cli.main import cli


def told(*words: str) -> tuple[str, int]:
    """Return what a command that fails says, and its exit code."""
    found = CliRunner().invoke(cli, ["serve", *words], standalone_mode=False)
    assert found.exception is not None
    message, code = message_of(found.exception)
    assert message is not None
    return message, code


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(make_models(tmp_path)[0])


def test_other_machines_need_a_token_or_the_word_that_there_is_none(model: str) -> None:
    message, code = told(model, "--host", "0.0.0.0")
    assert "--no-token" in message
    assert code == 2


@pytest.mark.parametrize("text", ["", "short", "two words of some length", "é" * 20])
def test_a_token_must_be_one(model: str, tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    message, code = told(model, "--token-file", str(tmp_path / "token"))
    assert "at least 16" in message
    assert code == 2


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"no model")
    assert told(str(tmp_path / "a.safetensors"))[1] == 1
    assert told(str(tmp_path / "other"))[1] == 2


def test_two_models_need_two_names(model: str, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    message, _ = told(model, str(make_models(tmp_path / "b")[0]))
    assert "both be served as pets" in message


def test_a_port_that_is_taken_is_told(model: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        message, code = told(model, "--port", str(other.getsockname()[1]))
    assert "cannot be used" in message
    assert code == 1
