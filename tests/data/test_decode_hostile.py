"""Files that are not what their name says, that are too much, or for which there is not enough memory."""

import io
import os
import re
import socket
import struct
import subprocess
import sys
import textwrap
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from neocog.data import decode
from neocog.data.decode import MAX_JPEG_PIXELS, MAX_PIXELS, decode_image, fit_image, read_header, read_image
from neocog.data.files import FileDataset, content_digest, file_digest
from neocog.data.resize import ImageSize
from neocog.errors import DataError

SIZE = ImageSize(10, 12, 3)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are told to Linux")


def encoded(form: str, size: tuple[int, int] = (40, 30), **options) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


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


class Stream(io.RawIOBase):
    """A stream that gives a few bytes at a time, for ever if it has no end, and cannot go back."""

    def __init__(self, data: bytes, *, endless: bool = False) -> None:
        self.data, self.endless, self.given = io.BytesIO(data), endless, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "all of a stream must not be asked for"
        found = self.data.read(min(size, 100)) or (bytes(size) if self.endless else b"")
        self.given += len(found)
        return found


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


# -- memory


@pytest.mark.parametrize("error", [MemoryError(), OSError("out of memory error when reading image file")])
@pytest.mark.parametrize("where", ["load", "convert", "resize"])
def test_want_of_memory_is_not_called_damage(monkeypatch, tmp_path, error, where):
    if where != "load" and isinstance(error, OSError):
        pytest.skip("only decoders tell of it so")

    def fail(self, *arguments, **options):
        raise error

    path = tmp_path / "a.png"
    path.write_bytes(encoded("PNG"))
    dataset = FileDataset(tmp_path, [("a.png", 0)], ["a"])
    size = ImageSize(8, 8, 1)  # so that it needs to be converted and resized
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, where, fail)
        with pytest.raises(MemoryError):
            decode_image(path, size)
        with pytest.raises(MemoryError):
            dataset.verify(size)
        if where == "load":
            with pytest.raises(MemoryError):
                dataset.facts(0)
    assert dataset.verify(size) == {}  # nothing was noted against the image


