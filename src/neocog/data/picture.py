"""What a caller may hand in for one image: a path, the bytes of a file, a file object, or a Pillow image.

`decode_image` makes pixels of each of them; an array is no picture, and is never resized unasked.
"""

from __future__ import annotations

import os
from typing import BinaryIO, TypeAlias

from PIL import Image

Picture: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image


def is_picture(value: object) -> bool:
    """Whether a value is a picture, as opposed to an array or a list.

    >>> import io
    >>> [is_picture(value) for value in ("a.jpg", b"GIF89a", io.BytesIO(), [[0, 255]], ["a.jpg"])]
    [True, True, True, False, False]
    """
    if isinstance(value, memoryview):  # of bytes; others are views of arrays
        return value.ndim == 1 and value.itemsize == 1
    if isinstance(value, str | os.PathLike | bytes | bytearray | Image.Image):
        return True
    return hasattr(value, "read") and not hasattr(value, "__array__")  # which arrays in files have, and no file
