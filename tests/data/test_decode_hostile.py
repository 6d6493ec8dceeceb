"""Files that are not what their name says."""

import io
import os
import re
import socket
import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.image_bytes import Stream, encoded
from neocog.data import decode
from neocog.data.decode import decode_image, read_header, read_image
from neocog.data.files import FileDataset, content_digest, file_digest
from neocog.data.resize import ImageSize
from neocog.errors import DataError

SIZE = ImageSize(10, 12, 3)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are told to Linux")


# -- files that are not files


@pytest.fixture(params=["fifo", "socket", "device", "folder"])
def no_file(request, tmp_path):
    path = tmp_path / "image.png"
    match request.param:
        case "fifo":
            os.mkfifo(path)
            yield path
        case "socket":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                yield path
        case "device":
            path.symlink_to("/dev/zero")
            yield path
        case "folder":
            path.mkdir()
            yield path


def test_what_is_no_file_is_refused_at_once(no_file):
    for read in (read_image, read_header, lambda path: decode_image(path, SIZE)):
        with pytest.raises(DataError, match=r"image\.png: the file cannot be read: "):
            read(no_file)
    dataset = FileDataset(no_file.parent, [("image.png", 0)], ["a"])
    assert "cannot be read" in dataset.verify(SIZE)[0]
    assert dataset.native_size is None
    assert len(dataset.digests()[0]) == 16
    with pytest.raises(DataError, match="cannot be read"):
        dataset.facts(0)


@pytest.mark.parametrize("start", [b"", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8 "])
def test_a_file_with_a_hole_of_three_gigabytes_is_not_read(tmp_path, start):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.write(start)
        file.truncate(3 << 30)
    tracemalloc.start()
    try:
        for read in (read_image, read_header):
            with pytest.raises(DataError, match=r"sparse\.png: .*3,221,225,472"):
                read(path)
        with pytest.raises(OSError, match="at most 536,870,912 are read"):
            file_digest(path)
        assert FileDataset(tmp_path, [("sparse.png", 0)], ["a"]).digests()
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_digests_of_files_are_made_in_blocks_and_are_those_of_their_content(tmp_path):
    data = bytes(range(256)) * 10_000
    (tmp_path / "a").write_bytes(data)
    assert file_digest(tmp_path / "a") == content_digest(data)


def test_streams_are_read_to_their_end_and_give_the_pixels_of_the_file():
    data = encoded("PNG")
    assert np.array_equal(decode_image(Stream(data), SIZE), decode_image(data, SIZE))
    with pytest.raises(DataError, match=r"image: the file is empty"):
        decode_image(Stream(b""), SIZE)


def test_a_stream_without_end_is_left_when_its_first_bytes_are_no_image(monkeypatch):
    stream = Stream(b"", endless=True)
    with pytest.raises(DataError, match=r"^image: not an image in a known format \(it begins with b'\\x00"):
        decode_image(stream, SIZE)
    assert stream.given < 1000
    monkeypatch.setattr(decode, "MAX_BYTES", 1 << 22)
    stream = Stream(encoded("PNG"), endless=True)
    with pytest.raises(DataError, match="image: an image file may hold 4,194,304 bytes, found more"):
        decode_image(stream, SIZE)
    assert stream.given == (1 << 22) + 1


def test_a_stream_that_is_closed_or_fails_is_an_error():
    closed = io.BytesIO(encoded("PNG"))
    closed.close()
    with pytest.raises(DataError, match="image: the stream cannot be read: I/O operation on closed file"):
        decode_image(closed, SIZE)


def test_a_file_object_that_gives_no_image_is_told_what_it_is(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded("PNG"))
    for text in (path.open(encoding="utf-8"), io.StringIO("abc")):
        with text, pytest.raises(DataError, match=r'its read\(\) gives no bytes\n  hint: .*open\(path, "rb"\)'):
            decode_image(text, SIZE)
    with path.open("rb") as file:
        assert decode_image(file, SIZE).shape == SIZE.shape
        with pytest.raises(DataError, match=r"a\.png: the file object is at its end already\n  hint: .*seek\(0\)"):
            decode_image(file, SIZE)


def test_bytes_of_every_kind_give_the_same_pixels():
    data = encoded("PNG")
    want = decode_image(data, SIZE)
    for source in (bytearray(data), memoryview(data), io.BytesIO(data).getbuffer()):
        assert np.array_equal(decode_image(source, SIZE), want)


@pytest.mark.parametrize("make", [str, Path])
@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("https://a.b/c.jpg", "^https:/.*: URLs are not loaded", "download it first"),
        ("s3://bucket/c.jpg", "s3:/.*: URLs are not loaded", "download it first"),
        ("file:///tmp/c.jpg", "file:/.*: URLs are not loaded", "behind file://"),
        ("data:image/png;base64," + "iVBOR" * 2000, r"^data:image/png.{46}\.\.\.: URLs are not loaded", "b64decode"),
        ("photos/*.jpg", "there is no such file", r"glob\.glob\('photos/\*\.jpg'\), or run: neocog predict"),
        ("photo?.jpg", "there is no such file", "if it is a pattern"),
    ],
)
def test_what_is_given_for_a_path_and_is_none_gets_a_hint(make, name, message, hint):
    for read in (read_image, read_header, lambda path: decode_image(path, SIZE)):
        with pytest.raises(DataError, match=message) as caught:
            read(make(name))
        assert re.search(hint, caught.value.hint)
        assert len(str(caught.value)) < 400


