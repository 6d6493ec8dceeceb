"""LLVM gets object files and nothing else: it trusts them, and may end the process over a bad one."""

from __future__ import annotations

import sys

import pytest

from neocog.emit.team import team_text
from neocog.jit.codegen import generate
from neocog.jit.host import host_target
from neocog.jit.objects import pack, unpack


@pytest.fixture(scope="module")
def image() -> bytes:
    return generate(team_text(host_target()), host_target())


def test_objects_that_belong_together_are_one_entry(image: bytes) -> None:
    assert unpack(pack([image])) == [image]
    assert unpack(pack([image, image])) == [image, image]


@pytest.mark.parametrize(
    "entry",
    [b"", b"\x00" * 8, b"garbage", b"\xff" * 8 + b"\x7fELF\x02", (10**9).to_bytes(8, "little"), pack([b"no object"])],
)
def test_what_holds_no_objects_is_none(entry: bytes) -> None:
    assert unpack(entry) is None


def test_lengths_must_add_up(image: bytes) -> None:
    entry = pack([image, image])
    assert unpack(entry + b"\x00") is None
    assert unpack(entry[:-1]) is None
    assert unpack(pack([image, b""])) is None


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="of ELF files")
def test_an_object_that_ends_too_early_is_none(image: bytes) -> None:
    for length in {*range(100), *range(100, len(image), 97), len(image) - 1}:
        assert unpack(pack([image[:length]])) is None, length
    assert unpack(pack([image[:4] + b"\x01" + image[5:]])) is None  # of 32 bits
