"""Plans and emitted code stay as they were, unless somebody means to change them.

`replay.json` holds two digests of each landmark program: of its description (`plan`) and of the text of its module
(`code`). A refactoring leaves all of them alone. Whoever changes plans or code on purpose, looks at what changed and
renews the file in the same commit, from the root of the repository:

    python -m tests.plan.test_replay

Where two branches renewed it, merge their code and renew it once more.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from neocog.emit.program import emit_program
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
)
from neocog.nn.losses import CrossEntropy, MeanSquaredError
from neocog.nn.optimizers import SGD, Adam
from neocog.nn.shapes import ImageShape
from neocog.nn.zoo import article, default_net, lenet5, photo, vgg
from neocog.plan.describe import describe
from neocog.plan.planner import plan_program
from neocog.plan.program import Program, Training
from neocog.target.named import NAMED

RECORD = Path(__file__).with_name("replay.json")
RENEW = "python -m tests.plan.test_replay"
MIXED = Sequential(
    *(Dropout(0.2), Conv2d(5, (3, 2), stride=2, padding="same"), ReLU(), AvgPool2d(3, 1, 1)),
    *(Conv2d(20, 3, dilation=2, bias=False), MaxPool2d(2), Flatten(), ReLU(), Linear(3)),
)
PADDED = Sequential(
    *(part for _ in range(3) for part in (Conv2d(18, 3, padding=1), ReLU())), MaxPool2d(3, 2), Flatten()
)
GROUPED = Sequential(
    *(Conv2d(24, 3, 2, ((0, 1), (0, 1)), bias=False), BatchNorm2d(), ReLU6()),
    *(Conv2d(24, 3, 1, 1, bias=False, groups=24), BatchNorm2d(), ReLU6(), Conv2d(24, 5, 2, 2, groups=24)),
    *(Conv2d(36, 3, 1, 1, groups=6), ReLU(), GlobalAvgPool2d(), Linear(3)),
)
TRAINING = Training(CrossEntropy(), SGD(momentum=0.9))
LANDMARKS: dict[str, tuple[Graph, int, Training]] = {
    "article": (trace(article(), (28, 28, 1)), 64, TRAINING),
    "photo": (trace(photo(), (32, 32, 3)), 8, TRAINING),
    "vgg": (trace(vgg(), (16, 16, 3)), 8, Training(CrossEntropy(0.1), Adam())),
    "lenet5": (trace(lenet5(), (28, 28, 1)), 4, TRAINING),
    "default": (trace(default_net(ImageShape(12, 12, 1), 10), (12, 12, 1)), 5, TRAINING),
    "mixed": (trace(MIXED, (17, 14, 3)), 6, Training(MeanSquaredError(), SGD())),
    "padded": (trace(PADDED, (11, 10, 3)), 16, Training(MeanSquaredError(), Adam())),
    "grouped": (trace(GROUPED, (17, 18, 3)), 16, TRAINING),
}
PURPOSES = ("training", "prediction", "peaks")
NAMES = [f"{network}, {purpose}, {target}" for network in LANDMARKS for purpose in PURPOSES for target in NAMED]


def program_named(name: str) -> Program:
    """Plan a landmark program."""
    network, purpose, target = name.split(", ")
    graph, batch, training = LANDMARKS[network]
    return plan_program(
        graph,
        batch,
        NAMED[target],
        training if purpose == "training" else None,
        outputs=("peaks",) if purpose == "peaks" else ("logits", "features"),
    )


def digests(name: str) -> dict[str, str]:
    """Return what is remembered of a landmark program."""
    program = program_named(name)
    texts = {"plan": describe(program), "code": str(emit_program(program))}
    return {kind: hashlib.sha256(text.encode()).hexdigest()[:16] for kind, text in texts.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_program_is_planned_and_written_as_it_was(name: str) -> None:
    want, got = json.loads(RECORD.read_text())[name], digests(name)
    changed = [kind for kind in want if got[kind] != want[kind]]
    assert not changed, f"{' and '.join(changed)} changed of: {name}; where this is meant, run {RENEW}"


def test_no_program_is_remembered_that_is_not_replayed() -> None:
    assert list(json.loads(RECORD.read_text())) == NAMES


def renew() -> None:
    """Write the record anew, a program a line."""
    lines = (f"  {json.dumps(name)}: {json.dumps(digests(name))}" for name in NAMES)
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    renew()
