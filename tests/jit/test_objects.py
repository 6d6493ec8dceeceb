"""LLVM gets object files and nothing else: it trusts them, and may end the process over a bad one."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from neocog.emit.team import team_text
from neocog.jit import objects
from neocog.jit.cache import ObjectCache
from neocog.jit.codegen import generate
from neocog.jit.host import host_target, make_target
from neocog.jit.objects import pack


@pytest.fixture(scope="module")
def image() -> bytes:
    return generate(team_text(host_target()), host_target())


def unpack(entry: bytes) -> list[bytes] | None:
    return objects.unpack(entry, host_target().triple)


@pytest.mark.parametrize("triple", ["arm64-apple-darwin23.5.0", "x86_64-pc-windows-msvc", "aarch64-unknown-linux-gnu"])
def test_each_system_has_a_kind_of_object_of_its_own(image: bytes, triple: str) -> None:
    target = make_target("generic" if triple.startswith("a") else "x86-64", {}, triple)
    other = generate(team_text(target), target)
    assert objects.unpack(pack([other]), triple) == [other]
    assert objects.unpack(pack([b"\0" + other[1:]]), triple) is None
    elsewhere = "x86_64-apple-darwin" if "linux" in triple else "x86_64-unknown-linux-gnu"
    assert objects.unpack(pack([other]), elsewhere) is None


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


ELF = pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="of ELF files")
TABLE, ENTRY, COUNT, NAMES = (0x28, "<Q"), (0x3A, "<H"), (0x3C, "<H"), (0x3E, "<H")  # in the header of an ELF file


def changed(image: bytes, place: int, form: str, value: int) -> bytes:
    found = bytearray(image)
    struct.pack_into(form, found, place, value)
    return bytes(found)


@ELF
def test_a_header_without_a_body_is_no_object(image: bytes) -> None:
    """LLVM ends the process over it."""
    assert unpack(pack([image[:64] + bytes(len(image) - 64)])) is None
    (table,) = struct.unpack_from("<Q", image, TABLE[0])
    assert unpack(pack([image[:table] + bytes(len(image) - table)])) is None


@ELF
@pytest.mark.parametrize(
    ("field", "value"),
    [(TABLE, 2**64 - 1), (TABLE, 0), (ENTRY, 0), (ENTRY, 63), (COUNT, 0), (COUNT, 65535), (NAMES, 9999)],
)
def test_a_table_of_sections_lies_within_the_file(image: bytes, field: tuple[int, str], value: int) -> None:
    assert unpack(pack([changed(image, *field, value)])) is None


@ELF
def test_every_section_lies_within_the_file(image: bytes) -> None:
    (table,), (count,) = struct.unpack_from("<Q", image, TABLE[0]), struct.unpack_from("<H", image, COUNT[0])
    for section in range(1, count):
        start = table + 64 * section
        for place, form in ((0, "<I"), (24, "<Q"), (32, "<Q"), (40, "<I")):  # its name, place, bytes and link
            last = 2 ** (8 * struct.calcsize(form)) - 1
            assert unpack(pack([changed(image, start + place, form, last)])) is None, (section, place)
        if struct.unpack_from("<I", image, start + 4)[0] in (2, 4):  # symbols, relocations
            assert unpack(pack([changed(image, start + 56, "<Q", 0)])) is None, section  # bytes of each


@ELF
def test_a_damaged_entry_with_the_digest_of_a_sound_one_is_built_again(tmp_path: Path) -> None:
    code = (
        "import numpy as np, neocog as nc\n"
        "net = nc.Sequential(nc.Flatten(), nc.Linear(3))\n"
        "print(nc.Model(net, (6, 6, 1)).predict(np.zeros((2, 6, 6), np.uint8)).shape)"
    )
    environment = {**os.environ, "NEOCOG_CACHE": str(tmp_path)}

    def run() -> str:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run() == "(2,)\n"
    kept = ObjectCache(tmp_path)
    keys = [path.stem for path in tmp_path.glob("*.o")]
    assert keys
    for key in keys:
        images = unpack(kept.load(key) or b"")
        assert images is not None
        kept.store(key, pack([each[:64] + bytes(len(each) - 64) for each in images]))
    assert run() == "(2,)\n"
    assert all(unpack(kept.load(key) or b"") for key in keys)
