"""JSON documents with anything anywhere: what the fuzz tests of files share."""

from __future__ import annotations

import copy
import json
import struct
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

DIGITS = "@5000 digits@"
HUGE_FLOAT = "@1e999@"
DEEP = "@deep@"
_RAW = {f'"{DIGITS}"': "7" * 5000, f'"{HUGE_FLOAT}"': "1e999", f'"{DEEP}"': "[" * 3000 + "]" * 3000}

often = settings(max_examples=max(200, settings().max_examples), deadline=None)
"""Each example takes a few milliseconds."""


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


NASTY = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, -1e308, 1e-320, 2**31, 2**53, 2**63, 2**64, 2**70, 10**400),
        *(10**4000, -(10**4000), float("nan"), float("inf"), -float("inf"), "", "same", "\ud800", "a\x1b[2J", "\0"),
        *("x" * 5000, [], {}, [[]], {"": None}, ["a"] * 300, deep(90), deep(150), deep(900), DIGITS, HUGE_FLOAT, DEEP),
        *({"kind": "ReLU"}, {"kind": "Sequential", "layers": []}, {"kind": "Dropout", "rate": 2}, list(range(300))),
    ]
)
texts = st.text(max_size=5)
ANY = st.one_of(
    NASTY,
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
        max_leaves=5,
    ),
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """List every (container, key) of a document."""
    found = []
    waiting = [value]
    while waiting:
        here = waiting.pop()
        for key in list(here) if isinstance(here, dict) else range(len(here)):
            found.append((here, key))
            if isinstance(here[key], dict | list):
                waiting.append(here[key])
    return found


def mutated(draw: Any, document: Any) -> Any:
    """Return a copy with one to three of its values replaced by others, from anywhere, left out, doubled or renamed."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(document)
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["replace", "replace", "move", "remove", "add"]))
        if how == "replace":
            container[key] = copy.deepcopy(draw(ANY))
        elif how == "move":
            other, name = draw(st.sampled_from(places))
            container[key] = copy.deepcopy(other[name])
        elif how == "remove":
            del container[key]
        elif isinstance(container, dict):
            container[draw(st.sampled_from(["", "kind", "x", "\ud800", "y" * 2000]))] = copy.deepcopy(draw(ANY))
        else:
            container.insert(key, copy.deepcopy(draw(ANY)))
    return document


def to_text(document: Any) -> str:
    """Write JSON, and what Python's writer would not write."""
    text = json.dumps(document)
    for placeholder, raw in _RAW.items():
        text = text.replace(placeholder, raw)
    return text


def taken_apart(content: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Return the header of a safetensors file, the document in it without its digest, and the tensors' bytes."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    document = json.loads(header["__metadata__"]["neocog"])
    document.pop("sha256")
    return header, document, content[8 + length :]


def assembled(header: dict[str, Any], document: Any, body: bytes) -> bytes:
    """Return a safetensors file with a document in its header; a header without metadata stays without."""
    if isinstance(header.get("__metadata__"), dict) and "neocog" in header["__metadata__"]:
        header = {**header, "__metadata__": {**header["__metadata__"], "neocog": to_text(document)}}
    text = to_text(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + body
