"""Exported machine code beside the C that others write of the same network: one image, one thread.

    pip install emx-onnx-cgen && python -m benchmarks.standalone

The others are emx-onnx-cgen and, where it is installed, onnx2c (github.com/kraiskil/onnx2c); gcc -O3 -march=native
compiles what they write. All are linked into one program, which answers random images with each in turn, in an order
that rotates. It prints medians and the largest difference of two probabilities; where that is more than 1e-4, it fails.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neocog.interop.onnx.write import to_onnx
from neocog.model.network import Network
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.layers import BatchNorm2d, Conv2d, GlobalAvgPool2d, Layer, Linear, ReLU
from neocog.nn.zoo import article, lenet5, mobilenet_v1_x0_25
from neocog.standalone.code import code_of
from neocog.standalone.folder import write_folder


@dataclass(frozen=True, slots=True)
class Case:
    """A network to time, and the images that it takes: (height, width, channels)."""

    net: Callable[[int], Layer]
    shape: tuple[int, int, int]
    classes: int


def resnet8(classes: int) -> Sequential:
    """Return the ResNet of MLPerf Tiny, for images of 32 x 32: three blocks of 16, 32 and 64 channels.

    Source: Banbury et al. 2021, MLPerf Tiny benchmark.
    """

    def block(channels: int, stride: int) -> list[Layer]:
        body = Sequential(
            *(Conv2d(channels, 3, stride, 1), BatchNorm2d(), ReLU(), Conv2d(channels, 3, padding=1), BatchNorm2d())
        )
        return [Residual(body, Conv2d(channels, 1, stride) if stride > 1 else None), ReLU()]

    stem = (Conv2d(16, 3, padding=1), BatchNorm2d(), ReLU())
    return Sequential(*stem, *block(16, 1), *block(32, 2), *block(64, 2), GlobalAvgPool2d(), Linear(classes))


CASES = {
    "article": Case(article, (28, 28, 1), 10),
    "lenet5": Case(lenet5, (28, 28, 1), 10),
    "mobilenet": Case(mobilenet_v1_x0_25, (96, 96, 3), 2),
    "resnet8": Case(resnet8, (32, 32, 3), 10),
}
"""MobileNetV1 of a quarter of its width is MLPerf Tiny's too, for two classes."""

PROGRAM = """#define _POSIX_C_SOURCE 199309L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "{name}.h"

enum {{ MOST = 1001, H = {height}, W = {width}, C = {channels}, PIXELS = H * W * C, CLASSES = {classes} }};
static const double SPENT = 8e6; /* microseconds, in all */

void emx(const float images[restrict 1][C][H][W], float probabilities[restrict 1][CLASSES],
         float logits[restrict 1][CLASSES]);
void onnx2c(const float images[1][C][H][W], float probabilities[1][CLASSES], float logits[1][CLASSES]);

static double now(void)
{{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e6 + time.tv_nsec * 1e-3;
}}

static int compare(const void *a, const void *b)
{{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}}

static unsigned char arena[NEOCOG_{macro}_ARENA_BYTES];
static uint8_t bytes[PIXELS];
static float numbers[1][C][H][W], found[SIDES][1][CLASSES], logits[1][CLASSES];
static double times[SIDES][MOST];
static const char *const names[] = {{"neocog", "emx-onnx-cgen", "onnx2c"}};

static double timed(int side)
{{
    double begin = now();
    if (side == 0)
        neocog_{name}_predict(bytes, found[0][0], arena);
    else if (side == 1)
        emx(numbers, found[1], logits);
#if SIDES > 2
    else
        onnx2c(numbers, found[2], logits);
#endif
    return now() - begin;
}}

int main(void)
{{
    double worst = 0, least = 1, most = 0, all = 0;
    int runs = MOST;
    for (int run = -1; run < runs; run++) {{ /* the first is not counted */
        int bright = 32 + (run + 1) * 67 % 224; /* noise of one brightness would be answered alike */
        for (int i = 0; i < PIXELS; i++)
            numbers[0][i % C][i / C / W][i / C % W] = (bytes[i] = (uint8_t)((rand() >> 8) % bright)) / 255.0f;
        for (int turn = 0; turn < SIDES; turn++) {{
            int side = (run + 1 + turn) % SIDES;
            double time = timed(side);
            if (run < 0)
                all += time;
            else
                times[side][run] = time;
        }}
        if (run < 0 && SPENT / all < MOST)
            runs = SPENT / all < 31 ? 31 : (int)(SPENT / all) | 1;
        least = fmin(least, found[0][0][0]), most = fmax(most, found[0][0][0]);
        for (int side = 1; side < SIDES; side++)
            for (int c = 0; c < CLASSES; c++)
            {{
                double apart = fabs(found[0][0][c] - found[side][0][c]);
                if (!(apart <= worst)) /* so that NaN stays */
                    worst = apart;
            }}
    }}
    for (int side = 0; side < SIDES; side++) {{
        qsort(times[side], runs, sizeof(double), compare);
        printf("%s%s %.1f us", side ? ", " : "{name}: ", names[side], times[side][runs / 2]);
        if (side)
            printf(" (%.2fx)", times[side][runs / 2] / times[0][runs / 2]);
    }}
    printf("; %d runs; probabilities differ by %.1e, from image to image by %.2g\\n", runs, worst, most - least);
    return !(worst <= 1e-4) || most - least < 1e-3; /* answers that are all alike would compare nothing */
}}
"""


