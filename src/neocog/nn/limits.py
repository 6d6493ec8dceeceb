"""How large a network may be.

All limits are far above what one machine trains, and low enough that a model file of a few hundred bytes, from
anywhere, cannot ask for more memory or time than there is. They hold for networks made in Python too: what was made
can be saved, and what was saved can be loaded.
"""

from __future__ import annotations

import math
from numbers import Integral, Real

from neocog.errors import SettingError

MAX_SIDE = 1 << 16
"""Pixels: sides of an image, and of a kernel, stride, padding or dilation."""

MAX_PIXELS = 1 << 24
"""Pixels of an image: 4096 x 4096, or as many in another form."""

MAX_VALUES = 1 << 29
"""Values of one image between two layers: 4096 x 4096 pixels of 32 channels, 2 GiB of float32."""

MAX_PADDED_VALUES = MAX_VALUES // 4 * 5
"""The same with a layer's padding around it."""

LANES = 16
"""Engines may lay channels out in vectors of so many, so that one channel takes the memory of 16."""

MAX_WORK = 1 << 44
"""Values that a layer looks at for one image: VGG-16 on 4096 x 4096 pixels looks at 2^43 in all."""

MAX_LAYERS = 1000
MAX_DEPTH = 32
"""How deep Sequentials may nest; deeper ones are more likely an attack than a network."""

MAX_COUNT = 1 << 24
"""Filters of a convolution, outputs of a Linear."""

MAX_PARAMETERS = 1 << 30
"""Values of all weights: 4 GiB, as much as a model file may hold."""

MAX_CLASSES = 1 << 18
MAX_NAME = 1000
"""Characters of a class name."""

MAX_LAYER_NAME = 1000
"""Characters of a layer's name."""

MAX_NAMES = 4_000_000
"""Bytes of all class names of a model: they are part of a file's header, which is limited too."""


def memory_values(height: int, width: int, channels: int) -> int:
    """Return how many values engines may keep for feature maps of a shape."""
    return height * width * (-(-channels // LANES) * LANES)


def shown(value: object) -> str:
    """Return a value as messages show it: shortened, and without fail, whatever it is.

    >>> shown(10**30), shown(10**5000)
    ('1000000000000000000000000000000', 'an integer of 16,610 bits')
    """
    if isinstance(value, int) and value.bit_length() > 256:  # Python refuses to write out very long ones
        return f"an integer of {value.bit_length():,} bits"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # such an integer within, or something that holds itself
        return f"a {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:197]}..."


def is_number(value: object) -> bool:
    """Tell whether a value is a finite real number, NumPy's included; True is none.

    >>> is_number(0.5), is_number(True), is_number("0.5"), is_number(float("nan")), is_number(10**400)
    (True, False, False, False, False)
    """
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond all floating-point numbers
        return False


def plain_integers(value: object) -> object:
    """Return an integer of another kind, such as NumPy's, as Python's, within a tuple too; anything else as it is.

    >>> import numpy as np
    >>> plain_integers((np.int64(3), 2)), plain_integers("same")
    ((3, 2), 'same')
    """
    if isinstance(value, tuple) and any(plain_integers(entry) is not entry for entry in value):
        return tuple(map(plain_integers, value))
    return int(value) if isinstance(value, Integral) and not isinstance(value, int) else value


def check_flag(owner: str, name: str, value: object) -> None:
    """Raise SettingError unless `value` is True or False; anything else may be truthy, but files cannot hold it."""
    if not isinstance(value, bool):
        raise SettingError(f"{owner}: {name} must be True or False, got {shown(value)}")


def fault_of_name(name: str) -> str | None:
    """Say why a layer cannot be called so. In files its tensors are NAME.weight, and optimizer/NAME.weight/MEMORY.

    >>> fault_of_name("stem.0"), fault_of_name("a/b")
    (None, "a name must not be empty, begin or end in a dot, or hold a slash, got 'a/b'")
    """
    if not name or name.strip(".") != name or "/" in name:
        return f"a name must not be empty, begin or end in a dot, or hold a slash, got {shown(name)}"
    if not name.isprintable():  # terminals obey some of these
        return f"a name must hold nothing that cannot be printed, such as a line break, got {shown(name)}"
    if len(name) > MAX_LAYER_NAME:
        return f"a name may have at most {MAX_LAYER_NAME:,} characters, got {shown(name)}"
    return None


def check_count(layer: str, name: str, value: object, most: int = MAX_COUNT) -> None:
    """Raise SettingError unless `value` is an integer from 1 to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingError(f"{layer}: {name} must be an integer of at least 1, got {shown(value)}")
    if value > most:
        raise SettingError(f"{layer}: {name} must be at most {most:,}, got {shown(value)}")
