import io

import numpy as np
import pytest
from PIL import Image

from neocog.data.decode import decode_image, fit_image, read_header, read_image
from neocog.data.resize import ImageSize
from neocog.errors import DataError


def encoded(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def picture(height: int = 24, width: int = 36) -> Image.Image:
    """Smooth colours, so that JPEG keeps them: red grows to the right, green downwards."""
    rows, columns = np.mgrid[0:height, 0:width]
    blue = np.full_like(rows, 60)
    return Image.fromarray(np.stack([columns * 255 // width, rows * 255 // height, blue], 2).astype(np.uint8))


SIZE = ImageSize(24, 36, 3)


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_exif_rotation_is_applied(tmp_path, orientation, undo):
    upright = picture()
    stored = upright if undo is None else upright.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    stored.save(path, exif=exif)
    assert np.array_equal(decode_image(path, SIZE), np.asarray(upright))
    assert read_header(path)[:2] == (24, 36)
    jpeg = encoded(stored, "JPEG", exif=exif, quality=95)
    assert np.abs(decode_image(jpeg, SIZE).astype(int) - np.asarray(upright)).max() < 12


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_leaves_the_picture_as_it_is():
    data = encoded(picture(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff", quality=95)
    assert decode_image(data, SIZE).shape == SIZE.shape


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "TIFF"])
def test_lossless_formats_come_back_exactly(form):
    assert np.array_equal(decode_image(encoded(picture(), form), SIZE), np.asarray(picture()))


def test_webp_and_jpeg_come_back():
    assert np.array_equal(decode_image(encoded(picture(), "WEBP", lossless=True), SIZE), np.asarray(picture()))
    got = decode_image(encoded(picture(), "JPEG", quality=95), SIZE)
    assert np.abs(got.astype(int) - np.asarray(picture())).max() < 12


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_frame_of_an_animation_is_taken(form):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert (decode_image(data, ImageSize(8, 8, 3)) == [255, 0, 0]).all()


def test_sixteen_bit_png_is_scaled_to_eight_in_grey_and_colour():
    want = np.arange(256, dtype=np.uint8).reshape(16, 16)
    data = encoded(Image.fromarray(want.astype(np.uint16) * 257), "PNG")
    assert data[24] == 16  # the bit depth in the PNG header
    assert np.array_equal(decode_image(data, ImageSize(16, 16, 1))[:, :, 0], want)
    assert np.array_equal(decode_image(data, ImageSize(16, 16, 3))[:, :, 2], want)
    # PGM of 16 bits is scaled alike
    pgm = b"P5 16 16 65535\n" + (want.astype(">u2") * 257).tobytes()
    assert np.array_equal(decode_image(pgm, ImageSize(16, 16, 1))[:, :, 0], want)


def test_cmyk_jpeg_becomes_rgb():
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)  # red ink
    got = decode_image(data, ImageSize(16, 16, 3))
    assert np.abs(got.astype(int) - [255, 0, 0]).max() < 8


def test_paths_bytes_and_files_give_the_same_pixels(tmp_path):
    path = tmp_path / "a.jpg"
    picture(200, 300).save(path)
    size = ImageSize(32, 32, 3)
    want = decode_image(path, size)
    assert np.array_equal(decode_image(str(path), size), want)
    assert np.array_equal(decode_image(path.read_bytes(), size), want)
    with path.open("rb") as file:
        assert np.array_equal(decode_image(file, size), want)
    assert np.array_equal(fit_image(read_image(path), size), want)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "PPM", "TIFF"])
@pytest.mark.parametrize("kept", [0.3, 0.7])
def test_truncated_images_are_errors_that_name_the_file(tmp_path, form, kept):
    data = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)), form)
    path = tmp_path / f"cut.{form.lower()}"
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(DataError) as caught:
        decode_image(path, SIZE)
    assert str(path) in caught.value.message
    assert f"{int(len(data) * kept):,} bytes" in caught.value.message


def test_what_is_no_image_is_named(tmp_path):
    path = tmp_path / "note.jpg"
    path.write_text("hello world")
    with pytest.raises(DataError, match=r"note\.jpg: not an image in a known format \(11 bytes .*b'hello wo'") as error:
        read_image(path)
    assert "HEIC" in error.value.hint
    path.write_bytes(b"")
    with pytest.raises(DataError, match=r"note\.jpg: the file is empty \(0 bytes\)"):
        read_image(path)
    with pytest.raises(DataError, match=r"gone\.jpg: there is no such file"):
        read_image(tmp_path / "gone.jpg")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_image(tmp_path)
    with pytest.raises(DataError, match=r"gone\.jpg: there is no such file"):
        read_header(tmp_path / "gone.jpg")
    with pytest.raises(DataError, match="upload 7: not an image"):
        read_image(b"1234567890", name="upload 7")


def test_formats_that_run_programs_are_not_opened():
    with pytest.raises(DataError, match="not an image in a known format"):
        read_image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")


def test_floating_point_files_are_refused_by_name(tmp_path):
    path = tmp_path / "depth.tiff"
    Image.fromarray(np.zeros((4, 4), np.float32)).save(path)
    with pytest.raises(DataError, match=r"depth\.tiff: pixels are floating-point"):
        decode_image(path, SIZE)


def test_too_many_pixels_are_refused_before_decoding():
    data = encoded(picture(100, 100), "PNG")
    with pytest.raises(DataError, match=r"at most 9,999 pixels are decoded, got 100 x 100 = 10,000"):
        read_image(data, max_pixels=9_999)
    assert read_image(data, max_pixels=10_000).size == (100, 100)


@pytest.mark.filterwarnings("error")
def test_there_is_one_limit_and_pillow_does_not_speak_of_another(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)  # Pillow warns above it, and refuses above twice of it
    for form in ("PNG", "JPEG", "GIF", "BMP", "PPM"):
        assert decode_image(encoded(picture(100, 100), form), SIZE).shape == SIZE.shape


def test_header_tells_size_and_mode(save_image):
    assert read_header(save_image("a.png", size=(12, 8), mode="L")) == (8, 12, "L")
