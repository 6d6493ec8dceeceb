"""The data set inside the package: 1,797 handwritten digits of 8 x 8 pixels.

Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998, doi:10.24432/C50P49, CC BY 4.0; credits
and changes in digits/LICENSE.txt. Small enough for examples and tests to run anywhere, at once, without a download.

The package keeps the original values 0..16 (how many of 4 x 4 pixels were black); they are served as 0..255.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

from neocog.data.arrays import ArrayDataset
from neocog.data.dataset import Source
from neocog.errors import FormatError

DIGITS = "digits"
"""The name by which `open_data` knows this data set."""

BUILT_IN = "built-in: handwritten digits, 8 x 8"
"""What kind of source it is."""

_HIGHEST = 16  # of a stored pixel


def read_digits() -> Source:
    """Return the 1,797 digits as one unsplit source: images (1797, 8, 8, 1) uint8, classes "0" to "9".

    Raises:
        FormatError: the package's file is missing or damaged.

    Example:
        >>> len(read_digits().unsplit)
        1797
    """
    file = resources.files("neocog.data").joinpath("digits", "digits.npz")
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            images, labels = archive["images"], archive["labels"]
    except MemoryError:
        raise
    except Exception as error:  # missing, truncated, not zip, wrong names: one answer
        raise FormatError(f"{file}: the digits cannot be read: {error}", hint="install neocog again") from error
    pixels = np.rint(images * (255 / _HIGHEST)).astype(np.uint8)
    digits = ArrayDataset(pixels, labels, [str(digit) for digit in range(10)], prefix=DIGITS)
    return Source(DIGITS, BUILT_IN, unsplit=digits)