def network_of(case: Case) -> Network:
    """Return a network whose numbers are drawn at random, running averages and biases too."""
    network = Network(case.net(case.classes), case.shape, seed=0)
    stream = np.random.default_rng(0)
    network.load_parameters(
        {
            name: value + stream.uniform(0.0, 0.2, value.shape).astype(np.float32) if value.ndim == 1 else value
            for name, value in network.parameters.items()
        }
    )
    return network


def build(name: str, place: Path, target: str) -> Path:
    """Return a program that times all sides of a network."""
    import onnx

    case = CASES[name]
    network = network_of(case)
    to_onnx(network, place / "net.onnx", input="float", fold=True)
    written = onnx.load(place / "net.onnx")
    for value in (*written.graph.input, *written.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(written, place / "net.onnx")
    write_folder(place / "ours", code_of(network, target, name), network)
    inside = ("--large-temp-threshold", "0", "--large-weight-threshold", "0")  # no heap, and weights in the program
    run("emx-onnx-cgen", "compile", place / "net.onnx", place / "emx.c", "--model-name", "emx", *inside)
    others = [place / "emx.c"]
    if shutil.which("onnx2c"):
        (place / "onnx2c.c").write_text(run("onnx2c", "-f", "onnx2c", place / "net.onnx"))
        others.append(place / "onnx2c.c")
    height, width, channels = case.shape
    text = PROGRAM.format(
        name=name, macro=name.upper(), height=height, width=width, channels=channels, classes=case.classes
    )
    (place / "main.c").write_text(text)
    flags = ("-O3", "-march=native", "-std=c11", f"-I{place / 'ours'}", f"-DSIDES={1 + len(others)}")
    sources = (place / "main.c", *others, place / "ours" / f"{name}.o")
    run("gcc", *flags, *sources, "-lm", "-o", place / "bench")
    return place / "bench"


def run(*words: str | Path) -> str:
    """Run a command, and return what it says; where it fails, show that and end."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    """Build and time each network."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.standalone")
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--target", default="native", help="of our code, as neocog export has it")
    parser.add_argument("--keep", type=Path, help="a folder for the programs, which are built there and not run")
    options = parser.parse_args()
    if shutil.which("emx-onnx-cgen") is None:
        sys.exit("emx-onnx-cgen is not installed: pip install emx-onnx-cgen")
    if shutil.which("onnx2c") is None:
        print("onnx2c is not on PATH, and left out", file=sys.stderr)
    for name in options.networks:
        with tempfile.TemporaryDirectory() as temporary:
            place = Path(temporary) if options.keep is None else options.keep.absolute() / name
            place.mkdir(parents=True, exist_ok=True)
            program = build(name, place, options.target)
            if options.keep is not None:
                print(program)
            elif subprocess.run([program], check=False).returncode:
                sys.exit(f"{name}: the sides compute something else")


if __name__ == "__main__":
    main()
