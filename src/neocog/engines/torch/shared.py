"""PyTorch's steps in slices, shared among the processes of a world.

DDP adds the gradients up while the backward pass runs, by NCCL between GPUs and gloo between processors. What a slice
is says `neocog.nn.slicing`, as for other engines: where statistics are not those of the whole batch, each slice is
normalised for itself, so that a process with several of them takes one after the other. Sums are added up in the
order of whoever adds them: the number of processes changes the rounding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray

from neocog.engines.base import Array, Images, StepResult, StepSettings, check_images
from neocog.engines.targets import check_targets
from neocog.engines.torch.dropout import Draw
from neocog.engines.torch.engine import TorchEngine
from neocog.engines.torch.exchange import Exchange, GroupExchange, WorldExchange, group_of
from neocog.engines.torch.held import Means
from neocog.engines.torch.losses import divisor
from neocog.engines.torch.norm import BatchNorm
from neocog.engines.torch.training import TorchTrainProgram
from neocog.nn.graph import Graph
from neocog.nn.share import Share
from neocog.ranks.world import LostProcessError, World


def shared_train_program(
    engine: TorchEngine,
    graph: Graph,
    parameters: Mapping[str, Array],
    settings: StepSettings,
    threads: int | None,
    world: World,
    *,
    fast: bool,
) -> SharedTorchProgram:
    """Make a network that learns from slices; see `neocog.engines.sharing`. The world adds up as `fast` asks for, in
    either case.
    """
    return SharedTorchProgram(graph, parameters, settings, engine.means, threads, world)


@dataclass(frozen=True, slots=True)
class _Part:
    """Images that go through the network together.

    Arguments:
        images: their places among those of this process.
        draw: their slices.
        counted: whether they count; else a picture stands in, since all processes must take part.
    """

    images: slice
    draw: Draw
    counted: bool = True


class SharedTorchProgram(TorchTrainProgram):
    """A network that learns from slices, some of them its own.

    Arguments:
        settings: with a slicing.
        world: the processes that share a step.

    Raises:
        SettingError: there are fewer slices than processes.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, Array],
        settings: StepSettings,
        means: Means,
        threads: int | None,
        world: World,
    ) -> None:
        slicing = settings.slicing
        assert slicing is not None, "a program of slices needs to know how many"
        self.world, self._share = world, Share(slicing, settings.batch_size, world.rank, world.size)
        group = group_of(world, means.device)
        self._exchange: Exchange = WorldExchange(world) if group is None else GroupExchange(group)
        self._distributed = group is not None
        super().__init__(graph, parameters, settings, means, threads)
        for norm in self._norms if slicing.sync_norms and world.size > 1 else ():
            norm.exchange = self._exchange
        self._averages = [] if self._at_once else [a for norm in self._norms for a in norm.buffers()]

    def _one_pass(self) -> bool:
        return self._at_once and self.world.size == 1

    def _most_at_once(self) -> int:
        return self._share.width if self._at_once else self._share.slice_width

    def _parallel(self) -> Any:
        self._norms = [leaf for leaf in self.leaves if isinstance(leaf, BatchNorm) and not leaf.frozen]
        self._at_once = self._share.slicing.sync_norms or not self._norms
        self._ddp: Any = None
        if self._distributed and self.trained:
            self._ddp = torch.nn.parallel.DistributedDataParallel(
                self.module,
                process_group=group_of(self.world, self.device),
                broadcast_buffers=False,  # averages move by what all processes have seen, below
                init_sync=False,  # that all begin with the same is made sure of where training begins
                gradient_as_bucket_view=True,
            )
        return self.module if self._ddp is None else self._ddp

    def step(
        self, images: Images, targets: NDArray[np.generic], learning_rate: float, whole: int | None = None
    ) -> StepResult:
        """Take one optimizer step, together with all processes; see `begin`."""
        return self.begin(images, targets, learning_rate, whole)()

    def begin(
        self, images: Images, targets: NDArray[np.generic], learning_rate: float, whole: int | None = None
    ) -> Callable[[], StepResult]:
        """Begin a step, together with all processes.

        Arguments:
            images, targets: of this process: those of its slices; there may be none.
            whole: images of all processes; default: where there is one, those that are given.

        Returns:
            Who tells the loss of all images, and the logits of the given ones.
        """
        images = check_images(self.graph, images)
        whole = self._share.check(len(images), whole)
        targets = check_targets(self.graph, self.settings.loss, targets, len(images))
        with self._hearing():
            read = self._begin(images, targets, learning_rate, whole)

        def told() -> StepResult:
            with self._hearing():
                return read()

        return told

    @contextlib.contextmanager
    def _hearing(self) -> Iterator[None]:
        """Tell what PyTorch says of processes that are gone as an error of neocog's."""
        try:
            yield
        except RuntimeError as error:
            said = str(error)
            if not isinstance(error, torch.distributed.DistError) and "gloo" not in said and "NCCL" not in said:
                raise
            cause = (said.strip().splitlines() or [type(error).__name__])[0]
            raise LostProcessError(
                f"process {self.world.rank} of {self.world.size} no longer hears from the others",
                details=(f"cause: {cause[:200]}",),
            ) from None

    def _learn(self, x: Any, y: Any, whole: int) -> tuple[Any, Any]:
        parts = self._parts(whole)
        if not len(x):
            x, y = x.new_zeros((1, *x.shape[1:])), y.new_zeros((1, *y.shape[1:]))
        weight = self._weight(y, whole, counted=parts[0].counted)
        before = [average.clone() for average in self._averages]
        moved = [torch.zeros_like(average) for average in self._averages]
        loss, logits = x.new_zeros(1), []
        for number, part in enumerate(parts):
            self._draw(part.draw)
            for norm in self._norms:
                norm.counted = part.counted
            last = number == len(parts) - 1
            with contextlib.nullcontext() if self._ddp is None or last else self._ddp.no_sync():
                found = self._logits(x[part.images])
                own = self.loss.total(found, y[part.images]) / weight * part.counted
                if self.optimizers:
                    (own if self._ddp is None else own * self.world.size).backward()  # DDP takes the mean
            loss += own.detach()
            if part.counted:
                logits.append(found.detach())
            self._move(moved, before, len(found) / whole if part.counted else 0.0)
        self._add_up(moved, loss)
        if self._ddp is None and self.world.size > 1:
            self._sum_gradients()
        return loss[0], torch.cat(logits) if logits else found.detach()[:0]

    def _parts(self, whole: int) -> list[_Part]:
        """Return what this process computes of a step, one after the other."""
        own = self._share.slices
        places = [(one, self._share.within_own(one, whole)) for one in own]
        parts = [_Part(slice(here.start, here.stop), [(one, len(here))]) for one, here in places if here]
        if not parts:
            return [_Part(slice(0, 1), [(own.start, 1)], counted=False)]
        if not self._at_once:
            return parts
        return [_Part(slice(0, parts[-1].images.stop), [draw for part in parts for draw in part.draw])]

    def _weight(self, y: Any, whole: int, *, counted: bool) -> Any:
        """Return what sums of losses are divided by: the weight of all images, of all processes."""
        weight = self.loss.weight(y)
        if not torch.is_tensor(weight):
            return weight / len(y) * whole
        everyone = (weight * counted).reshape(1)
        self._exchange.sum(everyone)
        return divisor(everyone[0])

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _move(self, moved: list[Any], before: list[Any], share: float) -> None:
        """Note how far a part moved the running averages, and take them back."""
        for average, own, from_ in zip(self._averages, moved, before, strict=True):
            own.add_(average - from_, alpha=share)
            average.copy_(from_)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _add_up(self, moved: list[Any], loss: Any) -> None:
        """Move the running averages by what all processes have seen, and make the loss that of all."""
        together = torch.cat([*moved, loss])
        self._exchange.sum(together)
        *found, total = together.split([*(len(own) for own in moved), 1])
        for average, by in zip(self._averages, found, strict=True):
            average.add_(by)
        loss.copy_(total)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _sum_gradients(self) -> None:
        """Add the gradients of all processes up, where DDP does not."""
        gradients = [self.weights[name].grad for name in self.rules]
        if gradients:
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            self._exchange.sum(flat)
            for gradient, own in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(own.view_as(gradient))
