"""Which values a Dropout keeps: a counter-based generator, the same in every engine and for any number of threads.

The bits of value `i` depend on (seed, step, layer, i) alone: two rounds of the 32-bit finaliser of MurmurHash3
(Appleby 2011, public domain) over `i` and a key. Nothing is carried from value to value, so any thread can compute
any part.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MULTIPLIERS = (0x85EBCA6B, 0xC2B2AE35)
SHIFTS = (16, 13, 16)
_MASK = 0xFFFFFFFF


def mix(word: int) -> int:
    """Scramble one 32-bit word."""
    word &= _MASK
    word ^= word >> SHIFTS[0]
    word = word * MULTIPLIERS[0] & _MASK
    word ^= word >> SHIFTS[1]
    word = word * MULTIPLIERS[1] & _MASK
    return word ^ word >> SHIFTS[2]


def dropout_key(seed: int, step: int, layer: int, slice_: int = 0) -> int:
    """Return the 32-bit key of one Dropout layer at one training step (steps count from 1), in a slice of its batch."""
    key = mix(mix(mix(mix(seed) + (seed >> 32)) + step) + layer)
    return key if slice_ == 0 else mix(key + slice_)


def dropout_threshold(rate: float) -> int:
    """Return the number of 32-bit words that mean "drop": a value is kept when its bits are at or above it."""
    return min(round(rate * 2**32), _MASK)


def dropout_bits(key: int, count: int) -> NDArray[np.uint32]:
    """Return the bits of values 0 … count - 1; value i is i in (image, row, column, channel) order of the batch."""
    word = np.arange(count, dtype=np.uint32) ^ np.uint32(key)
    for salt in (0, key):
        word = word + np.uint32(salt)
        word ^= word >> np.uint32(SHIFTS[0])
        word *= np.uint32(MULTIPLIERS[0])
        word ^= word >> np.uint32(SHIFTS[1])
        word *= np.uint32(MULTIPLIERS[1])
        word ^= word >> np.uint32(SHIFTS[2])
    return word
