"""The array that the reference computes with: any real dtype, usually float64."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
