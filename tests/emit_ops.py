"""Ops made by hand, compiled and run on NumPy memory."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from llvmlite import ir

from emit_functions import compiled
from half_cases import to_words
from neocog.emit.addresses import Addresses, resolve
from neocog.emit.builder import Builder
from neocog.emit.emitters import EMITTERS
from neocog.emit.kernels import kernel_of
from neocog.jit.executable import aligned_zeros
from neocog.nn.shapes import ImageShape
from neocog.plan.blocked import PLANE, Blocked, blocked
from neocog.plan.layout import Halo, Name, Space, Tensor
from neocog.plan.live_ranges import always
from neocog.plan.memory import LINE, Allocation
from neocog.plan.ops.op import Op
from neocog.plan.verify import verify
from neocog.target.processor import Target

KINDS = {1: np.uint8, 2: np.uint16, 4: np.float32}
NO_HALO = Halo()
UNTOUCHED = 77.0  # what memory is filled with where nobody has written


def tensor_of(
    target: Target, name: str, shape: tuple[int, int, int, int], halo: Halo = NO_HALO, bytes_each: int = 4
) -> Tensor:
    """Return a tensor of (images, height, width, channels) as plans lay it out."""
    return Tensor(name, *shape, target.round_up(shape[-1]), halo, bytes_each)


def blocked_of(name: str, shape: tuple[int, int, int, int], halo: Halo = NO_HALO) -> Blocked:
    """Return images of (images, height, width, channels) as plans lay out bfloat16."""
    images, *sides = shape
    return blocked(name, images, ImageShape(*sides), halo)


class Bench:
    """An op, the tensors that it touches, and their memory: untouched but for what is put there."""

    def __init__(self, target: Target, op: Op, vectors: tuple[Tensor, ...] = ()) -> None:
        """Make its memory; `vectors` are the tensors of one pixel that the op takes as operands."""
        self.target, self.op = target, op
        known = {tensor.memory: tensor for tensor in vectors}
        parts = {part.memory: known.get(part.memory, part) for part in (*op.reads(), *op.writes())}
        self.tensors: dict[str, Tensor] = {part.name: part for part in parts.values()}
        allocations: dict[Name, Allocation] = {}
        end = LINE
        for tensor in self.tensors.values():
            size = tensor.size * tensor.bytes_each
            allocations[tensor.memory] = Allocation(end, size, always([op]))
            end += -(-size // LINE) * LINE + LINE
        self.allocations = allocations
        self.arena = aligned_zeros(end)
        self.arena.view(np.float32)[:] = UNTOUCHED
        for tensor in self.tensors.values():
            self.flat(tensor.name)[:] = UNTOUCHED
        verify([op], allocations, target.lanes)

    def flat(self, name: str) -> np.ndarray:
        """Return all elements of a tensor, halo and padding included."""
        tensor = self.tensors[name]
        allocation = self.allocations[tensor.memory]
        return self.arena[allocation.offset : allocation.end].view(KINDS[tensor.bytes_each])

    def pixels(self, name: str) -> np.ndarray:
        """Look at a tensor without its halo: (images, height, width, pitch)."""
        tensor = self.tensors[name]
        steps = (tensor.image_step, tensor.row_step, tensor.pitch, 1)
        shape = (tensor.images, tensor.height, tensor.width, tensor.pitch)
        strides = tuple(step * tensor.bytes_each for step in steps)
        return np.lib.stride_tricks.as_strided(self.flat(name)[tensor.origin :], shape, strides)

    def put(self, name: str, values: np.ndarray) -> None:
        """Write the channels of a tensor, rounded where it holds bfloat16; lanes past them, and halos, become zeros."""
        self.flat(name)[:] = 0
        tensor = self.tensors[name]
        if isinstance(tensor, Blocked):
            count, height, width, channels = values.shape
            whole = np.pad(values, ((0, 0), (0, 0), (0, 0), (0, tensor.planes * PLANE - channels)))
            words = to_words(whole).reshape(count, height, width, tensor.planes, PLANE)
            self._planes(tensor)[:] = words.transpose(0, 3, 1, 2, 4)
            return
        self.pixels(name)[..., : values.shape[-1]] = values

    def _planes(self, tensor: Blocked) -> np.ndarray:
        """Look at images of bfloat16 without their halo: (images, planes, height, width, PLANE)."""
        shape = (tensor.images, tensor.planes, tensor.height, tensor.width, PLANE)
        steps = (tensor.image_step, tensor.plane_step, tensor.row_step, PLANE, 1)
        strides = tuple(step * tensor.bytes_each for step in steps)
        return np.lib.stride_tricks.as_strided(self.flat(tensor.name)[tensor.origin :], shape, strides)

    def run(self, runs: int = 1) -> dict[str, np.ndarray]:
        """Run all items, in so many runs, the last first; return the channels of what was written.

        Checks that lanes past the channels are zeros, and that nothing else was touched.
        """
        written = {part.name for part in self.op.writes()}
        before = self.arena.copy()

        def write(b: Builder, function: ir.Function) -> None:
            state, work, scratch, control, low, high = function.args
            kernel, addresses = kernel_of(self.op, chained=False)
            bases = {Space.STATE: state, Space.ARENA: work, Space.SCRATCH: scratch}
            pointers = [resolve(b, self.allocations, bases, address, 0, 0) for address in addresses]
            EMITTERS[type(self.op)](b, Addresses(b, pointers, control), kernel.stage, low, high)

        library = compiled(self.target, write)
        bounds = [self.op.items * run // runs for run in range(runs + 1)]
        for low, high in reversed(list(pairwise(bounds))):
            library.functions["run"](0, self.arena.ctypes.data, 0, 0, low, high)
        results = {}
        for name in sorted(written):
            pixels, channels = self.pixels(name), self.tensors[name].channels
            results[name] = pixels[..., :channels].copy()
            assert (pixels[..., channels:] == 0).all(), f"{name}: lanes past the channels are no zeros"
            pixels[:] = 0
        after = self.arena.copy()
        self.arena[:] = before
        for name in written:
            self.pixels(name)[:] = 0
        assert (after == self.arena).all(), f"{self.op.name} wrote outside of {written}"
        return results


def memory_of(results: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Return results as bytes, to compare bit by bit."""
    return {name: value.tobytes() for name, value in results.items()}