def test_a_folder_and_an_empty_path_get_a_hint(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read: Is a directory\n  hint: .*\*\.jpg.* neocog predict MODEL"):
        read_image(tmp_path)
    with pytest.raises(DataError, match="an empty text is no path of an image"):
        read_image("")
    with pytest.raises(DataError, match=r"no such file$"):
        read_image(tmp_path / "photo.jpg")


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    assert read_image("~/a.png").size == (40, 30)
    assert read_header(Path("~/a.png")) == (30, 40, "RGB")
    assert np.array_equal(decode_image("~/a.png", SIZE), decode_image(tmp_path / "a.png", SIZE))
    with pytest.raises(DataError, match=r"^~/b\.png: there is no such file"):
        read_image("~/b.png")


def test_names_that_no_file_can_have_are_told(tmp_path):
    for name in ("\ud800.png", "a\0.png"):
        with pytest.raises(DataError, match="no file can have this name"):
            read_image(tmp_path / name)
        dataset = FileDataset(tmp_path, [(name, 0)], ["a"])
        assert len(dataset.digests()) == 1
        assert "no file can have this name" in dataset.verify(SIZE)[0]


# -- what is no image, or one that is not read


@pytest.mark.parametrize(
    ("data", "kind", "hint"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image, which is not read", "convert it to JPEG"),
        (b"\0\0\0\x18ftypheix\0\0\0\0mif1heix", "a HEIC image, which is not read", "convert it to JPEG"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0heic", "a HEIC image, which is not read", "convert it to JPEG"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "an AVIF image, which is not read", "convert it to JPEG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "an AVIF image, which is not read", "convert it to JPEG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image, which is not read", "convert it to JPEG"),
        (b"%PDF-1.7\n", "a PDF document, which is not read", "JPEG or PNG"),
        (b"<!DOCTYPE html><html></html>", "a web page, not an image", "download"),
        (b"<?xml version='1.0'?><svg/>", "an SVG drawing or other XML, which is not read", "PNG"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the image itself", "git lfs pull"),
    ],
)
def test_other_kinds_of_files_are_called_by_their_name(tmp_path, data, kind, hint):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data + bytes(100))
    for read in (read_image, read_header):
        with pytest.raises(DataError) as caught:
            read(path)
        assert caught.value.message == f"{path}: this is {kind}"
        assert hint in caught.value.hint


@pytest.mark.parametrize(
    "data", [b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", b"BMW builds cars", b"P5, a pearl", b"\0\0\0\0ftyp"]
)
def test_text_and_films_are_no_known_format(data):
    with pytest.raises(DataError, match="not an image in a known format"):
        read_image(data)


def bmp(bits: int, compression: int, masks: bytes = b"") -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, bits, compression, 64, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 118, 0, 0, 54 + len(masks)) + head + masks + bytes(64)


def jpeg_of_12_bits() -> bytes:
    data = bytearray(encoded("JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    return bytes(data)


def tiff(tag: int, value: int) -> bytes:
    data = bytearray(encoded("TIFF"))
    place = struct.unpack("<I", data[4:8])[0]
    for entry in range(place + 2, place + 2 + 12 * struct.unpack("<H", data[place : place + 2])[0], 12):
        if struct.unpack("<H", data[entry : entry + 2])[0] == tag:
            data[entry + 8 : entry + 10] = struct.pack("<H", value)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (bmp(16, 3, struct.pack("<III", 0xF00, 0xF0, 0xF)), "BMP"),  # 4-4-4-4
        (bmp(24, 4), "BMP"),  # a JPEG inside
        (bmp(2, 0), "BMP"),
        (jpeg_of_12_bits(), "JPEG"),
        (encoded("JPEG").replace(b"\xff\xc0", b"\xff\xc5"), "JPEG"),  # differential
        (tiff(259, 34712), "TIFF"),  # compressed by JPEG 2000
        (tiff(262, 32803), "TIFF"),  # a camera's colour filter array
    ],
)
def test_what_pillow_lacks_is_not_called_damage(data, form):
    with pytest.raises(DataError, match=f"photo: a kind of {form} that is not supported") as caught:
        decode_image(data, SIZE, name="photo")
    assert caught.value.details[0].startswith("Pillow: ")
    assert "remove" not in caught.value.hint


@pytest.mark.parametrize(
    "error", [NotImplementedError("decoder"), OSError("decoder webp not available"), NameError("name '_webp'")]
)
def test_a_pillow_without_a_decoder_is_not_called_damage(monkeypatch, error):
    def load(self):
        raise error

    data = encoded("PNG")
    monkeypatch.setattr(Image.Image, "load", load)
    with pytest.raises(DataError, match="a kind of PNG that is not supported"):
        read_image(data)


def test_a_disk_that_fails_is_not_called_damage(monkeypatch):
    def load(self):
        raise OSError(5, "Input/output error")

    data = encoded("PNG")
    monkeypatch.setattr(Image.Image, "load", load)
    with pytest.raises(DataError, match="cannot be read: Input/output error"):
        read_image(data)
