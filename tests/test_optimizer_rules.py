"""Every room's table of rules has an entry for each optimizer but Lookahead, which goes around one, and no others."""

import importlib

import pytest

from neocog.emit import optimizers as emit
from neocog.nn.optimizers import OPTIMIZERS, Lookahead
from neocog.reference import optimizer as reference


@pytest.mark.parametrize("room", [emit, reference], ids=["emit", "reference"])
def test_every_optimizer_has_a_rule(room):
    assert set(room.RULES) == set(OPTIMIZERS) - {Lookahead}


def test_every_optimizer_has_a_rule_in_pytorch():
    pytest.importorskip("torch")
    rules = importlib.import_module("neocog.engines.torch.optimizers").RULES
    assert set(rules) == set(OPTIMIZERS) - {Lookahead}
    for kind, rule in rules.items():
        assert set(kind().memory) <= set(rule.memory)
