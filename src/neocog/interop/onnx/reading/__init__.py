"""What becomes of each ONNX operator: one rule each, by theme."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neocog.interop.onnx.call import NodeCall, Value
from neocog.interop.onnx.reading import arranging, joins, normalizing, pointwise, pooling, resizing, weighted

Rule = Callable[[NodeCall], "Value | Sequence[Value]"]

RULES: dict[str, Rule] = {
    name: rule
    for module in (weighted, pooling, pointwise, normalizing, joins, arranging, resizing)
    for name, rule in module.RULES.items()
}
"""What is read where an input depends on the image, by operator."""
