"""Every table of rules knows every layer: a layer that one engine lacks is found here, not by a user."""

import importlib

import pytest

from neocog.errors import EngineError
from neocog.nn.layers import LAYERS

# The tables, as module and name. A new room that computes something adds its own.
TABLES = {
    "reference": ("neocog.reference.rules", "RULES"),
    "explain": ("neocog.explain.rules", "RULES"),
    "torch": ("neocog.engines.torch.modules", "RULES"),
}


@pytest.mark.parametrize("room", TABLES)
def test_a_table_has_a_rule_for_every_layer_and_for_nothing_else(room):
    module, name = TABLES[room]
    try:
        table = getattr(importlib.import_module(module), name)
    except EngineError as error:
        pytest.skip(str(error))
    missing = [layer.__name__ for layer in LAYERS if layer not in table]
    unknown = [layer.__name__ for layer in table if layer not in LAYERS]
    assert not missing, f"{room} has no rule for {', '.join(missing)}"
    assert not unknown, f"{room} has rules for {', '.join(unknown)}, which nn/ does not list in LAYERS"
