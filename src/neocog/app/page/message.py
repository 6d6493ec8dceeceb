"""What travels to the page: a frame is a JSON manifest and raw float32 arrays. docs/page.md specifies it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.app.page.translate import LANGUAGES, translated
from neocog.errors import DataError, EngineError, NeocogError, SettingError, ShapeError, WeightsError
from neocog.text import printable

Arrays = Mapping[str, NDArray[Any]]
FEW_VALUES, MANY_VALUES = 256, 4096  # of an array, from which it takes 16 and 8 bits in a recording
EXACT = ("weight", "filters", "products", "input")  # arrays that get 16 bits however large they are
CODES = {
    SettingError: "setting",
    ShapeError: "shape",
    WeightsError: "weights",
    DataError: "data",
    EngineError: "engine",
}  # the first that fits


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question gets: facts, which are JSON values, and arrays, which travel as float32."""

    facts: Mapping[str, Any]
    arrays: Arrays = field(default_factory=dict)

    def frame(self, *, packed: bool = False) -> bytes:
        """Write the answer as a frame; packed, large arrays are rounded to 8 or 16 bits."""
        listed: list[dict[str, Any]] = []
        pieces = []
        for name, array in self.arrays.items():
            value = _single(array)
            how, data = _packed(name, value) if packed else ({}, value.tobytes())
            listed.append({"name": name, "shape": list(value.shape), **how})
            pieces.append(data + b"\0" * (-len(data) % 4))
        return _frame({"facts": plain(self.facts), "arrays": listed}, b"".join(pieces))


def progress_frame(done: float, what: str) -> bytes:
    """Write how far work is, from 0 to 1."""
    return _frame({"progress": {"done": done, "what": what}})


def error_frame(error: BaseException) -> bytes:
    """Write what went wrong."""
    return _frame({"error": error_facts(error)})


def error_facts(error: BaseException) -> dict[str, Any]:
    """Describe an error by message, hint and code; what is not meant for users is told as a bug. `said` has message and
    hint in other languages.
    """
    found = _english(error)
    said = {
        language: {
            "message": "\n".join(translated(line, language) for line in found["message"].split("\n")),
            "hint": None if found["hint"] is None else translated(found["hint"], language),
        }
        for language in LANGUAGES
    }
    return {**found, "said": said}


def _english(error: BaseException) -> dict[str, Any]:
    if isinstance(error, NeocogError):
        code = next((code for kind, code in CODES.items() if isinstance(error, kind)), "data")
        message = "\n".join(plain([error.message, *error.details]))
        return {"message": message, "hint": plain(error.hint), "layer": None, "code": code}
    if isinstance(error, MemoryError):
        return {"message": "there is not enough memory for this", "hint": None, "layer": None, "code": "internal"}
    message = plain(f"neocog itself failed: {type(error).__name__}: {error}")
    return {"message": message, "hint": "this is a bug in neocog", "layer": None, "code": "internal"}


def plain(value: Any) -> Any:
    """Return JSON values: NumPy's numbers become Python's, and those that JSON cannot say become texts.

    In texts, what would act instead of being seen is escaped: names come from elsewhere.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, str):  # a file's name need not be Unicode
        return printable(value.encode(errors="backslashreplace").decode())
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _single(array: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):  # values beyond float32 become infinite, and are shown so
        return np.ascontiguousarray(array, dtype="<f4")


def _packed(name: str, value: NDArray[np.float32]) -> tuple[dict[str, Any], bytes]:
    """Write an array as whole numbers k of 8 or 16 bits, so that a value is low + k · step; small ones as they are.

    Whole numbers in a small range stay what they are. Weights get 16 bits, and maps of many cells 8.
    """
    if value.size < FEW_VALUES or not np.isfinite(value).all():
        return {}, value.tobytes()
    wide = value.astype(np.float64)
    low, reach = float(wide.min()), float(wide.max() - wide.min())
    whole = bool((wide == np.round(wide)).all()) and reach < 2**16
    bits = 8 if (reach < 2**8 if whole else value.size >= MANY_VALUES and name not in EXACT) else 16
    step = 1.0 if whole else reach / (2**bits - 1) or 1.0
    numbers = np.round((wide - low) / step).astype("<u1" if bits == 8 else "<u2")
    return {"bits": bits, "low": low, "step": step}, numbers.tobytes()


def _frame(manifest: Mapping[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(manifest, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-(8 + len(text)) % 4)
    length = 4 + len(text) + len(data)
    return length.to_bytes(4, "little") + len(text).to_bytes(4, "little") + text + data
