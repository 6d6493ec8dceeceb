"""Every table of rules knows every layer: a layer that one engine lacks is found here, not by a user."""

import importlib
import sys

import pytest

from neocog.emit import pointwise
from neocog.emit.activation import ACTIVATIONS
from neocog.emit.emitters import EMITTERS
from neocog.errors import EngineError
from neocog.nn.layers import LAYERS, Activation
from neocog.nn.rewrite import ScaleShift
from neocog.plan.ops.chain import Chain
from neocog.plan.ops.exchange import EXCHANGES
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Pointwise
from neocog.reference.activation import FUNCTIONS

# The tables, as module and name. A new room that computes something adds its own.
TABLES = {
    "reference": ("neocog.reference.rules", "RULES"),
    "lower": ("neocog.plan.lower.rules", "RULES"),
    "explain": ("neocog.explain.rules", "RULES"),
    "torch": ("neocog.engines.torch.modules", "RULES"),
    "onnx": ("neocog.interop.onnx.operations", "RULES"),
    "source": ("neocog.interop.pytorch.source", "RULES"),
}


@pytest.mark.parametrize("room", TABLES)
def test_a_table_has_a_rule_for_every_layer_and_for_nothing_else(room):
    module, name = TABLES[room]
    try:
        table = getattr(importlib.import_module(module), name)
    except EngineError as error:
        pytest.skip(str(error))
    made = {ScaleShift}  # what graphs are rewritten with; nobody writes it into a network
    missing = [layer.__name__ for layer in LAYERS if layer not in table]
    unknown = [layer.__name__ for layer in table if layer not in LAYERS and layer not in made]
    assert not missing, f"{room} has no rule for {', '.join(missing)}"
    assert not unknown, f"{room} has rules for {', '.join(unknown)}, which nn/ does not list in LAYERS"


def kinds_of(base: type) -> set[type]:
    """Return all classes with a base that modules hold, and that are no base of others."""
    found = set()
    for kind in base.__subclasses__():
        # A dataclass with slots is made twice; only one of the two is in its module.
        if getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind:
            found |= kinds_of(kind) or {kind}
    return found


def test_every_op_but_chains_and_exchanges_has_an_emitter():
    assert kinds_of(Op) - set(EMITTERS) == {Chain, *EXCHANGES}
    assert all(issubclass(kind, Op) for kind in EMITTERS)


def test_every_step_of_an_expression_is_emitted():
    assert set(pointwise.RULES) == kinds_of(Pointwise)


def test_every_activation_is_a_function_in_the_reference_and_in_emitted_code():
    activations = {layer for layer in LAYERS if issubclass(layer, Activation)}
    assert activations == set(FUNCTIONS) == set(ACTIVATIONS)
