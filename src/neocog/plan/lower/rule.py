"""What a layer's rule is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neocog.nn.layer import Layer
from neocog.plan.lower.lowering import Lowering
from neocog.plan.passes.steps import PlanStep

Lower = Callable[[Lowering, PlanStep], None]


@dataclass(frozen=True, slots=True)
class LoweringRule:
    """How a layer becomes tasks.

    Arguments:
        forward: finds what the step gives: an output in memory, or a formula.
        backward: from the gradient of that, contributes to the gradients of the step's inputs and plans those of its
            parameters.
    """

    forward: Lower
    backward: Lower


Rules = dict[type[Layer], LoweringRule]
