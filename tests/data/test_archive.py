"""Tar archives that are sound, and those that mean no good: nothing is unpacked, and nothing is read without end."""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import tarfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neocog.data.archive import members
from neocog.errors import FormatError
from shard_files import write_tar

FILES = [("a/1.jpg", b"x" * 700), ("a/1.cls", b"3"), ("ü" * 150 + ".jpg", b""), ("b.jpg", b"y" * 512)]


def header(name: bytes = b"a.jpg", size: bytes = b"00000000001\0", kind: bytes = b"0") -> bytes:
    """Return a header block with a right checksum, whatever it says."""
    block = struct.pack("100s8s8s8s12s12s8s1s100s6s2s", name, b"0000644\0", b"0000000\0", b"0000000\0", size,
                        b"00000000000\0", b" " * 8, kind, b"", b"ustar\0", b"00").ljust(512, b"\0")  # fmt: skip
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_found_where_they_lie(tmp_path: Path, form: int) -> None:
    files = FILES if form != tarfile.USTAR_FORMAT else [*FILES[:2], FILES[3]]
    path = write_tar(tmp_path / "a.tar", files, form)
    content = path.read_bytes()
    assert [(m.name, content[m.offset : m.offset + m.size]) for m in members(path)] == files


def test_links_devices_folders_and_sparse_files_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo("link.jpg")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        sparse = tarfile.TarInfo("sparse.jpg")
        sparse.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1000000000000", "GNU.sparse.name": "s.jpg"}
        sparse.size = 1
        archive.addfile(sparse, io.BytesIO(b"x"))
        archive.addfile(tarfile.TarInfo("/etc/shadow"))
        archive.addfile(tarfile.TarInfo("../../up.jpg"))
    passed: list[str] = []
    found = [member.name for member in members(path, passed.append)]
    assert found == ["/etc/shadow", "../../up.jpg"]  # names, and never paths
    assert passed == ["link.jpg"] * 5 + ["s.jpg"]


def test_an_archive_without_members_is_empty(tmp_path: Path) -> None:
    assert list(members(write_tar(tmp_path / "a.tar", []))) == []


def test_an_archive_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    content = write_tar(tmp_path / "a.tar", [*FILES[:2], FILES[3]]).read_bytes()
    path = tmp_path / "cut.tar"
    for length in range(0, 512 + 1024 + 1024 + 1024, 256):
        path.write_bytes(content[:length])
        with pytest.raises(FormatError, match=r"cut|empty|no tar archive"):
            list(members(path))


def test_damage_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", FILES, tarfile.GNU_FORMAT)
    content = bytearray(path.read_bytes())
    content[512 + 1024 + 200] ^= 1  # of the second header
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"a\.tar: the archive is damaged at byte 1,536 of"):
        list(members(path))


def test_two_archives_in_one_file_are_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", FILES[:2])
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(FormatError, match="another archive begins behind the end"):
        list(members(path))


def test_an_archive_behind_many_zeros_is_found(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", FILES[:2])
    content = path.read_bytes()
    path.write_bytes(content + bytes(3_000_000))
    assert len(list(members(path))) == 2
    path.write_bytes(content + bytes(3_000_000) + content)
    with pytest.raises(FormatError, match="another archive begins behind the end"):
        list(members(path))


def test_packed_archives_are_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tar"
    path.write_bytes(gzip.compress(b"\0" * 10_000_000))
    with pytest.raises(FormatError, match=r"packed \(gzip\)") as caught:
        list(members(path))
    assert "gunzip" in (caught.value.hint or "")


END = b"\0" * 1024
HOSTILE = {
    "a negative size": header(size=b"\xff" * 11 + b"\x00") + b"x".ljust(512) + END,
    "a size beyond all": header(size=b"\x80" + b"\x7f" * 11) + b"x".ljust(512) + END,
    "a long name of a gigabyte": header(b"././@LongLink", b"10000000000\0", b"L") + b"x" * 512 + END,
    "a long name of a negative size": header(b"././@LongLink", b"\xff" * 11 + b"\x00", b"L") + b"x" * 512 + END,
    "extended headers of a gigabyte": header(b"pax", b"10000000000\0", b"x") + b"x" * 512 + END,
    "long names without end": (header(b"././@LongLink", b"00000000005\0", b"L") + b"abcd\0".ljust(512)) * 5000 + END,
    "sparse maps without end": header(kind=b"S")[:482] + b"\1" * 30 + b"\1" * 512 * 1000 + END,
    "no archive": b"hello world" * 1000,
    "an image": b"\x89PNG\r\n\x1a\n" + b"\0" * 2000,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers_are_refused_in_little_memory(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=r"a\.tar: (the archive is cut|damaged|no tar|the archive is damaged)"):
            list(members(path))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_global_header_that_every_member_would_copy_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    told = {f"key{number}": "x" for number in range(1000)}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers=told) as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
    with pytest.raises(FormatError, match=r"no tar archive|damaged"):
        list(members(path))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.tar")
    for path in (tmp_path / "a.tar", tmp_path / "none.tar", tmp_path):
        with pytest.raises(FormatError, match="cannot be read"):
            list(members(path))


SOUND = b"".join([header(b"1.jpg", b"00000000010\0") + b"x" * 512, header(b"1.cls") + b"0".ljust(512, b"\0"), END])


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), max_size=20), st.integers(0, 4096))
def test_damaged_archives_give_members_within_the_file_or_an_error_of_ours(tmp_path: Path, changes, cut: int) -> None:
    content = bytearray(SOUND)
    for place, value in changes:
        content[place] = value
    for start in (0, 1024):  # a right checksum, so that what the header says is believed
        block = content[start : start + 148] + b" " * 8 + content[start + 156 : start + 512]
        content[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    path = tmp_path / "a.tar"
    path.write_bytes(content[: len(content) - cut] if cut < 1024 else content)
    with contextlib.suppress(FormatError):
        for member in members(path):
            assert 0 <= member.offset <= member.offset + member.size <= len(content)
