"""A small model and its file, taken apart and put together, for tests of model files."""

import json
import struct
from pathlib import Path

import pytest

from neocog.errors import FormatError
from neocog.model.files import tensor_bytes
from neocog.model.modelfile import document_of, load_network
from neocog.model.network import Network
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU

TINY = Network(
    Sequential(Conv2d(2, (2, 1)), ReLU(), Flatten(), Linear(2)),
    (3, 2, 1),
    ["left", "right"],
    mean=0.25,
    std=0.1,
    resize="pad",
    engine="reference",
)


def load(path: Path, **settings) -> Network:
    return load_network(path, Network, **settings)


def written(path: Path, document=None, tensors=None) -> Path:
    path.write_bytes(tensor_bytes(document or document_of(TINY), tensors or TINY.state_dict()))
    return path


def header_of(content: bytes) -> tuple[dict, bytes]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def assembled(header: dict | bytes, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
