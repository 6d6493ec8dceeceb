"""Enlarging by interpolation: a copy that repeats pixels, or weighted means."""

from __future__ import annotations

from neocog.nn.layers import Upsample
from neocog.nn.window import pair
from neocog.plan.layout import Tensor
from neocog.plan.lower.rearrangement import one_op
from neocog.plan.lower.rule import Rules
from neocog.plan.ops.copy import repeated, totalled
from neocog.plan.ops.interpolation import Interpolate, InterpolateGradient
from neocog.plan.ops.op import Op
from neocog.plan.passes.steps import PlanStep


def _enlarge(title: str, x: Tensor, y: Tensor, step: PlanStep) -> Op:
    layer = step.node.layer
    assert isinstance(layer, Upsample)
    return Interpolate(title, x, y) if layer.mode == "bilinear" else repeated(title, x, y, *pair(layer.scale))


def _shrink(title: str, dy: Tensor, dx: Tensor, step: PlanStep) -> Op:
    layer = step.node.layer
    assert isinstance(layer, Upsample)
    return (
        InterpolateGradient(title, dy, dx) if layer.mode == "bilinear" else totalled(title, dy, dx, *pair(layer.scale))
    )


RULES: Rules = {Upsample: one_op(_enlarge, _shrink)}
