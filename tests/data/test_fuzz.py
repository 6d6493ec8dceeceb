"""Every reader of data files against damaged ones: it gives data, or an error of neocog's, and nothing else.

NEOCOG_FUZZ_EXAMPLES sets how many files are tried for each reader.
"""

import contextlib
import gzip
import io
import os
import pickle
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from neocog.data.cifar import read_cifar_folder
from neocog.data.decode import decode_image, read_header
from neocog.data.idx import read_idx, read_idx_folder
from neocog.data.inert_pickle import load_inert
from neocog.data.npz import read_npz
from neocog.data.resize import ImageSize
from neocog.errors import NeocogError

EXAMPLES = int(os.environ.get("NEOCOG_FUZZ_EXAMPLES", "60"))
fuzzed = settings(
    deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)

pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 4), np.uint8)


def encoded(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def grey_png_with_key(depth: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 8, 4, depth, 0, 0, 0, 0)
    rows = (b"\0" + bytes(range(depth))) * 4
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"tRNS", b"\0\1")
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def image_seeds() -> dict[str, bytes]:
    rgba = Image.fromarray(pixels)
    rgb, grey = rgba.convert("RGB"), rgba.convert("L")
    palette = rgb.quantize(7)
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "jpeg": encoded(rgb, "JPEG", exif=exif),
        "jpeg progressive": encoded(rgb, "JPEG", progressive=True),
        "jpeg grey": encoded(grey, "JPEG"),
        "jpeg cmyk": encoded(rgb.convert("CMYK"), "JPEG"),
        "png rgba": encoded(rgba, "PNG"),
        "png rgb, key": encoded(rgb, "PNG", transparency=(1, 2, 3)),
        "png palette": encoded(palette, "PNG", transparency=bytes([0, 128, 255])),
        "png palette, one": encoded(palette, "PNG", transparency=2),
        "png 16": encoded(Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257), "PNG"),
        "png 1": encoded(rgb.convert("1"), "PNG"),
        "png 2, key": grey_png_with_key(2),
        "png 4, key": grey_png_with_key(4),
        "apng": encoded(rgb, "PNG", save_all=True, append_images=[rgb.rotate(90)]),
        "gif": encoded(palette, "GIF", transparency=1),
        "gif animation": encoded(rgb, "GIF", save_all=True, append_images=[rgb.rotate(90)]),
        "bmp": encoded(rgb, "BMP"),
        "bmp palette": encoded(palette, "BMP"),
        "bmp rgba": encoded(rgba, "BMP"),
        "ppm": encoded(rgb, "PPM"),
        "ppm plain": b"P3 2 2 255 1 2 3 4 5 6 7 8 9 10 11 12\n",
        "pgm 16": b"P5 4 2 65535\n" + bytes(16),
        "pbm": encoded(rgb.convert("1"), "PPM"),
        "tiff": encoded(rgb, "TIFF"),
        "tiff lzw": encoded(rgba, "TIFF", compression="tiff_lzw"),
        "tiff deflate": encoded(grey, "TIFF", compression="tiff_adobe_deflate"),
        "tiff g4": encoded(rgb.convert("1"), "TIFF", compression="group4"),
        "tiff jpeg": encoded(rgb, "TIFF", compression="jpeg"),
        "tiff cmyk": encoded(rgb.convert("CMYK"), "TIFF"),
        "webp": encoded(rgb, "WEBP"),
        "webp lossless": encoded(rgba, "WEBP", lossless=True),
        "webp animation": encoded(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(90)]),
    }


def npz_seeds() -> dict[str, bytes]:
    x, y = pixels[:, :4, :3], np.arange(9) % 3
    found = {}
    for name, save in (("stored", np.savez), ("deflated", np.savez_compressed)):
        for kind, images in (("bytes", x), ("floats", (x / 255).astype(np.float32)), ("doubles", x / 255)):
            file = io.BytesIO()
            save(file, x=images, y=y, class_names=np.array(["a", "b", "ü"]))
            found[f"{name} {kind}"] = file.getvalue()
    return found


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


IMAGES, ARCHIVES = image_seeds(), npz_seeds()
LABELS = idx(np.arange(9, dtype=np.uint8) % 3)
IDX = {"plain": idx(pixels[:, :, 0][:, :, None]), "packed": gzip.compress(idx(pixels[:, :, :3]), mtime=0)}
NUMBERS = st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 31, 1 << 16])


@st.composite
def damaged(draw: st.DrawFn, seeds: dict[str, bytes]) -> bytes:
    """Return a valid file with a few changes: bytes, numbers, pieces removed, doubled or swapped, an early end."""
    data = bytearray(seeds[draw(st.sampled_from(sorted(seeds)))])
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.integers(1, 24))
        match draw(st.sampled_from("bbbnnrdsc")):
            case "b" if data:
                data[place] = draw(st.integers(0, 255))
            case "n":
                form = draw(st.sampled_from(["<H", ">H", "<I", ">I"]))
                number = draw(NUMBERS) & ((1 << 8 * struct.calcsize(form)) - 1)
                data[place : place + struct.calcsize(form)] = struct.pack(form, number)
            case "r":
                del data[place : place + length]
            case "d":
                data[place:place] = data[place : place + length]
            case "s":
                data[place : place + length] = draw(st.binary(max_size=24))
            case "c":
                del data[place:]
    return bytes(data)


