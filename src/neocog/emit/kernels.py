"""What a function computes, apart from where its operands lie: equal layers have one kernel, compiled once.

A stage names the memory that it works on. Its kernel is the same stage with those names replaced by the numbers of
arguments, and without its title; two stages share a function where their kernels are equal. The addresses are what the
caller passes.

This needs no LLVM, so that whoever tells what is compiled can do so for a program that is not emitted here.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

from neocog.plan.layout import Operand, Panels, Space, Tensor, Vectors
from neocog.plan.ops.chain import Chain
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.op import Op
from neocog.plan.program import Program
from neocog.plan.rounded import TOGETHER


@dataclass(frozen=True, slots=True)
class Address:
    """What a caller passes for an argument: a named allocation from its byte `start` on.

    Inside a chain it moves `image` bytes for every image before those that are worked on, and `slice` bytes for every
    slice.
    """

    space: Space
    name: str
    start: int
    image: int = 0
    slice: int = 0


@dataclass(frozen=True)
class Kernel:
    """A stage whose memory is numbered.

    Arguments:
        stage: its operands, tensors and panels are named "0", "1", … after the arguments, and begin at them. The start
            of an operand of bytes is 1 where some that share the kernel may begin off whole words, else 0.
        chained: whether it does all items of a block of images, or some items of the whole batch.
        alone: for each argument, whether no other one points into the same allocation.
    """

    stage: Op
    chained: bool
    alone: tuple[bool, ...]

    @cached_property
    def name(self) -> str:
        """The function's name: what kind of stage it is, and a digest of all that it depends on."""
        digest = hashlib.sha256(repr((self.stage, self.chained, self.alone)).encode()).hexdigest()
        return f"{type(self.stage).__name__.lower()}_{digest[:16]}"


def kernel_of(stage: Op, *, chained: bool) -> tuple[Kernel, tuple[Address, ...]]:
    """Return the kernel of a stage that is no chain, and the addresses to call it with."""
    numbers: dict[Address, int] = {}
    numbered = _numbered(stage, numbers)
    pointing = Counter((address.space, address.name) for address in numbers)
    alone = tuple(pointing[address.space, address.name] == 1 for address in numbers)
    return Kernel(numbered, chained, alone), tuple(numbers)


def function_titles(program: Program) -> dict[str, str]:
    """Return what the functions of a program compute, by their names: for a kernel, the first stage that it is for."""
    titles: dict[str, str] = {}
    for index, scheduled in enumerate(program.stages):
        chained = isinstance(scheduled.stage, Chain)
        if chained:
            titles[chain_name(index)] = scheduled.stage.name
        for inner in scheduled.stage.inner_stages():
            titles.setdefault(kernel_of(inner, chained=chained)[0].name, inner.name)
    for stage in program.preparation:
        titles.setdefault(kernel_of(stage, chained=False)[0].name, stage.name)
    return titles


def chain_name(index: int) -> str:
    """Return the name of the function of a chain, which is the stage of this number."""
    return f"chain_{index}"


def _numbered(value: Any, numbers: dict[Address, int], skipped: int = 0) -> Any:
    """Replace each allocation in a value by its number, in order of first use; `numbers` grows.

    Of tensors, so many elements are skipped: their argument points behind these.
    """

    def number(address: Address) -> str:
        return str(numbers.setdefault(address, len(numbers)))

    match value:
        case Operand():
            each, moves = value.bytes_each, value.space is Space.ARENA
            image, slice_ = (value.image * each, value.slice * each) if moves else (0, 0)
            address = Address(value.space, value.name, value.start * each, image, slice_)
            # Whether words can lie off alignment is all that a kernel knows of where bytes begin.
            apart = each == 1 and any(step % TOGETHER for step in (value.start, image, slice_))
            return Operand(Space.ARENA, number(address), int(apart), bytes_each=each)
        case Tensor():
            image = value.image_step * value.bytes_each if value.space is Space.ARENA else 0
            address = Address(value.space, value.name, skipped * value.bytes_each, image)
            return replace(value, name=number(address), space=Space.ARENA)
        case Panels() | Vectors():
            each = value.bytes_each if isinstance(value, Panels) else 4
            address = Address(value.space, value.name, value.offset * each)
            return replace(value, name=number(address), offset=0, space=Space.ARENA)
        case tuple():
            return tuple(_numbered(part, numbers, skipped) for part in value)
        case Contraction() if value.beside:
            # The caller knows where it begins beside its output: so all blocks of a grouped convolution share a kernel.
            return _numbered(replace(value, beside=0), numbers, value.beside)
        case _ if is_dataclass(value) and not isinstance(value, type):
            changed = {
                field.name: _numbered(getattr(value, field.name), numbers, skipped)
                for field in fields(value)
                if field.init
            }
            if isinstance(value, Op):
                changed["name"] = ""  # a stage's title, or that of a contraction within one
            return replace(value, **changed)
        case _:
            return value
