"""The constants of a program that stands alone: parameters as its stages read them, transformed ones included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neocog.emit.program import emit_preparation
from neocog.engines.base import Array
from neocog.engines.native.parameters import write_parameters
from neocog.jit.codegen import generate
from neocog.jit.compile import load_objects
from neocog.jit.executable import aligned_zeros
from neocog.jit.host import host_target
from neocog.nn.scales import Scales
from neocog.plan.layout import Space
from neocog.plan.program import Program
from neocog.plan.standalone import Standalone


def constants_of(standalone: Standalone, parameters: Mapping[str, Array], scales: Scales | None = None) -> bytes:
    """Return the block of constants.

    Arguments:
        standalone: the program.
        parameters: of its graph, in which normalizations are folded.
        scales: of its rounded values, where it multiplies 8-bit integers.
    """
    program = standalone.program
    state = aligned_zeros(program.size(Space.STATE))
    write_parameters(state, program.parameters, program.graph, parameters, scales)
    blocks = {Space.STATE: state, Space.ARENA: _prepared(program, state)}
    constants = bytearray(standalone.constant_bytes)
    for constant in standalone.constants:
        first = program.allocations[constant.memory].offset + constant.start
        content = blocks[constant.memory[0]][first : first + constant.size]
        constants[constant.offset : constant.offset + constant.size] = content.tobytes()
    return bytes(constants)


def _prepared(program: Program, state: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a program's arena after its preparation, which is run here, whatever processor the program is for.

    A plan hangs on lanes and registers alone, which LLVM brings to any processor.
    """
    if not program.preparation:
        return aligned_zeros(0)
    here = host_target()
    target = replace(program.target, triple=here.triple, cpu=here.cpu, features=here.features)
    arena = aligned_zeros(program.size(Space.ARENA))
    text = str(emit_preparation(replace(program, target=target)))
    library = load_objects([generate(text, target, thorough=True)], ["prepare"])
    library.functions["prepare"](state.ctypes.data, arena.ctypes.data, 0, 0, 0, 0)
    return arena