@contextlib.contextmanager
def nothing_but_errors_of_neocog():
    with warnings.catch_warnings(), contextlib.suppress(NeocogError):
        warnings.simplefilter("ignore")
        yield


@fuzzed
@given(damaged(IMAGES), st.sampled_from([1, 3, 4]))
def test_damaged_images_give_pixels_or_an_error(tmp_path: Path, data: bytes, channels: int) -> None:
    size = ImageSize(6, 5, channels)
    with nothing_but_errors_of_neocog():
        assert decode_image(data, size).shape == size.shape
    path = tmp_path / "image"
    path.write_bytes(data)
    with nothing_but_errors_of_neocog():
        read_header(path)


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_the_images_that_are_damaged_are_sound(name: str) -> None:
    assert decode_image(IMAGES[name], ImageSize(6, 5, 3)).shape == (6, 5, 3)


@fuzzed
@given(damaged(IDX))
def test_damaged_idx_files_give_arrays_or_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(data)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(LABELS)
    with nothing_but_errors_of_neocog():
        read_idx(tmp_path / "train-images-idx3-ubyte", 1)
    with nothing_but_errors_of_neocog():
        assert len(read_idx_folder(tmp_path).train) == 9


@fuzzed
@given(damaged({"rows": bytes(2 * 3073)}), st.binary(max_size=40))
def test_damaged_cifar_batches_give_images_or_an_error(tmp_path: Path, data: bytes, names: bytes) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(data)
    (tmp_path / "batches.meta.txt").write_bytes(names)
    with nothing_but_errors_of_neocog():
        read_cifar_folder(tmp_path)


def pickle_seeds() -> dict[str, bytes]:
    """Pickles that need many kinds of instructions, in the protocols that are read."""
    plain = {"labels": [1, 2, 2**40, -3, 2**70], b"data": b"abc\xff", "t": (1, (2.5, None), ("x",), True)}
    batch = {"data": np.zeros((2, 3072), np.uint8), "labels": [1, 2]}
    made = {f"plain {protocol}": pickle.dumps(plain, protocol) for protocol in (0, 1, 2, 4)}
    return made | {"batch": pickle.dumps(batch, 2)}


PICKLES = pickle_seeds()
SHORT = b"(.0 1 2 ] } ) l d t a e s u q\0 h\0 q\1 h\1 K\7 \x85 \x86 \x87 R b N \x88 U\1b X\1\0\0\0a C\1z"
LONG = [
    b"I99999999999999999999\n",
    b"L" + b"9" * 5000 + b"L\n",
    b"p99999999999999999999999\n",
    b"g-1\n",
    b"F1e999\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"cnumpy\nndarray\n",
    b"cnumpy\ndtype\n",
    b"c_codecs\nencode\n",
    b"U\2u1",
    b"U\6latin1",
    b"\x8a\x09" + b"\xff" * 8 + b"\1",
    b"S'labels'\n",
    b"S'data'\n",
    b"Vlabels\n",
]
INSTRUCTIONS = st.lists(st.sampled_from([*SHORT.split(), *LONG]), max_size=30).map(
    lambda parts: b"\x80\x02" + b"".join(parts) + b"."
)


@fuzzed
@given(st.one_of(damaged(PICKLES), INSTRUCTIONS))
def test_damaged_pickles_give_values_or_an_error(tmp_path: Path, data: bytes) -> None:
    with nothing_but_errors_of_neocog():
        load_inert(data, "fuzzed")
    (tmp_path / "data_batch_1").write_bytes(data)
    (tmp_path / "batches.meta").write_bytes(data)
    with nothing_but_errors_of_neocog():
        read_cifar_folder(tmp_path)
    (tmp_path / "batches.meta").unlink()
    with nothing_but_errors_of_neocog():
        read_cifar_folder(tmp_path)


@fuzzed
@given(damaged(ARCHIVES))
def test_damaged_npz_archives_give_arrays_or_an_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(data)
    with nothing_but_errors_of_neocog():
        read_npz(path)


HEADERS = st.one_of(
    st.builds(
        lambda descr, order, shape: repr({"descr": descr, "fortran_order": order, "shape": shape}),
        st.sampled_from(
            ["|u1", "<f4", "<f8", ">i8", "|O", "<U0", "<U3", "|V5", "|S2", "<M8[s]", "<c8", "|b1", "<f2", "u"]
        )
        | st.just([("a", "<i4"), ("b", "|u1")]),
        st.booleans(),
        st.sampled_from([(), (0,), (9,), (9, 4, 3), (2**70,), (-1,), (10**9, 0, 4), (1,) * 70, 9, (True,), ("a",)]),
    ),
    st.sampled_from(["{", "(" * 5000, "{'descr': 9}", "9" * 5000, "[" * 200 + "]" * 200, "\ud7ff"]),
)


@fuzzed
@given(HEADERS, HEADERS, st.integers(0, 200), st.sampled_from([(1, 0), (2, 0), (3, 0)]))
def test_arrays_with_odd_headers_give_data_or_an_error(tmp_path: Path, x, y, length, version) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, header in (("x.npy", x), ("y", y), ("class_names.npy", y)):
            text = header.encode()
            count = struct.pack("<H" if version == (1, 0) else "<I", len(text))
            archive.writestr(name, b"\x93NUMPY" + bytes(version) + count + text + bytes(length))
    with nothing_but_errors_of_neocog():
        read_npz(path)
