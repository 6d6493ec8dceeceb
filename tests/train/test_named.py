"""Optimizers and schedules by name."""

from __future__ import annotations

from neocog.nn.optimizers import SGD, Adam, AdamW
from neocog.train.named import make_optimizer


def test_optimizers_have_the_defaults_of_the_help_page():
    assert make_optimizer("adam", None, None, None) == Adam(0.001)
    assert make_optimizer("adamw", None, None, None) == AdamW(0.003, weight_decay=0.05)
    assert make_optimizer("sgd", None, None, None) == SGD(0.05, momentum=0.9)
    assert make_optimizer("sgd", 0.1, 0.2, 0.0) == SGD(0.1, weight_decay=0.2, momentum=0.0)
    assert make_optimizer("adamw", 0.1, 0.0, None) == AdamW(0.1, weight_decay=0.0)
