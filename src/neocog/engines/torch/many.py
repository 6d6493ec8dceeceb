"""Several tensors as one number: a formula of +, - and * over all of them, with one kernel for many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class Many:
    """Tensors that a formula is applied to alike.

    >>> tensors = Many([torch.ones(2), torch.zeros(1)])
    >>> (tensors + 0.5 * (tensors - tensors)).tensors
    [tensor([1., 1.]), tensor([0.])]
    """

    def __init__(self, tensors: Sequence[Any]) -> None:
        self.tensors = list(tensors)

    def __add__(self, other: Many | float) -> Many:
        return Many(torch._foreach_add(self.tensors, _own(other)))

    __radd__ = __add__

    def __sub__(self, other: Many | float) -> Many:
        return Many(torch._foreach_sub(self.tensors, _own(other)))

    def __rsub__(self, other: float) -> Many:
        return -1.0 * self + other

    def __mul__(self, other: Many | float) -> Many:
        return Many(torch._foreach_mul(self.tensors, _own(other)))

    __rmul__ = __mul__


def _own(other: Many | float) -> Any:
    return other.tensors if isinstance(other, Many) else other
