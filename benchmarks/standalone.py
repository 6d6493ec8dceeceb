"""Exported machine code beside the C that emx-onnx-cgen writes of the same network: one image, one thread.

    pip install emx-onnx-cgen && python -m benchmarks.standalone

Both are linked into one program, gcc -O3 -march=native, which answers random images with each in turn. It prints
medians and the largest difference of two probabilities; where that is more than 1e-4, it fails.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from neocog.interop.onnx.write import to_onnx
from neocog.model.network import Network
from neocog.nn.zoo import article, lenet5
from neocog.standalone.code import NATIVE, code_of
from neocog.standalone.folder import write_folder

SHAPE = (28, 28, 1)
NETWORKS = {"article": article, "lenet5": lenet5}
PROGRAM = """#define _POSIX_C_SOURCE 199309L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "{name}.h"

enum {{ RUNS = 1001, PIXELS = 28 * 28, CLASSES = 10 }};

void model(const float images[restrict 1][1][28][28], float probabilities[restrict 1][10],
           float logits[restrict 1][10]);

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
static float numbers[1][1][28][28];
static double ours[RUNS], theirs[RUNS];

int main(void)
{{
    double worst = 0;
    for (int run = 0; run < RUNS; run++) {{
        float found[CLASSES], other[1][CLASSES], logits[1][CLASSES];
        for (int i = 0; i < PIXELS; i++)
            numbers[0][0][i / 28][i % 28] = (bytes[i] = (uint8_t)rand()) / 255.0f;
        double begin = now();
        neocog_{name}_predict(bytes, found, arena);
        double between = now();
        model(numbers, other, logits);
        ours[run] = between - begin, theirs[run] = now() - between;
        for (int c = 0; c < CLASSES; c++)
            worst = fmax(worst, fabs(found[c] - other[0][c]));
    }}
    qsort(ours, RUNS, sizeof *ours, compare);
    qsort(theirs, RUNS, sizeof *theirs, compare);
    printf("{name}: neocog %.1f us, emx-onnx-cgen %.1f us: %.2fx; probabilities differ by %.1e\\n", ours[RUNS / 2],
           theirs[RUNS / 2], theirs[RUNS / 2] / ours[RUNS / 2], worst);
    return worst > 1e-4;
}}
"""


def build(name: str, place: Path) -> Path:
    """Return a program that times both sides of a network."""
    import onnx

    network = Network(NETWORKS[name](), SHAPE, seed=0)
    to_onnx(network, place / "net.onnx", input="float", fold=True)
    written = onnx.load(place / "net.onnx")
    for value in (*written.graph.input, *written.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(written, place / "net.onnx")
    write_folder(place, code_of(network, NATIVE, name), network)
    inside = ("--large-temp-threshold", "0", "--large-weight-threshold", "0")  # no heap, and weights in the program
    run("emx-onnx-cgen", "compile", place / "net.onnx", place / "theirs.c", "--model-name", "model", *inside)
    (place / "main.c").write_text(PROGRAM.format(name=name, macro=name.upper()))
    sources = (place / "main.c", place / "theirs.c", place / f"{name}.o")
    run("gcc", "-O3", "-march=native", "-std=c11", f"-I{place}", *sources, "-lm", "-o", place / "bench")
    return place / "bench"


def run(*words: str | Path) -> None:
    """Run a command, and show what it says where it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")


def main() -> None:
    """Build and time each network."""
    if shutil.which("emx-onnx-cgen") is None:
        sys.exit("emx-onnx-cgen is not installed: pip install emx-onnx-cgen")
    for name in NETWORKS:
        with tempfile.TemporaryDirectory() as place:
            if subprocess.run([build(name, Path(place))], check=False).returncode:
                sys.exit(f"{name}: both sides compute something else")


if __name__ == "__main__":
    main()
