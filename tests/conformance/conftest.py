"""The engines that the conformance tests try."""

import importlib

import pytest

from neocog.engines import get_engine
from neocog.engines.native import NativeEngine
from neocog.errors import EngineError
from neocog.jit import executable


@pytest.fixture(params=["native", "torch"], scope="session")
def engine(request):
    """An engine, by its name; skipped where it cannot run."""
    try:
        importlib.import_module(f"neocog.engines.{request.param}")
    except (ModuleNotFoundError, EngineError) as error:
        pytest.skip(f"the {request.param} engine cannot run here: {error}")
    # The direct sum forms the reference's own products; Winograd's algorithm forms others, and has tests of its own.
    return NativeEngine(algorithm="direct") if request.param == "native" else get_engine(request.param)


@pytest.fixture
def shared(monkeypatch):
    """Let threads share programs however short they are, more of them than there are processors too."""
    monkeypatch.setattr(executable, "WORTH_MEETING", 0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0)
    monkeypatch.setenv("NEOCOG_THREADS", "8")
