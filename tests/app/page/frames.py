"""Reads what the page is sent, as docs/page.md specifies it; a second implementation, so that mistakes show."""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

import numpy as np


class Frame(NamedTuple):
    """A manifest, and its arrays by name."""

    manifest: dict[str, Any]
    arrays: dict[str, np.ndarray]


def read_frames(data: bytes) -> list[Frame]:
    """Take a response apart."""
    frames, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        frames.append(read_frame(data[at + 4 : at + 4 + length], at_multiple_of_four=True))
        at += 4 + length
    assert at == len(data)
    return frames


def read_frame(body: bytes, *, at_multiple_of_four: bool = False) -> Frame:
    """Take one frame apart, without its outer length."""
    (size,) = struct.unpack_from("<I", body, 0)
    assert not at_multiple_of_four or (4 + 4 + size) % 4 == 0
    manifest = json.loads(body[4 : 4 + size].decode())
    arrays, at = {}, 4 + size
    for entry in manifest.get("arrays", []):
        count = int(np.prod(entry["shape"], dtype=int))
        kind = {8: "<u1", 16: "<u2"}.get(entry.get("bits", 32), "<f4")
        values = np.frombuffer(body, kind, count, at)
        if kind != "<f4":
            values = (entry["low"] + values.astype(float) * entry["step"]).astype(np.float32)
        arrays[entry["name"]] = values.reshape(entry["shape"])
        at += -(-int(kind[-1]) * count // 4) * 4
    assert at == len(body)
    return Frame(manifest, arrays)
