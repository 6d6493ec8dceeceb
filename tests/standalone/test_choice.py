"""One object for all of x86-64: the version that runs is chosen by what the processor has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from neocog.emit.choice import LEVELS
from neocog.errors import EngineError
from neocog.jit.host import host_target
from neocog.model.network import Network
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
from neocog.nn.rewrite import fold_norms
from neocog.plan.planner import plan_program
from neocog.plan.program import LOGITS
from neocog.plan.standalone import stand_alone
from neocog.standalone import code as exporting
from neocog.standalone import verify as verifying
from neocog.standalone.code import code_of
from neocog.standalone.folder import write_folder
from neocog.standalone.verify import verify
from neocog.target.ahead import AHEAD

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None or not host_target().triple.startswith("x86_64"), reason="needs cc on x86-64"
)

HERE = {4: 0, 8: 1, 16: 2}
PROCESSORS = {"Nehalem": 0, "SandyBridge": 0, "Haswell": 1}
"""As QEMU calls them; Sandy Bridge has AVX, but neither AVX2 nor FMA."""

PROGRAM = """
#include <stdio.h>
#include "net.h"

static unsigned char arena[NEOCOG_NET_ARENA_BYTES];

int main(void)
{
    static uint8_t image[NEOCOG_NET_INPUT_H * NEOCOG_NET_INPUT_W * NEOCOG_NET_INPUT_C];
    float probabilities[NEOCOG_NET_NUM_CLASSES];
    int answer = neocog_net_predict(image, probabilities, arena);
    printf("%d %d %.6f\\n", neocog_net_level(), answer, probabilities[0]);
    return 0;
}
"""


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(Sequential(Conv2d(6, 3), ReLU(), Flatten(), Linear(3)), (6, 6, 1), seed=1)


@pytest.fixture(scope="module")
def folder(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an export, with a program that says what was chosen."""
    place = tmp_path_factory.mktemp("choice")
    write_folder(place, code_of(network, "x86-64", "net"), network)
    (place / "main.c").write_text(PROGRAM)
    words = ("cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-static", "main.c", "net.o", "-o", "main")
    subprocess.run(words, cwd=place, check=True)
    return place


def said(*words: str | Path) -> list[str]:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def test_each_version_that_can_run_here_answers_as_the_model(network: Network, folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, *network.input_shape), dtype=np.uint8)
    told: list[tuple[int, int]] = []
    found = verify(folder, network, images, lambda done, total: told.append((done, total)))
    assert found.versions == LEVELS[: HERE[host_target().lanes] + 1]
    assert found.difference < 1e-5
    assert told == [(5, 5)] * (1 + len(found.versions))


def test_the_best_version_for_this_processor_is_chosen(folder: Path) -> None:
    assert int(said(folder / "main")[0]) == HERE[host_target().lanes]


@pytest.mark.parametrize("processor", PROCESSORS)
def test_older_processors_get_what_they_can_run(processor: str, folder: Path) -> None:
    emulator = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
    if emulator is None:
        pytest.skip("qemu-x86_64 is not installed: apt-get install qemu-user-static")
    level, *answer = said(emulator, "-cpu", processor, folder / "main")
    assert int(level) == PROCESSORS[processor]
    assert answer == said(folder / "main")[1:]


def test_versions_are_seen_by_whom_the_object_is_linked_with_alone(folder: Path) -> None:
    """A shared library shows the functions and the names of classes: what could be replaced is not called."""
    subprocess.run(("cc", "-shared", "net.o", "-o", "libnet.so"), cwd=folder, check=True)
    library = (folder / "libnet.so").read_bytes()
    assert b"neocog_net_predict\0" in library
    names = said("nm", "-D", "--defined-only", folder / "libnet.so")[2::3] if shutil.which("nm") else []
    shown = {"predict", "level", "class_names", "resize"}
    assert set(names) <= {f"neocog_net_{name}" for name in shown}


def test_the_readme_says_how_to_choose_without_indirect_functions(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    assert "indirect function" in text
    choice = text.split("```c\n")[2].split("```")[0]
    program = PROGRAM.replace("    int answer = neocog_net_predict(", choice + "    int answer = predict(")
    (folder / "chosen.c").write_text(program)
    words = ("cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "chosen.c", "net.o", "-o", "chosen")
    subprocess.run(words, cwd=folder, check=True)
    assert said(folder / "chosen") == said(folder / "main")


def test_a_version_that_fails_is_not_taken_for_one_of_another_processor(
    folder: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = verifying.answers_of

    def answers(built, *given):
        if "_predict_sse2" in (built.folder / "selftest.c").read_text():
            raise EngineError("an emulator that is too old")
        return real(built, *given)

    monkeypatch.setattr(verifying, "answers_of", answers)
    with pytest.raises(EngineError, match="too old"):
        verify(folder, network, np.zeros((1, 6, 6, 1), np.uint8))


def test_every_version_is_planned_for_one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Network(Sequential(Flatten(), Linear(70)), (3, 3, 1), seed=0)
    folded = fold_norms(wide.graph).graph
    planned = {
        alone: sum(
            stand_alone(plan_program(folded, 1, AHEAD[name].target, outputs=(LOGITS,), alone=alone)).constant_bytes
            for name in AHEAD["x86-64"].levels
        )
        for alone in (True, False)
    }
    assert planned[True] != planned[False]
    monkeypatch.setattr(exporting, "compile_together", lambda *given, **named: b"")
    assert code_of(wide, "x86-64", "net", "llvm").constant_bytes == planned[True]
