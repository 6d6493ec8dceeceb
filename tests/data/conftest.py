"""Pictures, files and pickles that the tests of neocog.data share."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture
def data_folder() -> Callable[[str], Path]:
    """Return the folder of a public data set, or skip."""

    def find(name: str) -> Path:
        if not (DATA / name).is_dir():
            pytest.skip(f"the public data set {name} is not in ../shared/data")
        return DATA / name

    return find


@pytest.fixture
def save_image(tmp_path: Path) -> Callable[..., Path]:
    """Write a small picture that its number makes unique; return its path."""

    def save(path: str, number: int = 0, size: tuple[int, int] = (12, 8), mode: str = "RGB") -> Path:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(values).convert(mode).save(target)
        return target

    return save


@pytest.fixture
def table(tmp_path: Path, save_image: Callable[..., Path]) -> Callable[..., Path]:
    """Write a table beside four pictures, img/0.png to img/3.png; return its path."""
    for number in range(4):
        save_image(f"img/{number}.png", number)

    def write(text: str, name: str = "labels.csv", encoding: str = "utf-8") -> Path:
        (tmp_path / name).write_text(text, encoding=encoding)
        return tmp_path / name

    return write


def python2_string(text: bytes) -> bytes:
    short = len(text) < 256
    return (b"U" + bytes([len(text)]) if short else b"T" + struct.pack("<i", len(text))) + text


def python2_array(pixels: NDArray[np.uint8]) -> bytes:
    """Write an array as NumPy under Python 2 did, with the memo slots that its pickler used."""
    rows, columns = pixels.shape
    return (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09"
        + b"(K\x01M"
        + struct.pack("<H", rows)
        + b"M"
        + struct.pack("<H", columns)
        + b"\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89"
        + python2_string(pixels.tobytes())
        + b"tb"
    )


@pytest.fixture
def cifar_pickle() -> Callable[[NDArray[np.uint8], list[int]], bytes]:
    """Write a batch byte for byte as the "Python" edition of CIFAR-10 holds it: protocol 2, written by Python 2."""

    def write(pixels: NDArray[np.uint8], labels: list[int]) -> bytes:
        return (
            b"\x80\x02}q\x01("
            + python2_string(b"batch_label")
            + b"q\x02"
            + python2_string(b"training batch 1 of 5")
            + b"q\x03"
            + python2_string(b"labels")
            + b"q\x04]q\x05("
            + b"".join(b"K" + bytes([label]) for label in labels)
            + b"e"
            + python2_string(b"data")
            + b"q\x06"
            + python2_array(pixels)
            + python2_string(b"filenames")
            + b"]("
            + b"".join(python2_string(f"image_{i}.png".encode()) for i in range(len(labels)))
            + b"eu."
        )

    return write
