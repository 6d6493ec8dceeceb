"""Instructions of innermost loops, of 64-bit ARM (NEON) beside x86-64 (SSE2), which has vectors of the same width.

    python tools/inner_loops.py

Each network below is mostly one kind of kernel. It is exported as assembly for both, its innermost loops are found, and
what they do for each multiply-add of a vector is counted. Of kernels that train, the programs are planned for either
processor and each kernel is compiled as the engine does it. Nothing is run, so that it needs neither machine.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from neocog.emit.program import emit_program
from neocog.jit.codegen import assembly
from neocog.jit.pieces import split
from neocog.model.network import Network
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layer import Layer
from neocog.nn.layers import Conv2d, Flatten, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.plan.planner import plan_program
from neocog.plan.program import Training
from neocog.standalone.code import code_of
from neocog.target.named import NAMED

LEAST = 8  # multiply-adds of a loop that is looked at: shorter ones finish what a longer one leaves
SHAPE = (28, 28, 16)
END = (GlobalAvgPool2d(), Linear(10))
NETWORKS: dict[str, Layer] = {
    "conv 3x3": Sequential(Conv2d(32, 3, stride=2), ReLU(), *END),
    "conv 3x3, Winograd": Sequential(Conv2d(32, 3, padding=1), ReLU(), *END),
    "conv 3x3, pooled": Sequential(Conv2d(32, 3, padding=1), ReLU(), MaxPool2d(2), *END),
    "conv 1x1": Sequential(Conv2d(48, 1), ReLU(), *END),
    "conv 5x5": Sequential(Conv2d(8, 5), ReLU(), *END),
    "depthwise 3x3": Sequential(Conv2d(16, 3, padding=1, groups=16), ReLU(), *END),
    "linear": Sequential(Flatten(), Linear(64)),
}
TRAINED = Sequential(Conv2d(16, 3, padding=1), ReLU(), MaxPool2d(2), Conv2d(32, 5), ReLU(), Flatten(), Linear(10))


@dataclass(frozen=True, slots=True)
class Loop:
    """An innermost loop, in instructions; of vectors unless it says otherwise.

    Arguments:
        instructions: all of them.
        multiply_adds: fused ones, or multiplications where the processor fuses none.
        by_lane: those that multiply by a lane of another register, which needs no register of copies.
        other: other arithmetic.
        loads: from memory that is no stack, scalars that are multiplied by included; as operands too.
        stores: to memory that is no stack.
        copies: from register to register, and of one value into all lanes.
        spills: vectors stored to the stack and loaded from it, as operands too.
    """

    instructions: int = 0
    multiply_adds: int = 0
    by_lane: int = 0
    other: int = 0
    loads: int = 0
    stores: int = 0
    copies: int = 0
    spills: int = 0

    def each(self, count: int) -> float:
        """Return a count for each multiply-add."""
        return count / self.multiply_adds


_LABEL = re.compile(r"^([.\w$\"]+):")
_BRANCH = re.compile(r"^\s+(?:b|b\.\w+|cbn?z|tbn?z|j\w+)\s+(?:.*,\s*)?([.\w$]+)\s*$")
_COMMENT = re.compile(r"//.*|\s#.*|^#.*")
# Where a function keeps the place of its stack: in the frame pointer, or in the one that takes its part where the stack
# is aligned anew. No loop changes these.
_FRAME = {
    True: re.compile(r"^\s+(?:mov|add(?=\s+x29,))\s+(x29|x19),\s*sp\b"),
    False: re.compile(r"^\s+movq\s+%rsp,\s*(%rbp|%rbx)$"),
}


def inner_loops(text: str, arm: bool) -> list[Loop]:
    """Return the innermost loops of an assembly file: from a label to a branch back to it, no such pair between."""
    lines = [_COMMENT.sub("", line).rstrip() for line in text.splitlines()]
    labels = {match[1]: place for place, line in enumerate(lines) if (match := _LABEL.match(line))}
    ends = [(labels.get(match[1], len(lines)), at) for at, line in enumerate(lines) if (match := _BRANCH.match(line))]
    back = [(first, last) for first, last in ends if first <= last]
    inner = [
        (first, last)
        for first, last in back
        if not any(first <= start and end <= last and (start, end) != (first, last) for start, end in back)
    ]
    slots = [_slots(lines[:first], arm) for first, _ in inner]
    kinds = _arm if arm else _x86
    return [_counted(lines[first : last + 1], kinds, slot) for (first, last), slot in zip(inner, slots, strict=True)]


def _slots(before: Sequence[str], arm: bool) -> re.Pattern[str]:
    """Return what an operand on the stack looks like in a function, of whose lines those before a loop are given."""
    registers = ["sp" if arm else "%rsp"]
    for line in reversed(before):
        if (match := _LABEL.match(line)) and not match[1].startswith("."):
            break
        if match := _FRAME[arm].match(line):
            registers.append(match[1])
    return re.compile(rf"[\[(](?:{'|'.join(map(re.escape, registers))})\b")


def main_loops(text: str, arm: bool) -> list[Loop]:
    """Return the innermost loops that multiply, the one that does most first."""
    loops = [loop for loop in inner_loops(text, arm) if loop.multiply_adds >= LEAST]
    return sorted(loops, key=lambda loop: -loop.multiply_adds)


def _counted(
    lines: Sequence[str], kinds: Callable[[str, str, re.Pattern[str]], Iterator[tuple[str, int]]], slot: re.Pattern[str]
) -> Loop:
    counts = dict.fromkeys(Loop.__dataclass_fields__, 0)
    for line in lines:
        if line[:1] != "\t" or line.strip().startswith("."):
            continue
        counts["instructions"] += 1
        name, _, operands = line.strip().partition("\t")
        for kind, count in kinds(name, operands, slot):
            counts[kind] += count
    return Loop(**counts)


def _arm(name: str, operands: str, slot: re.Pattern[str]) -> Iterator[tuple[str, int]]:
    vectors = bool(re.search(r"\bv\d+\.", operands))
    if name.startswith(("ld", "st")):
        pair = 2 if name in ("ldp", "stp") else 1
        if not re.match(r"(?:[qsd]\d|\{)", operands):
            return  # addresses
        kind = "loads" if name.startswith("ld") else "stores"
        yield ("spills", pair) if slot.search(operands) else (kind, pair)
        if name == "ld1r":
            yield "copies", 1
    elif vectors and name in ("fmla", "fmls"):
        yield "multiply_adds", 1
        if re.search(r"\.s\[\d\]$", operands):
            yield "by_lane", 1
    elif vectors and name in ("mov", "dup"):
        yield "copies", 1
    elif vectors:
        yield "other", 1


def _x86(name: str, operands: str, slot: re.Pattern[str]) -> Iterator[tuple[str, int]]:
    if "%xmm" not in operands:
        return
    memory = re.search(r"[\w.]*\(", operands)
    moves = name in ("movaps", "movups", "movss", "movsd", "movapd")
    if memory and moves and operands.startswith("%xmm"):
        yield ("spills" if slot.search(operands) else "stores"), 1
    elif memory:
        yield ("spills" if slot.search(operands) else "loads"), 1
    if name == "mulps":
        yield "multiply_adds", 1
    elif (moves and not memory) or (name == "shufps" and "$0," in operands):
        yield "copies", 1
    elif not moves:
        yield "other", 1


def exported(name: str, target: str) -> str:
    """Return a network of `NETWORKS` as assembly for a target."""
    return code_of(Network(NETWORKS[name], SHAPE, seed=0), target, "network", "asm").content.decode()


def trained(target: str) -> dict[str, str]:
    """Return the kernels of a training as assembly, by what they do; the numbers behind their names are left out."""
    chosen = NAMED[target]
    program = plan_program(trace(TRAINED, SHAPE), 8, chosen, training=Training(CrossEntropy(), SGD(momentum=0.9)))
    kernels: dict[str, str] = {}
    for piece in split(emit_program(program)):
        text = assembly(piece.text, chosen, thorough=piece.thorough)
        name = "+".join(dict.fromkeys(function.split("_")[0] for function in piece.functions))
        kernels[name] = kernels.get(name, "") + text
    return kernels


def main() -> None:
    """Print the main loop of each network and of each kernel that trains, on both processors."""
    print(f"{'':26}{'':8}{'multiply-':>10}{'by':>6}  for each of them:")
    columns = ("instructions", "other", "loads", "stores", "copies", "spills")
    print(f"{'':34}{'adds':>10}{'lane':>6}" + "".join(f"{column:>14}" for column in columns))
    rows = [(name, {kind: exported(name, target) for kind, target in TARGETS.items()}) for name in NETWORKS]
    kernels = {kind: trained(kind) for kind in TARGETS}
    rows += [
        (f"training, {name}", {kind: of[name] for kind, of in kernels.items()})
        for name in sorted(set(kernels["NEON"]) & set(kernels["SSE2"]))
    ]
    for name, texts in rows:
        for kind, text in texts.items():
            for loop in main_loops(text, kind == "NEON")[:1]:
                numbers = "".join(f"{loop.each(getattr(loop, column)):14.2f}" for column in columns)
                print(f"{name:26.25}{kind:8}{loop.multiply_adds:10}{loop.by_lane:6}{numbers}")


TARGETS = {"NEON": "aarch64", "SSE2": "x86-64-sse2"}

if __name__ == "__main__":
    main()
