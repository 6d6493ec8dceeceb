"""Pictures of any size become the pixels that training and `neocog predict` see, byte for byte, in lent memory."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neocog.data.channels import to_channels
from neocog.data.decode import decode_image
from neocog.data.resize import MOST_RESIZED, ImageSize, ResizeRule, resize_array
from neocog.emit import resize
from neocog.model.network import Network
from neocog.nn.blocks import Sequential
from neocog.nn.layers import GlobalAvgPool2d, Linear
from neocog.standalone.code import code_of
from neocog.standalone.folder import write_folder
from neocog.standalone.header import header_of

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is installed: apt-get install gcc")

THOROUGH = os.environ.get("NEOCOG_TEST_PROFILE") == "thorough"
RULES = (
    "stretch",
    "stretch,bicubic",
    "crop",
    "crop=0.875,bicubic",
    "pad",
    "pad,bicubic",
    "short=20",
    "short=40,bicubic",
)
EXAMPLE = """
#include <stdio.h>
#include <stdlib.h>
#include "net.h"

int main(void)
{
    int32_t shape[3];
    uint8_t image[NEOCOG_NET_INPUT_H * NEOCOG_NET_INPUT_W * NEOCOG_NET_INPUT_C];
    if (fread(shape, sizeof shape, 1, stdin) != 1)
        return 1;
    size_t size = (size_t)shape[0] * shape[1] * shape[2];
    uint8_t *picture = malloc(size);
    void *memory = malloc(NEOCOG_NET_RESIZE_BYTES(shape[0], shape[1]));
    if (fread(picture, 1, size, stdin) != size)
        return 1;
    if (neocog_net_resize(picture, shape[0], shape[1], shape[2], image, memory))
        return 2;
    fwrite(image, 1, sizeof image, stdout);
    free(picture);
    free(memory);
    return 0;
}
"""


def network(rule: str, shape: tuple[int, int, int]) -> Network:
    return Network(Sequential(GlobalAvgPool2d(), Linear(2)), shape, seed=0, resize=rule)


def pictures(shape: tuple[int, int, int], count: int) -> list[np.ndarray]:
    """Return noise of all sizes and proportions, a strip so long that it is cut before it is scaled among them."""
    stream = np.random.default_rng(3)
    sizes = [shape[:2], (3, 9000), (30000, 2), (1, 1)]
    sizes += [tuple(map(int, stream.integers(1, 300, 2))) for _ in range(count)]
    made = [stream.integers(0, 256, (*size, 1 + 2 * (n % 2)), dtype=np.uint8) for n, size in enumerate(sizes)]
    return [picture // 128 * 255 if n % 3 else picture for n, picture in enumerate(made)]  # bicubic filters overshoot


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", [(17, 23, 3), (24, 16, 1)])
def test_pixels_are_those_of_training_and_memory_is_enough(
    rule: str, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    code = code_of(network(rule, shape), "native", "net")
    assert code.fitting is not None
    (tmp_path / "net.o").write_bytes(code.content)
    subprocess.run(("cc", "-shared", "net.o", "-o", "net.so"), cwd=tmp_path, check=True)
    function = ctypes.CDLL(str(tmp_path / "net.so")).neocog_net_resize
    for picture in pictures(shape, 100 if THOROUGH else 6):
        height, width, channels = picture.shape
        wanted = resize_array(picture, ImageSize(*shape), rule)
        size = code.fitting.memory_a_side * (height + width) + code.fitting.memory_at_least
        memory, image = np.full(1 + size + 64, 0xA5, np.uint8), np.full(shape, 7, np.uint8)
        places = (ctypes.c_void_p(array.ctypes.data) for array in (picture, image))
        given, written = places
        lent = ctypes.c_void_p(memory.ctypes.data + 1)
        assert function(given, height, width, channels, written, lent) == 0
        np.testing.assert_array_equal(image, wanted)
        assert (memory[1 + size :] == 0xA5).all()
    for height, width, channels in ((0, 5, 3), (5, -1, 3), (5, 5, 2), (1 << 15, 5, 1), (5, 5, 4)):
        assert function(given, height, width, channels, written, lent) == -1


def test_a_c_program_resizes_a_real_picture_by_the_header_alone(tmp_path: Path) -> None:
    """With warnings as errors."""
    folder = Path(__file__).parents[2] / "docs" / "images"  # drawings of some 1,000 pixels
    shape = (96, 96, 3)
    write_folder(tmp_path, code_of(network("crop", shape), "native", "net"), network("crop", shape))
    (tmp_path / "main.c").write_text(EXAMPLE)
    words = ("cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-Wno-sign-conversion", "main.c", "net.o", "-o", "main")
    subprocess.run(words, cwd=tmp_path, check=True)
    with Image.open(folder / "lens.png") as opened:
        picture = np.asarray(to_channels(opened, 3))
    given = np.array(picture.shape, np.int32).tobytes() + picture.tobytes()
    done = subprocess.run([tmp_path / "main"], input=given, capture_output=True, check=True)
    wanted = decode_image(folder / "lens.png", ImageSize(*shape), ResizeRule("crop"))
    np.testing.assert_array_equal(np.frombuffer(done.stdout, np.uint8).reshape(shape), wanted)


def test_what_does_not_call_it_leaves_it_out(tmp_path: Path) -> None:
    write_folder(tmp_path, code_of(network("crop", (8, 8, 3)), "native", "net"), network("crop", (8, 8, 3)))
    text = (tmp_path / "README.md").read_text()
    (tmp_path / "main.c").write_text(text.split("```c\n")[1].split("```")[0])
    subprocess.run(("cc", "main.c", "net.o", "-Wl,--gc-sections", "-o", "main"), cwd=tmp_path, check=True)
    assert b"neocog_net_predict" in (tmp_path / "main").read_bytes()
    assert b"neocog_net_resize" not in (tmp_path / "main").read_bytes()


def test_targets_that_do_not_compute_in_float64_have_none() -> None:
    for target, has in (("cortex-m4", False), ("rv32", False), ("wasm32", False), ("armv7a", True), ("rv64", True)):
        code = code_of(network("pad", (8, 8, 3)), target, "net")
        assert (code.fitting is not None) == has
        assert (b"neocog_net_resize" in code.content) == has


def test_what_is_too_long_is_cut_first_as_in_training() -> None:
    assert resize.MOST_RESIZED == MOST_RESIZED


@pytest.mark.parametrize("side", [256, 1 << 16])
def test_the_header_names_the_bound_of_long_strips_where_pictures_reach_it(side: int) -> None:
    code = code_of(network("stretch", (8, 8, 3)), "native", "net", "asm")
    assert code.fitting is not None
    fitting = replace(code.fitting, kind="short", side=side)
    text = header_of(replace(code, fitting=fitting), network("stretch", (8, 8, 3)))
    assert (f"times {side}, over the shorter one, below 1073741824" in text) == (side > 256)
