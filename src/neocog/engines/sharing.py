"""Which engines take steps that are cut into slices, and how a program is made for those of one process."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

from neocog.engines.base import Array, Engine, SharedTrainProgram, StepSettings, TrainProgram
from neocog.errors import SettingError
from neocog.nn.graph import Graph
from neocog.nn.slicing import usual_slices
from neocog.ranks.world import Alone, World

SHARING = {"native": "neocog.engines.native.sliced", "torch": "neocog.engines.torch.shared"}
"""Name of an engine → the module whose `shared_train_program` makes its programs of slices."""


def slices_for(engine: str | Engine, batch: int, ranks: int) -> int:
    """Return how many slices a batch is cut into where nobody says so.

    PyTorch takes the slices of a process one after the other, each too small to keep a GPU busy, and adds up in an
    order that hangs on the number of processes anyway: so each process has one.

    >>> slices_for("native", 128, 2), slices_for("torch:cuda", 128, 2)
    (8, 2)
    """
    name = engine.partition(":")[0] if isinstance(engine, str) else engine.name
    return ranks if name == "torch" else usual_slices(batch, ranks)


class _Maker(Protocol):
    def __call__(
        self,
        engine: Engine,
        graph: Graph,
        parameters: Mapping[str, Array],
        settings: StepSettings,
        threads: int | None,
        world: World,
        *,
        fast: bool,
    ) -> SharedTrainProgram: ...


def program_for(
    engine: Engine,
    graph: Graph,
    parameters: Mapping[str, Array],
    settings: StepSettings,
    threads: int | None,
    world: World | None,
    *,
    fast: bool = False,
) -> TrainProgram:
    """Make a network that learns, from slices where the settings say so.

    Arguments:
        engine, graph, parameters, settings, threads: as for `Engine.train_program`.
        world: the processes that share a step; None: this one alone.
        fast: whether gradients may be added up in an order of the world's.

    Raises:
        SettingError: the engine knows no slices, or a world shares steps that are not cut.
    """
    if settings.slicing is None:
        if world is not None:
            raise SettingError("steps that processes share must be cut into slices", hint="give slices=8")
        return engine.train_program(graph, parameters, settings, threads)
    if engine.name not in SHARING:
        raise SettingError(
            f"the {engine.name} engine takes no steps in slices, nor together with other processes",
            hint=f"use engine={' or '.join(map(repr, SHARING))}",
        )
    maker = cast(_Maker, import_module(SHARING[engine.name]).shared_train_program)
    return maker(engine, graph, parameters, settings, threads, world or Alone(), fast=fast)