def test_a_picture_is_not_left_lying_on_its_side_for_want_of_memory(monkeypatch):
    def fail(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(ImageOps, "exif_transpose", fail)
    with pytest.raises(MemoryError):
        read_image(encoded("JPEG"))


@LINUX
def test_damage_that_a_decoder_tells_for_want_of_memory_is_found_out():
    code = """
        import resource
        from neocog.data import faults
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        print(faults.failed("a", "JPEG", 9, OSError("broken data stream"), 80_000_000).__class__.__name__)
        print(faults.failed("a", "JPEG", 9, OSError("broken data stream"), 80_000).__class__.__name__)
    """
    assert python(code).split() == ["MemoryError", "DataError"]


def python(code: str, *arguments: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@LINUX
def test_without_memory_a_check_says_so_and_calls_no_image_damaged(tmp_path):
    for kind in ("a", "b"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for i in range(12):
            (tmp_path / "set" / kind / f"{i}.png").write_bytes(encoded("PNG", (8 + i, 9)))
    Image.new("L", (1, 1)).resize((9000, 9000)).convert("RGB").save(tmp_path / "set" / "a" / "large.jpg")
    code = """
        import resource, sys
        from neocog.app.cli.main import main
        import neocog.app.cli.check, neocog.data.sources, neocog.data.check  # all that is needed before
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        limit = used + (220 << 20)  # the image takes 324 MB, a thread about 72
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        sys.argv = ["neocog", "check", sys.argv[1], "--workers", "1"]
        main()
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "set")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "error: out of memory" in done.stderr
    assert "damaged" not in done.stdout + done.stderr


@LINUX
@pytest.mark.parametrize("channels", [1, 3])
def test_a_large_picture_with_alpha_takes_eight_bytes_a_pixel(tmp_path, channels):
    side = 5000
    Image.new("RGBA", (side, side), (9, 8, 7, 100)).save(tmp_path / "huge.png", compress_level=1)
    code = """
        import resource, sys
        from neocog.data.decode import decode_image
        from neocog.data.resize import ImageSize
        decode_image(sys.argv[2], ImageSize(8, 8, 3))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        decode_image(sys.argv[1], ImageSize(8, 8, int(sys.argv[3])))
        print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
    """
    Image.new("RGBA", (8, 8)).save(tmp_path / "small.png")
    taken = int(python(code, str(tmp_path / "huge.png"), str(tmp_path / "small.png"), str(channels)))
    assert taken < 10 * side * side  # of 4 + 4 for RGB, and 4 + 1 for grey; composited at once it was 16 and 20


# -- large images


def jpeg_that_says(height: int, width: int, **options) -> bytes:
    """Return a small JPEG whose header tells another size."""
    data = bytearray(encoded("JPEG", **options))
    place = next(data.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in data)
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ("height", "width", "decoded"),
    [
        (9000, 9000, (9000, 9000)),
        (9000, 12000, (4500, 6000)),  # 108 megapixels
        (12240, 16320, (6120, 8160)),  # 200
        (11001, 16545, (5501, 8273)),
        (65535, 5340, (32768, 2670)),
    ],
)
def test_the_header_of_a_large_jpeg_tells_the_half_size_that_it_is_decoded_at(tmp_path, height, width, decoded):
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg_that_says(height, width))
    assert read_header(path) == (*decoded, "RGB")


BASELINE = "save it as a baseline JPEG, or make it smaller"


@pytest.mark.parametrize("read", [read_image, read_header])
@pytest.mark.parametrize(
    ("make", "size", "kind", "limit", "hint"),
    [
        ("jpeg", (20_000, 17_501), "a baseline JPEG", MAX_JPEG_PIXELS, "make it smaller"),
        ("jpeg", (65_500, 65_500), "a baseline JPEG", MAX_JPEG_PIXELS, "make it smaller"),
        # its scales need memory for all of it
        ("progressive", (9_000, 12_000), "a progressive JPEG", MAX_PIXELS, BASELINE),
        ("progressive", (30_000, 30_000), "a progressive JPEG", MAX_PIXELS, "make it smaller"),
        ("several scans", (9_000, 12_000), "a JPEG in several scans", MAX_PIXELS, BASELINE),
        ("png", (9_000, 12_000), "a PNG", MAX_PIXELS, BASELINE),
        ("png", (1_000, 100_000), "a PNG", MAX_PIXELS, "make it smaller"),  # no JPEG is that wide
        ("png", (30_000, 30_000), "a PNG", MAX_PIXELS, "make it smaller"),
        ("webp", (7_000, 7_000), "a WebP", MAX_PIXELS // 2, BASELINE),
        ("webp", (9_000, 12_000), "a WebP", MAX_PIXELS // 2, BASELINE),
    ],
)
def test_above_a_limit_the_message_names_the_format_whose_limit_it_is(tmp_path, read, make, size, kind, limit, hint):
    path = tmp_path / "photo.jpg"
    makers = {
        "jpeg": jpeg_that_says,
        "progressive": lambda height, width: jpeg_that_says(height, width, progressive=True),
        "several scans": jpeg_in_several_scans,
        "png": png_that_says,
        "webp": webp_that_says,
    }
    path.write_bytes(makers[make](*size))
    said = rf"too large, of {kind} at most {limit:,} pixels are decoded, got {size[0]} x {size[1]} = "
    with pytest.raises(DataError, match=said) as caught:
        read(path)
    assert caught.value.hint == hint
    assert not caught.value.details
    assert "Pillow" not in str(caught.value)


def jpeg_in_several_scans(height: int, width: int) -> bytes:
    """Return a JPEG whose first scan holds one component."""
    data = bytearray(jpeg_that_says(height, width))
    place = data.index(b"\xff\xda")
    data[place : place + 14] = b"\xff\xda\0\x08\x01" + data[place + 5 : place + 7] + b"\0\x3f\0"
    return bytes(data)


def png_that_says(height: int, width: int) -> bytes:
    data = bytearray(encoded("PNG"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def webp_that_says(height: int, width: int) -> bytes:
    body = (
        b"VP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def test_a_large_jpeg_gives_the_same_pixels_on_every_way(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 10_000)
    data = encoded("JPEG", (201, 150), quality=95)
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    whole = read_image(path, max_pixels=40_000)
    assert (whole.height, whole.width) == (75, 101) == read_header(path)[:2]
    want = decode_image(path, SIZE)
    for source in (data, Stream(data), io.BytesIO(data)):
        assert np.array_equal(decode_image(source, SIZE), want)
    assert np.array_equal(fit_image(whole, SIZE), want)
    for size in (ImageSize(3, 3, 1), ImageSize(300, 300, 3)):
        assert np.array_equal(decode_image(path, size), fit_image(whole, size))
    with pytest.raises(DataError, match="at most 20,000 pixels are decoded, got 150 x 201"):
        read_image(path, max_pixels=5_000)


def test_a_jpeg_that_is_turned_has_its_height_and_width_halved_and_turned(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 10_000)
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded("JPEG", (201, 150), exif=exif))
    image = read_image(path)
    assert (image.height, image.width) == (101, 75) == read_header(path)[:2]


def test_a_progressive_jpeg_with_scans_without_end_is_refused(tmp_path):
    data = encoded("JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    path = tmp_path / "photo.jpg"
    path.write_bytes(data[:-2] + scan * 80 + data[-2:])
    assert decode_image(path, SIZE).shape == SIZE.shape
    path.write_bytes(data[:-2] + scan * 1000 + data[-2:])
    for read in (read_image, read_header):
        with pytest.raises(DataError, match=r"photo\.jpg: a progressive JPEG may have 100 scans, found 1,0\d\d"):
            read(path)


# -- images that are there already


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("orientation", [1, 6, 3])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_pillow_image_gives_the_pixels_of_its_file_and_stays_as_it_is(tmp_path, form, orientation, loaded):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo"
    path.write_bytes(encoded(form, (40, 30), exif=exif))
    with Image.open(path) as image:
        if loaded:
            image.load()
        size, noted = image.size, image.info.get("exif")
        assert np.array_equal(decode_image(image, SIZE), decode_image(path, SIZE))
        if loaded:
            assert (image.size, image.info.get("exif")) == (size, noted)


def test_a_pillow_image_without_a_file_is_taken_and_one_that_is_too_large_refused():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert (decode_image(image, ImageSize(2, 2, 3)) == 255).all()
    with pytest.raises(
        DataError, match=r"image: the image is too large, of a Pillow image at most 10 pixels are decoded, got 4 x 4"
    ):
        decode_image(image, ImageSize(2, 2, 3), max_pixels=10)
    with pytest.raises(DataError, match="floating-point"):
        decode_image(Image.new("F", (4, 4)), ImageSize(2, 2, 3))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("form", ["JPEG", "MPO"])
def test_a_large_jpeg_gives_the_same_pixels_as_an_open_pillow_image(tmp_path, monkeypatch, form, orientation):
    monkeypatch.setattr(decode, "MAX_PIXELS", 10_000)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    frames = {"save_all": True, "append_images": [Image.new("RGB", (201, 150))]} if form == "MPO" else {}
    path.write_bytes(encoded(form, (201, 150), quality=95, exif=exif, **frames))
    want = read_image(path)
    with Image.open(path) as image:
        assert image.format == form
        for _ in range(2):  # asking leaves it as it was
            got = read_image(image, max_pixels=10_000)
            assert got.size == want.size == ((101, 75) if orientation == 1 else (75, 101))
            assert np.array_equal(np.asarray(got), np.asarray(want))
        assert image.size == (201, 150)
        assert np.asarray(image).shape == (150, 201, 3)
        with pytest.raises(
            DataError, match=r"of a Pillow image that is loaded at most 10,000 .*\n  hint: pass its path"
        ):
            read_image(image, max_pixels=10_000)
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        assert np.array_equal(decode_image(image, SIZE), decode_image(path, SIZE))


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_pillow_image_of_a_file_object_that_can_do_little_is_taken(monkeypatch, form):
    class File:
        """What Pillow asks for, and no more."""

        def __init__(self, data: bytes) -> None:
            file = io.BytesIO(data)
            self.read, self.seek, self.tell = file.read, file.seek, file.tell

    data = encoded(form, (201, 150))
    want = decode_image(data, SIZE)
    assert np.array_equal(decode_image(Image.open(File(data)), SIZE), want)
    monkeypatch.setattr(decode, "MAX_PIXELS", 10_000)
    assert decode_image(Image.open(File(data)), SIZE).shape == SIZE.shape


def test_a_large_progressive_jpeg_is_refused_as_a_pillow_image_as_from_its_path(monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 10_000)
    image = Image.open(io.BytesIO(encoded("JPEG", (201, 150), progressive=True)))
    with image, pytest.raises(DataError, match="of a progressive JPEG at most 10,000 pixels"):
        read_image(image, max_pixels=10_000)


@pytest.mark.parametrize("size", [(0, 0), (5, 0), (0, 5)])
def test_images_without_pixels_are_refused(size):
    with pytest.raises(
        DataError, match=f"image: an image of at least 1 x 1 pixels was needed, got {size[1]} x {size[0]}"
    ):
        decode_image(Image.new("RGB", size), SIZE)
    for shape in (size, (*size, 3)):
        with pytest.raises(DataError, match="at least 1 x 1 pixels"):
            decode_image(np.zeros(shape, np.uint8), SIZE)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "TIFF", "BMP"])
def test_a_closed_pillow_image_is_not_called_damaged(tmp_path, form):
    path = tmp_path / "photo"
    path.write_bytes(encoded(form))
    with Image.open(path) as left:
        pass
    closed = Image.open(path)
    closed.load()
    closed.close()
    with path.open("rb") as file:
        without_file = Image.open(file)
    for image in (left, closed, without_file):
        with pytest.raises(DataError, match=r"the Pillow image is closed.*\n  hint: use it inside of its with block"):
            decode_image(image, SIZE)


def test_a_damaged_pillow_image_is_an_error_that_names_its_file(tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(encoded("PNG")[:-200])
    with Image.open(path) as image, pytest.raises(DataError, match=r"cut\.png: the image is damaged or truncated"):
        decode_image(image, SIZE)


def test_arrays_go_through_the_same_door():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    want = decode_image(Image.fromarray(pixels), SIZE)
    assert np.array_equal(decode_image(pixels, SIZE), want)
    assert np.array_equal(decode_image(pixels.transpose(2, 0, 1), SIZE), want)
    assert decode_image(pixels[:, :, 0], ImageSize(30, 40, 1))[:, :, 0].tolist() == pixels[:, :, 0].tolist()
    floats = decode_image(pixels / 255, SIZE)
    assert floats.dtype == np.float32
    assert np.abs(floats * 255 - want).max() <= 1.01
    for wrong, message in (
        (pixels[None], r"image: an image needs the shape .* got \(1, 30, 40, 3\)"),
        (np.array(3), r"got \(\)"),
        (pixels.astype(int), "uint8, or floating-point"),
        (np.full((4, 4), 2.0), r"values in \[0, 1\]"),
        (np.full((4, 4), None), "uint8, or floating-point"),
    ):
        with pytest.raises(DataError, match=message):
            decode_image(wrong, SIZE)
