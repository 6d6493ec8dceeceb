"""The native engine's steps in slices, shared among the processes of a world.

A program is made for one slice. Each process runs it for its own slices; where the program waits
(`plan/ops/exchange.py`), all processes bring together what their slices have. Gradients, what moved the buffers, and
the loss lie side by side in one array, so that a step without synchronised statistics is one sum. The update is then
done by every process for itself, with the same numbers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from neocog.emit.slots import WHOLE_SLOT
from neocog.engines.base import Array, Images, StepResult, StepSettings, allowed_threads, check_images
from neocog.engines.native.calls import Compiler, ReadAnswers, make
from neocog.engines.native.engine import NativeEngine
from neocog.engines.native.training import NativeTrainProgram
from neocog.engines.targets import check_targets, loss_weights
from neocog.jit.executable import Executable
from neocog.jit.slices import SliceProgram
from neocog.jit.team import Team
from neocog.nn.graph import Graph
from neocog.nn.losses import CrossEntropy
from neocog.nn.share import Share
from neocog.plan.layout import Space
from neocog.plan.memory import LINE
from neocog.plan.ops.exchange import ForEachSlice, GatherSlices, SumSlices
from neocog.plan.parameters import BUFFERS, GRADIENTS
from neocog.plan.program import LOGITS
from neocog.ranks.gather import gathered, gathered_lists
from neocog.ranks.tree import TreeSum
from neocog.ranks.world import SharingWorld, World


def shared_train_program(
    engine: NativeEngine,
    graph: Graph,
    parameters: Mapping[str, Array],
    settings: StepSettings,
    threads: int | None,
    world: World,
    *,
    fast: bool,
) -> SlicedTrainProgram:
    """Make a network that learns from slices; see `neocog.engines.sharing`."""
    return SlicedTrainProgram(engine.compiler, graph, parameters, settings, threads, world, fast=fast)


class SlicedTrainProgram(NativeTrainProgram):
    """A compiled network that learns from slices, some of them its own.

    Arguments:
        settings: with a slicing.
        world: the processes that share a step.
        fast: whether gradients are added up in an order of the world's.

    Raises:
        SettingError: there are fewer slices than processes.
    """

    _kind: type[Executable] = SliceProgram

    def __init__(
        self,
        compiler: Compiler,
        graph: Graph,
        parameters: Mapping[str, Array],
        settings: StepSettings,
        threads: int | None,
        world: World,
        *,
        fast: bool = False,
    ) -> None:
        slicing = settings.slicing
        assert slicing is not None, "a program of slices needs to know how many"
        share = Share(slicing, settings.batch_size, world.rank, world.size)
        team = Team(allowed_threads(threads), compiler.cache)
        with _first_before_others(world):
            super().__init__(compiler, graph, parameters, settings, team)
        self.world, self._share, self._own = world, share, share.slices
        first = self._executable
        assert isinstance(first, SliceProgram)
        self._phases = first.phases
        self._synchronised = any(isinstance(phase.exchange, GatherSlices) for phase in self._phases)
        # what a slice has computed must wait for the others: each then needs an arena of its own
        self._slices = [first]
        for _ in self._own[1:] if self._synchronised else ():
            self._slices.append(make(compiler.cache, first.program, first.state, team, SliceProgram))
            first.lend_scratch(self._slices[-1])
        everyone = self._in_common(first)
        assert first.program.losses is not None
        self._read_losses = [part.view(first.program.losses) for part in self._slices]
        self._read_logits = [ReadAnswers(part, first.program.outputs[LOGITS]) for part in self._slices]
        self._buffers = first.array(Space.STATE, BUFFERS) if self._layout.sizes[BUFFERS] else np.zeros(0, np.float32)
        self._together = self._layout.together
        self._logits, self._losses = self._read_logits[0], self._read_losses[0]
        self._told_by = [part.array(Space.ARENA, GRADIENTS) for part in self._slices]
        self._tree = TreeSum(slicing, world, self._told_by[0], everyone, fast=fast)
        self._rate, self._whole, self._told = 0.0, 0, -1  # of the step under way: the slice whose arguments are set

    def _in_common(self, first: SliceProgram) -> NDArray[np.float32] | None:
        """Move an arena to memory that all processes see, if they have any, and return where each has its gradients."""
        size = -(-first.program.size(Space.ARENA) // LINE) * LINE
        common = self.world.common(self.world.size * size // 4) if isinstance(self.world, SharingWorld) else None
        if common is None:
            return None
        arenas = common.reshape(self.world.size, -1)
        first.work_in(arenas[self.world.rank].view(np.uint8)[: first.program.size(Space.ARENA)])
        place = first.program.allocations[Space.ARENA, GRADIENTS]
        return arenas[:, place.offset // 4 : place.end // 4]

    def step(
        self, images: Images, targets: NDArray[np.generic], learning_rate: float, whole: int | None = None
    ) -> StepResult:
        """Take one optimizer step, together with all processes.

        Arguments:
            images, targets: of this process: those of its slices; there may be none.
            whole: images of all processes; default: where there is one, those that are given.

        Returns:
            The loss of all images, and the logits of the given ones.
        """
        images = check_images(self._graph, images)
        whole = self._share.check(len(images), whole)
        targets = check_targets(self._graph, self._settings.loss, targets, len(images))
        with self._lock:
            return self._step_together(images, targets, learning_rate, whole)

    def _step_together(
        self, images: Images, targets: NDArray[np.generic], learning_rate: float, whole: int
    ) -> StepResult:
        self._steps += 1
        weights = self._weights(targets)
        self._given = images, targets, weights  # kept, since programs know their addresses
        self._rate, self._whole, self._told = learning_rate, whole, -1
        logits = np.zeros((len(images), self._read_logits[0].width), np.float32)
        if self._synchronised:
            for slice_ in self._own:
                self._tell(slice_)
        loss = None
        for number, phase in enumerate(self._phases):
            match phase.exchange:
                case ForEachSlice():
                    for part in self._slices:
                        part.run_phase(number, self._team)
                case GatherSlices() as exchange:
                    self._gather(number, exchange)
                case SumSlices():
                    loss = self._sum(number, logits)
                case None:  # the update, which is the same for all slices
                    self._tell(self._own.start)
                    self._slices[0].run_phase(number, self._team)
        assert loss is not None
        return StepResult(loss, logits.reshape(len(images), *self._graph.answer_shape))

    def _weights(self, targets: NDArray[np.generic]) -> Array | None:
        """Return what the loss multiplies outputs by: class weights divided by their mean over the labels of all."""
        loss = self._settings.loss
        if not isinstance(loss, CrossEntropy) or loss.weights is None:
            return loss_weights(loss, targets, self._graph.classes)
        known = np.array(loss.weights)
        of_labels = known[targets.reshape(-1)] if targets.dtype.kind in "iu" else np.zeros(0)
        everyone = gathered_lists(self.world, of_labels)
        mean = math.fsum(everyone.tolist()) / len(everyone) if len(everyone) else 1.0
        return (known / mean if mean else np.zeros_like(known)).astype(np.float32)

    def _part(self, slice_: int) -> int:
        """Return which of this process's arenas a slice has."""
        return slice_ - self._own.start if self._synchronised else 0

    def _places(self, slice_: int) -> range:
        """Return where the images of a slice lie among those of this process; none where the batch is too short."""
        return self._share.within_own(slice_, self._whole)

    def _tell(self, slice_: int) -> None:
        """Set the arguments of a program for a slice."""
        if not self._synchronised and self._told == slice_:
            return
        self._told = slice_
        part, places = self._slices[self._part(slice_)], self._places(slice_)
        assert self._given is not None
        images, targets, weights = self._given
        here = slice(places.start, places.stop)
        self._set_batch(part, images[here], targets[here], weights)
        self._set_scalars(part, self._rate, slice_)
        part.set_integer(WHOLE_SLOT, self._whole)

    def _gather(self, number: int, exchange: GatherSlices) -> None:
        """Run a phase for each slice, and give each what all have; the running averages move once."""
        rows = np.zeros((self._most_own(), exchange.size), np.float32)
        before = self._buffers.copy()
        for row, slice_ in enumerate(self._own):
            if self._places(slice_):
                part = self._slices[self._part(slice_)]
                self._buffers[...] = before
                part.run_phase(number, self._team)
                rows[row] = part.array(exchange.own.space, exchange.own.name)[: exchange.size]
        found = gathered(self.world, rows.reshape(-1)).reshape(self.world.size, *rows.shape)
        everyone = np.concatenate(
            [found[rank, : len(self._share.slicing.slices(rank, self.world.size))] for rank in range(self.world.size)]
        ).reshape(-1)
        for part in self._slices:
            part.array(exchange.everyone.space, exchange.everyone.name)[: len(everyone)] = everyone

    def _most_own(self) -> int:
        return max(len(self._share.slicing.slices(rank, self.world.size)) for rank in range(self.world.size))

    def _sum(self, number: int, logits: Array) -> float:
        """Run a phase for each slice, add gradients, moves of buffers and losses up over all, and return the loss."""
        together, before = self._together, self._buffers.copy()
        behind = together + len(before)

        def leaf(slice_: int) -> NDArray[np.float32]:
            places, index = self._places(slice_), self._part(slice_)
            values = self._told_by[index]
            if not places:
                values[...] = 0
                return values
            self._tell(slice_)
            self._buffers[...] = before
            self._slices[index].run_phase(number, self._team)
            self._read_logits[index].copy(logits[places.start : places.stop])
            moved = values[together:behind]
            if self._synchronised:  # all slices know the same; a process whose slices are empty must hear it
                moved[...] = self._buffers if slice_ == 0 else 0
            else:
                np.subtract(self._buffers, before, out=moved)
                moved *= np.float32(len(places) / self._whole)
            values[behind] = self._read_losses[index][: len(places)].sum(dtype=np.float64) / self._whole
            return values

        self._tree.add_up(leaf)
        total = self._told_by[0]
        moved = total[together:behind]
        self._buffers[...] = moved if self._synchronised else before + moved
        return float(total[behind])


@contextlib.contextmanager
def _first_before_others(world: World) -> Iterator[None]:
    """Let the first process of a machine compile, and the others find in the cache what it made."""
    alike = isinstance(world, SharingWorld)
    if alike and world.rank:
        world.barrier()
    try:
        yield
    finally:
        if alike and not world.rank:
            world.barrier()
