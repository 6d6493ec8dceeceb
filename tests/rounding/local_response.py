"""Local response normalization."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neocog.nn.layers import Layer, LocalResponseNorm
from neocog.reference import local_response
from rounding.rule import EXP, Back, Rule, Stray, Use, gamma


@dataclass(frozen=True)
class Base:
    """The base s of a local response normalization, exactly and at worst.

    exact, least: s, and the least that it may be. Powers of s with a negative exponent are convex, so that they stray
    most where s is least.
    logarithm: the largest that |log s| may be.
    """

    exact: np.ndarray
    least: np.ndarray
    logarithm: np.ndarray

    def power(self, exponent: float) -> np.ndarray:
        """Return what s^-exponent is at most, without rounding."""
        return self.least**-exponent

    def rounding(self, exponents: float, powers: int) -> np.ndarray:
        """Bound the relative error of a product of powers of s, with exponents of so much in all.

        Each is exp(exponent · log s): the logarithm, and the product with it, are rounded, and then the exponential.
        """
        return np.expm1(exponents * self.logarithm * gamma(2 * EXP + 2)) * (1 + gamma(2 * EXP * powers)) + gamma(
            2 * EXP * powers
        )


def _base(use: Use) -> Base:
    """Follow s = k + α / size · sum x²: each square takes a rounding, the factor three, the sum and k one each."""
    layer, size = use.layer, use.sizes[0]
    beside, factor = layer.beside(use.x.shape[-1]), layer.alpha / layer.size
    most, exact = layer.k + factor * local_response.around(size**2, *beside), local_response.base(use.x, layer)
    off = most - exact + gamma(layer.size + 6) * most
    least = np.maximum(exact - off, layer.k * (1 - gamma(2)))
    return Base(exact, least, np.maximum(np.abs(np.log(least)), np.abs(np.log(exact + off))))


def _local_response_forward(use: Use) -> Stray:
    base, beta = _base(use), use.layer.beta
    most = use.sizes[0] * base.power(beta)
    return Stray(most - np.abs(use.output) + (base.rounding(beta, 1) + gamma(2)) * most)


def _local_response_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Follow dx = dy / s^β - c · x · w, with c = 2αβ / size and w = sum over the mirrored window of dy · x / s^(β + 1).

    Engines may form s^-(β + 1) of 1 / s^2β and s^(β - 1), and may not multiply by c before the sum is there.
    """
    base, layer, size = _base(use), use.layer, np.abs(dy) + e_dy
    beta, x = layer.beta, use.sizes[0]
    before, behind = layer.beside(use.x.shape[-1])
    own = size * base.power(beta)
    of_own = own - np.abs(dy) * base.exact**-beta + (base.rounding(beta, 1) + gamma(2)) * own
    exact = np.abs(dy * use.x) * base.exact ** -(beta + 1)
    terms = size * x * base.power(beta + 1)
    rounding = base.rounding(2 * beta + abs(beta - 1) + 1, 3) + gamma(layer.size + 10)
    of_sum = local_response.around(terms - exact + rounding * terms, behind, before)
    total = np.abs(local_response.around(dy * use.x * base.exact ** -(beta + 1), behind, before))
    factor = 2 * layer.alpha * beta / layer.size
    through = factor * x * (total + of_sum)
    of_through = through - factor * np.abs(use.x) * total + gamma(6) * through
    return Back((of_own + of_through + gamma(4) * (own + of_own + through),))


RULES: dict[type[Layer], Rule] = {
    LocalResponseNorm: Rule(_local_response_forward, _local_response_backward),
}
