"""Images that are too much, and too little memory for images."""

import io
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image, ImageOps

from data.image_bytes import Stream, encoded, jpeg_in_several_scans, jpeg_that_says, png_that_says, webp_that_says
from neocog.data import decode
from neocog.data.decode import MAX_JPEG_PIXELS, MAX_PIXELS, decode_image, fit_image, read_header, read_image
from neocog.data.files import FileDataset
from neocog.data.resize import ImageSize
from neocog.errors import DataError

SIZE = ImageSize(10, 12, 3)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are told to Linux")


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
